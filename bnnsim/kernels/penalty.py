"""How far pre-activations are from their thresholds, for a regulariser that pushes them away.

h (N, P, U) int32: N images, P positions (1 of a dense layer), U units; threshold (U,) float64. Sums over images are of
integers, so the number of threads cannot change a bit.
"""

import numpy as np

from bnnsim.kernels._jit import kernel


@kernel
def least_margins(h, threshold, reach, picked, start, stop):
    """picked (N, U) int32: where |h - threshold| is least, the first place if several tie; -1 if that is >= reach."""
    n_positions, n_units = h.shape[1], h.shape[2]
    least = np.empty(n_units)
    for n in range(start, stop):
        for u in range(n_units):
            least[u] = reach[u]
            picked[n, u] = -1
        for p in range(n_positions):
            for u in range(n_units):
                margin = abs(np.float64(h[n, p, u]) - threshold[u])
                nearer = margin < least[u]
                least[u] = margin if nearer else least[u]
                picked[n, u] = p if nearer else picked[n, u]


@kernel
def sum_picked(h, threshold, picked, sums, start, stop):
    """sums (3, U) int64: how many were picked, and the sums of their sides o (+1 where h >= threshold) and of o * h."""
    sums[:, start:stop] = 0
    for n in range(h.shape[0]):
        for u in range(start, stop):
            if picked[n, u] >= 0:
                value = np.int64(h[n, picked[n, u], u])
                side = 1 if value >= threshold[u] else -1
                sums[0, u] += 1
                sums[1, u] += side
                sums[2, u] += side * value


@kernel
def push_away(h, threshold, picked, slope, dh, start, stop):
    """dh[n, picked, u] -= slope * o: a step against the gradient moves the picked h away from its threshold."""
    for n in range(start, stop):
        for u in range(h.shape[2]):
            if picked[n, u] >= 0:
                p = picked[n, u]
                dh[n, p, u] -= slope if h[n, p, u] >= threshold[u] else -slope
