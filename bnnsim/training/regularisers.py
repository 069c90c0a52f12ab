"""The direct regulariser of bit error tolerance, eq. (7) of Buschjaeger et al. 2020, with hand-written gradients.

N images, P positions, U units of a hidden layer; h (N, P, U) its pre-activations, s (U,) their thresholds.
"""

from dataclasses import dataclass

import numpy as np

import bnnsim.kernels.gradients.penalty as penalty
from bnnsim.checks import check_real
from bnnsim.kernels import empty, split
from bnnsim.training.layers import BatchNormSign


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

    def __post_init__(self):
        check_real("strength", self.strength, 0)
        check_real("target (T*)", self.target, 0)

    def __call__(self, model, caches):
        """(lambda * R, {number of a BatchNormSign in `model.layers`: Penalty}), from what its forward_train gave."""
        chosen = [i for i, layer in enumerate(model.layers) if isinstance(layer, BatchNormSign)]
        n_neurons, value, penalties = sum(model.layers[i].units for i in chosen), 0.0, {}
        for i in chosen:
            offset = getattr(model.layers[0], "offset", 0)
            level = max(offset, 255 - offset) if i == chosen[0] else 1
            part, penalties[i] = self._layer(model.layers[i], *caches[i], level, n_neurons)
            value += part
        return value, penalties

    def _layer(self, layer, h, norm, level, n_neurons):
        """One layer's part of the value, and its Penalty; level is Z."""
        h, (mean, _, scale, beta) = h.reshape(len(h), -1, layer.units), norm
        gamma = layer.parameters["gamma"].astype(np.float64)
        live = scale != 0.0
        per_scale = np.divide(1.0, scale, out=np.zeros_like(scale), where=live)
        threshold = mean - beta * per_scale
        reach = np.where(live, 2 * level * self.target + 1, 0.0)
        place, value, side = (empty((len(h), layer.units), kind) for kind in (np.int32, np.int32, np.int8))
        split(penalty.least_margins, len(h), h, threshold, reach, place, value, side)
        sums = np.empty((3, layer.units), np.int64)
        split(penalty.sum_sides, layer.units, value, side, sums)
        slope = self.strength / (2 * level * len(h) * n_neurons)
        added = slope * float(np.sum(sums[0] * reach - (sums[2] - sums[1] * threshold)))
        total = -slope * sums[1]                                # of the gradients of h - s
        dbeta = total * per_scale                               # s = mean - beta * sqrt(var + eps) / gamma
        dgamma = -dbeta * np.divide(beta, gamma, out=np.zeros_like(beta), where=live)
        return added, Penalty(place, side, np.float32(slope), dgamma, dbeta)


@dataclass(frozen=True, eq=False)
class Penalty:
    """What `DirectRegulariser` adds to one layer's gradients.

    Those of gamma and beta carry what goes through the batch's mean and variance with them: batch norm's backward pass
    spreads both over all h.
    """

    place: np.ndarray
    side: np.ndarray
    slope: np.float32
    dgamma: np.ndarray
    dbeta: np.ndarray

    def add_to(self, dh):
        """Add the gradient of the nearest pre-activations themselves to dh, in place."""
        shape = len(dh), -1, dh.shape[-1]
        split(penalty.push_away, len(dh), self.place, self.side, self.slope, dh.reshape(shape))
