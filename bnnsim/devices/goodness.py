"""How well a distribution describes samples: tests of normality and of its ends, and Akaike's criterion."""

import math

import numpy as np
from scipy.special import gammainc, log_ndtr, stdtr

from bnnsim.devices.states import State


def anderson_darling(values: np.ndarray) -> tuple[float, float]:
    """(A^2, p) of the test that values are normal, mean and standard deviation being taken from them.

    Parameters
    ----------
    values : float (n,)
        At least 8, not all the same. Values that repeat, as rounded ones do, are spread evenly to half way between
        their neighbours: the steps of rounding say nothing of the shape.

    Returns
    -------
    (float, float)
        p is accurate to some 0.01 above 0.01; at most 1, at least 1e-20.

    References
    ----------
    M. A. Stephens in D'Agostino and Stephens, "Goodness-of-fit techniques", 1986, section 4.8 and table 4.9 (case 3:
    A^2 modified for n, and the approximations of p).
    """
    z = _without_steps(np.sort((values - np.mean(values)) / np.std(values, ddof=1)))
    n = len(z)
    weights = 2 * np.arange(1, n + 1) - 1
    square = -n - float(np.mean(weights * (log_ndtr(z) + log_ndtr(-z[::-1]))))
    a = square * (1 + 0.75 / n + 2.25 / n**2)
    if a < 0.2:
        p = 1 - math.exp(-13.436 + 101.14 * a - 223.73 * a * a)
    elif a < 0.34:
        p = 1 - math.exp(-8.318 + 42.796 * a - 59.938 * a * a)
    elif a < 0.6:
        p = math.exp(0.9177 - 4.279 * a - 1.38 * a * a)
    else:
        p = math.exp(1.2937 - 5.709 * a + 0.0186 * a * a) if a < 10 else 0.0
    return square, min(max(p, 1e-20), 1.0)


def _without_steps(ascending: np.ndarray) -> np.ndarray:
    """Values of which those that are the same are spread to half way between their neighbours."""
    values, first, counts = np.unique(ascending, return_index=True, return_counts=True)
    if len(values) in (1, len(ascending)):
        return ascending
    half = np.diff(values) / 2
    low, high = values - np.append(half[0], half), values + np.append(half, half[-1])
    of_value = np.repeat(np.arange(len(values)), counts)
    share = (np.arange(len(ascending)) - first[of_value] + 0.5) / counts[of_value]
    return np.where(counts[of_value] > 1, low[of_value] + share * (high - low)[of_value], ascending)


def akaike(state: State, ln_samples: np.ndarray) -> float:
    """2 k - 2 ln L of a fitted state with k = 2 numbers, as a density of ln R: less is better, 10 less is decisive.

    References
    ----------
    H. Akaike, IEEE Transactions on Automatic Control 19, 1974; Burnham and Anderson, "Model selection", 2002, 2.6.
    """
    with np.errstate(divide="ignore"):
        return 4.0 - 2.0 * float(np.sum(np.log(state.density(ln_samples))))


def n_outliers(values: np.ndarray, chance: float, limit: float = math.inf) -> int:
    """How many of the greatest values lie higher than a normal would reach whose lower half is that of the values.

    The spread comes from the deviations below the median alone, so outliers do not widen what they are held against,
    however many they are. Where a value lies as high as the k-th greatest with a probability p <= 0.001 (by Student's
    t, for the deviations behind the spread), k of n do with the chance that a Poisson of mean n p reaches k. Of the k
    whose chance is below `chance` that one is taken for which k - 4 n p is greatest. There is one in 0.1, 0.7, 1.0, 1.1
    and 1.1 % of 8, 20, 50, 200 and 2,000 normal values at a chance of 0.001, and in 0.1, 0.4, 0.3, 0.4 and 0.4 % at
    0.0002 (measured).

    Parameters
    ----------
    values : float (n,)
    chance : float
    limit : float
        Where the normal is cut off: p is the probability to lie between the value and it.
    """
    centre, n = float(np.median(values)), len(values)
    lower = centre - values[values < centre]
    if len(lower) < 2:
        return 0
    scale, df = math.sqrt(float(np.mean(lower**2))), len(lower) - 1
    greatest = np.sort(values[values > centre])[::-1]
    beyond = stdtr(df, (centre - greatest) / scale) - stdtr(df, (centre - limit) / scale)
    k = np.arange(1, len(greatest) + 1)
    expected = n * np.maximum(beyond, 0)
    excess = np.where((beyond < 1e-3) & (gammainc(k, expected) < chance), k - 4 * expected, -np.inf)
    return int(np.argmax(excess)) + 1 if np.isfinite(excess).any() else 0


def n_heaped(ascending: np.ndarray) -> int:
    """How many values are the same as the greatest, where so many are not just rounding; else 0.

    As readings that end at a limit are: four or more, and over three times as many as of any of the next five values.
    """
    values, counts = np.unique(ascending, return_counts=True)
    return int(counts[-1]) if len(values) > 1 and counts[-1] > 3 * max(counts[-6:-1]) else 0


def looks_like_two_groups(values: np.ndarray) -> bool:
    """Sarle's coefficient, (skewness^2 + 1) / kurtosis, above that of a uniform distribution, 5/9.

    References
    ----------
    R. Pfister et al., Frontiers in Psychology 4, 2013.
    """
    z = (values - np.mean(values)) / np.std(values)
    return float((np.mean(z**3) ** 2 + 1) / np.mean(z**4)) > 5 / 9
