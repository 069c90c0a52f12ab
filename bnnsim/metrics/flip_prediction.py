"""Accuracy over bit error rates without injecting one error: flip statistics, carried from layer to layer.

With weights that flip at rate p, a pre-activation of n +-1 summands has mean (1 - 2 p) h and variance 4 p (1 - p) n (of
pixels: times the sum of their squares), is close to normal, and independent of the other units', for the weights of a
unit are its own [D, docs/equations.rst 9.1]. So a layer's outputs are drawn from these statistics, not its weights;
what they give in the next layer is exact, and so on. The last hidden layer, where it is dense, is not drawn: the
mean and covariance of the scores over its outputs and the last weights are computed, and the odds that the
right class wins are taken from normal scores.

What is approximate: normal pre-activations; units that share no weights but read the same drawn inputs are handled
exactly, but the positions of a convolution, which share their weights, get one normal of the channel, one of the
pooling window, and one of their own in common, weighted so that mean correlations over the image and in windows are
those of the clean activations. A first convolution of up to MOST_ENUMERATED weights a filter, too few to be normal, has
the exact odds of each pooled output, from all flips of the filter. Chips' errors are static over images; for the mean
accuracy over chips, each image by itself suffices.

N images, P positions, Q pooled positions, U units, C classes, R rates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import bnnsim.kernels.analysis.flip_moments as flip_moments
from bnnsim.checks import FilePath, check_int, check_probability
from bnnsim.datasets.split import Split
from bnnsim.packed.blocks import check_labelled, each_block
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.stages import Stage
from bnnsim.packed.words import transposed, unpack_signs
from bnnsim.seeding import RandomSource, root_seed
from bnnsim.training.gradients import dense_dx

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bnnsim.campaign.result import SweepResult

MOST_ENUMERATED = 10                # 2^10 flips a filter
SCORE_DRAWS = 256


# ---------------------------------------------------------------- a hidden layer

class _Hidden:
    """What is needed of a hidden layer, the same for all images."""

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


class _Output:
    """The last layer: scores as normal variables."""

    def __init__(self, layer: PackedLayer, root: int) -> None:
        self.layer, self.n_classes = layer, layer.units
        self.first, self.second = np.tril_indices(layer.units, -1)
        self.weights = transposed(layer.words.copy(), layer.n_in)
        self.pairs = transposed(~(layer.words[self.first] ^ layer.words[self.second]), layer.n_in) \
            if len(self.first) else None
        self.draws = _score_draws(layer.units, root)
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


def _score_draws(n_classes: int, root: int) -> np.ndarray:
    """Standard normals (16, S, C): 16 sets, each with mean exactly 0 and the identity as covariance.

    Images take the sets in turn, so that what 256 points miss is not the same for all.
    """
    rng = np.random.Generator(np.random.Philox(root))
    half: np.ndarray = rng.standard_normal((16, max(SCORE_DRAWS // 2, 4 * n_classes), n_classes))
    covariance = half.transpose(0, 2, 1) @ half / half.shape[1]
    half = np.linalg.solve(np.linalg.cholesky(covariance), half.transpose(0, 2, 1)).transpose(0, 2, 1)
    return np.ascontiguousarray(np.concatenate([half, -half], axis=1))


# ---------------------------------------------------------------- the prediction

@dataclass(frozen=True, eq=False)
class PredictedAccuracy:
    """Expected accuracy over chips at each bit error rate.

    Attributes
    ----------
    rates : float64 (R,)
    right : float32 (R, N)
        Odds that each image is classified right.
    split : str
    """

    rates: np.ndarray
    right: np.ndarray
    split: str

    @property
    def accuracy(self) -> np.ndarray:
        """Expected accuracy (R,), shares of 1."""
        return self.right.mean(axis=1, dtype=np.float64)

    def error(self, result: "SweepResult", name: str | int = 0) -> float:
        """Mean absolute difference from the mean accuracy of a campaign at the same rates, a share of 1.

        Parameters
        ----------
        result : SweepResult
            Of the same network and images.
        name : str or int
            Which of its series.
        """
        if not np.array_equal(self.rates, result.rates):
            raise ValueError(f"result must have the rates of the prediction, {self.rates.tolist()}, got "
                             f"{np.asarray(result.rates).tolist()}")
        return float(np.abs(self.accuracy - result.mean()[result.index(name)]).mean())

    def table(self, result: "SweepResult | None" = None) -> str:
        """Text: a line a rate; beside a campaign's mean accuracy where one is given."""
        lines = [f"{'BER':>9}  predicted %" + ("" if result is None else "  injected %  difference")]
        for r, (rate, accuracy) in enumerate(zip(self.rates, self.accuracy)):
            beside = ""
            if result is not None:
                mean = result.mean()[0, r]
                beside = f"  {100 * mean:10.2f}  {100 * (accuracy - mean):+10.2f}"
            lines.append(f"{rate:9.3g}  {100 * accuracy:11.2f}{beside}")
        if result is not None:
            lines.append(f"mean absolute difference {100 * self.error(result):.2f} points")
        return "\n".join(lines)

    def plot(self, path: FilePath | None = None, result: "SweepResult | None" = None) -> "Figure":
        """The curve, beside a campaign's where one is given: see `bnnsim.figures.metrics.predicted_curve`."""
        import bnnsim.figures.metrics as metrics

        return metrics.predicted_curve(self, result, path)


class _Prediction:
    """All that blocks of images need, and where their results go."""

    def __init__(self, network: PackedNetwork, rates: np.ndarray, n_draws: int, root: int) -> None:
        self.stages, self.rates, self.n_draws, self.root = network.stages, rates, n_draws, root
        last = len(self.stages) - 2
        self.hidden = [_Hidden(stage, stage.index == last and not stage.shares_weights) for stage in self.stages[:-1]]
        self.output = _Output(network.layers[-1], root)

    def block(self, start: int, xs: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
        """Odds (R, N) of a block whose clean inputs of layers are xs."""
        first = self.hidden[0]
        h = first.stage.sums(xs[0])
        powers = [one.stage.squares(x).astype(np.float64) for one, x in zip(self.hidden, xs)]
        counts = first.counts(xs[0], h) if first.enumerated else None
        factors = [one.factors(x) for one, x in zip(self.hidden, xs)]
        out = np.zeros((len(self.rates), len(labels)))
        for draw in range(self.n_draws):
            rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(self.root, spawn_key=(start, draw))))
            noises = [None if one.analytic else one.noise(each, len(labels), rng)
                      for one, each in zip(self.hidden, factors)]
            for r, p in enumerate(self.rates):
                out[r] += self.output.win(self._last_inputs(p, h, counts, powers, noises), p, labels)
        return out / self.n_draws

    def _last_inputs(self, p: float, h: np.ndarray, counts: np.ndarray | None, powers: list[np.ndarray],
                     noises: list[np.ndarray | None]) -> np.ndarray:
        """Expected inputs of the last layer (N, F) float32 given the draws before it."""
        x = h                                                   # of each layer but the first: what the one before drew
        for one, power, noise in zip(self.hidden, powers, noises):
            h = one.stage.sums(x) if one.stage.index else h
            if noise is None:
                return one.expected(h, p, power)
            x = one.drawn(h, p, power, noise) if counts is None or one.stage.index else \
                one.drawn_enumerated(counts, p, noise)
        return unpack_signs(self.stages[-1].read(x), self.output.layer.n_in).astype(np.float32)


def predicted_accuracy(network: PackedNetwork, split: Split, rates: Sequence[float], draws: int = 2,
                       rng: RandomSource = 0) -> PredictedAccuracy:
    """Expected accuracy over chips at bit error rates, from one pass over the images and no injected error.

    Parameters
    ----------
    network : PackedNetwork
    split : Split
        Images and their labels.
    rates : sequence of float
        Bit error rates of all weights, flips independent of each other.
    draws : int
        Draws of the hidden outputs an image: the mean over images has most of what there is to average; all rates
        use the same draws.
    rng : None, int, SeedSequence or Generator
        Of the draws; the same seed gives the same result in any number of threads.

    Returns
    -------
    PredictedAccuracy

    Raises
    ------
    TypeError, ValueError
        Where a rate is no probability, or the split does not fit the network.

    References
    ----------
    docs/equations.rst 9.1 [D]; what is approximate: see the module's docstring.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 28, 28), rng=0))
    >>> test = bnnsim.load_embedded()[1][:100]
    >>> found = predicted_accuracy(network, test, [0, 0.1])
    >>> bool(found.accuracy[0] == network.accuracy(test))
    True
    """
    ps = np.array([check_probability(f"rates[{i}]", rate) for i, rate in enumerate(rates)])
    images = check_labelled(network, split).images
    labels = split.labels.astype(np.int64)
    plan = _Prediction(network, ps[ps > 0], check_int("draws", draws, 1, 10_000), root_seed(rng))
    right = np.empty((len(ps), len(images)), np.float32)
    right[ps == 0] = network.predict(images) == labels

    def visit(block: slice, xs: list[np.ndarray]) -> list[list[np.ndarray]]:
        right[ps > 0, block] = plan.block(block.start, xs, labels[block])
        return []

    each_block(network, images, visit)
    return PredictedAccuracy(ps, right, split.name)
