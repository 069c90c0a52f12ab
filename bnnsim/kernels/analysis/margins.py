"""Distances of pre-activations from their thresholds, and how many weight flips each stands.

N images, P positions, U units; h (N, P, U) int32; kind (P,) says at which border a position lies, B kinds. An entry
that no flips can change has the tolerance NEVER. Per-image results (., U) come as they are, sums are added to.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel

NEVER = np.int32(2**30)
FIXED = 2.0**20                     # what is summed over images is kept in these parts: sums of integers have no order
ONE = np.uint64(1)


@kernel
def add_margins(h, kind, twice_s, inverse, width, counts, sums, spread, start, stop):
    """Twice the margins |2 h - twice_s| of images start..stop.

    inverse (N, P) float64: FIXED over the standard deviation per flip; counts (bins,), where entry t goes to bin
    t // width; sums (U,) of twice the margin; spread (U,) of twice the margin times inverse.
    """
    for n in range(start, stop):
        for p in range(h.shape[1]):
            factor, row = inverse[n, p], twice_s[kind[p]]
            for u in range(h.shape[2]):
                twice = abs(2 * h[n, p, u] - row[u])
                sums[u] += twice
                spread[u] += np.int64(twice * factor + 0.5)
            for u in range(h.shape[2]):
                counts[np.uint32(abs(2 * h[n, p, u] - row[u])) // width] += 1


@inline
def _pool_least(tolerance, above, width, pool, least):
    """least (U,): over windows, of the least tolerance of a window below theta, else of the largest of those above."""
    n_units = tolerance.shape[1]
    height = tolerance.shape[0] // width
    low, high = np.empty(n_units, np.int32), np.empty(n_units, np.int32)
    least[:] = NEVER
    for i in range(height // pool):
        for j in range(width // pool):
            low[:] = NEVER
            high[:] = -1
            for entry in range(pool * pool):
                p = (i * pool + entry // pool) * width + j * pool + entry % pool
                for u in range(n_units):
                    value = tolerance[p, u]
                    low[u] = min(low[u], value)
                    high[u] = max(high[u], value if above[p, u] else np.int32(-1))
            for u in range(n_units):
                least[u] = min(least[u], high[u] if high[u] >= 0 else low[u])


@kernel
def tolerance_bits(h, kind, theta, twice_s, never, width, pool, out, start, stop):
    """Tolerance out (N, U) int32 of each unit where summands are +-1: (margin - 1) / 2, pooled, least over positions.

    never (B, U) bool; theta (U,) int32.
    """
    n_positions, n_units = h.shape[1:]
    tolerance, above = np.empty((n_positions, n_units), np.int32), np.empty((n_positions, n_units), np.bool_)
    for n in range(start, stop):
        for p in range(n_positions):
            row, ends = twice_s[kind[p]], never[kind[p]]
            for u in range(n_units):
                value = (abs(2 * h[n, p, u] - row[u]) - 2) >> 2
                tolerance[p, u] = NEVER if ends[u] else value
                above[p, u] = h[n, p, u] >= theta[u]
        _pool_least(tolerance, above, width, pool, out[n])


@inline
def _sort_summands(values, n, order):
    """order[:n] = places of the n values other than 0, the largest |value| first; returns how many there are."""
    counts = np.zeros(257, np.int64)
    for k in range(n):
        counts[256 - abs(values[k])] += 1
    at = 0
    for size in range(257):
        counts[size], at = at, at + counts[size]
    for k in range(n):
        if values[k] != 0:
            bin_ = 256 - abs(values[k])
            order[counts[bin_]] = k
            counts[bin_] += 1
    return counts[255]


@kernel
def tolerance_conv_pixels(patches, h, theta, signs, width, pool, out, start, stop):
    """Exact tolerance out (N, U) of a convolution of pixels: the largest summands that push towards h's side go first.

    patches (N, P, F) int16, what a position reads, signs (F, U) int8 +-1, h (N, P, U), theta (U,) int32.
    """
    n_positions, n_units = h.shape[1:]
    n_features = patches.shape[2]
    tolerance, above = np.empty((n_positions, n_units), np.int32), np.empty((n_positions, n_units), np.bool_)
    need, side, order = np.empty(n_units, np.int32), np.empty(n_units, np.int32), np.empty(n_features, np.int64)
    for n in range(start, stop):
        for p in range(n_positions):
            count = _sort_summands(patches[n, p], n_features, order)
            for u in range(n_units):
                above[p, u] = h[n, p, u] >= theta[u]
                side[u] = 1 if h[n, p, u] >= theta[u] else -1
                need[u] = h[n, p, u] - theta[u] + 1 if h[n, p, u] >= theta[u] else theta[u] - h[n, p, u]
                tolerance[p, u] = 0
            for k in range(count):
                value, row = np.int32(patches[n, p, order[k]]), signs[order[k]]
                for u in range(n_units):
                    push = max(np.int32(2) * side[u] * row[u] * value, np.int32(0))
                    need[u] -= push
                    tolerance[p, u] += 1 if (push > 0) & (need[u] > 0) else 0
            for u in range(n_units):
                tolerance[p, u] = tolerance[p, u] if need[u] <= 0 else NEVER
        _pool_least(tolerance, above, width, pool, out[n])


@kernel
def tolerance_dense_pixels(pixels, h, theta, words, out, start, stop):
    """The same of a dense layer on pixels (N, F) int16, h (N, 1, U), weights (U, W); only as far as each unit needs."""
    n_features = pixels.shape[1]
    order = np.empty(n_features, np.int64)
    for n in range(start, stop):
        count = _sort_summands(pixels[n], n_features, order)
        for u in range(h.shape[2]):
            above = h[n, 0, u] >= theta[u]
            need = h[n, 0, u] - theta[u] + 1 if above else theta[u] - h[n, 0, u]
            flips = 0
            for k in range(count):
                f = order[k]
                value = pixels[n, f]
                if ((words[u, f >> 6] >> np.uint64(f & 63)) & ONE == ONE) == ((value > 0) == above):
                    need -= 2 * abs(value)
                    if need <= 0:
                        break
                    flips += 1
            out[n, u] = flips if need <= 0 else NEVER


@kernel
def paper_tolerance(h, s, divisor, width, pool, out, start, stop):
    """(|h - s| - 1) / divisor of the pooled pre-activations, s (U,) float64: its least over positions, out (N, U)."""
    n_units, height = h.shape[2], h.shape[1] // width
    largest = np.empty(n_units, np.int32)
    for n in range(start, stop):
        out[n] = np.inf
        for i in range(height // pool):
            for j in range(width // pool):
                first = i * pool * width + j * pool
                for u in range(n_units):
                    largest[u] = h[n, first, u]
                for entry in range(1, pool * pool):
                    p = first + entry // pool * width + entry % pool
                    for u in range(n_units):
                        largest[u] = max(largest[u], h[n, p, u])
                for u in range(n_units):
                    out[n, u] = min(out[n, u], abs(largest[u] - s[u]))
        for u in range(n_units):
            out[n, u] = (out[n, u] - 1.0) / divisor


@kernel
def add_tolerances(tolerance, paper, sums, never, counts, paper_sums, start, stop):
    """tolerance (N, U) -> sums and how often NEVER, (U,) each; counts (bins,) of the rest; paper (N, U) in FIXED."""
    for n in range(start, stop):
        for u in range(tolerance.shape[1]):
            paper_sums[u] += np.int64(np.floor(paper[n, u] * FIXED + 0.5))
            if tolerance[n, u] == NEVER:
                never[u] += 1
            else:
                sums[u] += tolerance[n, u]
                counts[min(tolerance[n, u], counts.shape[0] - 1)] += 1
