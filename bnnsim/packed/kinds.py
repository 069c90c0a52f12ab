"""The kinds of layers: how their words stand, which settings they have, how kernels run them. No other file asks.

N images, U units, K and C channels out and in, kh and kw a kernel's sizes, F features.
"""

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from bnnsim.checks import check_int
from bnnsim.kernels.forward.geometry import Geometry
from bnnsim.packed.forward import Layout, conv, conv_geometry, dense, pixels_conv, pixels_dense
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.stages import Stage
from bnnsim.packed.words import flatten_block

MAX_SIZE = 2**16                # of a height, a width, a padding ...
MAX_VALUES = 2**26              # of an image, or of the pre-activations of one image in one layer
MAX_PADDED = 2**24              # values of an image with its padding; and output positions times taps


class Dense(Stage):
    """Every unit sums up all that the layer reads, in H, W, C order."""

    axes = ("U", "F")
    limits = {"stride": (1, 1), "padding": (0, 0), "pad_value": (0, 0), "pool": (1, 1)}
    unit = "unit"
    shares_weights = False
    reads_rows = may_be_last = True

    def check(self, name: str) -> None:
        if self.layer.n_in != math.prod(self.input_shape):
            came = " x ".join(map(str, self.input_shape))
            raise ValueError(f"{name} n_in must be {math.prod(self.input_shape)}, the number of values before it "
                             f"({came}), got {self.layer.n_in}")

    @cached_property
    def geometry(self) -> Geometry:
        height, width = self.input_shape[:2] if len(self.input_shape) == 3 else (1, 1)
        return conv_geometry(height, width, (height, width), 1, 0)

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (self.layer.units,)

    def read(self, x: np.ndarray) -> np.ndarray:
        return x if x.ndim == 2 or self.reads_pixels else flatten_block(x, self.input_shape[-1])

    def _layout(self, theta: np.ndarray | None, inverted: np.ndarray | None) -> Layout:
        words = self.layer.words.copy()                          # writable: kernels are compiled for such arrays
        if self.offset is not None:
            return pixels_dense(words, self.layer.n_in, self.offset, theta, inverted)
        return dense(words, self.layer.n_in, theta, inverted)


class Conv(Stage):
    """A kernel of weights a channel, at every position; max-pooling is an OR of comparisons."""

    axes = ("K", "kh", "kw", "C")
    limits = {"stride": (1, MAX_SIZE), "padding": (0, MAX_SIZE), "pad_value": (-1, 1), "pool": (1, MAX_SIZE)}
    unit = "channel"
    shares_weights = True
    reads_rows = may_be_last = False

    def check(self, name: str) -> None:
        if len(self.input_shape) != 3:
            raise ValueError(f"{name} is conv behind a dense layer: only dense layers may follow a dense one")
        layer, shape = self.layer, self.input_shape
        if layer.n_in != shape[2]:
            raise ValueError(f"{name} n_in must be {shape[2]}, the channels before it, got {layer.n_in}")
        check_int(f"{name}: the number of values of its output", self.n_positions * layer.units, high=MAX_VALUES)
        self._check_extent(name)
        if min(self.map_shape) < 1 or min(self.pooled_shape) < 1:
            kernel = " x ".join(map(str, layer.words.shape[1:3]))
            raise ValueError(f"{name}: a {kernel} kernel with stride {layer.stride}, padding {layer.padding} and pool "
                             f"{layer.pool} must fit its input of {shape[0]} x {shape[1]}, got an output of "
                             f"{self.pooled_shape[0]} x {self.pooled_shape[1]}")

    def _check_extent(self, name: str) -> None:
        """Running it takes what is in proportion: a few bytes of padding, kernel and stride would else ask for much."""
        padding, kernel = self.layer.padding, self.layer.words.shape[1:3]
        padded = math.prod(size + 2 * padding for size in self.input_shape[:2]) * self.input_shape[2] if padding else 0
        check_int(f"{name}: the number of values of its input with a padding of {padding}", padded, high=MAX_PADDED)
        positions = math.prod(max(size, 0) for size in self.map_shape)
        check_int(f"{name}: the number of its output positions times that of its kernel's taps",
                  positions * math.prod(kernel), high=MAX_PADDED)

    @cached_property
    def geometry(self) -> Geometry:
        height, width = self.input_shape[:2]
        kernel_height, kernel_width = self.layer.words.shape[1:3]
        return conv_geometry(height, width, (kernel_height, kernel_width), self.layer.stride, self.layer.padding)

    def _layout(self, theta: np.ndarray | None, inverted: np.ndarray | None) -> Layout:
        layer, words = self.layer, self.layer.words.copy()
        pool = 1 if theta is None else layer.pool
        if self.offset is not None:
            return pixels_conv(words, layer.n_in, self.geometry, self.offset, layer.pad_value, theta, inverted, pool)
        return conv(words, layer.n_in, self.geometry, layer.pad_value, theta, inverted, pool)


KINDS: dict[str, type[Stage]] = {"dense": Dense, "conv": Conv}


def stage_of(layer: PackedLayer, index: int, input_shape: tuple[int, ...], input_offset: int) -> Stage:
    """A layer at its place; the first reads pixels minus input_offset."""
    return KINDS[layer.kind](layer, index, input_shape, None if index else input_offset)


def stages_of(layers: Sequence[PackedLayer], input_shape: tuple[int, int, int], input_offset: int) -> tuple[Stage, ...]:
    """Layers one behind the other, the first on images (C, H, W)."""
    channels, height, width = input_shape
    shape: tuple[int, ...] = (height, width, channels)
    found: list[Stage] = []
    for i, layer in enumerate(layers):
        found.append(stage_of(layer, i, shape, input_offset))
        shape = found[-1].output_shape
    return tuple(found)
