"""Layers of graphs that read several maps of reals."""

from typing import Any

import numpy as np

import bnnsim.packed.operations as operations
from bnnsim.packed.operations import Operation
from bnnsim.training.gradients import Gradient
from bnnsim.training.layers.real import Gradients, RealLayer


class Add(RealLayer):
    """The sum of two maps or more, from the first on: a residual connection."""

    def operation(self) -> Operation:
        """What it is to a packed graph."""
        return operations.Add()

    def backward(self, dout: Gradient, cache: Any) -> tuple[tuple[np.ndarray, ...], Gradients]:
        """dout, for each."""
        return (self.gradient_of(dout, cache[0].shape),) * len(cache), {}


class Concatenate(RealLayer):
    """The channels of two maps or more, side by side."""

    def operation(self) -> Operation:
        """What it is to a packed graph."""
        return operations.Concatenate()

    def backward(self, dout: Gradient, cache: Any) -> tuple[tuple[np.ndarray, ...], Gradients]:
        """Each its channels of dout."""
        ends = np.cumsum([x.shape[-1] for x in cache])
        dout = self.gradient_of(dout, (*cache[0].shape[:-1], int(ends[-1])))
        return tuple(np.ascontiguousarray(part) for part in np.split(dout, ends[:-1], axis=-1)), {}
