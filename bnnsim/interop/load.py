"""The one door: a file of any format that is known into a `PackedNetwork`, and what became of what."""

import math
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np

import bnnsim.interop.arrays_files as arrays_files
import bnnsim.interop.chain as chain
from bnnsim.checks import FilePath, check_bool, check_choice, check_real
from bnnsim.datasets.shipped import network_file
from bnnsim.interop.arrays_files import Arrays
from bnnsim.interop.bounded import check_plain, read_bytes
from bnnsim.interop.comparison import SumsDiffer, compare_sums
from bnnsim.interop.graph_lowering import NOTHING_IN_MEMORY, lower
from bnnsim.interop.input_codes import Code, Input, code_of
from bnnsim.interop.layer_list import read_layers
from bnnsim.interop.packed_words import BIT_ORDERS
from bnnsim.interop.rows import Row, rows_of
from bnnsim.interop.spec import NO_SHAPE, Conventions, steps_of
from bnnsim.interop.steps import Network, Weigh
from bnnsim.interop.weights import SIGNS, Reading
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.schema import check_input_shape

if TYPE_CHECKING:
    from bnnsim.interop.formats import Model

Spec = str | Sequence[Mapping[str, Any]]
Shape = tuple[int, int, int]
READ_OF_LAYERS = ("input_shape", "input", "weights", "sign", "bias")        # where a file tells which layers there are


class How(TypedDict, total=False):
    """What a file may not tell: see `read_network`."""

    input_shape: Shape | None
    input: Input | None
    weights: str
    sign: str | None
    popcount: bool
    norm_first: bool | None
    eps: float
    flatten: str | None
    bit_order: str | None
    bias: str


@dataclass(frozen=True)
class Imported:
    """A network that was read, and how.

    Attributes
    ----------
    network : PackedNetwork
    form : str
        What kind of file it was.
    code : Code
        How images enter.
    rows : list of Row
        Per layer its kind, shape, names in the file, and what was folded.
    """

    network: PackedNetwork
    form: str
    code: Code
    rows: Sequence[Row] = field(default=())

    def compare(self, images: np.ndarray, sums: Mapping[str, np.ndarray]) -> SumsDiffer | None:
        """The first layer whose sums differ from those of the network's own framework: see `compare_sums`."""
        layers = [row for row in self.rows if not row.is_operation]
        return compare_sums(self.network, images, sums, {i: row.turned for i, row in enumerate(layers)})

    def table(self) -> str:
        """Text: how images enter, then a line a layer."""
        cells = [("layer", "kind", "weights", "from", "folded")]
        cells += [(str(row.layer), row.kind, " x ".join(map(str, row.shape)), ", ".join(row.sources),
                   "; ".join(row.folded)) for row in self.rows]
        widths = [max(len(row[c]) for row in cells) for c in range(4)]
        lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[4]]).rstrip()
                 for row in cells]
        return "\n".join([f"{self.form}; input: {self.code}", *lines])


def load_network(path: FilePath | Sequence[FilePath], spec: Spec | None = None, **how: Unpack[How]) -> PackedNetwork:
    """Read somebody else's network, of whatever format, without its framework.

    Parameters
    ----------
    path : str, os.PathLike, or a list of them
        Keras or Larq whole models (.h5, .keras), ONNX and QONNX, PyTorch state dicts (.pt, .pth), safetensors, .npz, a
        folder of FINN's .bin, C headers, `$readmemb` and `$readmemh` texts (several, or their folder); a file that
        `PackedNetwork.save` wrote; or the name of a network that comes with the library, such as "fashion_cnn".
    spec : str or list of dict, optional
        Where the file has arrays alone: "C64 MP2 FC10" as `bnnsim.architectures.build` takes it, with arrays matched
        in order; or a layer list, dicts as `PackedNetwork.from_arrays` takes them with names instead of arrays.
    **how
        What the file does not tell: see `read_network`.

    Returns
    -------
    PackedNetwork
        Of a Keras or ONNX model with branches, or with layers of float32 beside those of bits, a `PackedGraph`.

    Raises
    ------
    ValueError
        What cannot be represented, by its name in the file; nothing is dropped that changes a class.
    """
    return read_network(path, spec, **how).network


def read_network(path: FilePath | Sequence[FilePath], spec: Spec | None = None, *, input_shape: Shape | None = None,
                 input: Input | None = None, weights: str = "signs", sign: str | None = None, popcount: bool = False,
                 norm_first: bool | None = None, eps: float = 1e-5, flatten: str | None = None,
                 bit_order: str | None = None, bias: str = "folded") -> Imported:
    """As `load_network`, with a table of what became of what.

    Parameters
    ----------
    path, spec
        See `load_network`.
    input_shape : (C, H, W), optional
        Where the file does not tell it.
    input : "pixels", "unit", "centred", "binary", or (mean, standard deviation), optional
        What the network was trained to read: levels 0..255 (or fewer), pixels / 255, pixels / 127.5 - 1, +-1 (which is
        pixels 0 and 2), or pixels / 255 less a mean, through a deviation. Default: levels; it must be said where the
        network takes signs of them.
    weights : "signs", "latent", "bits" or "sign-bits"
        Weights are +-1, or +-s of each unit; are real, and the network computes with their signs; are 0 and 1, and 0
        stands for -1; are 0 and 1, and 1 stands for -1. Of a graph "latent" is said of the layers that read signs: one
        that reads the image, or other numbers, computes with its real weights, and its row of the table says so.
    sign : ">=" or ">", optional
        Whether the sign of 0 is +1 or -1, where the file leaves it open.
    popcount : bool
        Whether thresholds are numbers of agreeing bits.
    norm_first : bool, optional
        Whether poolings and the SUM of a spec follow their batch norms; asked for where it matters.
    eps : float
        Of batch norms whose file has none.
    flatten : "CHW" or "HWC", optional
        How a dense layer behind a map reads it: default as in the file's framework.
    bit_order : "lsb" or "msb", optional
        Of weights in packed words (unsigned integers of a C header, digits of a text): whether the lowest or the
        highest bit of a word is the first weight. In a layer list such weights have their "shape". Default: binary
        digits of a text as they stand, the first first; other words are refused.
    bias : "folded" or "stored"
        Of arrays with a spec or a layer list: whether a bias goes into thresholds, or the memory has its bits, +-1 as
        `weights` says of the file's arrays, and faults meet them too. A layer of a list may say so itself, by its
        "store_bias".

    Returns
    -------
    Imported

    Raises
    ------
    ValueError
        As `load_network`; and what is said here and would not be read, as the file itself tells it.
    """
    paths = _paths(path)
    reading = Reading(weights, None if sign is None else SIGNS[check_choice("sign", sign, SIGNS)])
    if not paths:
        raise ValueError("path must be a file, a folder or several files, got none")
    code, name = code_of(input), ", ".join(os.fspath(each) for each in paths)
    eps, popcount = check_real("eps", eps, 0), check_bool("popcount", popcount)
    if norm_first is not None:
        norm_first = check_bool("norm_first", norm_first)
    if input_shape is not None:
        input_shape = check_input_shape(input_shape)
    stores_bias = check_choice("bias", bias, ("folded", "stored")) == "stored"
    if bit_order is not None:
        check_choice("bit_order", bit_order, BIT_ORDERS)
    given = {"spec": spec, "input_shape": input_shape, "input": input, "weights": weights, "sign": sign,
             "popcount": popcount, "norm_first": norm_first, "eps": eps, "flatten": flatten, "bit_order": bit_order,
             "bias": bias}
    defaults = read_network.__kwdefaults__ or {}
    said = {name: value for name, value in given.items() if value != defaults.get(name)}
    try:
        own = _own(paths)
        if own is not None:
            _check_read(own.form, said, ("input_shape",))
            _check_shape(own.network.input_shape, input_shape)
            return own
        found = _read(paths, spec, input_shape, code, reading, said,
                      Conventions(eps, flatten or "", "", popcount, norm_first, bit_order, stores_bias=stores_bias))
        if stores_bias and all(row.kind != "bias" for row in found.rows):
            raise ValueError("bias='stored', but no layer was found to have a bias: it is read from arrays, with a "
                             "spec or a layer list, and is called .bias there, or named by the list")
        return found
    except (ValueError, TypeError) as error:
        text = str(error)                                        # readers of our own files name them already
        raise ValueError(text if text.startswith(name) else f"{name}: {text}") from error


def _paths(path: object) -> list[FilePath]:
    """The files; a shipped network's by its name, but for a folder, which may be FINN's, and called anything."""
    if isinstance(path, (str, os.PathLike)):
        return [path if os.path.isdir(path) else network_file(path)]
    found: list[Any] = list(path) if isinstance(path, Iterable) and not isinstance(path, (bytes, Mapping)) else [path]
    wrong = [type(each).__name__ for each in found if not isinstance(each, (str, os.PathLike))]
    if wrong:
        raise TypeError("path must be a file, a folder, a network that comes with bnnsim, or a list of files, got "
                        f"{wrong[0]}; arrays at hand are taken by PackedNetwork.from_arrays")
    return found


def _check_read(form: str, said: Mapping[str, Any], read: Collection[str]) -> None:
    """Refuse what somebody has said that is not read of such a file."""
    unread = [f"{name}={value!r:.60}" for name, value in said.items() if name not in read]
    if unread:
        raise ValueError(f"{', '.join(unread)} would not be read, as the file ({form}) tells all of it: leave it out")


def _check_shape(found: Shape | None, given: Shape | None) -> None:
    """Of an image: that of the file, where it tells one."""
    if found is not None and given not in (None, found):
        raise ValueError(f"input_shape is {found} in the file, got {given}")


def _read(paths: list[FilePath], spec: Spec | None, input_shape: Shape | None, code: Code, reading: Reading,
          said: Mapping[str, Any], conventions: Conventions) -> Imported:
    with np.errstate(all="ignore"):                             # what overflows is refused, as it is not finite
        from bnnsim.interop.formats import read_content
        content = read_content(paths, spec, input_shape)
        if content.model is not None:
            _check_read(content.form, said, READ_OF_LAYERS)
            return _of_model(content.model, input_shape, code, reading)
        if content.network is None:
            is_ours = any(text.note for text in content.texts.values())
            order = conventions.flatten or ("HWC" if content.layout == "keras" or is_ours else "CHW")
            conventions = replace(conventions, flatten=check_choice("flatten", order, ("CHW", "HWC")),
                                  layout=content.layout, texts=content.texts,
                                  norm_first=False if is_ours else conventions.norm_first)
            arrays = arrays_files.has_arrays(content.arrays or {})
            if spec is not None and not isinstance(spec, str):
                if input_shape is None:
                    raise ValueError(NO_SHAPE)
                code, fields, rows = read_layers(arrays, spec, code, reading, conventions)
                return Imported(_packed(fields, input_shape, code, content.form), content.form, code, rows)
            network = _with_spec(arrays, spec, input_shape, content.form, conventions, reading.at_zero)
        else:
            _check_read(content.form, said, (*READ_OF_LAYERS, "spec"))
            network = content.network
        return _imported(network, _shape_of(network, input_shape), code, reading)


def _shape_of(network: Network, given: Shape | None) -> Shape | None:
    """Of an image: the file's; of rows, which a dense layer reads, that of a channel of as many values."""
    first, found = next((step for step in network.steps if isinstance(step, Weigh)), None), network.input_shape
    if given is not None and found == (1, 1, math.prod(given)) and given[0] == 1 and first and first.weight.ndim == 2:
        return given
    _check_shape(found, given)
    return given or found


def _of_model(model: "Model", input_shape: Shape | None, code: Code, reading: Reading) -> Imported:
    """A chain of layers of bits, or else a graph."""
    refused = ""
    if not model.has_branches:
        try:
            network = model.chain()
            return _imported(network, _shape_of(network, input_shape), code, reading)
        except ValueError as error:
            refused = str(error)
    try:
        sketch, scores = model.sketch(code, reading)
        graph, rows = lower(sketch, scores, {"imported from": model.form})
    except ValueError as error:
        raise ValueError(_both(refused, str(error)) if refused else str(error)) from None
    _check_shape(graph.input_shape, input_shape)
    return Imported(graph, model.form, replace(sketch.code, offset=graph.input_offset), rows)


def _both(chain: str, graph: str) -> str:
    """Why a chain is refused; and why it is no graph of bits and float32 either, if that says more."""
    if graph == NOTHING_IN_MEMORY or graph in chain or len(chain) + len(graph) > 500:
        return chain
    return f"{chain} [with layers of float32 beside those of bits: {graph}]"


def _own(paths: Sequence[FilePath]) -> Imported | None:
    """A network that bnnsim stored: its superblock has a version that other programs do not write; or an .npz."""
    if len(paths) != 1 or os.path.isdir(paths[0]):
        return None
    check_plain(paths[0])
    with open(paths[0], "rb") as file:
        head = file.read(9)
    if head.startswith(b"PK\3\4"):
        from bnnsim.interop.export_npz import read_exported
        exported = read_exported(paths[0])
        return None if exported is None else _stored(exported, "npz of bnnsim")
    if not head.startswith(b"\x89HDF\r\n\x1a\n") or head[8:9] not in (b"\2", b"\3"):
        return None
    try:
        network = PackedNetwork.load(paths[0])
    except ValueError:
        if b"keras_version" in (data := read_bytes(paths[0])) or b"layer_names" in data:
            raise ValueError("an HDF5 file of Keras in the newest form (libver='latest'): h5repack -f NONE -l CONTI "
                             "old.h5 new.h5 makes one of the form that Keras itself writes") from None
        raise
    return _stored(network, "bnnsim")


def _stored(network: PackedNetwork, form: str) -> Imported:
    """What bnnsim itself has written."""
    return Imported(network, form, Code(1.0, 0.0, offset=network.input_offset), rows_of(network))


def _with_spec(arrays: Arrays, spec: str | None, input_shape: Shape | None, form: str, conventions: Conventions,
               at_zero: int | None) -> Network:
    if spec is None:
        found = "\n".join(f"  {name} {value.dtype} {value.shape}" for name, value in list(arrays.items())[:50])
        raise ValueError(f"{form} has arrays, but not which layers they make: give a spec such as 'C64 MP2 FC10', or a "
                         f"layer list; there are\n{found}")
    return steps_of(arrays, spec, input_shape, form, conventions, 1 if at_zero is None else at_zero)


def _imported(network: Network, input_shape: Shape | None, code: Code, reading: Reading) -> Imported:
    if input_shape is None:
        raise ValueError(NO_SHAPE)
    fields, code, rows = chain.fold(network, input_shape, code, reading)
    return Imported(_packed(fields, input_shape, code, network.form), network.form, code, rows)


def _packed(fields: list[dict[str, Any]], input_shape: Shape, code: Code, form: str) -> PackedNetwork:
    return PackedNetwork.from_arrays(fields, input_shape, code.offset, {"imported from": form},
                                     "binary" if code.binary else "pixels")
