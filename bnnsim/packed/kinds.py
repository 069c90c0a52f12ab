"""The kinds of layers: how their words stand, which settings they have, how kernels run them. No other file asks.

N images, U units, K and C channels out and in, kh and kw a kernel's sizes, F features.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bnnsim.checks import check_int
from bnnsim.kernels.forward.geometry import Geometry
from bnnsim.packed.biases import Biased
from bnnsim.packed.forward import (NO_POOL, Layout, conv, conv_geometry, dense, pixels_conv, pixels_dense)
from bnnsim.packed.groups import Grouped, grouped_conv
from bnnsim.packed.layer import PackedLayer, largest_preactivation
from bnnsim.packed.replication import geometry_of, replicated
from bnnsim.packed.settings import once
from bnnsim.packed.stages import Stage
from bnnsim.packed.words import flatten_block

LEAST = {"stride": 1, "padding": 0, "pad_value": 0, "replicate": 0, "dilation": 1, "groups": 1, "pool": 1,
         "pool_stride": 1, "pool_padding": 0}
MAX_SIZE = 2**16                # of a height, a width, a padding ...
MAX_VALUES = 2**26              # of an image, or of the pre-activations of one image in one layer
MAX_PADDED = 2**24              # values of an image with its padding; and output positions times taps


class Dense(Stage):
    """Every unit sums up all that the layer reads, in H, W, C order."""

    axes = ("U", "F")
    limits = {name: (low, low) for name, low in LEAST.items()}
    unit = "unit"
    shares_weights = False
    reads_rows = True

    def check(self, name: str) -> None:
        if self.layer.n_in != math.prod(self.input_shape):
            came = " x ".join(map(str, self.input_shape))
            raise ValueError(f"{name} n_in must be {math.prod(self.input_shape)}, the number of values before it "
                             f"({came}), got {self.layer.n_in}")

    @cached_property
    def geometry(self) -> Geometry:
        height, width = self.input_shape[:2] if len(self.input_shape) == 3 else (1, 1)
        return conv_geometry(height, width, (height, width))

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
    """A kernel of weights a channel, at every position; max-pooling is an OR of comparisons.

    With groups, output channels fall into as many parts, each of which reads its part of the input's channels: n_in of
    them. A padding that replicates is laid around the input by `read`; the geometry has none. As the last layer it
    gives scores of the sums over all positions.
    """

    axes = ("K", "kh", "kw", "C")
    limits = {"stride": (1, MAX_SIZE), "padding": (0, MAX_SIZE), "pad_value": (-1, 1), "replicate": (0, 1),
              "dilation": (1, MAX_SIZE), "groups": (1, MAX_SIZE), "pool": (1, MAX_SIZE), "pool_stride": (1, MAX_SIZE),
              "pool_padding": (0, MAX_SIZE)}
    unit = "channel"
    shares_weights = True
    reads_rows = False

    def check(self, name: str) -> None:
        if len(self.input_shape) != 3:
            raise ValueError(f"{name} is conv behind a dense layer: only dense layers may follow a dense one")
        layer, shape = self.layer, self.input_shape
        if layer.n_in * layer.groups != shape[2] or layer.units % layer.groups:
            raise ValueError(f"{name} n_in must be {shape[2]}, the channels before it, got {layer.n_in}"
                             if layer.groups == 1 else
                             f"{name}: {layer.groups} groups must part the {shape[2]} channels before it, each reading "
                             f"n_in of them, and its own {layer.units}, got n_in {layer.n_in}")
        if layer.replicate and layer.pad_value:
            raise ValueError(f"{name} pad_value must be 0 where the padding replicates, got {layer.pad_value}")
        self._check_extent(name)
        if min(self.map_shape) < 1 or min(self.pooled_shape) < 1:
            kernel = " x ".join(map(str, layer.words.shape[1:3]))
            sizes = self.map_shape if min(self.map_shape) < 1 else self.pooled_shape
            raise ValueError(f"{name}: a {kernel} kernel with stride {once(layer.stride)}, padding "
                             f"{once(layer.padding)}, dilation {once(layer.dilation)} and pool {once(layer.pool)} must "
                             f"fit its input of {shape[0]} x {shape[1]}, got an output of {sizes[0]} x {sizes[1]}")
        check_int(f"{name}: the number of values of its output", self.n_positions * (16 * -(-layer.units // 16)
                  if self.keeps_sums else layer.units), high=MAX_VALUES)

    def _check_extent(self, name: str) -> None:
        """Running it takes what is in proportion: a few bytes of padding, kernel and stride would else ask for much."""
        layer, kernel = self.layer, self.layer.words.shape[1:3]
        (height, width), (top, left, bottom, right) = self.input_shape[:2], layer.padding
        padded = (height + top + bottom) * (width + left + right) * self.input_shape[2] if max(layer.padding) else 0
        check_int(f"{name}: the number of values of its input with a padding of {once(layer.padding)}", padded,
                  high=MAX_PADDED)
        positions = math.prod(max(size, 0) for size in self.map_shape)
        check_int(f"{name}: the number of its output positions times that of its kernel's taps",
                  positions * math.prod(kernel), high=MAX_PADDED)
        if layer.groups > 1 and self.offset is not None:
            together = max(1, 64 // layer.n_in) * largest_preactivation(layer, True, self.offset)
            check_int(f"{name}: the sum of the largest pre-activations of groups that share a word, twice, which must "
                      "fit int32,", 2 * together, high=2**31 - 1)
        _check_pool(name, self)

    @cached_property
    def geometry(self) -> Geometry:
        height, width = self.input_shape[:2]
        return geometry_of(height, width, self.layer.words.shape[1:3], self.layer)

    def read(self, x: np.ndarray) -> np.ndarray:
        return replicated(x, self.layer.padding, self.input_shape[:2], self.reads_pixels) if self.layer.replicate else x

    def _layout(self, theta: np.ndarray | None, inverted: np.ndarray | None) -> Layout | Grouped:
        layer, words = self.layer, self.layer.words.copy()
        pool = NO_POOL if theta is None else layer.windows
        if layer.groups > 1:
            return grouped_conv(words, layer.n_in, layer.groups, self.geometry, layer.pad_value, self.offset, theta,
                                inverted, pool)
        if self.offset is not None:
            return pixels_conv(words, layer.n_in, self.geometry, self.offset, layer.pad_value, theta, inverted, pool)
        return conv(words, layer.n_in, self.geometry, layer.pad_value, theta, inverted, pool)


def _check_pool(name: str, stage: Stage) -> None:
    layer = stage.layer
    windows = math.prod(max(size, 0) for size in stage.pooled_shape)
    check_int(f"{name}: the number of its pool's windows times that of their entries", windows * math.prod(layer.pool),
              high=MAX_PADDED)
    if any(before >= size or after >= size for before, after, size
           in zip(layer.pool_padding[:2], layer.pool_padding[2:], layer.pool)):
        raise ValueError(f"{name} pool_padding must be smaller than the pool {once(layer.pool)}, got "
                         f"{once(layer.pool_padding)}")


@dataclass(frozen=True, eq=False)
class Bias(Stage):
    """A bit of the memory a unit, all in one row, added to the sums h of a layer of bits: h + b in place of h.

    b is + or - `pad_value`, what such a cell reads all the time: 1, or of sums of pixels the level that stands for 1.0
    there. It reads (H, W, U) or (U,), in graphs alone; ``most`` is the largest |h|.
    """

    most: int = 0
    axes = ("1", "U")
    limits = {**Dense.limits, **{name: Conv.limits[name] for name in ("pool", "pool_stride", "pool_padding")},
              "pad_value": (1, MAX_SIZE)}
    unit = "unit"
    shares_weights = True
    reads_rows = False

    def check(self, name: str) -> None:
        layer, shape = self.layer, self.input_shape
        if layer.units != 1 or layer.n_in != shape[-1]:
            raise ValueError(f"{name}: a bias of {shape[-1]} units must have one row of as many bits, got "
                             f"{layer.units} of {layer.n_in}")
        if layer.pools and len(shape) != 3:
            raise ValueError(f"{name}: a bias behind a dense layer has no pool, got {once(layer.pool)}")
        if min(self.pooled_shape) < 1:
            raise ValueError(f"{name}: the pool {once(layer.pool)} must fit a map of {shape[0]} x {shape[1]}")
        _check_pool(name, self)

    @cached_property
    def geometry(self) -> Geometry:
        height, width = self.input_shape[:2] if len(self.input_shape) == 3 else (1, 1)
        return conv_geometry(height, width, (1, 1))

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (*(self.pooled_shape if len(self.input_shape) == 3 else ()), self.input_shape[-1])

    @cached_property
    def accepts(self) -> tuple[np.dtype, list[tuple[int, ...]]]:
        """int32 of the shape of what it reads."""
        return np.dtype(np.int32), [self.input_shape]

    @property
    def macs(self) -> int:
        """None: it adds."""
        return 0

    @cached_property
    def bound(self) -> int:
        """Largest |h + b|; where it gives scores of a map, of the sum over its positions."""
        most = self.most + self.layer.pad_value
        return most * self.n_positions if self.layer.mean is not None else most

    @cached_property
    def added(self) -> np.ndarray:
        """b, int32 (U,)."""
        return self.layer.signs()[0].astype(np.int32) * self.layer.pad_value

    def joined(self, stage: Stage) -> Stage:
        """The layer that it reads and it as one layer to bits: h + b >= theta is h >= theta - b."""
        theta, inverted = self.layer.comparison
        theta = np.clip(theta.astype(np.int64) - self.added, -stage.bound, stage.bound + 1).astype(np.int32)
        pool = {key: getattr(self.layer, key) for key in ("pool", "pool_stride", "pool_padding")}
        return replace(stage, layer=replace(stage.layer, threshold=theta, inverted=inverted, **pool))

    def _layout(self, theta: np.ndarray | None, inverted: np.ndarray | None) -> Biased:
        return Biased(self.added, self.geometry, theta, inverted, NO_POOL if theta is None else self.layer.windows)


KINDS: dict[str, type[Stage]] = {"dense": Dense, "conv": Conv}
KINDS_OF_GRAPHS: dict[str, type[Stage]] = {**KINDS, "bias": Bias}


def stage_of(layer: PackedLayer, index: int, input_shape: tuple[int, ...], offset: int | None) -> Stage:
    """A layer at its place; with an offset it reads pixels minus that, else bits."""
    return KINDS[layer.kind](layer, index, input_shape, offset)


def stages_of(layers: Sequence[PackedLayer], input_shape: tuple[int, int, int], input_offset: int) -> tuple[Stage, ...]:
    """Layers one behind the other, the first on images (C, H, W)."""
    channels, height, width = input_shape
    shape: tuple[int, ...] = (height, width, channels)
    found: list[Stage] = []
    for i, layer in enumerate(layers):
        found.append(stage_of(layer, i, shape, None if i else input_offset))
        shape = found[-1].output_shape
    return tuple(found)
