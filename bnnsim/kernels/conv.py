"""Binarized convolution on packed words: XNOR-popcount forward, to pre-activations or to bits.

x (N, H, W, Cw) words of C channels, Cw = ceil(C / 64); weights (K, kh, kw, Cw); T = kh * kw taps; output (OH, OW).
`fill` is the word row of a padded position: 0 bits (-1) or 1 bits (+1). Zero padding is counted exactly: padded
positions enter as -1 and the sum of their taps' weights, `tap_sums` (T, K), is added back.
"""

from collections import namedtuple

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.simd import xnor_tile_8
from bnnsim.kernels.threshold import threshold_image

Geometry = namedtuple("Geometry", "height width kernel_height kernel_width stride padding out_height out_width")


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
def _gather_words(x, n, position, fill, g, row):
    """The packed patch of an output position -> row (T * Cw,)."""
    n_words = x.shape[3]
    for tap in range(g.kernel_height * g.kernel_width):
        i, j = _source(g, position, tap)
        inside = _inside(g, i, j)
        for w in range(n_words):
            row[tap * n_words + w] = x[n, i, j, w] if inside else fill[w]


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
def _add_tap_sums(h, tap_sums, counts, positions):
    """Take padded taps out of h (OH * OW, .): they were counted as -1, and are to count 0."""
    for tap in range(tap_sums.shape[0]):
        for at in range(counts[tap]):
            position = positions[tap, at]
            for k in range(tap_sums.shape[1]):
                h[position, k] += tap_sums[tap, k]


@inline
def _xnor_image(x, n, panel, n_channels, fill, tap_sums, counts, positions, g, patches, h):
    """Image n -> h (>= OH * OW rounded up to 8, S) int32."""
    n_positions, n_words = g.out_height * g.out_width, patches.shape[1]
    base = np.int32(n_channels * g.kernel_height * g.kernel_width)
    for first in range(0, n_positions, 8):
        for r in range(min(8, n_positions - first)):
            _gather_words(x, n, first + r, fill, g, patches[r])
        for p in range(panel.shape[0]):
            xnor_tile_8(patches, 0, n_words, panel, p * n_words * 16, n_words, base, h,
                        first * h.shape[1] + 16 * p, h.shape[1])
    _add_tap_sums(h, tap_sums, counts, positions)


@kernel
def xnor_conv(x, panel, n_channels, fill, tap_sums, zero_pad, g, out, start, stop):
    """x (N, H, W, Cw), panel (ceil(K / 16), T * Cw, 16) -> pre-activations out (N, OH, OW, K) int32."""
    n_positions = g.out_height * g.out_width
    patches = np.zeros((8, panel.shape[1]), np.uint64)
    counts, positions = _padded_positions(g)
    if not zero_pad:
        counts[:] = 0
    h = np.empty(((n_positions + 7) // 8 * 8, (out.shape[3] + 63) // 64 * 64), np.int32)
    for n in range(start, stop):
        _xnor_image(x, n, panel, n_channels, fill, tap_sums, counts, positions, g, patches, h)
        flat = out[n].reshape(n_positions, out.shape[3])
        for p in range(n_positions):
            for k in range(out.shape[3]):
                flat[p, k] = h[p, k]


@kernel
def xnor_conv_threshold(x, panel, n_channels, fill, tap_sums, zero_pad, g, theta, inverted, n_units, pool, out, start,
                        stop):
    """The same, straight to pooled output bits out (N, OH // pool, OW // pool, V)."""
    n_positions = g.out_height * g.out_width
    patches = np.zeros((8, panel.shape[1]), np.uint64)
    counts, positions = _padded_positions(g)
    if not zero_pad:
        counts[:] = 0
    h = np.empty(((n_positions + 7) // 8 * 8, theta.shape[0]), np.int32)
    for n in range(start, stop):
        _xnor_image(x, n, panel, n_channels, fill, tap_sums, counts, positions, g, patches, h)
        threshold_image(h, g.out_width, theta, inverted, n_units, pool, out[n])
