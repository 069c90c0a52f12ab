"""Tolerance T: how many flips of a unit's weights leave its output as it is, whichever they are.

N images, P positions, Q pooled positions, F summands, U units; h (N, P, U) int32, theta (U,) int64. T is NEVER where no
flips change the output.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.forward.geometry import window_bounds

NEVER = 2**30                       # more flips than any unit has weights
LOOK = 16                           # summands between two looks whether all units have crossed


@inline
def crossing(h, theta):
    """What must turn before h crosses theta, as the sum of the sizes of summands: T + 1 of them where they are +-1."""
    d = np.int64(h) - np.int64(theta)
    return (d >> 1) + 1 if d >= 0 else ((-d - 1) >> 1) + 1


@kernel
def tolerance_bits(h, n_summands, theta, out, start, stop):
    """T of each position out (N, P, U) int32, where summands are +-1: those on h's side turn, n_summands (P,) exist."""
    for n in range(start, stop):
        for p in range(h.shape[1]):
            for u in range(h.shape[2]):
                need, value = crossing(h[n, p, u], theta[u]), np.int64(h[n, p, u])
                pushing = (n_summands[p] + (value if value >= theta[u] else -value)) >> 1
                out[n, p, u] = need - 1 if need <= pushing else NEVER


@inline
def _sort_summands(values, order):
    """order[:n] = places of the n values other than 0, the largest |value| first; returns how many there are."""
    counts = np.zeros(257, np.int64)
    for k in range(values.shape[0]):
        counts[256 - abs(values[k])] += 1
    at = 0
    for size in range(257):
        counts[size], at = at, at + counts[size]
    for k in range(values.shape[0]):
        if values[k] != 0:
            bin_ = 256 - abs(values[k])
            order[counts[bin_]] = k
            counts[bin_] += 1
    return counts[255]


@inline
def _some_left(need):
    left = np.int32(0)
    for u in range(need.shape[0]):
        left = max(left, need[u])
    return left > 0


@kernel
def tolerance_pixels(patches, h, theta, signs, out, start, stop):
    """The same where summands are pixels: the largest that push towards h's side go first.

    patches (N, P, F) int16, what a position reads, signs (F, U) int8 +-1.
    """
    n_features, n_units = signs.shape
    need, side, order = np.empty(n_units, np.int32), np.empty(n_units, np.int32), np.empty(n_features, np.int64)
    never, one, zero = np.int32(NEVER), np.int32(1), np.int32(0)
    for n in range(start, stop):
        for p in range(h.shape[1]):
            flips = out[n, p]
            for u in range(n_units):
                side[u] = 1 if h[n, p, u] >= theta[u] else -1
                need[u] = crossing(h[n, p, u], theta[u])
                flips[u] = 0
            for k in range(_sort_summands(patches[n, p], order)):
                if k % LOOK == 0 and not _some_left(need):
                    break
                value, row = np.int32(patches[n, p, order[k]]), signs[order[k]]
                for u in range(n_units):
                    push = max(side[u] * row[u] * value, zero)
                    need[u] -= push
                    flips[u] += one if (push > 0) & (need[u] > 0) else zero
            for u in range(n_units):
                flips[u] = flips[u] if need[u] <= 0 else never


@kernel
def pool_tolerance(tolerance, h, theta, g, pool, n_across, out, start, stop):
    """T of pooled outputs, (N, P, U) -> out (N, Q, U): the largest of a window's entries >= theta; else its least.

    Exact for a pooled comparison of 0, a lower bound for 1: entries may need other flips than the dearest alone.
    """
    n_units = h.shape[2]
    low, high = np.empty(n_units, np.int32), np.empty(n_units, np.int32)
    for n in range(start, stop):
        for q in range(out.shape[1]):
            low[:] = NEVER
            high[:] = -1
            top, bottom, left, right = window_bounds(pool, q // n_across, q % n_across, g.out_height, g.out_width)
            for row in range(top, bottom):
                for p in range(row * g.out_width + left, row * g.out_width + right):
                    for u in range(n_units):
                        value = tolerance[n, p, u]
                        low[u] = min(low[u], value)
                        high[u] = max(high[u], value if h[n, p, u] >= theta[u] else np.int32(-1))
            for u in range(n_units):
                out[n, q, u] = high[u] if high[u] >= 0 else low[u]


@kernel
def paper_tolerance(h, s, divisor, g, pool, windows, out, start, stop):
    """(|h - s| - 1) / divisor of the pooled pre-activations, s (U,) float64: its least over positions, out (N, U).

    windows : (rows, columns) of them
    """
    n_units = h.shape[2]
    largest = np.empty(n_units, np.int32)
    for n in range(start, stop):
        out[n] = np.inf
        for i in range(windows[0]):
            for j in range(windows[1]):
                top, bottom, left, right = window_bounds(pool, i, j, g.out_height, g.out_width)
                for u in range(n_units):
                    largest[u] = h[n, top * g.out_width + left, u]
                for row in range(top, bottom):
                    for p in range(row * g.out_width + left, row * g.out_width + right):
                        for u in range(n_units):
                            largest[u] = max(largest[u], h[n, p, u])
                for u in range(n_units):
                    out[n, u] = min(out[n, u], abs(largest[u] - s[u]))
        for u in range(n_units):
            out[n, u] = (out[n, u] - 1.0) / divisor
