"""ONNX models from the wire format of protocol buffers: nodes, attributes, initializers, the shape of the input.

The `onnx` package would do, but it brings a compiled protobuf runtime for some 100 lines' work, and its parser's limits
on nesting and size are not ours. Only the messages that a network needs are entered, by number, and never deeper than
they nest: unknown fields are skipped by their length, and every length lies inside of the bytes.

References
----------
protobuf.dev, Encoding; the field numbers of ONNX [M: recalled; files that the onnx package wrote are read right].
"""

import math
import os
import struct
from array import array as Integers
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bnnsim.checks import FilePath
from bnnsim.interop.bounded import MAX_AXES, array, bfloat16, check_shape, read_bytes
from bnnsim.interop.onnx_external import REMEDY, ExternalData

MAX_PARTS = 20_000                  # nodes, initializers, inputs; numbers of an attribute
MAX_FIELDS = 1_000_000              # of a whole file
TYPES = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "b1", 10: "f2", 11: "f8", 12: "u4", 13: "u8"}
BFLOAT16 = 16
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


@dataclass
class OnnxNode:
    """One operation."""

    op: str = ""
    name: str = ""
    domain: str = ""
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name or (self.outputs[0] if self.outputs else 'a node')} ({self.op})"


@dataclass
class OnnxGraph:
    """Nodes in order, constants by name, inputs and outputs with their sizes (None where they vary)."""

    nodes: list[OnnxNode] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: dict[str, list[int | None]] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)


def read_graph(path: FilePath) -> OnnxGraph:
    """The graph of an ONNX file."""
    reader = _Reader(ExternalData(os.fspath(path)))
    fields = reader.fields(memoryview(read_bytes(path)))
    graphs = [value for number, wire, value in fields if (number, wire) == (7, BYTES)]
    if len(graphs) != 1:
        raise ValueError(f"ONNX: the file has {len(graphs)} graphs, wanted one")
    return reader.graph(graphs[0])


class _Reader:
    """Counts what it has read: a file of empty fields costs no more than its size."""

    def __init__(self, external: ExternalData) -> None:
        self.n_fields, self.external = 0, external

    def fields(self, data: memoryview) -> Iterator[tuple[int, int, Any]]:
        """(number, wire type, value) of each field of a message: an integer, or bytes."""
        at = 0
        while at < len(data):
            self.n_fields += 1
            if self.n_fields > MAX_FIELDS:
                raise ValueError(f"ONNX: more than {MAX_FIELDS:,} fields")
            key, at = _varint(data, at)
            number, wire = key >> 3, key & 7
            if wire == VARINT:
                value, at = _varint(data, at)
                yield number, wire, value
                continue
            n, at = _varint(data, at) if wire == BYTES else ({FIXED64: 8, FIXED32: 4}.get(wire, -1), at)
            if n < 0 or n > len(data) - at or number == 0:
                raise ValueError(f"ONNX: field {number} of wire type {wire} with {n} bytes, where {len(data) - at} "
                                 "are left")
            yield number, wire, data[at:at + n]
            at += n

    def graph(self, data: memoryview) -> OnnxGraph:
        """GraphProto."""
        found = OnnxGraph()
        for number, wire, value in self.fields(data):
            if len(found.nodes) + len(found.constants) + len(found.inputs) + len(found.outputs) > MAX_PARTS:
                raise ValueError(f"ONNX: more than {MAX_PARTS:,} nodes and initializers")
            if wire != BYTES:
                continue
            if number == 1:
                found.nodes.append(self.node(value))
            elif number == 5:
                name, tensor = self.tensor(value)
                found.constants[name] = tensor
            elif number == 11:
                name, shape = self.value_info(value)
                found.inputs[name] = shape
            elif number == 12:
                found.outputs.append(self.value_info(value)[0])
            elif number == 15:
                raise ValueError("ONNX: sparse initializers are not read")
        return found

    def node(self, data: memoryview) -> OnnxNode:
        """NodeProto."""
        node = OnnxNode()
        for number, wire, value in self.fields(data):
            if wire != BYTES:
                continue
            if number == 1:
                node.inputs.append(_text(value))
            elif number == 2:
                node.outputs.append(_text(value))
            elif number == 3:
                node.name = _text(value)
            elif number == 4:
                node.op = _text(value)
            elif number == 5:
                name, given = self.attribute(value)
                node.attributes[name] = given
            elif number == 7:
                node.domain = _text(value)
        return node

    def attribute(self, data: memoryview) -> tuple[str, Any]:
        """AttributeProto: a number, a text, a tensor, or a list of numbers; graphs are left out."""
        name, single, floats, integers = "", None, list[float](), list[int]()
        for number, wire, value in self.fields(data):
            if number == 1 and wire == BYTES:
                name = _text(value)
            elif number == 2 and wire == FIXED32:
                single = struct.unpack("<f", value)[0]
            elif number == 3 and wire == VARINT:
                single = _signed(value)
            elif number == 4 and wire == BYTES:
                single = _text(value)
            elif number == 5 and wire == BYTES:
                single = self.tensor(value)[1]
            elif number == 7:
                floats += self.numbers(value, wire, "<f4", MAX_PARTS).tolist()
            elif number == 8:
                integers += self.numbers(value, wire, "", MAX_PARTS).tolist()
        return name, single if single is not None else floats or integers

    def numbers(self, value: Any, wire: int, code: str, most: int) -> np.ndarray:
        """At most so many values of a repeated field, packed or one by one; "" for varints."""
        if wire == VARINT:
            return np.array([_signed(value)])
        if code:
            if len(value) % np.dtype(code).itemsize or len(value) > most * np.dtype(code).itemsize:
                raise ValueError(f"ONNX: a list of numbers ends within one, or has more than {most:,}")
            return np.frombuffer(value, code)
        found, at = Integers("q"), 0
        while at < len(value):
            number, at = _varint(value, at)
            found.append(_signed(number))
            if len(found) > most:
                raise ValueError(f"ONNX: a list of more than {most:,} numbers")
        return np.array(found, np.int64)

    def tensor(self, data: memoryview) -> tuple[str, np.ndarray]:
        """TensorProto: its name and values; lists of values are read when its sizes are known."""
        name, kind, dims, raw, elsewhere = "", 0, list[int](), None, dict[str, str]()
        lists: dict[int, list[tuple[Any, int]]] = {4: [], 5: [], 7: [], 10: [], 11: []}
        is_elsewhere = False
        for number, wire, value in self.fields(data):
            if number == 1:
                dims += self.numbers(value, wire, "", MAX_AXES).tolist()
            elif number == 2 and wire == VARINT:
                kind = value
            elif number == 8 and wire == BYTES:
                name = _text(value)
            elif number == 9 and wire == BYTES:
                raw = value
            elif number in lists:
                lists[number].append((value, wire))
            elif number == 13 and wire == BYTES and len(elsewhere) < MAX_AXES:
                texts = {key: _text(text) for key, wire, text in self.fields(value) if wire == BYTES}
                elsewhere[texts.get(1, "")] = texts.get(2, "")
            elif number == 14:
                is_elsewhere = value == 1
            elif number == 3:
                raise ValueError(f"ONNX: {name[:60] or 'a tensor'} is stored in pieces: {REMEDY}")
        if is_elsewhere:
            raw = memoryview(self.external.read(name, elsewhere, _n_bytes(name, kind, dims)))
        number, given = next((item for item in lists.items() if item[1]), (0, []))
        most = max(math.prod(dims), 0) if len(dims) <= MAX_AXES else 0
        values = [self.numbers(value, wire, {4: "<f4", 10: "<f8"}.get(number, ""), most) for value, wire in given]
        return name, _tensor(name, kind, dims, raw, np.concatenate(values) if values else np.zeros(0))

    def value_info(self, data: memoryview) -> tuple[str, list[int | None]]:
        """ValueInfoProto: name and sizes."""
        name, sizes = "", list[int | None]()
        for number, wire, value in self.fields(data):
            if number == 1 and wire == BYTES:
                name = _text(value)
            elif number == 2 and wire == BYTES:
                dims = value
                for inside in (1, 2):                           # TypeProto.tensor_type, Tensor.shape
                    dims = next((inner for n, w, inner in self.fields(dims) if (n, w) == (inside, BYTES)),
                                memoryview(b""))
                sizes = [next((inner for n, w, inner in self.fields(dim) if (n, w) == (1, VARINT)), None)
                         for n, w, dim in self.fields(dims) if (n, w) == (1, BYTES)]
        return name, sizes


def _n_bytes(name: str, kind: int, dims: list[int]) -> int:
    """Of a tensor of this type and shape."""
    size = 2 if kind == BFLOAT16 else np.dtype(TYPES[kind]).itemsize if kind in TYPES else 0
    if size == 0 or len(dims) > MAX_AXES or min(dims, default=0) < 0:
        raise ValueError(f"ONNX: {name[:60] or 'a tensor'} has values of type {kind} in a shape {str(dims)[:60]}")
    return math.prod(dims) * size


def _tensor(name: str, kind: int, dims: list[int], raw: memoryview | None, values: np.ndarray) -> np.ndarray:
    what = f"ONNX: {name[:60] or 'a tensor'}"
    if kind == BFLOAT16 and raw is not None:
        return bfloat16(what, raw, dims)
    if kind not in TYPES:
        raise ValueError(f"{what} has values of type {kind}, which are no numbers")
    dtype = np.dtype(TYPES[kind])
    if raw is None:
        values = values.astype(np.uint16).view(np.float16) if kind == 10 else values.astype(dtype)
        return values.reshape(check_shape(what, dims, values.nbytes, dtype.itemsize))
    return array(what, raw, dtype, dims).astype(dtype, copy=False)


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """(an integer of 64 bits, what follows it)."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("ONNX: the file ends within a number")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (2**64 - 1), at
    raise ValueError("ONNX: an integer of more than 64 bits")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8", "replace")
