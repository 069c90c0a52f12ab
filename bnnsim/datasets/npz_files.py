"""Reader for .npz files of data: what they may hold, and how it is bounded before anything is allocated.

Names in the file: ``images`` and ``labels``, or ``x`` and ``y`` (small letters or capitals), for data in one part; with
``train_`` and ``test_`` before, or ``_train`` and ``_test`` behind, for halves; ``val`` parts are left out. And
``class_names``, strings, for labels that are integers.
"""

import math
import os
import struct
import zipfile
import zlib
from typing import IO

import numpy as np

from bnnsim.checks import FilePath
from bnnsim.datasets.raw import MAX_BYTES, Part, Raw, regular_file
from bnnsim.datasets.readers import MAX_INFLATED, MAX_RATIO, fill

PAIRS = (("images", "labels"), ("x", "y"))
HALVES = {"": ("{}",), "train": ("train_{}", "{}_train"), "test": ("test_{}", "{}_test"), "val": ("val_{}", "{}_val")}
KNOWN = {form.format(word): (half, place) for half, forms in HALVES.items() for form in forms for pair in PAIRS
         for place, word in enumerate(pair)}
MAX_DIRECTORY = 1 << 16             # bytes of the archive's list of members
WANTED = ("wanted images and labels (or x and y), or train_images, train_labels, test_images, test_labels (or x_train, "
          "y_train, x_test, y_test)")


def read_npz(path: FilePath) -> Raw:
    """Read a .npz file of data.

    Raises
    ------
    ValueError
        Naming the file, what was wanted, and what came: object arrays, unknown names, damaged or inflated members.
    """
    arrays, names = _arrays(path), ()
    if "class_names" in arrays:
        found = arrays.pop("class_names")
        if found.dtype.kind != "U" or found.ndim != 1:
            raise ValueError(f"{path}: class_names must be strings (C,), got {found.dtype} {found.shape}")
        names = tuple(found.tolist())
    halves: dict[str, dict[int, np.ndarray]] = {}
    for name, array in arrays.items():
        half, place = KNOWN[name.lower()]
        if place in halves.setdefault(half, {}):
            raise ValueError(f"{path}: {WANTED}, got two such arrays for {half or 'the one part'}")
        halves[half][place] = array
    parts = {half: Part(found[0], found[1]) for half, found in halves.items() if len(found) == 2 and half != "val"}
    if len(parts) != len(halves.keys() - {"val"}) or set(parts) not in ({""}, {"train", "test"}):
        raise ValueError(f"{path}: {WANTED}, got {', '.join(arrays) or 'nothing'}")
    return Raw(parts.get("train") or parts[""], parts.get("test"), names)


def _arrays(path: FilePath) -> dict[str, np.ndarray]:
    """All arrays of the archive by name."""
    size = regular_file(path)
    with open(path, "rb") as raw:
        _check_directory(path, raw, size)
        try:
            with zipfile.ZipFile(raw) as archive:
                members = archive.infolist()
                _check_sizes(path, members, size)
                return {member.filename.removesuffix(".npy"): _array(path, archive, member) for member in members}
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, OverflowError,
                UnicodeDecodeError, struct.error) as error:
            raise ValueError(f"{path}: wanted a whole .npz file, as numpy.savez writes it, got a damaged one, or of "
                             f"another kind ({error})") from error


def _check_directory(path: FilePath, raw: IO[bytes], size: int) -> None:
    """A list of few members, in the form that NumPy writes: it is read at once."""
    raw.seek(max(0, size - 42))
    tail = raw.read()
    end = tail[-22:]
    if len(end) < 22 or end[:4] != b"PK\x05\x06" or tail[:4] == b"PK\x06\x07":
        raise ValueError(f"{path}: wanted an .npz file, as numpy.savez writes it, got none, or one that is cut off")
    n_bytes, = struct.unpack("<I", end[12:16])
    if n_bytes > MAX_DIRECTORY:
        raise ValueError(f"{path}: wanted a list of members of at most {MAX_DIRECTORY} bytes, got {n_bytes}")
    raw.seek(0)


def _check_sizes(path: FilePath, members: list[zipfile.ZipInfo], size: int) -> None:
    names = [member.filename.removesuffix(".npy") for member in members]
    unknown = [name for name in names if name.lower() not in KNOWN and name != "class_names"]
    if unknown:
        raise ValueError(f"{path}: {WANTED}, and class_names; got "
                         f"{', '.join(ascii(name[:40]) for name in unknown[:5])}")
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: wanted arrays of different names, got {', '.join(names)}")
    total, most = sum(member.file_size for member in members), max(MAX_INFLATED, MAX_RATIO * size)
    if total > MAX_BYTES or total > most:
        raise ValueError(f"{path}: wanted at most {min(MAX_BYTES, most)} bytes of data in a file of {size}, got a list "
                         f"of members that announces {total}" + ("; where that is right, save it uncompressed, "
                                                                 "numpy.savez" if total <= MAX_BYTES else ""))


def _array(path: FilePath, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array, whose header agrees with what the archive says of it."""
    name = f"{os.fspath(path)}: {member.filename}"
    with archive.open(member) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, by_columns, dtype = read(stream)
        except Exception as error:              # NumPy reads it as Python text: whatever tokenize and ast raise
            raise ValueError(f"{name}: wanted an array as numpy.savez writes it ({error})") from error
        if dtype.hasobject or dtype.kind not in "biufU":
            raise ValueError(f"{name}: wanted numbers or strings, got {'objects' if dtype.hasobject else dtype}, which "
                             "are not read: running what a file says is not safe. Save it as "
                             "array.astype(str), or as numbers")
        n_bytes = math.prod(shape) * dtype.itemsize
        if n_bytes == 0 and min(shape, default=0) == 0:
            raise ValueError(f"{name}: wanted at least one example, got an array of shape {shape}")
        if min(shape, default=0) < 0 or n_bytes == 0 or stream.tell() + n_bytes != member.file_size:
            raise ValueError(f"{name}: wanted the bytes that its header announces, {shape} of {dtype}, got "
                             f"{member.file_size - stream.tell()}")
        array = np.empty(n_bytes, np.uint8)
        if fill(stream, array) < n_bytes or stream.read(1):
            raise ValueError(f"{name}: wanted {n_bytes} bytes of data, got others: the file is cut off")
    if dtype.kind == "U" and array.view(np.dtype("u4").newbyteorder(dtype.byteorder)).max() > 0x10FFFF:
        raise ValueError(f"{name}: wanted strings, got characters that are none")
    array = array.view(dtype).reshape(shape, order="F" if by_columns else "C")
    return np.ascontiguousarray(array.astype(dtype.newbyteorder("="), copy=False))
