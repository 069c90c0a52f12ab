"""Many members or attributes of one object in an HDF5 file: a fractal heap, and a B-tree that says what is in it.

References
----------
The HDF Group, HDF5 File Format Specification Version 3.0, sections III.A.2 and III.G.
"""

import bisect
import struct
from typing import TYPE_CHECKING

from bnnsim.files.hdf5_messages import Damaged, Fields, lookup3

if TYPE_CHECKING:
    from bnnsim.files.hdf5_structure import Reader

UNDEFINED = 2**64 - 1               # the address of what is not there
MAX_RECORDS = 2**16
MAX_DEPTH = 4                       # levels of a tree, blocks in blocks


class Heap:
    """A fractal heap (III.G): objects by (offset, length) in blocks that double."""

    def __init__(self, reader: "Reader", address: int, what: str) -> None:
        fields = reader.checked(address, 146, f"the heap of {what}", b"FRHP\0")
        self.reader, self.address, self.what = reader, address, fields.what
        self.id_bytes, n_filters, flags, largest = (fields.number(n) for n in (2, 2, 1, 4))
        fields.take(8 * 12)
        self.width, self.start, most_direct, heap_bits = (fields.number(n) for n in (2, 8, 8, 2))
        _, root, rows = (fields.number(n) for n in (2, 8, 2))
        if n_filters or flags & ~2 or not (0 < self.width <= 1024 and 0 < heap_bits <= 64 and rows <= 64):
            raise Damaged(f"{self.what} is of a kind that bnnsim does not write")
        for size in (self.start, most_direct):
            if not 0 < size <= 2**24 or size & (size - 1):
                raise Damaged(f"{self.what} has blocks of {size} bytes")
        self.offset_bytes, self.summed = (heap_bits + 7) // 8, flags & 2
        self.length_bytes = (min(most_direct, largest).bit_length() + 7) // 8
        self.direct_rows = most_direct.bit_length() - self.start.bit_length() + 2
        self.blocks: dict[int, bytes] = {}                       # first offset of a direct block: its bytes
        if rows:
            self._indirect(root, rows, 0, 0)
        elif root != UNDEFINED:
            self._direct(root, self.start, 0)
        self.offsets = sorted(self.blocks)

    def _row_size(self, row: int) -> int:
        return self.start << max(row - 1, 0)

    def _head(self, fields: Fields, offset: int) -> None:
        fields.expect(struct.pack("<Q", self.address), "the address of its heap,")
        fields.expect(offset.to_bytes(self.offset_bytes, "little"), "its place,")

    def _direct(self, address: int, size: int, offset: int) -> None:
        data = self.reader.read(address, size, self.what)
        if address in self.reader.seen:
            raise Damaged(f"{self.what} has a block twice")
        self.reader.seen.add(address)
        fields = Fields(data, self.what)
        fields.expect(b"FHDB\0", "a direct block")
        self._head(fields, offset)
        if self.summed:
            at = fields.at
            if lookup3(data[:at] + bytes(4) + data[at + 4:]) != fields.number(4):
                raise Damaged(f"{self.what} has a block without its checksum")
        self.blocks[offset] = data

    def _indirect(self, address: int, rows: int, offset: int, depth: int) -> None:
        n_bytes = 5 + 8 + self.offset_bytes + 8 * rows * self.width + 4
        fields = self.reader.checked(address, n_bytes, self.what, b"FHIB\0")
        self._head(fields, offset)
        for row in range(rows):
            size = self._row_size(row)
            for _ in range(self.width):
                child = fields.number(8)
                if child != UNDEFINED:
                    if row < self.direct_rows:
                        self._direct(child, size, offset)
                    elif depth < MAX_DEPTH:
                        inner = size.bit_length() - (self.start * self.width).bit_length() + 1
                        self._indirect(child, inner, offset, depth + 1)
                offset += size

    def stored(self, key: bytes) -> bytes:
        """The bytes of an object, by its identity: kind and version, offset, length."""
        fields = Fields(key, self.what)
        if fields.number(1):
            raise Damaged(f"{self.what} has an object outside of its blocks")
        offset, n = fields.number(self.offset_bytes), fields.number(self.length_bytes)
        before = bisect.bisect_right(self.offsets, offset) - 1
        first = self.offsets[before] if before >= 0 else offset
        block = self.blocks.get(first, b"")
        if offset - first + n > len(block):
            raise Damaged(f"{self.what} has an object outside of its blocks")
        self.reader.spend(n, self.what)
        self.reader.count(self.what)
        return block[offset - first:offset - first + n]


def _bytes_for(limit: int) -> int:
    """Bytes that HDF5 takes for numbers up to a limit."""
    return (limit.bit_length() - 1) // 8 + 1


def tree_records(reader: "Reader", address: int, kind: int, what: str) -> list[bytes]:
    """All records of a B-tree of version 2 (III.A.2): kind 5 has links by name, 8 attributes by name."""
    what = f"the index of {what}"
    fields = reader.checked(address, 38, what, b"BTHD\0" + bytes([kind]))
    node, size, depth = fields.number(4), fields.number(2), fields.number(2)
    fields.take(2)
    root, n, total = fields.number(8), fields.number(2), fields.number(8)
    if not 10 < node <= 2**20 or size != {5: 11, 8: 17}[kind] or depth > MAX_DEPTH or total > MAX_RECORDS:
        raise Damaged(f"{what} has {total} records of {size} bytes in nodes of {node}")
    most, counts = (node - 10) // size, [0]                     # records of a leaf; bytes that tell a subtree's records
    n_bytes, below = _bytes_for(most), most
    for _ in range(depth):
        pointer = 8 + n_bytes + counts[-1]
        inner = (node - 10 - pointer) // (size + pointer)
        below = (inner + 1) * below + inner
        counts.append(_bytes_for(max(below, 1)))
    found: list[bytes] = []

    def walk(at: int, n: int, level: int) -> None:
        leaf = level == 0
        extra = 0 if leaf else (n + 1) * (8 + n_bytes + counts[level - 1])
        if 10 + n * size + extra > node:
            raise Damaged(f"{what} has a node of {n} records, more than it holds")
        fields = reader.checked(at, 6 + n * size + extra + 4, what, (b"BTLF\0" if leaf else b"BTIN\0") + bytes([kind]))
        found.extend(fields.take(size) for _ in range(n))
        for _ in range(0 if leaf else n + 1):
            child, n_child = fields.number(8), fields.number(n_bytes)
            fields.take(counts[level - 1])
            walk(child, n_child, level - 1)

    if root != UNDEFINED:
        walk(root, n, depth)
    if len(found) != total:
        raise Damaged(f"{what} tells of {total} records, got {len(found)}")
    return found
