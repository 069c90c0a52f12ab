"""Gradients of a convolution by products of byte matrices, see `byte_tile`: dW of any, dX of those that `fits_dx`.

dH (N, OH, OW, K) float32, possibly behind a max-pool, as in `conv`; x (N, H, W, Cw), C input channels in Cw words, K
output channels, T = kh * kw taps, g a `geometry.Geometry`. Sums are those of `conv` and `conv_dx`, exactly.

For dX an image's gradients stand with zeros around them, so many that whatever a tap of any position reached is there:
16 neighbouring positions then read 16 neighbouring rows, at a distance that the tap alone decides. Positions at a
row's end that the input has not are computed and dropped.
"""

import numpy as np

from bnnsim.kernels._arrays import aligned, empty, flattened, zeros
from bnnsim.kernels._jit import both, inline, kernel, leaf
from bnnsim.kernels.gradients.byte_tile import (BLOCK, MAX_ITEMS, SIDE, STEP, SUMS, byte_products, fix_bytes,
                                                keep_bytes, scale_sums, split_bytes, spread_four)
from bnnsim.kernels.gradients.conv import chunk_runs, fix_chunk, window_places, words_of_runs
from bnnsim.kernels.gradients.conv_dx import find_units
from bnnsim.kernels.gradients.lookup_tile import MAX_ITEMS as MOST_TERMS

CHUNK, WORDS = 1920, 4              # of dW: positions whose sums stay in registers, whole steps; columns' words a time
MOST_PLACES = 4                     # of dX: with its zeros, an image's gradient is at most so many times as large


def fits_dx(g, n_units):
    """Whether `conv_dx` takes a convolution: of stride 1, padded by less than a kernel's size, of few enough terms.

    And of not too many zeros: where the kernel is as large as the map, lookups pass over most of its taps.
    """
    rows, columns = (g.kernel_height - 1) * g.row_step, (g.kernel_width - 1) * g.column_step
    return g.row_stride == g.column_stride == 1 and max(g.top, g.bottom) <= rows and max(g.left, g.right) <= columns \
        and (g.height + rows) * (g.width + columns) <= MOST_PLACES * g.out_height * g.out_width \
        and n_units * g.kernel_height * g.kernel_width <= MOST_TERMS


@both
def steps_of(n_terms):
    """Steps of 64 that sum so many."""
    return (n_terms + STEP - 1) // STEP


@inline
def room_for(size, kind):
    """Zeros, `size` of them from where the array is `aligned`: rows across cache lines load slowly."""
    return zeros(size + 64, kind)


# ---------------------------------------------------------------- dX

@kernel
def spread_weights(words, signs, start, stop):
    """Weights (T, K up to whole steps, Cw) -> (4 Cw, T * steps, 1024) int8, `aligned` in signs. Runs over Cw."""
    n_rows, n_words, at = words.shape[0] * words.shape[1], words.shape[2], aligned(signs)
    for w in range(start, stop):
        for row in range(0, n_rows, 4):
            spread_four(words, row * n_words + w, n_words, signs, at + (4 * w * n_rows + row) * SIDE, n_rows * SIDE)


@leaf
def _fix_to_bytes(values, v_off, n_values, inverse, high, low, h_off, l_off):
    """n_values of values[v_off..] float32 * inverse, rounded -> high[h_off..] int8, low[l_off..] uint8."""
    whole, flat = n_values // SIDE * SIDE, flattened(values)
    for k in range(0, whole, SIDE):
        fix_bytes(values, v_off + k, inverse, high, low, h_off + k, l_off + k)
    for k in range(whole, n_values):
        fixed = np.int16(np.rint(np.float64(flat[v_off + k]) * inverse))
        high[h_off + k], low[l_off + k] = np.int8(fixed >> 8), np.uint8(fixed & 255)


@leaf
def _spread_window(winner, at, n_units, size, high, low, h_off, l_off, n_bytes, n_across):
    """The first n_units bytes of high and low -> the places of a window, each where it won; zeros elsewhere."""
    whole = n_units // SIDE * SIDE
    for entry in range(size * size):
        step = (entry // size * n_across + entry % size) * n_bytes
        for k in range(0, whole, SIDE):
            keep_bytes(winner, at + k, np.uint8(entry), high, low, k, h_off + step + k, l_off + step + k)
        for k in range(whole, n_units):
            high[h_off + step + k] = high[k] if winner[at + k] == entry else np.int8(0)
            low[l_off + step + k] = low[k] if winner[at + k] == entry else np.uint8(0)


@leaf
def _lay_out(dout, winner, size, n, inverse, g, n_bytes, high, low, h_off, l_off):
    """dH of image n in bytes, at its places among the zeros."""
    n_windows, n_across, n_units = dout.shape[1], g.width + (g.kernel_width - 1) * g.column_step, dout.shape[3]
    flat = flattened(winner)
    for i in range(n_windows):
        for j in range(dout.shape[2]):
            row = size * i + (g.kernel_height - 1) * g.row_step - g.top
            place = (row * n_across + size * j + (g.kernel_width - 1) * g.column_step - g.left) * n_bytes
            at = ((n * n_windows + i) * dout.shape[2] + j) * n_units
            if size == 1:
                _fix_to_bytes(dout, at, n_units, inverse, high, low, h_off + place, l_off + place)
            else:
                _fix_to_bytes(dout, at, n_units, inverse, high, low, 0, 0)
                _spread_window(flat, at, n_units, size, high, low, h_off + place, l_off + place, n_bytes, n_across)


@leaf
def _store_some(sums, s_off, scale, places, n_columns, out):
    """`scale_sums` of n_columns < 16."""
    flat = flattened(out)
    for r in range(SIDE):
        for c in range(n_columns if places[r] >= 0 else 0):
            at = s_off + r * SIDE + c
            flat[places[r] + c] = np.float32(np.float64((sums[at] << 8) + sums[at + SIDE * SIDE]) * scale)


@kernel
def conv_dx(dout, winner, size, signs, g, out, start, stop):
    """dH and `spread_weights` -> out (N, H * W, C) float32. Runs over images."""
    n_units, n_channels = dout.shape[3], out.shape[2]
    n_steps, n_taps = steps_of(n_units), g.kernel_height * g.kernel_width
    n_bytes, n_across = n_steps * STEP, g.width + (g.kernel_width - 1) * g.column_step
    n_rows = (g.height + (g.kernel_height - 1) * g.row_step + 1) * n_across + SIDE
    high, low = room_for((n_rows + 1) * n_bytes, np.int8), room_for((n_rows + 1) * n_bytes, np.uint8)
    sums = room_for(SUMS, np.int32)
    h_off, l_off, s_off, w_off = aligned(high) + n_bytes, aligned(low) + n_bytes, aligned(sums), aligned(signs)
    largest, scale, inverse = empty(1, np.int32), empty(1, np.float64), empty(1, np.float64)
    places, steps, kind = empty(SIDE, np.int64), empty(n_taps * n_steps, np.int64), empty(1, np.int16)
    for tap in range(n_taps):
        a, b = tap // g.kernel_width, tap % g.kernel_width
        place = (g.kernel_height - 1 - a) * g.row_step * n_across + (g.kernel_width - 1 - b) * g.column_step
        for step in range(n_steps):
            steps[tap * n_steps + step] = place * n_bytes + STEP * step
    n_positions, of_columns = g.height * n_across, len(steps) * BLOCK
    for n in range(start, stop):
        find_units(dout[n], kind, largest, scale, inverse)
        _lay_out(dout, winner, size, n, inverse[0], g, n_bytes, high, low, h_off, l_off)
        for first in range(0, n_positions, SIDE):
            for r in range(SIDE):
                i, j = (first + r) // n_across, (first + r) % n_across
                places[r] = ((n * g.height + i) * g.width + j) * n_channels if i < g.height and j < g.width else -1
            for column in range(0, n_channels, SIDE):
                byte_products(high, low, h_off + first * n_bytes, l_off + first * n_bytes, n_bytes, steps, len(steps),
                              signs, w_off + column // SIDE * of_columns, sums, s_off, False)
                if column + SIDE <= n_channels:
                    scale_sums(sums, s_off, scale[0], out, places)
                else:
                    _store_some(sums, s_off, scale[0], places, n_channels - column, out)
                for r in range(SIDE):
                    places[r] += SIDE if places[r] >= 0 else 0


# ---------------------------------------------------------------- dW

@leaf
def _widen(sums, s_off, total):
    """total (M, B, 4, 16, 16) int64 += sums (M, B, 4, 2, 16, 16) from s_off on, which begin anew."""
    flat, of_byte = flattened(total), SIDE * SIDE
    for tile in range(len(flat) // of_byte):
        at = s_off + SUMS * tile
        for i in range(of_byte):
            flat[of_byte * tile + i] += (np.int64(sums[at + i]) << 8) + sums[at + of_byte + i]
    sums[:] = 0


@kernel
def conv_dweight(dout, winner, size, inverse, x, n_channels, fill, zero_pad, g, total, start, stop):
    """`conv.conv_dweight` -> total (M, B, 4, 16, 16) int64, of 16 output channels and 16 columns a tile."""
    n_all = dout.shape[0] * g.out_height * g.out_width
    n_blocks, n_columns = total.shape[0], total.shape[1]
    rows, ones = zeros((SIDE + 1, dout.shape[3]), np.int16), empty(dout.shape[3], np.float64)
    ones[:] = 1.0
    fixed = zeros((SIDE * n_blocks, CHUNK), np.int16)
    high, low = room_for(fixed.size, np.int8), room_for(fixed.size, np.uint8)
    signs, sums = room_for(WORDS * STEP * CHUNK, np.int8), room_for(4 * SUMS * n_blocks * n_columns, np.int32)
    h_off, l_off, w_off, s_off = aligned(high), aligned(low), aligned(signs), aligned(sums)
    words, runs = empty((n_columns + 1, CHUNK), np.uint64), empty((5, CHUNK), np.int64)
    places, steps = window_places(size, g), empty(CHUNK // STEP, np.int64)
    for s in range(len(steps)):
        steps[s] = STEP * s
    for chunk in range(start, stop):
        n_rows = min(CHUNK, n_all - chunk * CHUNK)
        n_runs = chunk_runs(chunk * CHUNK, n_rows, g, runs)
        n_steps = steps_of(n_rows)
        fix_chunk(dout, winner, size, chunk * CHUNK, n_rows, inverse, ones, places, rows, fixed, n_steps * STEP)
        for k in range(dout.shape[3]):
            split_bytes(fixed[k], n_steps * STEP, high, low, h_off + CHUNK * k, l_off + CHUNK * k)
        words_of_runs(x, n_channels, runs, n_runs, fill, zero_pad, g, words)
        for first in range(0, n_columns, WORDS):
            last = min(first + WORDS, n_columns)
            for column in range(first, last):
                for q in range(0, n_steps * STEP, 4):
                    spread_four(words, column * CHUNK + q, 1, signs,
                                w_off + ((column - first) * 4 * CHUNK + q) * SIDE, CHUNK * SIDE)
            for m in range(n_blocks):
                at = SIDE * m * CHUNK
                for quarter in range(4 * first, 4 * last):
                    byte_products(high, low, h_off + at, l_off + at, CHUNK, steps, n_steps, signs,
                                  w_off + (quarter - 4 * first) * CHUNK * SIDE, sums,
                                  s_off + (4 * m * n_columns + quarter) * SUMS, True)
        if (chunk - start + 1) % (MAX_ITEMS // CHUNK) == 0 or chunk + 1 == stop:
            _widen(sums, s_off, total)
