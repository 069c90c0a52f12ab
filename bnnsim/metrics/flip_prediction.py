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
those of the clean activations. A first convolution of up to 10 weights a filter, too few to be normal, has
the exact odds of each pooled output, from all flips of the filter. Chips' errors are static over images; for the mean
accuracy over chips, each image by itself suffices.

N images, F features, R rates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnnsim.checks import FilePath, check_int, check_probability
from bnnsim.datasets.split import LabelledImages
from bnnsim.metrics.flip_statistics import HiddenFlips, OutputFlips
from bnnsim.packed.blocks import check_labelled, each_block
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.words import unpack_signs
from bnnsim.seeding import RandomSource, root_seed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bnnsim.campaign.result import SweepResult


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
        self.hidden = [HiddenFlips(stage, analytic=stage.index == last and not stage.shares_weights)
                       for stage in self.stages[:-1]]
        self.output = OutputFlips(network.layers[-1], root)

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


def predicted_accuracy(network: PackedNetwork, split: LabelledImages, rates: Sequence[float], draws: int = 2,
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
