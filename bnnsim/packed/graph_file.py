"""HDF5 files of packed graphs: format "bnnsim-network", version 3.

    /           attributes as in the other versions, with n_nodes in place of n_layers
    /metadata   string: a JSON object of strings
    /node0 ...  a group a node: attribute inputs int64 (n,), the nodes that it reads, -1 the images; then
                of a layer of bits the attributes and datasets of version 2, with threshold and inverted, or mean,
                scale and shift, or none of them; of a stored bias, kind "bias", the same;
                of an operation the attribute operation (string), its settings int64 and its arrays float32, finite

`network_file` says what all versions share.
"""

from typing import Any

import numpy as np

import bnnsim.files.file_format as file_format
import bnnsim.files.hdf5 as hdf5
from bnnsim.checks import FilePath, check_finite
from bnnsim.files.announced import Announced
from bnnsim.files.hdf5_structure import Group
from bnnsim.packed.graph_schema import check_graph
from bnnsim.packed.layer import HIDDEN, OUTPUT, SETTINGS
from bnnsim.packed.operations import OPERATIONS
from bnnsim.packed.operations.joins import MOST_INPUTS
from bnnsim.packed.schema import MAX_LAYERS, Fields

NETWORK, VERSION = "bnnsim-network", 3
MAX_BYTES = 2**32
ROOT = {**file_format.ROOT, "input_shape": (3,), "input_offset": (), "n_nodes": (), "metadata_checksum": str}
_BITS: dict[str, Any] = {"kind": str, "n_in": (), **{name: (n,) if n else () for name, n in SETTINGS.items()}}


def save_graph(path: FilePath, graph: Fields) -> None:
    """Write a graph, the plain dict of `graph_schema`, to an HDF5 file, whole or not at all."""
    graph = _check_finite(check_graph(graph))
    metadata = file_format.to_json("metadata", graph["metadata"])
    root = file_format.root_attributes(NETWORK, VERSION, _checksum(graph))
    with hdf5.new_file(path) as file:
        hdf5.write_attributes(file, {
            **root, "input_shape": graph["input_shape"], "input_offset": graph["input_offset"],
            "n_nodes": len(graph["nodes"]), "metadata_checksum": file_format.text_checksum(metadata)})
        hdf5.write_array(file, "metadata", np.bytes_(metadata))
        for i, node in enumerate(graph["nodes"]):
            group = file.create_group(f"node{i}")
            hdf5.write_attributes(group, _attributes(node))
            for name, array in _arrays(node).items():
                hdf5.write_array(group, name, array)


def checksum(graph: Fields) -> str:
    """SHA-256 of a graph's content, hexadecimal: equal iff all numbers, wires and arrays are; no metadata."""
    return _checksum(check_graph(graph))


def read_graph(file: hdf5.File, root: Fields) -> Fields:
    """The graph of an open file of version 3, checked."""
    if not 1 <= root["n_nodes"] <= MAX_LAYERS:
        raise hdf5.Refused(f"n_nodes must be in [1, {MAX_LAYERS}], got {root['n_nodes']}")
    names = [f"node{i}" for i in range(root["n_nodes"])]
    hdf5.check_members(file, groups=names, datasets=("metadata",))
    text = hdf5.announce_text(file["metadata"], file_format.MAX_JSON_BYTES)
    nodes = [_announced(file[name]) for name in names]
    announced = [value for node in nodes for value in node.values() if isinstance(value, Announced)]
    hdf5.check_total(file, [text, *announced], MAX_BYTES)
    graph = {"input_shape": root["input_shape"], "input_offset": root["input_offset"], "metadata": {}, "nodes": nodes}
    graph = _checked(graph)
    metadata = hdf5.read_text(file, text)
    file_format.check_checksum("the metadata", root["metadata_checksum"], file_format.text_checksum(metadata))
    graph["metadata"] = file_format.from_json("metadata", metadata)
    for node in graph["nodes"]:
        for name, value in _arrays(node).items():
            node[name] = hdf5.read_array(file, value)
    graph = _checked(graph, whole=True)
    file_format.check_checksum("the network", root["checksum"], _checksum(graph))
    return graph


def _announced(group: Group | Announced) -> Fields:
    """A node whose arrays are `Announced`."""
    if not isinstance(group, Group):
        raise hdf5.Refused(f"wanted {group.name} to be a group, got an array")
    wires = group.attributes.get("inputs")
    if wires is None or len(wires.shape) != 1 or not 1 <= wires.shape[0] <= MOST_INPUTS:
        raise hdf5.Refused(f"{group.name}: wanted an attribute inputs of 1 to {MOST_INPUTS} integers")
    inputs = {"inputs": wires.shape}
    if "operation" not in group.attributes:
        ending = HIDDEN if "threshold" in group.members else OUTPUT if "mean" in group.members else {}
        names, wanted = ("words", *ending), {**inputs, **_BITS}
    else:
        word = hdf5.read_attribute(group, "operation", str)
        if word not in OPERATIONS:
            raise hdf5.Refused(f"{group.name}: operation must be one of {', '.join(OPERATIONS)}, got {word!r}")
        kind = OPERATIONS[word]
        settings = {name: (n,) if n else () for name, n in kind.settings.items()}
        names, wanted = tuple(kind.arrays), {**inputs, "operation": str, **settings}
    hdf5.check_members(group, datasets=names)
    return {**hdf5.read_attributes(group, wanted), **{name: hdf5.announce(group[name]) for name in names}}


def _checked(graph: Fields, whole: bool = False) -> Fields:
    try:
        return _check_finite(check_graph(graph)) if whole else check_graph(graph)
    except (ValueError, TypeError) as error:
        raise hdf5.Refused(str(error)) from error


def _check_finite(graph: Fields) -> Fields:
    """Files hold finite numbers: what faults may leave of an operation's in memory is no network to keep."""
    for i, node in enumerate(graph["nodes"]):
        for name, value in _arrays(node).items():
            if value.dtype.kind == "f":
                check_finite(f"nodes[{i}] {name}", value)
    return graph


def _arrays(node: Fields) -> Fields:
    return {name: value for name, value in node.items() if isinstance(value, np.ndarray | Announced)}


def _attributes(node: Fields) -> Fields:
    return {name: int(value) if isinstance(value, bool) else value for name, value in node.items()
            if not isinstance(value, np.ndarray | Announced)}


def _checksum(graph: Fields) -> str:
    description = {"format": NETWORK, "format_version": VERSION, "bit_convention": file_format.BIT_CONVENTION,
                   "input_shape": graph["input_shape"], "input_offset": graph["input_offset"],
                   "nodes": [_attributes(node) for node in graph["nodes"]]}
    return file_format.content_checksum(description, {
        f"node{i}/{name}": array for i, node in enumerate(graph["nodes"]) for name, array in _arrays(node).items()})
