"""Layers of ternary weights: the quantiser, gradients against their definition, training, checkpoints."""

import copy

import naive
import naive_geometry
import naive_ternary
import numpy as np
import pytest
import training_run
from graph_models import MODELS
from hypothesis import given
from hypothesis import strategies as st
from kernel_calls import in_threads
from training_run import run, small_model, small_split, state

import bnnsim.training.layers as layers
import bnnsim.training.layers.ternary as ternary
from bnnsim.faults import AsymmetricFlips, BitFlips, PairDevices
from bnnsim.packed.network import PackedNetwork
from bnnsim.training.model import Sequential
from bnnsim.training.optimizers import Adam, Sgd
from bnnsim.training.packing import pack
from bnnsim.training.ternary_weights import with_ternary_weights


def rng_of(*seed):
    return np.random.default_rng(seed)


def twice(x):
    return np.repeat(x, 2, axis=-1)


def close(came, wanted, values):
    """Within fixed point: a gradient is rounded once to 16 bits of its largest."""
    assert came.shape == wanted.shape and came.dtype == np.float32
    assert np.abs(came - wanted).max() <= 1e-4 * (np.abs(wanted).max() + np.abs(values).max())


# ---------------------------------------------------------------- the quantiser

@pytest.mark.tiny
@pytest.mark.jit_off
@pytest.mark.parametrize("dead_zone", [0, 0.3, 0.7, 5])
@pytest.mark.parametrize("n_features", [1, 33, 64, 70])
def test_weights_are_quantised_as_defined(dead_zone, n_features):
    layer = layers.Ternary(layers.Dense(n_features, 3, rng_of(n_features)), dead_zone)
    layer.parameters["weight"][0] = rng_of(1).uniform(-1, 1, n_features)
    layer.refresh()
    wanted = naive_ternary.quantised(layer.parameters["weight"], dead_zone)
    np.testing.assert_array_equal(layer.levels(), wanted)
    np.testing.assert_array_equal(layer.words, naive.pack(naive_ternary.stored(wanted)))


@pytest.mark.parametrize("block", [1, 100, 1000])
def test_weights_are_quantised_in_blocks_in_any_thread(block, monkeypatch):
    layer = layers.Ternary(layers.Conv2d(33, 17, generator=rng_of(2)))
    wanted, latent = layer.words, layer.parameters["weight"]
    monkeypatch.setattr(ternary, "BLOCK", block)
    np.testing.assert_array_equal(in_threads(lambda: ternary.quantised(latent, 0.7)), wanted)


@given(st.integers(0, 2**20), st.floats(0, 2))
def test_laws_of_the_quantiser(seed, dead_zone):
    """Odd but for ties, of no size, and with the more zeros the wider the dead zone."""
    layer = layers.Ternary(layers.Dense(33, 3, rng_of(seed)), dead_zone)
    first = layer.levels()
    layer.parameters["weight"] *= -1
    layer.refresh()
    np.testing.assert_array_equal(layer.levels(), -first)
    layer.parameters["weight"] *= -4
    layer.refresh()
    np.testing.assert_array_equal(layer.levels(), first)
    layer.dead_zone = dead_zone * 1.5
    layer.refresh()
    assert (np.abs(layer.levels()) <= np.abs(first)).all()


@pytest.mark.parametrize("spec", ["FC20 FC10", "C4 MP2 C6 FC20 FC10"])
def test_without_a_dead_zone_it_is_the_binary_network(spec):
    """Sums are twice as large: with Logits scores are, and classes are the same."""
    binary = small_model(spec)
    binary.layers[-1] = layers.Logits(10)
    binary = Sequential(binary.layers, binary.input_shape)
    doubled, images = with_ternary_weights(binary, 0), small_split(60).images
    for norm in doubled.layers:
        if isinstance(norm, layers.BatchNormSign):
            norm.running["mean"] *= 2
    np.testing.assert_array_equal(doubled.scores(images), 2 * binary.scores(images))


# ---------------------------------------------------------------- gradients

@pytest.mark.parametrize("n_features, units, n", [(1, 1, 1), (33, 5, 3), (64, 7, 2), (70, 3, 5)])
def test_dense_gradients(n_features, units, n):
    """dW = dH^T X of the inputs that are read twice; dX of both readings, whose sum is dH (2 W)."""
    rng = rng_of(n_features)
    layer, both = layers.Ternary(layers.Dense(n_features, units, rng)), layers.Twice(n_features)
    x, dh = rng.choice([-1, 1], (n, n_features)), rng.normal(size=(n, units)).astype(np.float32)
    weight = 2 * layer.levels().astype(float)
    read, read_cache = both.forward_train(naive.pack(x))
    np.testing.assert_array_equal(read, naive.pack(twice(x)))
    h, cache = layer.forward_train(read)
    np.testing.assert_array_equal(h, x @ weight.T)
    np.testing.assert_array_equal(layer.forward(read), h)
    dx, found = layer.backward(dh, cache)
    close(found["weight"], dh.T.astype(float) @ x, dh)
    dx, nothing = both.backward(dx, read_cache)
    close(dx, dh.astype(float) @ weight, dh)
    assert nothing == {}


@pytest.mark.parametrize("settings", [{}, {"groups": 2, "stride": 2}, {"padding": 2, "dilation": 2},
                                      {"pad_value": "plus", "kernel": (1, 3)}, {"pad_value": "replicate"}],
                         ids=lambda settings: "-".join(settings) or "plain")
@pytest.mark.parametrize("channels", [4, 34])
def test_conv_gradients(channels, settings):
    rng = rng_of(channels)
    layer, both = layers.Ternary(layers.Conv2d(channels, 6, **settings, generator=rng)), layers.Twice(channels)
    x = rng.choice([-1, 1], (2, 5, 6, channels))
    read, read_cache = both.forward_train(naive.pack(x))
    h, cache = layer.forward_train(read)
    of, weight = layer.of, 2 * layer.levels().astype(np.int64)
    geometry = (of.stride, of.padding, of.pad_value, of.replicate, of.dilation, of.groups)
    np.testing.assert_array_equal(h, naive_geometry.conv(x, weight, *geometry))
    assert h.shape[1:] == layer.output_shape((5, 6, 2 * channels))
    dh = rng.normal(size=h.shape).astype(np.float32)
    wanted_dx, wanted = naive_geometry.conv_gradients(x, weight, dh.astype(float), *geometry)
    dx, found = layer.backward(dh, cache)
    close(found["weight"], wanted, dh)
    close(both.backward(dx, read_cache)[0], wanted_dx, dh)


@pytest.mark.parametrize("offset", [0, 128])
def test_gradients_of_layers_of_pixels(offset):
    rng = rng_of(offset)
    images = rng.integers(0, 256, (3, 2, 4, 5), np.uint8)
    x = images.transpose(0, 2, 3, 1).astype(np.int64) - offset
    both = layers.InputTwice(2)
    for of in (layers.InputDense((2, 4, 5), 6, offset, rng), layers.InputConv2d(2, 6, offset=offset, generator=rng)):
        layer = layers.Ternary(of)
        assert layer.offset == offset and layer.takes == both.gives == "pixels"
        read, read_cache = both.forward_train(images)
        h, cache = layer.forward_train(read)
        dh, weight = rng.normal(size=h.shape).astype(np.float32), 2 * layer.levels().astype(np.int64)
        if h.ndim == 2:
            wanted_h, wanted = x.reshape(3, -1) @ weight.T, dh.T.astype(float) @ x.reshape(3, -1)
        else:
            geometry = (1, 1), (1, 1, 1, 1)
            wanted_h = naive_geometry.conv(x, weight, *geometry)
            wanted = naive_geometry.conv_gradients(x, weight, dh.astype(float), *geometry)[1]
        np.testing.assert_array_equal(h, wanted_h)
        dx, found = layer.backward(dh, cache)
        close(found["weight"], wanted, dh)
        assert dx is None and both.backward(dh, read_cache) == (None, {})


def test_a_wrong_gradient_is_noticed(monkeypatch):
    """That of the second reading alone, which is of other inputs where the first is not taken."""
    monkeypatch.setattr(layers.Twice, "backward", lambda self, dout, cache: (2 * dout[..., ::2], {}))
    with pytest.raises(AssertionError):
        test_dense_gradients(70, 3, 5)


def test_the_native_gradient_sees_both_devices():
    """Of W = (Ma a + Mb b) / 2: a weight with one wrong bit has no gradient, one with two its negative."""
    rng = rng_of(4)
    layer, x = layers.Ternary(layers.Dense(70, 3, rng)), rng.choice([-1, 1], (5, 70))
    wrong = rng.random((3, 140)) < 0.4
    mask = naive.pack(np.where(wrong, 1, -1))
    dh = rng.normal(size=(5, 3)).astype(np.float32)
    cache = layer.forward_train(naive.pack(twice(x)), layer.words ^ mask, mask)[1]
    factor = 1 - wrong[:, ::2].astype(int) - wrong[:, 1::2]
    close(layer.backward(dh, cache)[1]["weight"], factor * (dh.T.astype(float) @ x), dh)


@pytest.mark.parametrize("optimizer", [Adam(0.01), Sgd(0.1)])
def test_updating_in_parts_gives_the_same_bytes(optimizer):
    images, labels = (part[:30] for part in (small_split(60).images, small_split(60).labels))
    found = []
    for in_parts in (True, False):
        model, own = with_ternary_weights(small_model("C4 MP2 FC20 FC10")), copy.deepcopy(optimizer)
        for step in range(1, 4):
            scores, caches = model.forward_train(images)
            dscores = (scores / 100 - np.eye(10)[labels]).astype(np.float32)
            if in_parts:
                model.backward_update(dscores, caches, own, 1.0, step)
            else:
                model.update(model.backward(dscores, caches), own, 1.0, step)
        found.append(model)
    for name, value in found[0].arrays().items():
        np.testing.assert_array_equal(value, found[1].arrays()[name])
    for one, other in zip(found[0].weighted, found[1].weighted):
        np.testing.assert_array_equal(one.words, other.words)


# ---------------------------------------------------------------- training

SETTINGS = [{}, {"flip_rate": 0.0, "faults": PairDevices(AsymmetricFlips(0.02, 0.1)), "gradient": "native"},
            {"precision": "float32", "gradient": "straight-through"}]


@pytest.mark.parametrize("settings", SETTINGS, ids=["plain", "devices", "float32"])
@pytest.mark.parametrize("spec", ["C4 MP2 FC20 FC10", "FC20 FC10"])
def test_the_packed_network_is_the_trained_one(spec, settings, tmp_path):
    """Classes and scores on every image, also from its file; and what a fault makes of it."""
    binary = small_model(spec)
    before = {name: value.copy() for name, value in binary.arrays().items()}
    model, _ = run(model=with_ternary_weights(binary), train=small_split(120), **settings)
    for name, value in binary.arrays().items():
        np.testing.assert_array_equal(value, before[name])       # it stays as it is
    network, images = pack(model), small_split(400, 7).images
    assert all(set(np.unique(layer.levels())) == {-1, 0, 1} for layer in model.weighted)
    np.testing.assert_array_equal(network.scores(images), model.scores(images))
    network.save(tmp_path / "t.h5")
    np.testing.assert_array_equal(PackedNetwork.load(tmp_path / "t.h5").scores(images), model.scores(images))
    wanted = naive_ternary.evaluate(network.nodes, images[:50], network.input_offset)
    np.testing.assert_array_equal(network.scores(images[:50]), wanted)
    broken = BitFlips(0.2).apply(network, 3)
    for layer, stored in zip(model.weighted, broken.layers):
        layer.words = stored.words.copy()
    np.testing.assert_array_equal(model.scores(images), broken.scores(images))


def test_a_resumed_training_gives_the_same_bytes(tmp_path, monkeypatch):
    def model():
        return with_ternary_weights(small_model("C4 MP2 FC20 FC10"))

    wanted = state(*run(model=model()))
    with monkeypatch.context() as patch:
        training_run.interrupt_at(patch, 3, training_run.stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            run(tmp_path / "c.h5", model())
    assert state(*run(tmp_path / "c.h5", model(), resume=True)) == wanted


def test_some_layers_of_a_graph():
    """A ternary convolution of a residual network; the memory has two bits of each of its weights, one of others'."""
    model, images = MODELS["residual"](), small_split(40).images
    mixed = with_ternary_weights(model, layers=[1])
    assert [layer.n_bits for layer in mixed.weighted] == [layer.n_bits * (1 + (i == 1)) for i, layer in
                                                          enumerate(model.weighted)]
    np.testing.assert_array_equal(pack(mixed).scores(images), mixed.scores(images))
    PairDevices(AsymmetricFlips(0.1, 0.2), layers=[1]).apply(pack(mixed), 1).scores(images)


REFUSED = [
    (lambda: layers.Ternary(layers.Sign(3)), TypeError, "of must be a Dense, InputDense, Conv2d or InputConv2d"),
    (lambda: layers.Ternary(layers.Ternary(layers.Dense(3, 2, rng_of(0)))), TypeError, "got Ternary"),
    (lambda: layers.Ternary(layers.Dense(3, 2, rng_of(0)), -0.1), ValueError, "dead_zone must be"),
    (lambda: layers.Ternary(layers.Dense(3, 2, rng_of(0)), np.nan), ValueError, "dead_zone must be"),
    (lambda: layers.Twice(0), ValueError, "n_channels must be"),
    (lambda: layers.Twice(65).forward(np.zeros((2, 1), np.uint64)), ValueError, "input of Twice"),
    (lambda: layers.InputTwice(1).forward(np.zeros((2, 1, 3, 3))), TypeError, "input of InputTwice"),
    (lambda: layers.Ternary(layers.Dense(33, 2, rng_of(0))).forward(np.zeros((2, 1), np.uint64)), ValueError,
     "input of Dense must have"),
    (lambda: with_ternary_weights(pack(small_model("FC20 FC10"))), TypeError, "model must be a Sequential or a Graph"),
    (lambda: with_ternary_weights(small_model("FC20 FC10"), layers=[2]), ValueError, "layers must be in"),
    (lambda: with_ternary_weights(small_model("FC20 FC10"), layers=0), TypeError,
     "layers must be a sequence of numbers of layers of bits, such as [0, 1], or None for all, got 0 of type int"),
    (lambda: with_ternary_weights(small_model("FC20 FC10"), layers=[]), ValueError, "one at least, got none"),
    (lambda: with_ternary_weights(small_model("C4 C10 SUM")), ValueError,
     "SumPositions, must stand between the last convolution"),
    (lambda: with_ternary_weights(with_ternary_weights(small_model("FC20 FC10"))), TypeError, "got Ternary")]


@pytest.mark.parametrize("call, error, message", REFUSED, ids=[message for *_, message in REFUSED])
def test_refused(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
