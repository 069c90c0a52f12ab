"""Which format a file has, told by its bytes; by its name only where bytes do not tell."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import bnnsim.interop.arrays_files as arrays_files
from bnnsim.checks import FilePath
from bnnsim.interop.arrays_files import Arrays
from bnnsim.interop.bounded import MAX_MEMBERS
from bnnsim.interop.graph_parts import Sketch, Value
from bnnsim.interop.input_codes import Code
from bnnsim.interop.packed_words import Digits
from bnnsim.interop.steps import Network
from bnnsim.interop.weights import Reading

C_SOURCES = (".h", ".hpp", ".hh", ".c", ".cpp", ".cc")
MEMORY_TEXTS = (".txt", ".mem", ".hex", ".dat", ".bin", ".memb", ".memh", ".mif")
TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."         # the magic number of legacy files, pickled


class Model(Protocol):
    """A chain or a graph, with its weights."""

    @property
    def form(self) -> str:
        """What kind of file it is."""

    @property
    def has_branches(self) -> bool:
        """Whether it cannot be a chain."""

    def chain(self) -> Network:
        """Its steps; ValueError where it is none of layers of bits alone."""

    def sketch(self, code: Code, reading: Reading) -> tuple[Sketch, Value]:
        """(All that it computes, its scores)."""


@dataclass(frozen=True)
class Content:
    """What a file holds: a chain of steps, arrays by name, which take a spec, or a model, which may be a chain.

    layout : of the arrays' axes, "pytorch" or "keras"
    texts : which arrays are digits of memory texts
    """

    form: str
    network: Network | None = None
    arrays: Arrays | None = None
    layout: str = "pytorch"
    model: Model | None = None
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
        return _content(read_h5(first), "Keras .h5")
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
        from bnnsim.interop.onnx_graph import OnnxModel
        from bnnsim.interop.protobuf import read_graph
        return Content("ONNX", model=OnnxModel(read_graph(first)))
    raise ValueError(f"its first bytes are {head[:8]!r}, which is none of the formats that are known: Keras .h5 and "
                     ".keras, PyTorch .pt and .pth, safetensors, ONNX, .npz, a folder of FINN .bin, C headers, "
                     "$readmemb text")


def _content(found: Model | Arrays, form: str) -> Content:
    if isinstance(found, dict):
        return Content(f"{form}, weights only", arrays=found, layout="keras")
    return Content(found.form, model=found)


def _read_zip(path: str) -> Content:
    from bnnsim.interop.bounded import Zip

    with open(path, "rb") as file:
        names = list(Zip(file).members)
    if "config.json" in names and "model.weights.h5" in names:
        from bnnsim.interop.keras import read_keras
        return _content(read_keras(path), "Keras .keras")
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
