"""Sizes of a convolution, as its kernels read them."""

from collections import namedtuple

Geometry = namedtuple("Geometry", "height width kernel_height kernel_width stride padding out_height out_width")
