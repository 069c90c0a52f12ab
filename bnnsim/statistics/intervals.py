"""Intervals from accuracies over chips: for the mean, for the spread, for the difference of two networks.

Accuracies are shares of 1, over the same N images for every chip. Two things are uncertain: the spread
between chips, which averages out over more chips, and the choice of test images, shared by all chips, which
does not. Every interval here is about all chips *on these images*, but for `population_interval`, which is
about other images too. A NaN is a chip that did not run and is left out. Quantiles are from scipy.special,
which loads in a fifth of the time of scipy.stats.

T chips, N images.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_int, check_probability
from bnnsim.statistics.agreement import reach_of_mean
from bnnsim.statistics.mean_of_chips import limits_of_mean
from bnnsim.statistics.two_way import Variance, table_variance, two_way_variance, variance_of_mean, with_freedom


class Interval(NamedTuple):
    """A confidence interval [low, high] for a mean, its estimate, and the number of chips behind it."""
    low: float
    high: float
    mean: float
    n: int


class Spread(NamedTuple):
    """A confidence interval [low, high] for the standard deviation `std` over `n` chips."""
    low: float
    high: float
    std: float
    n: int


class Difference(NamedTuple):
    """Two intervals for one difference; `best` names the smaller one, "paired" or "unpaired"."""
    paired: Interval
    unpaired: Interval
    best: str


def mean_interval(accuracies: npt.ArrayLike, level: float = 0.95, n_images: int | None = None) -> Interval:
    """Interval for the mean accuracy over all chips on these images: Wilson's form with Student's t.

    Far from accuracies of 0 and 1 it is Student's t interval, mean +- t[T-1] s / sqrt(T).

    Parameters
    ----------
    accuracies : float (T,)
        One a chip, shares of 1; NaN for a chip that did not run.
    level : float
        Of confidence, 0.95 for 95 %.
    n_images : int, optional
        N, behind each accuracy. It holds where few answers are wrong, or few differ between chips, only if N is given:
        else chips that all agree give width 0.

    Returns
    -------
    Interval
        Within [0, 1]. One chip says nothing of the spread: [0, 1].

    References
    ----------
    See `bnnsim.statistics.mean_of_chips`.

    Examples
    --------
    >>> interval = mean_interval([0.90, 0.92, 0.91, 0.89])
    >>> print(f"{interval.mean:.4f} in [{interval.low:.4f}, {interval.high:.4f}]")
    0.9050 in [0.8824, 0.9236]
    >>> interval = mean_interval([1.0, 1.0, 1.0], n_images=2000)
    >>> print(f"[{interval.low:.4f}, {interval.high:.4f}]")
    [0.9990, 1.0000]
    """
    chips, level = chips_that_ran("accuracies", accuracies), check_level(level)
    n_images, mean = None if n_images is None else check_int("n_images", n_images, 1), float(chips.mean())
    if len(chips) == 1:
        return Interval(0.0, 1.0, mean, 1)
    low, high = limits_of_mean(chips, n_images, level)
    return Interval(float(low), float(high), mean, len(chips))


def population_interval(accuracies: npt.ArrayLike, n_images: int, level: float = 0.95,
                        right_by_image: npt.ArrayLike | None = None) -> Interval:
    """Interval for the mean accuracy over all chips *and* all images, of which N were drawn.

    Its variance is that of a two-way layout, `bnnsim.statistics.two_way.two_way_variance`. Accuracies alone do not hold
    what images add, S_images^2 / N; its upper bound mean (1 - mean) / N takes its place: right where chips agree on the
    images, too wide where they do not. Wilson's form, at the number of images that would have this variance, holds near
    accuracies of 0 and 1.

    Parameters
    ----------
    accuracies : float (T,)
        One a chip, shares of 1; NaN for a chip that did not run.
    n_images : int
        N, at least 2.
    level : float
    right_by_image : int (N,), optional
        Of the chips that ran, how many got each image right.

    Returns
    -------
    Interval
        [0, 1] for one chip.

    References
    ----------
    Burdick and Graybill, "Confidence intervals on variance components", 1992, the two-way crossed random model; E. B.
    Wilson, JASA 22, 1927, at an effective sample size as in Korn and Graubard, Survey Methodology 24, 1998.

    Examples
    --------
    >>> interval = population_interval([0.90, 0.92, 0.91, 0.89], 1000)
    >>> print(f"{interval.mean:.4f} in [{interval.low:.4f}, {interval.high:.4f}]")
    0.9050 in [0.8793, 0.9257]
    """
    chips, level = chips_that_ran("accuracies", accuracies), check_level(level)
    n_images, n, mean = check_int("n_images", n_images, 2), len(chips), float(chips.mean())
    right = None if right_by_image is None else _check_right(right_by_image, n_images, chips)
    if n == 1:
        return Interval(0.0, 1.0, mean, 1)
    if right is None:
        variance = two_way_variance(variance_of_mean(chips), mean * (1 - mean) / n_images, 0.0, n, n_images)
    else:                                                                 # squares of answers right (1) and wrong (0)
        variance = table_variance(chips, right / n, n * n_images * mean * (1 - mean))
    if variance.value == 0:                                               # all answers right, or all wrong
        return _wilson(mean, n_images, n_images - 1, level, n)
    return _wilson(mean, mean * (1 - mean) / variance.value, variance.df, level, n)


def wilson(n_right: int, n_images: int) -> tuple[float, float]:
    """95 % interval (low, high) of one network's accuracy over all images that could have been drawn."""
    n_right = check_int("n_right", n_right, 0, check_int("n_images", n_images, 0))
    if n_images < 2:
        return 0.0, 1.0
    found = population_interval([n_right / n_images] * 2, int(n_images))     # chips that agree: Wilson's
    return found.low, found.high


def _wilson(mean: float, size: float, df: float, level: float, n: int) -> Interval:
    """Wilson's interval for a share of `size` answers, not always a whole number, with t in place of z."""
    t2 = t_quantile(level, df) ** 2
    centre = (mean + t2 / (2 * size)) / (1 + t2 / size)
    half = math.sqrt(t2 * mean * (1 - mean) / size + (t2 / (2 * size)) ** 2) / (1 + t2 / size)
    low, high = max(centre - half, 0.0) if mean else 0.0, min(centre + half, 1.0) if mean < 1 else 1.0   # exactly so
    return Interval(low, high, mean, n)


def spread_interval(accuracies: npt.ArrayLike, level: float = 0.95) -> Spread:
    """Chi-square interval for the standard deviation over chips: s sqrt((T - 1) / chi2[T - 1]).

    It needs roughly normal chips; unlike the mean's interval, more chips do not mend a heavy tail. Clipped to
    [0, 0.5], the range of a share's standard deviation; for one chip `std` is NaN and the interval [0, 0.5].

    References
    ----------
    Snedecor and Cochran, "Statistical methods", 8th edition, 1989: confidence limits for the variance.

    Examples
    --------
    >>> spread = spread_interval([0.90, 0.92, 0.91, 0.89])
    >>> print(f"{spread.std:.4f} in [{spread.low:.4f}, {spread.high:.4f}]")
    0.0129 in [0.0073, 0.0481]
    """
    from scipy.special import chdtri                # (df, share above) -> quantile

    chips, level = chips_that_ran("accuracies", accuracies), check_level(level)
    n = len(chips)
    if n == 1:
        return Spread(0.0, 0.5, math.nan, 1)
    std = float(chips.std(ddof=1))
    low = std * math.sqrt((n - 1) / chdtri(n - 1, (1 - level) / 2))
    high = std * math.sqrt((n - 1) / chdtri(n - 1, (1 + level) / 2))
    return Spread(low, min(high, 0.5), std, n)


def paired_difference(a: npt.ArrayLike, b: npt.ArrayLike, level: float = 0.95, n_images: int | None = None
                      ) -> Difference:
    """Intervals for the mean of a - b over all chips, two networks on the same chips and images.

    Paired: Student's t on the differences, which drops what the chips have in common. Unpaired: Welch's t.
    Neither is narrower than chips that agree by chance allow, see `bnnsim.statistics.agreement`, if N is known.
    Chips that did not run for both are left out of both. The smaller of the two is picked after looking,
    which costs coverage where neither is much smaller: of 95 %, 5 chips with nothing in common keep 92.8 %,
    10 keep 93.9 %; at a correlation of 0.8, 94.7 % and 95.4 %.

    Parameters
    ----------
    a, b : float (T,)
        Accuracies, shares of 1; a[t] and b[t] are of one chip.
    level : float
    n_images : int, optional
        N, behind each accuracy. Without it, chips that all agree give width 0.

    Returns
    -------
    Difference
        [-1, 1] twice for one chip.

    References
    ----------
    B. L. Welch, Biometrika 34, 1947; limits of a difference from those of its parts: G. Y. Zou and A. Donner,
    Statistics in Medicine 27, 2008.

    Examples
    --------
    >>> difference = paired_difference([0.90, 0.92, 0.91, 0.89], [0.88, 0.91, 0.90, 0.87])
    >>> print(f"{difference.best}: {difference.paired.low:.4f} to {difference.paired.high:.4f}")
    paired: 0.0058 to 0.0242
    """
    x, y, level = check_accuracies("a", a, 1), check_accuracies("b", b, 1), check_level(level)
    n_images = None if n_images is None else check_int("n_images", n_images, 1)
    if len(x) != len(y):
        raise ValueError(f"a and b must be of the same chips, one accuracy each, got {len(x)} and {len(y)}")
    ran = ~np.isnan(x - y)
    if not ran.any():
        raise ValueError("a and b must have at least one chip that ran for both, got none")
    x, y = x[ran], y[ran]
    mean, n, of_x, of_y = float((x - y).mean()), len(x), variance_of_mean(x), variance_of_mean(y)
    paired = interval_about(mean, n, Variance(variance_of_mean(x - y), n - 1), level, -1.0)
    unpaired = interval_about(mean, n, with_freedom(of_x + of_y, [(of_x, n - 1), (of_y, n - 1)]), level, -1.0)
    if n_images is None or n == 1:
        return smaller_of(paired, unpaired)
    return smaller_of(widened(paired, *_reach(x - y, level, n_images)),
                      widened(unpaired, *reach_of_difference(_reach(x, level, n_images), _reach(y, level, n_images))))


def _reach(chips: np.ndarray, level: float, n_images: int) -> tuple[float, float]:
    below, above = reach_of_mean(n_images * chips, level)
    return float(below) / n_images, float(above) / n_images


def reach_of_difference(of_a: tuple[float, float], of_b: tuple[float, float]) -> tuple[float, float]:
    """How far below and above a difference may lie, if a and b are independent: what is low of one, high of the other.

    Zou and Donner's method (2008).
    """
    return math.hypot(of_a[0], of_b[1]), math.hypot(of_a[1], of_b[0])


def widened(interval: Interval, below: float, above: float) -> Interval:
    """An interval of a difference that reaches at least so far from its mean, clipped to [-1, 1]."""
    return interval._replace(low=max(min(interval.low, interval.mean - below), -1.0),
                             high=min(max(interval.high, interval.mean + above), 1.0))


def smaller_of(paired: Interval, unpaired: Interval) -> Difference:
    """Both, and which is smaller."""
    smaller = paired.high - paired.low <= unpaired.high - unpaired.low
    return Difference(paired, unpaired, "paired" if smaller else "unpaired")


def t_quantile(level: float, df: float) -> float:
    """Student's t that a central interval of this level reaches to; any df > 0, infinite for the normal's."""
    from scipy.special import ndtri, stdtrit

    return float(ndtri((1 + level) / 2) if math.isinf(df) else stdtrit(df, (1 + level) / 2))


def interval_about(mean: float, n: int, variance: Variance, level: float, least: float = 0.0) -> Interval:
    """Mean +- t sqrt(variance) over n chips, clipped to [least, 1]; all of that for one chip."""
    if n == 1:
        return Interval(least, 1.0, mean, 1)
    half = t_quantile(level, variance.df) * math.sqrt(variance.value)
    return Interval(max(mean - half, least), min(mean + half, 1.0), mean, n)


def check_level(level: float) -> float:
    """A level of confidence in (0, 1)."""
    level = check_probability("level", level)
    if level in (0.0, 1.0):
        raise ValueError(f"level must lie between 0 and 1, such as 0.95, got {level}")
    return level


def check_accuracies(name: str, accuracies: npt.ArrayLike, ndim: int) -> np.ndarray:
    """Shares in [0, 1], NaN for a chip that did not run, as a float64 array of `ndim` axes."""
    values = np.asarray(accuracies)
    if values.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be numbers, got dtype {values.dtype}")
    if values.ndim != ndim or values.size == 0:
        raise ValueError(f"{name} must be {ndim}-dimensional with at least one chip, got {values.shape}")
    wrong = values[(values < 0) | (values > 1)]
    if wrong.size:
        raise ValueError(f"{name} must be shares in [0, 1] (not percent, not counts), got {wrong[0]}")
    return values.astype(np.float64)


def chips_that_ran(name: str, accuracies: npt.ArrayLike) -> np.ndarray:
    """Accuracies (T,) without NaN, at least one."""
    values = check_accuracies(name, accuracies, 1)
    ran = values[~np.isnan(values)]
    if len(ran) == 0:
        raise ValueError(f"{name} must have at least one chip that ran, got NaN {len(values)} times")
    return ran


def _check_right(right_by_image: npt.ArrayLike, n_images: int, chips: np.ndarray) -> np.ndarray:
    right = np.asarray(right_by_image)
    if right.dtype.kind not in "iu":
        raise TypeError(f"right_by_image must be integers, got dtype {right.dtype}")
    if right.shape != (n_images,):
        raise ValueError(f"right_by_image must have shape ({n_images},), one an image, got {right.shape}")
    if right.min() < 0 or right.max() > len(chips):
        raise ValueError(f"right_by_image must be in 0..{len(chips)}, the chips that ran, got "
                         f"{right.min()}..{right.max()}")
    answers = n_images * chips.sum()
    if abs(int(right.sum()) - answers) > 0.5:
        raise ValueError(f"right_by_image must hold as many right answers as accuracies, {answers:.0f}, "
                         f"got {right.sum()}")
    return right.astype(np.float64)
