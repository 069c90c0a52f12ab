"""Random bit errors in packed words, drawn from a counter: any bit's draw can be had alone, in any order.

Philox4x64-10 (Salmon, Moraes, Dror, Shaw, SC'11), NumPy's `Philox`. Word w of an array owns counters 8 w .. 8 w + 7;
each gives four 64-bit outputs, hence eight 32-bit draws, low half first: bit i of the word has draw i.
A bit flips iff its 64-bit u < p * 2^64. The upper 32 bits are the draw; the lower 32, needed once in 2^32 draws, come
from a second key. The rate is in no key, so one chip's flips at a lower rate are a subset of those at a higher one,
and one pass over the draws serves any number of rates.
"""

import numpy as np

from bnnsim.kernels._arrays import zeros
from bnnsim.kernels._jit import always_inline, kernel, inline
from bnnsim.kernels.words.packing import ALL, unit_mask
from bnnsim.kernels.words.vector_words import draws_below, draws_equal, multiply_high

M0, M1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
W0, W1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
SECOND_KEY = np.uint64(0xA5A5A5A5A5A5A5A5)
HALF, LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


@always_inline
def philox(counter, key0, key1):
    """Four uint64 for counter (counter, 0, 0, 0)."""
    c0, c1, c2, c3 = counter, np.uint64(0), np.uint64(0), np.uint64(0)
    for _ in range(10):
        high0, low0 = multiply_high(M0, c0), M0 * c0
        high1, low1 = multiply_high(M1, c2), M1 * c2
        c0, c1, c2, c3 = high1 ^ c1 ^ key0, low1, high0 ^ c3 ^ key1, low0
        key0 += W0
        key1 += W1
    return c0, c1, c2, c3


@always_inline
def _draw_word(index, n_bits, key0, key1, draws):
    """The 64 draws of word `index` -> draws (32,) uint64; those of the first n_bits at least."""
    for block in range((n_bits + 7) // 8):
        draws[4 * block], draws[4 * block + 1], draws[4 * block + 2], draws[4 * block + 3] = philox(
            np.uint64(8 * index + block), key0, key1)


@inline
def _second_draws(index, bits, key0, key1, low):
    """Which of the bits whose first draw was a tie flip by their second draw; once in 2^32 draws."""
    flips = np.uint64(0)
    for i in range(64):
        if (bits >> np.uint64(i)) & np.uint64(1):
            word = philox(np.uint64(8 * index + (i >> 3)), key0, key1 ^ SECOND_KEY)[(i & 7) >> 1]
            if (word >> HALF if i & 1 else word & LOW) < low:
                flips |= np.uint64(1) << np.uint64(i)
    return flips


@kernel
def flip_masks(n_features, key0, key1, high, low, masks, start, stop):
    """Masks (R, N, ceil(F / 64)) of flips at R rates; at rate r each bit's is (high[r] * 2^32 + low[r]) / 2^64."""
    n_rates, _, n_words = masks.shape
    draws = zeros(32, np.uint64)
    for n in range(start, stop):
        for w in range(n_words):
            index, n_bits = n * n_words + w, min(64, n_features - 64 * w)
            _draw_word(index, n_bits, key0, key1, draws)
            for r in range(n_rates):
                flips = ALL
                if high[r] <= LOW:                              # else the probability is 1
                    flips, ties = draws_below(draws, high[r]), draws_equal(draws, high[r])
                    if ties:
                        flips |= _second_draws(index, ties, key0, key1, low[r])
                masks[r, n, w] = flips & unit_mask(n_features, w)
