"""Binarized convolution on packed words: XNOR-popcount forward, input and weight gradients.

x (N, H, W, Cw) words of C channels, Cw = ceil(C / 64); weights (K, kh, kw, Cw); T = kh * kw taps; output (OH, OW).
`fill` is the word row of a padded position: 0 bits (-1) or 1 bits (+1). Zero padding is counted exactly: padded
positions enter as -1 and the sum of their taps' weights, `tap_sums` (T, K), is added back.
"""

from collections import namedtuple

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.dense import madd_columns
from bnnsim.kernels.packing import pair_masks
from bnnsim.kernels.simd import madd_tile

Geometry = namedtuple("Geometry", "height width kernel_height kernel_width stride padding out_height out_width")
CHUNK_PAIRS = 512                   # positions of dW kept in L1 as masks: 8 KB


@inline
def _source(g, position, tap):
    """Input row and column that `tap` of output `position` reads; negative or too large in the padding."""
    i = position // g.out_width * g.stride - g.padding + tap // g.kernel_width
    j = position % g.out_width * g.stride - g.padding + tap % g.kernel_width
    return i, j


@inline
def _inside(g, i, j):
    return 0 <= i < g.height and 0 <= j < g.width


@inline
def _padded_positions(g):
    """Output positions at which each tap reads padding: their numbers (T,) and a table (T, OH * OW)."""
    n_taps, n_positions = g.kernel_height * g.kernel_width, g.out_height * g.out_width
    counts, positions = np.zeros(n_taps, np.int64), np.empty((n_taps, n_positions), np.int64)
    for tap in range(n_taps):
        for position in range(n_positions):
            i, j = _source(g, position, tap)
            if not _inside(g, i, j):
                positions[tap, counts[tap]] = position
                counts[tap] += 1
    return counts, positions


@inline
def _gather_gradients(a, n, position, g, row):
    """What reaches input `position` of image n: row (T * Kp,) int16 from a (N, OH, OW, Kp); 0 where nothing read it."""
    n_units = a.shape[3]
    i, j = position // g.width + g.padding, position % g.width + g.padding
    for tap in range(g.kernel_height * g.kernel_width):
        up, left = i - tap // g.kernel_width, j - tap % g.kernel_width
        oh, ow = up // g.stride, left // g.stride
        read = up >= 0 and left >= 0 and up % g.stride == 0 and left % g.stride == 0
        if read and oh < g.out_height and ow < g.out_width:
            for k in range(n_units):
                row[tap * n_units + k] = a[n, oh, ow, k]
        else:
            for k in range(n_units):
                row[tap * n_units + k] = 0


@kernel
def conv_dx(a, panel, scale, g, out, start, stop):
    """a (N, OH, OW, Kp) int16, panel (Cw, T * Kp / 2, 4) of weights (T, Kp, C) -> out (N, H * W, C) float32.

    scale (N,) float64: the unit of image n's gradients.
    """
    rows = np.zeros((6, 2 * panel.shape[1]), np.int16)
    tile, total = np.empty((6, 64), np.int32), np.empty((6, 64), np.int64)
    n_positions, n_channels = out.shape[1], out.shape[2]
    for n in range(start, stop):
        for first in range(0, n_positions, 6):
            n_rows = min(6, n_positions - first)
            for r in range(n_rows):
                _gather_gradients(a, n, first + r, g, rows[r])
            for w in range(panel.shape[0]):
                exact = madd_columns(rows, 0, panel, w, panel.shape[1], tile, total)
                for r in range(n_rows):
                    for c in range(min(64, n_channels - 64 * w)):
                        out[n, first + r, 64 * w + c] = np.float32((tile[r, c] if exact else total[r, c]) * scale[n])


@inline
def _patch_panel(x, n, tap, word, fill, g, first, n_pairs, panel):
    """Masks of one word of one tap for positions first.. of image n -> panel (>= n_pairs * 4,) uint32."""
    n_positions = g.out_height * g.out_width
    for pair in range(n_pairs):
        position = first + 2 * pair
        i, j = _source(g, position, tap)
        one = x[n, i, j, word] if _inside(g, i, j) else fill[word]
        two = fill[word]
        if position + 1 < n_positions:
            i, j = _source(g, position + 1, tap)
            if _inside(g, i, j):
                two = x[n, i, j, word]
        pair_masks(one, two, panel, 4 * pair)


@inline
def _add_padded_taps(a, n, counts, positions, n_channels, total):
    """dW of zero-padded taps: they entered as -1, and are to count 0. total (M, T, Cw, 64)."""
    for tap in range(total.shape[1]):
        for m in range(a.shape[1]):
            missing = np.int64(0)
            for at in range(counts[tap]):
                missing += a[n, m, positions[tap, at]]
            if missing:
                for c in range(n_channels):
                    total[m, tap, c >> 6, c & 63] += missing


@kernel
def conv_dweight(a, x, n_channels, fill, zero_pad, g, total, start, stop):
    """a (N, 6 M, Q) int16 (dH by output channel, Q >= OH * OW even), x words -> total (6 M, T, Cw, 64) int64 += dW.

    Slices run at once need a `total` each.
    """
    n_positions = g.out_height * g.out_width
    panel, tile = np.empty(4 * CHUNK_PAIRS, np.uint32), np.empty((6, 64), np.int32)
    counts, positions = _padded_positions(g)
    if not zero_pad:
        counts[:] = 0
    for n in range(start, stop):
        for first in range(0, n_positions, 2 * CHUNK_PAIRS):
            n_pairs = min(CHUNK_PAIRS, (n_positions - first + 1) // 2)
            for tap in range(g.kernel_height * g.kernel_width):
                for w in range(x.shape[3]):
                    _patch_panel(x, n, tap, w, fill, g, first, n_pairs, panel)
                    for m in range(0, a.shape[1], 6):
                        tile[:] = 0
                        madd_tile(a, (n * a.shape[1] + m) * a.shape[2] + first, a.shape[2], panel, 0, n_pairs, tile, 0)
                        for r in range(6):
                            for c in range(64):
                                total[m + r, tap, w, c] += tile[r, c]
        _add_padded_taps(a, n, counts, positions, n_channels, total)
