"""Forward passes of dense and conv layers, on packed words and on pixels, to output bits or int32 pre-activations.

N images, W words of F features, U units in V = ceil(U / 64) words; conv: x (N, H, W, Cw), K = U channels out,
P = OH * OW output positions. Panels, `table`, `x_at` and `table_at` are those of `forward_tiles`; bits arrive as zeros,
since units come by 16 and a last word may have less. int32 outputs are as wide as the panel, S = 16 ceil(U / 16).
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.forward.tiles import (pixel_bits_1x1, pixel_bits_6x1, pixel_bits_6x4, pixel_sums_1x1,
                                          pixel_sums_6x1, pixel_sums_6x4, xnor_bits_1, xnor_bits_8, xnor_sums_1,
                                          xnor_sums_8)

BLOCK_ROWS = 32                     # rows that pass a strip of the panel while both are in L1


# ---------------------------------------------------------------- rows against a panel: the last tile overlaps

@inline
def _xnor_bits(x, x_at, n_rows, run_stride, n_runs, panel, table, table_at, out, o_off, o_stride):
    n_words = panel.shape[1]
    for p in range(panel.shape[0]):
        if n_rows >= 8:
            for r in range(0, n_rows, 8):
                at = min(r, n_rows - 8)
                xnor_bits_8(x, x_at, at, run_stride, n_runs, n_words // n_runs, panel, p * n_words * 16, table,
                            table_at, 16 * p, out, o_off + p + at * o_stride, o_stride)
        else:
            for r in range(n_rows):
                xnor_bits_1(x, x_at, r, run_stride, n_runs, n_words // n_runs, panel, p * n_words * 16, table,
                            table_at, 16 * p, out, o_off + p + r * o_stride, o_stride)


@inline
def _xnor_sums(x, x_at, n_rows, run_stride, n_runs, panel, table, table_at, out, o_off, o_stride):
    n_words = panel.shape[1]
    for p in range(panel.shape[0]):
        if n_rows >= 8:
            for r in range(0, n_rows, 8):
                at = min(r, n_rows - 8)
                xnor_sums_8(x, x_at, at, run_stride, n_runs, n_words // n_runs, panel, p * n_words * 16, table,
                            table_at, 16 * p, out, o_off + 16 * p + at * o_stride, o_stride)
        else:
            for r in range(n_rows):
                xnor_sums_1(x, x_at, r, run_stride, n_runs, n_words // n_runs, panel, p * n_words * 16, table,
                            table_at, 16 * p, out, o_off + 16 * p + r * o_stride, o_stride)


@inline
def _pixel_bits(x, x_at, n_rows, run_stride, n_runs, panel, table, table_at, out, o_off, o_stride):
    n_steps, size = panel.shape[1] // n_runs, panel.shape[1] * 16
    p = 0
    while p < panel.shape[0]:
        if n_rows < 6:
            for r in range(n_rows):
                pixel_bits_1x1(x, x_at, r, run_stride, n_runs, n_steps, panel, p * size, table, table_at, 16 * p, out,
                               o_off + p + r * o_stride, o_stride)
            p += 1
        elif p + 4 <= panel.shape[0]:
            for r in range(0, n_rows, 6):
                at = min(r, n_rows - 6)
                pixel_bits_6x4(x, x_at, at, run_stride, n_runs, n_steps, panel, p * size, table, table_at, 16 * p, out,
                               o_off + p + at * o_stride, o_stride)
            p += 4
        else:
            for r in range(0, n_rows, 6):
                at = min(r, n_rows - 6)
                pixel_bits_6x1(x, x_at, at, run_stride, n_runs, n_steps, panel, p * size, table, table_at, 16 * p, out,
                               o_off + p + at * o_stride, o_stride)
            p += 1


@inline
def _pixel_sums(x, x_at, n_rows, run_stride, n_runs, panel, table, table_at, out, o_off, o_stride):
    n_steps, size = panel.shape[1] // n_runs, panel.shape[1] * 16
    p = 0
    while p < panel.shape[0]:
        if n_rows < 6:
            for r in range(n_rows):
                pixel_sums_1x1(x, x_at, r, run_stride, n_runs, n_steps, panel, p * size, table, table_at, 16 * p, out,
                               o_off + 16 * p + r * o_stride, o_stride)
            p += 1
        elif p + 4 <= panel.shape[0]:
            for r in range(0, n_rows, 6):
                at = min(r, n_rows - 6)
                pixel_sums_6x4(x, x_at, at, run_stride, n_runs, n_steps, panel, p * size, table, table_at, 16 * p, out,
                               o_off + 16 * p + at * o_stride, o_stride)
            p += 4
        else:
            for r in range(0, n_rows, 6):
                at = min(r, n_rows - 6)
                pixel_sums_6x1(x, x_at, at, run_stride, n_runs, n_steps, panel, p * size, table, table_at, 16 * p, out,
                               o_off + 16 * p + at * o_stride, o_stride)
            p += 1


# ---------------------------------------------------------------- dense

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
    x_at, table_at = np.zeros(BLOCK_ROWS, np.int64), np.zeros(BLOCK_ROWS, np.int64)
    for first in range(start, stop, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, stop)
        _dense_rows(first, last, x.shape[1], x_at)
        _xnor_sums(x, x_at, last - first, 0, 1, panel, table, table_at, out, first * out.shape[1], out.shape[1])


@kernel
def xnor_dense_bits(x, panel, table, inverted, out, start, stop):
    """The same to bits: out (N, V), zeroed, = (ones <= table) xor inverted (V,)."""
    x_at, table_at = np.zeros(BLOCK_ROWS, np.int64), np.zeros(BLOCK_ROWS, np.int64)
    n_slots = 4 * out.shape[1]
    for first in range(start, stop, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, stop)
        _dense_rows(first, last, x.shape[1], x_at)
        _xnor_bits(x, x_at, last - first, 0, 1, panel, table, table_at, out, first * n_slots, n_slots)
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
    rows = np.zeros((BLOCK_ROWS, 4 * panel.shape[1]), np.uint8)
    x_at, table_at = np.arange(BLOCK_ROWS) * rows.shape[1], np.zeros(BLOCK_ROWS, np.int64)
    for first in range(start, stop, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, stop)
        _flatten_images(images, first, last, rows)
        _pixel_sums(rows, x_at, last - first, 0, 1, panel, table, table_at, out, first * out.shape[1], out.shape[1])


@kernel
def pixels_dense_bits(images, panel, table, inverted, out, start, stop):
    """The same to bits: out (N, V), zeroed, = (sum >= table) xor inverted (V,)."""
    rows = np.zeros((BLOCK_ROWS, 4 * panel.shape[1]), np.uint8)
    x_at, table_at = np.arange(BLOCK_ROWS) * rows.shape[1], np.zeros(BLOCK_ROWS, np.int64)
    n_slots = 4 * out.shape[1]
    for first in range(start, stop, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, stop)
        _flatten_images(images, first, last, rows)
        _pixel_bits(rows, x_at, last - first, 0, 1, panel, table, table_at, out, first * n_slots, n_slots)
        for n in range(first, last):
            _invert_row(out[n], inverted)


# ---------------------------------------------------------------- conv, on an image with its padding around it

@inline
def _padded_words(g, fill):
    """A padded image (PH, PW, Cw) of `fill` words."""
    padded = np.empty((g.height + 2 * g.padding, g.width + 2 * g.padding, fill.shape[0]), np.uint64)
    for i in range(padded.shape[0]):                            # by loops: `padded[:, :] = fill` compiles 2.6 seconds
        for j in range(padded.shape[1]):
            for w in range(padded.shape[2]):
                padded[i, j, w] = fill[w]
    return padded


@inline
def _place_words(x, n, g, padded):
    for i in range(g.height):
        for j in range(g.width):
            for w in range(padded.shape[2]):
                padded[i + g.padding, j + g.padding, w] = x[n, i, j, w]


@inline
def _pool_bits(bits, width, pool, inverted, out):
    """bits (H * width, V) of one image -> out (H // pool, width // pool, V): OR of a window, then xor inverted."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for v in range(out.shape[2]):
                word = np.uint64(0)
                for di in range(pool):
                    for dj in range(pool):
                        word |= bits[(i * pool + di) * width + j * pool + dj, v]
                out[i, j, v] = word ^ inverted[v]


@kernel
def xnor_conv(x, panel, fill, g, x_at, table, table_at, out, start, stop):
    """x (N, H, W, Cw), panel (ceil(K / 16), T * Cw, 16), table (., S) -> pre-activations out (N, P, S) int32."""
    padded = _padded_words(g, fill)
    run_stride = padded.shape[1] * padded.shape[2]
    for n in range(start, stop):
        _place_words(x, n, g, padded)
        _xnor_sums(padded, x_at, out.shape[1], run_stride, g.kernel_height, panel, table, table_at, out,
                   n * out.shape[1] * out.shape[2], out.shape[2])


@kernel
def xnor_conv_bits(x, panel, fill, g, x_at, table, table_at, inverted, pool, out, start, stop):
    """The same to bits, pooled: out (N, OH // pool, OW // pool, V)."""
    padded = _padded_words(g, fill)
    run_stride = padded.shape[1] * padded.shape[2]
    bits = np.zeros((x_at.shape[0], out.shape[3]), np.uint64)
    for n in range(start, stop):
        _place_words(x, n, g, padded)
        _xnor_bits(padded, x_at, x_at.shape[0], run_stride, g.kernel_height, panel, table, table_at, bits, 0,
                   4 * bits.shape[1])
        _pool_bits(bits, g.out_width, pool, inverted, out[n])


@inline
def _place_pixels(images, n, g, padded):
    """Image n into the middle of padded (PH, PW, C), flat."""
    channels, width = images.shape[1], g.width + 2 * g.padding
    for c in range(channels):
        for i in range(g.height):
            row = (i + g.padding) * width + g.padding
            for j in range(g.width):
                padded[(row + j) * channels + c] = images[n, c, i, j]


@inline
def _padded_pixels(images, g, offset):
    """A padded image of pixels that count 0, flat, with room for the last step of four."""
    size = (g.height + 2 * g.padding) * (g.width + 2 * g.padding) * images.shape[1]
    return np.full(size + 4, offset, np.uint8)


@kernel
def pixels_conv(images, offset, panel, g, x_at, table, table_at, out, start, stop):
    """images (N, C, H, W) uint8, panel (ceil(K / 16), kh * ceil(kw * C / 4), 16) -> out (N, P, S) int32."""
    padded = _padded_pixels(images, g, offset)
    run_stride = (g.width + 2 * g.padding) * images.shape[1]
    for n in range(start, stop):
        _place_pixels(images, n, g, padded)
        _pixel_sums(padded, x_at, out.shape[1], run_stride, g.kernel_height, panel, table, table_at, out,
                    n * out.shape[1] * out.shape[2], out.shape[2])


@kernel
def pixels_conv_bits(images, offset, panel, g, x_at, table, table_at, inverted, pool, out, start, stop):
    """The same to bits, pooled: out (N, OH // pool, OW // pool, V)."""
    padded = _padded_pixels(images, g, offset)
    run_stride = (g.width + 2 * g.padding) * images.shape[1]
    bits = np.zeros((x_at.shape[0], out.shape[3]), np.uint64)
    for n in range(start, stop):
        _place_pixels(images, n, g, padded)
        _pixel_bits(padded, x_at, x_at.shape[0], run_stride, g.kernel_height, panel, table, table_at, bits, 0,
                    4 * bits.shape[1])
        _pool_bits(bits, g.out_width, pool, inverted, out[n])
