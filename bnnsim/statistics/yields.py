"""Yield: the share of chips that reach an accuracy, the accuracy that a share of chips reaches, and how many to run.

Chips are independent draws of one process, and nothing is supposed of how their accuracies are distributed: intervals
come from binomial counts and from the order of the chips [D, derived in the page on yield in docs/frontier].

T chips.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_int, check_probability
from bnnsim.statistics.intervals import Interval, check_level, chips_that_ran

SLACK = 1e-9                # below a limit: in float64, 0.9 - 0.01 may be above 0.89; one image in a million is 1e-6
MOST_CHIPS = 10**9


class Quantile(NamedTuple):
    """The accuracy that a share of chips reaches.

    Attributes
    ----------
    low, high : float
        Confidence interval: two of the chips' accuracies, or 0 and 1 where the chips are too few to bound it.
    accuracy : float
        Estimate: that of a chip.
    n : int
        Chips.
    covers : float
        What the interval covers at least, as exactly as the order of so few chips allows; at least the level asked for.
    """
    low: float
    high: float
    accuracy: float
    n: int
    covers: float


def share_interval(n_good: int, n: int, level: float = 0.95) -> Interval:
    """Exact interval for a share of which n_good of n independent draws are: Clopper and Pearson's.

    It covers at least `level` at every share, where intervals of normal quantiles are wrong for few draws and for
    shares near 0 or 1.

    Parameters
    ----------
    n_good : int
        0 to n.
    n : int
        Draws, at least 1.
    level : float

    References
    ----------
    C. J. Clopper and E. S. Pearson, Biometrika 26, 1934.

    Examples
    --------
    >>> interval = share_interval(100, 100)
    >>> print(f"{interval.mean:.3f} in [{interval.low:.4f}, {interval.high:.4f}]")
    1.000 in [0.9638, 1.0000]
    """
    from scipy.special import betaincinv            # (a, b, share below) -> quantile of the beta distribution

    n = check_int("n", n, 1)
    n_good, level = check_int("n_good", n_good, 0, n), check_level(level)
    low = float(betaincinv(n_good, n - n_good + 1, (1 - level) / 2)) if n_good else 0.0
    high = float(betaincinv(n_good + 1, n - n_good, (1 + level) / 2)) if n_good < n else 1.0
    return Interval(low, high, n_good / n, n)


def reaches(accuracies: npt.ArrayLike, limit: float) -> np.ndarray:
    """Which accuracies are at least `limit`, but for a rounding of its last digits."""
    return np.asarray(accuracies) >= limit - SLACK


def yield_interval(accuracies: npt.ArrayLike, limit: float, level: float = 0.95) -> Interval:
    """The share of all chips that reach an accuracy, on these images: see `share_interval`.

    Parameters
    ----------
    accuracies : float (T,)
        One a chip, shares of 1; NaN for a chip that did not run.
    limit : float
        Least accuracy of a good chip.
    level : float

    Examples
    --------
    >>> interval = yield_interval([0.91, 0.90, 0.89, 0.90, 0.91, 0.84, 0.91, 0.90], limit=0.89)
    >>> print(f"{interval.mean:.3f} in [{interval.low:.3f}, {interval.high:.3f}]")
    0.875 in [0.473, 0.997]
    """
    chips = chips_that_ran("accuracies", accuracies)
    return share_interval(int(reaches(chips, check_probability("limit", limit)).sum()), len(chips), level)


def quantile_interval(accuracies: npt.ArrayLike, share: float, level: float = 0.95) -> Quantile:
    """The accuracy that a share of all chips reaches or exceeds, on these images, from the order of the chips alone.

    With q = 1 - share and the chips in ascending order, x_r <= x_s bound the q-quantile Q: x_r lies above Q only if
    fewer than r chips are at most Q, x_s below it only if s or more are less than Q, and both numbers are binomial,
    with probabilities at least and at most q [D]. r and s are the innermost at which each happens with (1 - level) / 2
    at most.

    Parameters
    ----------
    accuracies : float (T,)
        One a chip, shares of 1; NaN for a chip that did not run.
    share : float
        In (0, 1): 0.99 asks what all but the worst hundredth of the chips reach.
    level : float

    Returns
    -------
    Quantile

    References
    ----------
    H. A. David and H. N. Nagaraja, "Order statistics", 3rd edition, 2003, section 7.1.

    Examples
    --------
    >>> found = quantile_interval([0.91, 0.90, 0.89, 0.90, 0.91, 0.84, 0.91, 0.90], share=0.5)
    >>> print(f"{found.accuracy:.2f} in [{found.low:.2f}, {found.high:.2f}]")
    0.90 in [0.84, 0.91]
    """
    from scipy.special import bdtr                  # (k, n, p) -> P(binomial <= k)

    chips, level = np.sort(chips_that_ran("accuracies", accuracies)), check_level(level)
    share, n = check_share(share), len(chips)
    below = np.concatenate([[0.0], bdtr(np.arange(n + 1), n, 1 - share)])         # P(binomial < k), k = 0..n + 1
    r = int(np.flatnonzero(below[:n + 1] <= (1 - level) / 2)[-1])
    s = int(np.flatnonzero(1 - below[1:] <= (1 - level) / 2)[0]) + 1              # P(binomial >= s), s = 1..n + 1
    at = max(math.ceil(n * (1 - share) - SLACK), 1) - 1
    return Quantile(float(chips[r - 1]) if r else 0.0, float(chips[s - 1]) if s <= n else 1.0, float(chips[at]), n,
                    float(below[s] - below[r]))


def chips_needed(share: float, level: float = 0.95, failures: int = 0) -> int:
    """How many chips to run so that, with so many failures among them, `share` of all are good at this level.

    The least T with P(binomial(T, 1 - share) <= failures) <= 1 - level, a bound to one side [D]; without failures
    share^T <= 1 - level.

    Parameters
    ----------
    share : float
        In (0, 1).
    level : float
    failures : int

    References
    ----------
    S. S. Wilks, Annals of Mathematical Statistics 12, 1941.

    Examples
    --------
    >>> chips_needed(0.99), chips_needed(0.9999), chips_needed(0.9999, failures=3)
    (299, 29956, 77535)
    """
    from scipy.special import bdtr

    share, level = check_share(share), check_level(level)
    failures = check_int("failures", failures, 0, 10**6)
    low, high = failures, max(2 * failures, 1)                  # too few, and enough or not yet
    while bdtr(failures, high, 1 - share) > 1 - level:
        low, high = high, 2 * high
        if high > MOST_CHIPS:
            raise ValueError(f"share must be so that {MOST_CHIPS:,} chips can show it, got {share}: "
                             "bnnsim.campaign.rare_failures needs fewer")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if bdtr(failures, middle, 1 - share) > 1 - level else (low, middle)
    return high


def check_share(share: float, name: str = "share") -> float:
    """A share in (0, 1)."""
    share = check_probability(name, share)
    if share in (0.0, 1.0):
        raise ValueError(f"{name} must lie between 0 and 1, such as 0.99, got {share}")
    return share
