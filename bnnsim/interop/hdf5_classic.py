"""HDF5 files of other programs, in the form that h5py writes unless told otherwise (superblock 0, Keras's).

libhdf5 crashes, hangs and allocates without bound on damaged bytes, and a child process around it costs a third of a
second a file, needs limits that Windows and macOS do not have, and turns a hang into a timeout. What Keras needs of the
format is small: groups as B-trees of names, headers of version 1, strings in global heaps, contiguous arrays. So it is
read here, from bytes in memory: every structure lies inside of them, is entered once or counted, and nothing is
allocated but copies of bytes that are there. What is chunked is read when it is asked for (`hdf5_chunks`); external
and linked data are refused.

References
----------
The HDF Group, HDF5 File Format Specification Version 3.0; the section is named at each function.
"""

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

import bnnsim.interop.hdf5_chunks as hdf5_chunks
from bnnsim.interop.bounded import MAX_FILE, MOST_RATIO, SLACK, check_shape

SIGNATURE = b"\x89HDF\r\n\x1a\n"
UNDEFINED = 2**64 - 1
MAX_THINGS = 2**17                  # messages, names and strings; each has 8 bytes of its own, or was counted twice
MAX_DEPTH = 12                      # groups in groups
MAX_BLOCKS = 64                     # of one object header

DATASPACE, DATATYPE, LAYOUT, FILTERS, ATTRIBUTE, CONTINUATION, SYMBOLS = 0x01, 0x03, 0x08, 0x0B, 0x0C, 0x10, 0x11
FOREIGN = {0x02: "link info of a newer version", 0x06: "a link of a newer version", 0x07: "data in another file",
           0x15: "attributes in a dense form"}

Value = np.ndarray | list[str] | str


@dataclass(frozen=True)
class Array:
    """An array of a file, which is read when `value` is called."""

    shape: tuple[int, ...]
    dtype: np.dtype
    value: Callable[[], np.ndarray]


@dataclass
class Node:
    """A group, with members, or an array."""

    attributes: dict[str, Value] = field(default_factory=dict)
    members: dict[str, "Node"] = field(default_factory=dict)
    array: Array | None = None

    def find(self, path: str) -> "Node":
        """The member at "a/b/c"."""
        node = self
        for name in filter(None, path.split("/")):
            if name not in node.members:
                raise ValueError(f"the file has no {path}; there are {', '.join(list(node.members)[:10]) or 'none'}")
            node = node.members[name]
        return node


@dataclass(frozen=True)
class _Type:
    """A datatype: of numbers with this code, of fixed strings, or of strings in the global heap."""

    size: int
    code: str = ""
    is_string: bool = False
    is_variable: bool = False


def read_classic(data: bytes) -> Node:
    """The root group of a file's bytes, with all that is below it."""
    return _Reader(data).root()


class _Reader:
    """The bytes, and what has been visited of them."""

    def __init__(self, data: bytes) -> None:
        self.data, self.things = memoryview(data), 0
        self.open: set[int] = set()                 # headers that are being read
        self.base = self.copied = self.unpacked = 0
        self.heaps: dict[int, dict[int, tuple[int, int]]] = {}

    def at(self, address: int, n: int, what: str) -> memoryview:
        """n bytes at an address."""
        address += self.base
        if not 0 <= n <= len(self.data) or not 0 <= address <= len(self.data) - n:
            raise ValueError(f"HDF5: {what} of {n} bytes lies at byte {address}, in a file of {len(self.data)}")
        return self.data[address:address + n]

    def number(self, address: int, n: int, what: str) -> int:
        """A little-endian number of n bytes."""
        return int.from_bytes(self.at(address, n, what), "little")

    def count(self, what: str) -> None:
        """One thing more."""
        self.things += 1
        if self.things > min(MAX_THINGS, len(self.data) // 8):
            raise ValueError(f"HDF5: {what} is one of more parts than the file has room for")

    def root(self) -> Node:
        """Superblock of version 0 or 1 (II.A)."""
        if bytes(self.at(0, 8, "the superblock")) != SIGNATURE:
            raise ValueError("no HDF5 file")
        version, offsets, lengths = (self.number(at, 1, "the superblock") for at in (8, 13, 14))
        if version not in (0, 1) or (offsets, lengths) != (8, 8):
            raise ValueError(f"HDF5: a superblock of version {version} with addresses of {offsets} bytes; wanted "
                             "version 0 or 1 with 8: write it anew with h5py.File(..., libver='earliest'), as Keras "
                             "does")
        start = 24 + 4 * (version == 1)
        self.base = self.number(start, 8, "the superblock")
        entry = start + 32 - self.base
        return self.node(self.number(entry + 8, 8, "the root group"), 0, "")

    def node(self, address: int, depth: int, path: str) -> Node:
        """An object by its header; members of a group, in the order of their names."""
        if depth > MAX_DEPTH or address in self.open:
            raise ValueError(f"HDF5: groups are nested more than {MAX_DEPTH} deep, or in themselves")
        self.open.add(address)
        found, parts = Node(), {}
        for kind, body in self.messages(address):
            if kind in FOREIGN and kind != 0x02:
                raise ValueError(f"HDF5: {FOREIGN[kind]} is not read")
            if kind == ATTRIBUTE:
                name, value = self.attribute(body)
                found.attributes[name] = value
            elif kind == SYMBOLS:
                found.members = self.members(body, depth, path)
            else:
                parts[kind] = body
        if LAYOUT in parts:
            found.array = self.array(parts, path[1:101] or "an array")
        self.open.discard(address)
        return found

    # ------------------------------------------------------------ object headers (IV.A.1.a)

    def messages(self, address: int) -> Iterator[tuple[int, int]]:
        """(type, address of its body, whose size stands before it) of each message of a header of version 1."""
        if self.number(address, 1, "an object header") != 1:
            raise ValueError("HDF5: an object header of a version other than 1: write the file with libver='earliest'")
        blocks = [(address + 16, self.number(address + 8, 4, "an object header"))]
        for start, size in blocks:
            if len(blocks) > MAX_BLOCKS:
                raise ValueError(f"HDF5: an object header of more than {MAX_BLOCKS} blocks")
            self.at(start, size, "an object header")
            at, end = start, start + size
            while at + 8 <= end:
                self.count("a message")
                kind, length = self.number(at, 2, "a message"), self.number(at + 2, 2, "a message")
                if at + 8 + length > end:
                    raise ValueError("HDF5: a message is longer than its header")
                if self.number(at + 4, 1, "a message") & 2:
                    raise ValueError("HDF5: shared messages are not read")
                if kind == CONTINUATION:
                    blocks.append((self.number(at + 8, 8, "a continuation"), self.number(at + 16, 8, "a continuation")))
                elif kind:
                    yield kind, at + 8
                at += 8 + length

    def length(self, body: int) -> int:
        """The size of a message's body."""
        return self.number(body - 6, 2, "a message")

    # ------------------------------------------------------------ groups (III.A to III.D)

    def members(self, body: int, depth: int, path: str) -> dict[str, Node]:
        """Names of a symbol table, and what they stand for."""
        tree, heap = self.number(body, 8, "a symbol table"), self.number(body + 8, 8, "a symbol table")
        if bytes(self.at(heap, 4, "a heap of names")) != b"HEAP":
            raise ValueError("HDF5: a group has no heap of names")
        size, names = self.number(heap + 8, 8, "a heap"), self.number(heap + 24, 8, "a heap")
        heap_data = self.at(names, size, "a heap of names")
        found: dict[str, Node] = {}
        for table in self.leaves(tree, 0):
            if bytes(self.at(table, 4, "a symbol table")) != b"SNOD":
                raise ValueError("HDF5: a node of a group is no symbol table")
            for i in range(self.number(table + 6, 2, "a symbol table")):
                self.count("a name")
                entry = table + 8 + 40 * i
                offset = self.number(entry, 8, "a name")
                if self.number(entry + 16, 4, "a name") == 2:
                    raise ValueError("HDF5: soft links are not read")
                name = _text(heap_data[offset:offset + 1024], "a name")
                found[name] = self.node(self.number(entry + 8, 8, "a name"), depth + 1, f"{path}/{name}")
        return found

    def leaves(self, address: int, depth: int) -> Iterator[int]:
        """Addresses of the symbol tables below a node of a B-tree of version 1."""
        self.count("a node of a tree")
        if depth > 8 or bytes(self.at(address, 4, "a tree")) != b"TREE" or self.number(address + 4, 1, "a tree"):
            raise ValueError("HDF5: a group's tree is damaged")
        level, used = self.number(address + 5, 1, "a tree"), self.number(address + 6, 2, "a tree")
        for i in range(used):
            child = self.number(address + 24 + 8 + 16 * i, 8, "a tree")
            if level:
                yield from self.leaves(child, depth + 1)
            else:
                self.count("a leaf of a tree")
                yield child

    # ------------------------------------------------------------ messages (IV.A.2)

    def shape(self, body: int) -> tuple[int, ...]:
        """A dataspace of version 1 or 2 (IV.A.2.b)."""
        version, rank = self.number(body, 1, "a dataspace"), self.number(body + 1, 1, "a dataspace")
        if version not in (1, 2) or rank > 8:
            raise ValueError(f"HDF5: a dataspace of version {version} with {rank} axes is not read")
        if version == 2 and self.number(body + 3, 1, "a dataspace") == 2:
            return (0,)
        start = body + (8 if version == 1 else 4)
        return tuple(self.number(start + 8 * i, 8, "a dataspace") for i in range(rank))

    def datatype(self, body: int) -> _Type:
        """Numbers and strings (IV.A.2.d)."""
        kind, bits = self.number(body, 1, "a datatype") & 15, self.number(body + 1, 3, "a datatype")
        size = self.number(body + 4, 4, "a datatype")
        if kind == 0 and size in (1, 2, 4, 8):
            return _Type(size, f"{'>' if bits & 1 else '<'}{'i' if bits & 8 else 'u'}{size}")
        if kind == 1 and size in (2, 4, 8):
            return _Type(size, f"{'>' if bits & 1 else '<'}f{size}")
        if kind == 3 and 0 < size <= len(self.data):
            return _Type(size, is_string=True)
        if kind == 9 and bits & 15 == 1 and size == 16:
            return _Type(size, is_string=True, is_variable=True)
        if kind == 8 and self.number(body + 8, 1, "a datatype") & 15 == 0:  # an enumeration: of booleans, in h5py
            return self.datatype(body + 8)
        raise ValueError(f"HDF5: a datatype of class {kind} and {size} bytes is neither a number nor a string")

    def attribute(self, body: int) -> tuple[str, Value]:
        """A name and its value, of version 1 to 3 (IV.A.2.m)."""
        version = self.number(body, 1, "an attribute")
        sizes = [self.number(body + at, 2, "an attribute") for at in (2, 4, 6)]
        if version not in (1, 2, 3) or (version > 1 and self.number(body + 1, 1, "an attribute") & 3):
            raise ValueError(f"HDF5: an attribute of version {version} is not read")
        at = body + (9 if version == 3 else 8)
        padded = [-(-size // 8) * 8 if version == 1 else size for size in sizes]
        places = [at, at + padded[0], at + padded[0] + padded[1], at + sum(padded)]
        if places[3] > body + self.length(body):
            raise ValueError("HDF5: an attribute is longer than its message")
        name = _text(self.at(places[0], sizes[0], "an attribute"), "an attribute")
        kind, shape = self.datatype(places[1]), self.shape(places[2])
        n_bytes = body + self.length(body) - places[3]
        n = int(np.prod(shape, dtype=np.float64)) if shape else 1
        if n * kind.size > n_bytes:
            raise ValueError(f"HDF5: the attribute {name[:60]} has {n} values, more than its message")
        return name, self.values(places[3], kind, shape, n, name)

    def values(self, address: int, kind: _Type, shape: tuple[int, ...], n: int, name: str) -> Value:
        """n values at an address."""
        raw = self.at(address, n * kind.size, name)
        if not kind.is_string:
            return np.frombuffer(raw, kind.code).reshape(shape)
        items = [raw[i * kind.size:(i + 1) * kind.size] for i in range(n)]
        texts = [self.heap_text(item, name) if kind.is_variable else _text(item, name) for item in items]
        return texts if shape else texts[0]

    def heap_text(self, item: memoryview, name: str) -> str:
        """A string of the global heap (III.E): its length, the collection's address, its number there."""
        length, collection, index = struct.unpack("<IQI", item)
        if length == 0 or collection in (0, UNDEFINED):
            return ""
        if collection not in self.heaps:
            self.heaps[collection] = self.heap(collection, name)
        at, size = self.heaps[collection].get(index, (0, -1))
        self.copied += length
        if length > size or self.copied > 4 * len(self.data) + 2**16:
            raise ValueError(f"HDF5: the string of {name[:60]} is not in its heap")
        return _text(self.at(at, length, name), name)

    def heap(self, collection: int, name: str) -> dict[int, tuple[int, int]]:
        """Address and size of the strings of a collection, by their numbers."""
        if bytes(self.at(collection, 4, "a heap of strings")) != b"GCOL":
            raise ValueError(f"HDF5: {name[:60]} lies in no heap of strings")
        found = {}
        at, end = collection + 16, collection + self.number(collection + 8, 8, "a heap of strings")
        while at + 16 <= end:
            self.count("a string")
            number, size = self.number(at, 2, "a string"), self.number(at + 8, 8, "a string")
            if number == 0:
                break
            found[number] = at + 16, size
            at += 16 + -(-size // 8) * 8
        return found

    def array(self, parts: dict[int, int], name: str) -> Array:
        """An array that lies in one piece, in its header, or in chunks (IV.A.2.i)."""
        if DATATYPE not in parts or DATASPACE not in parts:
            raise ValueError(f"HDF5: {name} has no type or shape")
        kind, shape, body = self.datatype(parts[DATATYPE]), self.shape(parts[DATASPACE]), parts[LAYOUT]
        version, layout = self.number(body, 1, "a layout"), self.number(body + 1, 1, "a layout")
        if version != 3 or layout > 2:
            raise ValueError(f"HDF5: {name} has a layout of version {version} and class {layout}, which is not read: "
                             f"{hdf5_chunks.REMEDY}")
        if kind.is_string:
            return _known(np.zeros(0))                          # names and notes, which no network computes with
        address, n_bytes = (body + 4, self.number(body + 2, 2, "a layout")) if layout == 0 else \
            (self.number(body + 2 + (layout == 2), 8, "a layout"), self.number(body + 10, 8, "a layout"))
        if address == UNDEFINED and 0 in shape:
            return _known(np.zeros(check_shape(f"HDF5: {name}", shape, 0, kind.size), kind.code))
        if address == UNDEFINED:
            raise ValueError(f"HDF5: {name} was never written")
        if layout == 2:
            return Array(shape, np.dtype(kind.code), lambda: self.chunked(address, kind, shape, parts, name))
        check_shape(f"HDF5: {name}", shape, n_bytes, kind.size)
        return _known(np.frombuffer(self.at(address, n_bytes, name), kind.code).reshape(shape))

    def chunked(self, address: int, kind: _Type, shape: tuple[int, ...], parts: dict[int, int],
                name: str) -> np.ndarray:
        """An array in chunks; all of them together are in proportion to the file."""
        check_shape(f"HDF5: {name}", shape, math.prod(shape) * kind.size, kind.size)
        self.unpacked += math.prod(shape) * kind.size
        if self.unpacked > min(SLACK + MOST_RATIO * len(self.data), MAX_FILE):
            raise ValueError(f"HDF5: {name} unpacks to {math.prod(shape) * kind.size:,} bytes, in a file of "
                             f"{len(self.data):,}: no network shrinks like this")
        filters = hdf5_chunks.filters_of(self.number, parts[FILTERS], name) if FILTERS in parts else []
        sizes = hdf5_chunks.chunk_sizes(self.number, parts[LAYOUT], shape, kind.size, name)
        chunks = hdf5_chunks.chunks_of(self.number, self.count, address, len(shape))
        return hdf5_chunks.assembled(self.at, chunks, sizes, shape, np.dtype(kind.code), filters, name)


def _known(value: np.ndarray) -> Array:
    return Array(value.shape, value.dtype, lambda: value)


def _text(raw: memoryview, what: str) -> str:
    """UTF-8 up to the first zero byte."""
    try:
        return bytes(raw).split(b"\0", 1)[0].decode()
    except UnicodeDecodeError:
        raise ValueError(f"HDF5: {what[:60]} is no UTF-8 text") from None
