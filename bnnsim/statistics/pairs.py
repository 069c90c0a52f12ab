"""Two networks on the same chips and the same images: what pairing image by image is worth.

Both networks meet the same images, and mostly fail on the same ones, so the sampling of the test set falls out of their
difference; the same chips matter less. Where only accuracies of chips are known: `intervals.paired_difference`.

T chips, N images.
"""

import numpy as np
import numpy.typing as npt

from bnnsim.statistics.intervals import Difference, check_level, interval_about, smaller_of
from bnnsim.statistics.two_way import Variance, table_variance, with_freedom


def population_difference(right_a: npt.ArrayLike, right_b: npt.ArrayLike, level: float = 0.95) -> Difference:
    """Interval for the difference in accuracy over all chips and all images, paired image by image and unpaired.

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
    See `bnnsim.statistics.two_way.two_way_variance`.

    Examples
    --------
    >>> right = [[True, True, False, True], [True, False, False, True]]
    >>> population_difference(right, right).paired.high
    0.0
    """
    level = check_level(level)
    a, b = _check_right("right_a", right_a), _check_right("right_b", right_b)
    if a.shape != b.shape:
        raise ValueError(f"right_a and right_b must be of the same chips and images, got {a.shape} and {b.shape}")
    of_a, of_b = _variance(a), _variance(b)
    mean, n = float(a.mean() - b.mean()), len(a)
    return smaller_of(interval_about(mean, n, _variance(a - b), level, -1.0),
                      interval_about(mean, n, with_freedom(of_a.value + of_b.value, [of_a, of_b]), level, -1.0))


def _variance(values: np.ndarray) -> Variance:
    return table_variance(values.mean(axis=1), values.mean(axis=0), float(((values - values.mean()) ** 2).sum()))


def _check_right(name: str, value: npt.ArrayLike) -> np.ndarray:
    right = np.asarray(value)
    if right.dtype != bool or right.ndim != 2 or min(right.shape) < 2:
        raise ValueError(f"{name} must be bool (chips, images), at least 2 of each, got {right.dtype} {right.shape}")
    return right.astype(np.float64)
