"""Margins |h - s|: distances of pre-activations from their thresholds.

N images, P positions, U units; h (N, P, U) int32; kind (P,) says at which border a position lies, B kinds.
"""

import numpy as np

from bnnsim.kernels._jit import kernel

FIXED = 2.0**20                     # what is summed over images is kept in these parts: sums of integers have no order


@kernel
def add_margins(h, kind, twice_s, inverse, width, counts, sums, over_spread, start, stop):
    """Twice the margins |2 h - twice_s| of images start..stop.

    inverse (N, P) float64: FIXED over the standard deviation per flip; counts (bins,), where entry t goes to bin
    t // width; sums (U,) of twice the margin; over_spread (U,) of twice the margin times inverse.
    """
    for n in range(start, stop):
        for p in range(h.shape[1]):
            factor, row = inverse[n, p], twice_s[kind[p]]
            for u in range(h.shape[2]):
                twice = abs(2 * h[n, p, u] - row[u])
                sums[u] += twice
                over_spread[u] += np.int64(twice * factor + 0.5)
            for u in range(h.shape[2]):
                counts[np.uint32(abs(2 * h[n, p, u] - row[u])) // width] += 1
