"""What it takes at the last layer to overtake the winner: flips of its own weights, exactly, and changes of its inputs.

N images, R rows about image rows[r] of N, C classes, F summands of a row in W words, winner y (N,). Scores are
(h - mean) * scale + shift, as `batchnorm.affine` computes them; ties go to the lowest class.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.analysis.reach import ONE, count_bits
from bnnsim.kernels.analysis.tolerance import NEVER
from bnnsim.kernels.norm.batchnorm import affine


# ---------------------------------------------------------------- flips of the last layer's weights, exact

@inline
def _overtakes(h, y, c, fall, rise, norm):
    """Whether class c beats y once h_y has moved by 2 `fall` against it, and h_c by 2 `rise` in its favour."""
    z_y = affine(h[y] - (2 * fall if norm[1, y] > 0 else -2 * fall), norm[0, y], norm[1, y], norm[2, y])
    z_c = affine(h[c] + (2 * rise if norm[1, c] > 0 else -2 * rise), norm[0, c], norm[1, c], norm[2, c])
    return z_c > z_y or (z_c == z_y and c < y)


@inline
def _fewest(h, y, c, falls, n_falls, rises, n_rises, norm, best):
    """Fewest flips, of row y and row c together, with which c beats y, if fewer than `best`; falls and rises are prefix
    sums of what flips move h by, the largest first. For each number of falls the rises needed only get fewer."""
    b = n_rises + 1                                              # the least number of rises; n_rises + 1: not even all
    for a in range(n_falls + 1):
        if a >= best:
            break
        while b > 0 and _overtakes(h, y, c, falls[a], rises[b - 1], norm):
            b -= 1
        if b <= n_rises:
            best = min(best, a + b)
    return best


@inline
def _prefixes(values, order, weight, sign, out):
    """Prefix sums (F + 1,) of the magnitudes of summands of this sign, largest first; returns how many."""
    n = 0
    for k in range(len(order)):
        f = np.int64(order[k])
        value = np.int64(values[f])
        if value == 0:
            break
        plus = (weight[f >> 6] >> np.uint64(f & 63)) & ONE == ONE
        if ((value > 0) == plus) == (sign > 0):
            out[n + 1] = out[n] + abs(value)
            n += 1
    return n


@kernel
def last_flips_pixels(values, order, words, h, y, norm, out, start, stop):
    """A network of one layer: values (N, F) int16, the largest magnitudes first by order (N, F); see `last_flips`."""
    falls, rises = np.zeros(values.shape[1] + 1, np.int64), np.zeros(values.shape[1] + 1, np.int64)
    for n in range(start, stop):
        best, side = NEVER, norm[1, y[n]]
        n_falls = _prefixes(values[n], order[n], words[y[n]], side, falls) if side != 0 else 0
        for c in range(words.shape[0]):
            if c != y[n]:
                side = norm[1, c]
                n_rises = _prefixes(values[n], order[n], words[c], -side, rises) if side != 0 else 0
                best = _fewest(h[n], y[n], c, falls, n_falls, rises, n_rises, norm, best)
        out[n] = best


@kernel
def last_flips(n_features, h, y, norm, out, start, stop):
    """Fewest flips of the last layer's weights that change the class, NEVER where none do: h (N, C) int64 -> out (N,).

    norm (3, C): mean, scale, shift. A row with scale > 0 has (F + h) / 2 summands of +1, whose flips lower its score.
    """
    units = np.arange(n_features + 1)
    for n in range(start, stop):
        best, side = NEVER, norm[1, y[n]]
        n_falls = (n_features + (h[n, y[n]] if side > 0 else -h[n, y[n]])) // 2 if side != 0 else 0
        for c in range(h.shape[1]):
            if c != y[n]:
                side = norm[1, c]
                n_rises = (n_features - (h[n, c] if side > 0 else -h[n, c])) // 2 if side != 0 else 0
                best = _fewest(h[n], y[n], c, units, n_falls, units, n_rises, norm, best)
        out[n] = best


# ---------------------------------------------------------------- changes of the last layer's inputs

@inline
def _kinds(y, c, scale, values):
    """Gain of a rival from an input whose change (0) lowers z_y and raises z_c, (1) only the one of larger scale."""
    a, b = abs(scale[y]), abs(scale[c])
    values[0], values[1] = 2 * (a + b), 2 * abs(a - b)
    return a >= b


@inline
def _push(x, weight, scale, w):
    """Inputs of word w that hold a score up: their change lowers it; both ways where scale is 0, and nothing moves."""
    return ~(x[w] ^ weight[w]) if scale > 0 else x[w] ^ weight[w]


@kernel
def input_gains(rows, x, reached, most, words, y, scale, out, start, stop):
    """The most by which each rival gains on the winner where at most most[r] of the inputs `reached` (R, W) change.

    -> out (R, C) float64, 0 for the winner.
    """
    values = np.zeros(2)
    for r in range(start, stop):
        n = rows[r]
        for c in range(words.shape[0]):
            n_both, n_one, first = 0, 0, _kinds(y[n], c, scale, values)
            for w in range(words.shape[1]):
                if reached[r, w] != 0:
                    lowers = _push(x[n], words[y[n]], scale[y[n]], w)
                    raises = ~_push(x[n], words[c], scale[c], w)
                    n_both += count_bits(lowers & raises & reached[r, w])
                    n_one += count_bits((lowers & ~raises if first else raises & ~lowers) & reached[r, w])
            n_both = min(n_both, most[r])
            out[r, c] = n_both * values[0] + min(n_one, most[r] - n_both) * values[1] if c != y[n] else 0.0


@kernel
def cost_counts(x, cost, words, y, scale, counts, start, stop):
    """counts (N, C, 2, M) int32: how many units have each kind of gain and each cost < M; cost (N, F) int32."""
    values = np.zeros(2)
    for n in range(start, stop):
        counts[n] = 0
        for c in range(words.shape[0]):
            first = _kinds(y[n], c, scale, values)
            for w in range(words.shape[1]):
                lowers = _push(x[n], words[y[n]], scale[y[n]], w)
                raises = ~_push(x[n], words[c], scale[c], w)
                both, one = lowers & raises, lowers & ~raises if first else raises & ~lowers
                for i in range(min(64, cost.shape[1] - 64 * w)):
                    price, bit = cost[n, 64 * w + i], ONE << np.uint64(i)
                    if price < counts.shape[3] and c != y[n]:
                        if both & bit:
                            counts[n, c, 0, price] += 1
                        elif one & bit:
                            counts[n, c, 1, price] += 1


@kernel
def bought_gains(rows, counts, budget, y, scale, out, start, stop):
    """The most that rivals gain for budget[r] flips, a part of a unit's cost bringing as large a part of its gain.

    That relaxation of the knapsack takes units by gain per flip: merges two lists sorted by cost. -> out (R, C).
    """
    values = np.zeros(2)
    for r in range(start, stop):
        n = rows[r]
        for c in range(counts.shape[1]):
            _kinds(y[n], c, scale, values)
            left, gain, p, q, end = budget[r], 0.0, 1, 1, counts.shape[3]
            while left > 0 and (p < end or q < end):
                if q >= end or (p < end and values[0] * q >= values[1] * p):
                    kind, price = 0, p
                    p += 1
                else:
                    kind, price = 1, q
                    q += 1
                spent = min(left, price * np.int64(counts[n, c, kind, price]))
                gain += values[kind] * spent / price
                left -= spent
            out[r, c] = gain if c != y[n] else 0.0
