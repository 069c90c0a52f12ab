"""The probability that a device that should have the lower resistance shows the higher one.

``P(x1 + shift + noise > x2)`` for x = ln R of two independent devices and a normal noise: closed where both are
log-normal, exact sums for samples, and adaptive integration (`scipy.integrate.quad`) for the rest.
"""

import math

import numpy as np
from scipy.special import ndtr

from bnnsim.devices.states import Empirical, LogNormal

REACH = 12.0                        # sigmas that integrals run over: what lies outside is below 1e-32


def overlap(first, second, shift=0.0, sigma=0.0):
    """P(ln R_first + shift + sigma z > ln R_second), z standard normal; equal values count half.

    Parameters
    ----------
    first, second : LogNormal, NormalConductance or Empirical
    shift, sigma : float
        In ln R.

    Returns
    -------
    float
        To a relative 1e-8 or better: of its closed form, where there is one.
    """
    if isinstance(first, LogNormal):                # noise is log-normal too: it widens the state
        return _above(_widened(first, sigma), second, shift)
    if isinstance(second, LogNormal):
        return _above(first, _widened(second, sigma), shift)
    if sigma == 0:
        return _above(first, second, shift)
    if isinstance(first, Empirical) and isinstance(second, Empirical):
        return _noisy_pairs(first.ln_samples + shift, second.ln_samples, sigma)
    step = (second.ln_median - first.ln_median - shift) / sigma
    return _normal_mean(lambda z: _above(first, second, shift + sigma * z), step)


def _widened(state, sigma):
    return LogNormal(state.median_ohm, math.hypot(state.sigma_ln, sigma)) if sigma else state


def _above(first, second, shift):
    """P(x1 + shift > x2)."""
    if isinstance(first, LogNormal) and isinstance(second, LogNormal):
        distance, sigma = first.ln_median + shift - second.ln_median, math.hypot(first.sigma_ln, second.sigma_ln)
        if sigma == 0:
            return 0.5 * (1 + np.sign(distance))
        return float(ndtr(distance / sigma))
    if isinstance(first, Empirical):
        return float(np.mean(second.cdf(first.ln_samples + shift)))
    if isinstance(second, Empirical):
        return float(np.mean(first.sf(second.ln_samples - shift)))
    if isinstance(first, LogNormal) and first.sigma_ln < 1e-9:
        return float(second.cdf(first.ln_median + shift))
    return _normal_mean(lambda z: second.cdf(first.quantile(z) + shift), _crossing(first, second, shift))


def _crossing(first, second, shift):
    """z at which the first state passes the second's median, where the integrand is steep."""
    p = float(first.cdf(second.ln_median - shift))
    from scipy.special import ndtri

    return float(np.clip(ndtri(p), -REACH, REACH)) if 0 < p < 1 else (REACH if p == 1 else -REACH)


def _normal_mean(function, step):
    """Mean of function(z) over a standard normal z, where the function may be steep near `step`."""
    from scipy.integrate import quad

    def integrand(z):
        return math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * float(function(z))

    cuts = sorted({-REACH, REACH, *(min(max(step + d, -REACH), REACH) for d in (-0.5, 0.0, 0.5)), 0.0})
    return sum(quad(integrand, low, high, epsabs=1e-30, epsrel=1e-10, limit=200)[0]
               for low, high in zip(cuts[:-1], cuts[1:]))


def _noisy_pairs(first, second, sigma):
    """Mean of P(x1 + sigma z > x2) over all pairs of samples, a few million pairs at a time."""
    step = max(1, 4_000_000 // len(second))
    total = sum(float(ndtr((first[i:i + step, None] - second) / sigma).sum()) for i in range(0, len(first), step))
    return total / (len(first) * len(second))
