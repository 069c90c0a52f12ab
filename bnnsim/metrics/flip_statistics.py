"""Statistics of a layer whose weights flip at random, given what it reads: see `bnnsim.metrics.flip_prediction`.

N images, U units, C classes, R rates.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

import bnnsim.kernels.analysis.flip_moments as flip_moments
from bnnsim.packed.bit_errors import flip_masks_each
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.stages import Stage
from bnnsim.packed.words import transposed
from bnnsim.training.gradients import dense_dx

SCORE_DRAWS = 256
Moments = tuple[np.ndarray, np.ndarray]         # pre-activations (N, U) without flips, sums of squared summands (N,)


class Flips(Protocol):
    """A hidden layer whose weights flip, by draws; what `given` and `chances` say is handed to `drawn`."""

    stage: Stage

    def chances(self, n_images: int, rates: Sequence[float], rng: np.random.Generator,
                key: np.ndarray) -> list[np.ndarray]:
        """For each rate a draw for a block of images, from rng or by a key of its own."""

    def given(self, x: np.ndarray) -> Any:
        """What is needed of a block that the layer reads, the same for all draws."""

    def drawn(self, given: Any, p: float, chance: np.ndarray) -> np.ndarray:
        """Output words of a draw."""


class OwnFlips:
    """A hidden layer each of whose weights is used once an image: what flips do to pre-activations is drawn."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.sign = np.where(stage.inverted, -1, 1).astype(np.float32)

    def chances(self, n_images: int, rates: Sequence[float], rng: np.random.Generator,
                key: np.ndarray) -> list[np.ndarray]:
        """Standard normals (N, U) float32, the same for all rates."""
        return [rng.standard_normal((n_images, self.stage.layer.units), np.float32)] * len(rates)

    def given(self, x: np.ndarray) -> Moments:
        """Their moments."""
        return self.stage.sums(x)[:, 0], self.stage.squares(x)[:, 0].astype(np.float64)

    def drawn(self, given: Moments, p: float, chance: np.ndarray) -> np.ndarray:
        """Output words of a draw."""
        stage, (h, power) = self.stage, given
        out = np.empty((len(h), *stage.bits_shape), np.uint64)
        flip_moments.drawn_bits(h, stage.twice_s[0], np.float32(1 - 2 * p), _sigma(power, p), chance,
                                stage.inverted_words, out, 0, len(h))
        return out

    def expected(self, given: Moments, p: float) -> np.ndarray:
        """Expected outputs (N, U) float32."""
        h, power = given
        out = np.empty(h.shape, np.float32)
        flip_moments.expected_outputs(h, self.stage.twice_s[0], np.float32(1 - 2 * p), _sigma(power, p), self.sign,
                                      flip_moments.NORMAL, out, 0, len(h))
        return out


class SharedFlips:
    """A convolution, whose positions share their flips: flips are drawn, the same for a block of images."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def chances(self, n_images: int, rates: Sequence[float], rng: np.random.Generator,
                key: np.ndarray) -> list[np.ndarray]:
        """Masks of the flips, of the shape of the layer's words; those of lower rates are among those of higher."""
        words = self.stage.layer.words
        masks = flip_masks_each(words[..., 0].size, self.stage.layer.n_in, rates, key)
        return list(masks.reshape(len(rates), *words.shape))

    def given(self, x: np.ndarray) -> np.ndarray:
        """All that is read."""
        return x

    def drawn(self, given: np.ndarray, p: float, chance: np.ndarray) -> np.ndarray:
        """Output words of a draw."""
        layer = self.stage.layer
        return replace(self.stage, layer=replace(layer, words=layer.words ^ chance)).bits(given)


def _sigma(power: np.ndarray, p: float) -> np.ndarray:
    """Spread of pre-activations (N,) float32."""
    return (2 * np.sqrt(p * (1 - p) * power)).astype(np.float32)


class OutputFlips:
    """The last layer when its weights flip: scores as normal variables."""

    def __init__(self, layer: PackedLayer) -> None:
        self.layer, self.n_classes = layer, layer.units
        self.first, self.second = np.tril_indices(layer.units, -1)
        self.weights = transposed(layer.words.copy(), layer.n_in)
        self.pairs = transposed(~(layer.words[self.first] ^ layer.words[self.second]), layer.n_in) \
            if len(self.first) else None
        mean, scale, shift = layer.output_affine
        whole = np.ptp(mean) == np.ptp(scale) == np.ptp(shift) == 0        # integer logits: ties go to the lowest
        self.lead = abs(scale[0]) * np.sign(np.subtract.outer(np.arange(layer.units), np.arange(layer.units))) * 1.0 \
            if whole else np.zeros((layer.units, layer.units))

    def win(self, mu: np.ndarray, p: float, labels: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Odds that the label wins (N,), for independent inputs of mean mu (N, F) float32 in [-1, 1].

        `draws` are `score_draws`.
        """
        keep, layer = 1 - 2 * p, self.layer
        mean, scale, shift = layer.output_affine
        square = np.square(mu)
        z = (keep * dense_dx(mu, self.weights, layer.units).astype(np.float64) - mean) * scale + shift
        cov = np.zeros((len(mu), self.n_classes, self.n_classes))
        if self.pairs is not None:
            shared = keep**2 * dense_dx(1 - square, self.pairs, len(self.first)).astype(np.float64)
            cov[:, self.first, self.second] = cov[:, self.second, self.first] = shared
        every = np.arange(self.n_classes)
        cov[:, every, every] = (layer.n_in - keep**2 * square.sum(1, dtype=np.float64))[:, None]
        cov *= scale[:, None] * scale
        cov[:, every, every] += 1e-6 * cov[:, every, every].max(1, keepdims=True) + 1e-200
        out = np.empty(len(mu))
        flip_moments.win_odds(z, np.linalg.cholesky(cov), labels, self.lead, draws, out, 0, len(mu))
        return out


def score_draws(n_classes: int, rng: np.random.Generator) -> np.ndarray:
    """Standard normals (16, S, C): 16 sets, each with mean exactly 0 and the identity as covariance.

    Images take the sets in turn, so that what 256 points miss is not the same for all.
    """
    half: np.ndarray = rng.standard_normal((16, max(SCORE_DRAWS // 2, 4 * n_classes), n_classes))
    covariance = half.transpose(0, 2, 1) @ half / half.shape[1]
    half = np.linalg.solve(np.linalg.cholesky(covariance), half.transpose(0, 2, 1)).transpose(0, 2, 1)
    return np.ascontiguousarray(np.concatenate([half, -half], axis=1))
