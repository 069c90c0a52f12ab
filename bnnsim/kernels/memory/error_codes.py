"""Error-correcting codes on rows of bits: SECDED Hamming codes, and repetition with a majority vote.

A row of N data bits is cut into words of k; the last one may be shorter. A stored row has, word after word, the data
bits and then the check bits: r of a Hamming code and one over all of them.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.words.bit_fields import ONE, get_bits, or_bits


@inline
def _parity(word):
    """1 where an odd number of bits is set."""
    for shift in (32, 16, 8, 4, 2, 1):
        word ^= word >> np.uint64(shift)
    return word & ONE


@inline
def _check_bits(data, covers):
    """The r + 1 check bits of a data word; covers (r,) are the data bits that each Hamming check counts."""
    checks = np.uint64(0)
    for j in range(len(covers)):
        checks |= _parity(data & covers[j]) << np.uint64(j)
    return checks | (_parity(data) ^ _parity(checks)) << np.uint64(len(covers))


@kernel
def secded_encode(data, n_bits, k, covers, stored, start, stop):
    """data (U, ceil(N / 64)) -> stored (U, words of N + (r + 1) * ceil(N / k) bits)."""
    n_checks = len(covers) + 1
    for u in range(start, stop):
        stored[u, :] = 0
        at = 0
        for first in range(0, n_bits, k):
            count = min(k, n_bits - first)
            word = get_bits(data, u, first, count)
            or_bits(stored, u, at, word, count)
            or_bits(stored, u, at + count, _check_bits(word, covers), n_checks)
            at += count + n_checks


@kernel
def secded_decode(stored, n_bits, k, covers, corrects, data, start, stop):
    """stored -> data, as `secded_encode` has them; one wrong bit of a word is corrected.

    Where the parity over a whole word is odd, the data bit corrects[syndrome] is flipped, -1 meaning none: three wrong
    bits can so become four. Where it is even, nothing is: two wrong bits stay.
    """
    n_checks = len(covers) + 1
    hamming = (ONE << np.uint64(len(covers))) - ONE
    for u in range(start, stop):
        data[u, :] = 0
        at = 0
        for first in range(0, n_bits, k):
            count = min(k, n_bits - first)
            word = get_bits(stored, u, at, count)
            checks = get_bits(stored, u, at + count, n_checks)
            if _parity(word) ^ _parity(checks):
                wrong = corrects[np.int64((_check_bits(word, covers) ^ checks) & hamming)]
                if 0 <= wrong < count:
                    word ^= ONE << np.uint64(wrong)
            or_bits(data, u, first, word, count)
            at += count + n_checks


@kernel
def repeat_encode(data, n_bits, copies, stored, start, stop):
    """data (U, ceil(N / 64)) -> stored (U, ceil(copies * N / 64)): whole rows, one behind the other."""
    for u in range(start, stop):
        stored[u, :] = 0
        for copy in range(copies):
            for first in range(0, n_bits, 64):
                count = min(64, n_bits - first)
                or_bits(stored, u, copy * n_bits + first, get_bits(data, u, first, count), count)


@kernel
def repeat_decode(stored, n_bits, copies, data, start, stop):
    """The bit that most of 3, 5 or 7 copies have.

    64 counters of three bits (ones, twos, fours) start at 4 - (copies + 1) / 2: a majority brings them to 4 or more.
    """
    lead = 4 - (copies + 1) // 2
    for u in range(start, stop):
        for first in range(0, n_bits, 64):
            count = min(64, n_bits - first)
            ones = ~np.uint64(0) if lead & 1 else np.uint64(0)
            twos = ~np.uint64(0) if lead & 2 else np.uint64(0)
            fours = np.uint64(0)
            for copy in range(copies):
                word = get_bits(stored, u, copy * n_bits + first, count)
                carry = ones & word
                ones ^= word
                fours |= twos & carry
                twos ^= carry
            data[u, first >> 6] = fours if count == 64 else fours & ((ONE << np.uint64(count)) - ONE)
