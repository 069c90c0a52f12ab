"""Layers of graphs with float32 weights: real-valued convolutions and dense layers, digital, outside of the memory."""

import math
from typing import Any

import numpy as np

import bnnsim.kernels.real.conv_gradients as kernels
import bnnsim.packed.operations as operations
from bnnsim.checks import check_bool, check_int
from bnnsim.kernels import empty, slices, split
from bnnsim.kernels.real.channel_tiles import VALUE
from bnnsim.packed.forward import Pair
from bnnsim.packed.operations import Operation, RealConv
from bnnsim.packed.operations.weighted import is_depthwise, panel_of, widened
from bnnsim.packed.settings import check_setting, once
from bnnsim.training.gradients import Gradient
from bnnsim.training.layers.real import Gradients, RealLayer, sums

PARTS = 8                       # of a batch, whose sums are added in order, whatever the number of threads


class RealConv2d(RealLayer):
    """A convolution of maps of reals with float32 weights (K, kh, kw, C / G) and bias.

    Parameters
    ----------
    in_channels, out_channels : int
        C, K; both in `groups` parts.
    kernel, stride, dilation : int or (int, int)
    padding : int, (rows, columns), or (top, left, bottom, right)
        What lies there is left out of the sum.
    groups : int
    bias : bool
        Without one it is 0.
    generator : numpy.random.Generator
        Initial weights are uniform in +-sqrt(6 / fan_in): He et al. 2015, arXiv:1502.01852 [M].
    """

    of_pixels = False           # a Graph says so of one behind Pixels alone: nobody asks for its dx, a tenth of a step

    def __init__(self, in_channels: int, out_channels: int, kernel: int | Pair = 3, stride: int | Pair = 1,
                 padding: int | tuple[int, ...] = 1, dilation: int | Pair = 1, groups: int = 1, bias: bool = False, *,
                 generator: np.random.Generator) -> None:
        self.in_channels, units = check_int("in_channels", in_channels, 1), check_int("out_channels", out_channels, 1)
        self.kernel, self.groups = check_setting("kernel", kernel, 2, 1), check_int("groups", groups, 1)
        if self.in_channels % self.groups or units % self.groups:
            raise ValueError(f"groups must divide both in_channels and out_channels, got {groups} groups of "
                             f"{in_channels} and {out_channels}")
        self.stride, self.dilation = check_setting("stride", stride, 2, 1), check_setting("dilation", dilation, 2, 1)
        self.padding = check_setting("padding", padding, 4, 0)
        shape = (units, *self.kernel, self.in_channels // self.groups)
        self.bias = np.zeros(units, np.float32)
        self.parameters = {"kernel": initial(shape, math.sqrt(6 / math.prod(shape[1:])), generator)}
        self.parameters |= {"bias": self.bias} if check_bool("bias", bias) else {}

    def settings(self) -> dict[str, object]:
        """Kernel, stride, padding; dilation and groups where there are any."""
        found = {"kernel": self.kernel, "stride": once(self.stride), "padding": once(self.padding)}
        unusual = {"dilation": once(self.dilation), "groups": self.groups}
        return found | {name: value for name, value in unusual.items() if value != 1}

    def operation(self) -> RealConv:
        """What it is to a packed graph."""
        return RealConv(self.parameters["kernel"].copy(), self.bias.copy(), self.stride, self.padding, self.dilation,
                        self.groups)

    def backward(self, dout: Gradient, cache: Any) -> tuple[np.ndarray | None, Gradients]:
        """dx, None of pixels, and the gradients of weights and bias."""
        (x,), conv = cache, self.operation()
        dout = self.gradient_of(dout, (len(x), *conv.output_shape(x.shape[1:])))
        found = {"kernel": weight_gradient(conv, dout, x)}
        found |= {"bias": sums(VALUE, dout).astype(np.float32)} if "bias" in self.parameters else {}
        return None if self.of_pixels else input_gradient(conv, dout, x), found


def input_gradient(conv: RealConv, dout: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dx (N, H, W, C)."""
    panel, g, dx = panel_of(conv.weight, conv.groups), conv.geometry(*x.shape[1:3]), empty(x.shape, np.float32)
    if is_depthwise(conv.weight, conv.groups):
        split(kernels.depthwise_dx, len(x), dout, panel[:, :, 0, 0].T.copy(), g, dx)
    else:
        split(kernels.conv_dx, len(x), dout, widened(panel.transpose(0, 1, 3, 2)), g, dx)
    return dx


def weight_gradient(conv: RealConv, dout: np.ndarray, x: np.ndarray) -> np.ndarray:
    """dweight (K, kh, kw, C / G)."""
    panel, g = panel_of(conv.weight, conv.groups), conv.geometry(*x.shape[1:3])
    if is_depthwise(conv.weight, conv.groups):
        total = _in_parts(kernels.depthwise_dweight, dout, x, g, (panel.shape[1], len(panel))).T[:, :, None]
    else:
        total = _in_parts(kernels.conv_dweight, dout, x, g, widened(panel).shape)
        total = total[..., :panel.shape[3]].transpose(0, 3, 1, 2)
    return np.ascontiguousarray(total.reshape(conv.weight.shape))


def _in_parts(kernel: Any, dout: np.ndarray, x: np.ndarray, g: Any, shape: tuple[int, ...]) -> np.ndarray:
    parts = slices(len(x), PARTS)
    totals = np.zeros((len(parts), *shape), np.float32)

    def run(first: int, last: int) -> None:
        for part in range(first, last):
            kernel(dout, x, g, totals[part], *parts[part])

    split(run, len(parts))
    total = totals[0]
    for other in totals[1:]:
        total = total + other
    return total


def initial(shape: tuple[int, ...], bound: float, generator: np.random.Generator) -> np.ndarray:
    """float32 weights, uniform in +-bound."""
    return (2 * bound * generator.random(shape) - bound).astype(np.float32)


class RealDense(RealLayer):
    """A dense layer with float32 weights (U, F) and bias, of maps in H, W, C order or rows: reals (N, U).

    Initial weights are uniform in +-1 / sqrt(F), the bias is 0.
    """

    def __init__(self, n_features: int, units: int, *, generator: np.random.Generator) -> None:
        check_int("n_features", n_features, 1)
        shape = check_int("units", units, 1), n_features
        self.parameters = {"kernel": initial(shape, 1 / math.sqrt(n_features), generator),
                           "bias": np.zeros(units, np.float32)}

    def operation(self) -> Operation:
        """What it is to a packed graph."""
        return operations.RealDense(self.parameters["kernel"].copy(), self.parameters["bias"].copy())

    def backward(self, dout: Gradient, cache: Any) -> tuple[np.ndarray, Gradients]:
        """dx, and the gradients of weights and bias."""
        (x,), weight = cache, self.parameters["kernel"]
        conv = RealConv(weight.reshape(len(weight), 1, 1, -1), self.parameters["bias"])
        x, dout = x.reshape(len(x), 1, 1, -1), self.gradient_of(dout, (len(x), len(weight))).reshape(len(x), 1, 1, -1)
        found = {"kernel": weight_gradient(conv, dout, x).reshape(weight.shape),
                 "bias": sums(VALUE, dout).astype(np.float32)}
        return input_gradient(conv, dout, x).reshape(cache[0].shape), found
