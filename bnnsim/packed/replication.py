"""A padding that repeats the border of a map, and the way back for gradients.

N images; maps are (N, H, W, C), or images (N, C, H, W); padding is (top, left, bottom, right).
"""

from typing import Protocol

import numpy as np

from bnnsim.kernels.forward.geometry import Geometry
from bnnsim.packed.forward import Pair, Sides, conv_geometry


class Settings(Protocol):
    """Of a convolution, packed or in training."""

    @property
    def stride(self) -> Pair: ...
    @property
    def padding(self) -> Sides: ...
    @property
    def replicate(self) -> bool: ...
    @property
    def dilation(self) -> Pair: ...


def geometry_of(height: int, width: int, kernel: Pair, layer: Settings) -> Geometry:
    """Sizes of a convolution of these settings; one that replicates reads a map that `replicated` made larger."""
    if not layer.replicate:
        return conv_geometry(height, width, kernel, layer.stride, layer.padding, layer.dilation)
    top, left, bottom, right = layer.padding
    return conv_geometry(height + top + bottom, width + left + right, kernel, layer.stride, dilation=layer.dilation)


def replicated(x: np.ndarray, padding: Sides, sizes: tuple[int, ...], channels_first: bool = False) -> np.ndarray:
    """Maps of these sizes (H, W) with their borders repeated around them; what is padded already, stays."""
    top, left, bottom, right = padding
    rows, columns = (2, 3) if channels_first else (1, 2)
    if (x.shape[rows], x.shape[columns]) != tuple(sizes[:2]) or not any(padding):
        return x
    row = np.clip(np.arange(-top, sizes[0] + bottom), 0, sizes[0] - 1)
    column = np.clip(np.arange(-left, sizes[1] + right), 0, sizes[1] - 1)
    return np.take(np.take(x, row, axis=rows), column, axis=columns)


def folded(gradient: np.ndarray, padding: Sides) -> np.ndarray:
    """Gradients (N, PH, PW, C) of padded maps -> of the maps (N, H, W, C): the repeated borders' are added up."""
    top, left, bottom, right = padding
    height, width = gradient.shape[1] - top - bottom, gradient.shape[2] - left - right
    rows = gradient[:, top:top + height].copy()
    for at in range(top):
        rows[:, 0] += gradient[:, at]
    for at in range(bottom):
        rows[:, -1] += gradient[:, top + height + at]
    out = np.ascontiguousarray(rows[:, :, left:left + width])
    for at in range(left):
        out[:, :, 0] += rows[:, :, at]
    for at in range(right):
        out[:, :, -1] += rows[:, :, left + width + at]
    return out
