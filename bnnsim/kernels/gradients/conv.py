"""Gradients of a binarized convolution by table lookup, of 16-bit fixed point or float32: see `lookup_tile`.

dH (N, OH, OW, K) float32, possibly behind a max-pool: then its entries stand as dout (N, OH // size, OW // size, K) and
`winner`, the entry of its window that each belongs to, and are spread out a row at a time; three quarters of the
scattered array would be zeros. size = 1 is no pooling, dout is dH and winner is not read.

x (N, H, W, Cw), C input channels in Cw words, K output channels, T = kh * kw taps, g a `geometry.Geometry`.
"""

from typing import NamedTuple

import numpy as np

from bnnsim.kernels._arrays import empty, zeros
from bnnsim.kernels._jit import inline, kernel, leaf
from bnnsim.kernels.forward.geometry import columns_inside
from bnnsim.kernels.gradients.fixed_point import SIDE, fix_by_column, fix_row, fix_turned, scale_of
from bnnsim.kernels.gradients.lookup_tile import (COLS, MAX_ITEMS, ROWS, add_tile, build_tables, entry_rows, entry_size,
                                                  lookup_tile, new_tables, scale_row, table_size, turn_words, whole)
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


# ---------------------------------------------------------------- dX

class Reads(NamedTuple):
    """Which outputs each input position reached, by which taps: `training.reads`.

    With a stride, taps and input positions are of several kinds: what one kind of positions reached, it did by one
    kind of taps. Positions of one kind are taken together, six at a time, and taps are sorted by their kinds.

    sixes (S, 6) : input positions taken together, -1 is none
    spans (S, 2) : the taps of their kind, first and last + 1
    taps (T, 2) : row and column of each tap
    rows (H, kh), columns (W, kw) : the output row that an input row reached by a row of taps, or -1; columns alike
    needed (S,) : so many rows of outputs reached these positions or some before
    n_slots : rows of outputs that a ring of them must hold
    """

    sixes: np.ndarray
    spans: np.ndarray
    taps: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    needed: np.ndarray
    n_slots: int


class Cuts(NamedTuple):
    """How the K output channels stand: n_groups groups, each in n_chunks of n_items."""

    n_groups: int
    n_chunks: int
    n_items: int


@leaf
def _read_by(reads, cuts, g, cut_size, nothing, starts, live):
    """Where the tables stand of what reached each six: starts (S, G, T, n_chunks, 6), `nothing` where nothing did.

    live (S, T) uint8 : 1 where anything did, by that tap.
    """
    sixes, spans, taps, rows, columns, _, n_slots = reads
    for s in range(starts.shape[0]):
        for tap in range(spans[s, 0], spans[s, 1]):
            live[s, tap] = 0
            for r in range(ROWS):
                start, step, position = nothing, 0, sixes[s, r]
                if position >= 0:
                    oh = rows[position // g.width, taps[tap, 0]]
                    ow = columns[position % g.width, taps[tap, 1]]
                    if oh >= 0 and ow >= 0:
                        slot = oh % n_slots * g.out_width + ow
                        start += cut_size * (1 + cuts.n_groups * cuts.n_chunks * slot)
                        step, live[s, tap] = cut_size, 1
                for group in range(cuts.n_groups):
                    for chunk in range(cuts.n_chunks):
                        starts[s, group, tap, chunk, r] = start + step * (group * cuts.n_chunks + chunk)


@inline
def _find_units(values, fixed, scale):
    """The unit in which each group of an image (OH, OW, K) fills the type of `fixed`: scale (G,)."""
    n_groups = len(scale)
    bits = values.view(np.int32).reshape(-1, values.size if n_groups == 1 else values.shape[2] // n_groups)
    largest = zeros(n_groups, np.int32)                         # by their bits, as `fixed_point.largest_size` says
    for row in range(len(bits) if fixed.itemsize == 2 else 0):
        found = np.int32(0)
        for u in range(bits.shape[1]):
            size = np.int32(bits[row, u] & np.int32(0x7FFFFFFF))
            found = size if size > found else found
        largest[row % n_groups] = max(found, largest[row % n_groups])
    sizes = largest.view(np.float32)
    for group in range(n_groups):
        scale[group] = scale_of(np.float64(sizes[group])) if fixed.itemsize == 2 else 1.0


@leaf
def _fix_groups(values, v_off, n_units, inverse, fixed, f_off, room):
    """values[v_off..] -> fixed int16 [f_off..], n_units in `room` places for each group's `inverse`."""
    for group in range(len(inverse)):
        fix_row(values, v_off + n_units * group, n_units, inverse[group], fixed, f_off + room * group)


@leaf
def _sum_taps(tables, starts, live, s, group, spans, cuts, panel, p_off, tile, partial):
    """partial (6, 64) int32 = sums over taps and chunks of six s, True; or tile int64, False, if they might wrap.

    Taps that reached nothing are passed over. Of float32 the same in float64 and float32.
    """
    n_taps, size = live.shape[1], panel.shape[2] * entry_size(panel)
    exact = n_taps * cuts.n_items <= MAX_ITEMS and cuts.n_chunks == 1
    first, end, found = spans[s, 0], spans[s, 1], False
    if not exact:
        tile[:] = 0
    while first < end:
        last = first + 1
        while exact and last < end and live[s, last] and live[s, first]:
            last += 1
        for chunk in range(cuts.n_chunks if live[s, first] else 0):
            segment = first * cuts.n_chunks + chunk
            at = ROWS * ((s * cuts.n_groups + group) * n_taps * cuts.n_chunks + segment)
            lookup_tile(tables, starts, at, last - first, cuts.n_items, panel, p_off + size * segment, partial, 0,
                        found)
            found = exact
            if not exact:
                add_tile(partial, tile)
        first = last
    if exact and not found:
        partial[:] = 0
    return exact


@leaf
def _store_position(tile, wide, exact, scale, r, w, out, n, position):
    """Row r of the tile's sums -> out (N, H * W, C) float32 [n, position, 64 w..]."""
    n_columns = min(COLS, out.shape[2] - COLS * w)
    if exact and n_columns == COLS:
        scale_row(tile, COLS * r, scale, out, (n * out.shape[1] + position) * out.shape[2] + COLS * w)
    else:
        for c in range(n_columns):
            out[n, position, COLS * w + c] = np.float32((tile[r, c] if exact else wide[r, c]) * scale)


@kernel
def conv_dx(dout, winner, size, panel, cuts, g, reads, kinds, out, start, stop):
    """dH, panel (G * Cw, T * n_chunks, E, .) of weights (T, K / G, G * C) -> out (N, H * W, G * C) float32.

    kinds as in `dense.lookup_dense`. Groups are of whole words where there are several. Tables of as many rows of
    outputs as positions may read stay in a ring; each is built once an image.
    """
    n_units, n_words = dout.shape[3] // cuts.n_groups, panel.shape[0] // cuts.n_groups
    n_cuts, group_items = cuts.n_groups * cuts.n_chunks, cuts.n_items * cuts.n_chunks
    fixed = zeros((1, cuts.n_items * n_cuts), kinds.gradient.dtype)
    values = zeros((1, dout.shape[3]), kinds.gradient.dtype)
    entries = empty((1, *dout.shape[1:]) if size > 1 else (1, 0, 0, 0), kinds.gradient.dtype)
    step = max(entries.size, 1) if cuts.n_groups == 1 else dout.shape[3]
    cut_size, places = table_size(cuts.n_items, kinds.table), window_places(size, g)
    tables, nothing = new_tables((reads.n_slots * g.out_width * n_cuts + 1) * cut_size, kinds.table)
    tables[nothing:nothing + cut_size] = 0
    starts = empty((len(reads.sixes), cuts.n_groups, len(reads.taps), cuts.n_chunks, ROWS), np.int64)
    live = empty((len(reads.sixes), len(reads.taps)), np.uint8)
    _read_by(reads, cuts, g, cut_size, nothing, starts, live)
    sixes, spans, needed = reads.sixes, reads.spans, reads.needed           # once: each look counts a reference
    scale, inverse = empty(cuts.n_groups, np.float64), empty(cuts.n_groups, np.float64)
    tile, wide = empty((ROWS, COLS), kinds.sum.dtype), empty((ROWS, COLS), kinds.total.dtype)
    for n in range(start, stop):
        _find_units(dout[n], fixed, scale)
        for group in range(cuts.n_groups):
            inverse[group] = 1.0 / scale[group]
        won, built = winner[n:n + 1], 0
        for entry in range(0, entries.size, step):              # each is fixed once, whatever the window's size
            _fix_groups(dout, n * entries.size + entry, step // cuts.n_groups, inverse, entries, entry,
                        step // cuts.n_groups)
        for s in range(len(sixes)):
            for oh in range(built, needed[s]):
                for ow in range(g.out_width):
                    if size == 1:
                        at = ((n * g.out_height + oh) * g.out_width + ow) * dout.shape[3]
                        _fix_groups(dout, at, n_units, inverse, fixed, 0, group_items)
                    else:
                        gradient_row(entries, won, size, 0, places, oh * g.out_width + ow, values, 0)
                        for k in range(dout.shape[3]):
                            fixed[0, group_items * (k // n_units) + k % n_units] = values[0, k]
                    at = nothing + cut_size * (1 + n_cuts * (oh % reads.n_slots * g.out_width + ow))
                    for cut in range(n_cuts):
                        build_tables(fixed, cuts.n_items * cut, cuts.n_items, tables, at + cut_size * cut)
            built = needed[s]
            for w in range(panel.shape[0]):
                group = w // n_words
                exact = _sum_taps(tables, starts, live, s, group, spans, cuts, panel,
                                  w * panel.shape[1] * panel.shape[2] * entry_size(panel), wide, tile)
                for r in range(ROWS):
                    if sixes[s, r] >= 0:
                        _store_position(tile, wide, exact, scale[group], r, w, out, n, sixes[s, r])


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
    rows, ones = zeros((SIDE + 1, dout.shape[3]), kinds.gradient.dtype), empty(dout.shape[3], np.float64)
    ones[:] = 1.0
    fixed = zeros((ROWS * n_blocks, CHUNK), kinds.gradient.dtype)
    panel = empty((n_columns, CHUNK // entry_rows(kinds.panel), entry_size(kinds.panel)), kinds.panel.dtype)
    sums, table_room = zeros(total.shape, kinds.sum.dtype), table_size(CHUNK, kinds.table)
    gathered, runs = empty((x.shape[3], CHUNK), np.uint64), empty((5, CHUNK), np.int64)
    padded = empty((n_taps // 64 + 1 if zero_pad else 0, CHUNK), np.uint64)
    tables, at = new_tables(ROWS * table_room, kinds.table)
    most = 1 if kinds.gradient.itemsize == 4 else MAX_ITEMS // CHUNK              # chunks before an int32 wraps
    starts, places = empty(ROWS, np.int64), window_places(size, g)
    for r in range(ROWS):
        starts[r] = at + table_room * r
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
                lookup_tile(tables, starts, 0, 1, n_wide, panel, column * panel.shape[1] * panel.shape[2],
                            sums, (m * n_columns + column) * ROWS * COLS, True)
        if (chunk - start + 1) % most == 0 or chunk + 1 == stop:
            for m in range(n_blocks):
                for column in range(n_columns):
                    add_tile(sums[m, column], total[m, column])
            sums[:] = 0
