"""Graphs as ONNX and QONNX: layers of bits as `export_onnx` has them, operations by standard operators in float32.

A sign is GreaterOrEqual and Where, +1 where x >= threshold; in QONNX its BipolarQuant of x - threshold, which is 0 or
above exactly where x >= threshold. Maps are (N, C, H, W) there: dense layers that read one have their weights in that
order. Operations compute what bnnsim's do but for the order of sums, which is the reader's own: scores agree to
float32's rounding, and classes but for scores as near as that.

K units, kh x kw taps, C channels.
"""

from collections.abc import Callable

import numpy as np

from bnnsim.interop.export_onnx import DOUBLE, Graph, add_layer
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.graph_schema import IMAGES, Place
from bnnsim.packed.operations import (Add, Affine, AveragePool, Clip, Concatenate, GlobalAverage, LargestPool,
                                      Operation, Pixels, PReLU, RealConv, RealDense, Sign, Twice)

Shape = tuple[int, ...]


def add_nodes(graph: Graph, network: PackedGraph) -> None:
    """All nodes of a graph, of which the last gives "scores"; the graph's head is the pixels in float32."""
    values = {IMAGES: graph.head}
    for i, (node, place) in enumerate(zip(network.nodes, network.places)):
        read = [values[at] for at in node.inputs]
        graph.head = read[0]
        if isinstance(node.what, Operation):
            shapes = [network.places[at].shape if at != IMAGES else (*network.input_shape[1:], network.input_shape[0])
                      for at in node.inputs]
            ADD[type(node.what)](graph, f"node{i}", node.what, shapes[0], read[1:])
        else:
            _add_bits(graph, place, values)
        values[i] = graph.head
    if network.places[-1].kind != "scores":
        graph.node("Cast", "scores", to=DOUBLE)


def _add_bits(graph: Graph, place: Place, values: dict[int, str]) -> None:
    """A layer of bits; several of them may read the same pixels minus the offset."""
    stage = place.stage
    assert stage is not None
    if stage.offset:
        if "levels" not in graph.names:
            graph.node("Sub", "levels", np.array(stage.offset, np.float32))
            graph.names.add("levels")
        graph.head = "levels"
    add_layer(graph, stage)


def _of_channels(array: np.ndarray, shape: Shape) -> np.ndarray:
    """A number a channel, as it meets maps (N, C, H, W), or rows."""
    return np.ascontiguousarray(array, np.float32).reshape((1, -1, 1, 1) if len(shape) == 3 else (1, -1))


def _affine(graph: Graph, name: str, what: Affine | Pixels, shape: Shape, others: list[str]) -> None:
    graph.node("Mul", f"{name}.scaled", _of_channels(what.scale, shape))
    graph.node("Add", f"{name}.out", _of_channels(what.shift, shape))


def _prelu(graph: Graph, name: str, what: PReLU, shape: Shape, others: list[str]) -> None:
    graph.node("PRelu", f"{name}.out", _of_channels(what.slope, shape)[0])


def _clip(graph: Graph, name: str, what: Clip, shape: Shape, others: list[str]) -> None:
    graph.node("Clip", f"{name}.out", np.array(what.low[0]), np.array(what.high[0]))


def _sign(graph: Graph, name: str, what: Sign, shape: Shape, others: list[str]) -> None:
    threshold = _of_channels(what.threshold, shape)
    if graph.quantized:
        graph.node("Sub", f"{name}.about", threshold)
        graph.sign(f"{name}.bits")
        return
    graph.node("GreaterOrEqual", f"{name}.is", threshold)
    graph.node("Where", f"{name}.bits", graph.constant("plus", np.ones((), np.float32)),
               graph.constant("minus", -np.ones((), np.float32)))


def _add(graph: Graph, name: str, what: Add, shape: Shape, others: list[str]) -> None:
    for j, other in enumerate(others):
        graph.node("Add", f"{name}.sum{j}", other)


def _concatenate(graph: Graph, name: str, what: Concatenate, shape: Shape, others: list[str]) -> None:
    graph.node("Concat", f"{name}.out", *others, axis=1)


def _average(graph: Graph, name: str, what: AveragePool, shape: Shape, others: list[str]) -> None:
    graph.node("AveragePool", f"{name}.out", kernel_shape=what.size, strides=what.stride, pads=what.padding,
               count_include_pad=what.whole)


def _largest(graph: Graph, name: str, what: LargestPool, shape: Shape, others: list[str]) -> None:
    graph.node("MaxPool", f"{name}.out", kernel_shape=what.size, strides=what.stride, pads=what.padding)


def _global(graph: Graph, name: str, what: GlobalAverage, shape: Shape, others: list[str]) -> None:
    graph.node("GlobalAveragePool", f"{name}.means")
    graph.node("Flatten", f"{name}.out", axis=1)


def _conv(graph: Graph, name: str, what: RealConv, shape: Shape, others: list[str]) -> None:
    kernel = np.ascontiguousarray(what.weight.transpose(0, 3, 1, 2))            # (K, C / groups, kh, kw)
    graph.node("Conv", f"{name}.out", kernel, np.array(what.bias), pads=what.padding, strides=what.stride,
               dilations=what.dilation, group=what.groups, kernel_shape=what.weight.shape[1:3])


def _dense(graph: Graph, name: str, what: RealDense, shape: Shape, others: list[str]) -> None:
    weight = what.weight
    if len(shape) == 3:
        graph.node("Flatten", f"{name}.rows", axis=1)
        weight = weight.reshape(-1, *shape).transpose(0, 3, 1, 2).reshape(len(weight), -1)      # from H, W, C order
    graph.node("Gemm", f"{name}.out", np.ascontiguousarray(weight), np.array(what.bias), transB=1)


def _twice(graph: Graph, name: str, what: Twice, shape: Shape, others: list[str]) -> None:
    raise ValueError(f"{name} reads its input twice, for pairs of devices that hold ternary weights: a network of such "
                     "is written as .h5 by network.save, and its cells as .csv")


ADD: dict[type[Operation], Callable[..., None]] = {
    Pixels: _affine, Affine: _affine, PReLU: _prelu, Clip: _clip, Sign: _sign, Add: _add, Concatenate: _concatenate,
    AveragePool: _average, GlobalAverage: _global, LargestPool: _largest, RealConv: _conv, RealDense: _dense,
    Twice: _twice}
