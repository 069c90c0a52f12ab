"""What groups of a convolution need besides its passes: their channels cut out of words, and their sums compared."""

import numpy as np

from bnnsim.kernels._jit import kernel
from bnnsim.kernels.forward.conv import pool_bits
from bnnsim.kernels.words.bit_fields import ONE, get_bits


@kernel
def cut_channels(rows, first, n_channels, out, start, stop):
    """Bits first..first + n_channels - 1 of rows (R, W) words -> out (R, ceil(n_channels / 64)). Runs over rows."""
    for r in range(start, stop):
        for w in range(out.shape[1]):
            out[r, w] = get_bits(rows, r, first + 64 * w, min(64, n_channels - 64 * w))


@kernel
def compare_sums(h, theta, g, pool, inverted, out, start, stop):
    """h (N, OH, OW, K) int32, theta (K,) int64 -> pooled bits out (N, ., ., V), inverted words (V,)."""
    bits = np.zeros((h.shape[1] * h.shape[2], out.shape[3]), np.uint64)
    for n in range(start, stop):
        bits[:] = np.uint64(0)
        for i in range(h.shape[1]):
            for j in range(h.shape[2]):
                for k in range(h.shape[3]):
                    if h[n, i, j, k] >= theta[k]:
                        bits[i * h.shape[2] + j, k >> 6] |= ONE << np.uint64(k & 63)
        pool_bits(bits, g, pool, inverted, out[n])
