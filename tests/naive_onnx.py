"""ONNX graphs run by NumPy, operation by operation, in float32: slow, obviously right, from the standard's text."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def windows(x, kernel, a, filled):
    """Windows (N, C, OH, OW, kh, kw) of a map, with what is around it."""
    top, left, bottom, right = a.get("pads", [0, 0, 0, 0])
    (row, column), (down, across) = a.get("strides", [1, 1]), a.get("dilations", [1, 1])
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=filled)
    extent = (kernel[0] - 1) * down + 1, (kernel[1] - 1) * across + 1
    return sliding_window_view(x, extent, axis=(2, 3))[:, :, ::row, ::column, ::down, ::across]


def conv(a, x, weight, bias=None):
    groups, out = a.get("group", 1), []
    for part, kernels in zip(np.split(x, groups, 1), np.split(weight, groups)):
        out.append(np.einsum("nchwij,kcij->nkhw", windows(part, weight.shape[2:], a, 0), kernels))
    total = np.concatenate(out, 1)
    return total if bias is None else total + bias[:, None, None]


def average(a, x):
    sums = windows(x, a["kernel_shape"], a, 0).sum((4, 5))
    there = windows(np.ones_like(x), a["kernel_shape"], a, a.get("count_include_pad", 0)).sum((4, 5))
    return sums / there


def pad(a, x, around, value=0):
    return np.pad(x, list(zip(*np.split(around, 2))), constant_values=value)


OPERATIONS = {
    "Cast": lambda a, x: x.astype({1: np.float32, 11: np.float64}[a["to"]]),
    "Add": lambda a, x, y: x + y, "Sub": lambda a, x, y: x - y, "Mul": lambda a, x, y: x * y,
    "Sign": lambda a, x: np.sign(x), "BipolarQuant": lambda a, x, one: np.where(x >= 0, one, -one),
    "GreaterOrEqual": lambda a, x, y: x >= y, "Where": lambda a, x, y, z: np.where(x, y, z),
    "PRelu": lambda a, x, slope: np.where(x < 0, x * slope, x), "Clip": lambda a, x, low, high: np.clip(x, low, high),
    "Concat": lambda a, *xs: np.concatenate(xs, a["axis"]), "Flatten": lambda a, x: x.reshape(len(x), -1),
    "MatMul": lambda a, x, y: x @ y, "Gemm": lambda a, x, y, b: x @ (y.T if a.get("transB") else y) + b,
    "GlobalAveragePool": lambda a, x: x.mean((2, 3), keepdims=True), "Conv": conv, "AveragePool": average,
    "Pad": pad, "MaxPool": lambda a, x: windows(x, a["kernel_shape"], a, -np.inf).max((4, 5))}


def run(graph, images):
    """What the first output is for images; `graph` as `bnnsim.interop.protobuf.read_graph` reads it."""
    values = {**graph.constants, next(iter(graph.inputs)): images}
    for node in graph.nodes:
        out = OPERATIONS[node.op](node.attributes, *(values[name] for name in node.inputs))
        assert node.outputs[0] not in values, "a name stands for one value"
        values[node.outputs[0]] = out
    return values[graph.outputs[0]]
