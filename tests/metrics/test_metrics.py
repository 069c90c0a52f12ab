"""Metrics against their definitions in `naive_metrics`, by name; figures, tables, and bad input."""

from dataclasses import replace
from itertools import combinations

import naive_metrics
import numpy as np
import pytest
from hypothesis import given, settings
from kernel_calls import in_threads
from random_networks import build, plans

import bnnsim
import bnnsim.metrics as metrics
import bnnsim.metrics.split_halves as split_halves
from bnnsim.kernels import are_compiled
from bnnsim.packed.network import PackedNetwork
from bnnsim.training.packing import pack

FCNN, DEEP, CNN, CONV_LAST = "FC70 FC65 FC10", "FC66 FC65 FC33 FC4", "C5 MP2 C7 FC9 FC4", "C3 MP2 FC4"


def case(spec, n_images=20, offset=0, seed=0, shape=(1, 6, 6)):
    """(network, split): some outputs inverted, two thirds of the labels are what the network says."""
    rng = np.random.default_rng(seed)
    network = pack(bnnsim.architectures.build(spec, shape, offset, rng=seed))
    layers = [layer if layer.threshold is None else replace(
        layer, threshold=rng.integers(-90, 90, layer.units).astype(np.int32) if i == 0 else layer.threshold,
        inverted=rng.random(layer.units) < 0.5) for i, layer in enumerate(network.layers)]
    network = PackedNetwork(layers, network.input_shape, offset)
    images = rng.integers(0, 256, (n_images, *shape), np.uint8)
    labels = network.predict(images)
    labels[::3] = rng.integers(0, network.n_classes, len(labels[::3]))
    return network, bnnsim.Split(images, labels, "random", network.n_classes)


def blocks_of(network, split):
    blocks = naive_metrics.of_packed(network)
    level = max(network.input_offset, 255 - network.input_offset)
    return [block | {"level": level} for block in blocks], \
        naive_metrics.inputs(blocks, split.images, network.input_offset)


# ---------------------------------------------------------------- margins

def check_margins(network, images):
    found = metrics.margins(network, images)
    blocks, xs = blocks_of(network, bnnsim.Split(images, np.zeros(len(images), np.uint8), "x"))
    for i, layer in enumerate(found.layers):
        ref, power = naive_metrics.margins(blocks[i], xs[i], i == 0)
        np.testing.assert_allclose(layer.by_neuron, ref.mean((0, 1)), rtol=1e-12)
        counts, _ = np.histogram(ref, [*layer.edges[:-1], np.inf])
        np.testing.assert_array_equal(layer.counts, counts)
        there = power > 0
        spread = (there * ref / (2 * np.sqrt(np.maximum(power, 1)))).sum((0, 1)) / np.maximum(there.sum((0, 1)), 1)
        np.testing.assert_allclose(layer.over_spread, spread, atol=2e-6)


@settings(max_examples=15)
@given(plans())
def test_margins_of_any_network_are_those_of_their_definition(plan):
    model, images = build(plan, 3)
    if len(pack(model).layers) > 1:
        check_margins(pack(model), images)


@pytest.mark.tiny
@pytest.mark.jit_off
def test_margins_of_a_small_convolution():
    network, split = case("C3 MP2 C2 FC3", 2, shape=(1, 4, 5))
    check_margins(network, split.images)


def test_margins_do_not_depend_on_threads_and_know_their_units():
    network, split = case(CNN, 40)

    def measured():
        found = metrics.margins(network, split.images)
        return tuple(np.concatenate([layer.by_neuron, layer.counts, layer.over_spread]) for layer in found.layers)

    in_threads(measured)
    first, second = metrics.margins(network, split.images).layers[:2]
    assert first.relative == pytest.approx(first.mean / (2 * 255 * 9)) and second.relative == second.mean / (2 * 45)
    assert second.in_spreads(0.1) == pytest.approx(second.over_spread.mean() / 0.3)


# ---------------------------------------------------------------- importance, critical bits

@pytest.mark.tiny
@pytest.mark.parametrize(("spec", "offset"), [pytest.param("FC9 FC5 FC4", 0, marks=pytest.mark.jit_off),
                                              ("FC5 FC5 FC6 FC3", 128),
                                              pytest.param(CONV_LAST, 0, marks=pytest.mark.jit_off),
                                              ("C3 MP2 FC5 FC3", 128)])
def test_ablate_and_critical_bits_by_brute_force(spec, offset):
    network, split = case(spec, 8 if are_compiled() else 3, offset, shape=(1, 4, 4))
    blocks, xs = blocks_of(network, split)
    found = metrics.importance(network, split)
    for i, layer in enumerate(found.layers):
        change = naive_metrics.inverted_changes(blocks, xs, i, split.labels)
        np.testing.assert_array_equal(layer.raw, -change.sum(0) / len(split))
        if layer.raw.any():
            assert np.abs(layer.share).sum() == pytest.approx(1) and layer.share @ layer.raw > 0
    for i in range(len(network.layers)):
        critical = metrics.critical_bits(network, split, i)
        np.testing.assert_array_equal(critical.effect, naive_metrics.flip_effects(blocks, xs, i, split.labels))
        worst = critical.worst(2)
        assert worst[0][1] == critical.effect.min() == critical.effect[worst[0][0]] and worst[1][1] >= worst[0][1]
        for (at, gained), line in zip(worst, critical.table(2).splitlines()[4:], strict=True):
            assert line.startswith(f"{str(at):<16}  {gained:+13d}  ")


@pytest.mark.parametrize("spec", [FCNN, DEEP, "FC130 FC64 FC10", CNN])
def test_incremental_results_at_odd_sizes_are_those_of_broken_copies(spec):
    """Word borders: 64, 65 and 130 units; two blocks of images, the second one short."""
    network, split = case(spec, 260, 3)
    rng = np.random.default_rng(1)
    found = metrics.importance(network, split)
    clean = np.count_nonzero(network.predict(split.images) == split.labels)
    for i, layer in enumerate(network.layers):
        effect = metrics.critical_bits(network, split, i).effect
        if i < len(found.layers):                               # an inverted unit is one with `inverted` the other way
            for u in {0, layer.units // 2, layer.units - 1}:
                inverted = layer.inverted.copy()
                inverted[u] ^= True
                broken = PackedNetwork([replace(one, inverted=inverted) if one is layer else one
                                        for one in network.layers], network.input_shape, network.input_offset)
                right = np.count_nonzero(broken.predict(split.images) == split.labels)
                assert round(found.layers[i].raw[u] * len(split)) == clean - right
        likely = np.flatnonzero(effect)
        places = [0, effect.size - 1, *rng.choice(likely, min(12, len(likely)), replace=False)]
        for place in places:
            at = np.unravel_index(place, effect.shape)
            words = layer.words.copy()
            words[(*at[:-1], at[-1] // 64)] ^= np.uint64(1) << np.uint64(at[-1] % 64)
            right = np.count_nonzero(network.with_words({i: words}).predict(split.images) == split.labels)
            assert right - clean == effect[at], (i, at)


def test_results_of_images_do_not_depend_on_threads():
    network, split = case(DEEP, 600)
    in_threads(lambda: tuple(layer.raw for layer in metrics.importance(network, split).layers))
    in_threads(lambda: metrics.critical_bits(network, split, 1).effect)
    in_threads(lambda: tuple(layer.counts for layer in metrics.bit_error_tolerance(network, split.images).layers))
    in_threads(lambda: metrics.predicted_accuracy(network, split, [0, 0.01, 0.2]).right)


def test_a_network_without_hidden_layer_has_critical_bits_of_pixels():
    network, split = case("FC4", 30)
    found = metrics.critical_bits(network, split, 0)
    blocks, xs = blocks_of(network, split)
    np.testing.assert_array_equal(found.effect, naive_metrics.flip_effects(blocks, xs, 0, split.labels))


def test_readout_is_its_definition():
    network, split = case(FCNN, 50)
    blocks, xs = blocks_of(network, split)
    weight = blocks[-1]["weight"] * blocks[-1]["scale"][:, None]
    ref = np.mean([x * (weight[y] - weight.mean(0)) for x, y in zip(xs[-1], split.labels)], axis=0)
    np.testing.assert_allclose(metrics.importance(network, split, "readout").layers[0].raw, ref, atol=1e-12)


def dense_taylor(model, split):
    """|a dL/da| of a model of dense layers, in float64, by the chain rule written out; signs straight through."""
    x = np.moveaxis(split.images.astype(np.float64), 1, 3).reshape(len(split), -1)
    weights = [np.where(layer.parameters["weight"] >= 0, 1.0, -1.0) for layer in model.weighted]
    norms = [layer.affine() for layer in model.layers if type(layer).__name__.startswith("BatchNorm")]
    acts, normed = [], []
    for weight, (mean, scale, shift) in zip(weights, norms):
        normed.append((x @ weight.T - mean) * scale + shift)
        acts.append(x := np.where(normed[-1] >= 0, 1.0, -1.0))
    e = np.exp(normed[-1] - normed[-1].max(1, keepdims=True))
    dy = e / e.sum(1, keepdims=True) - np.eye(e.shape[1])[split.labels]
    found = []
    for i in reversed(range(1, len(weights))):
        da = (dy * norms[i][1]) @ weights[i]
        found.append(np.abs(da * acts[i - 1]).mean(0))
        dy = da * (np.abs(normed[i - 1]) <= 1)
    return found[::-1]


def small_model(spec="FC20 FC15 FC4", n_images=60):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n_images, 1, 6, 6), np.uint8)
    split = bnnsim.Split(images, rng.integers(0, 4, n_images), "random", 4)
    model = bnnsim.architectures.build(spec, (1, 6, 6), rng=0)
    bnnsim.fit(model, split, epochs=3, batch_size=20, rng=0, progress=False)
    return model, split


def test_taylor_is_its_definition_and_points_where_ablation_does():
    model, split = small_model()
    found = metrics.importance(model, split, "taylor")
    for layer, ref in zip(found.layers, dense_taylor(model, split), strict=True):
        np.testing.assert_allclose(layer.raw, ref, rtol=2e-3, atol=1e-5)
    conv = small_model("C4 MP2 C3 FC6 FC4")
    assert all((layer.raw >= 0).all() and layer.raw.any()
               for layer in metrics.importance(*conv, "taylor").layers)
    np.testing.assert_array_equal(metrics.importance(model, split).layers[0].raw,
                                  metrics.importance(pack(model), split).layers[0].raw)


# ---------------------------------------------------------------- how much of importance is noise

def with_labels(labels, spec="FC64 FC32 FC10"):
    """(network, 2,000 embedded images) of that many hidden units, labelled by `labels(network, images)`."""
    network, images = pack(bnnsim.architectures.build(spec, (1, 28, 28), rng=0)), bnnsim.load_embedded()[1].images
    return network, bnnsim.Split(images, labels(network, images), "labelled", 10)


@pytest.mark.parametrize("n_images", [1, 2, 13, 270])
@pytest.mark.parametrize("method", metrics.neuron_importance.METHODS)
def test_parts_of_an_importance_are_those_of_the_parts_images(method, n_images):
    model, split = small_model(n_images=270)
    network, split = model if method == "taylor" else pack(model), split[:n_images]
    found, alone = metrics.importance(network, split, method), [
        metrics.importance(network, split.take(np.arange(part, n_images, 20)), method)
        for part in range(min(20, n_images))]
    for i, layer in enumerate(found.layers):
        size = np.abs(layer.raw).sum() or 1
        np.testing.assert_allclose(layer.parts * size, [one.layers[i].raw for one in alone], rtol=1e-4, atol=1e-8)
        assert np.isnan(layer.reliability.whole) or layer.reliability.whole <= 1
    assert n_images > 1 or "reliability unknown" in found.table()


def test_planted_importances_are_reliable_and_labels_by_chance_give_noise():
    """Labels by chance: no neuron is worth anything, the variance is there all the same."""
    chance = metrics.importance(*with_labels(lambda _, images: np.random.default_rng(0).integers(0, 10, len(images))))
    own = metrics.importance(*with_labels(lambda network, images: network.predict(images)))
    for layer in chance.layers:
        assert layer.variance > 0 and layer.reliability.low < 0 < layer.reliability.high
        assert layer.reliability.noise_free_variance < layer.variance / 2 and layer.reliability.is_noise
    assert "layer 0, 1: more sampling noise" in chance.table() and "more sampling noise" not in own.table()
    last = own.layers[1].reliability
    assert last.low > 0.9 and last.noise_free_variance == pytest.approx(own.layers[1].variance * last.whole, rel=1e-9)


def noisy_parts(rng, true_variance, n_factors, n_parts=20, n_units=256):
    """Values of units whose truth varies so much; their mean has noise of variance 1, every n_factors-th the same."""
    truth = rng.standard_normal(n_units)
    truth = (truth - truth.mean()) / truth.std() * np.sqrt(true_variance * (n_factors - 1) / n_factors)
    noise = np.sqrt(n_parts) * rng.standard_normal((n_parts, n_factors))
    return truth + noise[:, np.arange(n_units) % n_factors]


@pytest.mark.jit_off
@pytest.mark.parametrize("n_factors", [8, 60, 256])
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.95])
def test_reliability_is_without_bias_and_its_interval_covers(n_factors, share):
    """However units' noises correlate. An interval over units, as if they did not, is wrong for 8 common factors."""
    rng = np.random.default_rng(0)
    found = np.array([split_halves.reliability_of(noisy_parts(rng, share / (1 - share), n_factors))
                      for _ in range(200)])
    noise_free, whole, low, high = found.T
    true_variance = share / (1 - share) * (n_factors - 1) / n_factors               # the mean over units is taken off
    assert abs(noise_free.mean() - true_variance) < 5 * noise_free.std() / np.sqrt(200)
    assert np.mean((low <= share) & (share <= high)) > 0.92
    over_units = np.arctanh(np.clip(whole / (2 - whole), -0.99, 0.99)) - np.arctanh(share / (2 - share))
    assert n_factors > 8 or share > 0.5 or np.mean(np.abs(over_units) <= 1.96 / np.sqrt(253)) < 0.7


@pytest.mark.jit_off
def test_halves_are_all_halves_of_the_parts():
    """The definition: mean covariance of two halves over every way to halve six parts; Spearman and Brown's formula."""
    parts = np.random.default_rng(0).standard_normal((6, 9)) + np.arange(9) / 5
    pairs = [(parts[list(a)].mean(0), parts[[i for i in range(6) if i not in a]].mean(0))
             for a in combinations(range(6), 3)]
    covariance = np.mean([np.cov(a, b, bias=True)[0, 1] for a, b in pairs])
    r = covariance / np.mean([a.var() for a, _ in pairs])
    found = split_halves.reliability_of(parts)
    assert found.noise_free_variance == pytest.approx(covariance) and found.split_half == pytest.approx(r)
    assert found.whole == pytest.approx(2 * r / (1 + r)) and found.low < found.whole < found.high
    same = split_halves.reliability_of(np.tile(parts[:1], (6, 1)))
    assert same.whole == 1 and same.noise_free_variance == pytest.approx(parts[0].var())
