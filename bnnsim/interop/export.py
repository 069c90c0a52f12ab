"""The way out: a `PackedNetwork` into a file of another program's format, told by its name's ending."""

import contextlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import bnnsim.files.atomic as atomic
from bnnsim.checks import FilePath, check_choice
from bnnsim.faults.array_mapping import ArrayMapping
from bnnsim.faults.fault_map import FaultMap
from bnnsim.packed.blocks import check_packed
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.network import PackedNetwork

MAPPING = ArrayMapping(64, 64)


@dataclass(frozen=True)
class Job:
    """What is to be written where."""

    network: PackedNetwork
    path: str
    mapping: ArrayMapping
    faults: FaultMap | None


Contents = dict[str, Iterable[bytes]]           # of each path


def _npz(job: Job) -> Contents:
    from bnnsim.interop.export_npz import npz_content
    return {job.path: [npz_content(job.network)]}


def _onnx(job: Job) -> Contents:
    from bnnsim.interop.export_onnx import onnx_content
    return {job.path: [onnx_content(job.network)]}


def _qonnx(job: Job) -> Contents:
    from bnnsim.interop.export_onnx import onnx_content
    return {job.path: [onnx_content(job.network, quantized=True)]}


def _c(job: Job) -> Contents:
    from bnnsim.interop.export_c import c_content
    return {job.path: c_content(job.network, job.path)}


def _memory(job: Job) -> Contents:
    from bnnsim.interop.export_memory import memory_contents
    return dict(memory_contents(job.network, job.path))


def _cells(job: Job) -> Contents:
    from bnnsim.interop.cell_tables import cell_lines
    return {job.path: cell_lines(job.network, job.mapping, job.faults)}


@dataclass(frozen=True)
class Format:
    """A format: how names of its files end, what makes their contents; whether there are several, and of graphs too."""

    endings: tuple[str, ...]
    contents: Callable[[Job], Contents]
    several: bool = False
    graphs: bool = False


FORMATS = {"npz": Format((".npz",), _npz), "qonnx": Format((".qonnx", ".qonnx.onnx"), _qonnx, graphs=True),
           "onnx": Format((".onnx",), _onnx, graphs=True), "c": Format((".h",), _c),
           "mem": Format((".mem",), _memory, several=True), "coe": Format((".coe",), _memory, several=True),
           "csv": Format((".csv",), _cells, graphs=True)}
ENDINGS = tuple(ending for form in FORMATS.values() for ending in form.endings)


def export_network(network: PackedNetwork, path: FilePath, format: str | None = None, *,
                   mapping: ArrayMapping | None = None, faults: FaultMap | None = None) -> list[str]:
    """Write a network for another program; scores read back are the same, bit for bit, but for .mem, .coe and graphs.

    Bits and thresholds of a .mem or .coe are exact; its scores are integers, factor * h + term, which read back as
    float64 are the same to float64's rounding.

    A graph is written as "onnx", "qonnx" and "csv". Its float32 sums have another order in an ONNX runtime: scores are
    the same to float32's rounding, where the runtime's optimizations are off (onnxruntime's fold scales into weights,
    and sums that lie on a sign's threshold then fall elsewhere).

    Parameters
    ----------
    network : PackedNetwork
    path : str or os.PathLike
        Files that are there are replaced, whole or not at all; where a format has several, those of more layers go.
    format : str, optional
        Default: by the ending. "npz": arrays for NumPy, which `load_network` reads back. "onnx" and "qonnx": float32
        sums, exact, and float64 scores; uint8 images. "c" (.h): a C99 header with a function that classifies an image
        in integers. "mem" and "coe": `$readmemh` texts and Xilinx's, one an array, NAME.layer0.weight.mem and so on.
        "csv": the chip tester's table, see `read_cells`.
    mapping : ArrayMapping, optional
        Of a "csv": the arrays that hold the weights. Default that of the fault map, or 64 x 64.
    faults : FaultMap, optional
        Of a "csv": one column more.

    Returns
    -------
    list of str
        The files written.

    Raises
    ------
    ValueError
        What a format cannot hold: sums that float32 does not hold exactly, scores that no integers order, graphs.
    OSError
        Where a file cannot be written; those that were there are unchanged.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> bnnsim.export_network(network, "small.onnx")
    ['small.onnx']
    >>> bnnsim.load_network("small.onnx").checksum == network.checksum
    True
    """
    check_packed(network, graphs=True)
    path = os.fsdecode(path)
    form = format_of(path) if format is None else FORMATS[check_choice("format", format, FORMATS)]
    if isinstance(network, PackedGraph) and not form.graphs:
        name = next(name for name, one in FORMATS.items() if one is form)
        raise ValueError(f"the format {name} holds layers in a row, and the network is a graph: write .onnx or .qonnx, "
                         "its cells as .csv, or .h5 with PackedGraph.save")
    if form.contents is not _cells and not (mapping is None and faults is None):
        raise ValueError("mapping and faults belong to the format csv, which has a line for each cell")
    contents = form.contents(Job(network, path, mapping or (faults and faults.mapping) or MAPPING, faults))
    former = set(outputs_of(path, form)) - {path}
    with contextlib.ExitStack() as stack:
        for target, parts in contents.items():
            with open(stack.enter_context(atomic.replaced(target)), "wb") as file:
                file.writelines(parts)
    for left in former - set(contents):                          # of a network with more layers: together, a mix of two
        os.unlink(left)
    return list(contents)


def format_of(path: str) -> Format:
    """The format that a name's ending tells."""
    for form in FORMATS.values():
        if path.lower().endswith(form.endings):
            return form
    raise ValueError(f"{path!r} must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}, or the format be given")


def outputs_of(path: str, form: Format | None = None) -> list[str]:
    """Files that an export to this path may replace, in a format or that of its ending, as far as names tell."""
    form = form or format_of(path)
    stem, ending = os.path.splitext(path)
    folder, name = os.path.split(stem)
    if not form.several or not os.path.isdir(folder or "."):
        return [path]
    part = r"\.(layer\d+\.(weight|threshold|inverted)|factor|term)"
    there = [found for found in os.listdir(folder or ".") if re.fullmatch(re.escape(name) + part + ending, found)]
    return [os.path.join(folder, found) for found in sorted(there)] or [path]
