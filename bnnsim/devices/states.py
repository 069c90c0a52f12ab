"""Distributions of the resistance of a programmed device: LRS or HRS, over devices and over programming pulses.

All of them speak of x = ln(R / ohm). A spread is never a percentage: sigma_ln is the standard deviation of ln R (0.1 is
about 10 %), sigma_siemens that of the conductance. ``cdf`` and ``sf`` are P(ln R <= x) and P(ln R > x), each accurate
where it is small; ``shifted`` multiplies R by exp(shift); ``scaled`` multiplies the spread, in the variable in which
the state is described.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr, ndtri

import bnnsim.kernels.memory.sensing as sensing
from bnnsim.checks import check_finite, check_real, check_unmasked

MAX_SAMPLES = 20_000                # of an Empirical: noise is added pair by pair, 4e8 pairs at most
MAX_CUT = 0.03                      # largest share of a normal conductance that lies below 0 (sigma = mean / 1.88)
_NONE = np.zeros(1)


@dataclass(frozen=True)
class LogNormal:
    """ln R is normal: what most filamentary devices look like.

    Parameters
    ----------
    median_ohm : float > 0
    sigma_ln : float >= 0
        Standard deviation of ln R (natural logarithm, no percentage); a sigma of log10 R is 2.303 times smaller.

    Examples
    --------
    >>> lrs = LogNormal(median_ohm=5e3, sigma_ln=0.2)
    >>> round(float(lrs.sf(math.log(8e3))), 4)
    0.0094
    """

    median_ohm: float
    sigma_ln: float

    def __post_init__(self):
        object.__setattr__(self, "median_ohm", check_real("median_ohm", self.median_ohm, 0, open_low=True))
        object.__setattr__(self, "sigma_ln", check_real("sigma_ln", self.sigma_ln, 0))

    @property
    def ln_median(self):
        """Median of ln R."""
        return math.log(self.median_ohm)

    def _z(self, x):
        distance = np.asarray(x) - self.ln_median
        if self.sigma_ln == 0:                                  # all devices alike
            return np.where(distance == 0, 0.0, np.copysign(np.inf, distance))
        return distance / self.sigma_ln

    def cdf(self, x):
        """P(ln R <= x)."""
        return ndtr(self._z(x))

    def sf(self, x):
        """P(ln R > x)."""
        return ndtr(-self._z(x))

    def quantile(self, z):
        """ln R at the probability of a standard normal z."""
        return self.ln_median + self.sigma_ln * np.asarray(z)

    def density(self, x):
        """Density of ln R."""
        return np.exp(-self._z(x) ** 2 / 2) / (math.sqrt(2 * math.pi) * self.sigma_ln)

    def shifted(self, shift):
        """R times exp(shift)."""
        return LogNormal(self.median_ohm * math.exp(shift), self.sigma_ln)

    def scaled(self, factor):
        """sigma_ln times factor."""
        return LogNormal(self.median_ohm, self.sigma_ln * factor)

    def kernel_state(self):
        """As `kernels.sensing` reads it."""
        return sensing.State(sensing.LOG_NORMAL, self.ln_median, self.sigma_ln, 0.0, _NONE)


@dataclass(frozen=True)
class NormalConductance:
    """The conductance is normal, cut off at 0: a draw that is not positive is drawn anew (the rest is renormalised).

    Parameters
    ----------
    mean_siemens, sigma_siemens : float > 0
        Of the normal before it is cut. At most 3 % of it may lie below 0: past that the shape of the tail, which
        decides the error rate, would be an artefact of the cut.
    """

    mean_siemens: float
    sigma_siemens: float

    def __post_init__(self):
        for name in ("mean_siemens", "sigma_siemens"):
            object.__setattr__(self, name, check_real(name, getattr(self, name), 0, open_low=True))
        if self.cut > MAX_CUT:
            raise ValueError(f"sigma_siemens must leave at most {100 * MAX_CUT:g} % of the normal below 0, got "
                             f"{100 * self.cut:.1f} % (sigma {self.sigma_siemens:g} at mean {self.mean_siemens:g}); "
                             "describe such a state as LogNormal or Empirical")

    @property
    def cut(self):
        """Share of the normal that lies below 0."""
        return float(ndtr(-self.mean_siemens / self.sigma_siemens))

    @property
    def ln_median(self):
        """Median of ln R."""
        return float(self.quantile(0.0))

    def _z(self, x):
        return (np.exp(-np.asarray(x)) - self.mean_siemens) / self.sigma_siemens

    def cdf(self, x):
        """P(ln R <= x)."""
        return ndtr(-self._z(x)) / (1 - self.cut)

    def sf(self, x):
        """P(ln R > x)."""
        return np.maximum(ndtr(self._z(x)) - self.cut, 0) / (1 - self.cut)

    def quantile(self, z):
        """ln R at the probability of a standard normal z."""
        z = np.asarray(z)
        high = ndtri(self.cut + (1 - self.cut) * ndtr(-np.maximum(z, 0)))         # high R: the lower conductances
        low = -ndtri((1 - self.cut) * ndtr(np.minimum(z, 0)))
        g = self.mean_siemens + self.sigma_siemens * np.where(z > 0, high, low)
        return -np.log(np.maximum(g, 1e-12 * self.mean_siemens))

    def density(self, x):
        """Density of ln R."""
        scale = math.sqrt(2 * math.pi) * self.sigma_siemens * (1 - self.cut)
        return np.exp(-self._z(x) ** 2 / 2 - np.asarray(x)) / scale

    def shifted(self, shift):
        """R times exp(shift)."""
        return NormalConductance(self.mean_siemens * math.exp(-shift), self.sigma_siemens * math.exp(-shift))

    def scaled(self, factor):
        """sigma_siemens times factor."""
        return NormalConductance(self.mean_siemens, self.sigma_siemens * factor)

    def kernel_state(self):
        """As `kernels.sensing` reads it."""
        return sensing.State(sensing.CONDUCTANCE, self.mean_siemens, self.sigma_siemens, self.cut, _NONE)


@dataclass(frozen=True, repr=False)
class Empirical:
    """Measured samples as they are: a programmed device has the resistance of one of them, each as likely.

    Nothing lies outside the samples, so error rates below about 1 / n are beyond n of them: a rate of 0 then means
    "not seen". Equal resistances in a comparison count half.

    Parameters
    ----------
    samples_ohm : sequence of float > 0
        2 to 20,000; thin more out evenly after sorting.
    """

    samples_ohm: tuple

    def __post_init__(self):
        check_unmasked("samples_ohm", self.samples_ohm)
        values = np.asarray(self.samples_ohm)
        if values.ndim != 1 or values.dtype.kind not in "iuf":
            raise TypeError(f"samples_ohm must be a sequence of numbers, got {values.dtype} of shape {values.shape}")
        if not 2 <= len(values) <= MAX_SAMPLES:
            raise ValueError(f"samples_ohm must be 2 to {MAX_SAMPLES:,} samples, got {len(values):,}; thin more out "
                             "evenly after sorting")
        values = np.sort(check_finite("samples_ohm", values.astype(np.float64)))
        if values[0] <= 0:
            raise ValueError(f"samples_ohm must be > 0, got {values[0]:g}")
        object.__setattr__(self, "samples_ohm", tuple(values.tolist()))

    def __repr__(self):
        digest = hashlib.sha256(np.array(self.samples_ohm).tobytes()).hexdigest()[:12]
        return f"Empirical(<{len(self.samples_ohm)} samples, SHA-256 {digest}>)"

    @cached_property
    def ln_samples(self):
        """ln R of the samples, ascending."""
        return np.log(self.samples_ohm)

    @property
    def ln_median(self):
        """Median of ln R."""
        return float(np.median(self.ln_samples))

    def cdf(self, x):
        """P(ln R < x) + P(ln R = x) / 2."""
        low, high = (np.searchsorted(self.ln_samples, x, side) for side in ("left", "right"))
        return (low + high) / 2 / len(self.ln_samples)

    def sf(self, x):
        """P(ln R > x) + P(ln R = x) / 2."""
        low, high = (np.searchsorted(self.ln_samples, x, side) for side in ("left", "right"))
        return (len(self.ln_samples) - (low + high) / 2) / len(self.ln_samples)

    def quantile(self, z):
        """ln R at the probability of a standard normal z."""
        n = len(self.ln_samples)
        return self.ln_samples[np.minimum((ndtr(z) * n).astype(int), n - 1)]

    def shifted(self, shift):
        """R times exp(shift)."""
        return Empirical(tuple(np.array(self.samples_ohm) * math.exp(shift)))

    def scaled(self, factor):
        """The deviations of ln R from its median times factor."""
        return Empirical(tuple(np.exp(self.ln_median + factor * (self.ln_samples - self.ln_median))))

    def kernel_state(self):
        """As `kernels.sensing` reads it."""
        return sensing.State(sensing.SAMPLES, 0.0, 0.0, 0.0, self.ln_samples)


def check_states(lrs, hrs):
    """Two states, the high one above the low one by its median."""
    for name, state in (("lrs", lrs), ("hrs", hrs)):
        if not isinstance(state, (LogNormal, NormalConductance, Empirical)):
            raise TypeError(f"{name} must be a LogNormal, NormalConductance or Empirical, got {type(state).__name__}")
    if hrs.ln_median <= lrs.ln_median:
        raise ValueError(f"hrs must have a median above that of lrs, got {math.exp(hrs.ln_median):.4g} ohm and "
                         f"{math.exp(lrs.ln_median):.4g} ohm; are the two exchanged?")
