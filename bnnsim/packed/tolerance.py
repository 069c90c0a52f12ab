"""Tolerance T of the outputs of a hidden layer: the one place that metrics and proofs ask.

N images, P positions, Q after pooling, U units.
"""

import numpy as np

import bnnsim.kernels.analysis.tolerance as kernels
from bnnsim.kernels import split
from bnnsim.kernels.analysis.tolerance import NEVER
from bnnsim.packed.stages import Stage

__all__ = ["NEVER", "tolerance", "tolerance_of_positions"]


def tolerance(stage: Stage, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """The most flips of a unit's weights that leave an output as it is, whichever they are.

    Parameters
    ----------
    stage : of a hidden layer
    x, h : a block of what it reads, and its pre-activations (N, P, U)

    Returns
    -------
    int32 (N, Q, U), NEVER where no flips change the output. Exact; of a pooled comparison that holds, a lower bound.
    """
    found = tolerance_of_positions(stage, x, h)
    if not stage.layer.pools:
        return found
    rows, columns = stage.pooled_shape
    out = np.empty((len(h), rows * columns, stage.layer.units), np.int32)
    split(kernels.pool_tolerance, len(h), found, h, stage.theta, stage.geometry, stage.layer.windows, columns, out)
    return out


def tolerance_of_positions(stage: Stage, x: np.ndarray, h: np.ndarray) -> np.ndarray:
    """The same before a max-pool, of each comparison: int32 (N, P, U), exact."""
    found = np.empty(h.shape, np.int32)
    if stage.reads_pixels:
        split(kernels.tolerance_pixels, len(h), stage.patches(x), h, stage.theta, stage.signs_by_summand, found)
    else:
        split(kernels.tolerance_bits, len(h), h, stage.n_summands, stage.theta, found)
    return found
