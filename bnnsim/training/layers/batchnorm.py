"""Batch norm of integer pre-activations: with a sign behind it (hidden layers), alone (scores), or none (logits).

Works on h (N, U) or (N, H, W, U) int32; statistics are taken over all axes but the last.
"""

import numpy as np

import bnnsim.kernels.norm.batchnorm as batchnorm
from bnnsim.checks import check_array, check_input, check_int
from bnnsim.kernels import empty, split
from bnnsim.packed.forward import affine_scores
from bnnsim.packed.thresholds import batch_scale
from bnnsim.packed.words import n_words
from bnnsim.training.estimators import Clipped, Identity, check_estimator

MOMENTUM, EPS = 0.1, 1e-5


class _Norm:
    """Parameters gamma, beta (U,) float32; running mean, variance (U,) float64, which move by `momentum` a batch."""

    ste, momentum = Identity(), MOMENTUM
    takes, gives = "pre-activations", "scores"

    def __init__(self, units, eps=EPS):
        self.units, self.eps = check_int("units", units, 1), eps
        self.parameters = {"gamma": np.ones(units, np.float32), "beta": np.zeros(units, np.float32)}
        self.running = {"mean": np.zeros(units), "variance": np.ones(units)}

    def output_shape(self, shape):
        """Unchanged; the last axis must be U."""
        if shape[-1] != self.units:
            raise ValueError(f"{type(self).__name__}({self.units}) cannot follow an output of shape {tuple(shape)}")
        return tuple(shape)

    def affine(self):
        """(mean, scale, shift) float64 of the running statistics: output = (h - mean) * scale + shift."""
        _, scale = batch_scale(self.parameters["gamma"], self.running["variance"], self.eps)
        return self.running["mean"].copy(), scale, self.parameters["beta"].astype(np.float64)

    def checked(self, h):
        return check_input(type(self).__name__, h, np.int32, self.units)

    def forward(self, h):
        return self.outputs(self.checked(h), *self.affine())

    def forward_train(self, h):
        h = self.checked(h)
        rows = h.reshape(-1, self.units)
        mean, variance = np.empty(self.units), np.empty(self.units)
        split(batchnorm.column_moments, self.units, rows, mean, variance)
        unbiased = variance * (len(rows) / max(len(rows) - 1, 1))
        for name, value in (("mean", mean), ("variance", unbiased)):
            self.running[name] += self.momentum * (value - self.running[name])
        inverse, scale = batch_scale(self.parameters["gamma"], variance, self.eps)
        shift = self.parameters["beta"].astype(np.float64)
        return self.outputs(h, mean, scale, shift), (h, np.stack([mean, inverse, scale, shift]))

    def backward(self, dout, cache, penalty=None):
        """dh and the gradients of gamma and beta; with those of a `regularisers.Penalty` of h, if one is given."""
        h, norm = cache
        dout = check_array(f"dout of {type(self).__name__}", dout, np.float32, h.shape)
        rows, drows, ste = h.reshape(-1, self.units), dout.reshape(-1, self.units), self.ste.coefficients
        dgamma, dbeta, dh = np.empty(self.units), np.empty(self.units), empty(rows.shape, np.float32)
        split(batchnorm.gradient_sums, self.units, drows, rows, norm, ste, dgamma, dbeta)
        if penalty is not None:
            dgamma, dbeta = dgamma + penalty.dgamma, dbeta + penalty.dbeta
        means = np.stack([dgamma, dbeta]) / len(rows)
        split(batchnorm.gradient_rows, len(rows), drows, rows, norm, ste, means, dh)
        if penalty is not None:
            penalty.add_to(dh.reshape(h.shape))
        return dh.reshape(h.shape), {"gamma": dgamma.astype(np.float32), "beta": dbeta.astype(np.float32)}


class BatchNormSign(_Norm):
    """Batch norm, then sign: h int32 -> packed activations (..., ceil(U / 64)) uint64, +1 iff the output is >= 0.

    Backward is a straight-through estimator of the sign.

    Parameters
    ----------
    units : int
    eps : float
    ste : "clipped", "identity", "approx", "swish", or an object of `bnnsim.estimators`
        Clipped: masked where |batch norm output| > 1 [C: Buschjaeger et al. 2020].
    """

    gives = "bits"

    def __init__(self, units, eps=EPS, ste=Clipped()):
        super().__init__(units, eps)
        self.ste = check_estimator(ste)

    def outputs(self, h, mean, scale, shift):
        rows = h.reshape(-1, self.units)
        words = empty((len(rows), n_words(self.units)), np.uint64)
        split(batchnorm.affine_sign, len(rows), rows, mean, scale, shift, words)
        return words.reshape(*h.shape[:-1], -1)


class BatchNorm(_Norm):
    """Batch norm alone, after the last layer: h (N, U) int32 -> scores (N, U) float64."""

    def outputs(self, h, mean, scale, shift):
        return affine_scores(h, mean, scale, shift)


class Logits:
    """The output without batch norm: integer logits as scores (N, U) float64."""

    parameters = {}
    takes, gives = "pre-activations", "scores"

    def __init__(self, units):
        self.units = check_int("units", units, 1)

    def output_shape(self, shape):
        """(U,) -> (U,)."""
        if tuple(shape) != (self.units,):
            raise ValueError(f"Logits({self.units}) cannot follow an output of shape {tuple(shape)}")
        return (self.units,)

    def affine(self):
        """The identity: mean 0, scale 1, shift 0."""
        return np.zeros(self.units), np.ones(self.units), np.zeros(self.units)

    def forward(self, h):
        return affine_scores(check_input("Logits", h, np.int32, self.units, 2), *self.affine())

    def forward_train(self, h):
        return self.forward(h), None

    def backward(self, dout, cache):
        return dout.astype(np.float32), {}
