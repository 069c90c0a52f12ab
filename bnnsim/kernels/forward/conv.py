"""Forward passes of convolutions, on packed words and on pixels, to pooled output bits or int32 pre-activations.

N images x (N, H, W, Cw), K channels out in V = ceil(K / 64) words, P = OH * OW output positions. A pass walks over each
image with its padding around it. Panels, `table`, `x_at` and `table_at` are those of the tiles; bits arrive as zeros,
since channels come by 16 and a last word may have less. int32 outputs are as wide as the panel, S = 16 ceil(K / 16).
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.forward.pixel_tile import pixel_bits, pixel_sums
from bnnsim.kernels.forward.xnor_tile import xnor_bits, xnor_sums


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
        xnor_sums(padded, x_at, out.shape[1], run_stride, g.kernel_height, panel, table, table_at, out,
                  n * out.shape[1] * out.shape[2], out.shape[2])


@kernel
def xnor_conv_bits(x, panel, fill, g, x_at, table, table_at, inverted, pool, out, start, stop):
    """The same to bits, pooled: out (N, OH // pool, OW // pool, V)."""
    padded = _padded_words(g, fill)
    run_stride = padded.shape[1] * padded.shape[2]
    bits = np.zeros((x_at.shape[0], out.shape[3]), np.uint64)
    for n in range(start, stop):
        _place_words(x, n, g, padded)
        xnor_bits(padded, x_at, x_at.shape[0], run_stride, g.kernel_height, panel, table, table_at, bits, 0,
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
        pixel_sums(padded, x_at, out.shape[1], run_stride, g.kernel_height, panel, table, table_at, out,
                   n * out.shape[1] * out.shape[2], out.shape[2])


@kernel
def pixels_conv_bits(images, offset, panel, g, x_at, table, table_at, inverted, pool, out, start, stop):
    """The same to bits, pooled: out (N, OH // pool, OW // pool, V)."""
    padded = _padded_pixels(images, g, offset)
    run_stride = (g.width + 2 * g.padding) * images.shape[1]
    bits = np.zeros((x_at.shape[0], out.shape[3]), np.uint64)
    for n in range(start, stop):
        _place_pixels(images, n, g, padded)
        pixel_bits(padded, x_at, x_at.shape[0], run_stride, g.kernel_height, panel, table, table_at, bits, 0,
                   4 * bits.shape[1])
        _pool_bits(bits, g.out_width, pool, inverted, out[n])
