"""Gradients of a binarized convolution by table lookup, of 16-bit fixed point or float32: see `lookup_tile`.

dH (N, OH, OW, K) float32, possibly behind a max-pool: then its entries stand as dout (N, OH // size, OW // size, K) and
`winner`, the entry of its window that each belongs to, and are spread out a row at a time; three quarters of the
scattered array would be zeros. size = 1 is no pooling, dout is dH and winner is not read.

x (N, H, W, Cw), C input channels in Cw words, K output channels, T = kh * kw taps, g a `geometry.Geometry`.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel, leaf
from bnnsim.kernels.forward.geometry import columns_inside
from bnnsim.kernels.gradients.fixed_point import SIDE, fix_by_column, fix_row, fix_turned, unit_of
from bnnsim.kernels.gradients.lookup_tile import (COLS, MAX_ITEMS, ROWS, add_tile, build_tables, entry_rows, entry_size,
                                                  lookup_tile, new_tables, scale_row, table_size, turn_words, whole)
from bnnsim.kernels.gradients.pool import keep_winners

CHUNK = 960                         # positions of dW whose sums stay in registers; whole entries of any panel


@inline
def window_places(size, g):
    """Window row and column of each output position, and its number in the window: (3, OH * OW) int64.

    Once a call: divisions would take longer than the rows that they find.
    """
    places = np.empty((3, g.out_height * g.out_width), np.int64)
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


# ---------------------------------------------------------------- dX

@leaf
def _source(at, shift, stride, size):
    """The output index whose tap, `shift` from its first, reads padded input index `at`; or less than 0."""
    place = at - shift
    if stride > 1:
        place = place // stride if place % stride == 0 else -1
    return place if place < size else -1


@leaf
def _read_by(positions, g, n_slots, row_size, position_size, zeros, starts):
    """Where the tables stand of what reached input positions (6): starts (T, 6); `zeros` where nothing did."""
    for tap in range(starts.shape[0]):
        for r in range(ROWS):
            starts[tap, r] = zeros
    for r in range(ROWS):
        i, j = positions[r] // g.width + g.top, positions[r] % g.width + g.left
        for di in range(g.kernel_height if positions[r] >= 0 else 0):
            oh = _source(i, di * g.row_step, g.row_stride, g.out_height)
            row = zeros + position_size + oh % n_slots * row_size
            for dj in range(g.kernel_width if oh >= 0 else 0):
                ow = _source(j, dj * g.column_step, g.column_stride, g.out_width)
                if ow >= 0:
                    starts[di * g.kernel_width + dj, r] = row + ow * position_size


@inline
def _slots(sixes, g):
    """Rows of outputs that a ring must hold: those that six positions read, and that later ones have asked for."""
    last, span = 0, 0
    for s in range(sixes.shape[0]):
        last = max(last, sixes[s].max() // g.width)
        for r in range(ROWS):
            if sixes[s, r] >= 0:
                span = max(span, last - sixes[s, r] // g.width)
    return min(g.out_height, (span + g.row_step * (g.kernel_height - 1)) // g.row_stride + 2)


@leaf
def _live_taps(starts, zeros, live):
    """How many taps read anything at any of six positions, and which: live[:number]."""
    n_live = 0
    for tap in range(starts.shape[0]):
        reads = False
        for r in range(ROWS):
            reads |= starts[tap, r] != zeros
        if reads:
            live[n_live] = tap
            n_live += 1
    return n_live


@leaf
def _sum_segments(tables, starts, live, n_live, n_chunks, n_items, panel, p_off, here, tile, partial):
    """tile (6, 64) int64 = sums over all taps and chunks, widened before an int32 can wrap; True if it was not needed.

    starts (T, 6) of each tap's first chunk, of which `live` read anything: where a stride leaves few of them, the
    others are passed over. `partial` (6, 64) int32 has the sums where widening was not needed, `here` (6,) is room. Of
    float32 the same in float64 and float32.
    """
    if starts.shape[0] * n_items <= MAX_ITEMS and n_chunks == 1:
        if 4 * n_live > 3 * starts.shape[0]:
            lookup_tile(tables, starts, starts.shape[0], n_items, panel, p_off, partial, 0, False)
            return True
        if n_live == 0:
            partial[:] = 0
        for which in range(n_live):
            tap = live[which]
            lookup_tile(tables, starts[tap:tap + 1], 1, n_items, panel,
                        p_off + tap * panel.shape[2] * entry_size(panel), partial, 0, which > 0)
        return True
    tile[:] = 0
    for tap in range(starts.shape[0]):
        for chunk in range(n_chunks):
            for r in range(ROWS):
                here[r] = starts[tap, r] + table_size(n_items, tables) * chunk
            at = p_off + (tap * n_chunks + chunk) * panel.shape[2] * entry_size(panel)
            lookup_tile(tables, here, 1, n_items, panel, at, partial, 0, False)
            add_tile(partial, tile)
    return False


@leaf
def _store_position(tile, wide, exact, scale, r, w, out, position):
    """Row r of the tile's sums -> out (H * W, C) float32 [position, 64 w..]."""
    n_columns = min(COLS, out.shape[1] - COLS * w)
    if exact and n_columns == COLS:
        scale_row(tile, COLS * r, scale, out, position * out.shape[1] + COLS * w)
    else:
        for c in range(n_columns):
            out[position, COLS * w + c] = np.float32((tile[r, c] if exact else wide[r, c]) * scale)


@kernel
def conv_dx(dout, winner, size, panel, n_chunks, n_items, g, sixes, kinds, out, start, stop):
    """dH, panel (Cw, T * n_chunks, E, .) of weights (T, K, C) -> out (N, H * W, C) float32.

    The K channels stand in n_chunks of n_items; kinds as in `dense.lookup_dense`; sixes (., 6) are the input positions
    taken together, row after row, -1 behind the last. Tables of as many rows of outputs as six inputs may read stay in
    a ring; each is built once an image.
    """
    n_units, n_taps = dout.shape[3], g.kernel_height * g.kernel_width
    fixed = np.zeros((1, n_items * n_chunks), kinds.gradient.dtype)
    entries = np.empty((1, *dout.shape[1:]) if size > 1 else (1, 0, 0, 0), kinds.gradient.dtype)
    position_size = table_size(n_items, kinds.table) * n_chunks
    row_size = position_size * g.out_width
    n_slots = _slots(sixes, g)
    tables, zeros = new_tables((n_slots * g.out_width + 1) * position_size, kinds.table)
    tables[zeros:zeros + position_size] = 0
    starts, live = np.empty((len(sixes), n_taps, ROWS), np.int64), np.empty((len(sixes), n_taps), np.int64)
    n_live, needed, places = np.empty(len(sixes), np.int64), np.empty(len(sixes), np.int64), window_places(size, g)
    for s in range(sixes.shape[0]):                             # once for all images
        needed[s] = min(g.out_height, (sixes[s].max() // g.width + g.top) // g.row_stride + 1)
        _read_by(sixes[s], g, n_slots, row_size, position_size, zeros, starts[s])
        n_live[s] = _live_taps(starts[s], zeros, live[s])
    tile, wide = np.empty((ROWS, COLS), kinds.sum.dtype), np.empty((ROWS, COLS), kinds.total.dtype)
    here = np.empty(ROWS, np.int64)
    for n in range(start, stop):
        scale, built = unit_of(dout[n].reshape(-1), fixed), 0
        inverse, won = 1.0 / scale, winner[n:n + 1]
        if size > 1:
            fix_row(dout, n * entries.size, entries.size, inverse, entries, 0)
        for s in range(sixes.shape[0]):
            for oh in range(built, needed[s]):
                for ow in range(g.out_width):
                    if size == 1:
                        at = ((n * g.out_height + oh) * g.out_width + ow) * n_units
                        fix_row(dout, at, n_units, inverse, fixed, 0)
                    else:
                        gradient_row(entries, won, size, 0, places, oh * g.out_width + ow, fixed, 0)
                    at = zeros + position_size + oh % n_slots * row_size + ow * position_size
                    for chunk in range(n_chunks):
                        build_tables(fixed, n_items * chunk, n_items, tables,
                                     at + table_size(n_items, tables) * chunk)
            built = max(built, needed[s])
            for w in range(panel.shape[0]):
                exact = _sum_segments(tables, starts[s], live[s], n_live[s], n_chunks, n_items, panel,
                                      w * panel.shape[1] * panel.shape[2] * entry_size(panel), here, wide, tile)
                for r in range(ROWS):
                    if sixes[s, r] >= 0:
                        _store_position(tile, wide, exact, scale, r, w, out[n], sixes[s, r])


# ---------------------------------------------------------------- dW

@leaf
def _chunk_runs(first, n_rows, g, runs):
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
def _fix_chunk(dout, winner, size, first, n_rows, inverse, ones, places, rows, fixed, n_wide):
    """dH of output positions first.., n_rows of them -> fixed (6 M, CHUNK) int16, transposed; 0 up to n_wide.

    What stands behind a max-pool is fixed a window at a time, into the last of `rows` (17, K), and spread as int16.
    """
    n_positions, n_units, last = places.shape[1], dout.shape[3], -1
    for row in range(0, n_wide, SIDE):
        if size == 1:
            for column in range(0, n_units, SIDE):
                fix_turned(dout.reshape(-1, n_units), first + row, column, inverse, fixed, row)
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
def _pad(fill, start, stop, tap, gathered, padded):
    """Positions start..stop of the chunk are padding to `tap`: the padded bits (Pw, CHUNK) say so."""
    for q in range(start, stop):
        for w in range(gathered.shape[0]):
            gathered[w, q] = fill[w]
        if padded.shape[0]:
            padded[tap >> 6, q] |= np.uint64(1) << np.uint64(tap & 63)


@leaf
def _gather_tap(x, runs, n_runs, tap, fill, g, gathered, padded):
    """What `tap` reads at each position of the chunk -> gathered (Cw, CHUNK)."""
    di, dj = tap // g.kernel_width, tap % g.kernel_width
    inside = columns_inside(g, dj)
    for run in range(n_runs):
        q, n, i, ow, length = runs[0, run], runs[1, run], runs[2, run] + di * g.row_step, runs[3, run], runs[4, run]
        low = min(max(inside[0] - ow, 0), length)
        high = max(min(inside[1] - ow, length), low)
        if not 0 <= i < g.height:
            low = high = length
        _pad(fill, q, q + low, tap, gathered, padded)
        for w in range(x.shape[3]):
            for at in range(low, high):
                gathered[w, q + at] = x[n, i, (ow + at) * g.column_stride + dj * g.column_step - g.left, w]
        _pad(fill, q + high, q + length, tap, gathered, padded)


@leaf
def _turn_chunk(words, n_rows, panel, column):
    """words (., CHUNK) -> panel (., E, .) from `column` on."""
    for w in range(words.shape[0]):
        for i in range((n_rows + entry_rows(panel) - 1) // entry_rows(panel)):
            turn_words(words, w * CHUNK + i * entry_rows(panel), 1, panel,
                       ((column + w) * panel.shape[1] + i) * panel.shape[2])


@kernel
def conv_dweight(dout, winner, size, inverse, x, fill, zero_pad, g, kinds, total, start, stop):
    """dH, its channels' 1 / scale (K,), x words -> total (M, T * Cw + Pw, 6, 64) int64 (or float64) += dW / scales.

    Row m, r is output channel 6 m + r. Zero padding enters as -1; the last Pw = T // 64 + 1 words of columns (without
    it, none) hold what it takes to correct that: column t < T sums dH with +1 where tap t is padded and -1 elsewhere,
    column T sums dH. Runs over chunks of `CHUNK` output positions of all images; slices at once need a `total` each.
    """
    n_all, n_taps = dout.shape[0] * g.out_height * g.out_width, g.kernel_height * g.kernel_width
    n_blocks, n_columns = total.shape[0], total.shape[1]
    rows, ones = np.zeros((SIDE + 1, dout.shape[3]), kinds.gradient.dtype), np.ones(dout.shape[3])
    fixed = np.zeros((ROWS * n_blocks, CHUNK), kinds.gradient.dtype)
    panel = np.empty((n_columns, CHUNK // entry_rows(kinds.panel), entry_size(kinds.panel)), kinds.panel.dtype)
    sums, table_room = np.zeros(total.shape, kinds.sum.dtype), table_size(CHUNK, kinds.table)
    gathered, runs = np.empty((x.shape[3], CHUNK), np.uint64), np.empty((5, CHUNK), np.int64)
    padded = np.empty((n_taps // 64 + 1 if zero_pad else 0, CHUNK), np.uint64)
    tables, at = new_tables(ROWS * table_room, kinds.table)
    most = 1 if kinds.gradient.itemsize == 4 else MAX_ITEMS // CHUNK              # chunks before an int32 wraps
    starts, places = at + table_room * np.arange(ROWS), window_places(size, g)
    for chunk in range(start, stop):
        n_rows = min(CHUNK, n_all - chunk * CHUNK)
        n_wide = whole(n_rows, kinds.table)
        n_runs = _chunk_runs(chunk * CHUNK, n_rows, g, runs)
        _fix_chunk(dout, winner, size, chunk * CHUNK, n_rows, inverse, ones, places, rows, fixed, n_wide)
        padded[:] = np.uint64(0)
        padded[n_taps >> 6:] = np.uint64(1) << np.uint64(n_taps & 63)
        for tap in range(n_taps):
            _gather_tap(x, runs, n_runs, tap, fill, g, gathered, padded)
            _turn_chunk(gathered, n_rows, panel, tap * x.shape[3])
        _turn_chunk(padded, n_rows, panel, n_taps * x.shape[3])
        for m in range(n_blocks):
            for r in range(ROWS):
                build_tables(fixed, (ROWS * m + r) * CHUNK, n_wide, tables, starts[r])
            for column in range(n_columns):
                lookup_tile(tables, starts, 1, n_wide, panel, column * panel.shape[1] * panel.shape[2],
                            sums, (m * n_columns + column) * ROWS * COLS, True)
        if (chunk - start + 1) % most == 0 or chunk + 1 == stop:
            for m in range(n_blocks):
                for column in range(n_columns):
                    add_tile(sums[m, column], total[m, column])
            sums[:] = 0
