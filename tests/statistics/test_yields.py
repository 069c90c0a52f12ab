"""Yields: exact coverage of binomial and order-statistics intervals, and that wrong ones lack it."""

import math

import numpy as np
import pytest

from bnnsim.statistics import chips_needed, quantile_interval, share_interval, yield_interval
from bnnsim.statistics.intervals import Interval

SHARES = [0.001, 0.01, 0.1, 0.3, 0.5, 0.77, 0.95, 0.999]


def binomial(n, p):
    """P(k) for k = 0..n, from products of integers."""
    return np.array([math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)])


def coverage(interval, n, p):
    """What an interval covers, summed over all counts: no simulation."""
    return sum(chance for k, chance in enumerate(binomial(n, p)) if interval(k, n).low <= p <= interval(k, n).high)


def wald(k, n):
    half = 1.96 * math.sqrt(k / n * (1 - k / n) / n)
    return Interval(k / n - half, k / n + half, k / n, n)


@pytest.mark.parametrize("n", [1, 2, 7, 30, 100])
def test_shares_are_covered_at_every_share(n):
    assert min(coverage(share_interval, n, p) for p in SHARES) >= 0.95 - 1e-12


def test_normal_quantiles_do_not_cover():
    assert coverage(wald, 30, 0.01) < 0.3 and coverage(wald, 30, 0.1) < 0.85


def test_limits_are_where_the_count_is_as_rare_as_asked():
    """Of 20, 17 or more at the lower limit, and 17 or fewer at the upper one, have a probability of 2.5 %."""
    found = share_interval(17, 20)
    assert binomial(20, found.low)[17:].sum() == pytest.approx(0.025)
    assert binomial(20, found.high)[:18].sum() == pytest.approx(0.025)


def chips(rng, n, steps=0):
    """Skewed accuracies; with steps, of that few values."""
    values = 0.9 - rng.gamma(1, 0.05, n)
    return np.clip(np.round(values * steps) / steps if steps else values, 0, 1)


def true_quantile(share, steps):
    big = np.sort(chips(np.random.default_rng(99), 2_000_001, steps))
    return big[math.ceil(len(big) * (1 - share)) - 1]


def quantile_covered(share, n, steps=0, worse=0, n_simulations=2000):
    rng, truth, found = np.random.default_rng(5), true_quantile(share, steps), 0
    for _ in range(n_simulations):
        drawn = chips(rng, n, steps)
        interval = quantile_interval(drawn, share)
        if worse:                                                # one chip further in on each side
            order = np.sort(drawn)
            low, high = np.searchsorted(order, interval.low) + worse, np.searchsorted(order, interval.high) - worse
            found += order[low] <= truth <= order[high]
        else:
            found += interval.low <= truth <= interval.high
    return found / n_simulations


@pytest.mark.parametrize(("share", "n", "steps"), [(0.5, 20, 0), (0.9, 50, 0), (0.99, 30, 0), (0.9, 50, 40)])
def test_quantiles_are_covered(share, n, steps):
    """Of values that tie, too; where chips are too few, by 0."""
    promised = quantile_interval(chips(np.random.default_rng(0), n), share).covers
    share_covered = quantile_covered(share, n, steps)
    assert promised >= 0.95 and share_covered > promised - 4 * math.sqrt(0.05 / 2000)


def test_one_chip_further_in_does_not_cover():
    assert quantile_covered(0.5, 20, worse=1) < 0.93


def test_an_interval_of_a_quantile_promises_what_binomials_say():
    values = np.arange(1, 21) / 100
    found, chances = quantile_interval(values, 0.7), binomial(20, 0.3)
    r, s = (int(round(100 * end)) for end in (found.low, found.high))
    assert found.covers == pytest.approx(chances[r:s].sum()) and chances[:r].sum() <= 0.025 < chances[:r + 1].sum()
    assert chances[s:].sum() <= 0.025 < chances[s - 1:].sum() and found.accuracy == values[5]


def test_yield_counts_chips_at_the_limit_in():
    found = yield_interval([0.9, 0.89, 0.88, np.nan], 0.9 - 0.01)
    assert found.mean == pytest.approx(2 / 3) and found.n == 3
    assert (found.low, found.high) == share_interval(2, 3)[:2]


@pytest.mark.parametrize(("share", "failures"), [(0.5, 0), (0.9, 0), (0.99, 2), (0.9999, 0), (0.999, 5)])
def test_chips_needed_is_the_least_number(share, failures):
    n = chips_needed(share, failures=failures)
    few = [math.fsum(math.comb(m, k) * (1 - share) ** k * share ** (m - k) for k in range(failures + 1))
           for m in (n, n - 1)]
    assert few[0] <= 0.05 < few[1]


BAD = [
    (lambda: share_interval(3, 2), ValueError, r"n_good must be in \[0, 2\], got 3"),
    (lambda: share_interval(0, 0), ValueError, "n must be >= 1, got 0"),
    (lambda: share_interval(True, 2), TypeError, "n_good must be an integer"),
    (lambda: share_interval(1, 2, level=1), ValueError, "level must lie between 0 and 1"),
    (lambda: yield_interval([90.0], 0.9), ValueError, "shares in"),
    (lambda: yield_interval([0.9], 90), ValueError, r"limit must be a probability in \[0, 1\], got 90"),
    (lambda: yield_interval([math.nan], 0.9), ValueError, "at least one chip that ran"),
    (lambda: quantile_interval([0.9], 1.0), ValueError, "share must lie between 0 and 1, such as 0.99"),
    (lambda: quantile_interval([[0.9]], 0.9), ValueError, "1-dimensional"),
    (lambda: chips_needed(1), ValueError, "share must lie between 0 and 1"),
    (lambda: chips_needed(1 - 1e-12), ValueError, "rare_failures needs fewer"),
    (lambda: chips_needed(0.9, failures=-1), ValueError, r"failures must be in \[0, 1000000\]"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
