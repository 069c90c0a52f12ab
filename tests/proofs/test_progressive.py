"""A progressive bit search: its flips are what it says, they cost more than others, and a search that errs does not."""

import math
import operator

import naive_flips
import naive_search
import numpy as np
import pytest
from test_certificates import case

import bnnsim
import bnnsim.proofs.progressive as progressive
from bnnsim import threads
from bnnsim.faults import BitFlips
from bnnsim.packed.blocks import reads
from bnnsim.proofs import progressive_flips

TEST = bnnsim.load_embedded()[1]
FCNN = bnnsim.PackedNetwork.load(bnnsim.datasets.data_file("fashion_fcnn.h5"))


def small(shape="two convs", seed=3, n_images=40):
    """A network of `test_certificates` and images that it mostly has right."""
    network, _ = case(shape, seed)
    images = np.random.default_rng(seed).integers(0, 256, (n_images, *network.input_shape), np.uint8)
    labels = network.predict(images)
    labels[::7] = (labels[::7] + 1) % network.n_classes
    return network, bnnsim.Split(images, labels, "random", network.n_classes)


SHAPES = ["one hidden", "conv, dense", "two convs", "strides", "overlapping pools", "replicated", "groups"]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_flips_are_what_the_network_gets(shape):
    """By naive evaluation: accuracy after each step; no weight twice; each step raises the loss."""
    network, split = small(shape)
    found = progressive_flips(network, split, 8, 2)
    layers = naive_flips.of_packed(network)
    pairs = list(zip(found.layers.tolist(), found.weights.tolist()))
    assert len(set(pairs)) == len(pairs) == found.flips[-1] and found.flips[0] == 0
    for n_flips, accuracy in zip(found.flips, found.accuracy):
        weights = {}
        for i, layer in enumerate(layers):
            numbers = [number for at, number in pairs[:n_flips] if at == i]
            weights[i] = naive_flips.flipped(layer["weight"], [numbers])
        classes = [naive_flips.classes(layers, image, network.input_offset, weights)[0] for image in split.images]
        assert accuracy == np.mean(np.array(classes) == split.labels)
        broken = found.broken(int(n_flips))
        assert broken.accuracy(split) == accuracy
        changed = sum(int(np.bitwise_count(a.words ^ b.words).sum()) for a, b in zip(network.layers, broken.layers))
        assert changed == n_flips


def chosen_by_both(shape, seed, at_once, most=6):
    """((layer, weight) in order of the search, and of the naive one, layers that the naive one kept)."""
    network, split = small(shape, seed, 15)
    found = progressive_flips(network, split, most, at_once)
    ref, kept = naive_search.progressive(naive_flips.of_packed(network), split.images, split.labels,
                                         network.input_offset, most, at_once)
    return list(zip(found.layers.tolist(), found.weights.tolist())), ref, kept


CHOICES = [("one hidden", 1, 2), ("two hidden", 2, 1), ("conv, dense", 1, 1), ("two convs", 1, 1), ("strides", 4, 1),
           ("overlapping pools", 2, 1), ("replicated", 4, 1), ("groups", 2, 2)]


@pytest.mark.parametrize("shape, seed, at_once", CHOICES)
def test_each_step_keeps_the_layer_whose_flips_cost_most(shape, seed, at_once):
    """A naive search tries every layer and keeps the dearest: the same flips, in the same order."""
    comp, ref, kept = chosen_by_both(shape, seed, at_once)
    assert comp == ref and len(set(kept)) > 1


@pytest.mark.parametrize("which", [0, -1])
def test_a_search_that_tries_one_layer_chooses_others(which, monkeypatch):
    candidates = progressive._Search.candidates
    monkeypatch.setattr(progressive._Search, "candidates", lambda *args: candidates(*args)[which:][:1])
    wrong = [case for case in CHOICES if operator.ne(*chosen_by_both(*case)[:2])]
    assert len(wrong) > len(CHOICES) / 2


@pytest.mark.parametrize("shape", SHAPES)
def test_a_promise_is_the_sum_of_slopes(shape):
    """-w sum dh x of each weight by its number, by loops over images and positions, up to rounding of the slopes."""
    network, split = small(shape, n_images=5)
    for stage, x in zip(network.stages, reads(network, split.images)):
        dh = np.random.default_rng(0).normal(0, 1, (5, stage.n_positions, stage.layer.units)).astype(np.float32)
        comp, patches, layer = progressive._promise(stage, x, dh), stage.patches(x), stage.layer
        ref, per_group, n_taps = [], layer.units // layer.groups, layer.fan_in // layer.n_in
        for u in range(layer.units):
            of_taps = patches.reshape(5, -1, n_taps, layer.groups, layer.n_in)[:, :, :, u // per_group] if \
                layer.groups > 1 else patches.reshape(5, -1, layer.fan_in)
            of_taps = of_taps.reshape(5, -1, layer.fan_in)
            ref.append([-layer.signs()[u, f] * sum(float(dh[n, p, u]) * int(of_taps[n, p, f])
                                                   for n, p in np.ndindex(dh.shape[:2])) for f in range(layer.fan_in)])
        comp = comp * np.abs(dh).max() / progressive.FULL_SCALE
        size = np.abs(patches).max() * dh.shape[1] * 5 * np.abs(dh).max() / progressive.FULL_SCALE
        np.testing.assert_allclose(comp, np.ravel(ref), atol=max(size, 1e-9))


@pytest.mark.slow
def test_chosen_flips_cost_more_than_random_ones():
    """On images that the search has not seen, too: as many random flips cost next to nothing."""
    found = progressive_flips(FCNN, TEST[:150], 300, 30)
    clean, chosen = FCNN.accuracy(TEST[500:]), found.broken(300).accuracy(TEST[500:])
    random = [BitFlips(300 / FCNN.n_bits).apply(FCNN, 0, trial).accuracy(TEST[500:]) for trial in range(3)]
    assert chosen < clean - 0.1 and min(random) > clean - 0.01
    assert found.needed(found.accuracy[-1]) == found.flips[-1] and found.needed(0.0) is None
    assert "flips by layer" in found.table() and len(found.table().splitlines()) == 13
    only = progressive_flips(FCNN, TEST[:150], 30, 30, layers=[1])
    assert set(only.layers.tolist()) == {1}


def test_a_search_that_errs_finds_less(monkeypatch):
    """Slopes with the wrong sign promise what helps: the search, which evaluates, ends at once or does worse."""
    right = progressive_flips(FCNN, TEST[:100], 60, 30)
    promise = progressive._promise
    monkeypatch.setattr(progressive, "_promise", lambda *args: -promise(*args))
    wrong = progressive_flips(FCNN, TEST[:100], 60, 30)
    assert len(wrong.layers) == 0 or wrong.accuracy[-1] > right.accuracy[-1]
    assert math.isclose(wrong.accuracy[0], right.accuracy[0]) and right.accuracy[-1] < right.accuracy[0]


def test_of_a_step_the_flip_that_promises_most_comes_first():
    for layer in (0, 1):
        one, several = (progressive_flips(FCNN, TEST[:50], n, n, [layer]) for n in (1, 20))
        assert several.weights[0] == one.weights[0] > several.weights.min()


def test_threads_do_not_change_it():
    network, split = small("conv, dense")
    found = []
    for n in (1, 2):
        with threads(n):
            one = progressive_flips(network, split, 6)
            found.append((one.layers.tolist(), one.weights.tolist(), one.accuracy.tolist()))
    assert found[0] == found[1]


NETWORK, SPLIT = small("one hidden")


@pytest.mark.parametrize("call, error, message", [
    (lambda: progressive_flips("x.h5", SPLIT), TypeError, "network must be a PackedNetwork"),
    (lambda: progressive_flips(NETWORK, SPLIT.images), TypeError, "plit"),
    (lambda: progressive_flips(NETWORK, SPLIT, 0), ValueError, "most_flips must be >= 1, got 0"),
    (lambda: progressive_flips(NETWORK, SPLIT, 5, 0), ValueError, "at_once must be >= 1, got 0"),
    (lambda: progressive_flips(NETWORK, SPLIT, 5, 1, [2]), ValueError, r"layers\[0\] must be in \[0, 1\], got 2"),
    (lambda: progressive_flips(NETWORK, SPLIT, 5, 1, 0), TypeError, r"layers must be a list .* got 0; .* give \[0\]"),
    (lambda: progressive_flips(NETWORK, SPLIT, 5, 1, []), ValueError, "layers must name at least one layer"),
    (lambda: progressive_flips(NETWORK, SPLIT, 2).broken(99), ValueError, "n_flips must be in"),
    (lambda: progressive_flips(NETWORK, SPLIT, 2).needed(50), ValueError, "accuracy must be a probability"),
    (lambda: progressive_flips(NETWORK, SPLIT, 2).needed(math.nan), ValueError, "accuracy must be a probability"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
