"""The variance of a mean over chips and images where both are samples, and how many degrees of freedom it has.

A value for chip t on image i stands in a table of T chips and N images; the mean is over all of it. Chips share their
images and images their chips, so there are neither T N independent values, nor T, nor N: it is the two-way crossed
layout with one value a place. Its mean squares are S_chips^2, S_images^2 and, of what these leave, S_both^2.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np


class Variance(NamedTuple):
    """An estimated variance of a mean, and its degrees of freedom: infinitely many where it is 0."""
    value: float
    df: float


def two_way_variance(of_chips: float, of_images: float, of_both: float, n_chips: int, n_images: int) -> Variance:
    """Variance of the mean of all T N values, from the mean squares.

    It is of_chips + of_images - of_both, and no less than any of the three, since no component of variance is below 0.
    Degrees of freedom are Satterthwaite's, over all three mean squares: the one that is subtracted is uncertain too,
    and its square is added as those of the others are.

    Parameters
    ----------
    of_chips, of_images, of_both : float
        S_chips^2 / T, S_images^2 / N and S_both^2 / (N T).
    n_chips, n_images : int
        T and N, at least 2.

    References
    ----------
    F. E. Satterthwaite, Biometrics Bulletin 2, 1946; with a mean square that is subtracted: D. W. Gaylor and F. N.
    Hopper, Technometrics 11, 1969; Burdick and Graybill, "Confidence intervals on variance components", 1992, the
    two-way crossed random model.
    """
    value = max(of_chips + of_images - of_both, of_chips, of_images, of_both)
    return with_freedom(value, [(of_chips, n_chips - 1), (of_images, n_images - 1),
                                (of_both, (n_chips - 1) * (n_images - 1))])


def table_variance(by_chip: np.ndarray, by_image: np.ndarray, squares: float) -> Variance:
    """`two_way_variance` from the margins of a table (T, N).

    Parameters
    ----------
    by_chip : float64 (T,)
        Means over images.
    by_image : float64 (N,)
        Means over chips.
    squares : float
        Squared deviations from the mean, summed over the table.
    """
    n_chips, n_images, mean = len(by_chip), len(by_image), by_chip.mean()
    left = squares - (n_chips * ((by_image - mean) ** 2).sum() + n_images * ((by_chip - mean) ** 2).sum())
    of_both = max(float(left), 0.0) / ((n_chips - 1) * (n_images - 1)) / (n_chips * n_images)
    return two_way_variance(variance_of_mean(by_chip), variance_of_mean(by_image), of_both, n_chips, n_images)


def with_freedom(value: float, parts: Iterable[tuple[float, float]]) -> Variance:
    """A variance made of independent parts (variance, df): value^2 / sum of part^2 / df, after Satterthwaite."""
    weights = sum(part**2 / df for part, df in parts if part > 0)
    return Variance(value, value**2 / weights if weights > 0 else math.inf)


def variance_of_mean(values: np.ndarray) -> float:
    """s^2 / n of independent values (n,); 0 for one value, which does not say."""
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
