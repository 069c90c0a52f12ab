"""A graph while it is read: parts, each a layer of bits or an operation on float32, and what goes between them.

Readers put parts into a `Sketch` in an order in which each reads only what stands before it; `graph_lowering` drops
what the scores do not read, folds, and makes a `PackedGraph`. Shapes are (H, W, C) or (F,) of one image, weights (K,
kh, kw, C / groups) or (U, F) with features in H, W, C order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bnnsim.checks import check_finite, check_int
from bnnsim.interop.drafts import geometry_of, pad_of_bits, sign_behind_sign
from bnnsim.interop.input_codes import Code
from bnnsim.interop.steps import Weigh, in_words
from bnnsim.interop.weights import Reading, scale_of, signs_and_scale
from bnnsim.packed.forward import NO_PADDING, Pair, Sides
from bnnsim.packed.graph_schema import IMAGES
from bnnsim.packed.kinds import MAX_VALUES
from bnnsim.packed.operations import (Add, AveragePool, Clip, Concatenate, GlobalAverage, LargestPool, Operation, PReLU,
                                      RealConv, RealDense)
from bnnsim.packed.operations.operation import Shape
from bnnsim.packed.schema import MAX_LAYERS, check_input_shape

MOST_PARTS = 4 * MAX_LAYERS         # with those that the scores do not read
SLACK = 2**22                       # numbers that parts may hold beside four times those of the file


@dataclass(frozen=True, eq=False)
class Weighing:
    """A layer of bits: int8 weights, fields as `PackedNetwork.from_arrays` takes them, and its sums.

    weigh, weight : as the file has them, and as signs
    most : of the size of what it weighs
    any_parity : whether its sums can be even and odd
    """

    weigh: Weigh
    weight: np.ndarray
    fields: dict[str, object]
    most: int
    any_parity: bool


@dataclass(frozen=True, eq=False)
class Norm:
    """x * scale + shift, float64, one number each or one a channel."""

    scale: np.ndarray
    shift: np.ndarray

    def behind(self, first: "Norm") -> "Norm":
        """Both in one."""
        return Norm(first.scale * self.scale, first.shift * self.scale + self.shift)


@dataclass(frozen=True)
class Signs:
    """+1 above 0, -1 below, and what 0 gives; 0: that is open."""

    at_zero: int


What = Weighing | Norm | Signs | Operation


@dataclass
class Part:
    """A node: its name in the file, what it is, and the parts that it reads; -1 is the images."""

    name: str
    what: What
    inputs: tuple[int, ...]
    shape: Shape
    sources: tuple[str, ...] = ()
    folded: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Value:
    """What a part gives; `bits`: (a, c) of bits that mean a * bit + c, None of numbers."""

    part: int
    shape: Shape
    bits: tuple[float, float] | None = None


class Sketch:
    """Parts so far; methods take values and give one, and refuse by the name of the node what cannot be represented.

    n_constants : of the file: parts hold in proportion to it
    """

    def __init__(self, input_shape: tuple[int, int, int], code: Code, reading: Reading, n_constants: int) -> None:
        channels, height, width = self.input_shape = check_input_shape(input_shape)
        self.code, self.reading = code, reading
        self.parts: list[Part] = []
        self.left = SLACK + 4 * n_constants
        self.offset: int | None = None                          # of layers of bits that read pixels
        self.images = self._put("input", Norm(np.array(code.scale), np.array(code.shift)), (IMAGES,),
                                (height, width, channels))

    def spend(self, name: str, n: int) -> None:
        """So many numbers more."""
        self.left -= n
        if self.left < 0:
            raise ValueError(f"{name}: the graph would hold more than four times as many numbers as the file has")

    def _put(self, name: str, what: What, inputs: tuple[int, ...], shape: Shape, sources: tuple[str, ...] = (),
             bits: tuple[float, float] | None = None) -> Value:
        check_int("the number of nodes", len(self.parts) + 1, high=MOST_PARTS)
        check_int(f"{name}: the number of values of its output", math.prod(shape), 1, MAX_VALUES)
        self.parts.append(Part(name, what, inputs, shape, sources))
        return Value(len(self.parts) - 1, shape, bits)

    def operation(self, name: str, what: Operation, xs: Sequence[Value], sources: tuple[str, ...] = ()) -> Value:
        """An operation on numbers."""
        for x in xs:
            if x.bits is not None:
                raise ValueError(f"{name} computes with signs ({self.parts[x.part].name}) as numbers: only weights of "
                                 "one bit read them")
        try:
            check_int("the number of inputs", len(xs), *what.n_inputs)
            shape = what.output_shape(*(x.shape for x in xs))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        return self._put(name, what, tuple(x.part for x in xs), shape, sources)

    # ------------------------------------------------------------ number by number

    def affine(self, name: str, x: Value, scale: np.ndarray | float = 1.0, shift: np.ndarray | float = 0.0,
               sources: tuple[str, ...] = ()) -> Value:
        """x * scale + shift, a number each or one a channel; of bits, what they mean."""
        norm = Norm(*(check_finite(f"{name}: its numbers", np.asarray(value, np.float64)) for value in (scale, shift)))
        for value in (norm.scale, norm.shift):
            if value.ndim > 1 or value.size not in (1, x.shape[-1]):
                raise ValueError(f"{name}: {value.size} numbers for {x.shape[-1]} channels")
        if x.bits is None:
            self.spend(name, norm.scale.size + norm.shift.size)
            before, inputs = self.parts[x.part], (x.part,)
            if before.inputs == (IMAGES,) and isinstance(before.what, Norm):
                norm, inputs = norm.behind(before.what), before.inputs
            return self._put(name, norm, inputs, x.shape, sources)
        a, c = np.unique(norm.scale), np.unique(norm.shift)
        if len(a) != 1 or len(c) != 1 or a[0] == 0:
            raise ValueError(f"{name} scales signs by {len(a)} numbers and shifts by {len(c)}: one scale that is not 0 "
                             "and one shift for all channels can be folded")
        bits = x.bits[0] * float(a[0]), x.bits[1] * float(a[0]) + float(c[0])
        if not 1e-100 < abs(bits[0]) < 1e100 or not abs(bits[1]) < 1e100:
            raise ValueError(f"{name} scales signs to {bits[0]:g} and shifts by {bits[1]:g}, which is out of range")
        return replace(x, bits=bits)

    def sign(self, name: str, x: Value, at_zero: int) -> Value:
        """Bits; of bits what they were, where that is what their sign is."""
        if x.bits is None:
            return self._put(name, Signs(at_zero), (x.part,), x.shape, bits=(1.0, 0.0))
        (a, c), part = x.bits, self.parts[x.part]
        of_zero = sign_behind_sign(name, a, c, at_zero)
        if isinstance(part.what, Signs) and part.what.at_zero == 0:
            return self._put(name, Signs(of_zero), part.inputs, x.shape, bits=(1.0, 0.0))
        return replace(x, bits=(1.0, 0.0))

    def prelu(self, name: str, x: Value, slope: np.ndarray, sources: tuple[str, ...] = ()) -> Value:
        """x above 0, else x * slope, one number or one a channel."""
        slope = check_finite(f"{name}: slope", np.asarray(slope, np.float64)).reshape(-1)
        if slope.size not in (1, x.shape[-1]):
            raise ValueError(f"{name}: {slope.size} slopes for {x.shape[-1]} channels")
        self.spend(name, x.shape[-1])
        return self.operation(name, PReLU(np.broadcast_to(slope, x.shape[-1:]).astype(np.float32)), [x], sources)

    def clip(self, name: str, x: Value, low: float, high: float) -> Value:
        """x brought into low..high; of infinite bounds the largest float."""
        most = float(np.finfo(np.float32).max)
        if not low < high:
            raise ValueError(f"{name} clips to {low:g}..{high:g}")
        bounds = [np.array([min(max(bound, -most), most)], np.float32) for bound in (low, high)]
        return self.operation(name, Clip(*bounds), [x])

    # ------------------------------------------------------------ maps

    def add(self, name: str, *xs: Value) -> Value:
        """The sum."""
        return self.operation(name, Add(), xs)

    def concatenate(self, name: str, *xs: Value) -> Value:
        """Channels side by side; of signs, those of what they are signs of."""
        signs = [self._sign_of(name, x) for x in xs if x.bits is not None]
        if not signs:
            return self.operation(name, Concatenate(), xs)
        if len(signs) < len(xs) or len({(x.bits, sign.at_zero) for x, (sign, _) in zip(xs, signs)}) > 1:
            raise ValueError(f"{name} puts signs beside numbers, or beside signs that mean other values")
        joined = self.operation(name, Concatenate(), [before for _, before in signs])
        return self._put(name, signs[0][0], (joined.part,), joined.shape, bits=xs[0].bits)

    def _sign_of(self, name: str, x: Value) -> tuple[Signs, Value]:
        """A value's sign, and what it is the sign of."""
        part = self.parts[x.part]
        if not isinstance(part.what, Signs) or part.inputs[0] == IMAGES:
            raise ValueError(f"{name} reads bits of {part.name}")
        return part.what, Value(part.inputs[0], self.parts[part.inputs[0]].shape)

    def largest(self, name: str, x: Value, size: Pair, stride: Pair, pads: Sides = NO_PADDING) -> Value:
        """The largest of each window; of signs, the sign of the largest."""
        what = LargestPool(size, stride, pads)
        if x.bits is None:
            return self.operation(name, what, [x])
        if x.bits[0] < 0:
            raise ValueError(f"{name} pools signs that are turned over")
        sign, before = self._sign_of(name, x)
        pooled = self.operation(name, what, [before])
        return self._put(name, sign, (pooled.part,), pooled.shape, bits=x.bits)

    def average(self, name: str, x: Value, size: Pair, stride: Pair, pads: Sides = NO_PADDING,
                whole: bool = False) -> Value:
        """The average of each window, of entries in the padding too if it is the `whole` window's."""
        return self.operation(name, AveragePool(size, stride, pads, int(whole and any(pads))), [x])

    def global_average(self, name: str, x: Value) -> Value:
        """(H, W, C) -> (C,)."""
        return self.operation(name, GlobalAverage(), [x])

    def with_zeros(self, name: str, x: Value, before: int, behind: int) -> Value:
        """So many channels of zeros before and behind its own, as shortcuts without weights have them."""
        channels = x.shape[-1]
        check_int(f"{name}: the number of channels", before + channels + behind, 1, 2**16)
        self.spend(name, (before + channels + behind) * channels)
        weight = np.zeros((before + channels + behind, 1, 1, channels), np.float32)
        weight[before:before + channels, 0, 0] = np.eye(channels, dtype=np.float32)
        return self.operation(name, RealConv(weight, np.zeros(len(weight), np.float32)), [x])

    # ------------------------------------------------------------ weights

    def weigh(self, step: Weigh, x: Value, bias: np.ndarray | None = None) -> Value:
        """A convolution of a map, or a dense layer of all of its values in H, W, C order."""
        n_read = x.shape[-1] if step.weight.ndim == 4 else math.prod(x.shape)
        if step.weight.ndim == 4 and len(x.shape) == 1 and step.weight.shape[1:3] == (1, 1) and step.groups == 1 and \
                not any(step.pads):
            step = replace(step, weight=step.weight[:, 0, 0])           # of what global pooling has left
        if step.weight.size == 0 or step.weight.shape[-1] * step.groups != n_read or len(step.weight) % step.groups \
                or (step.weight.ndim == 4 and len(x.shape) != 3):
            raise ValueError(f"{step.name}: weights of shape {step.weight.shape} in {step.groups} groups for "
                             f"{in_words(x.shape)}")
        if step.weight.dtype.kind not in "biuf":
            raise ValueError(f"{step.name}: weights must be numbers, got {step.weight.dtype}")
        check_finite(f"{step.name}: weights", step.weight)
        if step.latent:
            step = replace(step, weight=np.where(step.weight >= 0, np.int8(1), np.int8(-1)), latent=False)
        self.spend(step.name, step.weight.size)
        found = self._weigh_bits(step, x, *x.bits) if x.bits is not None else self._weigh_pixels(step, x)
        if found is None:
            found = self._weigh_reals(step, x, np.zeros(len(step.weight)) if bias is None else bias)
            if self.reading.weights == "latent":
                self.parts[-1].folded += ["weights as they are: 'latent' is said of what reads signs"]
            return found
        return found if bias is None else self.affine(f"{step.name}'s bias", found, 1.0, bias)

    def _shape_behind(self, step: Weigh, x: Value) -> Shape:
        return (len(step.weight),) if step.weight.ndim == 2 else (*step.sizes(x.shape[:2]), len(step.weight))

    def _weigh_bits(self, step: Weigh, x: Value, a: float, c: float) -> Value:
        """Sums of bits that mean a * bit + c: a * h + c * (sum of weights)."""
        (signs, scale, note), fields = signs_and_scale(step, self.reading), geometry_of(step, *pad_of_bits(step, a, c))
        any_parity = any(step.pads) and not step.replicate and fields["pad_value"] == 0
        h = self._put(step.name, Weighing(step, signs, fields, 1, any_parity), (x.part,), self._shape_behind(step, x),
                      step.sources)
        self.parts[-1].folded += note
        return self._meaning(step, h, signs, scale, a, c)

    def _meaning(self, step: Weigh, h: Value, signs: np.ndarray, scale: np.ndarray | None, a: float,
                 c: float) -> Value:
        factor = a * (np.ones(1) if scale is None else scale)
        rest = c * (1.0 if scale is None else scale) * signs.reshape(len(signs), -1).sum(1, dtype=np.float64)
        if np.all(factor == 1) and not rest.any():
            return h
        return self.affine(f"{step.name}'s scale", h, factor, rest)

    def _weigh_pixels(self, step: Weigh, x: Value) -> Value | None:
        """Sums of pixels less an offset, if that is what it reads and the weights are, or stand for, signs."""
        part = self.parts[x.part]
        norm = part.what
        if not isinstance(norm, Norm) or part.inputs != (IMAGES,):
            return None
        if norm.scale.size > 1 or norm.shift.size > 1 or not norm.scale.item() > 0:
            return None
        found = self._signs_on_pixels(step)
        if found is None:
            return None
        signs, scale, note = found
        code = self.code.settled(norm.scale.item(), norm.shift.item())
        pad, reason = code.pad(step.name, step.pad_value)
        if (any(step.pads) and not step.replicate and reason) or self.offset not in (None, code.offset):
            return None
        self.offset = code.offset
        any_parity = not self.code.binary or (any(step.pads) and pad == 0)
        what = Weighing(step, signs, geometry_of(step, pad), 1 if self.code.binary else 255, any_parity)
        h = self._put(step.name, what, (IMAGES,), self._shape_behind(step, x), step.sources)
        self.parts[-1].folded += note
        return self._meaning(step, h, signs, scale, code.scale, code.rest)

    def _signs_on_pixels(self, step: Weigh) -> tuple[np.ndarray, np.ndarray | None, list[str]] | None:
        """As `signs_and_scale`, of weights of a layer that may as well be real; None where they are."""
        if self._are_bits(step.weight):
            return signs_and_scale(step, self.reading)
        scale = scale_of(step.weight)
        if scale is not None and _is_binary(step.weight):
            return np.sign(step.weight).astype(np.int8), None if np.all(scale == 1) else scale, []
        return None

    def _are_bits(self, weight: np.ndarray) -> bool:
        """Whether weights are 0 and 1, and said to stand for signs."""
        return self.reading.weights in ("bits", "sign-bits") and bool(np.all((weight == 0) | (weight == 1))
                                                                      and weight.any())

    def _weigh_reals(self, step: Weigh, x: Value, bias: np.ndarray) -> Value:
        if _is_binary(step.weight) or self._are_bits(step.weight):
            raise ValueError(f"{step.name} has weights of one bit, and reads numbers of {self.parts[x.part].name}: "
                             "layers of bits read signs, or an image that is scaled and shifted by one number each; "
                             "plain ONNX exports of PyTorch's sign may have lost it: export with the sign as an "
                             "operator")
        if any(step.pads) and (step.replicate or step.pad_value != 0):
            raise ValueError(f"{step.name} pads numbers with {'the border' if step.replicate else step.pad_value}: "
                             "only 0 is represented")
        weight, bias = step.weight.astype(np.float32), check_finite(f"{step.name}: bias", bias).astype(np.float32)
        if weight.ndim == 2:
            return self.operation(step.name, RealDense(weight, bias), [x], step.sources)
        what = RealConv(weight, bias, step.stride, step.pads, step.dilation, step.groups)
        return self.operation(step.name, what, [x], step.sources)


def _is_binary(weight: np.ndarray) -> bool:
    """Whether weights are +-1, or +-s of each unit and no filter that averages."""
    scale = scale_of(weight)
    return scale is not None and bool(np.all(scale == 1) or (np.any(weight < 0) and np.any(weight > 0)))
