"""The integer first layer: uint8 pixels minus an offset, against +-1 weights, exact in int32; and its weight gradient.

Images u (N, C, H, W) uint8; features in H, W, C order, F = H * W * C. The panel of a forward pass is made of transposed
weights (`packing.transpose_bits`, then `packing.madd_panel`), so that its columns are output units.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.dense import MAX_PAIRS_PIXELS
from bnnsim.kernels.simd import madd16_tile, madd_tile
from bnnsim.kernels.threshold import threshold_image, threshold_row


@inline
def _flatten_pixels(images, n, offset, row):
    """Image n -> row (>= F,) int16 in H, W, C order."""
    channels, height, width = images.shape[1:]
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                row[(i * width + j) * channels + c] = np.int16(np.int16(images[n, c, i, j]) - offset)


@inline
def _pixels_block(images, first, last, offset, panel, a, tile, h):
    """Images first..last (6 at most) -> rows 0.. of h (6, S)."""
    for n in range(first, last):
        _flatten_pixels(images, n, offset, a[n - first])
    _madd_strip(a, panel, tile, h, 0)


@inline
def _madd_strip(a, panel, tile, h, row):
    """a (6, 2 P) int16 times the whole panel (V, P, 4) -> rows row..row + 5 of h (., 64 V)."""
    for v in range(panel.shape[0]):
        tile[:] = 0
        madd_tile(a, 0, a.shape[1], panel, 4 * v * panel.shape[1], panel.shape[1], tile, 0)
        for r in range(6):
            for c in range(64):
                h[row + r, 64 * v + c] = tile[r, c]


@kernel
def pixels_dense(images, offset, panel, out, start, stop):
    """images (N, C, H, W) uint8, panel (V, P, 4) -> pre-activations out (N, U) int32."""
    a, tile = np.zeros((6, 2 * panel.shape[1]), np.int16), np.empty((6, 64), np.int32)
    h = np.empty((6, 64 * panel.shape[0]), np.int32)
    for first in range(start, stop, 6):
        last = min(first + 6, stop)
        _pixels_block(images, first, last, offset, panel, a, tile, h)
        for n in range(first, last):
            for u in range(out.shape[1]):
                out[n, u] = h[n - first, u]


@kernel
def pixels_dense_threshold(images, offset, panel, theta, inverted, n_units, out, start, stop):
    """The same, straight to output bits out (N, V)."""
    a, tile = np.zeros((6, 2 * panel.shape[1]), np.int16), np.empty((6, 64), np.int32)
    h = np.empty((6, 64 * panel.shape[0]), np.int32)
    for first in range(start, stop, 6):
        last = min(first + 6, stop)
        _pixels_block(images, first, last, offset, panel, a, tile, h)
        for n in range(first, last):
            threshold_row(h, n - first, theta, inverted, n_units, out[n])


@kernel
def pixels_panel(images, offset, panel, start, stop):
    """images (N, C, H, W) uint8 -> panel (ceil(F / 64), ceil(N / 2), 64, 2) int16 for dW. Runs over pairs of images.

    `panel` comes zeroed: columns past F and an odd last image stay 0.
    """
    channels, height, width = images.shape[1:]
    row = np.zeros(64 * panel.shape[0], np.int16)
    for pair in range(start, stop):
        for side in range(min(2, images.shape[0] - 2 * pair)):
            _flatten_pixels(images, 2 * pair + side, offset, row)
            for f in range(channels * height * width):
                panel[f >> 6, pair, f & 63, side] = row[f]


@inline
def pixel_patch(images, n, position, offset, pad_value, g, row):
    """The patch of output position `position` of image n -> row (kh * kw * C,) int16, tap after tap."""
    channels = images.shape[1]
    top = position // g.out_width * g.stride - g.padding
    left = position % g.out_width * g.stride - g.padding
    at = 0
    for i in range(top, top + g.kernel_height):
        for j in range(left, left + g.kernel_width):
            inside = 0 <= i < g.height and 0 <= j < g.width
            for c in range(channels):
                row[at] = np.int16(np.int16(images[n, c, i, j]) - offset) if inside else np.int16(pad_value)
                at += 1


@inline
def _pixels_image(images, n, offset, pad_value, g, panel, a, tile, h):
    """Image n -> h (>= OH * OW rounded up to 6, S) int32."""
    n_positions = g.out_height * g.out_width
    for first in range(0, n_positions, 6):
        for r in range(min(6, n_positions - first)):
            pixel_patch(images, n, first + r, offset, pad_value, g, a[r])
        _madd_strip(a, panel, tile, h, first)


@kernel
def pixels_conv(images, offset, pad_value, g, panel, out, start, stop):
    """images (N, C, H, W) uint8, panel over kh * kw * C, geometry g -> pre-activations out (N, OH, OW, K) int32."""
    n_positions = g.out_height * g.out_width
    a, tile = np.zeros((6, 2 * panel.shape[1]), np.int16), np.empty((6, 64), np.int32)
    h = np.empty(((n_positions + 5) // 6 * 6, 64 * panel.shape[0]), np.int32)
    for n in range(start, stop):
        _pixels_image(images, n, offset, pad_value, g, panel, a, tile, h)
        flat = out[n].reshape(n_positions, out.shape[3])
        for p in range(n_positions):
            for k in range(out.shape[3]):
                flat[p, k] = h[p, k]


@kernel
def pixels_conv_threshold(images, offset, pad_value, g, panel, theta, inverted, n_units, pool, out, start, stop):
    """The same, straight to pooled output bits out (N, OH // pool, OW // pool, V)."""
    n_positions = g.out_height * g.out_width
    a, tile = np.zeros((6, 2 * panel.shape[1]), np.int16), np.empty((6, 64), np.int32)
    h = np.empty(((n_positions + 5) // 6 * 6, 64 * panel.shape[0]), np.int32)
    for n in range(start, stop):
        _pixels_image(images, n, offset, pad_value, g, panel, a, tile, h)
        threshold_image(h, g.out_width, theta, inverted, n_units, pool, out[n])


@kernel
def pixels_conv_dweight(a, images, offset, pad_value, g, total, start, stop):
    """a (N, 6 T, Q) int16 (dH by output channel, Q >= OH * OW even) -> total (6 T, V, 64) int64 += dW in its units.

    Slices run at once need a `total` each.
    """
    n_positions, n_columns = g.out_height * g.out_width, g.kernel_height * g.kernel_width * images.shape[1]
    n_words = total.shape[1]
    row = np.zeros(64 * n_words, np.int16)
    panel = np.zeros((n_words, MAX_PAIRS_PIXELS, 64, 2), np.int16)
    tile = np.zeros((6, 64), np.int32)
    for n in range(start, stop):
        for first in range(0, n_positions, 2 * MAX_PAIRS_PIXELS):
            n_pairs = (min(2 * MAX_PAIRS_PIXELS, n_positions - first) + 1) // 2
            for p in range(2 * n_pairs):                       # a has a 0 at an odd end: what the panel holds is moot
                if first + p < n_positions:
                    pixel_patch(images, n, first + p, offset, pad_value, g, row)
                for f in range(n_columns):
                    panel[f >> 6, p >> 1, f & 63, p & 1] = row[f]
            for v in range(n_words):
                for m in range(0, a.shape[1], 6):
                    tile[:] = 0
                    madd16_tile(a, (n * a.shape[1] + m) * a.shape[2] + first, a.shape[2], panel,
                                64 * v * MAX_PAIRS_PIXELS, n_pairs, tile, 0)
                    for r in range(6):
                        for c in range(64):
                            total[m + r, v, c] += tile[r, c]
