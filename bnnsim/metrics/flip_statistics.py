"""Statistics of a layer whose weights flip at random, given what it reads: see `bnnsim.metrics.flip_prediction`.

N images, P positions, Q pooled positions, F weights of a unit, U units, C classes.
"""

import numpy as np

import bnnsim.kernels.analysis.flip_moments as flip_moments
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.stages import Stage
from bnnsim.packed.words import transposed
from bnnsim.training.gradients import dense_dx

MOST_ENUMERATED = 10                # 2^10 flips a filter
SCORE_DRAWS = 256


class HiddenFlips:
    """A hidden layer whose weights flip: what is needed of it, the same for all images."""

    def __init__(self, stage: Stage, analytic: bool) -> None:
        self.stage, self.analytic = stage, analytic
        self.border_kind = stage.border[0]
        self.sign = np.where(stage.inverted, -1, 1).astype(np.float32)
        self.n_out = stage.pooled_shape[0] * stage.pooled_shape[1]
        self.enumerated = stage.reads_pixels and stage.shares_weights and stage.layer.fan_in <= MOST_ENUMERATED \
            and not analytic

    def sigma(self, p: float, power: np.ndarray) -> np.ndarray:
        """Spread of the pre-activations (N, P) float32; power as `Stage.squares` gives it."""
        return (2 * np.sqrt(p * (1 - p) * power)).astype(np.float32)

    def factors(self, x: np.ndarray) -> list[np.ndarray] | None:
        """Weights of the noise that an image's positions share, that a window shares, and of the rest: (N, 1, 1) each.

        Weight noise at a position is a sum over its filter's weights times what it reads, v: two positions correlate
        by the cosine of their v, of which the mean over the image and that over windows are kept.
        """
        if not self.stage.shares_weights:
            return None
        pool, (height, width), (rows, columns) = self.stage.layer.pool, self.stage.map_shape, self.stage.pooled_shape
        v = self._vectors(x)
        v /= np.maximum(np.sqrt(np.einsum("npf,npf->np", v, v)), 1e-6)[..., None]
        whole = np.square(v.mean(1)).sum(1)
        windows = v.reshape(len(v), height, width, -1)[:, :rows * pool, :columns * pool]
        windows = windows.reshape(len(v), rows, pool, columns, pool, -1).sum((2, 4))
        in_window = (np.square(windows).sum(-1) - pool**2).mean((1, 2)) / max(pool**2 * (pool**2 - 1), 1)
        whole = np.clip(whole, 0, 1)
        in_window = np.clip(in_window, whole, 1) if pool > 1 and not self.enumerated else whole
        return [np.sqrt(part)[:, None, None].astype(np.float32) for part in (whole, in_window - whole, 1 - in_window)]

    def _vectors(self, x: np.ndarray) -> np.ndarray:
        """What each position reads, float32 (N, P, F): the order of F is that of float32 sums, and stays as it was."""
        patches = self.stage.patches(x)
        if self.stage.reads_pixels:
            return patches.astype(np.float32)
        by_tap = patches.reshape(*patches.shape[:2], -1, self.stage.layer.n_in)
        return by_tap.swapaxes(2, 3).astype(np.float32, order="C").reshape(patches.shape)

    def noise(self, factors: list[np.ndarray] | None, n_images: int, rng: np.random.Generator) -> np.ndarray:
        """Standard normals (N, P, U) float32 of a draw, correlated between positions; of pooled ones if enumerated."""
        stage, units, pool = self.stage, self.stage.layer.units, self.stage.layer.pool
        out = rng.standard_normal((n_images, self.n_out if self.enumerated else stage.n_positions, units), np.float32)
        if factors is None:
            return out
        channel, window, own = factors
        out *= own
        out += channel * rng.standard_normal((n_images, 1, units), np.float32)
        if pool > 1 and not self.enumerated:
            height, width = stage.map_shape
            n_across = -(-width // pool)
            row, column = np.divmod(np.arange(stage.n_positions), width)
            shared = rng.standard_normal((n_images, -(-height // pool) * n_across, units), np.float32)
            out += (window * shared)[:, row // pool * n_across + column // pool]
        return out

    def counts(self, x: np.ndarray, h: np.ndarray) -> np.ndarray:
        """`kernels.window_counts` of a block, where the layer is enumerated."""
        stage, layer = self.stage, self.stage.layer
        out = np.zeros((len(x), self.n_out, layer.fan_in + 1, layer.units), np.int16)
        flip_moments.window_counts(stage.patches(x), h, stage.signs_by_summand.astype(np.int16),
                                   stage.theta.astype(np.int16), stage.map_shape[1], layer.pool, out, 0, len(x))
        return out

    def drawn(self, h: np.ndarray, p: float, power: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Output words of a draw."""
        stage, shape = self.stage, (len(h), *self.stage.bits_shape)
        out = np.empty((len(h), self.n_out, shape[-1]), np.uint64)
        flip_moments.drawn_bits(h, stage.twice_s, self.border_kind, np.float32(1 - 2 * p), self.sigma(p, power), noise,
                                stage.map_shape[1], stage.layer.pool, stage.inverted_words, out, 0, len(h))
        return out.reshape(shape)

    def drawn_enumerated(self, counts: np.ndarray, p: float, noise: np.ndarray) -> np.ndarray:
        """The same from `counts`."""
        shape = (len(counts), *self.stage.bits_shape)
        j, n = np.arange(counts.shape[2]), counts.shape[2] - 1
        out = np.empty((len(counts), self.n_out, shape[-1]), np.uint64)
        flip_moments.counted_bits(counts, (p**j * (1 - p)**(n - j)).astype(np.float32), noise,
                                  self.stage.inverted_words, flip_moments.NORMAL, out, 0, len(out))
        return out.reshape(shape)

    def expected(self, h: np.ndarray, p: float, power: np.ndarray) -> np.ndarray:
        """Expected outputs (N, U) float32 of a dense layer."""
        out = np.empty((len(h), h.shape[2]), np.float32)
        flip_moments.expected_outputs(h, self.stage.twice_s, np.float32(1 - 2 * p), self.sigma(p, power), self.sign,
                                      flip_moments.NORMAL, out, 0, len(h))
        return out


class OutputFlips:
    """The last layer when its weights flip: scores as normal variables."""

    def __init__(self, layer: PackedLayer, root: int) -> None:
        self.layer, self.n_classes = layer, layer.units
        self.first, self.second = np.tril_indices(layer.units, -1)
        self.weights = transposed(layer.words.copy(), layer.n_in)
        self.pairs = transposed(~(layer.words[self.first] ^ layer.words[self.second]), layer.n_in) \
            if len(self.first) else None
        self.draws = score_draws(layer.units, root)
        mean, scale, shift = layer.output_affine
        whole = np.ptp(mean) == np.ptp(scale) == np.ptp(shift) == 0        # integer logits: ties go to the lowest
        self.lead = abs(scale[0]) * np.sign(np.subtract.outer(np.arange(layer.units), np.arange(layer.units))) * 1.0 \
            if whole else np.zeros((layer.units, layer.units))

    def win(self, mu: np.ndarray, p: float, labels: np.ndarray) -> np.ndarray:
        """Odds that the label wins (N,), for independent inputs of mean mu (N, F) float32 in [-1, 1]."""
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
        flip_moments.win_odds(z, np.linalg.cholesky(cov), labels, self.lead, self.draws, out, 0, len(mu))
        return out


def score_draws(n_classes: int, root: int) -> np.ndarray:
    """Standard normals (16, S, C): 16 sets, each with mean exactly 0 and the identity as covariance.

    Images take the sets in turn, so that what 256 points miss is not the same for all.
    """
    rng = np.random.Generator(np.random.Philox(root))
    half: np.ndarray = rng.standard_normal((16, max(SCORE_DRAWS // 2, 4 * n_classes), n_classes))
    covariance = half.transpose(0, 2, 1) @ half / half.shape[1]
    half = np.linalg.solve(np.linalg.cholesky(covariance), half.transpose(0, 2, 1)).transpose(0, 2, 1)
    return np.ascontiguousarray(np.concatenate([half, -half], axis=1))
