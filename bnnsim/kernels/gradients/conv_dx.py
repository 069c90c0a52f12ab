"""Gradients of a convolution's input by table lookup, of 16-bit fixed point or float32: see `lookup_tile`.

dH (N, OH, OW, K) float32, possibly behind a max-pool, as in `conv`; C input channels in Cw words, K output channels,
T = kh * kw taps, g a `geometry.Geometry`.
"""

from typing import NamedTuple

import numpy as np

from bnnsim.kernels._arrays import as_type, empty, in_rows, zeros
from bnnsim.kernels._jit import inner, kernel, leaf
from bnnsim.kernels.gradients.conv import gradient_row, window_places
from bnnsim.kernels.gradients.fixed_point import fix_row, scale_of
from bnnsim.kernels.gradients.lookup_tile import (COLS, MAX_ITEMS, ROWS, add_tile, build_tables, entry_size,
                                                  lookup_tile, new_tables, scale_row, table_size)


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
            for r in range(sixes.shape[1]):
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


@leaf
def find_units(values, fixed, largest, scale, inverse):
    """The unit in which each group of an image (OH, OW, K) fills the type of `fixed`: scale (G,), 1 / scale."""
    n_groups = len(scale)
    bits = in_rows(as_type(values, np.int32), values.size if n_groups == 1 else values.shape[2] // n_groups)
    largest[:] = 0                                              # by their bits, as `fixed_point.largest_size` says
    for row in range(len(bits) if fixed.itemsize == 2 else 0):
        found = np.int32(0)
        for u in range(bits.shape[1]):
            size = np.int32(bits[row, u] & np.int32(0x7FFFFFFF))
            found = size if size > found else found
        largest[row % n_groups] = max(found, largest[row % n_groups])
    sizes = as_type(largest, np.float32)
    for group in range(n_groups):
        scale[group] = scale_of(np.float64(sizes[group])) if fixed.itemsize == 2 else 1.0
        inverse[group] = 1.0 / scale[group]


@inner
def _fix_groups(values, v_off, n_units, inverse, fixed, f_off, room):
    """values[v_off..] -> fixed int16 [f_off..], n_units in `room` places for each group's `inverse`."""
    for group in range(len(inverse)):
        fix_row(values, v_off + n_units * group, n_units, inverse[group], fixed, f_off + room * group)


@inner
def _sum_taps(tables, starts, live, s, group, spans, cuts, panel, p_off, n_columns, tile, partial):
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
            lookup_tile(tables, starts, at, last - first, cuts.n_items, panel, p_off + size * segment, n_columns,
                        partial, 0, found)
            found = exact
            if not exact:
                add_tile(partial, tile)
        first = last
    if exact and not found:
        partial[:] = 0
    return exact


@inner
def _store_position(tile, wide, exact, scale, r, w, out, n, position):
    """Row r of the tile's sums -> out (N, H * W, C) float32 [n, position, 64 w..]."""
    n_columns, first = min(COLS, out.shape[2] - COLS * w), 0
    if exact:
        scale_row(tile, COLS * r, scale, out, (n * out.shape[1] + position) * out.shape[2] + COLS * w, n_columns)
        first = n_columns // 16 * 16
    for c in range(first, n_columns):
        out[n, position, COLS * w + c] = np.float32((tile[r, c] if exact else wide[r, c]) * scale)


class Room(NamedTuple):
    """What an image's gradients are worked out in: see `conv_dx`."""

    fixed: np.ndarray
    values: np.ndarray
    entries: np.ndarray
    places: np.ndarray
    tables: np.ndarray
    starts: np.ndarray
    live: np.ndarray
    largest: np.ndarray
    scale: np.ndarray
    inverse: np.ndarray
    tile: np.ndarray
    wide: np.ndarray


@leaf
def _build_row(dout, winner, size, n, oh, cuts, g, reads, cut_size, nothing, room):
    """The tables of a row of outputs of image n."""
    n_units, n_cuts = dout.shape[3] // cuts.n_groups, cuts.n_groups * cuts.n_chunks
    group_items, fixed = cuts.n_items * cuts.n_chunks, room.fixed
    for ow in range(g.out_width):
        if size == 1:
            at = ((n * g.out_height + oh) * g.out_width + ow) * dout.shape[3]
            _fix_groups(dout, at, n_units, room.inverse, fixed, 0, group_items)
        else:
            gradient_row(room.entries, winner, size, 0, room.places, oh * g.out_width + ow, room.values, 0)
            for k in range(dout.shape[3]):
                fixed[0, group_items * (k // n_units) + k % n_units] = room.values[0, k]
        at = nothing + cut_size * (1 + n_cuts * (oh % reads.n_slots * g.out_width + ow))
        for cut in range(n_cuts):
            build_tables(fixed, cuts.n_items * cut, cuts.n_items, room.tables, at + cut_size * cut)


@leaf
def _image_dx(dout, winner, size, n, panel, cuts, g, reads, cut_size, nothing, room, out):
    """`conv_dx` of image n, whose winners are `winner`."""
    n_words, sixes = panel.shape[0] // cuts.n_groups, reads.sixes
    find_units(dout[n], room.fixed, room.largest, room.scale, room.inverse)
    step, built = max(room.entries.size, 1) if cuts.n_groups == 1 else dout.shape[3], 0
    for entry in range(0, room.entries.size, step):             # each is fixed once, whatever the window's size
        _fix_groups(dout, n * room.entries.size + entry, step // cuts.n_groups, room.inverse, room.entries, entry,
                    step // cuts.n_groups)
    for s in range(len(sixes)):
        for oh in range(built, reads.needed[s]):
            _build_row(dout, winner, size, n, oh, cuts, g, reads, cut_size, nothing, room)
        built = reads.needed[s]
        for w in range(panel.shape[0]):
            group = w // n_words
            exact = _sum_taps(room.tables, room.starts, room.live, s, group, reads.spans, cuts, panel,
                              w * panel.shape[1] * panel.shape[2] * entry_size(panel),
                              COLS if out.shape[2] - COLS * w > COLS // 2 else COLS // 2, room.wide, room.tile)
            for r in range(sixes.shape[1]):                     # ROWS, but six copies of the code compile longer
                if sixes[s, r] >= 0:
                    _store_position(room.tile, room.wide, exact, room.scale[group], r, w, out, n, sixes[s, r])


@kernel
def conv_dx(dout, winner, size, panel, cuts, g, reads, kinds, out, start, stop):
    """dH, panel (G * Cw, T * n_chunks, E, .) of weights (T, K / G, G * C) -> out (N, H * W, G * C) float32.

    kinds as in `dense.lookup_dense`. Groups are of whole words where there are several. Tables of as many rows of
    outputs as positions may read stay in a ring; each is built once an image.
    """
    n_cuts = cuts.n_groups * cuts.n_chunks
    fixed = zeros((1, cuts.n_items * n_cuts), kinds.gradient.dtype)
    values = zeros((1, dout.shape[3]), kinds.gradient.dtype)
    entries = empty((1, *dout.shape[1:]) if size > 1 else (1, 0, 0, 0), kinds.gradient.dtype)
    cut_size, places = table_size(cuts.n_items, kinds.table), window_places(size, g)
    tables, nothing = new_tables((reads.n_slots * g.out_width * n_cuts + 1) * cut_size, kinds.table)
    tables[nothing:nothing + cut_size] = 0
    starts = empty((len(reads.sixes), cuts.n_groups, len(reads.taps), cuts.n_chunks, ROWS), np.int64)
    live = empty((len(reads.sixes), len(reads.taps)), np.uint8)
    _read_by(reads, cuts, g, cut_size, nothing, starts, live)
    room = Room(fixed, values, entries, places, tables, starts, live, empty(cuts.n_groups, np.int32),
                empty(cuts.n_groups, np.float64), empty(cuts.n_groups, np.float64),
                zeros((ROWS, COLS), kinds.sum.dtype), zeros((ROWS, COLS), kinds.total.dtype))
    for n in range(start, stop):
        _image_dx(dout, winner[n:n + 1], size, n, panel, cuts, g, reads, cut_size, nothing, room, out)
