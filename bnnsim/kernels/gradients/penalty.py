"""How far pre-activations are from their thresholds, for a regulariser that pushes them away.

h (N, P, U) int32: N images, P positions (1 of a dense layer), U units; threshold (U,) float64. Sums over images are of
integers, so the number of threads cannot change a bit. Loops over units have no branches: LLVM vectorises the first.
"""

import numpy as np

from bnnsim.kernels._jit import kernel


@kernel
def least_margins(h, threshold, reach, place, value, side, start, stop):
    """Of each image and unit the h whose |h - threshold| is least, the first if several tie.

    place, value (N, U) int32: its position, and itself; side (N, U) int8: +1 where it is >= threshold, else -1, and 0
    where |h - threshold| >= reach (U,).
    """
    n_positions, n_units = h.shape[1], h.shape[2]
    least = np.empty(n_units)
    for n in range(start, stop):
        for u in range(n_units):
            least[u] = np.inf
        for p in range(n_positions):
            for u in range(n_units):
                margin = abs(np.float64(h[n, p, u]) - threshold[u])
                nearer = margin < least[u]
                least[u] = margin if nearer else least[u]
                place[n, u] = p if nearer else place[n, u]
        for u in range(n_units):
            value[n, u] = h[n, place[n, u], u]
            above = 1 if value[n, u] >= threshold[u] else -1
            side[n, u] = above if least[u] < reach[u] else 0


@kernel
def sum_sides(value, side, sums, start, stop):
    """sums (3, U) int64: how many sides are not 0, their sum, and that of side * value."""
    sums[:, start:stop] = 0
    for n in range(len(value)):
        for u in range(start, stop):
            which = np.int64(side[n, u])
            sums[0, u] += which * which
            sums[1, u] += which
            sums[2, u] += which * value[n, u]


@kernel
def push_away(place, side, slope, dh, start, stop):
    """dh (N, P, U) at each place -= slope * side: a step against the gradient takes that h away from its threshold."""
    for n in range(start, stop):
        for u in range(dh.shape[2]):
            dh[n, place[n, u], u] -= slope * np.float32(side[n, u])
