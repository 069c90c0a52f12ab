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
def counted_bits(counts, weights, noise, inverted, table, out, start, stop):
    """Output words out (N, Q, V) of one draw from `window_counts` (N, Q, F + 1, U), xor inverted.

    The odds of a 1 are the counts of j flips times weights[j], (F + 1,) float32; noise (N, Q, U) standard normal.
    """
    n_units = noise.shape[2]
    row, odds = np.empty(n_units, np.bool_), np.empty(n_units, np.float32)
    for n in range(start, stop):
        for q in range(out.shape[1]):
            odds[:] = 0
            for j in range(weights.shape[0]):
                for u in range(n_units):
                    odds[u] += weights[j] * np.float32(counts[n, q, j, u])
            for u in range(n_units):
                row[u] = normal_below(noise[n, q, u], table) < odds[u]
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
def _add_step(sums, sign, step):
    for u in range(sums.shape[0]):
        sums[u] = np.int16(sums[u] + np.int16(step * sign[u]))


@inline
def _add_above(sums, theta, best, counts):
    """counts (U,) += whether the largest of the window's sums (E, U) is at theta or above."""
    for u in range(best.shape[0]):
        best[u] = sums[0, u]
    for entry in range(1, sums.shape[0]):
        row = sums[entry]
        for u in range(best.shape[0]):
            best[u] = max(best[u], row[u])
    for u in range(best.shape[0]):
        counts[u] = np.int16(counts[u] + (1 if best[u] >= theta[u] else 0))


@inline
def _count_flips(reads, signs, theta, sums, best, counts):
    """counts (F + 1, U) over all flips of F weights: how often some of a window's sums (E, U) reach theta."""
    n_features = signs.shape[0]
    flipped = np.zeros(n_features, np.bool_)
    n_flipped = 0
    for mask in range(2**n_features):
        _add_above(sums, theta, best, counts[n_flipped])
        k, rest = 0, mask + 1                                   # Gray code: the next mask differs in one weight
        while rest & 1 == 0:
            rest >>= 1
            k += 1
        if k < n_features:
            flipped[k] = not flipped[k]
            n_flipped += 1 if flipped[k] else -1
            for entry in range(sums.shape[0]):
                step = np.int16(2 * reads[entry, k])
                if step:
                    _add_step(sums[entry], signs[k], np.int16(-step) if flipped[k] else step)


@inline
def _count_blank(n_features, sums, theta, counts):
    """The same where the window reads nothing: flips change no sum."""
    ways = np.int64(1)
    for j in range(n_features + 1):
        for u in range(theta.shape[0]):
            counts[j, u] = ways if sums[0, u] >= theta[u] else 0
        ways = ways * (n_features - j) // (j + 1)


@kernel
def window_counts(patches, h, signs, theta, width, pool, out, start, stop):
    """Of all flips of j weights of a small filter, in how many a pooled position is 1: out (N, Q, F + 1, U) int16.

    patches (N, P, F) int16, h (N, P, U) int32, signs (F, U) int16, theta (U,) int16: small filters stay below 2^15. out
    comes zeroed.
    """
    n_across = width // pool
    sums, best = np.empty((pool * pool, h.shape[2]), np.int16), np.empty(h.shape[2], np.int16)
    reads = np.empty((pool * pool, signs.shape[0]), np.int16)
    for n in range(start, stop):
        for q in range(out.shape[1]):
            first = q // n_across * pool * width + q % n_across * pool
            for entry in range(pool * pool):
                p = first + entry // pool * width + entry % pool
                reads[entry] = patches[n, p]
                for u in range(h.shape[2]):
                    sums[entry, u] = h[n, p, u]
            if np.any(reads):
                _count_flips(reads, signs, theta, sums, best, out[n, q])
            else:
                _count_blank(signs.shape[0], sums, theta, out[n, q])


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
