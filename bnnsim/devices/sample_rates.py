"""Error rates that samples show by themselves, whatever distribution they are of, with intervals.

n samples of a state show rates down to about 1 / n. That one pair in n^2 is seen in the wrong order says no more: the
n^2 pairs are made of 2 n samples, and a share of less than 1 / n of cells that are stuck leaves no trace in them.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv


class RateInterval(NamedTuple):
    """A bit error rate and the bounds of its interval."""

    rate: float
    low: float
    high: float


def single_rate(lrs_ohm: np.ndarray, hrs_ohm: np.ndarray, reference_ohm: float, level: float) -> RateInterval:
    """The 1T1R bit error rate: the mean share of both states on the wrong side of a reference.

    Parameters
    ----------
    lrs_ohm, hrs_ohm : float (n,)
        Ascending.
    reference_ohm : float
        Samples equal to it count half.
    level : float
        Of the interval, Clopper's and Pearson's for 2 min(n_L, n_H) bits, which is too wide rather than too narrow.
    """
    rate = (np.mean(_below(lrs_ohm, reference_ohm, -1)) + np.mean(_below(hrs_ohm, reference_ohm, 1))) / 2
    size = 2 * min(len(lrs_ohm), len(hrs_ohm))
    return _interval(float(rate), size, size, level)


def pair_rate(lrs_ohm: np.ndarray, hrs_ohm: np.ndarray, level: float) -> RateInterval:
    """The 2T2R bit error rate: the share of all pairs whose LRS device has the higher resistance; equal ones are half.

    Parameters
    ----------
    lrs_ohm, hrs_ohm : float (n,)
        Ascending.
    level : float
        Of the interval: Clopper's and Pearson's for as many bits as have the variance of this share, at most
        2 min(n_L, n_H) for the lower bound, and min(n_L, n_H) for the upper one.

    References
    ----------
    E. R. DeLong, D. M. DeLong, D. L. Clarke-Pearson, Biometrics 44, 1988: the variance.
    """
    n = min(len(lrs_ohm), len(hrs_ohm))
    of_lrs = _ranks(hrs_ohm, lrs_ohm) / len(hrs_ohm)
    of_hrs = 1 - _ranks(lrs_ohm, hrs_ohm) / len(lrs_ohm)
    rate = float(np.mean(of_lrs))
    variance = float(np.var(of_lrs, ddof=1) / len(of_lrs) + np.var(of_hrs, ddof=1) / len(of_hrs))
    size = rate * (1 - rate) / variance if variance > 0 else np.inf
    return _interval(rate, min(size, 2 * n), min(size, n), level)


def none_seen(n: int, level: float) -> float:
    """Upper bound of a rate of which n samples show nothing."""
    return float(1 - ((1 - level) / 2) ** (1 / n))


def _below(ohm: np.ndarray, reference_ohm: float, sign: int) -> np.ndarray:
    """1 for what lies below a reference (above it for sign -1), 1/2 for what is equal."""
    return (1 + sign * np.sign(reference_ohm - ohm)) / 2


def _ranks(ascending: np.ndarray, values: np.ndarray) -> np.ndarray:
    """How many of the ascending are less than each value, equal ones half."""
    return (np.searchsorted(ascending, values, "left") + np.searchsorted(ascending, values, "right")) / 2


def _interval(rate: float, size_low: float, size_high: float, level: float) -> RateInterval:
    tail = (1 - level) / 2
    low = betaincinv(rate * size_low, (1 - rate) * size_low + 1, tail) if rate > 0 else 0.0
    high = betaincinv(rate * size_high + 1, (1 - rate) * size_high, 1 - tail) if rate < 1 else 1.0
    return RateInterval(rate, float(low), float(high))
