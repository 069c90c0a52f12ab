"""Which format a file has, told by its bytes; by its name only where bytes do not tell."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

import bnnsim.interop.arrays_files as arrays_files
from bnnsim.checks import FilePath
from bnnsim.interop.arrays_files import Arrays
from bnnsim.interop.bounded import MAX_MEMBERS
from bnnsim.interop.packed_words import Digits
from bnnsim.interop.steps import Network

C_SOURCES = (".h", ".hpp", ".hh", ".c", ".cpp", ".cc")
MEMORY_TEXTS = (".txt", ".mem", ".hex", ".dat", ".bin", ".memb", ".memh", ".mif")
TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."         # the magic number of legacy files, pickled


@dataclass(frozen=True)
class Content:
    """What a file holds: a chain of steps, or arrays by name, which take a spec.

    layout : of the arrays' axes, "pytorch" or "keras"
    texts : which arrays are digits of memory texts
    """

    form: str
    network: Network | None = None
    arrays: Arrays | None = None
    layout: str = "pytorch"
    texts: dict[str, Digits] = field(default_factory=dict)


def read_content(paths: Sequence[FilePath], spec: object = None, input_shape: tuple[int, int, int] | None = None
                 ) -> Content:
    """Whatever is in a file, a folder of FINN parameters or memory texts, or several memory texts."""
    first = os.fspath(paths[0])
    if len(paths) > 1 or os.path.isdir(first):
        return _read_several(paths, spec, input_shape)
    with open(first, "rb") as file:
        head = file.read(4096)
    ending = os.path.splitext(first)[1].lower()
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        from bnnsim.interop.keras import read_h5
        return _content(read_h5(first), "keras", "Keras .h5")
    if head.startswith(b"PK\3\4"):
        return _read_zip(first)
    if head.startswith(b"\x80") and (head.startswith(TORCH) or ending in (".pt", ".pth", ".pkl", ".ckpt", ".bin")):
        from bnnsim.interop.torch_files import read_legacy
        return Content("PyTorch state dict, legacy format", arrays=read_legacy(first))
    if ending == ".safetensors" or head[8:10] in (b'{"', b"{}"):
        return Content("safetensors", arrays=arrays_files.read_safetensors(first))
    if ending in C_SOURCES:
        return Content("C arrays", arrays=arrays_files.read_c_header(first))
    if arrays_files.is_text(head) and (ending in MEMORY_TEXTS or not ending):
        return _texts("memory text", [first])
    if ending == ".onnx" or head.startswith(b"\x08"):
        from bnnsim.interop.onnx_chain import read_onnx
        return _content(read_onnx(first), "pytorch", "ONNX")
    raise ValueError(f"its first bytes are {head[:8]!r}, which is none of the formats that are known: Keras .h5 and "
                     ".keras, PyTorch .pt and .pth, safetensors, ONNX, .npz, a folder of FINN .bin, C headers, "
                     "$readmemb text")


def _content(found: Network | Arrays, layout: str, form: str) -> Content:
    if isinstance(found, Network):
        return Content(found.form, network=found)
    return Content(f"{form}, weights only", arrays=found, layout=layout)


def _read_zip(path: str) -> Content:
    from bnnsim.interop.bounded import Zip

    with open(path, "rb") as file:
        names = list(Zip(file).members)
    if "config.json" in names and "model.weights.h5" in names:
        from bnnsim.interop.keras import read_keras
        return _content(read_keras(path), "keras", "Keras .keras")
    if any(name.split("/")[-1] == "data.pkl" for name in names):
        from bnnsim.interop.torch_files import read_zip
        return Content("PyTorch state dict", arrays=read_zip(path))
    if names and all(name.endswith(".npy") for name in names):
        return Content("npz", arrays=arrays_files.read_npz(path))
    raise ValueError(f"a zip file with {', '.join(names[:5]) or 'nothing'} in it is neither .npz, .keras nor PyTorch's")


def _read_several(paths: Sequence[FilePath], spec: object, input_shape: tuple[int, int, int] | None) -> Content:
    first = os.fspath(paths[0])
    if len(paths) == 1:
        names = sorted(os.listdir(first), key=arrays_files.numbered)
        if len(names) > MAX_MEMBERS:
            raise ValueError(f"the folder has more than {MAX_MEMBERS:,} files")
        if any(name.endswith("-weights.bin") for name in names):
            from bnnsim.interop.finn import read_finn
            return Content("FINN .bin", network=read_finn(first, names, spec, input_shape))
        paths = [os.path.join(first, name) for name in names if os.path.splitext(name)[1].lower() in MEMORY_TEXTS]
        if not paths:
            raise ValueError("the folder has neither FINN's *-weights.bin nor memory texts (.txt, .mem, .hex, .dat)")
    return _texts("memory texts", paths)


def _texts(form: str, paths: Sequence[FilePath]) -> Content:
    arrays, texts = arrays_files.read_memory_texts(paths)
    return Content(form, arrays=arrays, texts=texts)
