"""The integer first layer: uint8 pixels minus an offset, against +-1 weights, exact in int32.

Images u (N, C, H, W) uint8; features in H, W, C order, F = H * W * C. The panel of a forward pass is made of transposed
weights (`packing.transpose_bits`, then `packing.madd_panel`), so that its columns are output units.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.simd import madd_tile
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
