"""Layers of any geometry in training: forward, gradients and packing, against tap-by-tap sums."""

import naive
import naive_geometry
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import bnnsim
from bnnsim.training.layers import (BatchNorm, BatchNormSign, Conv2d, Dense, Flatten, InputConv2d, MaxPool2d,
                                    SumPositions)
from bnnsim.training.gradients import scattered
from bnnsim.training.model import Sequential

few = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@st.composite
def convolutions(draw):
    """(settings, height, width, channels, units, kernel) that fit."""
    groups = draw(st.sampled_from([1, 1, 2, 3, 66]))
    channels = groups * (1 if groups == 66 else draw(st.sampled_from([1, 3, 64])))
    units = groups * (1 if groups == 66 else draw(st.integers(1, 7)))
    kernel, stride, dilation = (tuple(draw(st.integers(1, 3)) for _ in range(2)) for _ in range(3))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(4))
    least = [max(1, d * (k - 1) + 1 - a - b) for d, k, a, b in zip(dilation, kernel, padding[:2], padding[2:])]
    height, width = (size + draw(st.integers(0, 5)) for size in least)
    chosen = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups,
              "pad_value": draw(st.sampled_from(["zero", "plus", "minus", "replicate"]))}
    return chosen, height, width, channels, units, kernel


def arguments(chosen):
    value = {"zero": 0, "plus": 1, "minus": -1}.get(chosen["pad_value"], 0)
    return (chosen["stride"], chosen["padding"], value, chosen["pad_value"] == "replicate", chosen["dilation"],
            chosen["groups"])


NARROW = {"stride": (1, 1), "padding": (0,) * 4, "dilation": (1, 1), "groups": 66, "pad_value": "zero"}


@pytest.mark.parametrize("precision", ["fixed16", "float32"])
@few
@example((NARROW, 3, 1, 66, 66, (1, 1)), False, 0)              # six inputs of more rows than their taps reach
@given(convolutions(), st.booleans(), st.integers(0, 2**32 - 1))
def test_gradients(precision, convolution, pixels, seed):
    chosen, height, width, channels, units, kernel = convolution
    rng, n = np.random.default_rng(seed), 2
    if pixels:
        layer = InputConv2d(channels, units, kernel, **chosen, offset=90, generator=rng)
        x = rng.integers(0, 256, (n, channels, height, width), dtype=np.uint8)
        values = np.moveaxis(x.astype(int), 1, 3) - 90
    else:
        layer = Conv2d(channels, units, kernel, **chosen, generator=rng)
        values = rng.choice([-1, 1], (n, height, width, channels))
        x = naive.pack(values)
    weight = np.where(layer.parameters["weight"] >= 0, 1, -1)
    h, cache = layer.forward_train(x)
    np.testing.assert_array_equal(h, naive_geometry.conv(values, weight, *arguments(chosen)))
    dh = rng.integers(-5, 6, h.shape).astype(np.float32)
    dh.reshape(-1, units)[0] = 32767                            # steps of one: 16 bits hold these exactly
    dh.reshape(n, -1)[:, 0] = 32767
    dx, gradients = layer.backward(dh, cache, precision)
    wanted_dx, wanted = naive_geometry.conv_gradients(values, weight, dh, *arguments(chosen))
    largest = np.abs(wanted).max() + 1
    np.testing.assert_allclose(gradients["weight"], wanted, rtol=1e-6, atol=2e-6 * largest)
    if pixels:
        assert dx is None
    else:
        np.testing.assert_allclose(dx, wanted_dx, rtol=1e-6, atol=2e-6 * (np.abs(wanted_dx).max() + 32767))


pools = st.tuples(st.tuples(st.integers(1, 4), st.integers(1, 4)), st.tuples(st.integers(1, 4), st.integers(1, 4)))


@few
@given(pools, st.integers(0, 2**32 - 1))
def test_max_pools(sizes, seed):
    (size, stride), rng = sizes, np.random.default_rng(seed)
    padding = tuple(int(rng.integers(0, k)) for k in size * 2)
    h = rng.integers(-3, 4, (2, size[0] + rng.integers(0, 6), size[1] + rng.integers(0, 6), 18)).astype(np.int32)
    layer = MaxPool2d(size, stride, padding)
    out, cache = layer.forward_train(h)
    np.testing.assert_array_equal(out, naive_geometry.pool(h, size, stride, padding))
    dout = rng.integers(-9, 10, out.shape).astype(np.float32)
    np.testing.assert_array_equal(scattered(layer.backward(dout, cache)[0]),
                                  naive_geometry.pool_gradient(h, dout, size, stride, padding))


def test_sums_over_positions():
    rng = np.random.default_rng(0)
    h = rng.integers(-9, 10, (3, 4, 5, 6)).astype(np.int32)
    layer = SumPositions()
    out, cache = layer.forward_train(h)
    np.testing.assert_array_equal(out, h.sum(axis=(1, 2)))
    dout = rng.standard_normal(out.shape).astype(np.float32)
    dh = layer.backward(dout, cache)[0]
    assert all(np.array_equal(dh[:, i, j], dout) for i in range(4) for j in range(5))


@pytest.mark.parametrize("first", [(2, 2, 0), (3, 2, 0), ((1, 2), 1, 0), (2, 3, 0), (3, 2, (1, 0, 0, 2))])
@pytest.mark.parametrize("then", [(2, 2, 0), ((2, 1), (1, 3), 0)])
def test_pools_of_pools_are_one(first, then):
    rng = np.random.default_rng(1)
    conv = InputConv2d(1, 3, (2, 2), padding=0, offset=0, generator=rng)
    layers = [conv, MaxPool2d(*first), MaxPool2d(*then), BatchNormSign(3)]
    shape = (1, 14, 15)
    for layer in layers:
        shape = layer.output_shape(shape)
    model = Sequential([*layers, Flatten(3), Dense(int(np.prod(shape)), 4, rng), BatchNorm(4)], (1, 14, 15))
    if first[2] or first[:2] == (2, 3):
        with pytest.raises(ValueError, match="two max-pools in a row"):
            bnnsim.pack(model)
        return
    images = rng.integers(0, 256, (20, 1, 14, 15), dtype=np.uint8)
    np.testing.assert_array_equal(bnnsim.pack(model).scores(images), model.scores(images))


SPECS = {
    "1-D": ("C8k1x7p0x3 MP1x2 C12k1x5s1x2p0x2d1x2 MP1x3s1x2 C5k1x3 SUM", (2, 1, 60)),
    "the papers' authors' VGG3": ("C6rep MP2 C8rep MP2 FC20 FC4", (1, 14, 14)),
    "BinaryAlexNet's first": ("C8k11s4same MP3s2 C10k5same MP3s2 FC30 FC5", (3, 47, 45)),
    "depthwise": ("C64 C64g64 MP2 C32k1p0 C32g32s2 FC6", (1, 14, 14)),
    "groups": ("C70g1 C140g70plus C6g2d2x1p1x0x2x1 MP3s2p1 FC4", (1, 13, 12)),
    "global sum": ("C16 MP2same C4minus SUM", (1, 9, 9)),
}


@pytest.mark.parametrize("name", SPECS)
def test_networks_of_any_geometry_train_and_pack(name, tmp_path):
    """A few steps move the weights; the packed network gives the trained one's scores, from its file too."""
    spec, shape = SPECS[name]
    rng = np.random.default_rng(0)
    model = bnnsim.architectures.build(spec, shape, 100, rng=0)
    before = model.arrays()
    before = {key: value.copy() for key, value in before.items() if key.endswith("weight")}
    images = rng.integers(0, 256, (128, *shape), dtype=np.uint8)
    split = bnnsim.Split(images, images.reshape(128, -1).mean(1).argsort().argsort() * model.n_classes // 128, "noise")
    history = bnnsim.fit(model, split, epochs=2, batch_size=32, rng=0)
    assert np.isfinite(history.loss).all()
    assert all((model.arrays()[key] != value).mean() > 0.5 for key, value in before.items())
    network = bnnsim.pack(model)
    np.testing.assert_array_equal(network.scores(images), model.scores(images))
    network.save(tmp_path / "n.h5")
    again = bnnsim.PackedNetwork.load(tmp_path / "n.h5")
    np.testing.assert_array_equal(again.scores(images), network.scores(images))
    assert again.checksum == network.checksum
    swept = bnnsim.sweep(network, split, [0, 0.02], 2, 0, predictions=True)
    for t in range(2):
        broken = bnnsim.faults.BitFlips(0.02).apply(network, 0, t)
        assert np.mean(broken.predict(images) == split.labels) == swept.accuracy[0, 1, t]


@pytest.mark.parametrize("word", ["C", "C8k", "C8k3x3x3", "C8q2", "C8same2", "C8p1p1", "MP2k3", "FC3s2", "SUM2",
                                  "C8g2x2"])
def test_words_that_are_none_are_refused(word):
    with pytest.raises(ValueError, match="spec must be a list of C<channels>.* got"):
        bnnsim.architectures.build(f"{word} FC3", (1, 8, 8))


@pytest.mark.parametrize("spec", ["C8 SUM FC3", "FC3 SUM", "SUM", "MP2 FC3", "C8"])
def test_sums_and_pools_stand_where_they_may(spec):
    with pytest.raises(ValueError, match="spec must|SUM must"):
        bnnsim.architectures.build(spec, (1, 8, 8))
