"""Masks of independent bit errors, for rows of packed words."""

from collections.abc import Sequence

import numpy as np

import bnnsim.kernels.words.random_bits as random_bits
from bnnsim.kernels import split
from bnnsim.packed.words import n_words


def flip_masks(n_rows: int, n_features: int, p_flip: float, key: np.ndarray) -> np.ndarray:
    """Independent bit errors: masks (n_rows, W), each of the rows' F bits with probability p_flip.

    key (2,) uint64 from `seeding.stream_key`; the same key at a lower rate gives a subset of the flips.
    """
    return flip_masks_each(n_rows, n_features, [p_flip], key)[0]


def flip_masks_each(n_rows: int, n_features: int, rates: Sequence[float], key: np.ndarray) -> np.ndarray:
    """`flip_masks` at each of R rates, from one pass over the random bits: (R, n_rows, W)."""
    masks = np.zeros((len(rates), n_rows, n_words(n_features)), np.uint64)
    if any(rates):
        thresholds = [int(p * 2.0**64) for p in rates]          # exact: a product with a power of two
        high, low = np.array([divmod(threshold, 2**32) for threshold in thresholds], np.uint64).T.copy()
        split(random_bits.flip_masks, n_rows, n_features, key[0], key[1], high, low, masks)
    return masks
