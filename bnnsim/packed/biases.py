"""A bias whose bits a memory stores: a row of them, one a unit, added to what the layer before sums up.

N images, U units, V = ceil(U / 64) words.
"""

from dataclasses import dataclass

import numpy as np

import bnnsim.kernels.forward.grouped as grouped
from bnnsim.kernels import split
from bnnsim.kernels.forward.geometry import Geometry, Pool
from bnnsim.packed.forward import window_counts
from bnnsim.packed.words import n_words


@dataclass(frozen=True, eq=False)
class Biased:
    """A stored bias as `forward.Layout` is a layer of weights: to sums, or to bits where it is given thresholds.

    added : int32 (U,), of +level and -level
    """

    added: np.ndarray
    geometry: Geometry
    theta: np.ndarray | None
    inverted: np.ndarray | None
    pool: Pool

    def sums(self, x: np.ndarray) -> np.ndarray:
        """h + b int32 of sums h (N, H, W, U) or (N, U)."""
        return x + self.added

    def bits(self, x: np.ndarray) -> np.ndarray:
        """Output bits (N, ., ., V), or (N, V), of a block: h + b >= theta is h >= theta - b."""
        counts = window_counts(self.geometry[-2:], self.pool) if x.ndim == 4 else (1, 1)
        out = np.zeros((len(x), *counts, n_words(len(self.added))), np.uint64)
        h = x.reshape(len(x), *self.geometry[-2:], -1)
        split(grouped.compare_sums, len(h), h, self.theta - self.added, self.geometry, self.pool, self.inverted, out)
        return out if x.ndim == 4 else out.reshape(len(x), -1)
