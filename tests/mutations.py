"""HDF5 files changed on purpose, with the checksums of their structures set right: what an attacker would send."""

import struct

import numpy as np

from bnnsim.files import hdf5_structure
from bnnsim.files.hdf5_messages import lookup3

VALUES = (0, 1, 2, 3, 7, 8, 255, 256, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63,
          2**64 - 1)


def structures(path):
    """(address, size, place of its checksum) of each structure of a good file."""
    found = []

    class Recorder(hdf5_structure.Reader):
        def checked(self, address, n, what, signature=b""):
            found.append((address, n, n - 4))
            return super().checked(address, n, what, signature)

    class Heap(hdf5_structure.Heap):
        def _direct(self, address, size, offset):
            super()._direct(address, size, offset)
            if self.summed:
                found.append((address, size, 5 + 8 + self.offset_bytes))

    heap, hdf5_structure.Heap = hdf5_structure.Heap, Heap
    try:
        with open(path, "rb") as file:
            Recorder(file).root()
    finally:
        hdf5_structure.Heap = heap
    return found


def sealed(content, places):
    """The content, each structure with the checksum of what it is now."""
    content = bytearray(content)
    for address, size, at in places:
        block = content[address:address + size]
        if len(block) == size:
            block[at:at + 4] = bytes(4)
            rest = block[:at] if at + 4 == size else block
            content[address + at:address + at + 4] = struct.pack("<I", lookup3(bytes(rest)))
    return bytes(content)


def mutated(content, places, rng):
    """A changed copy: bits, bytes and fields of structures, pieces moved, the end cut off or more behind it."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        address, size, _ = places[rng.integers(len(places))]
        if address + size > len(content) - 8:
            continue                                             # cut off before
        at, kind = address + int(rng.integers(size)), rng.integers(8)
        n = int(rng.choice([1, 2, 4, 8]))
        if kind < 2:
            content[at] ^= 1 << int(rng.integers(8))
        elif kind < 3:
            content[at] = int(rng.integers(256))
        elif kind < 5:                                           # a field with a value that hurts
            value = int(rng.choice(np.array(VALUES, np.uint64))) % 2**(8 * n)
            content[at:at + n] = value.to_bytes(n, "little")
        elif kind < 6:                                           # an address of something else
            content[at:at + 8] = struct.pack("<Q", places[rng.integers(len(places))][0])
        elif kind < 7:                                           # a piece of another structure
            source = places[rng.integers(len(places))][0]
            piece = bytes(content[source:source + int(rng.integers(1, 64))])
            content[at:at + len(piece)] = piece
        else:
            content = content[:len(content) - int(rng.integers(1, 300))] if rng.random() < 0.5 else content + bytes(64)
    return sealed(content, places)
