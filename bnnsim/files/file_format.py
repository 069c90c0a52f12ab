"""What bnnsim's HDF5 files have in common: who wrote them, in which format and version, a checksum, and JSON.

Root attributes of every file

    format            string   "bnnsim-network", "bnnsim-checkpoint", ...
    format_version    int64
    library_version   string   of the bnnsim that wrote it
    bit_convention    string   BIT_CONVENTION, below
    created           string   ISO 8601, UTC
    checksum          string   `content_checksum` below, hexadecimal

The checksum is the SHA-256 of a line of canonical JSON (sorted keys, no spaces) that describes the content, then for
each array in sorted order of names the line [name, dtype, shape] in JSON and its bytes. It leaves out library_version
and created: "the same bytes" means the same checksum. It is no signature: whoever writes a file writes its checksum.

A kind of file says which versions it reads, with one function each (`campaign.result_file` is the example). To change a
format: a new version with a function of its own; the old function stays as it is, and gives what the new one gives.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

import bnnsim.files.hdf5 as hdf5

Wanted = Mapping[str, type[str] | tuple[int, ...]]      # attributes by name: str, or the shape of int64, () for one
BIT_CONVENTION = "bit 1 = +1, bit 0 = -1; feature f in word f // 64 at bit f % 64; padding bits 0"
ROOT: Wanted = {"format": str, "format_version": (), "library_version": str, "bit_convention": str, "created": str,
                "checksum": str}
MAX_JSON_BYTES = 2**20
WHAT = {"bnnsim-network": "a packed network: open it with PackedNetwork.load(path)",
        "bnnsim-results": "results of a sweep: open them with SweepResult.load(path), or bnnsim plot",
        "bnnsim-faults": "a fault map: open it with bnnsim.faults.FaultMap.load(path)",
        "bnnsim-checkpoint": "a training checkpoint: go on with fit(..., checkpoint=path, resume=True), and "
                             "save the result with pack(model).save(path)"}


def root_attributes(kind: str, version: int, checksum: str) -> dict[str, str | int]:
    """The attributes of ROOT for a new file of this format."""
    library = sys.modules["bnnsim"].__version__     # loaded by now; modules do not import the package root
    return {"format": kind, "format_version": version, "library_version": library,
            "bit_convention": BIT_CONVENTION, "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "checksum": checksum}


def read_kind(file: hdf5.File) -> str:
    """The format that an open file says it has."""
    if "format" not in file.attributes:
        raise hdf5.Refused("wanted an HDF5 file that bnnsim saved, got one of another program (it has no "
                           "attribute 'format')")
    return hdf5.read_attribute(file, "format", str)


def read_root(file: hdf5.File, kind: str, versions: Mapping[int, Wanted]) -> dict[str, Any]:
    """The root attributes of a file of this format, in one of the versions that its reader knows.

    Parameters
    ----------
    versions : dict
        Version -> the root attributes that such a file has; ROOT and more. The version is checked before anything
        that may depend on it.

    Returns
    -------
    dict
        Attributes by name; its format_version says which of the reader's functions to go on with.
    """
    came = read_kind(file)
    if came != kind:
        what = WHAT.get(came, f"a file of format {came!r}")
        raise hdf5.Refused(f"wanted a {kind!r} file, but this is {what}")
    version = hdf5.read_attribute(file, "format_version", ())
    if version not in versions:
        raise hdf5.Refused(_unread_version(file, version, versions))
    root = hdf5.read_attributes(file, versions[version])
    if root["bit_convention"] != BIT_CONVENTION:
        raise hdf5.Refused(f"bit_convention must be {BIT_CONVENTION!r}, got {root['bit_convention']!r}")
    return root


def _unread_version(file: hdf5.File, version: int, versions: Iterable[int]) -> str:
    known = sorted(versions)
    wanted = f"format_version must be {' or '.join(map(str, known))}, as this bnnsim reads it, got {version}"
    if version > known[-1]:
        return f"{wanted}; upgrade bnnsim: a newer one wrote the file"
    writer = hdf5.read_attribute(file, "library_version", str)
    return f"{wanted}; make the file anew, or read it with the older bnnsim that wrote it, {writer!r}"


# ---------------------------------------------------------------- checksums

def content_checksum(description: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of a description (plain JSON) and arrays by name, hexadecimal."""
    digest = hashlib.sha256(_canonical(description).encode() + b"\n")
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(_canonical([name, array.dtype.name, array.shape]).encode() + b"\n")
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return digest.hexdigest()


def text_checksum(text: str) -> str:
    """SHA-256 of a text, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def check_checksum(what: str, stored: str, computed: str) -> None:
    """The checksum stored is that of what was read."""
    if stored != computed:
        raise hdf5.Refused(f"the file is damaged: {what} does not have the checksum stored, {stored!r}, but "
                           f"{computed!r}; copy it again or make it anew")


# ---------------------------------------------------------------- JSON

def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def to_json(name: str, value: Mapping[str, Any], most: int = MAX_JSON_BYTES) -> str:
    """Canonical JSON, in ASCII, of a dict that comes back as it went in; at most that many bytes."""
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be a dict, got {type(value).__name__}")
    try:
        text = _canonical(value)
        same = json.loads(text) == value
    except (TypeError, ValueError, RecursionError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name} must be plain JSON with finite numbers: {error}") from error
    if not same:
        raise ValueError(f"{name} must be plain JSON: string keys, and lists rather than tuples")
    if len(text) > most:
        raise ValueError(f"{name} must be at most {most} bytes of JSON, got {len(text)}")
    return text


def from_json(name: str, text: str) -> dict[str, Any]:
    """The dict that `to_json` wrote; what it would not have written (NaN, 1e999, a key twice) is refused."""
    try:
        value = json.loads(text)
        good = isinstance(value, dict) and _canonical(value) == text
    except (ValueError, RecursionError):
        good = False
    if not good:
        raise hdf5.Refused(f"{name} must be a JSON object in canonical form, got {text[:80]!r}")
    return value
