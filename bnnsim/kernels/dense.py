"""Binarized dense layers on packed words: XNOR-popcount forward, and the product behind both gradients.

N rows (batch), F input features in W = ceil(F / 64) words, U output units; S = 64 * ceil(U / 64), the width of scratch
rows. An int32 sum holds 65,536 terms of a 16-bit value times +-1, so longer sums are widened to int64 on the way.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.simd import madd16_tile, madd_tile

MAX_PAIRS_BITS = 32768              # 65,536 terms of 32767 * 1
MAX_PAIRS_PIXELS = 128              # 256 terms of 32767 * 255


@inline
def madd_columns(a, row, panel, word, n_pairs, tile, total):
    """Rows row..row + 5 of a (M, 2 n_pairs) int16 times column word `word` of the panel.

    The sums are left in `tile` (6, 64) int32 where that is wide enough (the result is True), else in `total`, int64.
    """
    tile[:] = 0
    if n_pairs <= MAX_PAIRS_BITS:
        madd_tile(a, row * a.shape[1], a.shape[1], panel, 4 * word * n_pairs, n_pairs, tile, 0)
        return True
    total[:] = 0
    for first in range(0, n_pairs, MAX_PAIRS_BITS):
        tile[:] = 0
        madd_tile(a, row * a.shape[1] + 2 * first, a.shape[1], panel, 4 * (word * n_pairs + first),
                  min(MAX_PAIRS_BITS, n_pairs - first), tile, 0)
        total += tile
    return False


@inline
def madd16_columns(a, row, panel, word, n_pairs, tile, total):
    """`madd_columns` against a panel of int16 of at most 255 in size (pixels)."""
    tile[:] = 0
    if n_pairs <= MAX_PAIRS_PIXELS:
        madd16_tile(a, row * a.shape[1], a.shape[1], panel, 64 * word * n_pairs, n_pairs, tile, 0)
        return True
    total[:] = 0
    for first in range(0, n_pairs, MAX_PAIRS_PIXELS):
        tile[:] = 0
        madd16_tile(a, row * a.shape[1] + 2 * first, a.shape[1], panel, 64 * (word * n_pairs + first),
                    min(MAX_PAIRS_PIXELS, n_pairs - first), tile, 0)
        total += tile
    return False


@inline
def store_scaled(sums, row, column, scale, out):
    """out (M, F) float32 [row.., column..] = sums (6, 64) * scale of the row, as far as out reaches."""
    for r in range(min(6, out.shape[0] - row)):
        for c in range(min(64, out.shape[1] - column)):
            out[row + r, column + c] = np.float32(sums[r, c] * scale[row + r])


@kernel
def madd_dense(a, panel, scale, out, start, stop):
    """a (6 T, 2 P) int16, panel (V, P, 4) of +-1 -> out (M, F) float32 = (a times panel) * scale (M,).

    With a = dH by row and the panel of W it is dX; with a = dH transposed and the panel of X it is dW. Runs over the
    V * T tiles, column word after column word.
    """
    tile, total = np.empty((6, 64), np.int32), np.empty((6, 64), np.int64)
    n_tiles = a.shape[0] // 6
    for item in range(start, stop):
        word, row = item // n_tiles, item % n_tiles * 6
        if madd_columns(a, row, panel, word, panel.shape[1], tile, total):
            store_scaled(tile, row, 64 * word, scale, out)
        else:
            store_scaled(total, row, 64 * word, scale, out)


@kernel
def madd16_dense(a, panel, scale, out, start, stop):
    """`madd_dense` against int16 values of at most 255 in size (pixels): panel (V, P, 64, 2) int16."""
    tile, total = np.empty((6, 64), np.int32), np.empty((6, 64), np.int64)
    n_tiles = a.shape[0] // 6
    for item in range(start, stop):
        word, row = item // n_tiles, item % n_tiles * 6
        if madd16_columns(a, row, panel, word, panel.shape[1], tile, total):
            store_scaled(tile, row, 64 * word, scale, out)
        else:
            store_scaled(total, row, 64 * word, scale, out)
