"""What a reader gives: the operations of a chain in order, each with the names that the file has for it.

U units, F features, K and C channels out and in, kh and kw a kernel's sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_finite
from bnnsim.packed.forward import NO_PADDING, Pair, Sides


@dataclass(frozen=True, eq=False)
class Step:
    """One operation; `name` is what the file calls it, `sources` its arrays there."""

    name: str
    sources: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, eq=False)
class Weigh(Step):
    """A dense layer of weights (U, F), or a convolution of (K, kh, kw, C / groups); real values, not checked yet.

    pads : (top, left, bottom, right), of `pad_value` in what the network computes with, or of the border
    replicate : whether it is the border that is repeated
    latent : whether the network computes with the signs of the weights, that of 0 being +1
    note : what else there is to tell of how they were read
    """

    weight: np.ndarray
    stride: Pair = (1, 1)
    pads: Sides = NO_PADDING
    pad_value: float = 0.0
    replicate: bool = False
    dilation: Pair = (1, 1)
    groups: int = 1
    latent: bool = False
    note: str = ""

    def sizes(self, given: Sequence[int]) -> Pair:
        """Of the map that a convolution makes of one of these sizes."""
        return sizes_behind(self.name, given, self.weight.shape[1:3], self.stride, self.pads, self.dilation)


@dataclass(frozen=True, eq=False)
class Affine(Step):
    """y = (x - mean) * scale + shift, a number each or one a unit: batch norm, a bias, a scaling."""

    mean: np.ndarray
    scale: np.ndarray
    shift: np.ndarray

    @property
    def intercept(self) -> np.ndarray:
        """y of 0: y = x * scale + intercept."""
        return self.shift - self.mean * self.scale


@dataclass(frozen=True, eq=False)
class StoredBias(Step):
    """+1 or -1 added to the sums of each unit, a bit of the memory as weights are; as the file has it, (U,)."""

    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Pool(Step):
    """The largest of each window; what lies outside of the map is left out of one."""

    size: Pair
    stride: Pair
    pads: Sides = NO_PADDING

    def __str__(self) -> str:
        by = "" if self.stride == self.size else f" by {in_words(self.stride)}"
        return f"pool {in_words(self.size)}{by}{f' padded {in_words(self.pads)}' if any(self.pads) else ''} {self.name}"

    def sizes(self, given: Sequence[int]) -> Pair:
        """Of the map that it makes of one of these sizes."""
        return sizes_behind(self.name, given, self.size, self.stride, self.pads)


@dataclass(frozen=True, eq=False)
class Total(Step):
    """The sum over all positions of a map, or its average."""

    average: bool


@dataclass(frozen=True, eq=False)
class Sign(Step):
    """+1 above 0 and -1 below; at_zero says what 0 gives: +1, -1, or 0 as in NumPy, PyTorch and ONNX."""

    at_zero: int


@dataclass(frozen=True, eq=False)
class Flatten(Step):
    """A map becomes a row, in order "HWC" or "CHW"."""

    order: str


@dataclass(frozen=True, eq=False)
class LeftOut(Step):
    """What changes no class, such as a softmax of the scores; it is told, not computed."""

    why: str


@dataclass(frozen=True)
class Network:
    """A chain as a file has it: its input's (C, H, W) where the file says so, and its steps."""

    form: str
    steps: tuple[Step, ...]
    input_shape: tuple[int, int, int] | None = None


def sizes_behind(name: str, sizes: Sequence[int], kernel: Sequence[int], stride: Pair, pads: Sides = NO_PADDING,
                 dilation: Pair = (1, 1)) -> Pair:
    """(OH, OW) of what windows make of a map (H, W)."""
    rows, columns = ((size + before + after - apart * (taps - 1) - 1) // step + 1 for size, before, after, apart, taps,
                     step in zip(sizes, pads[:2], pads[2:], dilation, kernel, stride))
    if min(rows, columns) < 1:
        raise ValueError(f"{name}: a kernel of {in_words(kernel)} for a map of {in_words(sizes)} with padding "
                         f"{in_words(pads)} and dilation {in_words(dilation)}")
    return rows, columns


def in_words(numbers: Sequence[int]) -> str:
    """3 for 3 and 3, 3 x 1 for 3 and 1."""
    return str(numbers[0]) if len(set(numbers)) == 1 else " x ".join(map(str, numbers))


def affine(name: str, mean: npt.ArrayLike = 0.0, scale: npt.ArrayLike = 1.0, shift: npt.ArrayLike = 0.0,
           sources: tuple[str, ...] = ()) -> Affine:
    """An `Affine` of float64; what is not finite is refused."""
    parts = [check_finite(f"{name}: {part}", np.asarray(value, np.float64))
             for part, value in (("mean", mean), ("scale", scale), ("shift", shift))]
    return Affine(name, *parts, sources=sources)


def batch_norm(name: str, parts: dict[str, np.ndarray], eps: float, sources: tuple[str, ...] = ()) -> Affine:
    """The `Affine` of a batch norm with mean, var, and gamma and beta where the network has them."""
    var = check_finite(f"{name}: var", np.asarray(parts["var"], np.float64))
    if not np.all(var + eps > 0) or np.any(var < 0):
        raise ValueError(f"{name}: var must be >= 0 and var + eps > 0, got {var.min()} and eps {eps}; is it 1 / sqrt("
                         "var + eps), or a logarithm?")
    scale = np.asarray(parts.get("gamma", 1.0), np.float64) / np.sqrt(var + eps)
    return affine(name, parts["mean"], scale, parts.get("beta", 0.0), sources)
