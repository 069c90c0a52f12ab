"""Counting which bits of packed words change, bit by bit."""

import numpy as np

from bnnsim.kernels._jit import kernel

ONE = np.uint64(1)


@kernel
def count_changes(before, after, counts, start, stop):
    """counts (F,) += 1 where bit f of after (1, W) is not that of before; start and stop are words, F at most 64 W."""
    for w in range(start, stop):
        changed, f = before[0, w] ^ after[0, w], 64 * w
        while changed:
            if changed & ONE:
                counts[f] += np.float32(1)
            changed >>= ONE
            f += 1


@kernel
def gather_sizes(chosen, values, found, start, stop):
    """found (n,) gets |value| of the n values (F,) whose bit of chosen (W,) is 1, in order."""
    n = 0
    for w in range(start, stop):
        bits, f = chosen[w], 64 * w
        while bits:
            if bits & ONE:
                found[n] = abs(values[f])
                n += 1
            bits >>= ONE
            f += 1


@kernel
def write_largest(waiting, chosen, before, least, n_equal, smallest, values, writes, start, stop):
    """Of the values (F,) with a bit of waiting (W,) the chosen (W,) above `least` are written, and n_equal equal ones.

    writes (F,) counts them. The others are put back to the side that their bit of before (W,) says: 0, or -smallest.
    """
    for w in range(start, stop):
        bits, f = waiting[w], 64 * w
        while bits:
            if bits & ONE:
                size, bit = abs(values[f]), ONE << np.uint64(f & 63)
                written = chosen[w] & bit != 0 and size >= least
                if written and size == least:
                    written = n_equal > 0
                    n_equal -= 1
                if written:
                    writes[f] += np.float32(1)
                else:
                    values[f] = np.float32(0) if before[w] & bit else -smallest
            bits >>= ONE
            f += 1
