"""Batch norm without sign, of pre-activations or reals: a map of reals."""

import numpy as np

from bnnsim.checks import check_input
from bnnsim.kernels.real.channel_tiles import SQUARE, VALUE
from bnnsim.packed.operations import Affine
from bnnsim.training.layers.batchnorm import Norm
from bnnsim.training.layers.real import sums


class BatchNormReal(Norm):
    """Batch norm without sign: h int32 or x float32 (N, ..., U) -> float32, x * scale + shift in float32.

    scale and shift are gamma / sqrt(var + eps) and beta - mean * scale, computed in float64 and rounded once.
    """

    takes, gives = "pre-activations or reals", "reals"

    def _checked(self, h: np.ndarray) -> np.ndarray:
        dtype = np.float32 if getattr(h, "dtype", None) == np.float32 else np.int32
        return check_input(type(self).__name__, h, dtype, self.units)

    def moments_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and (biased) variance (U,) float64 of what it reads: of reals that of the differences from the mean."""
        if rows.dtype == np.int32:
            return super().moments_of(rows)
        mean = sums(VALUE, rows) / len(rows)
        return mean, sums(SQUARE, rows, mean=mean) / len(rows)

    def outputs(self, h: np.ndarray, mean: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Reals float32 of h's shape."""
        return _affine(mean, scale, shift).run(h)

    def operation(self) -> Affine:
        """What it is to a packed graph, by the running statistics."""
        return _affine(*self.affine())


def _affine(mean: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> Affine:
    return Affine(scale.astype(np.float32), (shift - mean * scale).astype(np.float32))
