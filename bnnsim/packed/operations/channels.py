"""Operations on each number of a map by itself, with constants of its channel; C channels."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import bnnsim.kernels.real.channels as channels
from bnnsim.kernels import empty, split
from bnnsim.packed.operations.operation import Operation, Shape, rows
from bnnsim.packed.words import n_words


class _OfChannels(Operation):
    """Operations whose arrays have a number a channel."""

    def output_shape(self, *shapes: Shape) -> Shape:
        """Unchanged; the last axis must be C."""
        sizes = {name: getattr(self, name).shape[0] for name in self.arrays}
        if set(sizes.values()) != {shapes[0][-1]}:
            raise ValueError(f"{self.word} of {shapes[0]} needs {shapes[0][-1]} of each of its numbers, got {sizes}")
        return shapes[0]

    @cached_property
    def _constants(self) -> tuple[Any, ...]:
        return tuple(np.array(getattr(self, name)) for name in self.arrays)     # kernels are compiled for writable ones


def _row_by_row(kernel: Any, x: np.ndarray, *constants: Any) -> np.ndarray:
    out = empty(x.shape, np.float32)
    split(kernel, len(rows(x)), rows(x), *constants, rows(out))
    return out


@dataclass(frozen=True, eq=False)
class Pixels(_OfChannels):
    """Images as a map: pixel * scale + shift, float32 (C,) both."""

    scale: np.ndarray
    shift: np.ndarray
    word = "pixels"
    arrays = {"scale": 1, "shift": 1}
    reads = ("pixels",)

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        images, = inputs
        n, c, height, width = images.shape
        out = empty((n, height, width, c), np.float32)
        split(channels.pixels, n, images, *self._constants, out)
        return out


@dataclass(frozen=True, eq=False)
class Affine(_OfChannels):
    """x * scale + shift, float32 (C,) both: a batch norm without sign, a scale, a shift."""

    scale: np.ndarray
    shift: np.ndarray
    word = "affine"
    arrays = {"scale": 1, "shift": 1}
    reads = ("integers", "reals")

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        return _row_by_row(channels.affine, inputs[0], *self._constants)


@dataclass(frozen=True, eq=False)
class PReLU(_OfChannels):
    """x where it is above 0, else x * slope, float32 (C,)."""

    slope: np.ndarray
    word = "prelu"
    arrays = {"slope": 1}

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        return _row_by_row(channels.prelu, inputs[0], *self._constants)


@dataclass(frozen=True, eq=False)
class Clip(Operation):
    """x brought into low..high, float32 (1,) both: hardtanh in -1..1, ReLU above 0."""

    low: np.ndarray
    high: np.ndarray
    word = "clip"
    arrays = {"low": 1, "high": 1}

    def output_shape(self, *shapes: Shape) -> Shape:
        """Unchanged."""
        if self.low.shape != (1,) or self.high.shape != (1,):
            raise ValueError(f"clip needs one low and one high, got {self.low.shape[0]} and {self.high.shape[0]}")
        return shapes[0]

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        return _row_by_row(channels.clip, inputs[0], np.float32(self.low[0]), np.float32(self.high[0]))


@dataclass(frozen=True, eq=False)
class Sign(_OfChannels):
    """Bits: +1 where x >= threshold, float32 (C,)."""

    threshold: np.ndarray
    word = "sign"
    arrays = {"threshold": 1}
    gives = "bits"

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        x, = inputs
        words = empty((*x.shape[:-1], n_words(x.shape[-1])), np.uint64)
        split(channels.sign, len(rows(x)), rows(x), *self._constants, rows(words))
        return words
