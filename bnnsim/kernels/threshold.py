"""Integer thresholds: from pre-activations to output bits, y = (h >= theta) xor inverted, pooled where asked.

U units in V = ceil(U / 64) words; theta and rows of h are padded to 64 V entries, inverted is V words, padding bits 0.
"""

import numpy as np

from bnnsim.kernels._jit import inline
from bnnsim.kernels.simd import compare_word

ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@inline
def unit_mask(n_units, v):
    """The bits of word v that exist."""
    left = n_units - 64 * v
    return ALL if left >= 64 else ALL >> np.uint64(64 - left)


@inline
def threshold_row(h, row, theta, inverted, n_units, out):
    """Row `row` of h (., 64 V) -> out (V,) words."""
    for v in range(out.shape[0]):
        bits = compare_word(h, row * h.shape[1] + 64 * v, theta, 64 * v)
        out[v] = (bits ^ inverted[v]) & unit_mask(n_units, v)


@inline
def threshold_image(h, width, theta, inverted, n_units, pool, out):
    """h (H * W, 64 V) of one image -> out (H // pool, W // pool, V): OR of the comparisons, then xor inverted."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for v in range(out.shape[2]):
                bits = np.uint64(0)
                for di in range(pool):
                    for dj in range(pool):
                        row = (i * pool + di) * width + j * pool + dj
                        bits |= compare_word(h, row * h.shape[1] + 64 * v, theta, 64 * v)
                out[i, j, v] = (bits ^ inverted[v]) & unit_mask(n_units, v)
