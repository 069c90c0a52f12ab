"""HDF5 files of fault maps.

Root attributes of `bnnsim.files.file_format` with format "bnnsim-faults", format_version 1, and

    /              attributes n_layers int64; rows, columns int64 and units_on string of the mapping to arrays (0, 0,
                   "none" without one); metadata_checksum string
    /metadata      string: a JSON object of strings
    /layer0 ...    a group a layer: attribute n_in int64; datasets f01 and f10 uint64, of the shape of the layer's
                   words (U, ceil(F / 64)) or (K, kh, kw, ceil(C / 64)): where a stored 0 reads 1, a stored 1 reads 0

Padding bits are 0. Readers refuse everything else before they allocate. The checksum covers all but the metadata.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

import bnnsim.files.file_format as file_format
import bnnsim.files.hdf5 as hdf5
from bnnsim.checks import FilePath, check_array, check_choice, check_int
from bnnsim.faults.array_mapping import MAX_LINES
from bnnsim.files.announced import Announced
from bnnsim.packed.schema import MAX_LAYERS, MAX_VALUES
from bnnsim.packed.words import n_words

FAULTS, FORMAT_VERSION = "bnnsim-faults", 1
MAX_BYTES = 2**33

_ROOT = {**file_format.ROOT, "n_layers": (), "rows": (), "columns": (), "units_on": str, "metadata_checksum": str}
_MASKS = ("f01", "f10")

Layer = tuple[int, Any, Any]                # (n_in, f01, f10): arrays, or `Announced` ones
Lines = tuple[int, int, str]                # (rows, columns, units_on)


def check_layers(layers: Sequence[Layer]) -> list[Layer]:
    """Layers (n_in, f01, f10): masks of one shape, without a padding bit; `Announced` ones as far as that goes."""
    check_int("the number of layers of a fault map", len(layers), 1, MAX_LAYERS)
    clean = []
    for i, (n_in, *masks) in enumerate(layers):
        n_in = check_int(f"layers[{i}] n_in", n_in, 1, MAX_VALUES)
        f01, f10 = (_check_mask(f"layers[{i}] {name}", mask, n_in, masks[0].shape)
                    for name, mask in zip(_MASKS, masks))
        clean.append((n_in, f01, f10))
    return clean


def _check_mask(name: str, mask: Any, n_in: int, shape: tuple[int, ...]) -> Any:
    width = n_words(n_in)
    if mask.shape != shape or len(shape) not in (2, 4) or 0 in shape or shape[-1] != width:
        raise ValueError(f"{name} must have shape (units, {width}) or (channels, height, width, {width}), that of "
                         f"f01, got {mask.shape}")
    if mask.dtype != np.uint64:
        raise TypeError(f"{name} must have dtype uint64, got {mask.dtype}")
    if isinstance(mask, Announced):
        return mask
    if n_in % 64 and (mask[..., -1] >> np.uint64(n_in % 64)).any():
        raise ValueError(f"{name} must have 0 in every padding bit (past bit {n_in - 1} of a row), got a 1")
    return check_array(name, mask, np.uint64, shape)


def save(path: FilePath, layers: Sequence[Layer], lines: Lines | None, metadata: Mapping[str, str]) -> None:
    """Write a fault map to an HDF5 file, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        A file that is there is replaced.
    layers : list of (n_in, f01, f10)
    lines : (rows, columns, units_on), or None
    metadata : dict of str to str
    """
    layers, text = check_layers(layers), file_format.to_json("metadata", metadata)
    rows, columns, units_on = lines or (0, 0, "none")
    root = file_format.root_attributes(FAULTS, FORMAT_VERSION, checksum(layers, lines))
    with hdf5.new_file(path) as file:
        hdf5.write_attributes(file, {**root, "n_layers": len(layers), "rows": rows, "columns": columns,
                                     "units_on": units_on, "metadata_checksum": file_format.text_checksum(text)})
        hdf5.write_array(file, "metadata", np.bytes_(text))
        for i, (n_in, *masks) in enumerate(layers):
            group = file.create_group(f"layer{i}")
            hdf5.write_attributes(group, {"n_in": n_in})
            for name, mask in zip(_MASKS, masks):
                hdf5.write_array(group, name, mask)


def load(path: FilePath) -> tuple[list[Layer], Lines | None, dict[str, str]]:
    """Read a fault map: (layers, lines, metadata) as `save` takes them; ValueError where the file is not one."""
    with hdf5.open_file(path) as file:
        root = file_format.read_root(file, FAULTS, {1: _ROOT})
        lines = _read_lines(root)
        announced, text = _announced(file, root)
        written = hdf5.read_text(file, text)
        file_format.check_checksum("the metadata", root["metadata_checksum"], file_format.text_checksum(written))
        metadata = file_format.from_json("metadata", written)
        if not all(type(value) is str for value in metadata.values()):
            raise hdf5.Refused("metadata must be a JSON object of strings")
        layers = _checked([(n_in, hdf5.read_array(file, f01), hdf5.read_array(file, f10))
                           for n_in, f01, f10 in announced])
        file_format.check_checksum("the fault map", root["checksum"], checksum(layers, lines))
    return layers, lines, metadata


def checksum(layers: Sequence[Layer], lines: Lines | None) -> str:
    """SHA-256 of a fault map's content, hexadecimal: equal iff all masks and the mapping are; no metadata."""
    description = {"format": FAULTS, "format_version": FORMAT_VERSION, "bit_convention": file_format.BIT_CONVENTION,
                   "lines": list(lines) if lines else None, "n_in": [layer[0] for layer in layers]}
    return file_format.content_checksum(description, {
        f"layer{i}/{name}": mask for i, (_, *masks) in enumerate(layers) for name, mask in zip(_MASKS, masks)})


def _read_lines(root: Mapping[str, Any]) -> Lines | None:
    rows, columns, units_on = (root[name] for name in ("rows", "columns", "units_on"))
    if (rows, columns, units_on) == (0, 0, "none"):
        return None
    try:
        return (check_int("rows", rows, 1, MAX_LINES), check_int("columns", columns, 1, MAX_LINES),
                check_choice("units_on", units_on, ("rows", "columns")))
    except ValueError as error:
        raise hdf5.Refused(str(error)) from error


def _announced(file: hdf5.File, root: Mapping[str, Any]) -> tuple[list[Layer], Announced]:
    """Layers with `Announced` masks, checked as far as that goes, and the `Announced` metadata."""
    if not 1 <= root["n_layers"] <= MAX_LAYERS:
        raise hdf5.Refused(f"n_layers must be in [1, {MAX_LAYERS}], got {root['n_layers']}")
    names = [f"layer{i}" for i in range(root["n_layers"])]
    hdf5.check_members(file, groups=names, datasets=("metadata",))
    text, layers = hdf5.announce_text(file["metadata"], file_format.MAX_JSON_BYTES), list[Layer]()
    for name in names:
        group = cast(hdf5.Group, file[name])                    # `check_members` has seen that
        hdf5.check_members(group, datasets=_MASKS)
        f01, f10 = (hdf5.announce(group[mask]) for mask in _MASKS)
        layers.append((hdf5.read_attributes(group, {"n_in": ()})["n_in"], f01, f10))
    hdf5.check_total(file, [text, *(mask for _, *masks in layers for mask in masks)], MAX_BYTES)
    return _checked(layers), text


def _checked(layers: Sequence[Layer]) -> list[Layer]:
    try:
        return check_layers(layers)
    except (ValueError, TypeError) as error:
        raise hdf5.Refused(str(error)) from error
