"""How well a distribution describes samples: tests of normality and of its ends, and Akaike's criterion."""

import math

import numpy as np
from scipy.special import log_ndtr, stdtr

from bnnsim.devices.states import State

CHANCE = 1e-3                       # that one end of good samples is said to have outliers


def anderson_darling(values: np.ndarray) -> tuple[float, float]:
    """(A^2, p) of the test that values are normal, mean and standard deviation being taken from them.

    Parameters
    ----------
    values : float (n,)
        At least 8, not all the same. Samples that repeat, as coarsely rounded ones do, look less normal than they are.

    Returns
    -------
    (float, float)
        p is accurate to some 0.01 above 0.01; at most 1, at least 1e-20.

    References
    ----------
    M. A. Stephens in D'Agostino and Stephens, "Goodness-of-fit techniques", 1986, section 4.8 and table 4.9 (case 3:
    A^2 modified for n, and the approximations of p).
    """
    z = np.sort((values - np.mean(values)) / np.std(values, ddof=1))
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


def akaike(state: State, ln_samples: np.ndarray) -> float:
    """2 k - 2 ln L of a fitted state with k = 2 numbers, as a density of ln R: less is better, 10 less is decisive.

    References
    ----------
    H. Akaike, IEEE Transactions on Automatic Control 19, 1974; Burnham and Anderson, "Model selection", 2002, 2.6.
    """
    with np.errstate(divide="ignore"):
        return 4.0 - 2.0 * float(np.sum(np.log(state.density(ln_samples))))


def n_outliers(values: np.ndarray, limit: float = math.inf) -> int:
    """How many of the greatest values lie higher than a normal would reach whose lower half is that of the values.

    The spread comes from the deviations below the median alone, so outliers do not widen what they are held against,
    however many they are. For n normal values one or more are found with a probability of about 0.001.

    Parameters
    ----------
    values : float (n,)
    limit : float
        Where the normal is cut: a value that high is no surprise if the normal reaches there.
    """
    centre = float(np.median(values))
    lower = centre - values[values < centre]
    if len(lower) < 2:
        return 0
    scale, df = math.sqrt(float(np.mean(lower**2))), len(lower) - 1
    chance = stdtr(df, (centre - values) / scale) - stdtr(df, (centre - limit) / scale)
    return int(np.sum((chance < CHANCE / len(values)) & (values > centre)))


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
