"""Two networks on the same chips and the same images: what pairing image by image is worth.

Both networks meet the same images, and mostly fail on the same ones, so the sampling of the test set falls out of their
difference; the same chips matter less. Where only accuracies of chips are known: `intervals.paired_difference`.

T chips, N images.
"""

import numpy as np
import numpy.typing as npt

from bnnsim.statistics.agreement import UNSEEN_OF_IMAGES, reach_of_mean
from bnnsim.statistics.intervals import (Difference, check_level, interval_about, reach_of_difference, smaller_of,
                                         widened)
from bnnsim.statistics.two_way import Variance, table_variance, with_freedom


def population_difference(right_a: npt.ArrayLike, right_b: npt.ArrayLike, level: float = 0.95) -> Difference:
    """Interval for the difference in accuracy over all chips and all images, paired image by image and unpaired.

    Where the two agree by chance, it is no narrower than that allows (`bnnsim.statistics.agreement`): networks
    with the same answers may differ on images that were not drawn.

    Parameters
    ----------
    right_a, right_b : bool (T, N)
        Chip t of each network got image i right; T >= 2 chips and N >= 2 images, the same for both.
    level : float

    Returns
    -------
    Difference
        paired, unpaired (as if each network had chips and images of its own), and which is smaller; clipped to [-1, 1].

    References
    ----------
    See `bnnsim.statistics.two_way.two_way_variance`, `bnnsim.statistics.paired_difference`.

    Examples
    --------
    >>> right = [[True, True, False, True] * 500, [True, False, False, True] * 500]
    >>> print(f"{population_difference(right, right).paired.high:.4f}")
    0.0035
    """
    level = check_level(level)
    a, b = _check_right("right_a", right_a), _check_right("right_b", right_b)
    if a.shape != b.shape:
        raise ValueError(f"right_a and right_b must be of the same chips and images, got {a.shape} and {b.shape}")
    of_a, of_b = _variance(a), _variance(b)
    mean, n = float(a.mean() - b.mean()), len(a)
    paired = interval_about(mean, n, _variance(a - b), level, -1.0)
    unpaired = interval_about(mean, n, with_freedom(of_a.value + of_b.value, [of_a, of_b]), level, -1.0)
    return smaller_of(widened(paired, *_reach(a - b, level)),
                      widened(unpaired, *reach_of_difference(_reach(a, level), _reach(b, level))))


def _reach(values: np.ndarray, level: float) -> tuple[float, float]:
    """How far below and above a table's mean that over all chips and images may lie, from what few images show.

    Chips that agree say less than images that do: a move on one chip is 1 / T of one on its image.
    """
    below, above = reach_of_mean(values.mean(axis=0), level, UNSEEN_OF_IMAGES)
    return float(below), float(above)


def _variance(values: np.ndarray) -> Variance:
    return table_variance(values.mean(axis=1), values.mean(axis=0), float(((values - values.mean()) ** 2).sum()))


def _check_right(name: str, value: npt.ArrayLike) -> np.ndarray:
    right = np.asarray(value)
    if right.dtype != bool or right.ndim != 2 or min(right.shape) < 2:
        raise ValueError(f"{name} must be bool (chips, images), at least 2 of each, got {right.dtype} {right.shape}")
    return right.astype(np.float64)
