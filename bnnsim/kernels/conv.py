"""Geometry of a convolution: which input each tap of an output position reads, and which lie in the padding."""

from collections import namedtuple

import numpy as np

from bnnsim.kernels._jit import inline

Geometry = namedtuple("Geometry", "height width kernel_height kernel_width stride padding out_height out_width")


@inline
def _source(g, position, tap):
    """Input row and column that `tap` of output `position` reads; negative or too large in the padding."""
    i = position // g.out_width * g.stride - g.padding + tap // g.kernel_width
    j = position % g.out_width * g.stride - g.padding + tap % g.kernel_width
    return i, j


@inline
def _inside(g, i, j):
    return 0 <= i < g.height and 0 <= j < g.width


@inline
def _padded_positions(g):
    """Output positions at which each tap reads padding: their numbers (T,) and a table (T, OH * OW)."""
    n_taps, n_positions = g.kernel_height * g.kernel_width, g.out_height * g.out_width
    counts, positions = np.zeros(n_taps, np.int64), np.empty((n_taps, n_positions), np.int64)
    for tap in range(n_taps):
        for position in range(n_positions):
            i, j = _source(g, position, tap)
            if not _inside(g, i, j):
                positions[tap, counts[tap]] = position
                counts[tap] += 1
    return counts, positions
