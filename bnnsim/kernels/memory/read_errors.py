"""Sums that are read wrong: each pre-activation moves by a step of a distribution, by one draw of its own.

The draws are those of `random_bits.flip_masks`: sum u of row r is bit u of the row's words, and has its 32-bit draw. A
step is found in a cumulative table: at two error rates, of which the tables are ordered, one draw gives ordered steps.

R rows of U units, row r at position r % P of a map; T tables of K entries.
"""

import numpy as np

from bnnsim.kernels._jit import kernel
from bnnsim.kernels.words.random_bits import HALF, LOW, philox


@kernel
def moved_sums(h, summands, table_at, by_sum, tables, least, guide, key0, key1, start, stop):
    """h (R, U) int32, in place: sums of n +-1 move by twice a step, and stay within -n .. n.

    summands, table_at (P,) int64: n, and the row of tables that holds; with `by_sum` that of the sum h = 2 a - n is a
    rows further. tables (T, K) uint64: 2^32 times P(step <= least + k), k = 0 .. K - 1, the last one 2^32; least (T,)
    int64; guide (T, 256) int32: from which entry on to look, by the upper eight bits of a draw.
    """
    n_words = (h.shape[1] + 63) // 64
    for r in range(start, stop):
        n, table = summands[r % len(summands)], table_at[r % len(summands)]
        for group in range((h.shape[1] + 7) // 8):
            words = philox(np.uint64(8 * (r * n_words + (group >> 3)) + (group & 7)), key0, key1)
            for j in range(min(8, h.shape[1] - 8 * group)):
                u = 8 * group + j
                draw = words[j >> 1] >> HALF if j & 1 else words[j >> 1] & LOW
                t = table + ((h[r, u] + n) >> 1 if by_sum else 0)
                k = guide[t, draw >> np.uint64(24)]
                while draw >= tables[t, k]:
                    k += 1
                h[r, u] = min(max(h[r, u] + 2 * (least[t] + k), -n), n)


@kernel
def guides(tables, guide, start, stop):
    """guide (T, 256): how many entries of each table are at most the least draw with such upper eight bits."""
    for t in range(start, stop):
        k = 0
        for upper in range(256):
            while tables[t, k] <= np.uint64(upper << 24):
                k += 1
            guide[t, upper] = k


@kernel
def sensed_tables(pmf, tables, start, stop):
    """tables (n + 1, 2 W - 1) uint64, row a: 2^32 times P(gained - lost <= its least + k).

    pmf (n + 1, W): weights of gained are row n - a, of lost row a; they need not add up to 1.
    """
    n, width = len(pmf) - 1, pmf.shape[1]
    sums = np.empty(tables.shape[1])
    for a in range(start, stop):
        sums[:] = 0.0
        for i in range(width):
            lost = pmf[a, width - 1 - i]
            if lost > 0.0:
                for j in range(width):
                    sums[i + j] += lost * pmf[n - a, j]
        whole = 0.0
        for k in range(len(sums)):
            whole += sums[k]
            sums[k] = whole
        for k in range(len(sums)):
            tables[a, k] = np.uint64(np.rint(4294967296.0 * (sums[k] / whole)))
