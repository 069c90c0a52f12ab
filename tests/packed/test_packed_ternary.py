"""Packed ternary networks against integers -1, 0, +1 that read each input once: equal on every image, also broken."""

import naive
import naive_ternary
import numpy as np
import pytest
import random_networks
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_calls import in_threads

from bnnsim.faults import BitFlips
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.graph_schema import Node
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.operations import Twice
from bnnsim.packed.operations.pairs import first_of_pairs, paired
from bnnsim.training.layers import InputConv2d
from bnnsim.training.packing import pack
from bnnsim.training.ternary_weights import with_ternary_weights

FEATURES = (1, 31, 32, 33, 63, 64, 65, 96, 97, 130)


def pm1(rng, *shape):
    return rng.choice([-1, 1], shape)


@pytest.mark.tiny
@pytest.mark.jit_off
@pytest.mark.parametrize("n_features", FEATURES)
def test_bits_side_by_side_and_back(n_features):
    rng = np.random.default_rng(n_features)
    for shape in ((1,), (5,), (2, 3, 4)):
        first, second = (pm1(rng, *shape, n_features) for _ in range(2))
        wanted = np.stack([first, second], axis=-1).reshape(*shape, -1)
        words = in_threads(lambda: paired(naive.pack(first), naive.pack(second), n_features))
        np.testing.assert_array_equal(words, naive.pack(wanted))
        np.testing.assert_array_equal(in_threads(lambda: first_of_pairs(words, n_features)), naive.pack(first))


def test_pixels_twice():
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5), np.uint8)
    wanted = images[:, [0, 0, 1, 1, 2, 2]]
    np.testing.assert_array_equal(Twice(3).run(images), wanted)


def random_ternary(plan):
    """(model, images): latent weights of any size, thresholds that are met exactly."""
    model, images = random_networks.build(plan)
    model = with_ternary_weights(model, 0.7)
    random_networks.fill(model, images, np.random.default_rng(plan["seed"]))
    return model, images


@settings(max_examples=8)
@given(random_networks.plans())
def test_packed_is_naive_and_trained(plan):
    """Scores of the trained, the packed and the naive network, to the bit; broken too, with pairs of LRS and LRS."""
    model, images = random_ternary(plan)
    network = pack(model)
    np.testing.assert_array_equal(network.scores(images), model.scores(images))
    for read in (network, BitFlips(0.3).apply(network, 1)):
        wanted = naive_ternary.evaluate(read.nodes, images, network.input_offset)
        np.testing.assert_array_equal(in_threads(lambda: read.scores(images)), wanted)


def small(spec_layer, images, seed=0, classes=4):
    """A packed graph of one ternary convolution and ternary scores."""
    rng = np.random.default_rng(seed)
    c, height, width = images.shape[1:]
    g = spec_layer.output_shape((c, height, width) if spec_layer.takes == "pixels" else (height, width, c))
    levels = [rng.integers(-1, 2, spec_layer.parameters["weight"].shape), rng.integers(-1, 2, (classes, np.prod(g)))]
    stored = [PackedLayer("dense", 2, naive.pack(pm1(rng, 1, 2)))]
    spec_layer.pack_into(stored, None)
    fields = {name: getattr(stored[1], name) for name in ("stride", "padding", "pad_value", "dilation", "groups",
                                                          "replicate")}
    hidden = PackedLayer("conv", 2 * spec_layer.n_in, naive.pack(naive_ternary.stored(levels[0])), **fields,
                         threshold=rng.integers(-9, 9, g[2]).astype(np.int32), inverted=rng.random(g[2]) < 0.5)
    last = PackedLayer("dense", 2 * int(np.prod(g)), naive.pack(naive_ternary.stored(levels[1])),
                       mean=rng.normal(size=classes), scale=rng.normal(size=classes), shift=rng.normal(size=classes))
    nodes = [Node(Twice(c), (-1,)), Node(hidden, (0,)), Node(Twice(g[2]), (1,)), Node(last, (2,))]
    return PackedGraph(nodes, images.shape[1:], 7)


@pytest.mark.parametrize("settings", [
    {"groups": 2}, {"dilation": 2, "padding": 2}, {"pad_value": "replicate"}, {"pad_value": "plus", "stride": (1, 2)},
    {"kernel": (1, 3), "padding": (0, 2, 0, 1), "pad_value": "minus"}], ids=lambda settings: "-".join(settings))
def test_geometries(settings):
    images = np.random.default_rng(3).integers(0, 256, (5, 4, 5, 6), np.uint8)
    layer = InputConv2d(4, 6, **settings, offset=7, generator=np.random.default_rng(0))
    network = small(layer, images)
    np.testing.assert_array_equal(network.scores(images), naive_ternary.evaluate(network.nodes, images, 7))


def test_wrong_levels_are_noticed():
    """Two devices in LRS that read +1, not 0: a network without errors has no such pair, a broken one differs."""
    images = np.random.default_rng(3).integers(0, 256, (9, 2, 5, 6), np.uint8)
    network = small(InputConv2d(2, 6, offset=7, generator=np.random.default_rng(0)), images)
    wrong = {**naive_ternary.LEVEL, (1, 0): 1}
    np.testing.assert_array_equal(network.scores(images), naive_ternary.evaluate(network.nodes, images, 7, wrong))
    broken = BitFlips(0.3).apply(network, 1)
    assert (broken.scores(images) != naive_ternary.evaluate(broken.nodes, images, 7, wrong)).any()
    wrong = {**naive_ternary.LEVEL, (0, 1): -1}
    assert (network.scores(images) != naive_ternary.evaluate(network.nodes, images, 7, wrong)).any()


@given(st.integers(0, 2**20), st.sampled_from([2, 66, 130]), st.floats(0, 1))
def test_an_error_of_one_device_moves_a_weight_one_level(seed, n_in, rate):
    """Of each pair without errors: |change of the level| is the number of its wrong bits; two zeros' errors cancel."""
    rng = np.random.default_rng(seed)
    before = rng.integers(-1, 2, (3, n_in // 2))
    layer = PackedLayer("dense", n_in, naive.pack(naive_ternary.stored(before)))
    wrong = rng.random((3, n_in)) < rate
    after = naive_ternary.levels(layer.words ^ naive.pack(np.where(wrong, 1, -1)), n_in)
    n_wrong = wrong.reshape(3, -1, 2).sum(-1)
    np.testing.assert_array_equal(np.abs(after - before), np.where((before == 0) & (n_wrong == 2), 0, n_wrong))


def test_stored_files(tmp_path):
    images = np.random.default_rng(3).integers(0, 256, (9, 2, 5, 6), np.uint8)
    network = small(InputConv2d(2, 6, offset=7, generator=np.random.default_rng(0)), images)
    network.save(tmp_path / "ternary.h5")
    again = PackedNetwork.load(tmp_path / "ternary.h5")
    assert again.checksum == network.checksum and again.nodes[2].what.channels == 6
    np.testing.assert_array_equal(again.scores(images), network.scores(images))


REFUSED = [
    (lambda layer: [Node(Twice(3), (-1,)), Node(layer, (0,))], "nodes[0]: twice 3 channels cannot read (5, 6, 2)"),
    (lambda layer: [Node(Twice(0), (-1,)), Node(layer, (0,))], "nodes[0] channels must be in [1, 33554432], got 0"),
    (lambda layer: [Node(Twice("2"), (-1,)), Node(layer, (0,))], "nodes[0] channels must be an integer"),
    (lambda layer: [Node(Twice(2), (-1, -1)), Node(layer, (0,))], "the number of inputs of twice"),
    (lambda layer: [Node(layer, (-1,))], "n_in must be 60"),
    (lambda layer: [Node(Twice(2), (-1,)), Node(layer, (0,)), Node(Twice(4), (1,))], "twice reads bits or pixels")]


@pytest.mark.parametrize("nodes, message", REFUSED, ids=[message[:30] for _, message in REFUSED])
def test_refused(nodes, message):
    layer = PackedLayer("dense", 120, naive.pack(pm1(np.random.default_rng(0), 4, 120)), threshold=None,
                        mean=np.zeros(4), scale=np.ones(4), shift=np.zeros(4))
    if "reads bits" in message:
        layer = PackedLayer("dense", 120, layer.words)
    with pytest.raises((ValueError, TypeError)) as caught:
        PackedGraph(nodes(layer), (2, 5, 6))
    assert message in str(caught.value)
