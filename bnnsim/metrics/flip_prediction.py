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

from dataclasses import dataclass

import numpy as np

import bnnsim.kernels.analysis.flip_moments as flip_moments
import bnnsim.packed.stages as layer_pass
from bnnsim.checks import check_int, check_probability
from bnnsim.packed.stages import check_labelled, each_block, patches, signs, squares
from bnnsim.packed.words import columns, unpack_signs
from bnnsim.seeding import root_seed
from bnnsim.training.gradients import dense_dx

MOST_ENUMERATED = 10                # 2^10 flips a filter
SCORE_DRAWS = 256


# ---------------------------------------------------------------- a hidden layer

class _Hidden:
    """What is needed of a hidden layer, the same for all images."""

    def __init__(self, stage, analytic):
        self.stage, self.analytic = stage, analytic
        layer, g = stage.layer, stage.geometry
        self.kind, self.n_summands = stage.border
        self.inverted = stage.network.forward(stage.index).end[0]
        self.sign = np.where(layer.inverted, -1, 1).astype(np.float32)
        self.n_out = (g.out_height // layer.pool) * (g.out_width // layer.pool) if g else 1
        self.enumerated = stage.reads_pixels and g is not None and layer.fan_in <= MOST_ENUMERATED and not analytic

    def sigma(self, p, power):
        """Spread of the pre-activations (N, P) float32; power as `squares` gives it."""
        return (2 * np.sqrt(p * (1 - p) * power)).astype(np.float32)

    def factors(self, x):
        """Weights of the noise that an image's positions share, that a window shares, and of the rest: (N, 1, 1) each.

        Weight noise at a position is a sum over its filter's weights times what it reads, v: two positions correlate
        by the cosine of their v, of which the mean over the image and that over windows are kept.
        """
        if self.stage.geometry is None:
            return None
        g, pool = self.stage.geometry, self.stage.layer.pool
        v = patches(self.stage, x).astype(np.float32)
        v /= np.maximum(np.sqrt(np.einsum("npf,npf->np", v, v)), 1e-6)[..., None]
        whole = np.square(v.mean(1)).sum(1)
        rows, columns = g.out_height // pool, g.out_width // pool
        windows = v.reshape(len(v), g.out_height, g.out_width, -1)[:, :rows * pool, :columns * pool]
        windows = windows.reshape(len(v), rows, pool, columns, pool, -1).sum((2, 4))
        in_window = (np.square(windows).sum(-1) - pool**2).mean((1, 2)) / max(pool**2 * (pool**2 - 1), 1)
        whole = np.clip(whole, 0, 1)
        in_window = np.clip(in_window, whole, 1) if pool > 1 and not self.enumerated else whole
        return [np.sqrt(part)[:, None, None].astype(np.float32) for part in (whole, in_window - whole, 1 - in_window)]

    def noise(self, factors, n_images, rng):
        """Standard normals (N, P, U) float32 of a draw, correlated between positions; of pooled ones if enumerated."""
        layer, g = self.stage.layer, self.stage.geometry
        out = rng.standard_normal((n_images, self.n_out if self.enumerated else len(self.kind), layer.units),
                                  np.float32)
        if g is None:
            return out
        channel, window, own = factors
        out *= own
        out += channel * rng.standard_normal((n_images, 1, layer.units), np.float32)
        if layer.pool > 1 and not self.enumerated:
            n_across = -(-g.out_width // layer.pool)
            row, column = np.divmod(np.arange(len(self.kind)), g.out_width)
            shared = rng.standard_normal((n_images, -(-g.out_height // layer.pool) * n_across, layer.units), np.float32)
            out += (window * shared)[:, row // layer.pool * n_across + column // layer.pool]
        return out

    def counts(self, x, h):
        """`kernels.window_counts` of a block, where the layer is enumerated."""
        layer = self.stage.layer
        out = np.zeros((len(x), self.n_out, layer.fan_in + 1, layer.units), np.int16)
        flip_moments.window_counts(patches(self.stage, x), h, signs(layer).T.astype(np.int16, order="C"),
                              self.stage.theta.astype(np.int16), self.stage.width, layer.pool, out, 0, len(x))
        return out

    def drawn(self, h, p, power, noise):
        """Output words of a draw."""
        layer, shape = self.stage.layer, (len(h), *self.stage.network.bits_shape(self.stage.index))
        out = np.empty((len(h), self.n_out, shape[-1]), np.uint64)
        flip_moments.drawn_bits(h, self.stage.twice_s, self.kind, np.float32(1 - 2 * p), self.sigma(p, power), noise,
                           self.stage.width, layer.pool, self.inverted, out, 0, len(h))
        return out.reshape(shape)

    def drawn_enumerated(self, counts, p, noise):
        """The same from `counts`."""
        shape = (len(counts), *self.stage.network.bits_shape(self.stage.index))
        j, n = np.arange(counts.shape[2]), counts.shape[2] - 1
        out = np.empty((len(counts), self.n_out, shape[-1]), np.uint64)
        flip_moments.counted_bits(counts, (p**j * (1 - p)**(n - j)).astype(np.float32), noise, self.inverted,
                             flip_moments.NORMAL, out, 0, len(out))
        return out.reshape(shape)

    def expected(self, h, p, power):
        """Expected outputs (N, U) float32 of a dense layer."""
        out = np.empty((len(h), h.shape[2]), np.float32)
        flip_moments.expected_outputs(h, self.stage.twice_s, np.float32(1 - 2 * p), self.sigma(p, power), self.sign,
                                 flip_moments.NORMAL, out, 0, len(h))
        return out


class _Output:
    """The last layer: scores as normal variables."""

    def __init__(self, layer, root):
        self.layer, self.n_classes = layer, layer.units
        self.first, self.second = np.tril_indices(layer.units, -1)
        self.weights = columns(layer.words.copy(), layer.n_in)
        self.pairs = columns(~(layer.words[self.first] ^ layer.words[self.second]), layer.n_in) \
            if len(self.first) else None
        self.draws = _score_draws(layer.units, root)
        mean, scale, shift = layer.output_affine
        whole = np.ptp(mean) == np.ptp(scale) == np.ptp(shift) == 0        # integer logits: ties go to the lowest
        self.lead = abs(scale[0]) * np.sign(np.subtract.outer(np.arange(layer.units), np.arange(layer.units))) * 1.0 \
            if whole else np.zeros((layer.units, layer.units))

    def win(self, mu, p, labels):
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


def _score_draws(n_classes, root):
    """Standard normals (16, S, C): 16 sets, each with mean exactly 0 and the identity as covariance.

    Images take the sets in turn, so that what 256 points miss is not the same for all.
    """
    rng = np.random.Generator(np.random.Philox(root))
    half = rng.standard_normal((16, max(SCORE_DRAWS // 2, 4 * n_classes), n_classes))
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
    def accuracy(self):
        """Expected accuracy (R,), shares of 1."""
        return self.right.mean(axis=1, dtype=np.float64)

    def error(self, result, name=0):
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

    def table(self, result=None):
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

    def plot(self, path=None, result=None):
        """The curve, beside a campaign's where one is given: see `bnnsim.figures.metrics.predicted_curve`."""
        import bnnsim.figures.metrics as metrics

        return metrics.predicted_curve(self, result, path)


class _Prediction:
    """All that blocks of images need, and where their results go."""

    def __init__(self, network, rates, n_draws, root):
        stages = layer_pass.stages(network)
        self.network, self.rates, self.n_draws, self.root = network, rates, n_draws, root
        last = len(stages) - 2
        self.hidden = [_Hidden(stage, i == last and stage.geometry is None) for i, stage in enumerate(stages[:-1])]
        self.output = _Output(network.layers[-1], root)

    def block(self, start, xs, labels):
        """Odds (R, N) of a block whose clean inputs of layers are xs."""
        first = self.hidden[0]
        h = first.stage.sums(xs[0])
        powers = [squares(one.stage, x).astype(np.float64) for one, x in zip(self.hidden, xs)]
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

    def _last_inputs(self, p, h, counts, powers, noises):
        """Expected inputs of the last layer (N, F) float32 given the draws before it."""
        x = None
        for i, one in enumerate(self.hidden):
            if i:
                h = one.stage.sums(self.network.flattened(i, x))
            if one.analytic:
                return one.expected(h, p, powers[i])
            x = one.drawn_enumerated(counts, p, noises[i]) if one.enumerated else one.drawn(h, p, powers[i], noises[i])
        x = self.network.flattened(len(self.hidden), x)
        return unpack_signs(x, self.output.layer.n_in).astype(np.float32)


def predicted_accuracy(network, split, rates, draws=2, rng=0):
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
    rates = np.array([check_probability(f"rates[{i}]", rate) for i, rate in enumerate(rates)])
    images = check_labelled(network, split).images
    labels = split.labels.astype(np.int64)
    positive = rates[rates > 0]
    plan = _Prediction(network, positive, check_int("draws", draws, 1, 10_000), root_seed(rng))
    right = np.empty((len(rates), len(images)), np.float32)
    right[rates == 0] = network.predict(images) == labels

    def visit(block, xs):
        right[np.ix_(rates > 0, range(block.start, block.stop))] = plan.block(block.start, xs, labels[block])

    each_block(network, images, visit)
    return PredictedAccuracy(rates, right, split.name)
