"""Batch norm of integer pre-activations: with a sign behind it (hidden layers), alone (scores), or none (logits).

Works on h (N, U) or (N, H, W, U) int32; statistics are taken over all axes but the last.
"""

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import bnnsim.kernels.norm.batchnorm as batchnorm
from bnnsim.checks import check_array, check_input, check_int
from bnnsim.kernels import empty, split
from bnnsim.packed.forward import affine_scores
from bnnsim.packed.layer import PackedLayer, largest_preactivation
from bnnsim.packed.thresholds import batch_scale, fold_thresholds
from bnnsim.packed.words import n_words
from bnnsim.training.estimators import (Clipped, Estimator, Identity, check_estimator, kernel_coefficients,
                                        pseudo_gradient)
from bnnsim.training.gradients import Gradient
from bnnsim.training.layers.layer import Layer
from bnnsim.training.plug_ins import as_text

if TYPE_CHECKING:
    from bnnsim.training.regularisers import Penalty

MOMENTUM, EPS = 0.1, 1e-5
NUMPY_ROWS = 1024                   # that an estimator which no kernel knows is asked for at a time


class NormCache(NamedTuple):
    """What the backward pass of a batch norm needs, and a regulariser reads.

    h : int32 (N, ..., U), the pre-activations
    norm : float64 (4, U), of the batch: mean, inverse, scale, shift. With inverse = 1 / sqrt(var + eps) and scale =
        gamma * inverse, the normalised h is (h - mean) * inverse, and the output (h - mean) * scale + shift.
    """

    h: np.ndarray
    norm: np.ndarray


class Norm(Layer):
    """Parameters gamma, beta (U,) float32; running mean, variance (U,) float64, which move by `momentum` a batch."""

    takes, gives = "pre-activations", "scores"
    momentum = MOMENTUM
    ste: Estimator = Identity()

    def __init__(self, units: int, eps: float = EPS) -> None:
        self.units, self.eps = check_int("units", units, 1), eps
        self.parameters = {"gamma": np.ones(units, np.float32), "beta": np.zeros(units, np.float32)}
        self.running = {"mean": np.zeros(units), "variance": np.ones(units)}

    def settings(self) -> dict[str, object]:
        """What is added to the variance."""
        return {"eps": self.eps}

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Unchanged; the last axis must be U."""
        if shape[-1] != self.units:
            raise ValueError(f"{type(self).__name__}({self.units}) cannot follow an output of shape {tuple(shape)}")
        return tuple(shape)

    def affine(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(mean, scale, shift) float64 of the running statistics: output = (h - mean) * scale + shift."""
        _, scale = batch_scale(self.parameters["gamma"], self.running["variance"], self.eps)
        return self.running["mean"].copy(), scale, self.parameters["beta"].astype(np.float64)

    @abstractmethod
    def outputs(self, h: np.ndarray, mean: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """What the layer gives for h by this affine map."""

    def sums_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Exact sums (U,) int64 over rows (R, U) int32: of the differences from the first row, and of their squares."""
        sums, squares = np.empty(self.units, np.int64), np.empty(self.units, np.int64)
        split(batchnorm.column_sums, self.units, rows, sums, squares)
        return sums, squares

    def moments_of(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and (biased) variance (U,) float64 of what it reads."""
        sums, squares = self.sums_of(rows)
        shift = sums / len(rows)
        return rows[0] + shift, np.maximum(squares / len(rows) - shift * shift, 0.0)

    def _checked(self, h: np.ndarray) -> np.ndarray:
        return check_input(type(self).__name__, h, np.int32, self.units)

    def forward(self, h: np.ndarray) -> np.ndarray:
        """Outputs by the running statistics."""
        return self.outputs(self._checked(h), *self.affine())

    def forward_train(self, h: np.ndarray) -> tuple[np.ndarray, NormCache]:
        """Outputs by the statistics of h, which move the running ones."""
        h = self._checked(h)
        rows = h.reshape(-1, self.units)
        mean, variance = self.moments_of(rows)
        unbiased = variance * (len(rows) / max(len(rows) - 1, 1))
        for name, value in (("mean", mean), ("variance", unbiased)):
            self.running[name] += self.momentum * (value - self.running[name])
        inverse, scale = batch_scale(self.parameters["gamma"], variance, self.eps)
        shift = self.parameters["beta"].astype(np.float64)
        return self.outputs(h, mean, scale, shift), NormCache(h, np.stack([mean, inverse, scale, shift]))

    def backward(self, dout: Gradient, cache: NormCache,
                 penalty: "Penalty | None" = None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """dh and the gradients of gamma and beta; with those of a `regularisers.Penalty` of h, if one is given."""
        h, norm = cache
        drows = check_array(f"dout of {type(self).__name__}", dout, np.float32, h.shape).reshape(-1, self.units)
        rows, ste = h.reshape(-1, self.units), kernel_coefficients(self.ste)
        if ste is None:
            drows, ste = _through_sign(self.ste, drows, rows, norm), Identity.coefficients
        dgamma, dbeta, dh = np.empty(self.units), np.empty(self.units), empty(rows.shape, np.float32)
        split(batchnorm.gradient_sums, self.units, drows, rows, norm, ste, dgamma, dbeta)
        if penalty is not None:
            dgamma, dbeta = dgamma + penalty.dgamma, dbeta + penalty.dbeta
        means = np.stack([dgamma, dbeta]) / len(rows)
        split(batchnorm.gradient_rows, len(rows), drows, rows, norm, ste, means, dh)
        if penalty is not None:
            penalty.add_to(dh.reshape(h.shape))
        return dh.reshape(h.shape), {"gamma": dgamma.astype(np.float32), "beta": dbeta.astype(np.float32)}


def _through_sign(ste: Estimator, drows: np.ndarray, rows: np.ndarray, norm: np.ndarray) -> np.ndarray:
    """drows (R, U) times g(y) of an estimator that no kernel knows, float32; 0 where g is, as the kernels have it."""
    (mean, _, scale, shift), out = norm, empty(drows.shape, np.float32)
    for first in range(0, len(rows), NUMPY_ROWS):
        part = slice(first, first + NUMPY_ROWS)
        g = pseudo_gradient(ste, affine_scores(rows[part], mean, scale, shift))
        out[part] = np.where(g == 0, 0.0, drows[part] * g)
    return out


class BatchNormSign(Norm):
    """Batch norm, then sign: h int32 -> packed activations (..., ceil(U / 64)) uint64, +1 iff the output is >= 0.

    Backward is a straight-through estimator of the sign.

    Parameters
    ----------
    units : int
    eps : float
    ste : "clipped", "identity", "approx", "swish", or an Estimator
        An object of `bnnsim.estimators`, or any with the method that they have. Clipped: masked where |batch norm
        output| > 1 [C: Buschjaeger et al. 2020].
    """

    gives = "bits"

    def __init__(self, units: int, eps: float = EPS, ste: str | Estimator = Clipped()) -> None:
        super().__init__(units, eps)
        self.ste = check_estimator(ste)

    def settings(self) -> dict[str, object]:
        """What is added to the variance, and the estimator where it is not the default."""
        return super().settings() | ({} if self.ste == Clipped() else {"ste": as_text(self.ste)})

    def outputs(self, h: np.ndarray, mean: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Words (N, ..., ceil(U / 64)) uint64."""
        rows = h.reshape(-1, self.units)
        words = empty((len(rows), n_words(self.units)), np.uint64)
        split(batchnorm.affine_sign, len(rows), rows, mean, scale, shift, words)
        return words.reshape(*h.shape[:-1], -1)

    def pack_into(self, stored: list[PackedLayer], input_offset: int | None) -> None:
        """Batch norm and sign as integer thresholds."""
        bound = largest_preactivation(stored[-1], input_offset is not None, input_offset or 0)
        mean, scale, shift = self.affine()
        theta, inverted = fold_thresholds(mean, scale, shift, bound)
        stored[-1] = replace(stored[-1], threshold=theta, inverted=inverted)


class BatchNorm(Norm):
    """Batch norm alone, after the last layer: h (N, U) int32 -> scores (N, U) float64."""

    def outputs(self, h: np.ndarray, mean: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Scores (N, U) float64."""
        return affine_scores(h, mean, scale, shift)

    def pack_into(self, stored: list[PackedLayer], input_offset: int | None) -> None:
        """The affine map of the scores."""
        _pack_scores(stored, *self.affine())


def _pack_scores(stored: list[PackedLayer], mean: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> None:
    stored[-1] = replace(stored[-1], mean=mean, scale=scale, shift=shift)


class Logits(Layer):
    """The output without batch norm: integer logits as scores (N, U) float64."""

    takes, gives = "pre-activations", "scores"

    def __init__(self, units: int) -> None:
        self.units = check_int("units", units, 1)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """(U,) -> (U,)."""
        if tuple(shape) != (self.units,):
            raise ValueError(f"Logits({self.units}) cannot follow an output of shape {tuple(shape)}")
        return (self.units,)

    def affine(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The identity: mean 0, scale 1, shift 0."""
        return np.zeros(self.units), np.ones(self.units), np.zeros(self.units)

    def forward(self, h: np.ndarray) -> np.ndarray:
        """The integers as float64."""
        return affine_scores(check_input("Logits", h, np.int32, self.units, 2), *self.affine())

    def forward_train(self, h: np.ndarray) -> tuple[np.ndarray, None]:
        """The same; nothing is needed for the way back."""
        return self.forward(h), None

    def backward(self, dout: Gradient, cache: None) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """dout."""
        return check_array("dout of Logits", dout, np.float32, (None, self.units)), {}

    def pack_into(self, stored: list[PackedLayer], input_offset: int | None) -> None:
        """The identity as the affine map of the scores."""
        _pack_scores(stored, *self.affine())
