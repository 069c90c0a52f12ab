"""Sizes of a convolution, as its kernels read them."""

from typing import NamedTuple


class Geometry(NamedTuple):
    """Sizes of the input, the kernel and the output of a convolution."""

    height: int
    width: int
    kernel_height: int
    kernel_width: int
    stride: int
    padding: int
    out_height: int
    out_width: int
