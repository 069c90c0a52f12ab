"""HDF5 files of packed networks and of training checkpoints.

Both have the root attributes of `bnnsim.file_format`, with format_version 1. A network (`bnnsim.schema` says
what its fields mean and must satisfy) has format "bnnsim-network" and

    /             attributes input_shape int64 (3,); input_offset, n_layers int64; metadata_checksum string
    /metadata     string: a JSON object of strings
    /layer0 ...   a group a layer: attributes kind (string), n_in, stride, padding, pad_value, pool (int64);
                  datasets words (uint64); threshold (int32) and inverted (bool as h5py writes it, an int8
                  enum), or in the last layer mean, scale and shift (float64)

a checkpoint has format "bnnsim-checkpoint" and

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

import re

import numpy as np

import bnnsim.file_format as file_format
import bnnsim.hdf5 as hdf5
from bnnsim.schema import HIDDEN, MAX_LAYERS, OUTPUT, Announced, check_network

NETWORK, CHECKPOINT = "bnnsim-network", "bnnsim-checkpoint"
FORMAT_VERSION = 1
MAX_NETWORK_BYTES = 2**32
MAX_CHECKPOINT_BYTES = 2**36
MAX_ARRAYS = 10_000
ARRAY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]{0,199}")            # "." alone is HDF5's "this group"
ARRAY_DTYPES = tuple(np.dtype(name) for name in ("float32", "float64", "int64", "uint64", "int32", "uint8"))

_ROOT = {**file_format.ROOT, "input_shape": (3,), "input_offset": (), "n_layers": (),
         "metadata_checksum": str}
_LAYER = {"kind": str, "n_in": (), "stride": (), "padding": (), "pad_value": (), "pool": ()}


# ---------------------------------------------------------------- networks

def save_network(path, network):
    """Write a packed network to an HDF5 file, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        A file that is there is replaced.
    network : dict
        See `bnnsim.schema`.

    Raises
    ------
    ValueError, TypeError
        Where the network is not what the schema wants; nothing has been written.
    OSError
        Where the file cannot be written; the one that was there is unchanged.
    """
    network = check_network(network)
    metadata = file_format.to_json("metadata", network["metadata"])
    root = file_format.root_attributes(NETWORK, FORMAT_VERSION, _network_checksum(network))
    with hdf5.new_file(path) as file:
        hdf5.write_attributes(file, {
            **root, "input_shape": network["input_shape"], "input_offset": network["input_offset"],
            "n_layers": len(network["layers"]), "metadata_checksum": file_format.text_checksum(metadata)})
        hdf5.write_array(file, "metadata", np.bytes_(metadata))
        for i, layer in enumerate(network["layers"]):
            group = file.create_group(f"layer{i}")
            hdf5.write_attributes(group, {name: layer[name] for name in _LAYER})
            for name, array in _arrays(layer).items():
                hdf5.write_array(group, name, array)


def load_network(path):
    """Read a packed network that `save_network` wrote.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    dict
        See `bnnsim.schema`.

    Raises
    ------
    ValueError
        Where the file is not such a network, is damaged, or breaks the schema: what was wanted and what came.
    FileNotFoundError, IsADirectoryError, PermissionError
    """
    return _read_network(path)[0]


def checksum(network):
    """SHA-256 of a network's content, hexadecimal: equal iff all numbers and arrays are; no metadata.

    Parameters
    ----------
    network : dict
        See `bnnsim.schema`.
    """
    return _network_checksum(check_network(network))


def _arrays(layer):
    return {name: value for name, value in layer.items() if name not in _LAYER}


def _network_checksum(network):
    description = {"format": NETWORK, "format_version": FORMAT_VERSION,
                   "bit_convention": file_format.BIT_CONVENTION, "input_shape": network["input_shape"],
                   "input_offset": network["input_offset"],
                   "layers": [{name: layer[name] for name in _LAYER} for layer in network["layers"]]}
    return file_format.content_checksum(description, {
        f"layer{i}/{name}": array for i, layer in enumerate(network["layers"])
        for name, array in _arrays(layer).items()})


def _read_network(path):
    """(network, its checksum)."""
    with hdf5.open_file(path) as file:
        root = file_format.read_root(file, NETWORK, FORMAT_VERSION, _ROOT)
        network, text = _announced_network(file, root)
        metadata = hdf5.read_text(file["metadata"], text)
        file_format.check_checksum("the metadata", root["metadata_checksum"],
                                   file_format.text_checksum(metadata))
        network["metadata"] = file_format.from_json("metadata", metadata)
        for i, layer in enumerate(network["layers"]):
            for name, announced in _arrays(layer).items():
                layer[name] = hdf5.read_array(file[f"layer{i}"][name], announced)
        network = _checked(network)
        file_format.check_checksum("the network", root["checksum"], _network_checksum(network))
    return network, root["checksum"]


def _announced_network(file, root):
    """The network with `Announced` arrays, checked as far as that goes, and the `Announced` metadata."""
    if not 1 <= root["n_layers"] <= MAX_LAYERS:
        raise hdf5.Refused(f"n_layers must be in [1, {MAX_LAYERS}], got {root['n_layers']}")
    names = [f"layer{i}" for i in range(root["n_layers"])]
    hdf5.check_members(file, groups=names, datasets=("metadata",))
    text = hdf5.announce_text(file["metadata"], file_format.MAX_JSON_BYTES)
    layers = [_announced_layer(file[name], last=name == names[-1]) for name in names]
    announced = [value for layer in layers for value in layer.values() if isinstance(value, Announced)]
    hdf5.check_total(file, [text, *announced], MAX_NETWORK_BYTES)
    return _checked({"input_shape": root["input_shape"], "input_offset": root["input_offset"], "metadata": {},
                     "layers": layers}), text


def _announced_layer(group, last):
    names = ("words", *(OUTPUT if last else HIDDEN))
    hdf5.check_members(group, datasets=names)
    return {**hdf5.read_attributes(group, _LAYER), **{name: hdf5.announce(group[name]) for name in names}}


def _checked(network):
    try:
        return check_network(network)
    except (ValueError, TypeError) as error:
        raise hdf5.Refused(str(error)) from error


# ---------------------------------------------------------------- checkpoints

def save_checkpoint(path, settings, arrays, progress):
    """Write the state of a training run to an HDF5 file, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        A file that is there is replaced.
    settings, progress : dict
        JSON objects: string keys, lists rather than tuples, no NaN; each at most 1 MiB as text.
    arrays : dict of str to ndarray
        Names of letters, digits, "_" and "."; dtypes as in ARRAY_DTYPES.

    Raises
    ------
    ValueError, TypeError, OSError
        As `save_network`.
    """
    _check_arrays(arrays)
    texts = {"settings": file_format.to_json("settings", settings),
             "progress": file_format.to_json("progress", progress)}
    root = file_format.root_attributes(CHECKPOINT, FORMAT_VERSION, _checkpoint_checksum(texts, arrays))
    with hdf5.new_file(path) as file:
        hdf5.write_attributes(file, root)
        for name, text in texts.items():
            hdf5.write_array(file, name, np.bytes_(text))
        group = file.create_group("arrays")
        for name, array in arrays.items():
            hdf5.write_array(group, name, array)


def load_checkpoint(path, expected=None):
    """Read a checkpoint that `save_checkpoint` wrote.

    Parameters
    ----------
    path : str or os.PathLike
    expected : dict of str to (dtype, shape), optional
        Exactly the arrays that must be there; checked before anything is read.

    Returns
    -------
    settings : dict
    arrays : dict of str to ndarray
    progress : dict

    Raises
    ------
    ValueError
        Where the file is not such a checkpoint, is damaged, or does not hold what is expected.
    FileNotFoundError, IsADirectoryError, PermissionError
    """
    return _read_checkpoint(path, expected)[:3]


def load_settings(path):
    """The settings alone of a checkpoint, to see whose it is; the whole file is read and verified."""
    return _read_checkpoint(path, None)[0]


def _read_checkpoint(path, expected):
    """(settings, arrays, progress, their checksum)."""
    with hdf5.open_file(path) as file:
        stored = file_format.read_root(file, CHECKPOINT, FORMAT_VERSION)["checksum"]
        hdf5.check_members(file, groups=("arrays",), datasets=("settings", "progress"))
        announced = _announced_arrays(file["arrays"])
        texts = {name: hdf5.announce_text(file[name], file_format.MAX_JSON_BYTES)
                 for name in ("settings", "progress")}
        hdf5.check_total(file, [*texts.values(), *announced.values()], MAX_CHECKPOINT_BYTES)
        if expected is not None:
            _check_expected(announced, expected)
        arrays = {name: hdf5.read_array(file["arrays"][name], value) for name, value in announced.items()}
        texts = {name: hdf5.read_text(file[name], value) for name, value in texts.items()}
        file_format.check_checksum("the checkpoint", stored, _checkpoint_checksum(texts, arrays))
        settings, progress = (file_format.from_json(name, texts[name]) for name in ("settings", "progress"))
    return settings, arrays, progress, stored


def _check_arrays(arrays):
    if not isinstance(arrays, dict):
        raise TypeError(f"arrays must be a dict of name to array, got {type(arrays).__name__}")
    if len(arrays) > MAX_ARRAYS:
        raise ValueError(f"arrays must be at most {MAX_ARRAYS}, got {len(arrays)}")
    for name, array in arrays.items():
        if not isinstance(name, str) or not ARRAY_NAME.fullmatch(name):
            raise ValueError("a name in arrays must be of letters, digits, '_' and '.', at most 200, got "
                             f"{name!r}")
        if not isinstance(array, np.ndarray) or array.dtype not in ARRAY_DTYPES:
            raise TypeError(f"array {name} must be a NumPy array of {', '.join(map(str, ARRAY_DTYPES))}; got "
                            f"{getattr(array, 'dtype', type(array).__name__)}")


def _announced_arrays(group):
    if len(group) > MAX_ARRAYS:
        raise hdf5.Refused(f"wanted at most {MAX_ARRAYS} arrays, got {len(group)}")
    names = list(group)
    for name in names:
        if not ARRAY_NAME.fullmatch(name):
            raise hdf5.Refused("a name in arrays must be of letters, digits, '_' and '.', at most 200, got "
                               f"{name[:200]!a}")
    hdf5.check_members(group, datasets=names)
    hdf5.read_attributes(group, {})
    announced = {name: hdf5.announce(group[name]) for name in names}
    for name, value in announced.items():
        if value.dtype not in ARRAY_DTYPES:
            raise hdf5.Refused(f"array {name} must be of {', '.join(map(str, ARRAY_DTYPES))}; got "
                               f"{value.dtype}")
    return announced


def _check_expected(announced, expected):
    missing, extra = sorted(expected.keys() - announced.keys()), sorted(announced.keys() - expected.keys())
    if missing or extra:
        raise hdf5.Refused("this is the checkpoint of another model or optimizer; missing arrays: "
                           f"{', '.join(missing[:5]) or 'none'}, unknown: {', '.join(extra[:5]) or 'none'}")
    for name, (dtype, shape) in expected.items():
        came = announced[name]
        if (came.dtype, came.shape) != (np.dtype(dtype), tuple(shape)):
            raise hdf5.Refused(f"this is the checkpoint of another model: array {name} must be "
                               f"{np.dtype(dtype)} {tuple(shape)}, got {came.dtype} {came.shape}")


def _checkpoint_checksum(texts, arrays):
    description = {"format": CHECKPOINT, "format_version": FORMAT_VERSION, **texts}
    return file_format.content_checksum(description, arrays)


# ---------------------------------------------------------------- both

def content_checksum(path):
    """The checksum of a network's or a checkpoint's file, once all of the file has been read and verified."""
    with hdf5.open_file(path) as file:
        kind = file_format.read_kind(file)
    return _read_checkpoint(path, None)[-1] if kind == CHECKPOINT else _read_network(path)[-1]
