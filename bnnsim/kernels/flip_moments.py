"""Outputs of layers whose weights flip at random, from mean and spread of pre-activations; and odds of winning a class.

N images, P positions, Q pooled positions, U units in V words, C classes, S draws; kind (P,) says at which border a
position lies, B kinds; twice_s (B, U) int32 is twice the threshold midway between values of h.
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
def drawn_bits(h, twice_s, kind, keep, sigma, noise, width, pool, inverted, out, start, stop):
    """Output words out (N, Q, V) of one draw: keep * h + sigma * noise > s, pooled by OR, xor inverted.

    h (N, P, U) int32, sigma (N, P) float32, noise (N, P, U) float32 standard normal.
    """
    n_across, n_units = width // pool, h.shape[2]
    row = np.empty(n_units, np.bool_)
    for n in range(start, stop):
        for q in range(out.shape[1]):
            row[:] = False
            first = q // n_across * pool * width + q % n_across * pool
            for entry in range(pool * pool):
                p = first + entry // pool * width + entry % pool
                s, spread = twice_s[kind[p]], sigma[n, p]
                for u in range(n_units):
                    row[u] |= keep * h[n, p, u] + spread * noise[n, p, u] > np.float32(0.5) * s[u]
            _pack_row(row, inverted, out[n, q])


@kernel
def odds_bits(odds, noise, inverted, out, start, stop):
    """Output words out (N, Q, V) of one draw: noise < odds, both (N, Q, U) float32 in 0..1, xor inverted."""
    row = np.empty(odds.shape[2], np.bool_)
    for n in range(start, stop):
        for q in range(out.shape[1]):
            for u in range(odds.shape[2]):
                row[u] = noise[n, q, u] < odds[n, q, u]
            _pack_row(row, inverted, out[n, q])


@kernel
def expected_outputs(h, twice_s, keep, sigma, sign, table, out, start, stop):
    """Expected outputs out (N, U) float32 in [-1, 1] of a dense layer: h (N, 1, U), sigma (N, 1), sign (U,) float32."""
    for n in range(start, stop):
        inverse = np.float32(1.0) / sigma[n, 0] if sigma[n, 0] > 0 else np.float32(1e30)
        for u in range(h.shape[2]):
            z = (keep * h[n, 0, u] - np.float32(0.5) * twice_s[0, u]) * inverse
            out[n, u] = sign[u] * np.float32(2.0 * normal_below(z, table) - 1.0)


@inline
def _count_windows(patches, first, width, pool, signs, theta, sums, counts):
    """counts (F + 1, U): over all flips of F weights, how often some entry of the window is at theta or above."""
    n_features, n_units = signs.shape
    flipped = np.zeros(n_features, np.bool_)
    n_flipped = 0
    for mask in range(2**n_features):
        for u in range(n_units):
            best = sums[0, u]
            for entry in range(1, pool * pool):
                best = max(best, sums[entry, u])
            counts[n_flipped, u] += 1 if best >= theta[u] else 0
        k, rest = 0, mask + 1                                   # Gray code: the next mask differs in one weight
        while rest & 1 == 0:
            rest >>= 1
            k += 1
        if k < n_features:
            flipped[k] = not flipped[k]
            n_flipped += 1 if flipped[k] else -1
            for entry in range(pool * pool):
                step = np.int32(patches[first + entry // pool * width + entry % pool, k])
                step = np.int32(-2) * step if flipped[k] else np.int32(2) * step
                for u in range(n_units):
                    sums[entry, u] += step * signs[k, u]


@kernel
def window_counts(patches, h, signs, theta, width, pool, out, start, stop):
    """Of all flips of j weights of a small filter, in how many a pooled position is 1: out (N, Q, F + 1, U) int32.

    patches (N, P, F) int16, h (N, P, U) int32, signs (F, U) int8, theta (U,) int32; out comes zeroed.
    """
    n_across = width // pool
    sums = np.empty((pool * pool, h.shape[2]), np.int32)
    for n in range(start, stop):
        for q in range(out.shape[1]):
            first = q // n_across * pool * width + q % n_across * pool
            for entry in range(pool * pool):
                sums[entry] = h[n, first + entry // pool * width + entry % pool]
            _count_windows(patches[n], first, width, pool, signs, theta, sums, out[n, q])


@kernel
def win_odds(mean, root, labels, lead, draws, out, start, stop):
    """Share of draws in which the label's score is the largest: out (N,).

    mean (N, C), root (N, C, C) lower Cholesky factors, lead (C, C): score y beats c where it is above z_c + lead[y, c],
    draws (S, C) standard normal.
    """
    n_classes = mean.shape[1]
    z = np.empty(n_classes)
    for n in range(start, stop):
        y, wins = labels[n], 0
        for s in range(draws.shape[0]):
            for c in range(n_classes):
                total = mean[n, c]
                for i in range(c + 1):
                    total += root[n, c, i] * draws[s, i]
                z[c] = total
            won = True
            for c in range(n_classes):
                won &= (c == y) | (z[y] > z[c] + lead[y, c])
            wins += won
        out[n] = wins / draws.shape[0]
