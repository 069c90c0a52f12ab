"""Accuracy over bit error rates without a campaign: flip statistics, carried from layer to layer.

With weights that flip at rate p, a pre-activation of n +-1 summands has mean (1 - 2 p) h and variance 4 p (1 - p) n (of
pixels: times the sum of their squares), is close to normal, and independent of the other units', for the weights of a
unit are its own [D, docs/equations.rst 9.1]. So a dense layer's outputs are drawn from these statistics, not its
weights; what they give in the next layer is exact, and so on. The last hidden layer, where it is dense, is not drawn:
the mean and covariance of the scores over its outputs and the last weights are computed, and the odds that the right
class wins are taken from normal scores. Positions of a convolution share their weights, and are far from independent:
there flips themselves are drawn, anew for each block of images, as on a chip, which leaves nothing approximate.

Chips' errors are static over images; for the mean accuracy over chips, each image by itself suffices. What is
approximate: that pre-activations of dense layers, and scores, are normal.

N images, F features, R rates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bnnsim.checks import FilePath, check_int, check_probability, check_sequence
from bnnsim.datasets.split import LabelledImages
from bnnsim.faults.axis import BER
from bnnsim.files.brief import Brief
from bnnsim.files.html_text import Tabled
from bnnsim.metrics.flip_statistics import Flips, OutputFlips, OwnFlips, SharedFlips, score_draws
from bnnsim.packed.blocks import BLOCK, check_labelled, check_scores, each_block, hidden_stages
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.words import unpack_signs
from bnnsim.seeding import RandomSource, generator, root_seed, stream_key
from bnnsim.statistics.two_way import with_freedom

if TYPE_CHECKING:
    from bnnsim.figures.scales import Scale
    from bnnsim.figures.style import Drawn, Width

    from bnnsim.campaign.result import SweepResult


DRAWS, DRAWS_OF_CHIPS = 2, 8


@dataclass(frozen=True, eq=False, repr=False)
class PredictedAccuracy(Tabled, Brief):
    """Expected accuracy over chips at each bit error rate.

    Attributes
    ----------
    rates : float64 (R,)
    right : float32 (R, N)
        Odds that each image is classified right.
    split : str
    standard_error : float64 (R,)
        Of the accuracies, from the spread of draws: what chance in them leaves. NaN for one draw.
    freedom : float64 (R,)
        Its degrees of freedom, Satterthwaite's over blocks of 32 images; infinitely many where chance leaves nothing.
    """

    rates: np.ndarray
    right: np.ndarray
    split: str
    standard_error: np.ndarray
    freedom: np.ndarray

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
        self._check(result)
        return float(np.abs(self.accuracy - result.mean()[result.index(name)]).mean())

    def _check(self, result: "SweepResult") -> None:
        """Refuse a campaign that was not run at these bit error rates."""
        if result.axis != BER:
            raise ValueError(f"result must be over bit error rates, as the prediction is, got the axis {result.axis!r}")
        if not np.array_equal(self.rates, result.rates):
            raise ValueError(f"result must have the rates of the prediction, {self.rates.tolist()}, got "
                             f"{np.asarray(result.rates).tolist()}")

    def table(self, result: "SweepResult | None" = None) -> str:
        """Text: a line a rate, with its standard error; beside a campaign's mean accuracy where one is given."""
        if result is not None:
            self._check(result)
        lines = [f"{'BER':>9}  predicted %  +-" + ("" if result is None else "      injected %  difference")]
        for r, (rate, accuracy, chance) in enumerate(zip(self.rates, self.accuracy, self.standard_error)):
            beside = ""
            if result is not None:
                mean = result.mean()[0, r]
                beside = f"  {100 * mean:10.2f}  {100 * (accuracy - mean):+10.2f}"
            lines.append(f"{rate:9.3g}  {100 * accuracy:11.2f}  {100 * chance:<6.2f}{beside}".rstrip())
        lines.append("+-: standard error by chance of the draws; more draws lower it")
        if result is not None:
            lines.append(f"mean absolute difference {100 * self.error(result):.2f} points")
        return "\n".join(lines)

    def plot(self, path: FilePath | None = None, result: "SweepResult | None" = None,
             *, ax: "Drawn | None" = None, width: "Width" = None, xscale: "Scale" = "log",
             published: FilePath | None = None) -> "Drawn":
        """The curve, beside a campaign's where one is given: see `bnnsim.figures.metrics.predicted_curve`."""
        import bnnsim.figures.metrics as metrics

        return metrics.predicted_curve(self, result, path, ax=ax, width=width, xscale=xscale, published=published)


class _Prediction:
    """All that blocks of images need."""

    def __init__(self, network: PackedNetwork, rates: list[float], n_draws: int, root: int) -> None:
        self.rates, self.n_draws, self.root, self.last = rates, n_draws, root, network.stages[-1]
        stages = list(hidden_stages(network))
        self.expected = None if stages[-1].shares_weights else OwnFlips(stages.pop())
        self.drawn: list[Flips] = [SharedFlips(stage) if stage.shares_weights else OwnFlips(stage) for stage in stages]
        self.output = OutputFlips(network.layers[-1])

    def block(self, start: int, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Odds (draws, R, N) of a block that the first layer reads."""
        out = np.empty((self.n_draws, len(self.rates), len(labels)))
        first = self.drawn[0].given(x) if self.drawn else x
        for draw in range(self.n_draws):
            rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(self.root, spawn_key=(start, draw))))
            chances = [one.chances(len(labels), self.rates, rng,
                                   stream_key(self.root, "prediction", start, draw, one.stage.index))
                       for one in self.drawn]
            scores = score_draws(self.output.n_classes, generator(self.root, "prediction scores", start, draw))
            for r, p in enumerate(self.rates):
                inputs = self._last_inputs(first, p, [chance[r] for chance in chances])
                out[draw, r] = self.output.win(inputs, p, labels, scores)
        return out

    def _last_inputs(self, first: Any, p: float, chances: list[np.ndarray]) -> np.ndarray:
        """Expected inputs of the last layer (N, F) float32 for a draw; `first` is given to the first that is drawn."""
        x = first
        for i, (one, chance) in enumerate(zip(self.drawn, chances)):
            x = one.drawn(one.given(x) if i else first, p, chance)
        if self.expected is not None:
            return self.expected.expected(self.expected.given(x), p)
        return unpack_signs(self.last.read(x), self.output.layer.n_in).astype(np.float32)


def predicted_accuracy(network: PackedNetwork, split: LabelledImages, rates: Sequence[float],
                       draws: int | None = None, rng: RandomSource = 0) -> PredictedAccuracy:
    """Expected accuracy over chips at bit error rates, by statistics of flips; only convolutions are given flips.

    Parameters
    ----------
    network : PackedNetwork
    split : Split
        Images and their labels.
    rates : sequence of float
        Bit error rates of all weights, flips independent of each other.
    draws : int, optional
        Draws of the hidden outputs an image; all rates use the same. Left out: 2, for the mean over images has most of
        what there is to average, and 8 with convolutions, where 32 images share a draw. What more would change is
        ``standard_error``.
    rng : None, int, SeedSequence or Generator
        Of the draws; the same seed gives the same result in any number of threads.

    Returns
    -------
    PredictedAccuracy

    Raises
    ------
    TypeError, ValueError
        Where a rate is no probability, the split does not fit the network, or the network's last layer is no dense one
        with scores.

    References
    ----------
    docs/equations.rst 9.1 [D]; what is approximate: see the module's docstring. ``standard_error`` is of the draws
    alone, not of the approximation. tests/metrics hold the whole against injected errors: to 0.3 points, beside chance,
    of a network with two dense hidden layers and of two with convolutions. With one narrow
    hidden layer the normal approximation is coarser, and the prediction too high: compare it with a sweep there.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 28, 28), rng=0))
    >>> test = bnnsim.load_embedded()[1][:100]
    >>> found = predicted_accuracy(network, test, [0, 0.1])
    >>> bool(found.accuracy[0] == network.accuracy(test))
    True
    """
    ps = np.array([check_probability(f"rates[{i}]", rate) for i, rate in enumerate(
        check_sequence("rates", rates, "bit error rates, such as [0.01, 0.1]"))])
    labels = check_labelled(check_scores(network, "predicted_accuracy"), split).astype(np.int64)
    images = split.images
    if draws is None:
        draws = DRAWS_OF_CHIPS if any(stage.shares_weights for stage in network.stages) else DRAWS
    plan = _Prediction(network, ps[ps > 0].tolist(), check_int("draws", draws, 1, 10_000), root_seed(rng))
    right = np.empty((len(ps), len(images)), np.float32)
    right[ps == 0] = network.predict(images) == labels
    variances = np.zeros((len(ps), -(-len(images) // BLOCK)))

    def visit(block: slice, xs: list[np.ndarray]) -> list[list[np.ndarray]]:
        odds = plan.block(block.start, xs[0], labels[block])
        right[ps > 0, block] = odds.mean(axis=0)
        variances[ps > 0, block.start // BLOCK] = odds.sum(axis=2).var(axis=0, ddof=1) if draws > 1 else np.nan
        return []

    each_block(network, images, visit)
    freedom = [with_freedom(of_blocks.sum(), [(one, draws - 1) for one in of_blocks]).df for of_blocks in variances]
    return PredictedAccuracy(ps, right, split.name, np.sqrt(variances.sum(axis=1) / draws) / len(images),
                             np.array(freedom))
