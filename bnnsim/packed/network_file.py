"""HDF5 files of packed networks and of training checkpoints.

Both have the root attributes of `bnnsim.files.file_format`. A network (`bnnsim.packed.schema` says what its fields mean
and must satisfy) has format "bnnsim-network" and, in version 1,

    /             attributes input_shape int64 (3,); input_offset, n_layers int64; metadata_checksum string
    /metadata     string: a JSON object of strings
    /layer0 ...   a group a layer: attributes kind (string), n_in, stride, padding, pad_value, pool (int64);
                  datasets words (uint64); threshold (int32) and inverted (bool as h5py writes it, an int8
                  enum), or in the last layer mean, scale and shift (float64)

where one integer stands for both axes and all sides, windows of a pool lie side by side, and the last layer is dense
and has no threshold. What is not so plain is of version 2, whose layers have the attributes

    stride, dilation, pool, pool_stride int64 (2,); padding, pool_padding int64 (4,); n_in, pad_value, replicate, groups
    int64; kind string

and may have a threshold in the last layer. Version 3 holds graphs: see `bnnsim.packed.graph_file`. A checkpoint has
format "bnnsim-checkpoint", format_version 1 and

    /settings     string: a JSON object, what the run was started with
    /progress     string: a JSON object, where it stands
    /arrays/NAME  float32, float64, int64, uint64, int32 or uint8, of any shape

Numbers are little-endian; strings have a fixed length and are ASCII; JSON is in canonical form (sorted keys,
no spaces, ASCII). Datasets are contiguous and uncompressed; all links are hard; there are no other objects or
attributes. Readers refuse everything else before they allocate.

A network's checksum covers all numbers and arrays (named "layer0/words" and so on), but not the metadata,
which has its own: so it depends on what the network computes, not on where it came from. A checkpoint's
covers settings, progress and arrays.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

import bnnsim.files.file_format as file_format
import bnnsim.files.hdf5 as hdf5
import bnnsim.packed.graph_file as graph_file
from bnnsim.checks import FilePath
from bnnsim.files.announced import Announced
from bnnsim.packed.layer import HIDDEN, OUTPUT, SETTINGS
from bnnsim.packed.schema import MAX_LAYERS, Fields, check_network

if TYPE_CHECKING:
    import h5py

NETWORK = "bnnsim-network"
MAX_NETWORK_BYTES = 2**32

_ROOT = {**file_format.ROOT, "input_shape": (3,), "input_offset": (), "n_layers": (),
         "metadata_checksum": str}
_LAYER: dict[int, dict[str, Any]] = {
    1: {"kind": str, "n_in": (), "stride": (), "padding": (), "pad_value": (), "pool": ()},
    2: {"kind": str, "n_in": (), **{name: (n,) if n else () for name, n in SETTINGS.items()}}}


# ---------------------------------------------------------------- networks

def save_network(path: FilePath, network: Fields) -> None:
    """Write a packed network to an HDF5 file, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        A file that is there is replaced.
    network : dict
        See `bnnsim.packed.schema`, and `bnnsim.packed.graph_schema` of graphs.

    Raises
    ------
    ValueError, TypeError
        Where the network is not what the schema wants; nothing has been written.
    OSError
        Where the file cannot be written; the one that was there is unchanged.
    """
    if _is_graph(network):
        return graph_file.save_graph(path, network)
    network = check_network(network)
    metadata = file_format.to_json("metadata", network["metadata"])
    version = _version(network)
    root = file_format.root_attributes(NETWORK, version, _network_checksum(network))
    with hdf5.new_file(path) as file:
        hdf5.write_attributes(file, {
            **root, "input_shape": network["input_shape"], "input_offset": network["input_offset"],
            "n_layers": len(network["layers"]), "metadata_checksum": file_format.text_checksum(metadata)})
        hdf5.write_array(file, "metadata", np.bytes_(metadata))
        for i, layer in enumerate(network["layers"]):
            group = file.create_group(f"layer{i}")
            hdf5.write_attributes(group, _attributes(layer, version))
            for name, array in _arrays(layer).items():
                hdf5.write_array(group, name, array)


def load_network(path: FilePath) -> Fields:
    """Read a packed network that `save_network` wrote, or a graph, which has ``nodes`` in place of ``layers``.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    dict
        See `bnnsim.packed.schema`, and `bnnsim.packed.graph_schema` of graphs.

    Raises
    ------
    ValueError
        Where the file is not such a network, is damaged, or breaks the schema: what was wanted and what came.
    FileNotFoundError, IsADirectoryError, PermissionError
    """
    return _read_network(path)[0]


def checksum(network: Fields) -> str:
    """SHA-256 of a network's content, hexadecimal: equal iff all numbers and arrays are; no metadata.

    Parameters
    ----------
    network : dict
        See `bnnsim.packed.schema`, and `bnnsim.packed.graph_schema` of graphs.
    """
    return graph_file.checksum(network) if _is_graph(network) else _network_checksum(check_network(network))


def _is_graph(network: Fields) -> bool:
    return isinstance(network, dict) and "nodes" in network


def _arrays(layer: Fields) -> Fields:
    return {name: value for name, value in layer.items() if name not in _LAYER[2]}


def _version(network: Fields) -> int:
    """The oldest version that has words for all of it: a file is the same as one that was written before the others."""
    *_, last = network["layers"]
    plain = all(_expanded(_attributes(layer, 1)) == _attributes(layer, 2) for layer in network["layers"])
    return 1 if plain and last["kind"] == "dense" and "mean" in last else 2


def _attributes(layer: Fields, version: int) -> Fields:
    values: Fields = {name: int(value) if isinstance(value, bool) else value for name, value in layer.items()}
    if version == 1:
        values |= {name: values[name][0] for name in ("stride", "padding", "pool")}
    return {name: values[name] for name in _LAYER[version]}


def _expanded(attributes: Fields) -> Fields:
    """Attributes of version 1 as those of version 2."""
    stride, padding, pool = (attributes[name] for name in ("stride", "padding", "pool"))
    return {"kind": attributes["kind"], "n_in": attributes["n_in"], "stride": (stride,) * 2, "padding": (padding,) * 4,
            "pad_value": attributes["pad_value"], "replicate": 0, "dilation": (1, 1), "groups": 1, "pool": (pool,) * 2,
            "pool_stride": (pool,) * 2, "pool_padding": (0,) * 4}


def _network_checksum(network: Fields) -> str:
    version = _version(network)
    description = {"format": NETWORK, "format_version": version,
                   "bit_convention": file_format.BIT_CONVENTION, "input_shape": network["input_shape"],
                   "input_offset": network["input_offset"],
                   "layers": [_attributes(layer, version) for layer in network["layers"]]}
    return file_format.content_checksum(description, {
        f"layer{i}/{name}": array for i, layer in enumerate(network["layers"])
        for name, array in _arrays(layer).items()})


def _read_network(path: FilePath) -> tuple[Fields, str]:
    """(network, its checksum)."""
    with hdf5.open_file(path) as file:
        root = file_format.read_root(file, NETWORK, {1: _ROOT, 2: _ROOT, graph_file.VERSION: graph_file.ROOT})
        if root["format_version"] == graph_file.VERSION:
            return graph_file.read_graph(file, root), root["checksum"]
        network = _read(file, root)
        file_format.check_checksum("the network", root["checksum"], _network_checksum(network))
    return network, root["checksum"]


def _read(file: "h5py.File", root: Fields) -> Fields:
    network, text = _announced_network(file, root)
    metadata = hdf5.read_text(file, text)
    file_format.check_checksum("the metadata", root["metadata_checksum"], file_format.text_checksum(metadata))
    network["metadata"] = file_format.from_json("metadata", metadata)
    for i, layer in enumerate(network["layers"]):
        for name, announced in _arrays(layer).items():
            layer[name] = hdf5.read_array(file, announced)
    return _checked(network)


def _announced_network(file: "h5py.File", root: Fields) -> tuple[Fields, Announced]:
    """The network with `Announced` arrays, checked as far as that goes, and the `Announced` metadata."""
    if not 1 <= root["n_layers"] <= MAX_LAYERS:
        raise hdf5.Refused(f"n_layers must be in [1, {MAX_LAYERS}], got {root['n_layers']}")
    names = [f"layer{i}" for i in range(root["n_layers"])]
    hdf5.check_members(file, groups=names, datasets=("metadata",))
    text = hdf5.announce_text(file["metadata"], file_format.MAX_JSON_BYTES)
    version = root["format_version"]
    layers = [_announced_layer(file[name], version, last=name == names[-1]) for name in names]
    announced = [value for layer in layers for value in layer.values() if isinstance(value, Announced)]
    hdf5.check_total(file, [text, *announced], MAX_NETWORK_BYTES)
    return _checked({"input_shape": root["input_shape"], "input_offset": root["input_offset"], "metadata": {},
                     "layers": layers}), text


def _announced_layer(group: "h5py.Group", version: int, last: bool) -> Fields:
    to_bits = not last or version == 2 and "threshold" in group
    names = ("words", *(HIDDEN if to_bits else OUTPUT))
    hdf5.check_members(group, datasets=names)
    attributes = hdf5.read_attributes(group, _LAYER[version])
    return {**(_expanded(attributes) if version == 1 else attributes),
            **{name: hdf5.announce(group[name]) for name in names}}


def _checked(network: Fields) -> Fields:
    try:
        return check_network(network)
    except (ValueError, TypeError) as error:
        raise hdf5.Refused(str(error)) from error
