"""Gradients of a convolution behind a max-pool, without the zeros that no window's winner wrote: see `chosen_lookup`.

Three quarters of dH are zeros behind windows of 2 x 2, and they are in places of their own in each channel. dW sums,
for each output channel, over windows, each with the signs of what its winner read; dX sums, for each output position,
over those channels whose winner it is. The same integers as `conv` and `conv_dx` give, so the same bytes.

dout (N, OH // size, OW // size, K) float32 and winner, as in `conv`; x (N, H, W, Cw), C input channels in Cw words.
"""

from typing import NamedTuple

import numpy as np

from bnnsim.kernels._arrays import aligned, empty, flattened, in_rows, zeros
from bnnsim.kernels._jit import both, inline, kernel, leaf
from bnnsim.kernels.gradients.chosen_lookup import (COLUMNS, LISTED, MOST_QUADS, build_quads, chosen_tile, list_quad,
                                                    spread_half)
from bnnsim.kernels.gradients.conv import widen_sums, words_of_runs
from bnnsim.kernels.gradients.conv_dx import find_units
from bnnsim.kernels.gradients.fixed_point import SIDE, fix_row, fix_turned
from bnnsim.kernels.gradients.four_lookup import QUAD, QUAD_SIZE
from bnnsim.kernels.gradients.lookup_tile import COLS, MAX_ITEMS, ROWS, new_tables, scale_row

LINE = 64                           # bytes
TOGETHER = 24                       # input positions of dX that use the same signs
IN_L1 = 768                         # units times taps of dX, whose signs of 32 columns stay in L1: 24 KB
POSITIONS = 512                     # of a chunk of dW, about: 16 KB of signs


def fits(n_high: int, n_across: int, n_units: int, size: int, n_taps: int) -> bool:
    """Whether n_high rows of n_across windows, and so many units and taps, are few enough.

    For sums of digits in 16 bits, a row of windows or a unit's tap at least at once and a quad to fill up; for sums in
    int32; and for places of tables in int32, should an image's stand together.
    """
    table_bytes = n_high * n_across * (n_units + QUAD * size * size) * QUAD_SIZE // QUAD
    return max(n_across, n_units) <= QUAD * (MOST_QUADS - 1) and n_units * n_taps <= MAX_ITEMS and table_bytes < 2**31


@both
def rows_together(n_across: int, size: int) -> int:
    """Rows of n_across windows in a chunk of dW."""
    return max(1, POSITIONS // (n_across * size * size))


@inline
def _quads(n_items):
    return (n_items + QUAD - 1) // QUAD


# ---------------------------------------------------------------- dW

@leaf
def _row_runs(first, n_rows, n_windows_high, n_columns, size, g, runs):
    """Rows of windows first.. as runs, see `conv.chunk_runs`, of n_columns outputs each: their number."""
    for row in range(n_rows):
        n, i = (first + row) // n_windows_high, (first + row) % n_windows_high
        for part in range(size):
            run = row * size + part
            runs[0, run], runs[1, run] = run * n_columns, n
            runs[2, run] = (i * size + part) * g.row_stride - g.top
            runs[3, run], runs[4, run] = 0, n_columns
    return n_rows * size


@leaf
def _list_winners(winner, first, n_windows, n_across, size, nothing, entries, lists):
    """Where each window's signs begin, for each channel: lists (K, .), of windows first.., filled up to quads.

    entries (size ** 2,) int32 : where an entry's begin, counted from its window's first.
    """
    winners = in_rows(winner, winner.shape[3])
    for w in range(n_windows):
        corner = np.int32(COLUMNS * size * (w // n_across * size * n_across + w % n_across))
        at = w // 4 * LISTED + 1 + w % 4
        for k in range(winners.shape[1]):
            lists[k, at] = corner + entries[winners[first + w, k]]
    for w in range(n_windows, QUAD * _quads(n_windows)):
        for k in range(winners.shape[1]):
            lists[k, w // 4 * LISTED + 1 + w % 4] = COLUMNS * nothing


@leaf
def _build_windows(dout, first, n_windows, inverse, fixed, tables, at, room, sizes):
    """The tables of windows first.., for each channel `room` bytes from `at` on; sizes (K,) : see `build_quads`."""
    values = in_rows(dout, dout.shape[3])
    for row in range(0, n_windows, SIDE):
        for column in range(0, values.shape[1], SIDE):
            fix_turned(values, first + row, column, inverse, fixed, row)
    for k in range(values.shape[1]):
        for w in range(n_windows, QUAD * _quads(n_windows)):
            fixed[k, w] = 0
        sizes[k] = build_quads(fixed, k * fixed.shape[1], QUAD * _quads(n_windows), tables, at + k * room)


@leaf
def _spread_column(words, column, half, n_rows, n_across, size, signs):
    """Half a column's bits at all positions of a chunk -> signs, placed by window: see `chosen_lookup`."""
    at, q = aligned(signs), column * words.shape[1]
    for row in range(n_rows):
        for _ in range(size):
            for window in range(row * n_across, (row + 1) * n_across):
                bit = np.uint8(1 << (window & 3))
                for _ in range(size):
                    spread_half(words, q, half, bit, signs, at)
                    at, q = at + COLUMNS, q + 1


@kernel
def pooled_dweight(dout, winner, size, inverse, x, n_channels, fill, zero_pad, g, kinds, total, start, stop):
    """`conv.conv_dweight` of a gradient behind a max-pool; runs over chunks of `rows_together` rows of windows."""
    n_high, n_across, n_units = dout.shape[1:]
    n_rows, n_columns = rows_together(n_across, size), total.shape[1]
    n_places, n_quads = n_rows * n_across * size * size, _quads(n_rows * n_across)
    fixed, room = zeros((n_units, QUAD * n_quads), kinds.gradient.dtype), QUAD_SIZE * n_quads
    lists, sizes = zeros((n_units, 4 * n_quads * LISTED), np.int32), empty(n_units, np.int32)
    words, runs = empty((n_columns + 1, n_places), np.uint64), empty((5, n_rows * size), np.int64)
    signs, sums = zeros((n_places + 1) * COLUMNS + LINE, kinds.table.dtype), zeros(total.shape, kinds.sum.dtype)
    tables, at = new_tables(n_units * room, kinds.table)
    for k in range(n_units):
        for group in range(4 * n_quads):
            lists[k, LISTED * group] = group // 4 * QUAD_SIZE + group % 4 * 16
    own, most = aligned(signs), MAX_ITEMS // (n_rows * n_across)                    # chunks before an int32 wraps
    entries = empty(size * size, np.int32)
    for entry in range(len(entries)):
        entries[entry] = COLUMNS * (entry // size * n_across * size + entry % size)
    for chunk in range(start, stop):
        first, n_here = chunk * n_rows, min(n_rows, len(dout) * n_high - chunk * n_rows)
        n_windows = n_here * n_across
        n_runs = _row_runs(first, n_here, n_high, n_across * size, size, g, runs)
        words_of_runs(x, n_channels, runs, n_runs, fill, zero_pad, g, words)
        _list_winners(winner, first * n_across, n_windows, n_across, size, n_places, entries, lists)
        _build_windows(dout, first * n_across, n_windows, inverse, fixed, tables, at, room, sizes)
        for half in range(2 * n_columns):
            _spread_column(words, half // 2, half % 2, n_here, n_across, size, signs)
            for k in range(n_units):
                place = ((k // ROWS * n_columns + half // 2) * ROWS + k % ROWS) * COLS + half % 2 * COLUMNS
                chosen_tile(tables, at + k * room, lists, k * lists.shape[1], signs, own, True, _quads(n_windows),
                            sizes[k], sums, place, True)
        if (chunk - start + 1) % most == 0 or chunk + 1 == stop:
            widen_sums(sums, total)


# ---------------------------------------------------------------- dX

class Reached(NamedTuple):
    """What each input position reached, `TOGETHER` of them at a time: static, of all images.

    positions (I,), -1 is none; places (I, T) : see `Ring`, -1 where a tap reached none
    needed : so many rows of windows were reached by each `TOGETHER` positions or some before
    n_ring, n_together : rows of windows that a ring must hold, and taps whose signs stay in L1
    """

    positions: np.ndarray
    places: np.ndarray
    needed: np.ndarray
    n_ring: int
    n_together: int


class Ring(NamedTuple):
    """Gradients of a few rows of windows, by their winners. A place is an output position of these rows.

    largest, scale, inverse (1,) : see `conv_dx.find_units`
    fixed (1, K), values, units (size ** 2, .), counts : a window's gradient, its parts by winner, and whose they are
    tables, at, units_of, capacity : of windows, from `at` on: room for so many quads each; what stands last are zeros
    first, n_groups, sizes (P,) : of places: the first quad, the number of groups, and the sum of all |gradient|
    """

    largest: np.ndarray
    scale: np.ndarray
    inverse: np.ndarray
    fixed: np.ndarray
    values: np.ndarray
    units: np.ndarray
    counts: np.ndarray
    tables: np.ndarray
    at: int
    units_of: np.ndarray
    capacity: int
    first: np.ndarray
    n_groups: np.ndarray
    sizes: np.ndarray


class Lists(NamedTuple):
    """What `TOGETHER` input positions R reached in an image, in parts S of a few taps.

    items (R, .) : see `chosen_lookup`; first, n_quads, sizes (R, S) : of parts: where it begins, how many quads it
        has, and the sum of all |gradient|
    sums (R * 32,) int32
    """

    items: np.ndarray
    first: np.ndarray
    n_quads: np.ndarray
    sizes: np.ndarray
    sums: np.ndarray


@leaf
def _find_places(reads, size, n_high, n_across, g, positions, places, needed):
    """`places` and `needed` of a `Reached`; returns the rows of its ring."""
    n_ring, lowest, n_columns = 1, n_high, n_across * size
    for batch in range(len(needed) - 1, -1, -1):
        needed[batch] = 0
        for p in range(batch * TOGETHER, min((batch + 1) * TOGETHER, len(places))):
            i, j = positions[p] // g.width, positions[p] % g.width
            for tap in range(places.shape[1]):
                places[p, tap] = -1
                if positions[p] >= 0:
                    oh, ow = reads.rows[i, reads.taps[tap, 0]], reads.columns[j, reads.taps[tap, 1]]
                    if 0 <= oh < n_high * size and 0 <= ow < n_columns:
                        places[p, tap] = oh * n_columns + ow
                        needed[batch], lowest = max(needed[batch], oh // size + 1), min(lowest, oh // size)
        n_ring = max(n_ring, needed[batch] - lowest)
    for batch in range(1, len(needed)):
        needed[batch] = max(needed[batch], needed[batch - 1])
    for p in range(len(places)):
        for tap in range(places.shape[1]):
            if places[p, tap] >= 0:
                oh, ow = places[p, tap] // n_columns, places[p, tap] % n_columns
                window = oh // size % n_ring * n_across + ow // size
                places[p, tap] = (window * size + oh % size) * size + ow % size
    return n_ring


@leaf
def _list_window(winner, at, ring, window):
    """The gradients of a window, `ring.fixed`, by their winners -> the places of `window`: tables and lists."""
    values, units, counts, quad = ring.values, ring.units, ring.counts, window * ring.capacity
    winners, n_units = flattened(winner), ring.fixed.shape[1]
    counts[:] = 0
    for k in range(n_units):
        won = np.int64(winners[at + k])
        count = counts[won]
        values[won, count], units[won, count] = ring.fixed[0, k], COLUMNS * k
        counts[won] = count + 1
    for entry in range(len(counts)):
        place, n_quads = window * len(counts) + entry, _quads(counts[entry])
        for k in range(counts[entry], n_quads * QUAD):
            values[entry, k], units[entry, k] = 0, 0
        for k in range(n_quads * QUAD):
            ring.units_of[quad * QUAD + k] = units[entry, k]
        ring.sizes[place] = build_quads(values, entry * values.shape[1], n_quads * QUAD, ring.tables,
                                        ring.at + quad * QUAD_SIZE)
        ring.first[place], ring.n_groups[place] = quad, (counts[entry] + 3) // 4
        quad += n_quads


@leaf
def _list_position(places, n_together, nothing, ring, lists, r):
    """What a position reached by its taps, n_together in a part -> list r, each part filled up to quads."""
    first, part, total, tap_size = r * lists.items.shape[1], 0, np.int32(0), ring.fixed.shape[1] * COLUMNS
    at = first
    for tap in range(len(places)):
        place = places[tap]
        if place >= 0:
            n_groups, own = ring.n_groups[place], np.int32(tap * tap_size)
            for i in range((n_groups + 3) // 4):                                # the next overwrites what is too much
                quad = ring.first[place] + i
                list_quad(np.int32(quad * QUAD_SIZE), ring.units_of, quad * QUAD, own, lists.items, at + 4 * LISTED * i)
            at += LISTED * n_groups
            total += ring.sizes[place]
        if tap + 1 == len(places) or (tap + 1) % n_together == 0:
            list_quad(np.int32(nothing * QUAD_SIZE), ring.units_of, nothing * QUAD, np.int32(0), lists.items, at)
            n_quads = (at - first + 4 * LISTED - 1) // (4 * LISTED)
            lists.first[r, part], lists.n_quads[r, part], lists.sizes[r, part] = first, n_quads, total
            first += n_quads * 4 * LISTED
            at, part, total = first, part + 1, np.int32(0)


@leaf
def _sum_half(half, batch, reached, ring, lists, signs, n, out):
    """out of `TOGETHER` positions of image n, and 32 columns."""
    n_taps, n_units, first = reached.places.shape[1], ring.fixed.shape[1], batch * TOGETHER
    own, n_columns = aligned(signs) + half * n_taps * n_units * COLUMNS, min(COLUMNS, out.shape[2] - COLUMNS * half)
    n_here = min(TOGETHER, len(reached.positions) - first)
    for part in range(lists.sizes.shape[1]):
        for r in range(n_here):
            chosen_tile(ring.tables, ring.at, lists.items, lists.first[r, part], signs, own, False,
                        lists.n_quads[r, part], lists.sizes[r, part], lists.sums, COLUMNS * r, part > 0)
    for r in range(n_here):
        position = reached.positions[first + r]
        if position >= 0:
            at = (n * out.shape[1] + position) * out.shape[2] + COLUMNS * half
            scale_row(lists.sums, COLUMNS * r, ring.scale[0], out, at, n_columns)
            for c in range(n_columns // 16 * 16, n_columns):
                out[n, position, COLUMNS * half + c] = np.float32(lists.sums[COLUMNS * r + c] * ring.scale[0])


@leaf
def _image_dx(dout, winner, n, signs, reached, ring, lists, out):
    """`pooled_dx` of image n."""
    n_high, n_across, n_units, built = dout.shape[1], dout.shape[2], dout.shape[3], 0
    find_units(dout[n], ring.fixed, ring.largest, ring.scale, ring.inverse)
    for batch in range(len(reached.needed)):
        for i in range(built, reached.needed[batch]):
            for j in range(n_across):
                at = ((n * n_high + i) * n_across + j) * n_units
                fix_row(dout, at, n_units, ring.inverse[0], ring.fixed, 0)
                _list_window(winner, at, ring, i % reached.n_ring * n_across + j)
        built = reached.needed[batch]
        for r in range(min(TOGETHER, len(reached.positions) - batch * TOGETHER)):
            _list_position(reached.places[batch * TOGETHER + r], reached.n_together,
                           reached.n_ring * n_across * ring.capacity, ring, lists, r)
        for half in range((out.shape[2] + COLUMNS - 1) // COLUMNS):
            _sum_half(half, batch, reached, ring, lists, signs, n, out)


@kernel
def spread_weights(words, reads, signs, start, stop):
    """words (K, kh, kw, Cw) -> signs, from a cache line on (2 Cw, T, K, 32) uint8, 1 where a weight is +1.

    Taps in the order of `reads`. Runs over the first axis.
    """
    n_units, _, n_across, n_words = words.shape
    first = aligned(signs)
    for half in range(start, stop):
        for tap in range(len(reads.taps)):
            own = reads.taps[tap, 0] * n_across + reads.taps[tap, 1]
            for k in range(n_units):
                spread_half(words, (k * len(reads.taps) + own) * n_words + half // 2, half % 2, np.uint8(1), signs,
                            first + ((half * len(reads.taps) + tap) * n_units + k) * COLUMNS)


@kernel
def pooled_dx(dout, winner, size, signs, g, reads, kinds, out, start, stop):
    """`conv_dx.conv_dx` of a gradient behind a max-pool, and of one group; signs as `spread_weights` makes them."""
    n_high, n_across, n_units = dout.shape[1:]
    n_taps, n_positions, n_items = len(reads.taps), reads.sixes.size, QUAD * _quads(n_units)
    places, needed = empty((n_positions, n_taps), np.int64), empty((n_positions + TOGETHER - 1) // TOGETHER, np.int64)
    positions = flattened(reads.sixes)
    n_ring = _find_places(reads, size, n_high, n_across, g, positions, places, needed)
    n_parts = (n_taps * n_units + IN_L1 - 1) // IN_L1
    n_together = min((n_taps + n_parts - 1) // n_parts, MOST_QUADS)             # each may begin a group of its own
    n_parts = (n_taps + n_together - 1) // n_together
    reached = Reached(positions, places, needed, n_ring, n_together)
    capacity = n_units // QUAD + size * size                    # quads of a window, each part of which is filled up
    n_quads, n_places = n_ring * n_across * capacity, n_ring * n_across * size * size
    tables, at = new_tables((n_quads + 1) * QUAD_SIZE, kinds.table)
    tables[at + n_quads * QUAD_SIZE:] = 0
    ring = Ring(empty(1, np.int32), empty(1, np.float64), empty(1, np.float64),
                zeros((1, n_units), kinds.gradient.dtype), zeros((size * size, n_items), kinds.gradient.dtype),
                zeros((size * size, n_items), np.int32), zeros(size * size, np.int64), tables, at,
                zeros((n_quads + 1) * QUAD, np.int32), capacity, zeros(n_places, np.int64), zeros(n_places, np.int64),
                zeros(n_places, np.int32))
    lists = Lists(zeros((TOGETHER, n_taps * (n_items // QUAD + 2) * 4 * LISTED), np.int32),
                  zeros((TOGETHER, n_parts), np.int64), zeros((TOGETHER, n_parts), np.int64),
                  zeros((TOGETHER, n_parts), np.int32), zeros(TOGETHER * COLUMNS, kinds.sum.dtype))
    for n in range(start, stop):
        _image_dx(dout, winner, n, signs, reached, ring, lists, out)
