"""Pools of maps: the average, and the largest, of windows."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

import bnnsim.kernels.gradients.pool as max_pools
import bnnsim.kernels.real.pools as pools
from bnnsim.checks import check_int
from bnnsim.kernels import empty, split
from bnnsim.kernels.forward.geometry import Pool
from bnnsim.packed.forward import NO_PADDING, Pair, Sides, window_counts
from bnnsim.packed.operations.operation import MAX_SIZE, Operation, Shape

MOST_READ = 2**24               # entries of a channel's windows together: a few bytes would else ask for much
MOST_ENTRIES = 15               # rows, and columns, of a window whose largest is sought: its winner is one byte


@dataclass(frozen=True, eq=False)
class _Pool(Operation):
    size: Pair
    stride: Pair
    padding: Sides = NO_PADDING
    settings: ClassVar[dict[str, int]] = {"size": 2, "stride": 2, "padding": 4}
    limits: ClassVar[dict[str, tuple[int, int]]] = {"size": (1, MAX_SIZE), "stride": (1, MAX_SIZE),
                                                    "padding": (0, MAX_SIZE), "whole": (0, 1)}

    @property
    def windows(self) -> Pool:
        """As kernels read them."""
        return Pool(*self.size, *self.stride, *self.padding)

    def output_shape(self, *shapes: Shape) -> Shape:
        """(H, W, C) -> (rows, columns of windows, C)."""
        shape, = shapes
        if len(shape) != 3 or min(counts := window_counts(shape[:2], self.windows)) < 1:
            raise ValueError(f"{self.word} of {self.size} with padding {self.padding} needs a map (H, W, C) as large, "
                             f"got {shape}")
        if any(at >= size for at, size in zip(self.padding, self.size * 2)):
            raise ValueError(f"{self.word}: padding must be smaller than the size {self.size}, got {self.padding}")
        entries = min(self.size[0], shape[0]) * min(self.size[1], shape[1])
        check_int(f"{self.word}: the number of its windows times that of their entries", math.prod(counts) * entries,
                  high=MOST_READ)
        return (*counts, shape[2])


@dataclass(frozen=True, eq=False)
class AveragePool(_Pool):
    """The average of each window; `whole`, 0 or 1: whether entries in the padding count as zeros."""

    whole: int = 0
    word = "average-pool"
    settings = {"size": 2, "stride": 2, "padding": 4, "whole": 0}

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        x, = inputs
        out = empty((len(x), *self.output_shape(x.shape[1:])), np.float32)
        split(pools.average, len(x), x, self.windows, bool(self.whole), out)
        return out


@dataclass(frozen=True, eq=False)
class GlobalAverage(Operation):
    """The average of each channel over all positions, in rows and columns."""

    word = "global-average"

    def output_shape(self, *shapes: Shape) -> Shape:
        """(H, W, C) -> (C,)."""
        if len(shapes[0]) != 3:
            raise ValueError(f"global-average needs a map (H, W, C), got {shapes[0]}")
        return shapes[0][2:]

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        x, = inputs
        out = empty((len(x), 1, 1, x.shape[3]), np.float32)
        split(pools.average, len(x), x, Pool(x.shape[1], x.shape[2], x.shape[1], x.shape[2], *NO_PADDING), False, out)
        return out.reshape(len(x), x.shape[3])


@dataclass(frozen=True, eq=False)
class LargestPool(_Pool):
    """The largest of each window, of integers too."""

    word = "max-pool"
    reads = ("integers", "reals")

    def kind_of(self, kind: str) -> str:
        """What it reads."""
        return kind

    def output_shape(self, *shapes: Shape) -> Shape:
        """(H, W, C) -> (rows, columns of windows, C)."""
        if max(self.size) > MOST_ENTRIES:
            raise ValueError(f"max-pool: the size must be at most {MOST_ENTRIES} x {MOST_ENTRIES}, got {self.size}")
        return super().output_shape(*shapes)

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        return self.with_winners(inputs[0])[0]

    def with_winners(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The largest, and which entry of its window each was, uint8."""
        out = empty((len(x), *self.output_shape(x.shape[1:])), x.dtype)
        winner = empty(out.shape, np.uint8)
        lowest = np.float32(-np.inf) if x.dtype == np.float32 else np.int32(-2**31)
        split(max_pools.max_pool_windows, len(x), x, self.windows, lowest, out, winner)
        return out, winner
