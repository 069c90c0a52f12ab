"""Batch norm and sign, folded into one integer threshold a unit."""

import numpy as np

from bnnsim.checks import check_finite


def batch_scale(gamma: np.ndarray, variance: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """(inverse, scale): 1 / sqrt(var + eps) and gamma times it, float64."""
    inverse = 1.0 / np.sqrt(variance + eps)
    return inverse, gamma.astype(np.float64) * inverse


def fold_thresholds(mean: np.ndarray, scale: np.ndarray, shift: np.ndarray,
                    bound: int) -> tuple[np.ndarray, np.ndarray]:
    """Batch norm and sign as integer thresholds: (h - mean) * scale + shift >= 0 iff (h >= theta) xor inverted.

    Parameters
    ----------
    mean, scale, shift : float64 (U,)
    bound : int
        Largest |h| that can occur.

    Returns
    -------
    theta : int32 (U,)
        The least integer in [-bound, bound + 1] at which the float64 expression changes side, found by bisection of
        that expression itself, so that it agrees with evaluation on every integer.
    inverted : bool (U,)
        scale < 0; for scale = 0 the output is the constant sign(shift).
    """
    for name, value in (("mean", mean), ("scale", scale), ("shift", shift)):
        check_finite(name, value)
    inverted = np.where(scale == 0, shift < 0, scale < 0)
    low = np.full(len(mean), -bound, np.int64)                  # the answer lies in low..high
    high = np.full(len(mean), bound + 1, np.int64)
    while np.any(low < high):
        middle = (low + high) >> 1
        with np.errstate(over="ignore"):                        # an infinity is on the right side too
            above = ((middle.astype(np.float64) - mean) * scale + shift >= 0) != inverted
        open_ = low < high
        high = np.where(open_ & above, middle, high)
        low = np.where(open_ & ~above, middle + 1, low)
    return low.astype(np.int32), inverted
