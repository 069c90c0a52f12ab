"""ONNX graphs with branches, or with parts that are not of one bit, into a `Sketch`.

A node that is not represented is refused by its name, but only where the scores read it: what training has left
behind, such as the polynomial of (sign(x) - p(x)) + p(x), need not be understood.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bnnsim.interop.graph_parts import Sketch, Value
from bnnsim.interop.input_codes import Code
from bnnsim.interop.onnx_chain import DOMAINS, FLOATS, OF_SCORES
from bnnsim.interop.onnx_constants import OPERATIONS, value_of
from bnnsim.interop.onnx_geometry import padded_by, pads_of, pair, with_overhang
from bnnsim.interop.onnx_tensors import Data, Refused, Tensor, by_channel, dense_weights, straight_through
from bnnsim.interop.protobuf import OnnxGraph, OnnxNode
from bnnsim.interop.steps import Weigh, batch_norm, sizes_behind
from bnnsim.interop.weights import Reading
from bnnsim.packed.forward import NO_PADDING, Sides

READ_PADDED = ("Conv", "AveragePool")


def sketch_of(graph: OnnxGraph, code: Code, reading: Reading) -> tuple[Sketch, Value]:
    """(All that the graph computes, its scores)."""
    reader = _Reader(graph, code, reading)
    for node in graph.nodes:
        if node.domain not in DOMAINS:
            raise ValueError(f"{node} is of the domain {node.domain[:60]!r}, which is not known")
        reader.take(node)
    return reader.sketch, reader.scores()


def has_branches(graph: OnnxGraph) -> bool:
    """Whether a tensor is read twice, or a node reads two: constants, and shapes alone, left aside."""
    data = {name for name in graph.inputs if name not in graph.constants}
    read: set[str] = set()
    for node in graph.nodes:
        given = [name for name in node.inputs if name in data]
        if given and node.op != "Shape":
            if len(given) > 1 or not read.isdisjoint(given):
                return True
            read.update(given)
            data.update(node.outputs)
    return False


class _Reader:
    """Constants and tensors so far."""

    def __init__(self, graph: OnnxGraph, code: Code, reading: Reading) -> None:
        self.graph, self.constants, self.code, self.reading = graph, dict(graph.constants), code, reading
        self.most = max((value.size for value in graph.constants.values()), default=0)
        inputs = [name for name in graph.inputs if name not in graph.constants]
        if len(inputs) != 1:
            raise ValueError(f"the graph reads {', '.join(inputs[:5]) or 'nothing'}: wanted one input")
        sizes = graph.inputs[inputs[0]][1:]
        if not 1 <= len(sizes) <= 3 or any(n is None or not 0 < n < 2**26 for n in sizes):
            raise ValueError(f"the input {inputs[0]} has the sizes {graph.inputs[inputs[0]]}: all but the batch's must "
                             "be known")
        self.tensors: dict[str, Data] = {}
        self.tensors[inputs[0]] = self._begun(tuple(n for n in sizes if n is not None))

    def _begun(self, sizes: tuple[int, ...]) -> Tensor:
        """The input, as (C, H, W), (C, L) or (F,)."""
        shape = (sizes[0], 1, sizes[1]) if len(sizes) == 2 else (1,) * (3 - len(sizes)) + sizes
        n_constants = sum(value.size for value in self.graph.constants.values())
        self.sketch = Sketch((shape[0], shape[1], shape[2]), self.code, self.reading, n_constants)
        return Tensor(self.sketch.images, sizes)

    def take(self, node: OnnxNode) -> None:
        """One node more."""
        names = [name for name in node.inputs if name]
        if not node.outputs or len(names) > 64:
            raise ValueError(f"{node} has {len(names)} inputs and {len(node.outputs)} outputs")
        missing = [name for name in names if name not in self.constants and name not in self.tensors]
        if missing:
            raise ValueError(f"{node} reads {', '.join(missing[:3])}, which no node before it gives")
        data = [self.tensors[name] for name in names if name not in self.constants]
        if not data and node.op in OPERATIONS:
            self.constants[node.outputs[0]] = value_of(node, [self.constants[name] for name in names], self.most)
            return
        try:
            if node.op == "Shape" and data and isinstance(data[0], Tensor):
                self.constants[node.outputs[0]] = np.array([0, *data[0].sizes])
            else:
                self.tensors[node.outputs[0]] = self._made(node, data)
        except ValueError as error:
            self.tensors[node.outputs[0]] = Refused(str(error))

    def _made(self, node: OnnxNode, data: list[Data]) -> Data:
        if node.op not in NODES or not data:
            return Refused(f"{node} of constants is not represented" if not data else
                           f"{node} is not represented; known are {', '.join(sorted(NODES))}")
        if node.op == "Add" and len(data) == 2 and (signs := straight_through(*data)) is not None:
            return signs
        if node.op == "Sub" and len(data) == 2:
            return self._difference(node, *data)
        if node.op in SIGNS and isinstance(data[0], Refused) and data[0].same_sign is not None:
            data[0] = data[0].same_sign
        tensors = []
        for each in data:
            if isinstance(each, Refused):
                return each
            if each.ended_by and node.op not in ("Identity", "Cast"):
                raise ValueError(f"{node} stands behind {each.ended_by}, which only scores may pass")
            if each.padded is not None and node.op not in READ_PADDED:
                raise ValueError(f"{node} reads a padded map: only convolutions and averages do")
            tensors.append(each)
        if len(tensors) > 1 and node.op not in JOINS:
            raise ValueError(f"{node} computes with two maps: only sums of maps, and maps side by side, are represented")
        return NODES[node.op](self, node, *tensors)

    def scores(self) -> Value:
        """What the graph gives."""
        found = self.tensors.get(self.graph.outputs[0]) if len(self.graph.outputs) == 1 else None
        if found is None:
            raise ValueError(f"the graph gives {', '.join(self.graph.outputs[:5]) or 'nothing'}: wanted one output, of "
                             "scores")
        if isinstance(found, Refused):
            raise ValueError(found.why)
        return found.value

    # ------------------------------------------------------------ what nodes have

    def constant(self, node: OnnxNode, i: int) -> np.ndarray:
        """Input i, which must be a constant."""
        if i >= len(node.inputs) or node.inputs[i] not in self.constants:
            raise ValueError(f"{node}: its input {i} must be a constant")
        return self.constants[node.inputs[i]]

    def optional(self, node: OnnxNode, i: int) -> np.ndarray | None:
        """Input i, if there is one."""
        return self.constant(node, i) if i < len(node.inputs) and node.inputs[i] else None

    def weights(self, node: OnnxNode, ndim: int) -> np.ndarray:
        """Input 1 as weights, the data being input 0."""
        value = self.constant(node, 1)
        if value.ndim != ndim or value.size == 0:
            raise ValueError(f"{node}: wanted data and weights of {ndim} axes, got weights of shape {value.shape}")
        return value

    def data_first(self, node: OnnxNode) -> bool:
        """Whether data is input 0, of two, and the other is constant."""
        if len(node.inputs) != 2:
            raise ValueError(f"{node} must have two inputs")
        return node.inputs[0] not in self.constants

    def other(self, node: OnnxNode, x: Tensor) -> np.ndarray:
        """Its constant input, one number or one a channel."""
        return by_channel(node, x, self.constant(node, 1 if self.data_first(node) else 0)).astype(np.float64)

    # ------------------------------------------------------------ weights

    def matmul(self, node: OnnxNode, x: Tensor) -> Tensor:
        """Data times (F, U)."""
        return self._dense(node, x, self.weights(node, 2).T, None)

    def gemm(self, node: OnnxNode, x: Tensor) -> Tensor:
        """alpha * data @ weights + beta * bias."""
        weight, given, bias = self.weights(node, 2), node.attributes, self.optional(node, 2)
        if given.get("transA", 0) or given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0:
            raise ValueError(f"{node} turns its data over, or has an alpha or beta")
        weight = weight if given.get("transB", 0) else weight.T
        if bias is not None and bias.size not in (1, len(weight)):
            raise ValueError(f"{node}: a bias of shape {bias.shape}")
        return self._dense(node, x, weight, None if bias is None else np.broadcast_to(bias.reshape(-1), len(weight)))

    def _dense(self, node: OnnxNode, x: Tensor, weight: np.ndarray, bias: np.ndarray | None) -> Tensor:
        step = Weigh(str(node), dense_weights(node, x, weight), sources=(node.inputs[1],))
        return Tensor(self.sketch.weigh(step, x.value, bias), (len(weight),))

    def conv(self, node: OnnxNode, x: Tensor) -> Tensor:
        """A convolution of weights (K, C / groups, kh, kw), or (K, C / groups, kw)."""
        n_axes = _map_axes(node, x)
        weight, groups = self.weights(node, n_axes + 2), node.attributes.get("group", 1)
        if type(groups) is not int or groups < 1 or weight.shape[1] * groups != x.sizes[0] or len(weight) % groups:
            raise ValueError(f"{node}: weights of shape {weight.shape} in {str(groups)[:20]} groups for data of "
                             f"{x.sizes}")
        kernel = (1, weight.shape[2]) if n_axes == 1 else (weight.shape[2], weight.shape[3])
        stride, dilation = pair(node, "strides", n_axes), pair(node, "dilations", n_axes)
        pads, value, mode = _with_pad(node, x, pads_of(node, x.map_sizes, kernel, stride, dilation, n_axes))
        step = Weigh(str(node), np.moveaxis(weight, 1, -1).reshape(len(weight), *kernel, -1), stride, pads, value,
                     mode == "edge", dilation, groups, sources=(node.inputs[1],))
        bias = self.optional(node, 2)
        if bias is not None and bias.size != len(weight):
            raise ValueError(f"{node}: a bias of shape {bias.shape}")
        sizes = (len(weight), *step.sizes(x.map_sizes)[2 - n_axes:])
        return Tensor(self.sketch.weigh(step, x.value, None if bias is None else bias.reshape(-1)), sizes)

    def pad(self, node: OnnxNode, x: Tensor) -> Tensor:
        """A number, or the border, around a map, which a convolution reads."""
        value, mode = self.optional(node, 2), node.attributes.get("mode", "constant")
        number = float(node.attributes.get("value", 0.0)) if value is None or value.size != 1 else float(value.item())
        pads = padded_by(node, self.optional(node, 1), _map_axes(node, x))
        if mode not in ("constant", "edge") or pads is None or len(node.inputs) > 3 or not math.isfinite(number):
            raise ValueError(f"{node} pads {x.sizes} in mode {str(mode)[:20]!r}: a number around a map is represented, "
                             "or its border ('edge')")
        return _changed(x, padded=(pads, number, mode))

    # ------------------------------------------------------------ number by number

    def norm(self, node: OnnxNode, x: Tensor) -> Tensor:
        """Batch norm: gamma, beta, mean, var."""
        names = ("gamma", "beta", "mean", "var")
        parts = {name: self.constant(node, i + 1).reshape(-1) for i, name in enumerate(names)}
        if x.channel_axis or any(value.size != x.sizes[0] for value in parts.values()):
            raise ValueError(f"{node}: {parts['mean'].size} channels for data of {x.sizes} in {x.order} order")
        made = batch_norm(str(node), parts, float(node.attributes.get("epsilon", 1e-5)))
        scale, shift = (by_channel(node, x, value.reshape(-1, *(1,) * (len(x.sizes) - 1)))
                        for value in (made.scale, made.shift - made.mean * made.scale))
        return _changed(x, self.sketch.affine(str(node), x.value, scale, shift, tuple(node.inputs[1:5])))

    def arithmetic(self, node: OnnxNode, x: Tensor, *more: Tensor) -> Tensor:
        """Data and a constant, on either side; the sum of two maps."""
        if more:
            return self.total(node, x, *more)
        value, data_first = self.other(node, x), self.data_first(node)
        if node.op == "Div" and (not data_first or np.any(value == 0)):
            raise ValueError(f"{node} divides by the data, or by 0")
        scale, shift = {"Add": (1.0, value), "Sub": (1.0, -value) if data_first else (-1.0, value),
                        "Mul": (value, 0.0), "Div": (1 / value if node.op == "Div" else 1.0, 0.0)}[node.op]
        return _changed(x, self.sketch.affine(str(node), x.value, scale, shift))

    def total(self, node: OnnxNode, *xs: Tensor) -> Tensor:
        """The sum of maps."""
        if len(xs) != len([name for name in node.inputs if name]) or len({(x.sizes, x.order) for x in xs}) > 1:
            raise ValueError(f"{node} adds up {', '.join(str(x.sizes) for x in xs)}: maps of one shape are represented")
        return _changed(xs[0], self.sketch.add(str(node), *(x.value for x in xs)) if len(xs) > 1 else xs[0].value)

    def _difference(self, node: OnnxNode, first: Data, second: Data) -> Data:
        refused = next((each for each in (first, second) if isinstance(each, Refused)), None)
        try:
            if isinstance(first, Tensor) and isinstance(second, Tensor):
                minus = _changed(second, self.sketch.affine(f"{node}'s minus", second.value, -1.0))
                return _changed(self.total(node, first, minus), difference=(first, second))
            why = refused.why if refused is not None else ""
        except ValueError as error:
            why = str(error)
        return Refused(why, difference=(first, second))

    def negate(self, node: OnnxNode, x: Tensor) -> Tensor:
        """-x."""
        return _changed(x, self.sketch.affine(str(node), x.value, -1.0))

    def opposite(self, node: OnnxNode, x: Tensor) -> Tensor:
        """1 where a bit is 0, and 0 where it is 1."""
        return _changed(x, self.sketch.affine(str(node), self._condition(node, x), -1.0, 1.0))

    def rectify(self, node: OnnxNode, x: Tensor) -> Tensor:
        """x above 0, else 0, or x times a slope."""
        if node.op == "Relu":
            return _changed(x, self.sketch.clip(str(node), x.value, 0.0, math.inf))
        if node.op == "PRelu":
            slope = by_channel(node, x, self.constant(node, 1))
            return _changed(x, self.sketch.prelu(str(node), x.value, slope, (node.inputs[1],)))
        slope = np.asarray(node.attributes.get("alpha", 0.01))
        return _changed(x, self.sketch.prelu(str(node), x.value, slope))

    def clip(self, node: OnnxNode, x: Tensor) -> Tensor:
        """Between two numbers, of which one may be missing."""
        low, high = (math.inf * (-1, 1)[i] if value is None or value.size == 0 else float(value.reshape(-1)[0])
                     for i, value in enumerate((self.optional(node, 1), self.optional(node, 2))))
        low, high = float(node.attributes.get("min", low)), float(node.attributes.get("max", high))
        return _changed(x, self.sketch.clip(str(node), x.value, low, high))

    def tanh(self, node: OnnxNode, x: Tensor) -> Data:
        """Only its sign is represented."""
        return Refused(f"{node} is not represented but before a sign", same_sign=x)

    # ------------------------------------------------------------ signs

    def sign(self, node: OnnxNode, x: Tensor) -> Tensor:
        """ONNX's Sign, of which that of 0 is 0."""
        return _changed(x, self.sketch.sign(str(node), x.value, 0))

    def bipolar(self, node: OnnxNode, x: Tensor) -> Tensor:
        """+scale where x >= 0, else -scale."""
        signs = _changed(x, self.sketch.sign(str(node), x.value, 1))
        scale = by_channel(node, x, self.constant(node, 1))
        return _changed(x, self.sketch.affine(f"{node}'s scale", signs.value, scale))

    def compare(self, node: OnnxNode, x: Tensor) -> Tensor:
        """x > t and the like: 0 or 1."""
        t, name = self.other(node, x), str(node)
        above = node.op.startswith("Greater") == self.data_first(node)
        scale = 1.0 if above else -1.0
        if above and not t.any():
            shifted = x.value
        else:
            shifted = self.sketch.affine(f"{name}'s threshold", x.value, scale, -scale * t)
        signs = self.sketch.sign(name, shifted, 1 if node.op.endswith("OrEqual") else -1)
        return _changed(x, self.sketch.affine(f"{name}'s values", signs, 0.5, 0.5))

    def where(self, node: OnnxNode, x: Tensor) -> Tensor:
        """One number where a bit is 1, another where it is 0."""
        high, low = (self.constant(node, i) for i in (1, 2))
        if high.size != 1 or low.size != 1:
            raise ValueError(f"{node} must choose between two numbers")
        step = float(high.item()) - float(low.item())
        return _changed(x, self.sketch.affine(str(node), self._condition(node, x), step, float(low.item())))

    def _condition(self, node: OnnxNode, x: Tensor) -> Value:
        if x.value.bits != (0.5, 0.5):
            raise ValueError(f"{node} reads numbers, or signs, as a condition: it must be a comparison with constants")
        return x.value

    # ------------------------------------------------------------ pools

    def largest(self, node: OnnxNode, x: Tensor) -> Tensor:
        """Max-pooling; what it reads outside of the map is left out."""
        n_axes = _map_axes(node, x)
        if node.op == "GlobalMaxPool":
            value = self.sketch.largest(str(node), x.value, x.map_sizes, x.map_sizes)
            return _changed(x, value, sizes=(x.sizes[0], *(1,) * n_axes))
        size, stride = pair(node, "kernel_shape", n_axes), pair(node, "strides", n_axes)
        pads = self._pool_pads(node, x, NO_PADDING)
        value = self.sketch.largest(str(node), x.value, size, stride, pads)
        return _changed(x, value, sizes=(x.sizes[0], *value.shape[2 - n_axes:2]))

    def _pool_pads(self, node: OnnxNode, x: Tensor, pads: Sides) -> Sides:
        """With the windows that reach past the map: they too leave out what they read there."""
        n_axes = _map_axes(node, x)
        size, stride = pair(node, "kernel_shape", n_axes), pair(node, "strides", n_axes)
        if not any(pads):
            pads = pads_of(node, x.map_sizes, size, stride, (1, 1), n_axes)
        if pair(node, "dilations", n_axes) != (1, 1):
            raise ValueError(f"{node} pools values that lie apart (dilations), which is not represented")
        found = with_overhang(x.map_sizes, size, stride, pads) if node.attributes.get("ceil_mode", 0) else pads
        sizes_behind(str(node), x.map_sizes, size, stride, found)
        return found

    def average(self, node: OnnxNode, x: Tensor) -> Tensor:
        """The average of each window; GlobalAveragePool: over all positions."""
        n_axes = _map_axes(node, x)
        if node.op == "GlobalAveragePool":
            return self._averaged(node, x, True)
        size, stride = pair(node, "kernel_shape", n_axes), pair(node, "strides", n_axes)
        given = pads_of(node, x.map_sizes, size, stride, (1, 1), n_axes)
        pads, number, mode = _with_pad(node, x, given)
        whole = bool(node.attributes.get("count_include_pad", 0)) or x.padded is not None
        found = self._pool_pads(node, x, pads)
        if number != 0 or mode != "constant" or (whole and any(pads) and found[2:] > pads[2:]):
            raise ValueError(f"{node} averages numbers of a padding that are not 0, or windows that reach past it")
        if size == x.map_sizes and not any(found):
            return self._averaged(node, x, True)
        value = self.sketch.average(str(node), x.value, size, stride, found, whole and any(pads))
        return Tensor(value, (x.sizes[0], *value.shape[2 - n_axes:2]))

    def _averaged(self, node: OnnxNode, x: Tensor, keep: bool) -> Tensor:
        value = x.value if len(x.value.shape) == 1 else self.sketch.global_average(str(node), x.value)
        if not keep:
            return Tensor(value, value.shape)
        ones, channels = (1,) * (len(x.sizes) - 1), value.shape
        return _changed(x, value, sizes=(*ones, *channels) if x.channel_axis else (*channels, *ones))

    def reduce(self, node: OnnxNode, x: Tensor) -> Tensor:
        """The sum, or average, over all positions."""
        given, n = self.optional(node, 1), len(x.sizes) + 1
        axes = node.attributes.get("axes", []) if given is None else given.reshape(-1)[:9].tolist()
        wanted = sorted({*range(1, n)} - {1 + x.channel_axis})
        if n < 3 or not isinstance(axes, list) or sorted(axis % n for axis in axes) != wanted:
            raise ValueError(f"{node} adds up axes {str(axes)[:60]} of {x.sizes}: all positions of a map, {wanted}, are "
                             "represented")
        found = self._averaged(node, x, bool(node.attributes.get("keepdims", 1)))
        if node.op == "ReduceMean":
            return found
        n_positions = float(math.prod(x.sizes) // x.sizes[x.channel_axis])
        return _changed(found, self.sketch.affine(f"{node}'s sum", found.value, n_positions))

    # ------------------------------------------------------------ shapes

    def concatenate(self, node: OnnxNode, *xs: Tensor) -> Tensor:
        """Channels side by side."""
        axis, n = node.attributes.get("axis", None), len(xs[0].sizes) + 1
        same = {(len(x.sizes), x.order, len(x.value.shape)) for x in xs}
        rows = n == 2 and len(xs[0].value.shape) == 3
        if len(xs) != len(node.inputs) or type(axis) is not int or len(same) > 1 or rows or \
                axis % n != 1 + xs[0].channel_axis:
            raise ValueError(f"{node} joins {', '.join(str(x.sizes) for x in xs)} along axis {str(axis)[:20]}: maps side "
                             "by side, by channel, are represented")
        if len(xs) == 1:
            return xs[0]
        value, sizes = self.sketch.concatenate(str(node), *(x.value for x in xs)), list(xs[0].sizes)
        sizes[xs[0].channel_axis] = value.shape[-1]
        return _changed(xs[0], value, sizes=tuple(sizes))

    def flatten(self, node: OnnxNode, x: Tensor) -> Tensor:
        """Rows of all values of an image."""
        if node.attributes.get("axis", 1) not in (1, -len(x.sizes)):
            raise ValueError(f"{node} flattens from axis {str(node.attributes['axis'])[:20]}")
        return _changed(x, sizes=(math.prod(x.sizes),))

    def reshape(self, node: OnnxNode, x: Tensor) -> Tensor:
        """To rows; of an input, to a map."""
        wanted = [int(n) for n in self.constant(node, 1).reshape(-1)[:8]][1:]
        wanted = [x.sizes[i] if n == 0 and i < len(x.sizes) else n for i, n in enumerate(wanted)]
        n_values, known = math.prod(x.sizes), math.prod(n for n in wanted if n > 0)
        shape = tuple(n_values // known if n == -1 else n for n in wanted)
        if wanted.count(-1) > 1 or min(shape, default=0) < 1 or math.prod(shape) != n_values:
            raise ValueError(f"{node} makes {wanted} of {x.sizes}")
        if shape == x.sizes or len(shape) == 1:
            return _changed(x, sizes=shape)
        if len(self.sketch.parts) == 1 and len(shape) == 3:
            return self._begun(shape)
        if len(x.value.shape) == 1 and shape[0] == n_values:            # (C, 1, 1)
            return _changed(x, sizes=shape, order="CHW")
        raise ValueError(f"{node} makes {shape} of {x.sizes} behind the input: rows of a map are represented")

    def squeeze(self, node: OnnxNode, x: Tensor) -> Tensor:
        """Axes of size 1 behind global pooling left out, or put in."""
        given = self.optional(node, 1)
        axes = node.attributes.get("axes", []) if given is None else given.reshape(-1)[:9].tolist()
        n = len(x.sizes) + 1 + (len(axes) if node.op == "Unsqueeze" and isinstance(axes, list) else 0)
        if len(x.value.shape) != 1 or not isinstance(axes, list) or any(type(axis) is not int for axis in axes) or \
                0 in (found := {axis % n for axis in axes}) or n > 4:
            raise ValueError(f"{node} changes axes {str(axes)[:60]} of {x.sizes}: those behind global pooling are "
                             "represented")
        if node.op == "Unsqueeze":
            rest = iter(x.sizes)
            sizes = tuple(1 if axis in found else next(rest) for axis in range(1, n))
        else:
            if not found or any(x.sizes[axis - 1] != 1 for axis in found):
                raise ValueError(f"{node} leaves out axes {str(axes)[:60]} of {x.sizes}")
            sizes = tuple(size for axis, size in enumerate(x.sizes, 1) if axis not in found)
        if len(sizes) not in (1, 3) or (len(sizes) == 3 and sizes[0] != x.value.shape[0]):
            raise ValueError(f"{node} makes {sizes} of {x.sizes}")
        return _changed(x, sizes=sizes, order="CHW")

    def transpose(self, node: OnnxNode, x: Tensor) -> Tensor:
        """Between (C, H, W) and (H, W, C)."""
        perm = node.attributes.get("perm")
        if len(x.sizes) == 3 and perm == [0, 2, 3, 1] and x.order == "CHW":
            return _changed(x, sizes=(*x.sizes[1:], x.sizes[0]), order="HWC")
        if len(x.sizes) == 3 and perm == [0, 3, 1, 2] and x.order == "HWC":
            return _changed(x, sizes=(x.sizes[2], *x.sizes[:2]), order="CHW")
        if len(x.sizes) == 3 and perm == [0, 3, 1, 2] and len(self.sketch.parts) == 1:
            return self._begun((x.sizes[2], *x.sizes[:2]))
        raise ValueError(f"{node} turns the axes of {x.sizes} by {str(perm)[:60]}")

    # ------------------------------------------------------------ what changes nothing

    def nothing(self, node: OnnxNode, x: Tensor) -> Tensor:
        """Identity; a cast between floats, or of 0 and 1."""
        if node.op == "Cast" and node.attributes.get("to") not in FLOATS and x.value.bits != (0.5, 0.5):
            raise ValueError(f"{node} makes other numbers of its data")
        return x

    def ending(self, node: OnnxNode, x: Tensor) -> Tensor:
        """What changes scores, but no class."""
        return _changed(x, ended_by=str(node))


def _changed(x: Tensor, value: Value | None = None, **more: Any) -> Tensor:
    """A tensor with another value, or other sizes."""
    fields: dict[str, Any] = {"sizes": x.sizes, "order": x.order, **more}
    return Tensor(x.value if value is None else value, **fields)


def _map_axes(node: OnnxNode, x: Tensor) -> int:
    """Of a map, with its channels first: 2, or 1."""
    if len(x.sizes) not in (2, 3) or x.order != "CHW":
        raise ValueError(f"{node} wants a map with its channels first, and reads data of {x.sizes} in {x.order} order")
    return len(x.sizes) - 1


def _with_pad(node: OnnxNode, x: Tensor, pads: Sides) -> tuple[Sides, float, str]:
    """Its own padding, or that of a Pad before it."""
    if x.padded is None:
        return pads, 0.0, "constant"
    if any(pads):
        raise ValueError(f"{node} pads a map that a Pad has padded before")
    return x.padded


Take = Callable[..., Data]
SIGNS = ("Sign", "BipolarQuant", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
JOINS = ("Add", "Sum", "Concat")
NODES: dict[str, Take] = {
    "MatMul": _Reader.matmul, "Gemm": _Reader.gemm, "Conv": _Reader.conv, "Pad": _Reader.pad,
    "BatchNormalization": _Reader.norm, "Sign": _Reader.sign, "BipolarQuant": _Reader.bipolar, "Neg": _Reader.negate,
    "Not": _Reader.opposite, "Where": _Reader.where, "Clip": _Reader.clip, "Tanh": _Reader.tanh, "Sum": _Reader.total,
    "Concat": _Reader.concatenate, "Flatten": _Reader.flatten, "Reshape": _Reader.reshape,
    "Transpose": _Reader.transpose,
    **dict.fromkeys(("Squeeze", "Unsqueeze"), _Reader.squeeze),
    **dict.fromkeys(("MaxPool", "GlobalMaxPool"), _Reader.largest),
    **dict.fromkeys(("AveragePool", "GlobalAveragePool"), _Reader.average),
    **dict.fromkeys(("ReduceSum", "ReduceMean"), _Reader.reduce),
    **dict.fromkeys(("Relu", "PRelu", "LeakyRelu"), _Reader.rectify),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _Reader.arithmetic),
    **dict.fromkeys(SIGNS[2:], _Reader.compare),
    **dict.fromkeys(("Identity", "Cast", "Dropout"), _Reader.nothing), **dict.fromkeys(OF_SCORES, _Reader.ending)}
