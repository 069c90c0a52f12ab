"""How many chips to run for an interval of a wanted width.

Accuracies are shares of 1, one a chip, over the same images; T chips, the first n of them the pilot.
"""

import math

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_finite, check_int, check_real
from bnnsim.statistics.agreement import reach_of_mean
from bnnsim.statistics.intervals import (Interval, check_accuracies, check_level, chips_that_ran, interval_about,
                                         t_quantile)
from bnnsim.statistics.two_way import Variance

LEAST_WIDTH = 1e-6              # finer than that, the number of chips leaves all bounds


def trials_needed(accuracies: npt.ArrayLike, width: float, level: float = 0.95) -> int:
    """How many chips would give a t interval of full `width` (shares of 1), if they spread as these >= 2.

    The least T >= 2 with 2 t[T-1] s / sqrt(T) <= width. A forecast: `stein_trials` decides when to stop.

    Examples
    --------
    >>> trials_needed([0.90, 0.92, 0.91, 0.89], width=0.01)
    29
    """
    std, width, level = _pilot_std(accuracies), _check_width(width), check_level(level)
    n = max(2, math.ceil((2 * t_quantile(level, math.inf) * std / width) ** 2))      # a few short
    while 2 * t_quantile(level, n - 1) * std / math.sqrt(n) > width * (1 + 1e-12):
        n += 1
    return n


def stein_trials(pilot: npt.ArrayLike, width: float, level: float = 0.95, n_images: int | None = None) -> int:
    """How many chips to run in all, the pilot's n included, for an interval of full `width` (shares of 1).

    max(n, ceil((2 t[n-1] s / width)^2)) with the spread s of the pilot, which is kept. Looking at the
    interval after each chip and stopping once it is small enough covers too seldom: it stops where the spread
    came out low by chance. Here the number hangs on the pilot alone, so it is the same after a resume and in
    any order of arrival. Run that many chips, or fewer under a cap, and report `stein_interval`.

    A pilot whose chips agree by chance shows too small a spread, or none. If N is known, s is no less than what
    makes the pilot's interval as wide as that allows (`bnnsim.statistics.agreement`).

    Parameters
    ----------
    pilot : float (n,)
        Accuracies of the first n >= 2 chips, all of them run; 10 is a good number.
    width, level : float
    n_images : int, optional
        N, behind each accuracy. Without it a pilot of equal chips is enough for any width.

    References
    ----------
    C. Stein, "A two-sample test for a linear hypothesis whose power is independent of the variance", Annals
    of Mathematical Statistics 16, 1945.

    Examples
    --------
    >>> stein_trials([0.90, 0.92, 0.91, 0.89], width=0.01)
    68
    """
    width, level, n_pilot = _check_width(width), check_level(level), np.size(pilot)
    std = _spread_of_pilot(pilot, level, n_images)
    return max(n_pilot, math.ceil((2 * t_quantile(level, n_pilot - 1) * std / width) ** 2))


def stein_interval(accuracies: npt.ArrayLike, n_pilot: int, level: float = 0.95, n_images: int | None = None
                   ) -> Interval:
    """Interval for the mean after `stein_trials`: mean of all T chips +- t[n_pilot-1] s_pilot / sqrt(T).

    Exact for normal chips at any T that the pilot settled: at Stein's number it is no wider than was asked,
    and under a cap it is wider. The first `n_pilot` >= 2 accuracies are the pilot's; N as for `stein_trials`.

    Examples
    --------
    >>> interval = stein_interval([0.90, 0.92, 0.91, 0.89, 0.91, 0.90], n_pilot=4)
    >>> print(f"{interval.mean:.4f} in [{interval.low:.4f}, {interval.high:.4f}]")
    0.9050 in [0.8882, 0.9218]
    """
    chips, level = chips_that_ran("accuracies", accuracies), check_level(level)
    n_pilot = check_int("n_pilot", n_pilot, 2, len(chips))
    std = _spread_of_pilot(np.asarray(accuracies)[:n_pilot], level, n_images)
    return interval_about(float(chips.mean()), len(chips), Variance(std**2 / len(chips), n_pilot - 1), level)


def _spread_of_pilot(pilot: npt.ArrayLike, level: float, n_images: int | None) -> float:
    """Standard deviation over the pilot's chips, no less than chips that agree by chance allow."""
    chips = check_accuracies("pilot", pilot, 1)
    check_finite("the pilot's accuracies", chips)
    std = _pilot_std(chips)
    if n_images is None:
        return std
    n_images, n = check_int("n_images", n_images, 1), len(chips)
    reach = max(map(float, reach_of_mean(n_images * chips, level))) / n_images
    return max(std, reach * math.sqrt(n) / t_quantile(level, n - 1))


def _pilot_std(values: npt.ArrayLike) -> float:
    """Standard deviation over two or more chips."""
    chips = chips_that_ran("accuracies", values)
    if len(chips) < 2:
        raise ValueError("accuracies must be of at least 2 chips to show their spread, got 1")
    return float(chips.std(ddof=1))


def _check_width(width: float) -> float:
    """A full width in [LEAST_WIDTH, 1]."""
    return check_real("width", width, LEAST_WIDTH, 1)
