"""Nodes of an ONNX graph that weigh, or change each number by itself: a tensor of a reader, a node and its tensors."""

import math
from typing import TYPE_CHECKING

import numpy as np

from bnnsim.interop.graph_parts import Value
from bnnsim.interop.onnx_chain import FLOATS
from bnnsim.interop.onnx_geometry import convolution, map_axes, padded_by
from bnnsim.interop.onnx_tensors import Data, Refused, Tensor, by_channel, changed, channels_padded, dense_weights
from bnnsim.interop.protobuf import OnnxNode
from bnnsim.interop.steps import Weigh, batch_norm

if TYPE_CHECKING:
    from bnnsim.interop.onnx_graph import Reader


# ---------------------------------------------------------------- weights

def matmul(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """Data times (F, U)."""
    return _dense(reader, node, x, reader.weights(node, 2).T, None)


def gemm(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """alpha * data @ weights + beta * bias."""
    weight, given, bias = reader.weights(node, 2), node.attributes, reader.optional(node, 2)
    if given.get("transA", 0) or given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0:
        raise ValueError(f"{node} turns its data over, or has an alpha or beta")
    weight = weight if given.get("transB", 0) else weight.T
    if bias is not None and bias.size not in (1, len(weight)):
        raise ValueError(f"{node}: a bias of shape {bias.shape}")
    return _dense(reader, node, x, weight, None if bias is None else np.broadcast_to(bias.reshape(-1), len(weight)))


def _dense(reader: "Reader", node: OnnxNode, x: Tensor, weight: np.ndarray, bias: np.ndarray | None) -> Tensor:
    step = Weigh(str(node), dense_weights(node, x, weight), sources=(node.inputs[1],))
    return Tensor(reader.sketch.weigh(step, x.value, bias), (len(weight),))


def conv(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """A convolution of weights (K, C / groups, kh, kw), or (K, C / groups, kw)."""
    n_axes = map_axes(node, x.sizes, x.order)
    weight = reader.weights(node, n_axes + 2)
    step = convolution(node, weight, x.sizes, x.padded)
    bias = reader.optional(node, 2)
    if bias is not None and bias.size != len(weight):
        raise ValueError(f"{node}: a bias of shape {bias.shape}")
    sizes = (len(weight), *step.sizes(x.map_sizes)[2 - n_axes:])
    return Tensor(reader.sketch.weigh(step, x.value, None if bias is None else bias.reshape(-1)), sizes)


def pad(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """A number, or the border, around a map, which a convolution reads."""
    value, mode = reader.optional(node, 2), node.attributes.get("mode", "constant")
    number = float(node.attributes.get("value", 0.0)) if value is None or value.size != 1 else float(value.item())
    given = reader.optional(node, 1)
    pads = padded_by(node, given, map_axes(node, x.sizes, x.order))
    if pads is None and mode == "constant" and number == 0 and (around := channels_padded(node, given, x)) is not None:
        value_behind = reader.sketch.with_zeros(str(node), x.value, *around)
        return changed(x, value_behind, sizes=(value_behind.shape[-1], *x.sizes[1:]))
    if mode not in ("constant", "edge") or pads is None or len(node.inputs) > 3 or not math.isfinite(number):
        raise ValueError(f"{node} pads {x.sizes} in mode {str(mode)[:20]!r}: a number around a map is represented, "
                         "or its border ('edge')")
    return changed(x, padded=(pads, number, mode))


# ---------------------------------------------------------------- number by number

def norm(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """Batch norm: gamma, beta, mean, var."""
    names = ("gamma", "beta", "mean", "var")
    parts = {name: reader.constant(node, i + 1).reshape(-1) for i, name in enumerate(names)}
    if x.channel_axis or any(value.size != x.sizes[0] for value in parts.values()):
        raise ValueError(f"{node}: {parts['mean'].size} channels for data of {x.sizes} in {x.order} order")
    made = batch_norm(str(node), parts, float(node.attributes.get("epsilon", 1e-5)))
    scale, shift = (by_channel(node, x, value.reshape(-1, *(1,) * (len(x.sizes) - 1)))
                    for value in (made.scale, made.intercept))
    return changed(x, reader.sketch.affine(str(node), x.value, scale, shift, tuple(node.inputs[1:5])))


def arithmetic(reader: "Reader", node: OnnxNode, x: Tensor, *more: Tensor) -> Tensor:
    """Data and a constant, on either side; the sum of two maps."""
    if more:
        return total(reader, node, x, *more)
    value, data_first = reader.other(node, x), reader.data_first(node)
    if node.op == "Div" and (not data_first or np.any(value == 0)):
        raise ValueError(f"{node} divides by the data, or by 0")
    if node.op in ("Mul", "Div"):
        return changed(x, reader.sketch.affine(str(node), x.value, 1 / value if node.op == "Div" else value))
    turned = node.op == "Sub" and not data_first
    shift = -value if node.op == "Sub" and data_first else value
    return changed(x, reader.sketch.affine(str(node), x.value, -1.0 if turned else 1.0, shift))


def total(reader: "Reader", node: OnnxNode, *xs: Tensor) -> Tensor:
    """The sum of maps."""
    if len(xs) != len([name for name in node.inputs if name]) or len({(x.sizes, x.order) for x in xs}) > 1:
        raise ValueError(f"{node} adds up {', '.join(str(x.sizes) for x in xs)}: maps of one shape are represented")
    return changed(xs[0], reader.sketch.add(str(node), *(x.value for x in xs)) if len(xs) > 1 else xs[0].value)


def difference(reader: "Reader", node: OnnxNode, first: Data, second: Data) -> Data:
    """First less second; what is less a tensor that is not represented may still be read as (a - b) + b."""
    refused = next((each for each in (first, second) if isinstance(each, Refused)), None)
    try:
        if isinstance(first, Tensor) and isinstance(second, Tensor):
            minus = changed(second, reader.sketch.affine(f"{node}'s minus", second.value, -1.0))
            return changed(total(reader, node, first, minus), difference=(first, second))
        why = refused.why if refused is not None else ""
    except ValueError as error:
        why = str(error)
    return Refused(why, difference=(first, second))


def negate(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """-x."""
    return changed(x, reader.sketch.affine(str(node), x.value, -1.0))


def opposite(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """1 where a bit is 0, and 0 where it is 1."""
    return changed(x, reader.sketch.affine(str(node), _condition(reader, node, x), -1.0, 1.0))


def rectify(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """x above 0, else 0, or x times a slope."""
    if node.op == "Relu":
        return changed(x, reader.sketch.clip(str(node), x.value, 0.0, math.inf))
    if node.op == "PRelu":
        slope = by_channel(node, x, reader.constant(node, 1))
        return changed(x, reader.sketch.prelu(str(node), x.value, slope, (node.inputs[1],)))
    slope = np.asarray(node.attributes.get("alpha", 0.01))
    return changed(x, reader.sketch.prelu(str(node), x.value, slope))


def clip(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """Between two numbers, of which one may be missing."""
    low, high = (math.inf * (-1, 1)[i] if value is None or value.size == 0 else float(value.reshape(-1)[0])
                 for i, value in enumerate((reader.optional(node, 1), reader.optional(node, 2))))
    low, high = float(node.attributes.get("min", low)), float(node.attributes.get("max", high))
    return changed(x, reader.sketch.clip(str(node), x.value, low, high))


def tanh(reader: "Reader", node: OnnxNode, x: Tensor) -> Data:
    """Only its sign is represented."""
    return Refused(f"{node} is not represented but before a sign", same_sign=x)


# ---------------------------------------------------------------- signs

def sign(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """ONNX's Sign, of which that of 0 is 0."""
    return changed(x, reader.sketch.sign(str(node), x.value, 0))


def bipolar(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """+scale where x >= 0, else -scale."""
    signs = changed(x, reader.sketch.sign(str(node), x.value, 1))
    scale = by_channel(node, x, reader.constant(node, 1))
    return changed(x, reader.sketch.affine(f"{node}'s scale", signs.value, scale))


def compare(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """x > t and the like: 0 or 1."""
    t, name = reader.other(node, x), str(node)
    above = node.op.startswith("Greater") == reader.data_first(node)
    scale = 1.0 if above else -1.0
    if above and not t.any():
        shifted = x.value
    else:
        shifted = reader.sketch.affine(f"{name}'s threshold", x.value, scale, -scale * t)
    signs = reader.sketch.sign(name, shifted, 1 if node.op.endswith("OrEqual") else -1)
    return changed(x, reader.sketch.affine(f"{name}'s values", signs, 0.5, 0.5))


def where(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """One number where a bit is 1, another where it is 0."""
    high, low = (reader.constant(node, i) for i in (1, 2))
    if high.size != 1 or low.size != 1:
        raise ValueError(f"{node} must choose between two numbers")
    step = float(high.item()) - float(low.item())
    return changed(x, reader.sketch.affine(str(node), _condition(reader, node, x), step, float(low.item())))


def _condition(reader: "Reader", node: OnnxNode, x: Tensor) -> Value:
    if x.value.bits != (0.5, 0.5):
        raise ValueError(f"{node} reads numbers, or signs, as a condition: it must be a comparison with constants")
    return x.value


# ---------------------------------------------------------------- what changes nothing

def nothing(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """Identity; a cast between floats, or of 0 and 1."""
    if node.op == "Cast" and node.attributes.get("to") not in FLOATS and x.value.bits != (0.5, 0.5):
        raise ValueError(f"{node} makes other numbers of its data")
    return x


def ending(reader: "Reader", node: OnnxNode, x: Tensor) -> Tensor:
    """What changes scores, but no class."""
    return changed(x, ended_by=str(node))
