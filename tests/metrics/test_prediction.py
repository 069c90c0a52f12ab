"""Accuracy predicted from statistics of flips: against injected errors, and its own definition."""

from dataclasses import replace

import numpy as np
import pytest
import slow_cases
from scipy.special import ndtr
from scipy.stats import binom
from test_metrics import case

import bnnsim
import bnnsim.kernels.analysis.flip_moments as flip_moments
import bnnsim.metrics as metrics
import bnnsim.metrics.flip_prediction as flip_prediction
import bnnsim.metrics.flip_statistics as flip_statistics
from bnnsim.packed.network import PackedNetwork
from bnnsim.training.packing import pack


@pytest.mark.jit_off
@pytest.mark.parametrize("pad", [-1, 0, 1])
def test_convolutions_are_drawn_as_chips_are(pad):
    """What a draw gives is what a network with those words gives; flips at a lower rate are among those at a higher."""
    network, split = case("C5 MP2 C3 FC4", 3, shape=(1, 4, 5))
    network = PackedNetwork([replace(layer, pad_value=pad) if layer.kind == "conv" else layer
                             for layer in network.layers], network.input_shape)
    x = split.images
    for i in (0, 1):
        flips = flip_statistics.SharedFlips(network.stages[i])
        few, many = flips.chances(3, [0.1, 0.5], np.random.default_rng(0), np.array([1, 2], np.uint64))
        words = network.layers[i].words
        assert few.shape == words.shape and not (few & ~many).any() and few.any()
        np.testing.assert_array_equal(flips.drawn(flips.given(x), 0.5, many),
                                      network.with_words({i: words ^ many}).run(i, x, i + 1))
        x = network.run(i, x, i + 1)


class ByPosition(flip_statistics.SharedFlips):
    """A wrong one: each position has flips of its own."""

    def chances(self, n_images, rates, rng, key):
        chips = [super(ByPosition, self).chances(n_images, rates, rng, key + np.uint64(q))
                 for q in range(np.prod(self.stage.pooled_shape))]
        return list(np.swapaxes(chips, 0, 1))

    def drawn(self, given, p, chance):
        maps = [super(ByPosition, self).drawn(given, p, each) for each in chance]
        return np.stack([each.reshape(len(each), len(chance), -1)[:, q] for q, each in enumerate(maps)],
                        axis=1).reshape(maps[0].shape)


def test_positions_of_a_convolution_share_their_flips(monkeypatch):
    """One filter on a blank image: all positions change together, as they do not if each has flips of its own."""
    network = PackedNetwork.from_arrays(
        [{"weight": np.ones((1, 3, 3, 1), int), "threshold": np.zeros(1, np.int32), "padding": 0},
         {"weight": np.stack([np.ones(64, int), -np.ones(64, int)])}], (1, 10, 10))
    split = bnnsim.Split(np.ones((33, 1, 10, 10), np.uint8), np.zeros(33, np.uint8), "blank", 2)
    right = binom.cdf(4, 9, 0.3)                                # at most 4 of 9 flip; of the last 64, never half
    found = metrics.predicted_accuracy(network, split, [0.3], draws=400)
    assert 0 < found.standard_error[0] < 0.02 and abs(found.accuracy[0] - right) < 5 * found.standard_error[0]
    monkeypatch.setattr(flip_prediction, "SharedFlips", ByPosition)
    wrong = metrics.predicted_accuracy(network, split, [0.3], draws=20)
    assert wrong.accuracy[0] - right > 0.05 > 5 * wrong.standard_error[0]


@pytest.fixture(scope="module")
def trained():
    """(networks dense, convolutional with and without pooling, split of 320 images), trained a little."""
    train, test = bnnsim.load_embedded()
    networks = []
    for spec in ("FC128 FC64 FC10", "C16 MP2 C16 MP2 FC64 FC10", "C64s2 FC64 FC10"):
        model = bnnsim.architectures.build(spec, (1, 28, 28), rng=0)
        bnnsim.fit(model, train[:3000], epochs=2, rng=0, progress=False)
        networks.append(pack(model))
    return *networks, test[:320]


@pytest.mark.parametrize("which", slow_cases.first(1, [1, 0, 2]))
def test_predicted_accuracy_is_that_of_injected_errors(trained, which):
    """But for chance of 40 chips and of the draws, and 0.3 points; at other rates than those injected it is far off."""
    network, split, allowed = trained[which], trained[-1], 0.012
    rates = [0, 0.01, 0.03, 0.1, 0.2]
    result = bnnsim.sweep(network, split, rates, trials=40, rng=0, progress=False)
    found = metrics.predicted_accuracy(network, split, rates, draws=16)
    assert found.accuracy[0] == network.accuracy(split)
    chance = np.hypot(found.standard_error, result.accuracy[0].std(axis=1, ddof=1) / np.sqrt(40))
    assert (np.abs(found.accuracy - result.mean()[0]) <= 0.003 + 3.5 * chance).all()
    assert found.error(result) < allowed
    wrong = metrics.predicted_accuracy(network, split, [0, 0.03, 0.1, 0.15, 0.27])
    assert np.abs(wrong.accuracy - result.mean()[0]).mean() > 2 * allowed
    assert f"{100 * found.error(result):.2f} points" in found.table(result)
    with pytest.raises(ValueError, match="result must have the rates"):
        wrong.error(result)


def test_the_standard_error_is_the_spread_of_predictions(trained):
    """Over 40 seeds, within 5 sigma of what a spread of 40 leaves; of one draw it is not known."""
    network, split = trained[1], trained[-1][:64]
    found = [metrics.predicted_accuracy(network, split, [0, 0.1], draws=4, rng=seed) for seed in range(40)]
    spread = np.std([one.accuracy[1] for one in found], ddof=1)
    assert abs(np.sqrt(np.mean([one.standard_error[1]**2 for one in found])) / spread - 1) < 5 / np.sqrt(2 * 39)
    assert all(one.standard_error[0] == 0 for one in found)
    assert np.isnan(metrics.predicted_accuracy(network, split, [0.1], draws=1).standard_error[0])


def spread_over_errors(network, split, seeds):
    """Spread of predictions over seeds, in standard errors that they tell."""
    found = [metrics.predicted_accuracy(network, split, [0.1], rng=seed) for seed in range(seeds)]
    return np.std([one.accuracy[0] for one in found], ddof=1) / \
        np.sqrt(np.mean([one.standard_error[0]**2 for one in found]))


def test_the_standard_error_knows_the_draws_of_scores(monkeypatch):
    """All the chance there is with one hidden layer; it was told to be none, as all draws had the same scores."""
    network, split = case("FC32 FC3", 96)
    assert abs(spread_over_errors(network, split, 60) - 1) < 5 / np.sqrt(2 * 59)
    whole = flip_prediction.score_draws
    monkeypatch.setattr(flip_prediction, "score_draws", lambda n, _: whole(n, np.random.default_rng(0)))
    assert metrics.predicted_accuracy(network, split, [0.1]).standard_error[0] == 0, "the wrong one"


def test_the_band_of_few_draws_covers():
    """Two draws of a block have one degree of freedom: at 1.96 standard errors three of four bands covered."""
    network, split = case("FC16 FC8 FC3", 20)
    truth = 100 * metrics.predicted_accuracy(network, split, [0.1], draws=400, rng=1000).accuracy[0]
    found = [metrics.predicted_accuracy(network, split, [0.1], rng=seed) for seed in range(80)]
    assert all(one.freedom[0] == 1 for one in found)
    bands = [one.plot(xscale="linear").axes[0].collections[0].get_paths()[0].get_extents() for one in found[:40]]
    assert np.mean([band.y0 <= truth <= band.y1 for band in bands]) > 0.85
    plain = [abs(100 * (one.accuracy[0]) - truth) <= 196 * one.standard_error[0] for one in found]
    assert np.mean(plain) < 0.85


def test_degrees_of_freedom_are_satterthwaites_over_blocks():
    network, split = case("FC16 FC8 FC3", 320)
    found = metrics.predicted_accuracy(network, split, [0, 0.1], draws=3)
    assert np.isinf(found.freedom[0]) and 4 < found.freedom[1] <= 20


def test_prediction_at_certain_flips_and_for_integer_logits():
    """At rate 1 every weight is wrong: a network that is known, and nothing left to chance."""
    network, split = case("FC33 FC4", 60)
    plain = replace(network.layers[-1], mean=np.zeros(4), scale=np.ones(4), shift=np.zeros(4))
    network = PackedNetwork([network.layers[0], plain], network.input_shape)
    broken = bnnsim.faults.BitFlips(1.0).apply(network, rng=0)
    found = metrics.predicted_accuracy(network, split, [1.0])
    assert found.accuracy[0] == broken.accuracy(split)


def logits_of(weights):
    """A network whose nine hidden outputs are +1 whatever happens, with integer logits."""
    return PackedNetwork.from_arrays([{"weight": np.ones((9, 4), int), "threshold": np.full(9, -5000, np.int32)},
                                      {"weight": weights}], (1, 2, 2))


def test_ties_of_integer_logits_go_to_the_lowest_class():
    """Two classes of nine weights: the odds that 0 wins are a sum over binomials; ties have a fifth of them."""
    weight = np.array([[1] * 5 + [-1] * 4, [-1, 1, 1, 1, 1, 1, -1, -1, -1]])
    split = bnnsim.Split(np.zeros((64, 1, 2, 2), np.uint8), np.arange(64) // 32, "zeros", 2)
    plus = np.convolve(binom.pmf(range(6), 5, 0.8), binom.pmf(range(5), 4, 0.2))       # of a row's weights, those +1
    wins = np.tril(np.outer(plus, plus)).sum()                                         # row 0 has at least as many
    found = metrics.predicted_accuracy(logits_of(weight), split, [0.2, 1.0])
    assert np.trace(np.outer(plus, plus)) > 0.15
    np.testing.assert_allclose(found.right[0].reshape(2, 32).mean(1), [wins, 1 - wins], atol=0.015)
    np.testing.assert_array_equal(found.right[1], split.labels == 0)


@pytest.mark.jit_off
def test_score_draws_are_standard_normal():
    for draws in flip_statistics.score_draws(10, np.random.default_rng(3)):
        assert np.abs(draws.mean(0)).max() < 1e-12 and len(draws) == 256
        assert np.abs(np.cov(draws.T, bias=True) - np.eye(10)).max() < 1e-12
    z = np.linspace(-9, 9, 777)
    ref = [flip_moments.normal_below(one, flip_moments.NORMAL) for one in z]
    np.testing.assert_allclose(ref, ndtr(z), atol=2e-6)
