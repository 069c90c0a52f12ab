"""Devices programmed and sensed one by one in plain Python; imports nothing from bnnsim.

States are functions of a draw k, 0 <= k < 2^64: the device at probability (k + 1/2) / 2^64 in ln R. The normal quantile
is that of Python's `statistics`.
"""

import math
from statistics import NormalDist

import numpy as np
from naive import philox

STANDARD = NormalDist()


def quantile(p):
    return STANDARD.inv_cdf(p)


def normal(k):
    """Standard normal at (k + 1/2) / 2^64, taken from the nearer end."""
    return -normal(2**64 - 1 - k) if k >= 2**63 else quantile((k + 0.5) / 2**64)


def log_normal(median, sigma):
    return lambda k: math.log(median) + sigma * normal(k)


def conductance(mean, sigma):
    """Normal conductances > 0: high resistance, large k, is low conductance."""
    cut = STANDARD.cdf(-mean / sigma)

    def ln_resistance(k):
        if k >= 2**63:
            return -math.log(mean + sigma * quantile(cut + (1 - cut) * (2**64 - 1 - k + 0.5) / 2**64))
        return -math.log(mean - sigma * quantile((1 - cut) * (k + 0.5) / 2**64))

    return ln_resistance


def samples(ohm):
    values = sorted(math.log(each) for each in ohm)
    return lambda k: values[k * len(values) // 2**64]


def output(key, number):
    """The number-th 64-bit output of a stream."""
    return philox(number // 4, *key)[number % 4]


def is_lrs(wanted, key, number, p_failed, share_lrs):
    """Whether a device is in LRS, dead ones included."""
    draw = output(key, number)
    if draw >> 32 < p_failed * 2**32:
        return draw % 2**32 < share_lrs * 2**32
    return wanted


def faults(bits, lrs, hrs, keys, *, reference=None, offset=0.0, offset_sigma=0.0, read_sigma=0.0, rows=1, taps=1,
           p_failed=0.0, share_lrs=0.5):
    """Which bits (N, F), 0 or 1, read wrong: in pairs, or against a reference where one is given (ln of ohm).

    keys: dict of "device", "amplifier", "read", "failure" to (key0, key1).
    """
    n_words = -(-bits.shape[1] // 64)
    wrong = np.zeros(bits.shape, bool)
    for n, f in np.ndindex(*bits.shape):
        stored = bool(bits[n, f])
        unit, tap = divmod(n, taps)
        place = 64 * (n * n_words + f // 64) + f % 64
        amplifier = 64 * ((unit // rows * taps + tap) * n_words + f // 64) + f % 64
        numbers = 2 * place, 2 * place + 1
        draws = [output(keys["device"], number) for number in numbers]
        found = [is_lrs(wanted, keys["failure"], number, p_failed, share_lrs)
                 for wanted, number in zip((stored, not stored), numbers)]
        first, second = ((lrs if low else hrs)(k) for low, k in zip(found, draws))
        if reference is not None:
            reads, tie = first < reference, first == reference and draws[0] % 2
        else:
            first += offset
            first += offset_sigma * normal(output(keys["amplifier"], amplifier))
            first += read_sigma * normal(output(keys["read"], place))
            reads, tie = first < second, first == second and (draws[0] + draws[1]) % 2
        wrong[n, f] = bool(reads or tie) != stored
    return wrong
