"""The states that ship: distributions of ln R of programmed devices, each a `KnownState`.

A spread is never a percentage: sigma_ln is the standard deviation of ln R (0.1 is about 10 %), sigma_siemens that of
the conductance.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

import bnnsim.kernels.memory.sensing as sensing
from bnnsim.checks import check_finite, check_real, check_unmasked, clean_fields
from bnnsim.devices.states import KnownState

MAX_SAMPLES = 20_000                # of an Empirical: noise is added pair by pair, 4e8 pairs at most
MAX_CUT = 0.03                      # largest share of a normal conductance that lies below 0 (sigma = mean / 1.88)
GREATEST_OHM = 1e18                 # electrometers reach 1e17; instruments' codes of overflow begin at 7e22
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

    KEYS: ClassVar[Mapping[str, str]] = {"median_ohm": "log", "sigma_ln": "linear"}

    def __post_init__(self) -> None:
        clean_fields(self, check_real, "median_ohm", low=0, open_low=True)
        clean_fields(self, check_real, "sigma_ln", low=0)

    @classmethod
    def from_samples(cls, ohm: np.ndarray) -> "LogNormal":
        """By mean and standard deviation of ln R."""
        x = cls.normal_variable(ohm)
        return cls(float(np.exp(x.mean())), float(x.std(ddof=1)))

    @staticmethod
    def normal_variable(ohm: np.ndarray) -> np.ndarray:
        """What is normal of resistances: ln R."""
        return np.log(ohm)

    def keys(self) -> dict[str, float | list[float]]:
        """Median and sigma."""
        return {key: getattr(self, key) for key in self.KEYS}

    @property
    def ln_median(self) -> float:
        """Median of ln R."""
        return math.log(self.median_ohm)

    @property
    def ln_normal(self) -> tuple[float, float]:
        """(mean, standard deviation) of ln R."""
        return self.ln_median, self.sigma_ln

    def widened(self, sigma: float) -> "LogNormal":
        """With an independent normal noise on ln R."""
        return LogNormal(self.median_ohm, math.hypot(self.sigma_ln, sigma))

    def _z(self, x: npt.ArrayLike) -> np.ndarray:
        distance = np.asarray(x) - self.ln_median
        if self.sigma_ln == 0:                                  # all devices alike
            return np.where(distance == 0, 0.0, np.copysign(np.inf, distance))
        return distance / self.sigma_ln

    def cdf(self, x: npt.ArrayLike) -> np.ndarray:
        """P(ln R <= x)."""
        return ndtr(self._z(x))

    def sf(self, x: npt.ArrayLike) -> np.ndarray:
        """P(ln R > x)."""
        return ndtr(-self._z(x))

    def quantile(self, z: npt.ArrayLike) -> np.ndarray:
        """ln R at the probability of a standard normal z."""
        return self.ln_median + self.sigma_ln * np.asarray(z)

    def density(self, x: npt.ArrayLike) -> np.ndarray:
        """Density of ln R."""
        return np.exp(-self._z(x) ** 2 / 2) / (math.sqrt(2 * math.pi) * self.sigma_ln)

    def shifted(self, shift: float) -> "LogNormal":
        """R times exp(shift)."""
        return LogNormal(self.median_ohm * math.exp(shift), self.sigma_ln)

    def scaled(self, factor: float) -> "LogNormal":
        """sigma_ln times factor; by 0 no device differs from the median."""
        return LogNormal(self.median_ohm, self.sigma_ln * factor)

    def kernel_state(self) -> sensing.StateNumbers:
        """As `bnnsim.kernels.memory.sensing` reads it."""
        return sensing.StateNumbers(sensing.LOG_NORMAL, self.ln_median, self.sigma_ln, 0.0, _NONE)


@dataclass(frozen=True)
class NormalConductance:
    """The conductance is normal, cut off at 0: a draw that is not positive is drawn anew (the rest is renormalised).

    Parameters
    ----------
    mean_siemens : float > 0
    sigma_siemens : float >= 0
        Of the normal before it is cut. At most 3 % of it may lie below 0: past that the shape of the tail, which
        decides the error rate, would be an artefact of the cut. At 0 all devices are alike, of 1 / mean_siemens ohm:
        what ``scaled(0)``, and a device card's axis sigma, end in.
    """

    mean_siemens: float
    sigma_siemens: float

    KEYS: ClassVar[Mapping[str, str]] = {"mean_siemens": "log", "sigma_siemens": "log"}

    def __post_init__(self) -> None:
        clean_fields(self, check_real, "mean_siemens", low=0, open_low=True)
        clean_fields(self, check_real, "sigma_siemens", low=0)
        if self.cut > MAX_CUT:
            raise ValueError(f"sigma_siemens must leave at most {100 * MAX_CUT:g} % of the normal below 0, got "
                             f"{100 * self.cut:.1f} % (sigma {self.sigma_siemens:g} at mean {self.mean_siemens:g}); "
                             "describe such a state as LogNormal or Empirical")

    @classmethod
    def from_samples(cls, ohm: np.ndarray) -> "NormalConductance":
        """By mean and standard deviation of the conductance."""
        g = cls.normal_variable(ohm)
        return cls(float(np.mean(g)), float(np.std(g, ddof=1)))

    @staticmethod
    def normal_variable(ohm: np.ndarray) -> np.ndarray:
        """What is normal of resistances: 1 / R."""
        return 1 / ohm

    def keys(self) -> dict[str, float | list[float]]:
        """Mean and sigma."""
        return {key: getattr(self, key) for key in self.KEYS}

    @property
    def cut(self) -> float:
        """Share of the normal that lies below 0."""
        return float(ndtr(-self.mean_siemens / self.sigma_siemens)) if self.sigma_siemens else 0.0

    @property
    def ln_median(self) -> float:
        """Median of ln R."""
        return float(self.quantile(0.0))

    def _z(self, x: npt.ArrayLike) -> np.ndarray:
        if self.sigma_siemens == 0:                             # all devices alike
            distance = self.ln_median - np.asarray(x)
            return np.where(distance == 0, 0.0, np.copysign(np.inf, distance))
        return (np.exp(-np.asarray(x)) - self.mean_siemens) / self.sigma_siemens

    def cdf(self, x: npt.ArrayLike) -> np.ndarray:
        """P(ln R <= x)."""
        return ndtr(-self._z(x)) / (1 - self.cut)

    def sf(self, x: npt.ArrayLike) -> np.ndarray:
        """P(ln R > x)."""
        return np.maximum(ndtr(self._z(x)) - self.cut, 0) / (1 - self.cut)

    def quantile(self, z: npt.ArrayLike) -> np.ndarray:
        """ln R at the probability of a standard normal z."""
        z = np.asarray(z)
        high = ndtri(self.cut + (1 - self.cut) * ndtr(-np.maximum(z, 0)))         # high R: the lower conductances
        low = -ndtri((1 - self.cut) * ndtr(np.minimum(z, 0)))
        g = self.mean_siemens + self.sigma_siemens * np.where(z > 0, high, low)
        return -np.log(np.maximum(g, 1e-12 * self.mean_siemens))

    def density(self, x: npt.ArrayLike) -> np.ndarray:
        """Density of ln R."""
        scale = math.sqrt(2 * math.pi) * self.sigma_siemens * (1 - self.cut)
        return np.exp(-self._z(x) ** 2 / 2 - np.asarray(x)) / scale

    def shifted(self, shift: float) -> "NormalConductance":
        """R times exp(shift)."""
        return NormalConductance(self.mean_siemens * math.exp(-shift), self.sigma_siemens * math.exp(-shift))

    def scaled(self, factor: float) -> "NormalConductance":
        """sigma_siemens times factor; by 0 no device differs from the mean."""
        return NormalConductance(self.mean_siemens, self.sigma_siemens * factor)

    def kernel_state(self) -> sensing.StateNumbers:
        """As `bnnsim.kernels.memory.sensing` reads it."""
        return sensing.StateNumbers(sensing.CONDUCTANCE, self.mean_siemens, self.sigma_siemens, self.cut, _NONE)


@dataclass(frozen=True, repr=False)
class Empirical:
    """Measured samples as they are: a programmed device has the resistance of one of them, each as likely.

    Nothing lies outside the samples, so error rates below about 1 / n are beyond n of them: a rate of 0 then means
    "not seen". Equal resistances in a comparison count half.

    Parameters
    ----------
    samples_ohm : sequence of float > 0
        2 to 20,000, up to 1e18 ohm; thin more out evenly after sorting.
    """

    samples_ohm: Sequence[float] | np.ndarray

    KEYS: ClassVar[Mapping[str, str]] = {"samples_ohm": "nothing"}

    def __post_init__(self) -> None:
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
        if values[-1] > GREATEST_OHM:
            raise ValueError(f"samples_ohm must be at most {GREATEST_OHM:g}, got {values[-1]:g}: more is no resistance "
                             "but an instrument's code of overflow; leave such samples out")
        object.__setattr__(self, "samples_ohm", tuple(values.tolist()))

    @classmethod
    def from_samples(cls, ohm: np.ndarray) -> "Empirical":
        """The samples as they are."""
        return cls(ohm)

    def keys(self) -> dict[str, float | list[float]]:
        """The samples."""
        return {"samples_ohm": list(self.samples_ohm)}

    def __repr__(self) -> str:
        digest = hashlib.sha256(np.array(self.samples_ohm).tobytes()).hexdigest()[:12]
        return f"Empirical(<{len(self.samples_ohm)} samples, SHA-256 {digest}>)"

    @cached_property
    def ln_samples(self) -> np.ndarray:
        """ln R of the samples, ascending."""
        return np.log(self.samples_ohm)

    @property
    def ln_median(self) -> float:
        """Median of ln R."""
        return float(np.median(self.ln_samples))

    def cdf(self, x: npt.ArrayLike) -> np.ndarray:
        """P(ln R < x) + P(ln R = x) / 2."""
        low, high = (np.searchsorted(self.ln_samples, x, side) for side in ("left", "right"))
        return (low + high) / 2 / len(self.ln_samples)

    def sf(self, x: npt.ArrayLike) -> np.ndarray:
        """P(ln R > x) + P(ln R = x) / 2."""
        low, high = (np.searchsorted(self.ln_samples, x, side) for side in ("left", "right"))
        return (len(self.ln_samples) - (low + high) / 2) / len(self.ln_samples)

    def density(self, x: npt.ArrayLike) -> np.ndarray:
        """Density of ln R, as a histogram of the samples has it."""
        counts, edges = np.histogram(self.ln_samples, "auto", density=True)
        place = np.searchsorted(edges, x, "right") - 1
        return np.where((place >= 0) & (place < len(counts)), counts[np.clip(place, 0, len(counts) - 1)], 0.0)

    def quantile(self, z: npt.ArrayLike) -> np.ndarray:
        """ln R at the probability of a standard normal z."""
        n = len(self.ln_samples)
        return self.ln_samples[np.minimum((ndtr(z) * n).astype(int), n - 1)]

    def shifted(self, shift: float) -> "Empirical":
        """R times exp(shift)."""
        return Empirical(tuple(np.array(self.samples_ohm) * math.exp(shift)))

    def scaled(self, factor: float) -> "Empirical":
        """The deviations of ln R from its median times factor."""
        return Empirical(tuple(np.exp(self.ln_median + factor * (self.ln_samples - self.ln_median))))

    def kernel_state(self) -> sensing.StateNumbers:
        """As `bnnsim.kernels.memory.sensing` reads it."""
        return sensing.StateNumbers(sensing.SAMPLES, 0.0, 0.0, 0.0, self.ln_samples)


# name of the model: what device cards and fits know
KINDS: dict[str, type[KnownState]] = {"log-normal": LogNormal, "normal-conductance": NormalConductance,
                                      "empirical": Empirical}
