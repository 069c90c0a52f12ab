"""Certificates against enumeration: never too large, exact at the last layer, and not the trivial 0."""

import itertools
import math

import naive_flips
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_calls import in_threads

import bnnsim.proofs.attack as attack
import bnnsim.proofs.bounds as bounds
import bnnsim.proofs.certificates as certificates
from bnnsim.kernels import are_compiled
from bnnsim.packed.network import PackedNetwork
from bnnsim.proofs.certificates import Certificates, certified_flips

pytestmark = pytest.mark.jit_off
MOST_SETS = 3000                    # enumerated for one image


def dense(units, n_in, rng, low=-3, high=4):
    return {"weight": rng.choice([-1, 1], (units, n_in)), "threshold": rng.integers(low, high, units),
            "inverted": rng.random(units) < 0.4}


def conv(units, kernel, channels, rng, reach=3, **settings):
    weight = rng.choice([-1, 1], (units, *kernel, channels))
    return {**dense(units, 1, rng, -reach, reach + 1), "weight": weight, "order": "HWC", **settings}


def output(units, n_in, rng, norm):
    """Scores with scales of both signs and 0; too large for float64 to resolve a flip; integer logits, with ties."""
    layer = {"weight": rng.choice([-1, 1], (units, n_in))}
    if norm != "none":
        layer |= {"gamma": rng.normal(0, 1, units) * (rng.random(units) < 0.9), "beta": rng.normal(0, 1, units),
                  "mean": rng.integers(-3, 4, units) / 2, "var": np.exp(rng.normal(0, 1, units)), "eps": 1e-5}
    if norm == "large":
        layer["beta"] += 2e16 / rng.choice([1, 8])
    return layer


# name: (input shape, layers of a generator and whether to normalise the output)
SHAPES = {
    "one layer": ((1, 1, 5), lambda rng, norm: [output(3, 5, rng, norm)]),
    "one hidden": ((1, 1, 3), lambda rng, norm: [dense(6, 3, rng, -200, 200), output(3, 6, rng, norm)]),
    "two hidden": ((1, 1, 3), lambda rng, norm: [dense(5, 3, rng, -200, 200), dense(3, 5, rng),
                                                 output(2, 3, rng, norm)]),
    "three hidden": ((1, 1, 2), lambda rng, norm: [dense(5, 2, rng, -200, 200), dense(4, 5, rng), dense(3, 4, rng),
                                                   output(2, 3, rng, norm)]),
    "conv last": ((1, 2, 3), lambda rng, norm: [conv(2, (2, 2), 1, rng, 200, padding=1, pad_value=-1, pool=2),
                                                output(3, 4, rng, norm)]),
    "conv, dense": ((1, 3, 3), lambda rng, norm: [conv(2, (2, 2), 1, rng, 200, padding=1), dense(2, 32, rng),
                                                  output(2, 2, rng, norm)]),
    "two convs": ((1, 3, 3), lambda rng, norm: [conv(3, (1, 2), 1, rng, 200, padding=1), conv(
        2, (2, 2), 3, rng, padding=1, pool=2), output(2, 12, rng, norm)]),
    "strides": ((2, 4, 4), lambda rng, norm: [conv(2, (2, 1), 2, rng, 200, stride=2), conv(
        2, (2, 2), 2, rng, padding=1, pad_value=1), dense(3, 18, rng), output(2, 3, rng, norm)]),
    "overlapping pools": ((1, 4, 3), lambda rng, norm: [
        conv(2, (2, 1), 1, rng, 200, dilation=(2, 1), padding=(1, 0, 1, 2), pool=(2, 3), pool_stride=(1, 2),
             pool_padding=(1, 0, 0, 2)), conv(2, (1, 2), 2, rng, pool=(2, 2), pool_stride=1, pool_padding=1),
        output(3, 30, rng, norm)]),
    "windows apart": ((1, 5, 4), lambda rng, norm: [
        conv(3, (1, 2), 1, rng, 200, pool=(1, 2), pool_stride=(2, 1)),
        conv(2, (2, 2), 3, rng, stride=(1, 2), pool=1, pool_stride=(2, 1)), output(2, 2, rng, norm)]),
    "replicated": ((1, 2, 2), lambda rng, norm: [
        conv(2, (2, 2), 1, rng, 200, padding=(1, 0, 0, 1), replicate=True), conv(
            2, (3, 2), 2, rng, padding=(2, 1, 1, 0), replicate=True, dilation=(1, 2)), output(2, 6, rng, norm)]),
    "replicated thrice": ((1, 1, 2), lambda rng, norm: [
        conv(3, (1, 1), 1, rng, 200), conv(2, (1, 4), 3, rng, 6, padding=(0, 3, 0, 3), replicate=True), dense(
            2, 10, rng), output(2, 2, rng, norm)]),
    "groups": ((4, 2, 2), lambda rng, norm: [
        conv(4, (2, 1), 2, rng, 300, groups=2, padding=(1, 0, 0, 0)), conv(4, (2, 2), 1, rng, groups=4, pool=(1, 1)),
        output(3, 4, rng, norm)]),
    "groups of groups": ((1, 2, 3), lambda rng, norm: [
        conv(6, (1, 1), 1, rng, 200), conv(4, (1, 2), 3, rng, groups=2), dense(2, 16, rng), output(2, 2, rng, norm)]),
}


NORMS = st.sampled_from(("none", "plain", "plain", "large"))


def case(shape, seed, norm="plain"):
    """(network, images): thresholds of the first layer lie among the sums that these images give."""
    rng = np.random.default_rng(seed)
    input_shape, build = SHAPES[shape]
    offset = int(rng.choice([0, 3, 128]))
    images = rng.integers(0, 256, (2, *input_shape), np.uint8)
    images[0] = rng.integers(0, 5, input_shape)                  # small pixels: 0 and equal magnitudes occur
    return PackedNetwork.from_arrays(build(rng, norm), input_shape, offset), images


def most_flips(n_bits):
    """The largest set size up to which all sets can be enumerated."""
    counts = itertools.accumulate(math.comb(n_bits, k) for k in range(1, n_bits + 1))
    return sum(count <= MOST_SETS for count in counts)


@pytest.mark.tiny
@settings(max_examples=12 if are_compiled() else 4)
@given(st.sampled_from(sorted(SHAPES)), st.integers(0, 2**20), NORMS, st.booleans())
def test_no_set_within_a_layers_certificate_changes_the_class(shape, seed, norm, singles):
    """All sets of flips of each layer are tried, up to some thousand: a certificate that is too large is a lie."""
    network, images = case(shape, seed, norm)
    found, layers = certified_flips(network, images, singles), naive_flips.of_packed(network)
    for n, image in enumerate(images):
        assert found.predictions[n] == naive_flips.classes(layers, image, network.input_offset)[0]
        for i, layer in enumerate(network.layers):
            most = most_flips(layer.n_bits)
            smallest = naive_flips.smallest_break(layers, image, network.input_offset, i, most)
            assert smallest > min(found.layers[n, i], most), (shape, n, i)
            if i == len(layers) - 1 and smallest <= most:        # exact, also where ties decide
                assert found.layers[n, i] == smallest - 1
            if i == len(layers) - 1 and most == layer.n_bits < smallest:
                assert found.layers[n].tolist() == [other.n_bits for other in network.layers]
            if singles and layer.words.ndim == 4:
                assert (found.layers[n, i] >= 1) == (smallest > 1)


@settings(max_examples=30 if are_compiled() else 4)
@given(st.sampled_from(sorted(SHAPES)), st.integers(0, 2**20), NORMS, st.booleans())
def test_no_set_within_the_whole_certificate_changes_the_class(shape, seed, norm, singles):
    """Sets over all layers at once: every small one, and random ones of the size certified."""
    network, images = case(shape, seed, norm)
    found, layers = certified_flips(network, images, singles), naive_flips.of_packed(network)
    rng = np.random.default_rng(seed)
    for n, image in enumerate(images):
        k = min(found.whole[n], network.n_bits)
        most = min(k, most_flips(network.n_bits))
        sets = [one for size in range(1, most + 1) for one in itertools.combinations(range(network.n_bits), size)]
        sets += [rng.choice(network.n_bits, k, replace=False).tolist() for _ in range(200)] if k else []
        if sets:
            classes = naive_flips.classes(layers, image, network.input_offset, naive_flips.of_whole(layers, sets))
            assert (classes == found.predictions[n]).all(), (shape, n, k)
        assert found.whole[n] <= found.layers[n, -1] or found.whole[n] == network.n_bits


def wide():
    """(network, images) with margins: three classes, each voted for by units that copy others."""
    first = np.array([[1] * 6 + [-1] * 12, [-1] * 6 + [1] * 6 + [-1] * 6, [-1] * 12 + [1] * 6])
    votes = np.eye(3, dtype=int) * 2 - 1
    layers = [{"weight": first.repeat(21, 0), "threshold": np.full(63, 900)},
              {"weight": votes.repeat(21, 1).repeat(20, 0), "threshold": np.tile(np.arange(20) - 10, 3)},
              {"weight": votes.repeat(20, 1)}]
    images = np.stack([np.where(row > 0, 200, 0).reshape(1, 3, 6) for row in first]).astype(np.uint8)
    return PackedNetwork.from_arrays(layers, (1, 3, 6), 100), images


def test_bounds_are_not_the_trivial_zero_and_a_larger_one_would_be_wrong():
    """What an adversary does here is plain: a bound far below it is useless, one above it is wrong."""
    network, images = wide()
    found, layers = certified_flips(network, images), naive_flips.of_packed(network)
    assert (found.layers >= [[74, 209, 39]]).all() and (found.whole >= 14).all()
    output = layers[2]["weight"]
    for n, image in enumerate(images):
        rival, k = int(n == 0), found.layers[n, 2] + 1
        differ = np.flatnonzero(output[rival] != output[n])
        numbers = [*(rival * 60 + differ), *(n * 60 + np.arange(60))][:k]
        breaks = [naive_flips.classes(layers, image, 100, {2: naive_flips.flipped(output, [numbers[:size]])})[0] != n
                  for size in range(k + 1)]
        assert breaks == [False] * k + [True]


def test_an_input_that_a_padding_repeats_counts_as_often_as_it_is_read():
    """One pixel, read by all four taps: its one flip changes four summands, not one of the three that are needed."""
    layers = [{"weight": np.ones((1, 1, 1, 1), int), "threshold": [1]},
              {"weight": np.ones((1, 1, 4, 1), int), "threshold": [0], "padding": (0, 3, 0, 0), "replicate": True,
               "order": "HWC"},
              {"weight": np.array([[1], [-1]])}]
    network, image = PackedNetwork.from_arrays(layers, (1, 1, 1)), np.full((1, 1, 1, 1), 100, np.uint8)
    assert network.with_words({0: np.zeros((1, 1, 1, 1), np.uint64)}).predict(image) == [1]
    found = certified_flips(network, image)
    assert found.layers[0, 0] == found.whole[0] == found.predictions[0] == 0


def no_scores(last):
    """A network whose last layer gives none, or sums over positions."""
    first = {"weight": np.ones((2, 1, 1, 1), int), "threshold": [0, 0]}
    return PackedNetwork.from_arrays([first, {"weight": np.ones((2, 1, 1, 2), int), "order": "HWC"} if last == "conv"
                                      else {"weight": np.ones((2, 2), int), "threshold": [0, 0]}], (1, 1, 1))


@pytest.mark.parametrize(("last", "came"), [("conv", "layer 1, the last, is a convolution"),
                                            ("thresholds", "layer 1, the last, has thresholds")])
@pytest.mark.parametrize("call", [certified_flips, lambda network, images: attack.breaking_flips(network, images, 0)])
def test_a_last_layer_without_scores_of_its_own_is_refused(call, last, came):
    """Before any work: images of another shape are not looked at."""
    with pytest.raises(ValueError, match=f"_flips needs a network whose last layer is dense and gives scores; {came}"):
        call(no_scores(last), None)


def test_blocks_and_threads_change_nothing(monkeypatch):
    network, images = case("strides", 3)
    images = np.concatenate([images] * 3)

    def run():
        found = certified_flips(network, images, True)
        return found.layers, found.whole

    ref = in_threads(run)
    monkeypatch.setattr(certificates, "BLOCK_IMAGES", 4)
    monkeypatch.setattr(bounds, "BLOCK_IMAGES", 4)
    monkeypatch.setattr(bounds, "SINGLE_IMAGES", 1)
    np.testing.assert_array_equal(run()[0], ref[0])
    np.testing.assert_array_equal(run()[1], ref[1])
    assert certified_flips(network, images[:0]).layers.shape == (0, 4)


def test_certified_accuracy():
    found = Certificates(np.array([[3, 5], [0, 2], [9, 9]]), np.array([2, 0, 9]), np.array([1, 1, 0]))
    labels = np.array([1, 1, 1])
    assert found.accuracy(labels, [0, 1, 2, 3]).tolist() == pytest.approx([2 / 3, 1 / 3, 1 / 3, 0])
    assert found.accuracy(labels, [2, 3], layer=-1).tolist() == pytest.approx([2 / 3, 1 / 3])
    assert found.flips(0).tolist() == [3, 0, 9]


def test_the_table_and_the_figure_say_the_same(tmp_path):
    found, labels = Certificates(np.array([[3, 5], [0, 2]]), np.array([2, 0]), np.array([1, 1])), np.array([1, 1])
    lines = found.table(labels, [0, 3]).splitlines()
    assert lines[1].split() == ["flips", "layer", "0", "layer", "1", "anywhere"]
    assert [line.split() for line in lines[2:]] == [["0", *["100.00"] * 3], ["3", "50.00", "50.00", "0.00"]]
    figure = found.plot(labels, tmp_path / "c.png", "two images")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG") and "two images" in figure.axes[0].get_title()


NETWORK, IMAGES = case("one hidden", 0)
FOUND = certified_flips(NETWORK, IMAGES)
BAD = [(lambda: certified_flips("fcnn.h5", IMAGES), TypeError, "network must be a PackedNetwork, .*got str"),
       (lambda: certified_flips(NETWORK, IMAGES / 255), TypeError, "images must be a uint8 array"),
       (lambda: certified_flips(NETWORK, IMAGES[..., :2]), ValueError, "images must have shape"),
       (lambda: certified_flips(NETWORK, IMAGES, shared="yes"), TypeError, "shared must be True or False, got 'yes'"),
       (lambda: certified_flips(NETWORK, IMAGES, singles=1), TypeError, "singles must be True or False, got 1"),
       (lambda: FOUND.accuracy([0], [1]), ValueError, "labels must have shape"),
       (lambda: FOUND.accuracy([0, 1], [-1]), ValueError, r"flips\[0\] must be >= 0"),
       (lambda: FOUND.accuracy([0, 1], 1), TypeError, "flips must be a sequence of numbers of flips, .* got 1 of type"),
       (lambda: FOUND.flips(2), ValueError, "layer must be in")]


@pytest.mark.parametrize("call, error, message", BAD)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
