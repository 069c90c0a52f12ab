"""The probability that a device that should have the lower resistance shows the higher one.

``P(x1 + shift + noise > x2)`` for x = ln R of two independent devices and a normal noise: closed where both are
normal, exact sums where there are samples only, and adaptive integration (`scipy.integrate.quad`) for the rest.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.special import ndtr, ndtri

from bnnsim.devices.states import State, normal_of, samples_of, widened

REACH = 12.0                        # sigmas that integrals run over: what lies outside is below 1e-32


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
    return _normal_mean(lambda z: _above(first, second, shift + sigma * z), step)


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


def _normal_mean(function: Callable[[float], float | np.ndarray], step: float) -> float:
    """Mean of function(z) over a standard normal z, where the function may be steep near `step`."""
    from scipy.integrate import quad

    def integrand(z: float) -> float:
        return math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * float(function(z))

    cuts = sorted({-REACH, REACH, *(min(max(step + d, -REACH), REACH) for d in (-0.5, 0.0, 0.5)), 0.0})
    return sum(quad(integrand, low, high, epsabs=1e-30, epsrel=1e-10, limit=200)[0]
               for low, high in zip(cuts[:-1], cuts[1:]))


def _noisy_pairs(first: np.ndarray, second: np.ndarray, sigma: float) -> float:
    """Mean of P(x1 + sigma z > x2) over all pairs of samples, a few million pairs at a time."""
    step = max(1, 4_000_000 // len(second))
    total = sum(float(ndtr((first[i:i + step, None] - second) / sigma).sum()) for i in range(0, len(first), step))
    return total / (len(first) * len(second))
