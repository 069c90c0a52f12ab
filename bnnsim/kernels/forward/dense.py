"""Forward passes of dense layers, on packed words and on pixels, to output bits or int32 pre-activations.

Pixels are multiplied (`pixel_tile`) or looked up (`pixel_lookup`), to the same sums.

N images, W words of F features, U units in V = ceil(U / 64) words. Panels and `table` are those of the tiles; bits
arrive as zeros, since units come by 16 and a last word may have less. int32 outputs are as wide as the panel,
S = 16 ceil(U / 16).
"""

import numpy as np

from bnnsim.kernels._arrays import aligned, empty, zeros
from bnnsim.kernels._jit import kernel, inline
from bnnsim.kernels.forward.pixel_lookup import (ENTRIES, GROUP, ROWS, WORD_PIXELS, build_tables, lookup_bits,
                                                 lookup_sums)
from bnnsim.kernels.forward.pixel_tile import pixel_bits, pixel_sums
from bnnsim.kernels.forward.xnor_tile import xnor_bits, xnor_sums

BLOCK_ROWS = 32                     # rows that pass a strip of the panel while both are in L1


@inline
def _dense_rows(first, last, row_length, x_at):
    for r in range(last - first):
        x_at[r] = (first + r) * row_length


@inline
def _invert_row(out, inverted):
    for v in range(out.shape[0]):
        out[v] ^= inverted[v]


@kernel
def xnor_dense(x, panel, table, out, start, stop):
    """x (N, W), panel (ceil(U / 16), W, 16), table (1, S) -> pre-activations out (N, S) int32."""
    x_at, table_at = zeros(BLOCK_ROWS, np.int64), zeros(BLOCK_ROWS, np.int64)
    for first in range(start, stop, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, stop)
        _dense_rows(first, last, x.shape[1], x_at)
        xnor_sums(x, x_at, last - first, 0, 1, panel, table, table_at, out, first * out.shape[1], out.shape[1])


@kernel
def xnor_dense_bits(x, panel, table, inverted, out, start, stop):
    """The same to bits: out (N, V), zeroed, = (ones <= table) xor inverted (V,)."""
    x_at, table_at = zeros(BLOCK_ROWS, np.int64), zeros(BLOCK_ROWS, np.int64)
    n_slots = 4 * out.shape[1]
    for first in range(start, stop, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, stop)
        _dense_rows(first, last, x.shape[1], x_at)
        xnor_bits(x, x_at, last - first, 0, 1, panel, table, table_at, out, first * n_slots, n_slots)
        for n in range(first, last):
            _invert_row(out[n], inverted)


@inline
def _flatten_images(images, first, last, rows):
    """Images first..last -> rows (., >= F) uint8 in H, W, C order."""
    channels, height, width = images.shape[1:]
    for n in range(first, last):
        for c in range(channels):
            for i in range(height):
                for j in range(width):
                    rows[n - first, (i * width + j) * channels + c] = images[n, c, i, j]


@kernel
def pixels_dense(images, panel, table, out, start, stop):
    """images (N, C, H, W) uint8, panel (ceil(U / 16), ceil(F / 4), 16), table (1, S) -> out (N, S) int32."""
    rows = zeros((BLOCK_ROWS, 4 * panel.shape[1]), np.uint8)
    x_at, table_at = zeros(BLOCK_ROWS, np.int64), zeros(BLOCK_ROWS, np.int64)
    _dense_rows(0, BLOCK_ROWS, rows.shape[1], x_at)
    for first in range(start, stop, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, stop)
        _flatten_images(images, first, last, rows)
        pixel_sums(rows, x_at, last - first, 0, 1, panel, table, table_at, out, first * out.shape[1], out.shape[1])


@kernel
def pixels_dense_bits(images, panel, table, inverted, out, start, stop):
    """The same to bits: out (N, V), zeroed, = (sum >= table) xor inverted (V,)."""
    rows = zeros((BLOCK_ROWS, 4 * panel.shape[1]), np.uint8)
    x_at, table_at = zeros(BLOCK_ROWS, np.int64), zeros(BLOCK_ROWS, np.int64)
    _dense_rows(0, BLOCK_ROWS, rows.shape[1], x_at)
    n_slots = 4 * out.shape[1]
    for first in range(start, stop, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, stop)
        _flatten_images(images, first, last, rows)
        pixel_bits(rows, x_at, last - first, 0, 1, panel, table, table_at, out, first * n_slots, n_slots)
        for n in range(first, last):
            _invert_row(out[n], inverted)


@inline
def _room_for_tables(n_groups, starts):
    """Tables of six images, on cache lines; where each image's start."""
    size = n_groups * ENTRIES
    tables = empty(ROWS * size + 32, np.int16)
    for r in range(ROWS):
        starts[r] = aligned(tables) + r * size
    return tables


@inline
def _look_up(images, first, last, n_groups, rows, tables, starts):
    """Tables of images first..last."""
    _flatten_images(images, first, last, rows)
    for r in range(last - first):
        build_tables(rows, r * rows.shape[1], n_groups, tables, starts[r])


@kernel
def pixels_looked_up(images, panel, table, out, start, stop):
    """`pixels_dense` by lookup: panel (U / 32, ceil(F / 12), 16) of `pixel_lookup`."""
    n_groups = (images[0].size + GROUP - 1) // GROUP
    rows, table_at = zeros((ROWS, WORD_PIXELS * panel.shape[1]), np.uint8), zeros(ROWS, np.int64)
    starts = empty(ROWS, np.int64)
    tables = _room_for_tables(n_groups, starts)
    for at in range(start, stop, ROWS):
        last = min(at + ROWS, stop)
        first = max(start, last - ROWS)                         # the last rows overlap those before
        _look_up(images, first, last, n_groups, rows, tables, starts)
        lookup_sums(tables, starts, last - first, n_groups, panel, table, table_at, out, first * out.shape[1],
                    out.shape[1])


@kernel
def pixels_looked_up_bits(images, panel, table, inverted, out, start, stop):
    """`pixels_dense_bits` by lookup."""
    n_groups, n_slots = (images[0].size + GROUP - 1) // GROUP, 4 * out.shape[1]
    rows, table_at = zeros((ROWS, WORD_PIXELS * panel.shape[1]), np.uint8), zeros(ROWS, np.int64)
    starts = empty(ROWS, np.int64)
    tables = _room_for_tables(n_groups, starts)
    for at in range(start, stop, ROWS):
        last = min(at + ROWS, stop)
        first = max(start, last - ROWS)
        _look_up(images, first, last, n_groups, rows, tables, starts)
        lookup_bits(tables, starts, last - first, n_groups, panel, table, table_at, out, first * n_slots, n_slots)
        for n in range(first, last):
            _invert_row(out[n], inverted)
