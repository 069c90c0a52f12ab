"""Random bit errors in packed words, drawn from a counter: any bit's draw can be had alone, in any order.

Philox4x64-10 (Salmon, Moraes, Dror, Shaw, SC'11), NumPy's `Philox`. Word w of an array owns counters 8 w .. 8 w + 7;
each gives four 64-bit outputs, hence eight 32-bit draws, low half first: bit i of the word has draw i.
A bit flips iff its 64-bit u < p * 2^64. The upper 32 bits are the draw; the lower 32, needed once in 2^32 draws, come
from a second key. The rate is in no key, so one chip's flips at a lower rate are a subset of those at a higher one.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.simd import multiply_high

M0, M1 = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
W0, W1 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)
SECOND_KEY = np.uint64(0xA5A5A5A5A5A5A5A5)
HALF, LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


@inline
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


@inline
def _draw(counter, quarter, half, key0, key1):
    """One 32-bit draw; for the rare second draw of a bit."""
    word = philox(counter, key0, key1)[quarter]
    return word >> HALF if half else word & LOW


@inline
def _flip_mask(index, n_bits, key0, key1, high, low):
    """The flips of word `index`, of which the first n_bits exist, for the 64-bit threshold (high, low)."""
    mask = np.uint64(0)
    for block in range((n_bits + 7) // 8):
        counter = np.uint64(8 * index + block)
        outputs = philox(counter, key0, key1)
        for quarter in range(4):
            for half in range(2):
                u = outputs[quarter] >> HALF if half else outputs[quarter] & LOW
                flips = u < high
                if u == high:
                    flips = _draw(counter, quarter, half, key0, key1 ^ SECOND_KEY) < low
                mask |= np.uint64(flips) << np.uint64(8 * block + 2 * quarter + half)
    return mask if n_bits == 64 else mask & ((np.uint64(1) << np.uint64(n_bits)) - np.uint64(1))


@kernel
def flip_masks(n_features, key0, key1, high, low, masks, start, stop):
    """Masks (N, ceil(F / 64)) of independent flips, each bit with probability (high * 2^32 + low) / 2^64."""
    n_words = masks.shape[1]
    for n in range(start, stop):
        for w in range(n_words):
            masks[n, w] = _flip_mask(n * n_words + w, min(64, n_features - 64 * w), key0, key1, high, low)
