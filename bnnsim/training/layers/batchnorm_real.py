"""Batch norm without sign, of pre-activations or reals: a map of reals."""

import numpy as np

import bnnsim.kernels.real.channels as channels
from bnnsim.checks import check_input
from bnnsim.kernels import split
from bnnsim.packed.operations import Affine
from bnnsim.training.layers.batchnorm import Norm


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
        mean, variance = np.empty(self.units), np.empty(self.units)
        split(channels.column_sums, self.units, rows, mean)
        mean /= len(rows)
        split(channels.square_sums, self.units, rows, mean, variance)
        return mean, variance / len(rows)

    def outputs(self, h: np.ndarray, mean: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Reals float32 of h's shape."""
        return _affine(mean, scale, shift).run(h)

    def operation(self) -> Affine:
        """What it is to a packed graph, by the running statistics."""
        return _affine(*self.affine())


def _affine(mean: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> Affine:
    return Affine(scale.astype(np.float32), (shift - mean * scale).astype(np.float32))
