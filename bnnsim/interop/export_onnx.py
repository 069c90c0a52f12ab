"""A network as ONNX, with standard operators alone, or as QONNX, with its BipolarQuant; images enter as uint8.

A hidden layer is Conv or MatMul, MaxPool, less (threshold - 1/2), times -1 where inverted, Sign: sums are integers, so
that Sign never meets 0, of which ONNX would make 0. All of it is exact in float32, whatever the order of a sum: where a
sum has 2**23 or more, the network is refused. Scores are float64, so that nothing is lost; float32 would round them to
24 bits. Padding with +-1, or with the border, is a Pad before the Conv; a last convolution's sums go through ReduceSum.
A last layer with thresholds ends in its Sign. A QONNX graph takes one image, as its tools want all sizes known. Of
networks that branch see `export_onnx_graph`.

U units, F features, K and C channels out and in, kh and kw a kernel's sizes.

References
----------
onnx.proto3 of ONNX (field numbers) [V: file]; qonnx 1.0.0, its operator BipolarQuant [V: code].
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.stages import Stage

IR_VERSION, OPSET = 8, 13
QONNX = "qonnx.custom_op.general"
UINT8, FLOAT, INT64, DOUBLE = 2, 1, 7, 11
TYPES = {"float32": FLOAT, "int64": INT64, "float64": DOUBLE}
MAX_BYTES = 2**31 - 2**20           # protocol buffers end there
MAX_HIDDEN, MAX_LAST = 2**23, 2**24
Value = int | str | Sequence[int]     # of an attribute


# ---------------------------------------------------------------- the wire format

def varint(value: int) -> bytes:
    """An integer of 64 bits, seven bits a byte."""
    value %= 2**64
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def put(number: int, value: int | str | bytes) -> bytes:
    """A field: an integer, a text, or a message's bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(name: str, value: Value) -> bytes:
    """AttributeProto of an integer, a text, or integers."""
    if isinstance(value, int):
        return put(1, name) + put(3, value) + put(20, 2)
    if isinstance(value, str):
        return put(1, name) + put(4, value) + put(20, 3)
    return put(1, name) + b"".join(put(8, each) for each in value) + put(20, 7)


def tensor(name: str, value: np.ndarray) -> bytes:
    """TensorProto."""
    dims = b"".join(put(1, size) for size in value.shape)
    raw = value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()
    return dims + put(2, TYPES[value.dtype.name]) + put(8, name) + put(9, raw)


def value_info(name: str, kind: int, sizes: list[int], one: bool) -> bytes:
    """ValueInfoProto: one of these, or any number."""
    dims = put(1, put(1, 1) if one else put(2, "N")) + b"".join(put(1, put(1, size)) for size in sizes)
    return put(1, name) + put(2, put(1, put(1, kind) + put(2, dims)))


# ---------------------------------------------------------------- the graph

@dataclass
class Graph:
    """Nodes and constants so far; `head` is what the next node reads."""

    quantized: bool
    head: str
    nodes: list[bytes] = field(default_factory=list)
    constants: list[bytes] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def node(self, op: str, output: str, *constants: np.ndarray | str, domain: str = "",
             **attributes: Value) -> None:
        """Add an operation on the head and constants."""
        inputs = [self.head, *(self.constant(f"{output}.{i}", each) if isinstance(each, np.ndarray) else each
                               for i, each in enumerate(constants))]
        self._put(op, inputs, output, domain, attributes)
        self.head = output

    def _put(self, op: str, inputs: list[str], output: str, domain: str, attributes: dict[str, Value]) -> None:
        data = b"".join(put(1, name) for name in inputs) + put(2, output) + put(3, output) + put(4, op)
        data += b"".join(put(5, attribute(name, value)) for name, value in attributes.items())
        self.nodes.append(put(1, data + (put(7, domain) if domain else b"")))

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add a constant, once; its name."""
        if name not in self.names:
            self.names.add(name)
            self.constants.append(put(5, tensor(name, value)))
        return name

    def weights(self, name: str, value: np.ndarray) -> str:
        """+-1 weights; a QONNX graph says by a quantizer that they are."""
        self.constant(name, value)
        if not self.quantized:
            return name
        self._put("BipolarQuant", [name, self.constant("one", np.ones((), np.float32))], f"{name}.bits", QONNX, {})
        return f"{name}.bits"

    def sign(self, output: str) -> None:
        """Bits of what is never 0."""
        if self.quantized:
            self.node("BipolarQuant", output, self.constant("one", np.ones((), np.float32)), domain=QONNX)
        else:
            self.node("Sign", output)


def onnx_content(network: PackedNetwork, quantized: bool = False) -> bytes:
    """The bytes of the file.

    Raises
    ------
    ValueError
        Where a layer's sums are not exact in float32, or the file would pass 2 GB.
    """
    n_weights = network.n_bits + sum(operation.n_parameters for operation in getattr(network, "operations", ()))
    if n_weights > MAX_BYTES // 4:
        raise ValueError(f"ONNX: {n_weights:,} weights are more than the 2 GB that a file may have")
    for stage in network.stages:
        _check_exact(stage)
    graph = Graph(quantized, "images")
    graph.node("Cast", "pixels", to=FLOAT)
    if isinstance(network, PackedGraph):
        from bnnsim.interop.export_onnx_graph import add_nodes          # which stands on this module

        add_nodes(graph, network)
    else:
        _add_chain(graph, network)
    data = b"".join([*graph.nodes, put(2, "bnnsim"), *graph.constants,
                     put(11, value_info("images", UINT8, list(network.input_shape), quantized)),
                     put(12, value_info("scores", DOUBLE, [network.n_classes], quantized))])
    opsets = [put(8, put(1, "") + put(2, OPSET)), *([put(8, put(1, QONNX) + put(2, 1))] if quantized else [])]
    notes = {"bnnsim.input_offset": str(network.input_offset), **network.metadata}
    return b"".join([put(1, IR_VERSION), put(2, "bnnsim"), put(7, data), *opsets,
                     *(put(14, put(1, key) + put(2, value)) for key, value in notes.items())])


def _check_exact(stage: Stage) -> None:
    """Every part of a sum, and of what a threshold is taken from, is a float32."""
    most, limit = stage.bound + 1, MAX_LAST if stage.layer.threshold is None else MAX_HIDDEN
    if most >= limit:
        raise ValueError(f"ONNX: sums of layers[{stage.index}] have up to {most:,}, and would not be exact in float32 "
                         f"from {limit:,} on")


def _add_chain(graph: Graph, network: PackedNetwork) -> None:
    if network.stages[0].offset:
        graph.node("Sub", "levels", np.array(network.stages[0].offset, np.float32))
    for stage in network.stages:
        add_layer(graph, stage)
    if network.layers[-1].threshold is not None:
        graph.node("Cast", "scores", to=DOUBLE)


def add_layer(graph: Graph, stage: Stage) -> None:
    """A layer of bits on the head, which is what it sums up: to bits, scores, or the sums that a graph reads."""
    layer, name = stage.layer, f"layer{stage.index}"
    if layer.kind == "bias":
        _add_bias(graph, stage, name)
    elif stage.reads_rows:
        _add_dense(graph, stage, name)
    else:
        _add_conv(graph, stage, name)
    if layer.pools:
        pool = layer.windows
        graph.node("MaxPool", f"{name}.pooled", kernel_shape=pool[:2], strides=pool[2:4], pads=pool[4:])
    if layer.threshold is None:
        if layer.mean is not None:
            _add_scores(graph, stage)
        return
    shape = (-1,) if len(stage.output_shape) == 1 else (1, -1, 1, 1)
    graph.node("Sub", f"{name}.about", (stage.theta - 0.5).astype(np.float32).reshape(shape))
    if stage.inverted.any():
        graph.node("Mul", f"{name}.turned", np.where(stage.inverted, -1, 1).astype(np.float32).reshape(shape))
    graph.sign(f"{name}.bits")


def _add_dense(graph: Graph, stage: Stage, name: str) -> None:
    if len(stage.input_shape) == 3:
        graph.node("Flatten", f"{name}.rows", axis=1)
    kernel = stage.layer.signs().reshape(-1, *stage.patch_shape).transpose(0, 3, 1, 2).astype(np.float32)
    weight = np.ascontiguousarray(kernel.reshape(stage.layer.units, -1).T)        # rows in C, H, W order, as Flatten's
    graph.node("MatMul", f"{name}.sums", graph.weights(f"{name}.weight", weight))


def _add_conv(graph: Graph, stage: Stage, name: str) -> None:
    layer, pads = stage.layer, stage.layer.padding
    around = np.array([0, 0, *pads[:2], 0, 0, *pads[2:]])
    if layer.replicate and any(pads):
        graph.node("Pad", f"{name}.padded", around, mode="edge")
    elif layer.pad_value and any(pads):
        graph.node("Pad", f"{name}.padded", around, np.array(layer.pad_value, "f4"))
    if layer.replicate or layer.pad_value:
        pads = (0, 0, 0, 0)
    sizes = layer.words.shape[1:3]
    kernel = layer.signs().reshape(-1, *sizes, layer.n_in).transpose(0, 3, 1, 2).astype(np.float32)
    graph.node("Conv", f"{name}.sums", graph.weights(f"{name}.weight", np.ascontiguousarray(kernel)), pads=pads,
               strides=layer.stride, dilations=layer.dilation, group=layer.groups, kernel_shape=sizes)


def _add_bias(graph: Graph, stage: Stage, name: str) -> None:
    """+-1 that a memory stores; where they stand for levels of pixels, already times these."""
    bias = stage.layer.signs()[0].astype(np.float32).reshape((-1,) if len(stage.output_shape) == 1 else (1, -1, 1, 1))
    level = stage.layer.pad_value
    graph.node("Add", f"{name}.sums", bias * np.float32(level) if level != 1 else graph.weights(f"{name}.bias", bias))


def _add_scores(graph: Graph, stage: Stage) -> None:
    """Of a convolution sums over its positions first."""
    mean, scale, shift = stage.layer.output_affine
    if len(stage.output_shape) > 1:
        graph.node("ReduceSum", "totals", np.array([2, 3]), keepdims=0)
    graph.node("Cast", "sums", to=DOUBLE)
    if mean.any():
        graph.node("Sub", "about", mean)
    if np.any(scale != 1):
        graph.node("Mul", "scaled", scale)
    graph.node("Add", "scores", shift)
