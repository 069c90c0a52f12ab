"""The product behind both gradients of a dense layer on packed words: gradients of 16 bits, or float32, times +-1.

M rows of gradients (images for dX, units for dW) along R summed items (units, images), F columns in words (features).
Sums are looked up, see `lookup_tile`: G groups of five items, six groups a word of the panel.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.gradients.lookup_tile import (COLS, GROUP, ROWS, WORD_GROUPS, WORD_ROWS, add_tile, build_tables,
                                                  lookup_tile, new_tables, scale_row, turn_words)

CHUNK_GROUPS = 480                  # of the summed axis: six rows of tables in 368 KB of L2; divisible by WORD_GROUPS


@inline
def group_rows(words, n_rows, word, first, spare, panel, at):
    """Rows first.. (30) of column word `word` of words (R, W) -> panel[at..] (64,); rows past n_rows are 0 bits."""
    if first + WORD_ROWS <= n_rows:
        turn_words(words, first * words.shape[1] + word, words.shape[1], panel, at)
    else:
        for j in range(WORD_ROWS):
            spare[j] = words[first + j, word] if first + j < n_rows else np.uint64(0)
        turn_words(spare, 0, 1, panel, at)


@kernel
def lookup_panel(words, panel, start, stop):
    """words (S, R, W), R rows along the summed axis -> panel (W, S, ceil(R / 30), 64) of the tile. Runs over words."""
    spare, flat, (_, n_segments, n_words, _) = np.empty(WORD_ROWS, np.uint64), panel.reshape(-1), panel.shape
    for w in range(start, stop):
        for s in range(n_segments):
            for i in range(n_words):
                group_rows(words[s], words.shape[1], w, WORD_ROWS * i, spare, flat,
                           ((w * n_segments + s) * n_words + i) * COLS)


@inline
def store_sums(tile, row, word, scale, out):
    """out (M, F) float32 [row.., 64 word..] = tile (6, 64) int32 * scale of the row, as far as out reaches."""
    n_columns = min(COLS, out.shape[1] - COLS * word)
    for r in range(min(ROWS, out.shape[0] - row)):
        if n_columns == COLS:
            scale_row(tile, COLS * r, scale[row + r], out, (row + r) * out.shape[1] + COLS * word)
        else:
            for c in range(n_columns):
                out[row + r, COLS * word + c] = np.float32(tile[r, c] * scale[row + r])


@inline
def _long_sums(a, row, panel, scale, tables, starts, tile, total, out):
    """Six rows whose summed axis is cut into chunks: sums in total (V, 6, 64) int64 or float64, then to `out`."""
    n_groups, n_words = a.shape[1] // GROUP, panel.shape[2]
    total[:] = 0
    for first in range(0, n_groups, CHUNK_GROUPS):
        count = min(CHUNK_GROUPS, n_groups - first)
        for r in range(ROWS):
            build_tables(a, (row + r) * a.shape[1] + GROUP * first, count, tables, starts[r])
        for word in range(panel.shape[0]):
            lookup_tile(tables, starts, 1, count, panel, (word * n_words + first // WORD_GROUPS) * COLS, tile, 0, False)
            add_tile(tile, total[word])
    for word in range(panel.shape[0]):
        for r in range(min(ROWS, out.shape[0] - row)):
            for c in range(min(COLS, out.shape[1] - COLS * word)):
                out[row + r, COLS * word + c] = np.float32(total[word, r, c] * scale[row + r])


@kernel
def lookup_dense(a, panel, scale, kinds, out, start, stop):
    """a (6 T, 5 G), panel (V, 1, ceil(G / 6), 64) of +-1 -> out (M, F) float32 = (a times panel) * scale (M,).

    kinds: arrays of the types of `a`, of its sums, and of the sums of those: int16, int32, int64, or two float32 and
    float64. With a = dH by row and the panel of W it is dX; with a = dH transposed and the panel of X it is dW. Runs
    over the T blocks of six rows; what lies past a row's end in `a` is 0.
    """
    n_groups, n_words = a.shape[1] // GROUP, panel.shape[2]
    n_tables = min(n_groups, CHUNK_GROUPS)
    tables, at = new_tables(ROWS * n_tables, kinds[1])
    starts, tile = at + 32 * n_tables * np.arange(ROWS), np.empty((ROWS, COLS), kinds[1].dtype)
    total = np.empty((panel.shape[0] if n_groups > n_tables else 0, ROWS, COLS), kinds[2].dtype)
    for row in range(ROWS * start, ROWS * stop, ROWS):
        if n_groups > n_tables:
            _long_sums(a, row, panel, scale, tables, starts, tile, total, out)
        else:
            for r in range(ROWS):
                build_tables(a, (row + r) * a.shape[1], n_groups, tables, starts[r])
            for word in range(panel.shape[0]):
                lookup_tile(tables, starts, 1, n_groups, panel, word * n_words * COLS, tile, 0, False)
                store_sums(tile, row, word, scale, out)
