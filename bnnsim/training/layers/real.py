"""Layers of graphs between those of bits: on maps of reals, float32 (N, H, W, C) or (N, F), channel by channel.

Each gives what its operation of `bnnsim.packed.operations` gives, and adds the way back; C channels. Sums for gradients
run over rows in order, in float64.
"""

from abc import abstractmethod
from typing import Any

import numpy as np

import bnnsim.kernels.real.channels as channels
import bnnsim.packed.operations as operations
from bnnsim.checks import check_array, check_bool, check_input, check_int, check_real
from bnnsim.kernels import empty, split
from bnnsim.kernels.real.channel_tiles import PRODUCT, PRODUCT_BELOW, VALUE
from bnnsim.packed.operations import Operation
from bnnsim.training.estimators import Clipped, Estimator, check_estimator, kernel_coefficients, pseudo_gradient
from bnnsim.training.gradients import Gradient
from bnnsim.training.layers.layer import Layer
from bnnsim.training.plug_ins import as_text

Gradients = dict[str, np.ndarray]


class RealLayer(Layer):
    """A layer that is an operation of a packed graph, with a way back. Its cache is its inputs."""

    takes = gives = "reals"

    @abstractmethod
    def operation(self) -> Operation:
        """What it is to a packed graph."""

    def output_shape(self, *shapes: tuple[int, ...]) -> tuple[int, ...]:
        """As its operation says."""
        low, high = self.operation().n_inputs
        check_int(f"the number of inputs of {type(self).__name__}", len(shapes), low, high)
        return self.operation().output_shape(*shapes)

    def checked(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Inputs, once they are such as kernels can read."""
        return tuple(check_input(type(self).__name__, x, np.float32, np.shape(x)[-1] if np.ndim(x) else 0)
                     for x in inputs)

    def forward(self, *inputs: np.ndarray) -> np.ndarray:
        """What its operation gives."""
        return self.operation().run(*self.checked(*inputs))

    def forward_train(self, *inputs: np.ndarray) -> tuple[np.ndarray, Any]:
        """The same; the cache is the inputs."""
        inputs = self.checked(*inputs)
        return self.operation().run(*inputs), inputs

    def gradient_of(self, dout: Gradient, shape: tuple[int, ...]) -> np.ndarray:
        """A gradient of this shape, float32."""
        return check_array(f"dout of {type(self).__name__}", dout, np.float32, shape)


def rows(x: np.ndarray) -> np.ndarray:
    """A map as rows of channels."""
    return x.reshape(-1, x.shape[-1])


def row_by_row(kernel: Any, dout: np.ndarray, *args: Any) -> np.ndarray:
    """What a kernel makes of each row of a gradient: of maps and constants, one after the other."""
    out = empty(dout.shape, np.float32)
    given = [rows(each) if isinstance(each, np.ndarray) and each.ndim > 1 else each for each in args]
    split(kernel, len(rows(dout)), rows(dout), *given, rows(out))
    return out


def sums(term: int, dout: np.ndarray, x: np.ndarray | None = None, mean: np.ndarray | None = None) -> np.ndarray:
    """Sums of a term of each channel over all rows, float64 (C,): see `bnnsim.kernels.real.channel_tiles`."""
    given, out = rows(dout), np.empty(dout.shape[-1])
    split(channels.column_sums, len(out), term, given, given if x is None else rows(x), out if mean is None else mean,
          out)
    return out


class Pixels(RealLayer):
    """Images as a map of reals: pixel * scale + shift, a number each or one a channel; not trained."""

    takes = "pixels"

    def __init__(self, n_channels: int, scale: float | np.ndarray = 1 / 255, shift: float | np.ndarray = 0.0) -> None:
        shape = (check_int("n_channels", n_channels, 1),)
        self.scale = np.broadcast_to(np.asarray(scale, np.float32), shape).copy()
        self.shift = np.broadcast_to(np.asarray(shift, np.float32), shape).copy()

    def settings(self) -> dict[str, object]:
        """Scale and shift."""
        return {"scale": self.scale.tolist(), "shift": self.shift.tolist()}

    def operation(self) -> Operation:
        """What it is to a packed graph."""
        return operations.Pixels(self.scale, self.shift)

    def output_shape(self, *shapes: tuple[int, ...]) -> tuple[int, ...]:
        """(C, H, W) -> (H, W, C)."""
        (c, height, width), = shapes
        return self.operation().output_shape((height, width, c))

    def checked(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Images (N, C, H, W) uint8."""
        return check_array("images", inputs[0], np.uint8, (None, len(self.scale), None, None)),

    def backward(self, dout: Gradient, cache: Any) -> tuple[None, Gradients]:
        """None: nothing flows back to pixels."""
        return None, {}


class AsReals(RealLayer):
    """Pre-activations as a map of reals, as they are: for what reads reals with no batch norm before it; U units."""

    takes = "pre-activations or reals"

    def __init__(self, units: int) -> None:
        self.units = check_int("units", units, 1)

    def operation(self) -> Operation:
        """What it is to a packed graph."""
        return operations.Affine(np.ones(self.units, np.float32), np.zeros(self.units, np.float32))

    def checked(self, *inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        """Pre-activations int32, or reals float32."""
        x, = inputs
        dtype = np.float32 if getattr(x, "dtype", None) == np.float32 else np.int32
        return check_input(type(self).__name__, x, dtype, self.units),

    def forward_train(self, *inputs: np.ndarray) -> tuple[np.ndarray, Any]:
        """The same; the cache is the shape."""
        return self.forward(*inputs), inputs[0].shape

    def backward(self, dout: Gradient, cache: Any) -> tuple[np.ndarray, Gradients]:
        """dout."""
        return self.gradient_of(dout, cache), {}


class Sign(RealLayer):
    """Bits of reals: +1 where x >= threshold; the way back is a straight-through estimator at x - threshold.

    Parameters
    ----------
    units : int
        C.
    ste : "clipped", "identity", "approx", "swish", or an Estimator
    learned : bool
        Whether the thresholds, 0 at first, are trained: RSign of Liu et al. 2020, ReActNet, arXiv:2003.03488 [M].
    """

    gives = "bits"

    def __init__(self, units: int, ste: str | Estimator = Clipped(), learned: bool = False) -> None:
        self.ste, self.learned = check_estimator(ste), check_bool("learned", learned)
        self.threshold = np.zeros(check_int("units", units, 1), np.float32)
        self.parameters = {"threshold": self.threshold} if self.learned else {}

    def settings(self) -> dict[str, object]:
        """The estimator where it is not the default, and whether thresholds are learned."""
        return ({} if self.ste == Clipped() else {"ste": as_text(self.ste)}) | ({"learned": 1} if self.learned else {})

    def operation(self) -> Operation:
        """What it is to a packed graph."""
        return operations.Sign(self.threshold.copy())

    def backward(self, dout: Gradient, cache: Any) -> tuple[np.ndarray, Gradients]:
        """dx = dout * g(x - threshold), and of a threshold that is learned minus its sum."""
        (x,), ste = cache, kernel_coefficients(self.ste)
        dout = self.gradient_of(dout, x.shape)
        if ste is None:
            g = pseudo_gradient(self.ste, x.astype(np.float64) - self.threshold.astype(np.float64))
            dx = np.where(g == 0, 0.0, dout * g).astype(np.float32)
        else:
            dx = row_by_row(channels.sign_backward, dout, x, self.threshold, ste)
        return dx, {"threshold": -sums(VALUE, dx).astype(np.float32)} if self.learned else {}


class PReLU(RealLayer):
    """x where it is above 0, else x * slope, learned for each channel; He et al. 2015, arXiv:1502.01852."""

    def __init__(self, units: int, slope: float = 0.25) -> None:
        self.parameters = {"slope": np.full(check_int("units", units, 1), check_real("slope", slope), np.float32)}

    def operation(self) -> Operation:
        """What it is to a packed graph."""
        return operations.PReLU(self.parameters["slope"].copy())

    def backward(self, dout: Gradient, cache: Any) -> tuple[np.ndarray, Gradients]:
        """dx, and the gradient of the slopes."""
        x, = cache
        dout = self.gradient_of(dout, x.shape)
        return (row_by_row(channels.prelu_backward, dout, x, self.parameters["slope"]),
                {"slope": sums(PRODUCT_BELOW, dout, x).astype(np.float32)})


class HardTanh(RealLayer):
    """x brought into low..high."""

    def __init__(self, low: float = -1.0, high: float = 1.0) -> None:
        self.low, self.high = np.float32(low), np.float32(high)
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {low} and {high}")

    def settings(self) -> dict[str, object]:
        """The two bounds."""
        return {"low": float(self.low), "high": float(self.high)}

    def operation(self) -> Operation:
        """What it is to a packed graph."""
        return operations.Clip(np.array([self.low]), np.array([self.high]))

    def backward(self, dout: Gradient, cache: Any) -> tuple[np.ndarray, Gradients]:
        """dout where x lies between the bounds, else 0."""
        x, = cache
        return row_by_row(channels.clip_backward, self.gradient_of(dout, x.shape), x, self.low, self.high), {}


class ReLU(HardTanh):
    """x where it is above 0, else 0."""

    def __init__(self) -> None:
        super().__init__(0.0, float(np.finfo(np.float32).max))

    def settings(self) -> dict[str, object]:
        """None."""
        return {}


class ScaleShift(RealLayer):
    """x * scale + shift, learned for each channel, or one of them: learned shifts and scales of ReActNet, Bi-Real Net.

    Parameters
    ----------
    units : int
    scale, shift : bool
        Which of the two there is; the other is 1, or 0.
    """

    def __init__(self, units: int, scale: bool = True, shift: bool = True) -> None:
        check_int("units", units, 1)
        self.scale, self.shift = np.ones(units, np.float32), np.zeros(units, np.float32)
        if not check_bool("scale", scale) | check_bool("shift", shift):
            raise ValueError("scale or shift must be True, got neither")
        self.parameters = ({"scale": self.scale} if scale else {}) | ({"shift": self.shift} if shift else {})

    def operation(self) -> Operation:
        """What it is to a packed graph."""
        return operations.Affine(self.scale.copy(), self.shift.copy())

    def backward(self, dout: Gradient, cache: Any) -> tuple[np.ndarray, Gradients]:
        """dx, and the gradients of what is learned."""
        x, = cache
        dout = self.gradient_of(dout, x.shape)
        found: Gradients = {}
        if "scale" in self.parameters:
            found["scale"] = sums(PRODUCT, dout, x).astype(np.float32)
        if "shift" in self.parameters:
            found["shift"] = sums(VALUE, dout).astype(np.float32)
        return row_by_row(channels.scaled, dout, self.scale) if "scale" in self.parameters else dout, found
