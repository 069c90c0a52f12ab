"""Sizes of convolutions and of pooling windows, as kernels read them, and where a kernel's taps meet the input."""

from typing import NamedTuple

from bnnsim.kernels._jit import inline


class Geometry(NamedTuple):
    """Sizes of the input, the kernel and the output of a convolution.

    Output row r reads, with tap a of its kernel, input row r * row_stride + a * row_step - top; columns alike. A step
    over 1 is a dilation.
    """

    height: int
    width: int
    kernel_height: int
    kernel_width: int
    row_stride: int
    column_stride: int
    row_step: int
    column_step: int
    top: int
    left: int
    bottom: int
    right: int
    out_height: int
    out_width: int

    @property
    def is_padded(self) -> bool:
        """Whether taps may lie outside of the input."""
        return max(self.top, self.left, self.bottom, self.right) > 0


class Pool(NamedTuple):
    """Sizes of the windows of a max-pool; what lies outside of the map is left out of a window."""

    height: int
    width: int
    row_stride: int
    column_stride: int
    top: int
    left: int
    bottom: int
    right: int

    @property
    def is_plain(self) -> bool:
        """Whether its windows are squares side by side, without padding."""
        return self.height == self.width == self.row_stride == self.column_stride and max(self[4:]) == 0


@inline
def window_bounds(q, i, j, height, width):
    """(first row, row behind the last, first column, column behind the last) of what window i, j of q has of a map."""
    row, column = i * q.row_stride - q.top, j * q.column_stride - q.left
    return max(row, 0), min(row + q.height, height), max(column, 0), min(column + q.width, width)


@inline
def columns_inside(g, b):
    """(low, high): the output columns low..high - 1 whose tap b lies inside the input."""
    shift = g.left - b * g.column_step
    low = min(g.out_width, max(0, (shift + g.column_stride - 1) // g.column_stride))
    return low, max(low, min(g.out_width, (g.width - 1 + shift) // g.column_stride + 1))
