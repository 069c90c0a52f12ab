"""Gradients of a convolution's weights by table lookup, of 16-bit fixed point or float32: see `lookup_tile`.

dH (N, OH, OW, K) float32, possibly behind a max-pool: then its entries stand as dout (N, OH // size, OW // size, K) and
`winner`, the entry of its window that each belongs to, and are spread out a row at a time; three quarters of the
scattered array would be zeros. size = 1 is no pooling, dout is dH and winner is not read. dX: see `conv_dx`. Where
gradients are looked up in bytes, `pooled_conv` takes those behind a max-pool.

x (N, H, W, Cw), C input channels in Cw words, K output channels, T = kh * kw taps, g a `geometry.Geometry`.
"""

import numpy as np

from bnnsim.kernels._arrays import empty, in_rows, zeros
from bnnsim.kernels._jit import inline, kernel, leaf
from bnnsim.kernels.forward.geometry import columns_inside
from bnnsim.kernels.gradients.fixed_point import SIDE, fix_by_column, fix_turned
from bnnsim.kernels.gradients.lookup_tile import (COLS, MAX_ITEMS, ROWS, add_tile, build_tables, entry_rows, entry_size,
                                                  lookup_tile, new_tables, table_size, turn_words, whole)
from bnnsim.kernels.gradients.pool import keep_winners

CHUNK = 960                         # positions of dW whose sums stay in registers; whole entries of any panel


@inline
def window_places(size, g):
    """Window row and column of each output position, and its number in the window: (3, OH * OW) int64.

    Once a call: divisions would take longer than the rows that they find.
    """
    places = empty((3, g.out_height * g.out_width), np.int64)
    for i in range(g.out_height):
        for j in range(g.out_width):
            at = i * g.out_width + j
            places[0, at], places[1, at], places[2, at] = i // size, j // size, i % size * size + j % size
    return places


@leaf
def gradient_row(dout, winner, size, n, places, position, rows, r):
    """dH of an output position of image n -> rows (., >= K) of its type [r]."""
    n_units, i, j = dout.shape[3], places[0, position], places[1, position]
    if i >= dout.shape[1] or j >= dout.shape[2]:               # a remainder that no window takes
        for k in range(n_units):
            rows[r, k] = 0
    elif size == 1:
        for k in range(n_units):
            rows[r, k] = dout[n, i, j, k]
    else:
        at = ((n * dout.shape[1] + i) * dout.shape[2] + j) * n_units
        keep_winners(dout, at, winner, at, n_units, np.uint8(places[2, position]), rows, r * rows.shape[1])


@leaf
def chunk_runs(first, n_rows, g, runs):
    """Output positions first.. cut into runs of one row of outputs: their number, and runs (5, .) int64.

    First position in the chunk, image, top row of the patches, first output column, length.
    """
    n_positions, n_runs, q = g.out_height * g.out_width, 0, 0
    while q < n_rows:
        position = (first + q) % n_positions
        oh, ow = position // g.out_width, position % g.out_width
        length = min(g.out_width - ow, n_rows - q)
        runs[0, n_runs], runs[1, n_runs], runs[2, n_runs] = q, (first + q) // n_positions, oh * g.row_stride - g.top
        runs[3, n_runs], runs[4, n_runs] = ow, length
        n_runs, q = n_runs + 1, q + length
    return n_runs


@leaf
def fix_chunk(dout, winner, size, first, n_rows, inverse, ones, places, rows, fixed, n_wide):
    """dH of output positions first.., n_rows of them -> fixed (., CHUNK or more) int16, transposed; 0 up to n_wide.

    What stands behind a max-pool is fixed a window at a time, into the last of `rows` (17, K), and spread as int16.
    """
    n_positions, n_units, last = places.shape[1], dout.shape[3], -1
    for row in range(0, n_wide, SIDE):
        if size == 1:
            for column in range(0, n_units, SIDE):
                fix_turned(in_rows(dout, n_units), first + row, column, inverse, fixed, row)
            continue
        n, position = (first + row) // n_positions, (first + row) % n_positions
        for r in range(SIDE):
            i, j = places[0, position], places[1, position]
            if row + r >= n_rows or i >= dout.shape[1] or j >= dout.shape[2]:   # a remainder that no window takes
                rows[r] = 0
            else:
                at = ((n * dout.shape[1] + i) * dout.shape[2] + j) * n_units
                if at != last:
                    fix_by_column(dout, at, inverse, rows, SIDE * n_units)
                    last = at
                keep_winners(rows, SIDE * n_units, winner, at, n_units, np.uint8(places[2, position]), rows,
                             r * n_units)
            n, position = (n, position + 1) if position + 1 < n_positions else (n + 1, 0)
        for column in range(0, n_units, SIDE):
            fix_turned(rows[:SIDE], 0, column, ones, fixed, row)


@leaf
def _pad(fill, start, stop, word, shift, bit, words):
    """Positions start..stop are padding to a tap, whose words begin at `word`: `bit` says so, unless it is -1."""
    for w in range(len(fill)):
        low, high = fill[w] << np.uint64(shift), fill[w] >> np.uint64(63 - shift) >> np.uint64(1)
        for q in range(start, stop if fill[w] else start):
            words[word + w, q] |= low
            words[word + w + 1, q] |= high
    for q in range(start, stop if bit >= 0 else start):
        words[bit >> 6, q] |= np.uint64(1) << np.uint64(bit & 63)


@leaf
def _gather_tap(x, runs, n_runs, tap, n_channels, fill, g, bit, words):
    """What `tap` reads at each position of the runs -> its bits of words."""
    di, dj, word, shift = tap // g.kernel_width, tap % g.kernel_width, tap * n_channels >> 6, tap * n_channels & 63
    inside = columns_inside(g, dj)
    for run in range(n_runs):
        q, n, i, ow, length = runs[0, run], runs[1, run], runs[2, run] + di * g.row_step, runs[3, run], runs[4, run]
        low = min(max(inside[0] - ow, 0), length)
        high = max(min(inside[1] - ow, length), low)
        if not 0 <= i < g.height:
            low = high = length
        _pad(fill, q, q + low, word, shift, bit, words)
        first = ow * g.column_stride + dj * g.column_step - g.left
        for w in range(x.shape[3]):
            for at in range(low, high):
                words[word + w, q + at] |= x[n, i, first + at * g.column_stride, w] << np.uint64(shift)
            for at in range(low, high if shift else low):
                words[word + w + 1, q + at] |= x[n, i, first + at * g.column_stride, w] >> np.uint64(64 - shift)
        _pad(fill, q + high, q + length, word, shift, bit, words)


@leaf
def words_of_runs(x, n_channels, runs, n_runs, fill, zero_pad, g, words):
    """All that the positions of runs read -> words (B + 1, .): taps side by side without gaps, then what is padded.

    The last row is room for the word after the last that a tap touches, and stays 0.
    """
    n_taps = g.kernel_height * g.kernel_width
    n_bits = n_taps * n_channels
    words[:] = np.uint64(0)
    for tap in range(n_taps):
        _gather_tap(x, runs, n_runs, tap, n_channels, fill, g, n_bits + tap if zero_pad else -1, words)
    for q in range(words.shape[1] if zero_pad else 0):
        words[(n_bits + n_taps) >> 6, q] |= np.uint64(1) << np.uint64((n_bits + n_taps) & 63)


@leaf
def _turn_chunk(words, n_rows, panel):
    """words (., CHUNK) -> panel (B, E, .)."""
    for w in range(panel.shape[0]):
        for i in range((n_rows + entry_rows(panel) - 1) // entry_rows(panel)):
            turn_words(words, w * CHUNK + i * entry_rows(panel), 1, panel, (w * panel.shape[1] + i) * panel.shape[2])


@leaf
def widen_sums(sums, total):
    """total (M, B, 6, 64) += sums, which begin anew."""
    for m in range(total.shape[0]):
        for column in range(total.shape[1]):
            add_tile(sums[m, column], total[m, column])
    sums[:] = 0


@kernel
def conv_dweight(dout, winner, size, inverse, x, n_channels, fill, zero_pad, g, kinds, total, start, stop):
    """dH, its channels' 1 / scale (K,), x words -> total (M, B, 6, 64) int64 (or float64) += dW / scales.

    Row m, r is output channel 6 m + r. Columns are T * C bits without gaps, which B words hold. Zero padding enters as
    -1; T + 1 columns more (without it, none) hold what it takes to correct that: column t sums dH with +1 where tap t
    is padded and -1 elsewhere, the last sums dH. Runs over chunks of `CHUNK` output positions of all images; slices at
    once need a `total` each.
    """
    n_all = dout.shape[0] * g.out_height * g.out_width
    n_blocks, n_columns = total.shape[0], total.shape[1]
    rows, ones = zeros((SIDE + 1, dout.shape[3]), kinds.gradient.dtype), empty(dout.shape[3], np.float64)
    ones[:] = 1.0
    fixed = zeros((ROWS * n_blocks, CHUNK), kinds.gradient.dtype)
    panel = empty((n_columns, CHUNK // entry_rows(kinds.panel), entry_size(kinds.panel)), kinds.panel.dtype)
    sums, table_room = zeros(total.shape, kinds.sum.dtype), table_size(CHUNK, kinds.table)
    words, runs = empty((n_columns + 1, CHUNK), np.uint64), empty((5, CHUNK), np.int64)
    tables, at = new_tables(ROWS * table_room, kinds.table)
    most = 1 if kinds.gradient.itemsize == 4 else MAX_ITEMS // CHUNK              # chunks before an int32 wraps
    starts, places = empty(ROWS, np.int64), window_places(size, g)
    for r in range(ROWS):
        starts[r] = at + table_room * r
    for chunk in range(start, stop):
        n_rows = min(CHUNK, n_all - chunk * CHUNK)
        n_wide = whole(n_rows, kinds.table)
        n_runs = chunk_runs(chunk * CHUNK, n_rows, g, runs)
        fix_chunk(dout, winner, size, chunk * CHUNK, n_rows, inverse, ones, places, rows, fixed, n_wide)
        words_of_runs(x, n_channels, runs, n_runs, fill, zero_pad, g, words)
        _turn_chunk(words, n_rows, panel)
        for m in range(n_blocks):
            for r in range(len(starts)):                        # ROWS, but six copies of the code compile longer
                build_tables(fixed, (ROWS * m + r) * CHUNK, n_wide, tables, starts[r])
            for column in range(n_columns):
                lookup_tile(tables, starts, 0, 1, n_wide, panel, column * panel.shape[1] * panel.shape[2], COLS, sums,
                            (m * n_columns + column) * ROWS * COLS, True)
        if (chunk - start + 1) % most == 0 or chunk + 1 == stop:
            widen_sums(sums, total)
