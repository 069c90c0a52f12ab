"""Discs of cells around centres, in arrays of R x C cells."""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.words.bit_fields import ONE


@inline
def _disc(cells, n_rows, n_columns, r, c, radius):
    """Set the cells (R, W) within `radius` of (r, c)."""
    for i in range(max(0, r - radius), min(n_rows, r + radius + 1)):
        for j in range(max(0, c - radius), min(n_columns, c + radius + 1)):
            if (i - r) ** 2 + (j - c) ** 2 <= radius**2:
                cells[i, j >> 6] |= ONE << np.uint64(j & 63)


@kernel
def fill_discs(centres, n_rows, n_columns, radius, discs, start, stop):
    """Set in discs (A, R, W), which come zeroed, all cells within `radius` of a centre; runs over arrays.

    n_rows, n_columns (A,): the part of each array that is in use; a disc ends at its edge.
    """
    for a in range(start, stop):
        for r in range(n_rows[a]):
            for w in range(centres.shape[2]):
                if centres[a, r, w] == 0:
                    continue
                for c in range(64 * w, min(64 * w + 64, n_columns[a])):
                    if (centres[a, r, w] >> np.uint64(c & 63)) & ONE:
                        _disc(discs[a], n_rows[a], n_columns[a], r, c, radius)
