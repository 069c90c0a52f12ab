"""Bytes of strangers' files: nothing is allocated before its size was checked against the file's."""

import math
import os
import stat
import zipfile
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from bnnsim.checks import FilePath

MAX_FILE = 2**31                    # bytes of a file that is read as a whole
MAX_MEMBERS = 20_000                # of a zip file, a folder, a state dict
MAX_AXES = 8
SLACK, MOST_RATIO = 2**26, 128      # a sign is one bit in at most 64: what shrinks more than 128-fold is no network


def check_plain(path: FilePath) -> None:
    """No pipe, which may wait for ever, and no device, which may never end; a folder says so where it is opened."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ValueError("wanted a plain file, got a device or a pipe")


def read_bytes(path: FilePath, most: int = MAX_FILE) -> bytes:
    """A whole file of at most this size."""
    check_plain(path)
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f"wanted at most {most:,} bytes, got {size:,}")
        return file.read(size)


def check_shape(name: str, shape: Sequence[int], n_bytes: int, item_size: int) -> tuple[int, ...]:
    """A shape whose values, of this size each, take exactly these bytes."""
    if len(shape) > MAX_AXES or any(type(n) is not int or not 0 <= n < 2**40 for n in shape):
        raise ValueError(f"{name}: a shape of at most {MAX_AXES} sizes is wanted, got {str(tuple(shape))[:100]}")
    if math.prod(shape) * item_size != n_bytes:
        raise ValueError(f"{name}: {tuple(shape)} of {item_size} bytes a value need {math.prod(shape) * item_size:,}, "
                         f"got {n_bytes:,}")
    return tuple(shape)


def array(name: str, data: bytes | memoryview, dtype: np.dtype, shape: Sequence[int]) -> np.ndarray:
    """The array of little-endian values that these bytes are, not copied."""
    shape = check_shape(name, shape, len(data), dtype.itemsize)
    return np.frombuffer(data, dtype.newbyteorder("<")).reshape(shape)


def bfloat16(name: str, data: bytes | memoryview, shape: Sequence[int]) -> np.ndarray:
    """float32 of bfloat16 values: their upper halves."""
    halves = array(name, data, np.dtype(np.uint16), shape)
    return (halves.astype(np.uint32) << np.uint32(16)).view(np.float32)


class Zip:
    """A zip file whose members are together in proportion to it; whatever is wrong with it is a ValueError."""

    def __init__(self, file: BinaryIO) -> None:
        if _count(file, b"PK\1\2") > MAX_MEMBERS:
            raise ValueError(f"a zip file of more than {MAX_MEMBERS:,} members")
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, OSError, OverflowError) as error:
            raise ValueError(f"no zip file: {error}") from None
        self.members = {info.filename.replace("\\", "/"): info for info in self._zip.infolist()}
        size = os.fstat(file.fileno()).st_size
        unpacked = sum(info.file_size for info in self.members.values())
        if unpacked > SLACK + MOST_RATIO * size or unpacked > MAX_FILE:
            raise ValueError(f"a zip file of {size:,} bytes that unpacks to {unpacked:,}: no network shrinks like this")

    def read(self, name: str, most: int = MAX_FILE) -> bytes:
        """A member, of at most this size, which is refused before it is unpacked."""
        if name not in self.members:
            raise ValueError(f"the zip file has no {name}")
        info = self.members[name]
        if info.file_size > most:
            raise ValueError(f"{name}: wanted at most {most:,} bytes, got {info.file_size:,}")
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is encrypted, or packed by a method other than deflate")
        try:
            with self._zip.open(info) as member:
                data = member.read(info.file_size)
        except Exception as error:                              # zipfile and zlib raise six types and more
            raise ValueError(f"{name} cannot be unpacked: {error}") from error
        if len(data) != info.file_size:
            raise ValueError(f"{name} has {len(data):,} bytes, {info.file_size:,} are announced")
        return data


def _count(file: BinaryIO, signature: bytes) -> int:
    """How often a signature stands in a file; read in pieces."""
    found, before = 0, b""
    file.seek(0)
    while piece := file.read(2**20):
        found += (before + piece).count(signature)
        before = piece[-len(signature) + 1:]
    file.seek(0)
    return found
