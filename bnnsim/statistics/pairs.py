"""Two networks on the same chips and the same images: what pairing image by image is worth.

right (T, N) booleans: chip t got image i right. Both networks meet the same images, and mostly fail on the same ones,
so the sampling of the test set falls out of their difference; the same chips matter less.
"""

import math

import numpy as np

from bnnsim.statistics.intervals import Difference, Interval, check_level, t_quantile


def _variance_of_mean(values):
    """Variance of the mean of values (T, N) over chips and images, both a sample; its degrees of freedom.

    Two-way random effects without replication (Searle, Casella, McCulloch, Variance Components, 1992, section 4.7):
    S_images / N + S_chips / T - S_rest / (N T), with S the variances of the two margins and of the rest; not below the
    largest of the first two. Degrees of freedom after Satterthwaite.
    """
    n_chips, n_images = values.shape
    by_image, by_chip, mean = values.mean(axis=0), values.mean(axis=1), values.mean()
    images = by_image.var(ddof=1) / n_images
    chips = by_chip.var(ddof=1) / n_chips
    rest = ((values - by_image - by_chip[:, None] + mean) ** 2).sum() / ((n_chips - 1) * (n_images - 1))
    variance = max(images + chips - rest / (n_chips * n_images), images, chips)
    weights = images**2 / (n_images - 1) + chips**2 / (n_chips - 1)
    return variance, variance**2 / weights if weights > 0 else math.inf


def _interval(mean, variance, df, level, n):
    half = t_quantile(level, df) * math.sqrt(variance)
    return Interval(mean - half, mean + half, mean, n)


def population_difference(right_a, right_b, level=0.95):
    """Interval for the difference in accuracy over all chips and all images, paired image by image and unpaired.

    Parameters
    ----------
    right_a, right_b : bool (T, N)
        Chip t of each network got image i right; T >= 2 chips and N >= 2 images, the same for both.
    level : float

    Returns
    -------
    Difference
        paired, unpaired (as if each network had chips and images of its own), and which is smaller.

    Examples
    --------
    >>> right = np.array([[True, True, False, True], [True, False, False, True]])
    >>> float(population_difference(right, right).paired.high)
    0.0
    """
    check_level(level)
    a, b = np.asarray(right_a), np.asarray(right_b)
    for name, value in (("right_a", a), ("right_b", b)):
        if value.dtype != bool or value.ndim != 2 or min(value.shape) < 2:
            raise ValueError(f"{name} must be bool (chips, images), at least 2 of each, got {value.dtype} "
                             f"{value.shape}")
    if a.shape != b.shape:
        raise ValueError(f"right_a and right_b must be of the same chips and images, got {a.shape} and {b.shape}")
    a, b = a.astype(np.float64), b.astype(np.float64)
    mean = a.mean() - b.mean()
    paired = _interval(mean, *_variance_of_mean(a - b), level, len(a))
    (var_a, df_a), (var_b, df_b) = _variance_of_mean(a), _variance_of_mean(b)
    weights = var_a**2 / df_a + var_b**2 / df_b
    df = (var_a + var_b) ** 2 / weights if weights > 0 else math.inf
    unpaired = _interval(mean, var_a + var_b, df, level, len(a))
    smaller = paired.high - paired.low <= unpaired.high - unpaired.low
    return Difference(paired, unpaired, "paired" if smaller else "unpaired")
