"""Packed networks: bits and integer thresholds give exactly the scores of the model that was trained."""

import dataclasses
import functools
from concurrent.futures import ThreadPoolExecutor

import naive
import naive_network
import numpy as np
import pytest
import random_networks
from hypothesis import given, settings
from hypothesis import strategies as st

import bnnsim.training.architectures as architectures
import bnnsim.training.fitting as fitting
import bnnsim.training.layers as layers
import bnnsim.training.packing as packing
from bnnsim import threads
from bnnsim.datasets.split import Split
from bnnsim.faults import ArrayMapping
from bnnsim.packed.layer import largest_preactivation
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.thresholds import fold_thresholds
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.model import Sequential

CNN = {"input_shape": (3, 9, 9), "dense": [70], "classes": 10, "offset": 128, "norm": True, "seed": 3,
       "convs": [
    {"channels": 70, "kernel": (3, 3), "stride": 1, "padding": 1, "pad_value": "zero", "pool": 2},
    {"channels": 5, "kernel": (2, 2), "stride": 1, "padding": 1, "pad_value": "minus", "pool": 1}]}
FCNN = {"input_shape": (1, 4, 4), "convs": [], "dense": [70], "classes": 10, "offset": 0, "norm": True,
        "seed": 4}


def same(comp, ref):
    np.testing.assert_array_equal(comp, ref)


def packed_case(plan, n_images=9):
    model, images = random_networks.build(plan, n_images)
    return packing.pack(model), model, images


@functools.cache
def small_case(name):
    """(network, model, three images) of a plan, made once: only for tests that change none of them."""
    return packed_case({"FCNN": FCNN, "CNN": CNN}[name], 3)


# what it computes

@settings(max_examples=150)
@given(random_networks.plans())
def test_scores_are_those_of_the_model(plan):
    """Every score of every image, not only the class; thresholds met exactly, gamma < 0 and = 0 too."""
    network, model, images = packed_case(plan)
    ref = model.scores(images)
    same(network.scores(images), ref)
    same(network.predict(images), ref.argmax(1))
    assert network.scores(images).dtype == np.float64 and network.predict(images).dtype == np.int64


@pytest.mark.tiny
@settings(max_examples=40)
@given(random_networks.plans())
def test_scores_are_those_of_the_naive_network(plan):
    """Model and packed network share code; this twin shares none with them."""
    network, model, images = packed_case(plan, 3)
    ref = naive_network.evaluate(naive_network.of_model(model), images, plan["offset"])
    np.testing.assert_allclose(network.scores(images), ref, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [pytest.param("FCNN", marks=pytest.mark.jit_off), "CNN"])
def test_small_networks(name):
    network, model, images = small_case(name)
    same(network.scores(images), model.scores(images))
    ref = naive_network.evaluate(naive_network.of_model(model), images, {"FCNN": FCNN, "CNN": CNN}[name]["offset"])
    np.testing.assert_allclose(network.scores(images), ref, rtol=1e-12, atol=1e-12)


def test_ties_of_thresholds_do_occur_in_these_cases():
    """Else the tests above would not show that sign(0) is +1."""
    model, images = random_networks.build(CNN)
    h = model.layers[1].forward(model.layers[0].forward(images))
    norm = model.layers[2]
    beta, gamma = norm.parameters["beta"], norm.parameters["gamma"]
    assert np.any((h == norm.running["mean"]) & (beta == 0) & (gamma < 0))


@pytest.mark.parametrize("spec, shape, offset",
                         [("FC96 FC10", (1, 6, 6), 0), ("C10 MP2 C70 MP2 FC33 FC10", (3, 12, 12), 128)])
def test_a_trained_network(spec, shape, offset):
    """After real training steps, with their batch-norm statistics."""
    rng = np.random.default_rng(8)
    images = rng.integers(0, 256, (150, *shape), np.uint8)
    split = Split(images, rng.integers(0, 10, 150), "random")
    model = architectures.build(spec, shape, offset, rng=1)
    fitting.fit(model, split, 3, rng=0, batch_size=50, flip_rate=0.05, progress=False)
    network = packing.pack(model, {"note": "x"})
    same(network.scores(images), model.scores(images))
    assert network.accuracy(split) == model.accuracy(split) and network.metadata == model.metadata | {"note": "x"}


def test_windows_of_windows():
    """Two max-pools behind each other are one of 4 x 4, with the same remainders left out."""
    rng = np.random.default_rng(0)
    stack = [layers.InputConv2d(1, 5, offset=0, generator=rng), layers.MaxPool2d(2), layers.MaxPool2d(2),
             layers.BatchNormSign(5), layers.Flatten(5), layers.Dense(30, 3, rng), layers.BatchNorm(3)]
    model, images = Sequential(stack, (1, 11, 13)), rng.integers(0, 256, (4, 1, 11, 13), np.uint8)
    random_networks.fill(model, images, rng)
    same(packing.pack(model).scores(images), model.scores(images))


@pytest.mark.parametrize("plan", [FCNN, CNN], ids=["FCNN", "CNN"])
@pytest.mark.parametrize("n_images", [0, 1, 2, 63, 64, 65, 127, 128, 129, 200])
def test_any_number_of_images(plan, n_images):
    """Blocks of 64, slices of threads: each image's scores are its own."""
    network, model, images = packed_case(plan, 200)
    whole = model.scores(images)
    for n_threads in (1, 2, 3):
        with threads(n_threads):
            same(network.scores(images[:n_images]), whole[:n_images])
    same(network.scores(images[200 - n_images:]), whole[200 - n_images:])
    same(network.scores(images[::-1][:n_images]), whole[::-1][:n_images])


def test_one_network_in_many_threads():
    """A server's threads share a network, from the first call on, when nothing is laid out yet."""
    for plan in (FCNN, CNN):
        _, model, images = packed_case(plan, 130)
        ref, network = model.scores(images), packing.pack(model)
        with ThreadPoolExecutor(8) as pool:
            for scores in pool.map(lambda _: network.scores(images), range(8)):
                same(scores, ref)


@pytest.mark.jit_off
def test_of_equal_scores_the_lowest_class_wins():
    network, model, images = packed_case({**FCNN, "norm": False})
    last = network.layers[-1]
    tied = network.with_words({1: np.repeat(last.words[:1], 10, axis=0)})
    assert np.all(tied.scores(images) == tied.scores(images)[:, :1]) and not tied.predict(images).any()


# folding

WIDE = st.one_of(st.integers(-30, 30).map(float), st.floats(-40, 40), st.sampled_from(
    [0.0, -0.0, 5e-324, -5e-324, 1e-300, 1e-12, -1e-12, 1e12, -1e12, 1e300, -1e300, 1.7e308, -1.7e308, 0.5,
     -0.5]))


@pytest.mark.tiny
@pytest.mark.jit_off
@settings(max_examples=400)
@given(WIDE, WIDE, WIDE, st.integers(1, 40))
def test_folded_thresholds_are_batch_norm_and_sign(mean, scale, shift, bound):
    """For every integer that can occur; a threshold off by one flips whole feature maps at ties."""
    theta, inverted = fold_thresholds(*(np.array([value]) for value in (mean, scale, shift)), bound)
    h = np.arange(-bound, bound + 1)
    with np.errstate(over="ignore"):
        ref = (h - mean) * scale + shift >= 0
    same((h >= theta[0]) != inverted[0], ref)
    assert -bound <= theta[0] <= bound + 1 and theta.dtype == np.int32 and inverted.dtype == bool
    assert inverted[0] == (scale < 0 or (scale == 0 and shift < 0))


@pytest.mark.jit_off
def test_folded_thresholds_of_many_units_at_once():
    rng = np.random.default_rng(0)
    mean, scale, shift = rng.normal(0, 20, 200), rng.normal(0, 1, 200), rng.normal(0, 5, 200)
    scale[::7], mean[::3], shift[::3] = 0, np.rint(mean[::3]), 0
    theta, inverted = fold_thresholds(mean, scale, shift, 60)
    h = np.arange(-60, 61)[:, None]
    same((h >= theta) != inverted, (h - mean) * scale + shift >= 0)
    same([naive.threshold(*unit, 60)[0] for unit in zip(mean, scale, shift) if unit[1] != 0],
         theta[scale != 0])


@pytest.mark.jit_off
@pytest.mark.parametrize("values", [(np.nan, 1, 0), (0, np.inf, 0), (0, 1, -np.inf)])
def test_a_batch_norm_that_is_no_number_is_refused(values):
    with pytest.raises(ValueError, match="(mean|scale|shift) must be finite, got (nan|inf|-inf) at index"):
        fold_thresholds(*(np.array([float(value)]) for value in values), 9)


@pytest.mark.parametrize("offset, level", [(0, 255), (128, 128), (255, 255), (100, 155)])
def test_largest_preactivation(offset, level):
    """Thresholds are clamped just past it: too small a bound would cut thresholds that matter."""
    network, _, _ = small_case("CNN")
    assert largest_preactivation(network.layers[0], True, offset) == 27 * level
    assert largest_preactivation(network.layers[1], False, offset) == 4 * 70
    assert largest_preactivation(network.layers[2], False, offset) == network.layers[2].n_in


@pytest.mark.parametrize("integer", [np.uint8, np.uint64, np.int8])
def test_integers_of_numpy_are_plain_ones(integer):
    """-np.uint8(100) is 156: scores were wrong, and those of the same network out of its file were right."""
    network, _, images = small_case("FCNN")
    wanted = PackedNetwork(network.layers, network.input_shape, 100)
    given = [dataclasses.replace(layer, n_in=integer(layer.n_in)) for layer in network.layers]
    comp = PackedNetwork(given, network.input_shape, integer(100))
    same(comp.scores(images), wanted.scores(images))
    assert comp.checksum == wanted.checksum and comp.n_bits == wanted.n_bits
    assert {type(comp.input_offset), *(type(layer.n_in) for layer in comp.layers)} == {int}


# what it is

SUMMARY = """\
layer    output     binary  other   kB   1T1R   2T2R  64 x 64 arrays    used  binary MACs  integer MACs
0 conv   6 x 6 x 8      72     16  0.0     72    144               1   1.8 %            0        10,368
1 dense  16          4,608     32  0.6  4,608  9,216               5  22.5 %        4,608             0
2 dense  10            160     30  0.3    160    320               1   3.9 %          160             0
total                4,840     78  0.9  4,840  9,680               7  16.9 %        4,768        10,368"""


@pytest.mark.jit_off
def test_summary():
    """By hand: 8 * 9 conv weights at 12 * 12 positions; 6 * 6 * 8 features; 4 1/8 or 24 bytes a unit."""
    network = packing.pack(architectures.build("C8 MP2 FC16 FC10", (1, 12, 12), rng=0))
    assert network.summary() == SUMMARY
    assert network.summary(ArrayMapping(64, 64)) == SUMMARY
    used = [(each.arrays, each.used) for each in network.sizes(ArrayMapping(100, 9, "columns"))]
    assert used == [(1, 72 / 900), (3 * 2, 4608 / 5400), (2, 160 / 1800), (9, 4840 / 8100)]
    assert network.n_bits == 4840 and network.n_classes == 10
    assert repr(network) == "<PackedNetwork [1, 12, 12] -> 10, 4,840 binary weights>"


def test_with_words_shares_what_it_does_not_replace():
    """A sweep makes thousands of these: each must cost what changed, and nothing else."""
    network, _, images = packed_case(CNN, 1)
    ref, checksum = network.scores(images), network.checksum
    other = network.with_words({1: ~network.layers[1].words & np.uint64(2**(70 - 64) - 1)})
    for i, (old, new) in enumerate(zip(network.layers, other.layers)):
        assert np.shares_memory(old.words, new.words) == (i != 1) and (old is new) == (i != 1)
        for name in ("threshold", "inverted", "mean", "scale", "shift"):
            one, two = getattr(old, name), getattr(new, name)
            assert (one is None and two is None) or np.shares_memory(one, two)
    assert other.stages[0] is network.stages[0] and other.stages[0].to_bits is network.stages[0].to_bits
    assert other.stages[1] is not network.stages[1] and other.stages[1].layer is other.layers[1]
    assert other.checksum != checksum == network.checksum and other.metadata == network.metadata
    copies = [dataclasses.replace(layer) for layer in other.layers]
    fresh = PackedNetwork(copies, other.input_shape, 128)
    same(other.scores(images), fresh.scores(images))
    assert not np.array_equal(other.scores(images), ref)
    same(network.scores(images), ref)


def test_packing_is_a_copy():
    """Training on does not change a network that was packed before."""
    for plan in (FCNN, CNN):
        network, model, images = packed_case(plan, 1)
        ref = model.scores(images)
        for value in model.arrays().values():
            value[...] = -value
        for layer in model.weighted:
            layer.words[:] = 0
        same(network.scores(images), ref)


def flipped(network, i):
    """The words of layer i with a bit set past its last feature."""
    words = network.layers[i].words.copy()
    words[0, ..., -1] |= np.uint64(1 << 63)
    return {i: words}


BAD = {
    "padding bit": (lambda n: n.with_words(flipped(n, 1)), ValueError,
                    r"layers\[1\] words must have 0 in every padding"),
    "dtype": (lambda n: n.with_words({0: n.layers[0].words.astype(np.int64)}), TypeError,
              "dtype uint64, got int64"),
    "units": (lambda n: n.with_words({0: n.layers[0].words[:9]}), ValueError,
              r"layers\[0\] words must have shape"),
    "another layer's": (lambda n: n.with_words({0: n.layers[1].words}), ValueError,
                        r"layers\[0\] words must have shape"),
    "layers": (lambda n: PackedNetwork(n.layers[::-1], n.input_shape), ValueError, r"layers\[0\]"),
    "no layers": (lambda n: PackedNetwork([], n.input_shape), ValueError, "layers must be .* one at least, got none"),
    "one layer": (lambda n: PackedNetwork(n.layers[0], n.input_shape), TypeError, "a sequence of PackedLayer"),
    "a model's layers": (lambda n: PackedNetwork([object()], n.input_shape), TypeError,
                         r"layers\[0\] must be a PackedLayer, got object: bnnsim.pack makes a network of"),
    "shape": (lambda n: PackedNetwork(n.layers, (1, 5, 4)), ValueError, "n_in must be 20"),
    "offset": (lambda n: PackedNetwork(n.layers, n.input_shape, 256), ValueError,
               "input_offset must be in"),
    "metadata": (lambda n: PackedNetwork(n.layers, n.input_shape, 0, {"a": 1}), TypeError,
                 "str to str"),
    "float images": (lambda n: n.scores(np.zeros((2, 1, 4, 4))), TypeError, "np.round.images . 255"),
    "image size": (lambda n: n.scores(np.zeros((2, 1, 4, 5), np.uint8)), ValueError, "must have shape"),
    "one image": (lambda n: n.predict(np.zeros((1, 4, 4), np.uint8)), ValueError, "must have shape"),
}


@pytest.mark.jit_off
@pytest.mark.parametrize("row", BAD)
def test_bad_input(row):
    call, error, message = BAD[row]
    with pytest.raises(error, match=message):
        call(packed_case(FCNN)[0])


@pytest.mark.jit_off
def test_a_layer_of_another_kind_cannot_be_packed():
    """A user's own layer: better no network than a wrong one."""
    class Mine(layers.InputDense):
        pack_into = Weighted.pack_into                          # it does not say how

    model = Sequential([Mine((1, 2, 2), 3, 0, np.random.default_rng(0)), layers.BatchNorm(3)], (1, 2, 2))
    with pytest.raises(TypeError, match="cannot pack a layer of type Mine"):
        packing.pack(model)


def test_the_stored_bits_cannot_be_changed_behind_the_networks_back():
    """What is laid out for the kernels and the checksum would go stale: with_words makes a new network."""
    network, _, _ = packed_case(CNN, 3)
    for name in ("words", "threshold", "inverted"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(network.layers[0], name)[0] = 0
