"""What stands where in an HDF5 file, read by ourselves: groups, attributes, and arrays as (type, shape, place).

libhdf5 crashes, hangs and allocates without bound on damaged bytes, whatever its caller checks first. So files are
written by it, and read without it: here is a reader of just the part of the format that `hdf5.new_file` writes (version
3 of the superblock, version 2 of object headers, all structures with checksums, arrays contiguous and unfiltered).
Everything else is refused. Each structure is bounded by the file, entered once, and checked before it is believed;
no number of the file is the size of an allocation before that.

References
----------
The HDF Group, HDF5 File Format Specification Version 3.0; the section is named at each function.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from bnnsim.files.announced import Announced
from bnnsim.files.hdf5_dense import UNDEFINED, Heap, tree_records
from bnnsim.files.hdf5_messages import Damaged, Fields, Refused, Value, attribute, dataspace, datatype, link, lookup3

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_THINGS = 2**16                  # members and attributes of a file, gaps between them included
MAX_BYTES = 2**24                   # of all structures together, without the arrays: some seconds' reading
MAX_STRUCTURE = 2**20               # bytes of one
MAX_DEPTH = 4                       # groups in groups

DATASPACE, LINK_INFO, DATATYPE, FILL, LINK, LAYOUT, GROUP_INFO, ATTRIBUTE, CONTINUATION, ATTRIBUTE_INFO = \
    0x01, 0x02, 0x03, 0x05, 0x06, 0x08, 0x0A, 0x0C, 0x10, 0x15
MESSAGES = {0x00: "a gap", DATASPACE: "a dataspace", LINK_INFO: "link info", DATATYPE: "a datatype",
            FILL: "a fill value", LINK: "a link", LAYOUT: "a layout", GROUP_INFO: "group info",
            ATTRIBUTE: "an attribute", CONTINUATION: "a continuation", ATTRIBUTE_INFO: "attribute info"}
FOREIGN = {0x07: "data in another file", 0x0B: "a filter", 0x16: "several names for one thing"}


@dataclass(frozen=True)
class Group:
    """A group: attributes and members by name."""

    name: str
    attributes: dict[str, Value]
    members: "dict[str, Group | Announced]"

    def __getitem__(self, name: str) -> "Group | Announced":
        return self.members[name]

    def __contains__(self, name: str) -> bool:
        return name in self.members


def read_structure(file: BinaryIO) -> Group:
    """The root group of an HDF5 file, open for reading in binary, with all that is below it.

    Raises
    ------
    Damaged
        Where the file is damaged, or uses a part of the format that bnnsim does not write.
    """
    return Reader(file).root()


class Reader:
    """A file, and what of it may still be read: structures that overlap or repeat cannot cost more than the file."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.size = file, os.fstat(file.fileno()).st_size
        self.seen: set[int] = set()
        self.things = 0
        self.budget = min(3 * self.size + 2**16, MAX_BYTES)      # starts of headers are read twice

    def read(self, address: int, n: int, what: str) -> bytes:
        """n bytes at an address."""
        if address > self.size or n > self.size - address:
            raise Damaged(f"{what} lies at byte {address}, in a file of {self.size}")
        if n > MAX_STRUCTURE:
            raise Damaged(f"{what} has {n} bytes, wanted at most {MAX_STRUCTURE}")
        self.spend(n, what)
        self.file.seek(address)
        data = self.file.read(n)
        if len(data) != n:
            raise Damaged(f"{what} ends early")
        return data

    def spend(self, n: int, what: str) -> None:
        """Count n bytes of what may be read in all."""
        self.budget -= n
        if self.budget < 0:
            raise Damaged(f"{what} overlaps with what was read before, or the file has too many parts")

    def count(self, what: str) -> None:
        """Count a message: a member, an attribute, a gap."""
        self.things += 1
        if self.things > 8 * MAX_THINGS:
            raise Damaged(f"{what} is one of more than {8 * MAX_THINGS} parts of the file")

    def checked(self, address: int, n: int, what: str, signature: bytes = b"") -> Fields:
        """A structure of n bytes whose last four are its checksum, entered once: fields behind the signature."""
        if address in self.seen:
            raise Damaged(f"{what} at byte {address} is part of itself, or of two others")
        self.seen.add(address)
        if n < len(signature) + 4:
            raise Damaged(f"{what} has only {n} bytes")
        data = self.read(address, n, what)
        if not data.startswith(signature):
            raise Damaged(f"{what} at byte {address} does not begin with {signature!r}")
        if lookup3(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise Damaged(f"{what} at byte {address} does not have its checksum")
        fields = Fields(data[:-4], what)
        fields.take(len(signature))
        return fields

    def root(self) -> Group:
        """Superblock of version 2 or 3 (II.A)."""
        version = self.read(0, 9, "the superblock")[8]
        if version not in (2, 3):
            raise Refused("wanted an HDF5 file that bnnsim saved, with a superblock of version 2 or 3, got one of "
                          f"another program, with version {version}: save it anew with bnnsim")
        fields = self.checked(0, 48, "the superblock", SIGNATURE)
        _, offsets, lengths, _ = fields.take(4)
        if (offsets, lengths) != (8, 8):
            raise Damaged(f"the superblock tells of addresses of {offsets} bytes, wanted 8")
        base, extension, end, root = (fields.number(8) for _ in range(4))
        if base or extension != UNDEFINED or end != self.size:
            raise Damaged(f"the superblock tells of {end} bytes, got a file of {self.size}")
        found = self.thing(root, "/", 0)
        if not isinstance(found, Group):
            raise Damaged("the root is no group")
        return found

    def messages(self, address: int, where: str) -> list[tuple[int, Fields]]:
        """(type, fields) of the messages of an object header of version 2 (IV.A.1.b)."""
        fields = Fields(self.read(address, min(64, self.size - min(address, self.size)), where), where)
        fields.expect(b"OHDR\2", "the start of an object header,")
        flags = fields.number(1)
        if flags & 0xC0:
            raise Damaged(f"{where} has unknown flags {flags:#x}")
        fields.take((16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0))
        n, start = fields.number(1 << (flags & 3)), fields.at
        if n > self.size:
            raise Damaged(f"{where} announces {n} bytes, in a file of {self.size}")
        chunk = self.checked(address, start + n + 4, where, b"OHDR")
        chunk.take(start - 4)
        n_head, found = 6 if flags & 4 else 4, []
        chunks = [chunk]
        for chunk in chunks:                                     # grows: a chunk may be continued elsewhere
            for kind, data in self._in_chunk(chunk, n_head):
                if kind == CONTINUATION:
                    chunks.append(self.checked(data.number(8), data.number(8), where, b"OCHK"))
                elif kind:
                    found.append((kind, data))
        return found

    def _in_chunk(self, chunk: Fields, n_head: int) -> Iterator[tuple[int, Fields]]:
        where = chunk.what
        while chunk.left() >= n_head:
            kind, size, flags = chunk.number(1), chunk.number(2), chunk.number(1)
            chunk.take(n_head - 4)
            self.count(where)
            if kind not in MESSAGES or flags & 2:                # bit 1: stored elsewhere and shared
                what = FOREIGN.get(kind, f"{MESSAGES.get(kind, 'a message')} of a kind ({kind:#x}, {flags})")
                raise Refused(f"{where}: wanted data stored in this file, contiguous and uncompressed, got {what} that "
                              "bnnsim does not write")
            yield kind, Fields(chunk.take(size), where)
        if chunk.take(chunk.left()).strip(b"\0"):
            raise Damaged(f"{where} has bytes behind its messages")

    def thing(self, address: int, name: str, depth: int) -> "Group | Announced":
        """The group or the dataset whose object header stands at an address."""
        if depth > MAX_DEPTH:
            raise Damaged(f"{name} lies {depth} groups deep, wanted at most {MAX_DEPTH}")
        messages = self.messages(address, name)
        kinds = [kind for kind, _ in messages]
        for kind in set(kinds) - {LINK, ATTRIBUTE}:
            if kinds.count(kind) > 1:
                raise Damaged(f"{name} has {MESSAGES[kind]} twice")
        attributes = self._attributes(messages, name)
        if LAYOUT in kinds:
            return self._dataset(dict(messages), attributes, name)
        links = self._links(messages, name)
        prefix = "" if name == "/" else name
        return Group(name, attributes, {key: self.thing(at, f"{prefix}/{key}", depth + 1) for key, at in links.items()})

    def _dataset(self, messages: dict[int, Fields], attributes: dict[str, Value], name: str) -> Announced:
        """Contiguous and unfiltered, or refused: data layout of version 3 or 4, class 1 (IV.A.2.i)."""
        if attributes:
            raise Refused(f"{name}: wanted an array without attributes, got some")
        if not {DATASPACE, DATATYPE} <= messages.keys():
            raise Damaged(f"{name} has no shape or no type")
        dtype, shape = datatype(messages[DATATYPE]), dataspace(messages[DATASPACE])
        version, kind = messages[LAYOUT].take(2)
        if version not in (3, 4) or kind != 1:
            raise Refused(f"{name}: wanted data stored in this file, contiguous and uncompressed, got another layout")
        address, n_stored = messages[LAYOUT].number(8), messages[LAYOUT].number(8)
        found, n_stored = Announced(name, dtype, shape, address), 0 if address == UNDEFINED else n_stored
        if found.n_bytes != n_stored or (n_stored and (address > self.size or n_stored > self.size - address)):
            raise Refused(f"{name}: shape {shape} announces {found.n_bytes} bytes, but {n_stored} are stored, in a "
                          f"file of {self.size}")
        return found

    def _attributes(self, messages: list[tuple[int, Fields]], name: str) -> dict[str, Value]:
        found: dict[str, Value] = {}
        info = [data for kind, data in messages if kind == ATTRIBUTE_INFO]
        stored = [data for kind, data in messages if kind == ATTRIBUTE]
        for data in info:                                        # IV.A.2.v
            stored += self._dense(data, 2, 8, f"the attributes of {name}")
        for data in stored:
            key, value = attribute(data)
            if key in found or len(found) >= MAX_THINGS:
                raise Damaged(f"{name} has the attribute {key} twice, or more than {MAX_THINGS}")
            found[key] = value
        return found

    def _links(self, messages: list[tuple[int, Fields]], name: str) -> dict[str, int]:
        found: dict[str, int] = {}
        info = [data for kind, data in messages if kind == LINK_INFO]
        if not info:
            raise Damaged(f"{name} is neither a group nor an array that bnnsim writes")
        stored = [data for kind, data in messages if kind == LINK]
        for data in info:                                        # IV.A.2.c
            stored += self._dense(data, 8, 5, f"the members of {name}")
        for data in stored:
            key, address = link(data)
            if key in found:
                raise Damaged(f"{name} has the member {key} twice")
            found[key] = address
        return found

    def _dense(self, info: Fields, order_bytes: int, kind: int, what: str) -> list[Fields]:
        """What is kept in a heap with an index by name, where there is much of it: fields of each message."""
        version, flags = info.take(2)
        if version or flags & ~3:
            raise Damaged(f"{what} have an index that bnnsim does not write")
        info.take(order_bytes if flags & 1 else 0)
        heap_at, tree_at = info.number(8), info.number(8)
        if heap_at == UNDEFINED:
            return []
        heap = Heap(self, heap_at, what)
        records = tree_records(self, tree_at, kind, what)
        at = 4 if kind == 5 else 0                               # behind the name's hash, or first
        return [Fields(heap.stored(record[at:at + heap.id_bytes]), what) for record in records]
