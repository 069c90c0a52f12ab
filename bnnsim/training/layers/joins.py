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

    def forward_train(self, *inputs: np.ndarray) -> tuple[np.ndarray, Any]:
        """The sum; the cache is how many there are, and their shape."""
        return self.forward(*inputs), (len(inputs), inputs[0].shape)

    def backward(self, dout: Gradient, cache: Any) -> tuple[tuple[np.ndarray, ...], Gradients]:
        """dout, for each."""
        return (self.gradient_of(dout, cache[1]),) * cache[0], {}


class Concatenate(RealLayer):
    """The channels of two maps or more, side by side."""

    def operation(self) -> Operation:
        """What it is to a packed graph."""
        return operations.Concatenate()

    def forward_train(self, *inputs: np.ndarray) -> tuple[np.ndarray, Any]:
        """The channels side by side; the cache is the inputs' shapes."""
        return self.forward(*inputs), [x.shape for x in inputs]

    def backward(self, dout: Gradient, cache: Any) -> tuple[tuple[np.ndarray, ...], Gradients]:
        """Each its channels of dout."""
        ends = np.cumsum([shape[-1] for shape in cache])
        dout = self.gradient_of(dout, (*cache[0][:-1], int(ends[-1])))
        return tuple(np.ascontiguousarray(part) for part in np.split(dout, ends[:-1], axis=-1)), {}
