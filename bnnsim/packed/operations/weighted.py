"""Operations with float32 weights: real-valued convolutions and dense layers.

K units, kh x kw taps, C channels in, G groups.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

import bnnsim.kernels.real.conv as kernels
from bnnsim.kernels import empty, split
from bnnsim.kernels.forward.geometry import Geometry
from bnnsim.packed.forward import NO_PADDING, Pair, Sides, conv_geometry
from bnnsim.packed.operations.operation import MAX_SIZE, Operation, Shape


def panel_of(weight: np.ndarray, groups: int) -> np.ndarray:
    """Weights (K, kh, kw, C / G) as kernels read them, (G, T, C / G, K / G)."""
    units, n_in = len(weight), weight.shape[-1]
    return np.ascontiguousarray(weight.reshape(groups, units // groups, -1, n_in).transpose(0, 2, 3, 1))


def widened(panel: np.ndarray) -> np.ndarray:
    """A panel (G, T, ., .) with zeros behind the last of its columns, to a multiple of 32."""
    return np.ascontiguousarray(np.pad(panel, [(0, 0)] * 3 + [(0, -panel.shape[3] % kernels.UNITS)]))


def is_depthwise(weight: np.ndarray, groups: int) -> bool:
    """Whether each unit reads one channel, its own."""
    return len(weight) == groups and weight.shape[-1] == 1


@dataclass(frozen=True, eq=False)
class RealConv(Operation):
    """A convolution with float32 weights (K, kh, kw, C / G) and bias (K,): of maps, digital, no bits of a memory."""

    weight: np.ndarray
    bias: np.ndarray
    stride: Pair = (1, 1)
    padding: Sides = NO_PADDING
    dilation: Pair = (1, 1)
    groups: int = 1
    word = "real-conv"
    arrays = {"weight": 4, "bias": 1}
    settings: ClassVar[dict[str, int]] = {"stride": 2, "padding": 4, "dilation": 2, "groups": 0}
    limits: ClassVar[dict[str, tuple[int, int]]] = {"stride": (1, MAX_SIZE), "padding": (0, MAX_SIZE),
                                                    "dilation": (1, MAX_SIZE), "groups": (1, MAX_SIZE)}

    def geometry(self, height: int, width: int) -> Geometry:
        """Sizes for a map (H, W)."""
        kernel = self.weight.shape[1], self.weight.shape[2]
        return conv_geometry(height, width, kernel, self.stride, self.padding, self.dilation)

    def output_shape(self, *shapes: Shape) -> Shape:
        """(H, W, C) -> (OH, OW, K)."""
        shape, (units, kh, kw, n_in) = shapes[0], self.weight.shape
        if self.bias.shape != (units,):
            raise ValueError(f"{self.word} of {units} units needs a bias of each, got {self.bias.shape[0]}")
        if len(shape) != 3 or shape[2] != n_in * self.groups or units % self.groups:
            raise ValueError(f"real-conv of {self.groups} groups of {n_in} channels to {units} cannot read {shape}")
        g = self.geometry(*shape[:2])
        if min(g.out_height, g.out_width) < 1:
            raise ValueError(f"real-conv: a {kh} x {kw} kernel must fit its input of {shape[0]} x {shape[1]}")
        return g.out_height, g.out_width, units

    def macs(self, *shapes: Shape) -> int:
        """Multiply-accumulates an image."""
        return math.prod(self.output_shape(*shapes)[:2]) * math.prod(self.weight.shape)

    @cached_property
    def _constants(self) -> tuple[np.ndarray, np.ndarray]:
        panel = panel_of(self.weight, self.groups)
        if is_depthwise(self.weight, self.groups):
            return panel[:, :, 0, 0].T.copy(), np.array(self.bias)
        return widened(panel), np.array(self.bias)

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        x, = inputs
        g = self.geometry(*x.shape[1:3])
        out = empty((len(x), g.out_height, g.out_width, len(self.weight)), np.float32)
        kernel = kernels.depthwise if is_depthwise(self.weight, self.groups) else kernels.conv
        split(kernel, len(x), x, *self._constants, g, out)
        return out


@dataclass(frozen=True, eq=False)
class RealDense(Operation):
    """A dense layer with float32 weights (U, F) and bias (U,), on maps in H, W, C order: digital."""

    weight: np.ndarray
    bias: np.ndarray
    word = "real-dense"
    arrays = {"weight": 2, "bias": 1}

    def output_shape(self, *shapes: Shape) -> Shape:
        """(U,)."""
        if self.bias.shape != self.weight.shape[:1]:
            raise ValueError(f"{self.word} of {self.weight.shape[0]} units needs a bias of each, got "
                             f"{self.bias.shape[0]}")
        if math.prod(shapes[0]) != self.weight.shape[1]:
            raise ValueError(f"real-dense of {self.weight.shape[1]} features cannot read {shapes[0]}")
        return self.weight.shape[:1]

    def macs(self, *shapes: Shape) -> int:
        """Multiply-accumulates an image."""
        return math.prod(self.weight.shape)

    @cached_property
    def _conv(self) -> RealConv:
        return RealConv(self.weight.reshape(len(self.weight), 1, 1, -1), self.bias)

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        x, = inputs
        return self._conv.run(x.reshape(len(x), 1, 1, -1)).reshape(len(x), -1)
