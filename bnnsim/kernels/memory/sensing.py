"""Memory devices programmed and sensed one by one, straight into fault masks: no array of resistances exists.

Every device owns one 64-bit draw k of a counter-based stream (`random_bits.philox`), which is its place
(k + 1/2) / 2^64 in the distribution of ln R of the state it is programmed to; ln R grows with k. A normal quantile is
Wichura's, with a relative error of some 1e-16 in either tail down to probability 2^-65 (9.2 sigma): error rates of
1e-6, or 1e-12, are as true as larger ones, and only the number of bits limits what can be seen of them.

Word w of an array owns counters 32 w .. 32 w + 31: bit i has outputs 2 (i % 2) and 2 (i % 2) + 1 of counter
32 w + i // 2, the first device and the second. A cell of one device uses the first only, so that both kinds of cell
can be compared on the same devices. Amplifiers, read noise and failures have keys of their own.

N rows of W = ceil(F / 64) words.
"""

from math import log, sqrt
from typing import NamedTuple

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.words.bit_fields import ONE
from bnnsim.kernels.words.random_bits import HALF, LOW, philox
from bnnsim.kernels.words.vector_words import multiply_high

LOG_NORMAL, CONDUCTANCE, SAMPLES = 0, 1, 2          # kinds of a StateNumbers
TOP, UNIT = np.uint64(63), 2.0**-64


class StateNumbers(NamedTuple):
    """Distribution of ln R: LOG_NORMAL a + b z; CONDUCTANCE -ln(a + b z), z cut at P(z) = c; or one of the samples."""

    kind: int
    a: float
    b: float
    c: float
    samples: np.ndarray             # float64, ascending ln R


class Amplifier(NamedTuple):
    """What disturbs a comparison, in ln R; how many units share an amplifier, of how many packed rows (taps) each."""

    offset: float
    offset_sigma: float
    read_sigma: float
    units: int
    taps: int


class FailureThresholds(NamedTuple):
    """32-bit thresholds: a device is stuck iff one draw is below `failed`, in LRS iff the other is below `lrs`."""

    failed: np.uint64
    lrs: np.uint64


class Keys(NamedTuple):
    """Keys of the streams."""

    device: tuple
    amplifier: tuple
    read: tuple
    failure: tuple


@inline
def lower_quantile(p):
    """The normal quantile of p in (0, 0.925]: M. J. Wichura, algorithm AS 241 (PPND16), Applied Statistics 37, 1988."""
    q = p - 0.5
    if q >= -0.425:
        r = 0.180625 - q * q
        top = (((((((2.5090809287301226727e3 * r + 3.3430575583588128105e4) * r + 6.7265770927008700853e4) * r
                   + 4.5921953931549871457e4) * r + 1.3731693765509461125e4) * r + 1.9715909503065514427e3) * r
                + 1.3314166789178437745e2) * r + 3.3871328727963666080e0)
        bottom = (((((((5.2264952788528545610e3 * r + 2.8729085735721942674e4) * r + 3.9307895800092710610e4) * r
                      + 2.1213794301586595867e4) * r + 5.3941960214247511077e3) * r + 6.8718700749205790830e2) * r
                   + 4.2313330701600911252e1) * r + 1.0)
        return q * top / bottom
    r = sqrt(-log(p))
    if r <= 5.0:
        r -= 1.6
        top = (((((((7.74545014278341407640e-4 * r + 2.27238449892691845833e-2) * r + 2.41780725177450611770e-1) * r
                   + 1.27045825245236838258e0) * r + 3.64784832476320460504e0) * r + 5.76949722146069140550e0) * r
                + 4.63033784615654529590e0) * r + 1.42343711074968357734e0)
        bottom = (((((((1.05075007164441684324e-9 * r + 5.47593808499534494600e-4) * r + 1.51986665636164571966e-2) * r
                      + 1.48103976427480074590e-1) * r + 6.89767334985100004550e-1) * r + 1.67638483018380384940e0) * r
                   + 2.05319162663775882187e0) * r + 1.0)
        return -top / bottom
    r -= 5.0
    top = (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 1.24266094738807843860e-3) * r
               + 2.65321895265761230930e-2) * r + 2.96560571828504891230e-1) * r + 1.78482653991729133580e0) * r
            + 5.46378491116411436990e0) * r + 6.65790464350110377720e0)
    bottom = (((((((2.04426310338993978564e-15 * r + 1.42151175831644588870e-7) * r + 1.84631831751005468180e-5) * r
                  + 7.86869131145613259100e-4) * r + 1.48753612908506148525e-2) * r + 1.36929880922735805310e-1) * r
               + 5.99832206555887937690e-1) * r + 1.0)
    return -top / bottom


@inline
def normal(k):
    """Standard normal at probability (k + 1/2) / 2^64; symmetric: normal(~k) = -normal(k)."""
    upper = k >> TOP                                            # no branch: it would be guessed wrong half of the time
    p = (np.float64(np.int64(k ^ (np.uint64(0) - upper))) + 0.5) * UNIT
    return lower_quantile(p) * (1.0 - 2.0 * np.float64(upper))


@inline
def ln_resistance(k, state):
    """ln R of the device with draw k."""
    if state.kind == LOG_NORMAL:
        return state.a + state.b * normal(k)
    if state.kind == SAMPLES:
        return state.samples[multiply_high(k, np.uint64(len(state.samples)))]
    if k >> TOP:                                                # high resistance: the lower part of the conductances
        g = state.a + state.b * lower_quantile(state.c + (1.0 - state.c) * (np.float64(~k) + 0.5) * UNIT)
    else:
        g = state.a - state.b * lower_quantile((1.0 - state.c) * (np.float64(k) + 0.5) * UNIT)
    return -log(max(g, 1e-12 * state.a))


@inline
def _is_lrs(wanted, draw, failures):
    """Whether a device is in LRS, once the dead ones stay where they are."""
    if draw >> HALF < failures.failed:
        return draw & LOW < failures.lrs
    return wanted


@inline
def _device(k, is_lrs, lrs, hrs):
    if lrs.kind == LOG_NORMAL and hrs.kind == LOG_NORMAL:       # 0.33 s in place of 0.50 s for 5.8 M pairs: no branch
        return (lrs.a if is_lrs else hrs.a) + (lrs.b if is_lrs else hrs.b) * normal(k)
    return ln_resistance(k, lrs) if is_lrs else ln_resistance(k, hrs)


@inline
def _four_normals(counter, key):
    a, b, c, d = philox(counter, key[0], key[1])
    return normal(a), normal(b), normal(c), normal(d)


@inline
def _pair_word(word, index, amplifier_index, n_bits, lrs, hrs, amplifier, failures, keys):
    """Wrong bits among the first n_bits of a word of pairs."""
    mask, offsets, noise = np.uint64(0), (0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)
    draws = (np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0))
    dead = draws
    for i in range(n_bits):
        if i % 4 == 0 and amplifier.offset_sigma > 0.0:
            offsets = _four_normals(np.uint64(16 * amplifier_index + i // 4), keys.amplifier)
        if i % 4 == 0 and amplifier.read_sigma > 0.0:
            noise = _four_normals(np.uint64(16 * index + i // 4), keys.read)
        if i % 2 == 0:
            draws = philox(np.uint64(32 * index + i // 2), keys.device[0], keys.device[1])
            if failures.failed:
                dead = philox(np.uint64(32 * index + i // 2), keys.failure[0], keys.failure[1])
        one = bool(word >> np.uint64(i) & ONE)
        k0, k1 = draws[2 * (i % 2)], draws[2 * (i % 2) + 1]
        first = _device(k0, _is_lrs(one, dead[2 * (i % 2)], failures), lrs, hrs)
        second = _device(k1, _is_lrs(not one, dead[2 * (i % 2) + 1], failures), lrs, hrs)
        first += amplifier.offset + amplifier.offset_sigma * offsets[i % 4] + amplifier.read_sigma * noise[i % 4]
        reads_one = first < second
        if first == second:                                     # equal samples: the amplifier falls either way
            reads_one = bool((k0 ^ k1) & ONE)
        mask |= np.uint64(reads_one != one) << np.uint64(i)
    return mask


@kernel
def pair_faults(words, n_features, lrs, hrs, amplifier, failures, keys, masks, start, stop):
    """Masks (N, W) of the bits that pairs of devices get wrong; a 1 is LRS first, it reads 1 iff R_first < R_second."""
    n_words, taps = masks.shape[1], amplifier.taps
    for n in range(start, stop):
        row = n // taps // amplifier.units * taps + n % taps        # of amplifiers
        for w in range(n_words):
            masks[n, w] = _pair_word(words[n, w], n * n_words + w, row * n_words + w, min(64, n_features - 64 * w),
                                     lrs, hrs, amplifier, failures, keys)


@inline
def _single_word(word, index, n_bits, lrs, hrs, ln_reference, failures, keys):
    mask, draws = np.uint64(0), (np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0))
    dead = draws
    for i in range(n_bits):
        if i % 2 == 0:
            draws = philox(np.uint64(32 * index + i // 2), keys.device[0], keys.device[1])
            if failures.failed:
                dead = philox(np.uint64(32 * index + i // 2), keys.failure[0], keys.failure[1])
        one = bool(word >> np.uint64(i) & ONE)
        k = draws[2 * (i % 2)]
        value = _device(k, _is_lrs(one, dead[2 * (i % 2)], failures), lrs, hrs)
        reads_one = value < ln_reference or (value == ln_reference and bool(k & ONE))
        mask |= np.uint64(reads_one != one) << np.uint64(i)
    return mask


@kernel
def single_faults(words, n_features, lrs, hrs, ln_reference, failures, keys, masks, start, stop):
    """Masks (N, W) of the bits that single devices get wrong; a 1 is LRS, and reads 1 iff R < the reference."""
    n_words = masks.shape[1]
    for n in range(start, stop):
        for w in range(n_words):
            masks[n, w] = _single_word(words[n, w], n * n_words + w, min(64, n_features - 64 * w), lrs, hrs,
                                       ln_reference, failures, keys)
