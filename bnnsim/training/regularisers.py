"""Regularisers: what is added to the loss, and to the gradients of batch norms, of the pre-activations of a batch.

A regulariser of your own is any `Regulariser`. It reads the pre-activations in the caches of the model's forward pass,
and gives its value and a `Penalty` for each batch norm whose gradients it changes. One that does not suit every model
has a method ``check(model)`` too, which raises ValueError for those that it does not suit.

N images, P positions, U units of a hidden layer; h (N, P, U) its pre-activations, s (U,) their thresholds.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import bnnsim.kernels.gradients.penalty as penalty
from bnnsim.checks import check_array, check_finite, check_real
from bnnsim.kernels import empty, split
from bnnsim.training.layers.batchnorm import BatchNormSign, Norm, NormCache

if TYPE_CHECKING:
    from bnnsim.training.model import Graph


@dataclass(frozen=True, eq=False)
class Penalty:
    """What a regulariser adds to the gradients of one batch norm.

    Parameters
    ----------
    dgamma, dbeta : float64 (U,)
        The regulariser's gradients of gamma and beta, with which all goes that passes through the batch's mean and
        variance: batch norm's backward pass spreads both over all h. (y = x_hat * gamma + beta, with x_hat the
        normalised h: of a function of y, dgamma sums dy * x_hat and dbeta sums dy over the batch, and dh is
        scale * dy.)
    dh : float32 of h's shape
        The gradient of each h itself, at constant mean and variance.
    """

    dgamma: np.ndarray
    dbeta: np.ndarray
    dh: np.ndarray

    def check(self, name: str, h: np.ndarray) -> None:
        """TypeError or ValueError where an array is not one of h's batch norm, or not finite."""
        for part, array in (("dgamma", self.dgamma), ("dbeta", self.dbeta)):
            check_finite(f"{part} {name}", check_array(f"{part} {name}", array, np.float64, h.shape[-1:]))
        check_finite(f"dh {name}", check_array(f"dh {name}", self.dh, np.float32, h.shape))

    def add_to(self, dh: np.ndarray) -> None:
        """Add the gradient of each h to dh, in place."""
        dh += self.dh


class Regulariser(Protocol):
    """What training makes small beside the loss."""

    def __call__(self, model: "Graph", caches: list[Any]) -> tuple[float, dict[int, Penalty]]:
        """The value, and what it adds to the gradients of ``model.layers[i]``, a batch norm, by i.

        caches : what ``model.forward_train`` gave; ``caches[i]`` of a batch norm is a `layers.batchnorm.NormCache`
        """


@dataclass(frozen=True)
class DirectRegulariser:
    """lambda * R, R = max(0, T* - T(x)), mean over all hidden neurons of the network and over the batch [V].

    T(x) of a neuron (or feature map) is its bit error tolerance: the least over positions of (|h - s| - 1) / 2
    [eq. (2), R; eq. (3)], in the first layer of (|h - s| - 1) / (2 Z) with Z the largest input level [eq. (6), R]. s is
    the threshold of the batch, s = mean - beta * sqrt(var + eps) / gamma, not rounded. Behind a max-pool h is the
    window's largest entry, whose distance is exact for an output h < s, and a sound bound for h >= s.

    Gradient: that of |h - s| at the position that is nearest, the first where several tie, with sign(0) = +1; all else
    exactly, through h itself and through s: gamma, beta, and the batch's mean and variance, hence every h of the unit.
    Constant are only which position is nearest, on which side it lies, and Z. A neuron at T* or above, and one with
    gamma = 0, whose output nothing changes, has no gradient. The pre-activations are those of the weights as they were
    read: with bit errors in training, T of the broken network.

    Buschjaeger et al. report that it raises T and *lowers* accuracy at every error rate [V].

    Parameters
    ----------
    strength : float, >= 0
        lambda; the paper's are lost, 1e-3..1 are a guess [R].
    target : float, >= 0
        T*, in flips; 1..64 are a guess [R].

    References
    ----------
    S. Buschjaeger et al., "Towards explainable bit error tolerance of resistive RAM-based binarized neural networks",
    arXiv:2002.00909, section IV.
    """

    strength: float = 0.01
    target: float = 16.0

    def __post_init__(self) -> None:
        check_real("strength", self.strength, 0)
        check_real("target (T*)", self.target, 0)

    def check(self, model: "Graph") -> None:
        """ValueError for a model without hidden neurons."""
        if not any(isinstance(layer, BatchNormSign) for layer in model.layers):
            raise ValueError("regulariser needs hidden neurons, with a BatchNormSign behind their sums, and this model "
                             "has none")

    def __call__(self, model: "Graph", caches: list[Any]) -> tuple[float, dict[int, Penalty]]:
        """(lambda * R, {number of a BatchNormSign in `model.layers`: Penalty}), from what its forward_train gave."""
        chosen = [(i, layer) for i, layer in enumerate(model.layers) if isinstance(layer, BatchNormSign)]
        largest, value, penalties = max(model.input_offset, 255 - model.input_offset), 0.0, {}
        for i, layer in chosen:
            level = largest if _reads_pixels(model, i) else 1
            slope = self.strength / (2 * level * len(caches[i].h) * sum(each.units for _, each in chosen))
            added, penalties[i] = self._layer(layer, caches[i], level, slope)
            value += added
        return value, penalties

    def _layer(self, layer: Norm, cache: NormCache, level: int, slope: float) -> tuple[float, Penalty]:
        """One layer's part of the value, and its Penalty; level is Z, slope that of the value in |h - s|."""
        h, (mean, _, scale, beta) = cache.h.reshape(len(cache.h), -1, layer.units), cache.norm
        gamma = layer.parameters["gamma"].astype(np.float64)
        live = scale != 0.0
        per_scale = np.divide(1.0, scale, out=np.zeros_like(scale), where=live)
        threshold = mean - beta * per_scale
        reach = np.where(live, 2 * level * self.target + 1, 0.0)
        place, value = (empty((len(h), layer.units), np.int32) for _ in range(2))
        side = empty((len(h), layer.units), np.int8)
        split(penalty.least_margins, len(h), h, threshold, reach, place, value, side)
        sums = np.empty((3, layer.units), np.int64)
        split(penalty.sum_sides, layer.units, value, side, sums)
        added = slope * float(np.sum(sums[0] * reach - (sums[2] - sums[1] * threshold)))
        total = -slope * sums[1]                                # of the gradients of h - s
        dbeta = total * per_scale                               # s = mean - beta * sqrt(var + eps) / gamma
        dgamma = -dbeta * np.divide(beta, gamma, out=np.zeros_like(beta), where=live)
        return added, _PenaltyAtPlaces(dgamma, dbeta, np.empty(0), place, side, np.float32(slope))


@dataclass(frozen=True, eq=False)
class _PenaltyAtPlaces(Penalty):
    """A Penalty whose dh is 0 but at one position of each image and unit, `place`, where it is -slope * `side`."""

    place: np.ndarray
    side: np.ndarray
    slope: np.float32

    def check(self, name: str, h: np.ndarray) -> None:
        """What `DirectRegulariser` made of h is h's."""

    def add_to(self, dh: np.ndarray) -> None:
        """Add the gradient of the nearest pre-activations to dh, in place."""
        split(penalty.push_away, len(dh), self.place, self.side, self.slope, dh.reshape(len(dh), -1, dh.shape[-1]))


def _reads_pixels(model: "Graph", i: int) -> bool:
    """Whether the weights whose sums layer i reads, perhaps pooled, stand on pixels."""
    at, = model.inputs[i]
    while model.layers[at].takes == model.layers[at].gives == "pre-activations":
        at, = model.inputs[at]
    return model.layers[at].takes == "pixels"


def check_regulariser(regulariser: Regulariser | None, model: "Graph") -> Regulariser | None:
    """A regulariser that suits the model, or None."""
    if regulariser is None:
        return None
    if isinstance(regulariser, type) or not callable(regulariser):
        raise TypeError("regulariser must be an object such as bnnsim.regularisers.DirectRegulariser(strength=0.01, "
                        f"target=16), or a function (model, caches) -> (value, penalties), got {regulariser!r}")
    if hasattr(regulariser, "check"):
        regulariser.check(model)
    return regulariser
