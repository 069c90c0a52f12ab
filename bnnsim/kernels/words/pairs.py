"""Bits side by side in pairs: of two rows bit for bit, of one row twice, and one row out of such a row.

N rows, F features in W = ceil(F / 64) words; a row of pairs has 2 F bits in ceil(2 F / 64) words: bit 2 f is that of
the first row at f, bit 2 f + 1 that of the second.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel

HALVES = (np.uint64(0x0000FFFF0000FFFF), np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0F0F0F0F0F0F0F0F),
          np.uint64(0x3333333333333333), np.uint64(0x5555555555555555))
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@inline
def spread(word):
    """The low 32 bits of a word, a 0 behind each."""
    word &= LOW
    word = (word | word << np.uint64(16)) & HALVES[0]
    word = (word | word << np.uint64(8)) & HALVES[1]
    word = (word | word << np.uint64(4)) & HALVES[2]
    word = (word | word << np.uint64(2)) & HALVES[3]
    return (word | word << np.uint64(1)) & HALVES[4]


@inline
def gathered(word):
    """Every second bit of a word from the first on, in the low 32 bits: `spread` back."""
    word &= HALVES[4]
    word = (word | word >> np.uint64(1)) & HALVES[3]
    word = (word | word >> np.uint64(2)) & HALVES[2]
    word = (word | word >> np.uint64(4)) & HALVES[1]
    word = (word | word >> np.uint64(8)) & HALVES[0]
    return (word | word >> np.uint64(16)) & LOW


@kernel
def pair_up(first, second, out, start, stop):
    """first and second (N, W) -> out (N, ceil(2 F / 64)); what is 0 behind F stays 0."""
    for n in range(start, stop):
        for w in range(out.shape[1]):
            shift = HALF if w & 1 else np.uint64(0)
            out[n, w] = spread(first[n, w >> 1] >> shift) | spread(second[n, w >> 1] >> shift) << np.uint64(1)


@kernel
def first_of_pairs(pairs, out, start, stop):
    """pairs (N, ceil(2 F / 64)) -> out (N, W): the first row of `pair_up`."""
    for n in range(start, stop):
        for w in range(out.shape[1]):
            out[n, w] = gathered(pairs[n, 2 * w])
            if 2 * w + 1 < pairs.shape[1]:
                out[n, w] |= gathered(pairs[n, 2 * w + 1]) << HALF
