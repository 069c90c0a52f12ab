"""The integer first layer: uint8 pixels minus an offset, against +-1 weights, exact in int32; and its weight gradient.

Images u (N, C, H, W) uint8; features in H, W, C order, F = H * W * C. The panel of a forward pass is made of transposed
weights (`packing.transpose_bits`, then `packing.madd_panel`), so that its columns are output units.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.dense import MAX_PAIRS_PIXELS
from bnnsim.kernels.simd import madd16_tile


@inline
def _flatten_pixels(images, n, offset, row):
    """Image n -> row (>= F,) int16 in H, W, C order."""
    channels, height, width = images.shape[1:]
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                row[(i * width + j) * channels + c] = np.int16(np.int16(images[n, c, i, j]) - offset)


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
