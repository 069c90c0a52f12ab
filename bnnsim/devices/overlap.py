"""The probability that a device that should have the lower resistance shows the higher one.

``P(x1 + shift + noise > x2)`` for x = ln R of two independent devices and a normal noise: closed where both are
normal, exact sums where there are samples only, and adaptive integration for the rest: with a noise on top that is an
integral of integrals, which took `scipy.integrate.quad`, a number at a time, seconds.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri

from bnnsim.devices.states import State, normal_of, samples_of, widened

REACH = 12.0                        # sigmas that integrals run over: what lies outside is below 1e-32
_LEGENDRE = np.polynomial.Legendre.basis(16)
_NODES = np.round([-1.0, *_LEGENDRE.deriv().roots(), 1.0], 14)  # Lobatto's: a jump next to an end of a panel is seen;
_WEIGHTS = np.round(2 / (16 * 17 * _LEGENDRE(_NODES)**2), 14)   # rounded: the same whatever LAPACK found them
_PRECISION = 1e-10                  # of a panel, relative to the whole; that of smooth integrals is better by far
_MOST_HALVINGS = 50                 # a jump is found to 1e-14 of a sigma


def overlap(first: State, second: State, shift: float = 0.0, sigma: float = 0.0) -> float:
    """P(ln R_first + shift + sigma z > ln R_second), z standard normal; equal values count half.

    Parameters
    ----------
    first, second : State
    shift, sigma : float
        In ln R.

    Returns
    -------
    float
        To a relative 1e-8 or better: of its closed form, where there is one.
    """
    if sigma == 0:
        return _above(first, second, shift)
    wide = widened(first, sigma)
    if wide is not None:
        return _above(wide, second, shift)
    wide = widened(second, sigma)
    if wide is not None:
        return _above(first, wide, shift)
    x1, x2 = samples_of(first), samples_of(second)
    if x1 is not None and x2 is not None:
        return _noisy_pairs(x1 + shift, x2, sigma)
    step = (second.ln_median - first.ln_median - shift) / sigma
    return _normal_mean(lambda z: np.array([_above(first, second, shift + sigma * each) for each in z]), step)


def _above(first: State, second: State, shift: float) -> float:
    """P(x1 + shift > x2)."""
    normal1, normal2, x1, x2 = normal_of(first), normal_of(second), samples_of(first), samples_of(second)
    if normal1 is not None and normal2 is not None:
        distance, sigma = normal1[0] + shift - normal2[0], math.hypot(normal1[1], normal2[1])
        return float(ndtr(distance / sigma)) if sigma else 0.5 * (1 + float(np.sign(distance)))
    if x1 is not None:
        return float(np.mean(second.cdf(x1 + shift)))
    if x2 is not None:
        return float(np.mean(first.sf(x2 - shift)))
    if normal1 is not None and normal1[1] < 1e-9:
        return float(second.cdf(normal1[0] + shift))
    return _normal_mean(lambda z: second.cdf(first.quantile(z) + shift), _crossing(first, second, shift))


def _crossing(first: State, second: State, shift: float) -> float:
    """z at which the first state passes the second's median, where the integrand is steep."""
    p = float(first.cdf(second.ln_median - shift))
    return float(np.clip(ndtri(p), -REACH, REACH)) if 0 < p < 1 else (REACH if p == 1 else -REACH)


def _normal_mean(function: Callable[[np.ndarray], np.ndarray], step: float) -> float:
    """Mean of function(z) over a standard normal z, where the function may be steep near `step`.

    Lobatto's rule on panels, all of them in one call of the function; those that their halves contradict are halved.
    """
    cuts = np.unique(np.clip([-REACH, 0.0, REACH, step - 0.5, step, step + 0.5], -REACH, REACH))
    low, high = cuts[:-1], cuts[1:]
    whole, total = _lobatto(function, low, high), 0.0
    for _ in range(_MOST_HALVINGS):
        middle = (low + high) / 2
        low, high = np.stack([low, middle]), np.stack([middle, high])
        halves = _lobatto(function, low, high)
        found = halves.sum(axis=0)
        unsettled = np.abs(found - whole) > _PRECISION * (total + found.sum())
        total += float(found[~unsettled].sum())
        low, high, whole = (each[:, unsettled].ravel() for each in (low, high, halves))
        if not len(whole):
            break
    return total + float(whole.sum())


def _lobatto(function: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Integrals of function(z) times the normal density from low to high, arrays of one shape."""
    half = (high - low) / 2
    z = (low + half)[..., None] + half[..., None] * _NODES
    values = function(z.ravel()).reshape(z.shape) * np.exp(-z * z / 2)
    return half * (values * _WEIGHTS).sum(axis=-1) / math.sqrt(2 * math.pi)


def _noisy_pairs(first: np.ndarray, second: np.ndarray, sigma: float) -> float:
    """Mean of P(x1 + sigma z > x2) over all pairs of samples, a few million pairs at a time."""
    step = max(1, 4_000_000 // len(second))
    total = sum(float(ndtr((first[i:i + step, None] - second) / sigma).sum()) for i in range(0, len(first), step))
    return total / (len(first) * len(second))
