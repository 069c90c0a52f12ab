"""Outputs of dense layers whose weights flip at random, from mean and spread of pre-activations; odds of winning.

N images, U units in V words, C classes, S draws; twice_s (U,) int32 is twice the threshold midway between values of h.
"""

import math

import numpy as np

from bnnsim.kernels._jit import inline, kernel

STEPS = 256                         # table entries a standard deviation
LIMIT = 8.0                         # beyond it a probability is 0 or 1
NORMAL = np.array([0.5 * math.erfc(-(i / STEPS - LIMIT) / math.sqrt(2)) for i in range(int(2 * LIMIT * STEPS) + 2)])
ONE = np.uint64(1)


@inline
def normal_below(z, table):
    """The standard normal distribution function, straight between entries of NORMAL: off by 1e-6 at most."""
    place = (min(max(z, -LIMIT), LIMIT) + LIMIT) * STEPS
    i = int(place)
    return table[i] + (place - i) * (table[i + 1] - table[i])


@inline
def _pack_row(row, inverted, out):
    """bits row (U,) bool -> out (V,), xor inverted (V,)."""
    for v in range(out.shape[0]):
        word = np.uint64(0)
        for i in range(min(64, row.shape[0] - 64 * v)):
            if row[64 * v + i]:
                word |= ONE << np.uint64(i)
        out[v] = word ^ inverted[v]


@kernel
def drawn_bits(h, twice_s, keep, sigma, noise, inverted, out, start, stop):
    """Output words out (N, V) of one draw: keep * h + sigma * noise > s, xor inverted.

    h (N, U) int32, sigma (N,) float32, noise (N, U) float32 standard normal.
    """
    row = np.empty(h.shape[1], np.bool_)
    for n in range(start, stop):
        for u in range(h.shape[1]):
            row[u] = keep * h[n, u] + sigma[n] * noise[n, u] > np.float32(0.5) * twice_s[u]
        _pack_row(row, inverted, out[n])


@kernel
def expected_outputs(h, twice_s, keep, sigma, sign, table, out, start, stop):
    """Expected outputs out (N, U) float32 in [-1, 1]; as in `drawn_bits`, sign (U,) float32."""
    for n in range(start, stop):
        inverse = np.float32(1.0) / sigma[n] if sigma[n] > 0 else np.float32(1e30)
        for u in range(h.shape[1]):
            z = (keep * h[n, u] - np.float32(0.5) * twice_s[u]) * inverse
            out[n, u] = sign[u] * np.float32(2.0 * normal_below(z, table) - 1.0)


@kernel
def win_odds(mean, root, labels, lead, draws, out, start, stop):
    """Share of draws in which the label's score is the largest: out (N,).

    mean (N, C), root (N, C, C) lower Cholesky factors, lead (C, C): score y beats c where it is above z_c + lead[y, c],
    draws (D, S, C) standard normal: image n takes set n % D.
    """
    n_classes = mean.shape[1]
    z = np.empty(n_classes)
    for n in range(start, stop):
        y, wins = labels[n], 0
        points = draws[n % draws.shape[0]]
        for s in range(points.shape[0]):
            for c in range(n_classes):
                total = mean[n, c]
                for i in range(c + 1):
                    total += root[n, c, i] * points[s, i]
                z[c] = total
            won = True
            for c in range(n_classes):
                won &= (c == y) | (z[y] > z[c] + lead[y, c])
            wins += won
        out[n] = wins / points.shape[0]
