"""Pieces of an HDF5 file: fields of bytes with their checksum, types, shapes, attributes, links.

References
----------
The HDF Group, HDF5 File Format Specification Version 3.0; the section is named at each function.
"""

import math
import struct
from dataclasses import dataclass

import numpy as np

MAX_NAME = 256                      # bytes of a link's or an attribute's name
MAX_VALUE = 2**12                   # bytes of an attribute's value


class Refused(ValueError):
    """What is wrong with a file that is open; `hdf5.open_file` adds the path."""


class Damaged(Refused):
    """It does not hold together, or another program wrote it."""


@dataclass(frozen=True)
class Value:
    """An attribute: its type, shape, and bytes."""

    dtype: np.dtype
    shape: tuple[int, ...]
    raw: bytes


def _rotated(x: int, k: int) -> int:
    return (x << k | x >> (32 - k)) & 0xFFFFFFFF


def lookup3(data: bytes) -> int:
    """Jenkins' lookup3 hash (hashlittle, initial value 0), with which HDF5 vouches for its structures."""
    a = b = c = (0xDEADBEEF + len(data)) & 0xFFFFFFFF
    whole = max(len(data) - 1, 0) // 12 * 12
    for x, y, z in struct.iter_unpack("<3I", data[:whole]):
        a, b, c = (a + x) & 0xFFFFFFFF, (b + y) & 0xFFFFFFFF, (c + z) & 0xFFFFFFFF
        a = (a - c & 0xFFFFFFFF) ^ _rotated(c, 4)
        c = c + b & 0xFFFFFFFF
        b = (b - a & 0xFFFFFFFF) ^ _rotated(a, 6)
        a = a + c & 0xFFFFFFFF
        c = (c - b & 0xFFFFFFFF) ^ _rotated(b, 8)
        b = b + a & 0xFFFFFFFF
        a = (a - c & 0xFFFFFFFF) ^ _rotated(c, 16)
        c = c + b & 0xFFFFFFFF
        b = (b - a & 0xFFFFFFFF) ^ _rotated(a, 19)
        a = a + c & 0xFFFFFFFF
        c = (c - b & 0xFFFFFFFF) ^ _rotated(b, 4)
        b = b + a & 0xFFFFFFFF
    if not data:
        return c
    last = struct.unpack("<3I", data[whole:].ljust(12, b"\0"))
    a, b, c = (value + word & 0xFFFFFFFF for value, word in zip((a, b, c), last))
    c = ((c ^ b) - _rotated(b, 14)) & 0xFFFFFFFF
    a = ((a ^ c) - _rotated(c, 11)) & 0xFFFFFFFF
    b = ((b ^ a) - _rotated(a, 25)) & 0xFFFFFFFF
    c = ((c ^ b) - _rotated(b, 16)) & 0xFFFFFFFF
    a = ((a ^ c) - _rotated(c, 4)) & 0xFFFFFFFF
    b = ((b ^ a) - _rotated(a, 14)) & 0xFFFFFFFF
    return ((c ^ b) - _rotated(b, 24)) & 0xFFFFFFFF


class Fields:
    """Bytes read from the front; never past their end."""

    def __init__(self, data: bytes, what: str) -> None:
        self.data, self.at, self.what = data, 0, what

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        if n > len(self.data) - self.at:
            raise Damaged(f"{self.what} ends early")
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, n_bytes: int) -> int:
        """The next unsigned integer of so many bytes."""
        return int.from_bytes(self.take(n_bytes), "little")

    def expect(self, wanted: bytes, what: str) -> None:
        """The next bytes are these."""
        came = self.take(len(wanted))
        if came != wanted:
            raise Damaged(f"{self.what}: wanted {what} {wanted.hex()}, got {came.hex()}")

    def left(self) -> int:
        """How many bytes are left."""
        return len(self.data) - self.at


def _name(fields: Fields, n: int) -> str:
    if not 0 < n <= MAX_NAME:
        raise Damaged(f"{fields.what} has a name of {n} bytes, wanted at most {MAX_NAME}")
    raw = fields.take(n)
    if not raw.isascii() or b"\0" in raw or b"/" in raw:
        raise Damaged(f"{fields.what} has the name {raw[:40]!r}, wanted ASCII")
    return raw.decode("ascii")


INTEGERS = {(size, signed): np.dtype(f"<{'iu'[not signed]}{size}") for size in (1, 2, 4, 8) for signed in (False, True)}
# bytes 1 to 3 and the properties of the two IEEE types: places of sign, exponent and mantissa (section IV.A.2.d)
FLOATS: dict[bytes, np.dtype] = {
    bytes.fromhex("201f00") + struct.pack("<HHBBBBI", 0, 32, 23, 8, 0, 23, 127): np.dtype("<f4"),
    bytes.fromhex("203f00") + struct.pack("<HHBBBBI", 0, 64, 52, 11, 0, 52, 1023): np.dtype("<f8")}


def datatype(fields: Fields) -> np.dtype:
    """The dtype of a datatype message (IV.A.2.d): little-endian numbers, h5py's bool, strings of fixed length."""
    head = fields.number(1)
    bits, size = fields.take(3), fields.number(4)
    kind, version = head & 15, head >> 4
    if version not in (1, 2, 3):
        raise Damaged(f"{fields.what} has a datatype of version {version}, wanted 1 to 3")
    if kind == 0 and bits[1:] == b"\0\0" and not bits[0] & ~8 and (size, bool(bits[0])) in INTEGERS:
        fields.expect(struct.pack("<HH", 0, 8 * size), "an integer's offset and precision")
        return INTEGERS[size, bool(bits[0])]
    if kind == 1 and size in (4, 8):
        known = FLOATS.get(bits + fields.take(12))
        if known is not None and known.itemsize == size:
            return known
    if kind == 3 and bits[1:] == b"\0\0" and bits[0] & 15 in (0, 1) and bits[0] >> 4 in (0, 1) and 0 < size < 2**31:
        return np.dtype(f"S{size}")
    if kind == 8 and bits == b"\2\0\0" and size == 1 and datatype(fields) == np.int8:
        padding = 8 if version < 3 else 1
        for name in (b"FALSE", b"TRUE"):
            fields.expect(name.ljust(-(-(len(name) + 1) // padding) * padding, b"\0"), "a boolean's name")
        fields.expect(b"\0\1", "the values of a boolean")
        return np.dtype(bool)
    wanted = "a string of fixed length" if kind == 9 else "numbers, little-endian, or a string of fixed length"
    raise Refused(f"{fields.what}: wanted {wanted}, got another type (class {kind}, {size} bytes)")


def dataspace(fields: Fields) -> tuple[int, ...]:
    """The shape of a dataspace message of version 2 (IV.A.2.b)."""
    version, rank, flags, kind = fields.take(4)
    if version != 2 or flags & ~1 or kind not in (0, 1) or rank > 8 or (kind == 0) != (rank == 0):
        raise Refused(f"{fields.what}: wanted shape () or (n, ...), got a shape that bnnsim does not write")
    shape = tuple(fields.number(8) for _ in range(rank))
    if flags:
        fields.expect(struct.pack(f"<{rank}Q", *shape), "largest sizes as the sizes,")
    return shape


def attribute(fields: Fields) -> tuple[str, Value]:
    """(name, Value) of an attribute message of version 3 (IV.A.2.m)."""
    version, flags = fields.take(2)
    n_name, n_type, n_space, charset = fields.number(2), fields.number(2), fields.number(2), fields.number(1)
    if version != 3 or flags or charset > 1 or n_name == 0:
        raise Damaged(f"an attribute of {fields.what} is of a kind that bnnsim does not write")
    name = _name(fields, n_name - 1)
    fields.expect(b"\0", "the end of a name,")
    where = f"attribute {name} of {fields.what}"
    dtype, shape = datatype(Fields(fields.take(n_type), where)), dataspace(Fields(fields.take(n_space), where))
    n_bytes = math.prod(shape) * dtype.itemsize
    if n_bytes > MAX_VALUE:
        raise Damaged(f"{where} has {n_bytes} bytes, wanted at most {MAX_VALUE}")
    return name, Value(dtype, shape, fields.take(n_bytes))


def link(fields: Fields) -> tuple[str, int]:
    """(name, address) of a hard link: a link message of version 1 (IV.A.2.g)."""
    version, flags = fields.take(2)
    kind = fields.number(1) if flags & 8 else 0
    if version != 1 or flags & 0xE0:
        raise Damaged(f"{fields.what} has a link of a kind that bnnsim does not write")
    fields.take((8 if flags & 4 else 0) + (1 if flags & 16 else 0))
    name = _name(fields, fields.number(1 << (flags & 3)))
    if kind:
        raise Refused(f"{fields.what}: wanted {name} itself, got a soft or an external link")
    return name, fields.number(8)
