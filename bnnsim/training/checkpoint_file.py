"""Checkpoints as HDF5 files: settings, latent weights, moments, batch-norm statistics, progress."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

import bnnsim.files.file_format as file_format
import bnnsim.files.hdf5 as hdf5
from bnnsim.checks import FilePath
from bnnsim.files.announced import Announced
from bnnsim.files.hdf5_structure import Group

CHECKPOINT, FORMAT_VERSION = "bnnsim-checkpoint", 1
MAX_CHECKPOINT_BYTES = 2**36
MAX_BYTES = {"settings": file_format.MAX_JSON_BYTES, "progress": 2**26}  # its history: some 150 bytes an epoch
MAX_ARRAYS = 10_000
ARRAY_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]{0,199}")            # "." alone is HDF5's "this group"
Expected = Mapping[str, tuple[np.dtype, tuple[int, ...]]]                # dtype and shape of each array
ARRAY_DTYPES = tuple(np.dtype(name) for name in ("float32", "float64", "int64", "uint64", "int32", "uint8"))


def save_checkpoint(path: FilePath, settings: dict[str, Any], arrays: dict[str, np.ndarray],
                    progress: dict[str, Any]) -> None:
    """Write the state of a training run to an HDF5 file, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        A file that is there is replaced.
    settings, progress : dict
        JSON objects: string keys, lists rather than tuples, no NaN; as text at most 1 MiB and 64 MiB.
    arrays : dict of str to ndarray
        Names of letters, digits, "_" and "."; dtypes as in ARRAY_DTYPES.

    Raises
    ------
    ValueError, TypeError, OSError
        As `save_network`.
    """
    _check_arrays(arrays)
    texts = {name: file_format.to_json(name, value, MAX_BYTES[name])
             for name, value in (("settings", settings), ("progress", progress))}
    root = file_format.root_attributes(CHECKPOINT, FORMAT_VERSION, _checkpoint_checksum(texts, arrays))
    with hdf5.new_file(path) as file:
        hdf5.write_attributes(file, root)
        for name, text in texts.items():
            hdf5.write_array(file, name, np.bytes_(text))
        group = file.create_group("arrays")
        for name, array in arrays.items():
            hdf5.write_array(group, name, array)


def load_checkpoint(path: FilePath, expected: Expected | None = None
                    ) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Any]]:
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
    settings, arrays, progress, _ = read_checkpoint(path, expected)
    return settings, arrays, progress


def load_settings(path: FilePath) -> dict[str, Any]:
    """The settings alone of a checkpoint, to see whose it is; the whole file is read and verified."""
    return read_checkpoint(path, None)[0]


def read_checkpoint(path: FilePath, expected: Expected | None
                    ) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Any], str]:
    """(settings, arrays, progress, their checksum)."""
    with hdf5.open_file(path) as file:
        stored = file_format.read_root(file, CHECKPOINT, {1: file_format.ROOT})["checksum"]
        hdf5.check_members(file, groups=("arrays",), datasets=("settings", "progress"))
        announced = _announced_arrays(file["arrays"])
        lengths = {name: hdf5.announce_text(file[name], most) for name, most in MAX_BYTES.items()}
        hdf5.check_total(file, [*lengths.values(), *announced.values()], MAX_CHECKPOINT_BYTES)
        if expected is not None:
            _check_expected(announced, expected)
        arrays = {name: hdf5.read_array(file, value) for name, value in announced.items()}
        texts = {name: hdf5.read_text(file, value) for name, value in lengths.items()}
        file_format.check_checksum("the checkpoint", stored, _checkpoint_checksum(texts, arrays))
        settings, progress = (file_format.from_json(name, texts[name]) for name in ("settings", "progress"))
    return settings, arrays, progress, stored


def _check_arrays(arrays: object) -> None:
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


def _announced_arrays(group: Group | Announced) -> dict[str, Announced]:
    if not isinstance(group, Group):
        raise hdf5.Refused(f"wanted {group.name} to be a group, got an array")
    if len(group.members) > MAX_ARRAYS:
        raise hdf5.Refused(f"wanted at most {MAX_ARRAYS} arrays, got {len(group.members)}")
    names = list(group.members)
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


def _check_expected(announced: Mapping[str, Announced], expected: Expected) -> None:
    missing, extra = sorted(expected.keys() - announced.keys()), sorted(announced.keys() - expected.keys())
    if missing or extra:
        raise hdf5.Refused("this is the checkpoint of another model or optimizer; missing arrays: "
                           f"{', '.join(missing[:5]) or 'none'}, unknown: {', '.join(extra[:5]) or 'none'}")
    for name, (dtype, shape) in expected.items():
        came = announced[name]
        if (came.dtype, came.shape) != (np.dtype(dtype), tuple(shape)):
            raise hdf5.Refused(f"this is the checkpoint of another model: array {name} must be "
                               f"{np.dtype(dtype)} {tuple(shape)}, got {came.dtype} {came.shape}")


def _checkpoint_checksum(texts: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> str:
    description = {"format": CHECKPOINT, "format_version": FORMAT_VERSION, **texts}
    return file_format.content_checksum(description, arrays)
