"""The product behind both gradients of a dense layer on packed words: gradients of 16 bits, or float32, times +-1.

M rows of gradients (images for dX, units for dW) along R summed items (units, images), F columns in words (features).
Sums are looked up, see `lookup_tile`: panels have E entries of 16 or 30 items.
"""

import numpy as np

from bnnsim.kernels._arrays import empty, flattened
from bnnsim.kernels._jit import kernel, leaf
from bnnsim.kernels.gradients.lookup_tile import (COLS, ROWS, add_tile, build_tables, entry_rows, entry_size,
                                                  lookup_tile, new_tables, scale_row, table_size, turn_words)

CHUNK = 2400                        # of the summed axis: six rows of tables in L2; whole entries of any panel


@leaf
def group_rows(words, n_rows, word, first, spare, panel, at):
    """Rows first.. of column word `word` of words (R, W) -> the entry panel[at..]; rows past n_rows are 0 bits."""
    if first + len(spare) <= n_rows:
        turn_words(words, first * words.shape[1] + word, words.shape[1], panel, at)
    else:
        for j in range(len(spare)):
            spare[j] = words[first + j, word] if first + j < n_rows else np.uint64(0)
        turn_words(spare, 0, 1, panel, at)


@kernel
def lookup_panel(words, panel, start, stop):
    """words (S, R, W), R rows along the summed axis -> panel (W, S, E, .) of the tile. Runs over words."""
    spare, flat = empty(entry_rows(panel), np.uint64), flattened(panel)
    _, n_segments, n_entries, size = panel.shape
    for w in range(start, stop):
        for s in range(n_segments):
            for i in range(n_entries):
                group_rows(words[s], words.shape[1], w, len(spare) * i, spare, flat,
                           ((w * n_segments + s) * n_entries + i) * size)


@leaf
def store_sums(tile, row, word, scale, out):
    """out (M, F) float32 [row.., 64 word..] = tile (6, 64) * scale of the row, as far as out reaches."""
    n_columns = min(COLS, out.shape[1] - COLS * word)
    for r in range(min(len(tile), out.shape[0] - row)):
        scale_row(tile, COLS * r, scale[row + r], out, (row + r) * out.shape[1] + COLS * word, n_columns)
        for c in range(n_columns // 16 * 16, n_columns):
            out[row + r, COLS * word + c] = np.float32(tile[r, c] * scale[row + r])


@leaf
def _long_sums(a, row, panel, scale, tables, starts, tile, total, out):
    """Six rows whose summed axis is cut into chunks: sums in total (V, 6, 64) int64 or float64, then to `out`."""
    total[:] = 0
    for first in range(0, a.shape[1], CHUNK):
        count = min(CHUNK, a.shape[1] - first)
        for r in range(len(starts)):                            # ROWS, but six copies of the code compile longer
            build_tables(a, (row + r) * a.shape[1] + first, count, tables, starts[r])
        for word in range(panel.shape[0]):
            entry = word * panel.shape[2] + first // entry_rows(panel)
            lookup_tile(tables, starts, 0, 1, count, panel, entry * entry_size(panel), COLS, tile, 0, False)
            add_tile(tile, total[word])
    for word in range(panel.shape[0]):
        for r in range(min(len(tile), out.shape[0] - row)):
            for c in range(min(COLS, out.shape[1] - COLS * word)):
                out[row + r, COLS * word + c] = np.float32(total[word, r, c] * scale[row + r])


@kernel
def lookup_dense(a, panel, scale, kinds, out, start, stop):
    """a (6 T, R), panel (V, 1, E, .) of +-1 -> out (M, F) float32 = (a times panel) * scale (M,).

    kinds: `Kinds` of lookup_tile. With a = dH by row and the panel of W it is dX; with a = dH transposed and the panel
    of X it is dW. Runs over the T blocks of six rows; what lies past a row's end in `a`, up to a whole step, is 0.
    """
    n_items, size = a.shape[1], table_size(min(a.shape[1], CHUNK), kinds.table)
    tables, at = new_tables(ROWS * size, kinds.table)
    starts, tile = empty(ROWS, np.int64), empty((ROWS, COLS), kinds.sum.dtype)
    total = empty((panel.shape[0] if n_items > CHUNK else 0, ROWS, COLS), kinds.total.dtype)
    for r in range(ROWS):
        starts[r] = at + size * r
    for row in range(ROWS * start, ROWS * stop, ROWS):
        if n_items > CHUNK:
            _long_sums(a, row, panel, scale, tables, starts, tile, total, out)
        else:
            for r in range(len(starts)):
                build_tables(a, (row + r) * n_items, n_items, tables, starts[r])
            for word in range(panel.shape[0]):
                at = word * panel.shape[2] * entry_size(panel)
                lookup_tile(tables, starts, 0, 1, n_items, panel, at, COLS, tile, 0, False)
                store_sums(tile, row, word, scale, out)
