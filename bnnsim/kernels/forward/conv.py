"""Forward passes of convolutions, on packed words and on pixels, to pooled output bits or int32 pre-activations.

N images x (N, H, W, Cw), K channels out in V = ceil(K / 64) words, P = OH * OW output positions. A pass walks over each
image with its padding around it, PH rows of PW = n_columns; `columns` (left + W,) says where each of its columns stands
in a row: with a dilation, those that a row of taps reads stand side by side. Panels, `table`, `x_at` and `table_at` are
those of the tiles; bits arrive as zeros, since channels come by 16 and a last word may have less. int32 outputs are as
wide as the panel, S = 16 ceil(K / 16); g is a `Geometry`, pool a `Pool`. Packed channels may stand in G groups of whole
words, whose outputs are multiples of 16.
"""

import numpy as np

from bnnsim.kernels._arrays import empty, zeros
from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.forward.geometry import window_bounds
from bnnsim.kernels.forward.pixel_tile import pixel_bits, pixel_sums
from bnnsim.kernels.forward.xnor_tile import xnor_bits, xnor_sums


@inline
def _padded_words(g, n_columns, fill):
    """A padded image (PH, PW, Cw) of `fill` words."""
    padded = empty((g.top + g.height + g.bottom, n_columns, fill.shape[0]), np.uint64)
    for i in range(padded.shape[0]):                            # by loops: `padded[:, :] = fill` compiles 2.6 seconds
        for j in range(padded.shape[1]):
            for w in range(padded.shape[2]):
                padded[i, j, w] = fill[w]
    return padded


@inline
def _place_words(x, n, first, g, columns, padded):
    """Words first.. of each position of image n."""
    for i in range(g.height):
        if g.column_step == 1:                                  # side by side as they are: copied faster
            for j in range(g.width):
                for w in range(padded.shape[2]):
                    padded[g.top + i, g.left + j, w] = x[n, i, j, first + w]
            continue
        for j in range(g.width):
            at = columns[g.left + j]
            for w in range(padded.shape[2]):
                padded[g.top + i, at, w] = x[n, i, j, first + w]


@inline
def _pool_squares(bits, width, size, inverted, out):
    """`pool_bits` of squares side by side, which is all that most networks have."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for v in range(out.shape[2]):
                word = np.uint64(0)
                for di in range(size):
                    for dj in range(size):
                        word |= bits[(i * size + di) * width + j * size + dj, v]
                out[i, j, v] = word ^ inverted[v]


@inline
def pool_bits(bits, g, pool, inverted, out):
    """bits (OH * OW, V) of one image -> out (., ., V): OR of what a window holds of them, then xor inverted."""
    padded = max(pool.top, pool.left, pool.bottom, pool.right) > 0
    if pool.height == pool.width == pool.row_stride == pool.column_stride and not padded:
        _pool_squares(bits, g.out_width, pool.height, inverted, out)
        return
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            top, bottom, left, right = window_bounds(pool, i, j, g.out_height, g.out_width)
            for v in range(out.shape[2]):
                word = np.uint64(0)
                for r in range(top, bottom):
                    for c in range(left, right):
                        word |= bits[r * g.out_width + c, v]
                out[i, j, v] = word ^ inverted[v]


@kernel
def xnor_conv(x, panel, fill, g, n_columns, columns, x_at, table, table_at, out, start, stop):
    """x (N, H, W, G * Cw), panel (G, ceil(K / 16 G), T * Cw, 16), table (., S) -> pre-activations out (N, P, S) int32.

    fill (Cw,); table_at (G, P).
    """
    padded = _padded_words(g, n_columns, fill)
    run_stride = g.row_step * padded.shape[1] * padded.shape[2]
    for n in range(start, stop):
        for group in range(panel.shape[0]):
            _place_words(x, n, group * padded.shape[2], g, columns, padded)
            at = n * out.shape[1] * out.shape[2] + 16 * group * panel.shape[1]
            xnor_sums(padded, x_at, out.shape[1], run_stride, g.kernel_height, panel[group], table, table_at[group],
                      out, at, out.shape[2])


@kernel
def xnor_conv_bits(x, panel, fill, g, n_columns, columns, x_at, table, table_at, inverted, pool, out, start, stop):
    """The same to bits, pooled: out (N, rows, columns of windows, V)."""
    padded = _padded_words(g, n_columns, fill)
    run_stride = g.row_step * padded.shape[1] * padded.shape[2]
    bits = zeros((x_at.shape[0], out.shape[3]), np.uint64)
    for n in range(start, stop):
        for group in range(panel.shape[0]):
            _place_words(x, n, group * padded.shape[2], g, columns, padded)
            xnor_bits(padded, x_at, x_at.shape[0], run_stride, g.kernel_height, panel[group], table, table_at[group],
                      bits, group * panel.shape[1], 4 * bits.shape[1])
        pool_bits(bits, g, pool, inverted, out[n])


@inline
def _place_pixels(images, n, g, n_columns, columns, padded):
    """Image n into the middle of padded (PH, PW, C), flat."""
    channels = images.shape[1]
    for c in range(channels):
        for i in range(g.height):
            row = (g.top + i) * n_columns
            if g.column_step == 1:                              # side by side as they are: copied faster
                for j in range(g.width):
                    padded[(row + g.left + j) * channels + c] = images[n, c, i, j]
                continue
            for j in range(g.width):
                padded[(row + columns[g.left + j]) * channels + c] = images[n, c, i, j]


@inline
def _padded_pixels(images, g, n_columns, offset):
    """A padded image of pixels that count 0, flat, with room for the last step of four."""
    padded = empty((g.top + g.height + g.bottom) * n_columns * images.shape[1] + 4, np.uint8)
    for i in range(len(padded)):
        padded[i] = offset
    return padded


@kernel
def pixels_conv(images, offset, panel, g, n_columns, columns, x_at, table, table_at, out, start, stop):
    """images (N, C, H, W) uint8, panel (ceil(K / 16), kh * ceil(kw * C / 4), 16) -> out (N, P, S) int32."""
    padded = _padded_pixels(images, g, n_columns, offset)
    run_stride = g.row_step * n_columns * images.shape[1]
    for n in range(start, stop):
        _place_pixels(images, n, g, n_columns, columns, padded)
        pixel_sums(padded, x_at, out.shape[1], run_stride, g.kernel_height, panel, table, table_at, out,
                   n * out.shape[1] * out.shape[2], out.shape[2])


@kernel
def pixels_conv_bits(images, offset, panel, g, n_columns, columns, x_at, table, table_at, inverted, pool, out, start,
                     stop):
    """The same to bits, pooled: out (N, rows, columns of windows, V)."""
    padded = _padded_pixels(images, g, n_columns, offset)
    run_stride = g.row_step * n_columns * images.shape[1]
    bits = zeros((x_at.shape[0], out.shape[3]), np.uint64)
    for n in range(start, stop):
        _place_pixels(images, n, g, n_columns, columns, padded)
        pixel_bits(padded, x_at, x_at.shape[0], run_stride, g.kernel_height, panel, table, table_at, bits, 0,
                   4 * bits.shape[1])
        pool_bits(bits, g, pool, inverted, out[n])
