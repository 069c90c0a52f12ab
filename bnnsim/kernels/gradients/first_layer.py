"""Weight gradients of the first layer: 16-bit fixed point times uint8 pixels minus an offset, exact.

N images (N, C, H, W) of F = H * W * C pixels, U units or K output channels; dH (N, U), or (N, OH, OW, K) as in `conv`.
The tile sums pairs of rows of the batch (dense) or of output positions (conv) in int32, which holds 256 products of a
16-bit gradient and a pixel; longer sums are widened to int64 on the way. The functions for float32 are plain loops.
"""

import numpy as np

from bnnsim.kernels._arrays import empty, in_rows, zeros
from bnnsim.kernels._jit import kernel, leaf
from bnnsim.kernels.forward.geometry import columns_inside
from bnnsim.kernels.gradients.conv import gradient_row, window_places
from bnnsim.kernels.gradients.dense import store_sums
from bnnsim.kernels.gradients.fixed_point import fix_pair
from bnnsim.kernels.gradients.lookup_tile import add_tile
from bnnsim.kernels.gradients.multiply_add_tile import COLS, ROWS, multiply_add
from bnnsim.kernels.gradients.pool import keep_pairs

MAX_PAIRS = 128                     # 256 terms of 32767 * 255


@leaf
def _flatten_pixels(images, n, offset, row):
    """Image n -> row (>= F,) int16 in H, W, C order."""
    channels, height, width = images.shape[1:]
    for c in range(channels):
        for i in range(height):
            for j in range(width):
                row[(i * width + j) * channels + c] = np.int16(np.int16(images[n, c, i, j]) - offset)


@leaf
def _pair(first, second):
    """Two int16 in one int32, as the tile reads them."""
    return (np.int32(first) & np.int32(0xFFFF)) | (np.int32(second) << np.int32(16))


@kernel
def pixels_panel(images, offset, panel, start, stop):
    """images (N, C, H, W) uint8 -> panel (ceil(F / 64), ceil(N / 2), 64) int32, two int16 each: pixels of two images.

    Runs over pairs of images.
    """
    rows = zeros((2, COLS * panel.shape[0]), np.int16)
    for pair in range(start, stop):
        _flatten_pixels(images, 2 * pair, offset, rows[0])
        if 2 * pair + 1 < images.shape[0]:
            _flatten_pixels(images, 2 * pair + 1, offset, rows[1])
        else:
            rows[1] = 0
        for v in range(panel.shape[0]):
            for c in range(COLS):
                panel[v, pair, c] = _pair(rows[0, COLS * v + c], rows[1, COLS * v + c])


@leaf
def _sum_pairs(a, row, panel, p_off, n_pairs, tile, total):
    """Rows row.. (6) of a (M, 2 P) times n_pairs pairs of the panel -> tile int32, or total.

    True if it was wide enough.
    """
    tile[:] = 0
    if n_pairs <= MAX_PAIRS:
        multiply_add(a, row * a.shape[1], a.shape[1], panel, p_off, n_pairs, tile, 0)
        return True
    total[:] = 0
    for first in range(0, n_pairs, MAX_PAIRS):
        tile[:] = 0
        multiply_add(a, row * a.shape[1] + 2 * first, a.shape[1], panel, p_off + COLS * first,
                     min(MAX_PAIRS, n_pairs - first), tile, 0)
        add_tile(tile, total)
    return False


@kernel
def pixels_dense_dweight(a, panel, scale, kinds, out, start, stop):
    """a (6 T, 2 P) int16, panel (V, P, 64) int32 -> out (M, F) float32 = (a times panel) * scale (M,). Runs over T."""
    tile, total = empty((ROWS, COLS), np.int32), empty((ROWS, COLS), np.int64)
    for v in range(panel.shape[0]):                             # 64 columns of the panel stay in L1, rows do not
        for row in range(ROWS * start, ROWS * stop, ROWS):
            if _sum_pairs(a, row, panel, COLS * v * panel.shape[1], panel.shape[1], tile, total):
                store_sums(tile, row, v, scale, out)
            else:
                for r in range(min(ROWS, out.shape[0] - row)):
                    for c in range(min(COLS, out.shape[1] - COLS * v)):
                        out[row + r, COLS * v + c] = np.float32(total[r, c] * scale[row + r])


@kernel
def pixels_dense_float(a, pixels, scale, kinds, out, start, stop):
    """a (6 T, >= N) and pixels (N, F) float32 -> out (M, F) float32, summed image after image. Runs over T."""
    for m in range(ROWS * start, min(ROWS * stop, out.shape[0])):
        out[m] = np.float32(0)
        for n in range(pixels.shape[0]):
            for f in range(pixels.shape[1]):
                out[m, f] += a[m, n] * pixels[n, f]


@leaf
def _patch_rows(images, n, offset, pad_value, g, rows):
    """Image n -> rows (>= kh * kw * C, >= OH * OW) int16: what each weight reads at each output position."""
    channels = images.shape[1]
    for di in range(g.kernel_height):
        for dj in range(g.kernel_width):
            low, high = columns_inside(g, dj)
            for c in range(channels):
                row = rows[(di * g.kernel_width + dj) * channels + c]
                for oh in range(g.out_height):
                    i, at = oh * g.row_stride + di * g.row_step - g.top, oh * g.out_width
                    if not 0 <= i < g.height:
                        row[at:at + g.out_width] = pad_value
                        continue
                    row[at:at + low] = pad_value
                    for ow in range(low, high):
                        j = ow * g.column_stride + dj * g.column_step - g.left
                        row[at + ow] = np.int16(images[n, c, i, j]) - offset
                    row[at + high:at + g.out_width] = pad_value


@leaf
def _gradient_panel(dout, n, inverse, rows, panel):
    """dH (N, OH, OW, K) of image n -> panel (V, P, 64) int32, two int16 each: gradients of two positions."""
    n_units, n_positions = dout.shape[3], dout.shape[1] * dout.shape[2]
    direct = n_positions // 2 if n_units % COLS == 0 else 0
    for pair in range(direct):
        for v in range(panel.shape[0]):
            fix_pair(dout, (n * n_positions + 2 * pair) * n_units + COLS * v, n_units, inverse, COLS * v, panel,
                     (v * panel.shape[1] + pair) * COLS)
    gradients = in_rows(dout, n_units)
    for pair in range(direct, panel.shape[1]):
        for side in range(2):
            position = 2 * pair + side
            for k in range(n_units):
                rows[side, k] = gradients[n * n_positions + position, k] if position < n_positions else np.float32(0)
        for v in range(panel.shape[0]):
            fix_pair(rows, COLS * v, rows.shape[1], inverse, COLS * v, panel, (v * panel.shape[1] + pair) * COLS)


@leaf
def _fix_entries(dout, winner, n, inverse, rows, entries, won):
    """Entries of image n behind a max-pool -> entries (Q + 1, 64 V) int32, an int16 in each half, and winners alike.

    The last of them, of no window, is left as it is.
    """
    n_units, n_windows = dout.shape[3], dout.shape[1] * dout.shape[2]
    gradients, winners = in_rows(dout, n_units), in_rows(winner, n_units)
    for q in range(n_windows):
        at = n * n_windows + q
        for k in range(n_units):
            rows[0, k], won[q, k] = gradients[at, k], winners[at, k]
        for v in range(entries.shape[1] // COLS):
            fix_pair(rows, COLS * v, 0, inverse, COLS * v, entries, q * entries.shape[1] + COLS * v)


@leaf
def _window(places, position, dout):
    """Number of a position's window, of no window behind the last, and its number there."""
    if position >= places.shape[1] or places[0, position] >= dout.shape[1] or places[1, position] >= dout.shape[2]:
        return dout.shape[1] * dout.shape[2], np.uint8(0)
    return places[0, position] * dout.shape[2] + places[1, position], np.uint8(places[2, position])


@leaf
def _pooled_panel(dout, places, entries, won, panel):
    """The panel of what `_fix_entries` made."""
    for pair in range(panel.shape[1]):
        first, first_entry = _window(places, 2 * pair, dout)
        second, second_entry = _window(places, 2 * pair + 1, dout)
        for v in range(panel.shape[0]):
            a, b = first * won.shape[1] + COLS * v, second * won.shape[1] + COLS * v
            keep_pairs(entries, a, b, won, a, b, first_entry, second_entry, panel, (v * panel.shape[1] + pair) * COLS)


@kernel
def pixels_conv_dweight(dout, winner, size, inverse, images, offset, pad_value, g, total, start, stop):
    """dH as in `conv`, 1 / scale of its channels (64 V,) -> total (6 T, V, 64) int64 += dW in units of them.

    Rows of `total` are weights (kh, kw, C), columns output channels: few weights would leave a tile's columns empty.
    Runs over images; slices run at once need a `total` each.
    """
    n_pairs = (g.out_height * g.out_width + 1) // 2
    rows, places = zeros((2, inverse.shape[0]), np.float32), window_places(size, g)
    n_entries = dout.shape[1] * dout.shape[2] + 1 if size > 1 else 0
    entries, won = zeros((n_entries, inverse.shape[0]), np.int32), zeros((n_entries, inverse.shape[0]), np.uint8)
    patches = zeros((total.shape[0], 2 * n_pairs), np.int16)
    panel = empty((total.shape[1], n_pairs, COLS), np.int32)
    tile, wide = empty((ROWS, COLS), np.int32), empty((ROWS, COLS), np.int64)
    for n in range(start, stop):
        _patch_rows(images, n, offset, np.int16(pad_value), g, patches)
        if size > 1:
            _fix_entries(dout, winner, n, inverse, rows, entries, won)
            _pooled_panel(dout, places, entries, won, panel)
        else:
            _gradient_panel(dout, n, inverse, rows, panel)
        for v in range(total.shape[1]):
            for row in range(0, total.shape[0], ROWS):
                exact = _sum_pairs(patches, row, panel, COLS * v * n_pairs, n_pairs, tile, wide)
                for r in range(ROWS):
                    for c in range(COLS):
                        total[row + r, v, c] += tile[r, c] if exact else wide[r, c]


@kernel
def pixels_conv_float(dout, winner, size, inverse, images, offset, pad_value, g, total, start, stop):
    """`pixels_conv_dweight` of float32: total (., 1, 64 V) float64, sums of an image in float32."""
    n_features, n_positions = g.kernel_height * g.kernel_width * images.shape[1], g.out_height * g.out_width
    places = window_places(size, g)
    row, sums = zeros((1, dout.shape[3]), np.float32), empty((n_features, dout.shape[3]), np.float32)
    patches = zeros((n_features, n_positions), np.int16)
    for n in range(start, stop):
        _patch_rows(images, n, offset, np.int16(pad_value), g, patches)
        sums[:] = np.float32(0)
        for p in range(n_positions):
            gradient_row(dout, winner, size, n, places, p, row, 0)
            for f in range(n_features):
                for k in range(dout.shape[3]):
                    sums[f, k] += np.float32(patches[f, p]) * row[0, k]
        for f in range(n_features):
            for k in range(dout.shape[3]):
                total[f, 0, k] += sums[f, k]
