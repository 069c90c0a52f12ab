"""ONNX and QONNX graphs that are chains, into steps; whatever is no part of a chain is refused by its node's name.

Shapes are those of one image, (C, H, W), (H, W, C), (C, L) or (F,): a batch's size is left aside.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bnnsim.interop.chain import NO_SIGN
from bnnsim.interop.onnx_constants import DOMAINS, OPERATIONS, Constants
from bnnsim.interop.onnx_geometry import (Padded, convolution, listed, map_axes, map_sizes, padded_by, pair, pool_of,
                                          summed_axes)
from bnnsim.interop.protobuf import OnnxGraph, OnnxNode
from bnnsim.interop.steps import Flatten, LeftOut, Network, Sign, Step, Total, Weigh, affine, batch_norm

OF_SCORES = ("Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "TopK")
FLOATS = (1, 10, 11, 16)            # types of a Cast that keep every value that is one of signs or pixels


def chain_of(graph: OnnxGraph) -> Network:
    """The chain that a graph is."""
    chain = _Chain(graph)
    for node, names in chain.nodes():
        chain.take(node, names)
    return chain.ended()


class _Chain(Constants):
    """Constants so far, the tensor that the next node must read, its shape and the order of its axes."""

    def __init__(self, graph: OnnxGraph) -> None:
        super().__init__(graph)
        self.head, self.shape = self.input, self.input_sizes
        self.order = "CHW"
        self.first: tuple[int, ...] = self.shape
        self.steps: list[Step] = []
        self.padded: Padded | None = None     # what a Pad before a convolution has put around its map
        self.is_quantized = any(DOMAINS.get(node.domain) == "QONNX" for node in graph.nodes)

    def take(self, node: OnnxNode, names: list[str]) -> None:
        """One node more: of constants, of a shape, or the next of the chain."""
        unknown = [name for name in names if name not in self.constants]
        if not unknown:
            self.compute(node, names)
        elif unknown != [self.head]:
            raise ValueError(f"{node} reads {', '.join(unknown[:3])}, where {self.head} is what the chain gives: "
                             "branches, sums and several outputs are not represented")
        elif node.op == "Shape":
            self.constants[node.outputs[0]] = np.array([0, *self.shape])      # 0: a Reshape keeps the batch's size
        else:
            if node.op not in NODES:
                raise ValueError(f"{node} is not represented{_hint(node)}")
            if self.padded is not None and node.op != "Conv":
                raise ValueError(f"{node} reads a padded map: only convolutions do")
            NODES[node.op](self, node)
            self.head = node.outputs[0]

    def ended(self) -> Network:
        """The chain as a whole."""
        if self.graph.outputs != [self.head]:
            raise ValueError(f"the graph gives {', '.join(self.graph.outputs[:5])}, the chain ends in {self.head}")
        weighing = [step for step in self.steps if isinstance(step, Weigh)]
        if len(weighing) > 1 and not any(isinstance(step, Sign) for step in self.steps):
            raise ValueError(NO_SIGN)
        shape = self.first if len(self.first) == 3 else (*(1,) * (3 - len(self.first)), *self.first)
        return Network("QONNX" if self.is_quantized else "ONNX", tuple(self.steps), (shape[0], shape[1], shape[2]))

    # ------------------------------------------------------------ what nodes have

    def weights(self, node: OnnxNode, i: int, ndim: int) -> np.ndarray:
        """Input i as weights, the data being input 0."""
        value = self.constant(node, i)
        if value.ndim != ndim or node.inputs[0] != self.head or value.size == 0:
            raise ValueError(f"{node}: wanted data and weights of {ndim} axes, got weights of shape {value.shape}")
        return value

    def by_channel(self, node: OnnxNode, value: np.ndarray) -> np.ndarray:
        """A constant that meets the data: one number, or one a channel along the channels' axis."""
        if value.size == 1:
            return value.reshape(())
        axis = len(self.shape) - 1 if len(self.shape) == 1 or self.order == "HWC" else 0
        padded = (1,) * (len(self.shape) + 1 - value.ndim) + value.shape
        wanted = [1] * (len(self.shape) + 1)
        wanted[axis + 1] = self.shape[axis]
        if list(padded) != wanted:
            raise ValueError(f"{node}: a constant of shape {value.shape} for data of {self.shape}: wanted one value, "
                             "or one a channel")
        return value.reshape(-1)

    # ------------------------------------------------------------ weights

    def matmul(self, node: OnnxNode) -> None:
        """Data times (F, U)."""
        self._dense(node, self.weights(node, 1, 2).T, node.inputs[1])

    def gemm(self, node: OnnxNode) -> None:
        """alpha * data @ weights + beta * bias."""
        weight = self.weights(node, 1, 2)
        given = node.attributes
        if given.get("transA", 0):
            raise ValueError(f"{node} turns its data over")
        self._dense(node, weight if given.get("transB", 0) else weight.T, node.inputs[1])
        bias = self.optional(node, 2)
        if given.get("alpha", 1.0) != 1.0:
            self.steps.append(affine(str(node), scale=given["alpha"]))
        if bias is not None:
            self.steps.append(affine(f"{node}'s bias", shift=self.by_channel(node, bias) * given.get("beta", 1.0),
                                     sources=(node.inputs[2],)))

    def _dense(self, node: OnnxNode, weight: np.ndarray, source: str) -> None:
        if self.shape != (weight.shape[1],):
            raise ValueError(f"{node}: weights of {weight.shape[1]} features for data of {self.shape}")
        self.steps.append(Weigh(str(node), weight, sources=(source,)))
        self.shape = (len(weight),)

    def conv(self, node: OnnxNode) -> None:
        """A convolution of weights (K, C / groups, kh, kw), or (K, C / groups, kw)."""
        n_axes = map_axes(node, self.shape, self.order)
        weight = self.weights(node, 1, n_axes + 2)
        weigh = convolution(node, weight, self.shape, self.padded)
        if n_axes == 1 and not any(isinstance(step, Weigh) for step in self.steps):
            self.first = (self.shape[0], 1, self.shape[1])
        self.steps.append(weigh)
        self.padded = None
        self.shape = (len(weight), *weigh.sizes(map_sizes(self.shape))[2 - n_axes:])
        bias = self.optional(node, 2)
        if bias is not None:
            self.steps.append(affine(f"{node}'s bias", shift=bias.reshape(-1), sources=(node.inputs[2],)))

    def pad(self, node: OnnxNode) -> None:
        """A number, or the border, around a map, which a convolution reads."""
        value, mode = self.optional(node, 2), node.attributes.get("mode", "constant")
        number = float(value.reshape(-1)[0] if value is not None and value.size else node.attributes.get("value", 0.0))
        given = self.optional(node, 1)
        pads = padded_by(node, given, map_axes(node, self.shape, self.order))
        if mode not in ("constant", "edge") or pads is None or len(node.inputs) > 3 or not math.isfinite(number):
            raise ValueError(f"{node} pads {self.shape} by {str(listed(node, 'pads', given))[:60]} in mode "
                             f"{str(mode)[:20]!r}: a number around a map is represented, or its border ('edge')")
        self.padded = pads, number, mode

    # ------------------------------------------------------------ what follows

    def norm(self, node: OnnxNode) -> None:
        """Batch norm: gamma, beta, mean, var."""
        names = ("gamma", "beta", "mean", "var")
        parts = {name: self.constant(node, i + 1).reshape(-1) for i, name in enumerate(names)}
        is_apart = len(self.shape) > 1 and self.order != "CHW"                   # axis 1 is that of H
        if is_apart or any(value.size != self.shape[0] for value in parts.values()):
            raise ValueError(f"{node}: {parts['mean'].size} channels for data of {self.shape} in {self.order} order")
        eps = float(node.attributes.get("epsilon", 1e-5))
        self.steps.append(batch_norm(str(node), parts, eps, tuple(node.inputs[1:5])))

    def arithmetic(self, node: OnnxNode) -> None:
        """Data and a constant, on either side."""
        if len(node.inputs) != 2:
            raise ValueError(f"{node} must have two inputs")
        data_first = node.inputs[0] == self.head
        value = self.by_channel(node, self.constant(node, 1 if data_first else 0)).astype(np.float64)
        if node.op == "Div" and (not data_first or np.any(value == 0)):
            raise ValueError(f"{node} divides by the data, or by 0")
        made = {"Add": {"mean": -value}, "Sub": {"mean": value} if data_first else {"mean": value, "scale": -1.0},
                "Mul": {"scale": value}, "Div": {"scale": 1 / value if node.op == "Div" else 1.0}}[node.op]
        self.steps.append(affine(str(node), **made))

    def negate(self, node: OnnxNode) -> None:
        """-x."""
        self.steps.append(affine(str(node), scale=-1.0))

    def sign(self, node: OnnxNode) -> None:
        """ONNX's Sign, of which that of 0 is 0."""
        self.steps.append(Sign(str(node), 0))

    def bipolar(self, node: OnnxNode) -> None:
        """+scale where x >= 0, else -scale."""
        self.steps.append(Sign(str(node), 1))
        scale = self.constant(node, 1)
        if np.any(scale != 1):
            self.steps.append(affine(f"{node}'s scale", scale=self.by_channel(node, scale)))

    def multi_threshold(self, node: OnnxNode) -> None:
        """out_scale * [x >= t] + out_bias."""
        t, given = self.constant(node, 1), node.attributes
        if t.ndim != 2 or t.shape[1] != 1:
            raise ValueError(f"{node} has {t.shape[-1] if t.ndim else 0} thresholds a channel: activations of more "
                             "than one bit are not represented")
        self.steps += [affine(f"{node}'s thresholds", mean=t.reshape(-1), sources=(node.inputs[1],)),
                       Sign(str(node), 1)]
        self._bits(node, float(given.get("out_bias", 0.0)), float(given.get("out_scale", 1.0)))

    def compare(self, node: OnnxNode) -> None:
        """x > t and the like: 0 or 1."""
        data_first = node.inputs[0] == self.head
        t = self.by_channel(node, self.constant(node, 1 if data_first else 0)).astype(np.float64)
        above = node.op.startswith("Greater") == data_first
        self.steps += [affine(f"{node}'s threshold", mean=t, scale=1.0 if above else -1.0),
                       Sign(str(node), 1 if node.op.endswith("OrEqual") else -1)]
        self._bits(node, 0.0, 1.0)

    def where(self, node: OnnxNode) -> None:
        """One number where a bit is 1, another where it is 0."""
        high, low = (self.constant(node, i) for i in (1, 2))
        if node.inputs[0] != self.head or high.size != 1 or low.size != 1 or not high.item() > low.item():
            raise ValueError(f"{node} must choose between a number, and a lower one where the condition fails")
        self.steps.append(affine(str(node), scale=float(high.item()) - float(low.item()), shift=float(low.item())))

    def _bits(self, node: OnnxNode, low: float, step: float) -> None:
        """What a bit means: low, or low + step."""
        self.steps.append(affine(f"{node}'s values", scale=step / 2, shift=low + step / 2))

    def quant(self, node: OnnxNode) -> None:
        """A quantizer of several bits."""
        bits = self.constant(node, 3).reshape(-1) if len(node.inputs) > 3 else np.zeros(1)
        raise ValueError(f"{node} quantizes to {float(bits[0]):g} bit: activations of more than one bit are not "
                         "represented, and one bit is a BipolarQuant")

    # ------------------------------------------------------------ shapes

    def pool(self, node: OnnxNode) -> None:
        """Max-pooling; what it reads outside of the map is left out."""
        n_axes, made = map_axes(node, self.shape, self.order), pool_of(node, self.shape)
        self.steps.append(made)
        self.shape = (self.shape[0], *made.sizes(map_sizes(self.shape))[2 - n_axes:])

    def average(self, node: OnnxNode) -> None:
        """The average over all positions; an AveragePool of as much."""
        n_axes, sizes = map_axes(node, self.shape, self.order), map_sizes(self.shape)
        if node.op == "AveragePool" and (pair(node, "kernel_shape", n_axes) != sizes or
                                         any(node.attributes.get("pads", []))):
            raise ValueError(f"{node} averages parts of a map of {sizes}: only all positions together are "
                             "represented")
        self.steps.append(Total(str(node), True))
        self.shape = (self.shape[0], *(1,) * n_axes)

    def reduce(self, node: OnnxNode) -> None:
        """The sum, or average, over all positions."""
        channel_axis = 2 if self.order == "HWC" and len(self.shape) == 3 else 0
        summed = summed_axes(node, self.optional(node, 1), self.shape, channel_axis)
        self.steps.append(Total(str(node), node.op == "ReduceMean"))
        self.shape = tuple(1 if axis in summed else size for axis, size in enumerate(self.shape, 1)
                           if axis not in summed or node.attributes.get("keepdims", 1))

    def flatten(self, node: OnnxNode) -> None:
        """Rows of all values of an image."""
        if node.attributes.get("axis", 1) != 1:
            raise ValueError(f"{node} flattens from axis {node.attributes['axis']}")
        self._to_rows(node)

    def _to_rows(self, node: OnnxNode) -> None:
        if len(self.shape) > 1:
            self.steps.append(Flatten(str(node), self.order if len(self.shape) == 3 else "CHW"))
        self.shape = (math.prod(self.shape),)

    def reshape(self, node: OnnxNode) -> None:
        """To rows; of an input, to a map."""
        wanted = [int(n) for n in self.constant(node, 1).reshape(-1)[:8]]
        n_values = math.prod(self.shape)
        wanted = wanted[1:]
        known = math.prod(n for n in wanted if n > 0)
        shape = tuple(n_values // known if n == -1 else n for n in wanted) if known else ()
        if wanted.count(-1) > 1 or min(shape, default=0) < 1 or math.prod(shape) != n_values or \
                len(shape) not in (1, 3):
            raise ValueError(f"{node} makes {wanted} of {self.shape}")
        if len(shape) == 1:
            return self._to_rows(node)
        if shape != self.shape:
            if any(isinstance(step, Weigh) for step in self.steps):
                raise ValueError(f"{node} makes a map of rows behind the first layer")
            self.shape = self.first = shape

    def transpose(self, node: OnnxNode) -> None:
        """Between (C, H, W) and (H, W, C)."""
        perm = node.attributes.get("perm")
        if len(self.shape) == 3 and perm == [0, 2, 3, 1] and self.order == "CHW":
            self.shape, self.order = (*self.shape[1:], self.shape[0]), "HWC"
        elif len(self.shape) == 3 and perm == [0, 3, 1, 2] and (self.order == "HWC" or not self.steps):
            self.shape, self.order = (self.shape[2], *self.shape[:2]), "CHW"
            self.first = self.first if self.steps else self.shape
        else:
            raise ValueError(f"{node} turns the axes of {self.shape} by {str(perm)[:60]}")

    # ------------------------------------------------------------ what changes no bit

    def nothing(self, node: OnnxNode) -> None:
        """Identity; a cast between floats."""
        if node.op == "Cast" and node.attributes.get("to") not in FLOATS:
            raise ValueError(f"{node} makes other numbers of its data")
        if node.op == "Dropout":
            self.steps.append(LeftOut(str(node), "changes nothing"))

    def keeps_signs(self, node: OnnxNode) -> None:
        """Tanh, and a Clip of which 0 is inside."""
        bounds = [float(value.reshape(-1)[0]) if value is not None and value.size else None
                  for value in (self.optional(node, 1), self.optional(node, 2))] if node.op == "Clip" else [None, None]
        low = bounds[0] if bounds[0] is not None else node.attributes.get("min", -1.0)
        high = bounds[1] if bounds[1] is not None else node.attributes.get("max", 1.0)
        if not low < 0 < high:
            raise ValueError(f"{node} clips to {low:g}..{high:g}, which makes constants of the sign behind it")
        self.steps.append(LeftOut(str(node), "keeps signs"))

    def scores(self, node: OnnxNode) -> None:
        """What changes scores, but no class."""
        self.steps.append(LeftOut(str(node), "scores"))


def _hint(node: OnnxNode) -> str:
    if node.op in ("Relu", "LeakyRelu", "PRelu"):
        return ": before a sign it makes constants, and leaving it out another network"
    return f"; known are {', '.join(sorted({*NODES, *OPERATIONS}))}" if node.domain in ("", "ai.onnx") else ""


Take = Callable[[_Chain, OnnxNode], Any]
NODES: dict[str, Take] = {
    "MatMul": _Chain.matmul, "Gemm": _Chain.gemm, "Conv": _Chain.conv, "Pad": _Chain.pad,
    "BatchNormalization": _Chain.norm,
    "Sign": _Chain.sign, "BipolarQuant": _Chain.bipolar, "MultiThreshold": _Chain.multi_threshold,
    "Quant": _Chain.quant,
    "Neg": _Chain.negate, "Where": _Chain.where, "MaxPool": _Chain.pool, "Flatten": _Chain.flatten,
    **dict.fromkeys(("GlobalAveragePool", "AveragePool"), _Chain.average),
    **dict.fromkeys(("ReduceSum", "ReduceMean"), _Chain.reduce),
    "Reshape": _Chain.reshape, "Transpose": _Chain.transpose, "Clip": _Chain.keeps_signs, "Tanh": _Chain.keeps_signs,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _Chain.arithmetic),
    **dict.fromkeys(("Greater", "GreaterOrEqual", "Less", "LessOrEqual"), _Chain.compare),
    **dict.fromkeys(("Identity", "Cast", "Dropout"), _Chain.nothing), **dict.fromkeys(OF_SCORES, _Chain.scores)}
