"""Pools of graphs, on maps of reals (N, H, W, C)."""

from typing import Any

import numpy as np

import bnnsim.kernels.gradients.pool as max_pools
import bnnsim.kernels.real.pools as pools
import bnnsim.packed.operations as operations
from bnnsim.checks import check_bool
from bnnsim.kernels import empty, split
from bnnsim.kernels.forward.geometry import Pool
from bnnsim.packed.forward import NO_PADDING, Pair
from bnnsim.packed.operations import LargestPool, Operation
from bnnsim.packed.settings import check_setting, once
from bnnsim.training.gradients import Gradient
from bnnsim.training.layers.real import Gradients, RealLayer
from bnnsim.training.layers.real_weights import RealConv2d, input_gradient


class _Pool(RealLayer):
    """Windows of a size, stride (default: the size) and padding, as `MaxPool2d` takes them."""

    def __init__(self, size: int | Pair = 2, stride: int | Pair | None = None,
                 padding: int | tuple[int, ...] = 0) -> None:
        self.size = check_setting("size", size, 2, 1)
        self.stride = self.size if stride is None else check_setting("stride", stride, 2, 1)
        self.padding = check_setting("padding", padding, 4, 0)

    def settings(self) -> dict[str, object]:
        """Size, stride and padding."""
        return {"size": once(self.size), "stride": once(self.stride), "padding": once(self.padding)}


class RealMaxPool2d(_Pool):
    """The largest of each window; the gradient goes to the first where several tie."""

    def operation(self) -> LargestPool:
        """What it is to a packed graph."""
        return operations.LargestPool(self.size, self.stride, self.padding)

    def forward_train(self, *inputs: np.ndarray) -> tuple[np.ndarray, Any]:
        """The largest; the cache is which it was, and the input's shape."""
        x, = self.checked(*inputs)
        out, winner = self.operation().with_winners(x)
        return out, (winner, x.shape)

    def backward(self, dout: Gradient, cache: Any) -> tuple[np.ndarray, Gradients]:
        """Each window's gradient is its winner's."""
        winner, shape = cache
        dx = empty(shape, np.float32)
        split(max_pools.max_pool_windows_backward, len(dx), self.gradient_of(dout, winner.shape), winner,
              self.operation().windows, dx)
        return dx, {}


class AveragePool2d(_Pool):
    """The average of each window.

    Parameters
    ----------
    size, stride, padding
        As of `MaxPool2d`.
    whole : bool
        Whether what lies in the padding counts as zeros, as PyTorch has it, or not at all, as Keras does.
    """

    def __init__(self, size: int | Pair = 2, stride: int | Pair | None = None, padding: int | tuple[int, ...] = 0,
                 whole: bool = False) -> None:
        super().__init__(size, stride, padding)
        self.whole = check_bool("whole", whole)

    def settings(self) -> dict[str, object]:
        """Those of a pool, and whether the padding counts."""
        return super().settings() | ({"whole": 1} if self.whole else {})

    def operation(self) -> Operation:
        """What it is to a packed graph."""
        return operations.AveragePool(self.size, self.stride, self.padding, int(self.whole))

    def forward_train(self, *inputs: np.ndarray) -> tuple[np.ndarray, Any]:
        """The averages; the cache is the input's shape."""
        return self.forward(*inputs), inputs[0].shape

    def backward(self, dout: Gradient, cache: Any) -> tuple[np.ndarray, Gradients]:
        """Each window's gradient in equal parts to its entries."""
        dx = empty(cache, np.float32)
        dout = self.gradient_of(dout, (len(dx), *self.output_shape(dx.shape[1:])))
        split(pools.average_backward, len(dx), dout, Pool(*self.size, *self.stride, *self.padding), self.whole, dx)
        return dx, {}


class GlobalAverage(RealLayer):
    """The average of each channel over all positions: (N, H, W, C) -> (N, C)."""

    def operation(self) -> Operation:
        """What it is to a packed graph."""
        return operations.GlobalAverage()

    def forward_train(self, *inputs: np.ndarray) -> tuple[np.ndarray, Any]:
        """The averages; the cache is the input's shape."""
        return self.forward(*inputs), inputs[0].shape

    def backward(self, dout: Gradient, cache: Any) -> tuple[np.ndarray, Gradients]:
        """dout in equal parts to all positions."""
        dx, dout = empty(cache, np.float32), self.gradient_of(dout, (cache[0], cache[3]))
        windows = Pool(cache[1], cache[2], cache[1], cache[2], *NO_PADDING)
        split(pools.average_backward, len(dx), dout[:, None, None], windows, False, dx)
        return dx, {}


BLUR_TAPS = {2: (1, 1), 3: (1, 2, 1), 5: (1, 4, 6, 4, 1)}


class BlurPool2d(RealLayer):
    """A fixed filter on each channel by itself, with a stride: a pool that does not alias; not trained.

    Parameters
    ----------
    n_channels : int
        C.
    size : 2, 3 or 5
        Its taps are the products of 1 1, 1 2 1, or 1 4 6 4 1, of rows and of columns, over their sum: Zhang 2019,
        arXiv:1904.11486 [C: Larq Zoo's code]. The packed network stores them as a depthwise convolution.
    stride : int or (int, int)
    padding : int, (rows, columns), or (top, left, bottom, right)
        What lies there counts as 0.
    """

    def __init__(self, n_channels: int, size: int = 3, stride: int | Pair = 2, padding: int | tuple[int, ...] = 1,
                 ) -> None:
        if size not in BLUR_TAPS:
            raise ValueError(f"size must be one of {', '.join(map(str, BLUR_TAPS))}, got {size!r}")
        self.conv = RealConv2d(n_channels, n_channels, size, stride, padding, groups=n_channels,
                               generator=np.random.default_rng(0))          # whose draws are written over
        taps = np.outer(BLUR_TAPS[size], BLUR_TAPS[size])
        self.conv.parameters["kernel"][...] = (taps / taps.sum())[..., None]          # exact: over a power of two

    def settings(self) -> dict[str, object]:
        """Those of a convolution, but for its groups: one a channel."""
        return {name: value for name, value in self.conv.settings().items() if name != "groups"}

    def operation(self) -> Operation:
        """What it is to a packed graph."""
        return self.conv.operation()

    def backward(self, dout: Gradient, cache: Any) -> tuple[np.ndarray, Gradients]:
        """dx, as a convolution has it."""
        x, = cache
        dout = self.gradient_of(dout, (len(x), *self.output_shape(x.shape[1:])))
        return input_gradient(self.conv.operation(), dout, x), {}
