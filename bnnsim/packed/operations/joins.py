"""Operations on several maps: their sum, and their channels side by side."""

from dataclasses import dataclass

import numpy as np

import bnnsim.kernels.real.channels as channels
from bnnsim.kernels import empty, split
from bnnsim.packed.operations.operation import Operation, Shape, rows

MOST_INPUTS = 64


@dataclass(frozen=True, eq=False)
class Add(Operation):
    """The sum of maps of one shape, from the first on: a residual connection."""

    word = "add"
    n_inputs = (2, MOST_INPUTS)

    def output_shape(self, *shapes: Shape) -> Shape:
        """That of all."""
        if len(set(shapes)) > 1:
            raise ValueError(f"add needs maps of one shape, got {', '.join(map(str, shapes))}")
        return shapes[0]

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        total, *others = inputs
        for other in others:
            out = empty(total.shape, np.float32)
            split(channels.add, len(rows(out)), rows(total), rows(other), rows(out))
            total = out
        return total


@dataclass(frozen=True, eq=False)
class Concatenate(Operation):
    """The channels of maps of one height and width, side by side."""

    word = "concatenate"
    n_inputs = (2, MOST_INPUTS)

    def output_shape(self, *shapes: Shape) -> Shape:
        """(H, W, C of all)."""
        if len({shape[:-1] for shape in shapes}) > 1:
            raise ValueError(f"concatenate needs maps of one height and width, got {', '.join(map(str, shapes))}")
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        return np.concatenate(inputs, axis=-1)
