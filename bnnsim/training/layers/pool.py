"""Layers without parameters: max-pooling and sums of pre-activations, and flattening of packed conv activations."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

import bnnsim.kernels.gradients.pool as pool
from bnnsim.checks import check_array, check_input, check_int
from bnnsim.kernels import empty, split
from bnnsim.kernels.forward.geometry import Pool
from bnnsim.packed.forward import Pair, window_counts
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.settings import check_setting, once
from bnnsim.packed.words import n_words, repack
from bnnsim.training.gradients import Gradient, scattered
from bnnsim.training.layers.layer import Layer


class PoolCache(NamedTuple):
    """What the backward pass of a max-pool needs: which entry of each window won (N, OH, OW, C), and h's shape."""

    winner: np.ndarray
    shape: tuple[int, ...]


class MaxPool2d(Layer):
    """Max-pool of h (N, H, W, C) int32; ties go to the window's first entry, what lies outside of the map is left out.

    Parameters
    ----------
    size, stride : int or (int, int)
        Of the windows, in rows and columns; a stride as large as the size is the default.
    padding : int, (rows, columns), or (top, left, bottom, right)
        Smaller than the size.
    """

    takes = gives = "pre-activations"

    def __init__(self, size: int | Pair = 2, stride: int | Pair | None = None,
                 padding: int | tuple[int, ...] = 0) -> None:
        sizes = check_setting("size", size, 2, 1, 15)
        self.windows = Pool(*sizes, *check_setting("stride", sizes if stride is None else stride, 2, 1),
                            *check_setting("padding", padding, 4, 0))
        if any(at >= size for at, size in zip(self.windows[4:], sizes * 2)):
            raise ValueError(f"padding must be smaller than the size {sizes}, got {self.windows[4:]}")

    def settings(self) -> dict[str, object]:
        """The size; stride and padding where they are others than those of windows side by side."""
        w = self.windows
        return {"size": w.height} if w.is_plain else {"size": w[:2], "stride": w[2:4], "padding": w[4:]}

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(H, W, C) -> (rows, columns of windows, C)."""
        w = self.windows
        if len(shape) != 3 or shape[0] + w.top + w.bottom < w.height or shape[1] + w.left + w.right < w.width:
            raise ValueError(f"MaxPool2d({once(w[:2])}) needs an input (H, W, C) of at least {w.height} x {w.width}, "
                             f"got {tuple(shape)}")
        return (*window_counts(shape[:2], w), shape[2])

    def forward(self, x: np.ndarray) -> np.ndarray:
        """The largest of each window (N, OH, OW, C) int32."""
        return self.forward_train(x)[0]

    def forward_train(self, x: np.ndarray) -> tuple[np.ndarray, PoolCache]:
        """The largest of each window, and which it was."""
        x = check_input("MaxPool2d", x, np.int32, np.shape(x)[-1] if np.ndim(x) else 0, 4)
        return self.made_of_parts(x.shape, lambda visit: split(lambda a, b: visit(a, x[a:b]), len(x)))

    def made_of_parts(self, shape: tuple[int, ...], give: Callable[[Callable[[int, np.ndarray], None]], None]
                      ) -> tuple[np.ndarray, PoolCache]:
        """`forward_train` of h of this shape, of which `give` hands images to ``visit(first, h)``, a part at a time."""
        out = empty((shape[0], *self.output_shape(shape[1:])), np.int32)
        winner = empty(out.shape, np.uint8)
        kernel, args = (pool.max_pool, (self.windows.height,)) if self.windows.is_plain else \
            (pool.max_pool_windows, (self.windows, np.int32(-2**31)))

        def visit(first: int, h: np.ndarray) -> None:
            part = slice(first, first + len(h))
            kernel(h, *args, out[part], winner[part], 0, len(h))

        give(visit)
        return out, PoolCache(winner, shape)

    def backward(self, dout: Gradient, cache: PoolCache) -> tuple[Gradient, dict[str, np.ndarray]]:
        """dh, of windows side by side a `Pooled`: the gradient and the winners, from which a convolution reads."""
        winner, shape = cache
        dout = check_array("dout of MaxPool2d", scattered(dout), np.float32, winner.shape)
        if self.windows.is_plain:
            return pool.Pooled(dout, winner, self.windows.height, shape), {}
        dh = empty(shape, np.float32)
        split(pool.max_pool_windows_backward, len(dh), dout, winner, self.windows, dh)
        return dh, {}

    def pack_into(self, stored: list[PackedLayer], input_offset: int | None) -> None:
        """Pooling is part of the convolution; of windows of windows too, exactly, remainders included."""
        first, then = stored[-1].windows, self.windows
        strides = first.row_stride, first.column_stride
        gaps = any(step > size and more > 1 for step, size, more in zip(strides, first[:2], then[:2]))
        if stored[-1].pools and (gaps or max(first[4:] + then[4:])):
            raise ValueError("two max-pools in a row, of which one has a padding or the first leaves gaps, are no "
                             "pooling of one window: pool once")
        size = (first.height + (then.height - 1) * strides[0], first.width + (then.width - 1) * strides[1])
        stride = strides[0] * then.row_stride, strides[1] * then.column_stride
        stored[-1] = replace(stored[-1], pool=size, pool_stride=stride,
                             pool_padding=(then.top, then.left, then.bottom, then.right))


class SumPositions(Layer):
    """The sum of h over all positions of a map: (N, H, W, C) int32 -> (N, C); what follows gives scores.

    A global average is this with scores a number of positions smaller, which batch norm does not see. Behind the last
    convolution: a hidden layer that sums positions has no packed form.
    """

    takes = gives = "pre-activations"

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(H, W, C) -> (C,)."""
        if len(shape) != 3:
            raise ValueError(f"SumPositions needs an input (H, W, C), got {tuple(shape)}")
        return shape[2:]

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Sums (N, C) int32."""
        return self.forward_train(x)[0]

    def forward_train(self, x: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
        """Sums (N, C) int32; the cache is the input's shape."""
        x = check_input("SumPositions", x, np.int32, np.shape(x)[-1] if np.ndim(x) else 0, 4)
        return x.sum(axis=(1, 2), dtype=np.int32), x.shape

    def backward(self, dout: Gradient, cache: tuple[int, ...]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """dh (N, H, W, C) float32: every position has the same gradient."""
        dout = check_array("dout of SumPositions", dout, np.float32, (cache[0], cache[3]))
        return np.ascontiguousarray(np.broadcast_to(dout[:, None, None], cache)), {}

    def pack_into(self, stored: list[PackedLayer], input_offset: int | None) -> None:
        """A stored last convolution sums over its positions: `Sequential` sees to it that this stands behind one."""


class Flatten(Layer):
    """Packed activations (N, H, W, ceil(C / 64)) -> (N, ceil(H * W * C / 64)), features in H, W, C order."""

    takes = gives = "bits"

    def __init__(self, n_channels: int) -> None:
        self.n_channels = check_int("n_channels", n_channels, 1)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(H, W, C) -> (H * W * C,)."""
        if len(shape) != 3 or shape[2] != self.n_channels:
            raise ValueError(f"Flatten of {self.n_channels} channels cannot follow an output of shape {tuple(shape)}")
        return (math.prod(shape),)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """The same bits in a row (N, ceil(H * W * C / 64))."""
        x = check_input("Flatten", x, np.uint64, n_words(self.n_channels), 4)
        return repack(x.reshape(len(x), -1, x.shape[-1]), self.n_channels)

    def forward_train(self, x: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
        """The same bits in a row; the cache is the input's shape."""
        return self.forward(x), x.shape

    def backward(self, dout: Gradient, cache: tuple[int, ...]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """dx (N, H, W, C) float32."""
        shape = (*cache[:3], self.n_channels)
        return check_array("dout of Flatten", dout, np.float32, (shape[0], math.prod(shape[1:]))).reshape(shape), {}

    def pack_into(self, stored: list[PackedLayer], input_offset: int | None) -> None:
        """A stored dense layer reads its features in this order as it is."""
