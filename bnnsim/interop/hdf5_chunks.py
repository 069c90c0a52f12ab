"""Arrays of HDF5 files that lie in chunks, compressed or not: h5py makes them of `chunks=` and `compression="gzip"`.

Nothing is unpacked when a file is read, but when an array is asked for, whose shape is known before. All chunks must be
there, once each, and lie inside of the file; what they would unpack to is bounded by the array's size, and for all
arrays together by the file's.

References
----------
The HDF Group, HDF5 File Format Specification Version 3.0; the section is named at each function.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MAX_CHUNK = 2**24                   # bytes of a chunk over its array's
DEFLATE, SHUFFLE, LZF = 1, 2, 32000
REMEDY = "h5repack -f NONE -l CONTI old.h5 new.h5 makes a file of it that is read"

Number = Callable[[int, int, str], int]         # (address, n bytes, what it is)


@dataclass(frozen=True)
class Chunk:
    """Where the packed bytes of a chunk lie, which filters it was spared, and its first value's place."""

    address: int
    n_bytes: int
    mask: int
    start: tuple[int, ...]


def filters_of(number: Number, body: int, name: str) -> list[int]:
    """Of a pipeline of version 1 or 2 (IV.A.2.l): deflate and shuffle."""
    version, n = number(body, 1, "a filter"), number(body + 1, 1, "a filter")
    at = body + (8 if version == 1 else 2)
    found = []
    for _ in range(min(n, 32)):
        code = number(at, 2, "a filter")
        named = version == 1 or code >= 256
        length = number(at + 2, 2, "a filter") if named else 0
        at += 4 if named else 2
        n_values = number(at + 2, 2, "a filter")
        at += 4 + (-(-length // 8) * 8 if version == 1 else length) + 4 * n_values
        at += 4 * (version == 1 and n_values % 2)
        found.append(code)
    others = [code for code in found if code not in (DEFLATE, SHUFFLE)]
    if version not in (1, 2) or others:
        remedy = "LZF, which is h5py's own: write it anew with compression='gzip', or without" if LZF in others else \
            REMEDY
        raise ValueError(f"HDF5: {name} is packed by the filter {others[0] if others else '?'}, where gzip and shuffle "
                         f"are read: {remedy}")
    return found


def chunk_sizes(number: Number, body: int, shape: tuple[int, ...], item_size: int, name: str) -> tuple[int, ...]:
    """Of a layout of version 3 (IV.A.2.i), checked against the array's shape."""
    rank = number(body + 2, 1, "a layout") - 1
    sizes = tuple(number(body + 11 + 4 * i, 4, "a layout") for i in range(min(rank, 9) + 1))
    n_bytes = math.prod(sizes)
    if rank != len(shape) or sizes[-1] != item_size or min(sizes) < 1 or \
            n_bytes > math.prod(shape) * item_size + MAX_CHUNK:
        raise ValueError(f"HDF5: {name} of shape {shape} lies in chunks of {sizes}")
    return sizes[:-1]


def chunks_of(number: Number, count: Callable[[str], None], address: int, rank: int, depth: int = 0) -> list[Chunk]:
    """All below a node of a tree of version 1 (III.A.1)."""
    if depth > 8 or number(address, 4, "a tree of chunks") != int.from_bytes(b"TREE", "little") or \
            number(address + 4, 1, "a tree of chunks") != 1:
        raise ValueError("HDF5: a tree of chunks is damaged")
    level, used = number(address + 5, 1, "a tree of chunks"), number(address + 6, 2, "a tree of chunks")
    found: list[Chunk] = []
    for i in range(used):
        count("a chunk")
        key = address + 24 + i * (8 * rank + 24)
        child = number(key + 8 * rank + 16, 8, "a chunk")
        if level:
            found += chunks_of(number, count, child, rank, depth + 1)
        else:
            start = tuple(number(key + 8 + 8 * axis, 8, "a chunk") for axis in range(rank))
            found.append(Chunk(child, number(key, 4, "a chunk"), number(key + 4, 4, "a chunk"), start))
    return found


def assembled(read: Callable[[int, int, str], memoryview], chunks: list[Chunk], sizes: tuple[int, ...],
              shape: tuple[int, ...], dtype: np.dtype, filters: list[int], name: str) -> np.ndarray:
    """The array; allocated when it is known that all chunks are there."""
    wanted = math.prod(-(-size // chunk) for size, chunk in zip(shape, sizes))
    n_bytes = math.prod(sizes) * dtype.itemsize
    starts = {chunk.start for chunk in chunks}
    if len(chunks) != wanted or len(starts) != wanted or wanted * n_bytes > 8 * math.prod(shape) * dtype.itemsize + \
            MAX_CHUNK or any(place % chunk or place >= size for start in starts
                             for place, chunk, size in zip(start, sizes, shape)):
        raise ValueError(f"HDF5: {name} of shape {shape} has {len(chunks)} chunks of {sizes}, wanted {wanted}, each "
                         "once")
    packed = [read(chunk.address, chunk.n_bytes, name) for chunk in chunks]
    found = np.empty(shape if sizes != shape else 0, dtype)
    for chunk, data in zip(chunks, packed):
        whole = np.frombuffer(_unpacked(data, chunk.mask, filters, n_bytes, dtype.itemsize, name), dtype).reshape(sizes)
        if sizes == shape:                                      # which is not held twice
            return whole
        place = tuple(slice(start, start + size) for start, size in zip(chunk.start, sizes))
        room = found[place]
        room[...] = whole[tuple(slice(0, size) for size in room.shape)]
    return found


def _unpacked(data: memoryview | bytes, mask: int, filters: list[int], n_bytes: int, item_size: int,
              name: str) -> memoryview | bytes:
    """A chunk through its filters, the last first; a bit of the mask says that one was left out."""
    for i, code in reversed(list(enumerate(filters))):
        if mask >> i & 1:
            continue
        if code == DEFLATE:
            try:
                data = zlib.decompressobj().decompress(data, n_bytes + 1)
            except zlib.error as error:
                raise ValueError(f"HDF5: a chunk of {name} cannot be unpacked: {error}") from None
        elif len(data) == n_bytes:
            data = np.frombuffer(data, np.uint8).reshape(item_size, -1).T.tobytes()
    if len(data) != n_bytes:
        raise ValueError(f"HDF5: a chunk of {name} unpacks to {len(data):,} bytes or more, wanted {n_bytes:,}")
    return data
