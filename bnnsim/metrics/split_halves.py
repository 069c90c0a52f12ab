"""How much of a spread over units is the units' own, and how much is chance of the images: by halves of the images.

The images fall into G parts, image i into part i % G. A part gives each of U units a value: its truth, plus noise that
is independent of the other parts', whatever units have in common. So products of two parts have no noise of either:
their covariance over units is the variance of the truth [D]. Means over all pairs of parts are means over all ways to
make two halves of the parts. (Where a split has as many images of each class by design, parts err in opposite
directions as far as classes differ, and agree a little less than they would.)
"""

import math
from typing import NamedTuple

import numpy as np

from bnnsim.statistics.intervals import t_quantile

PARTS = 20
MOSTLY_NOISE = 0.5                  # reliability below which more of the variance is noise than is not


class Reliability(NamedTuple):
    """What halves of the images agree on.

    Attributes
    ----------
    noise_free_variance : float
        Covariance of two halves over units, mean over all halves: without bias the variance over units that infinitely
        many images would leave. Below 0 by chance only, where there is next to none.
    whole : float
        Reliability of values from all of the images, the share of their variance that is free of noise: correlation r
        of two halves, and 2 r / (1 + r), by Spearman and Brown. Near 1 other images would give the same, near 0 all is
        noise.
    low, high : float
        95 % interval of `whole`: jackknife over the parts of the images, so that it holds however units' noises
        correlate. It is too wide, by up to a half, where `whole` is about 0.

    What is not known is NaN: all for one image, bounds below three, and where no unit differs from another.
    """

    noise_free_variance: float
    whole: float
    low: float
    high: float

    @property
    def split_half(self) -> float:
        """Correlation of two halves."""
        return self.whole / (2 - self.whole)

    @property
    def is_noise(self) -> bool:
        """Whether more of the variance is noise than is not, or nothing is known."""
        return not self.whole >= MOSTLY_NOISE

    def __str__(self) -> str:
        bounds = f" ({self.low:.2f} to {self.high:.2f})" if math.isfinite(self.low) else ""
        return f"{self.whole:.2f}{bounds}" if math.isfinite(self.whole) else "unknown"


def reliability_of(parts: np.ndarray) -> Reliability:
    """Reliability of the mean of the values of equal parts of the images, float64 (G, U)."""
    n, unknown = len(parts), math.nan
    if n < 2:
        return Reliability(*[unknown] * 4)
    centred = parts - parts.mean(axis=1, keepdims=True)
    products = centred @ centred.T / parts.shape[1]
    noise_free, over_noise = _variances(products)
    if math.isnan(over_noise) or math.isinf(over_noise) or n < 3:
        return Reliability(noise_free, 1 - math.exp(-over_noise), unknown, unknown)
    without = np.array([_variances(products[np.ix_(rest, rest)])[1] for rest in ~np.eye(n, dtype=bool)])
    half = t_quantile(0.95, n - 1) * math.sqrt((n - 1) * without.var())
    return Reliability(noise_free, *(1 - math.exp(-(over_noise + step)) for step in (0, -half, half)))


def _variances(products: np.ndarray) -> tuple[float, float]:
    """(noise-free variance, ln of the variance of the mean over its noise's) from mean products of parts (G, G)."""
    n, whole, own = len(products), float(products.sum()), float(np.trace(products))
    noise_free, variance = (whole - own) / (n * (n - 1)), whole / n**2
    noise = variance - noise_free
    if variance <= 0:
        return noise_free, math.nan
    return noise_free, math.log(variance / noise) if noise > 1e-12 * variance else math.inf


def sums_by(values: np.ndarray, keys: np.ndarray, n_keys: int) -> np.ndarray:
    """Sums of the rows of values (N, ...) that have each key: (n_keys, ...), int64 or float64."""
    out = np.zeros((n_keys, *values.shape[1:]), np.int64 if values.dtype.kind == "i" else np.float64)
    for key in np.unique(keys):
        out[key] = values[keys == key].sum(0, dtype=out.dtype)
    return out


def parts_of(block: slice) -> np.ndarray:
    """Which part each image of a block is in, int64 (N,)."""
    return np.arange(block.start, block.stop) % PARTS


def means_of(sums: np.ndarray, n_images: int) -> np.ndarray:
    """Means (G, U) of the parts that have images, from the sums (PARTS, U) over each."""
    n = min(PARTS, n_images)
    return sums[:n] / (-(-(n_images - np.arange(n)) // PARTS))[:, None]
