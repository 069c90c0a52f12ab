"""`unpack`: a packed network becomes a model that computes the same, and learns on."""

import numpy as np
import pytest
from training_run import small_split

import bnnsim
from bnnsim.training.architectures import build
from bnnsim.training.fitting import fit
from bnnsim.training.layers import BatchNormSign, Logits
from bnnsim.training.packing import pack
from bnnsim.training.unpacking import unpack

SPECS = ["FC40 FC20 FC10", "C4 MP2 FC20 FC10", "C4k5x3s1x2d1p2 C6g2 MP3s2p1 FC10", "C5rep C10p0x1 SUM", "C4 C10 SUM"]


def trained(spec, **settings):
    """A packed network whose thresholds were learnt."""
    model = build(spec, (1, 6, 6), 128, rng=1, **settings)
    fit(model, small_split(300), 2, rng=1, batch_size=32, progress=False)
    return pack(model)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("output_norm", [True, False])
def test_it_computes_what_the_network_does(spec, output_norm):
    """Bits exactly, on images that it has not seen; scores up to rounding."""
    network = trained(spec, output_norm=output_norm)
    model, images = unpack(network, small_split(300)), small_split(200, 3).images
    again = pack(model)
    for one, two in zip(network.layers, again.layers):
        np.testing.assert_array_equal(one.words, two.words)
        if one.threshold is not None:
            np.testing.assert_array_equal(one.threshold, two.threshold)
            np.testing.assert_array_equal(one.inverted, two.inverted)
        assert {**one.fields(), **dict.fromkeys(one.ending), "words": 0} == {
            **two.fields(), **dict.fromkeys(one.ending), "words": 0}
    np.testing.assert_allclose(model.scores(images), network.scores(images), rtol=1e-11, atol=1e-11)
    assert isinstance(model.layers[-1], Logits) != output_norm
    if not output_norm:
        np.testing.assert_array_equal(model.scores(images), network.scores(images))


@pytest.mark.parametrize("spec", ["FC40 FC20 FC10", "C4 MP2 FC20 FC10"])
def test_statistics_are_those_of_all_images(spec, monkeypatch):
    """Variances of hidden pre-activations, batch by batch as in one go: the first steps are scaled by them."""
    network, split = trained(spec), small_split(50, 4)
    monkeypatch.setattr(bnnsim.Sequential, "evaluation_batch", 7)
    model = unpack(network, split)
    x, seen = split.images, 0
    for layer in model.layers[:-1]:
        if isinstance(layer, BatchNormSign):
            values = x.reshape(-1, x.shape[-1]).astype(np.float64)
            mean, square = values.sum(axis=0) / len(values), np.square(values).sum(axis=0) / len(values)
            np.testing.assert_array_equal(layer.running["variance"], np.maximum(square - mean * mean, layer.eps))
            seen += 1
        x = layer.forward(x)
    assert seen == len(network.layers) - 1


def test_training_begins_where_the_network_stands():
    """The first batches, on their own statistics, are as right as the network is; a new model's are not."""
    train, test = bnnsim.load_embedded()
    network = bnnsim.PackedNetwork.load(bnnsim.datasets.data_file("fashion_fcnn.h5"))
    part = train[:1500]
    model = unpack(network, part)
    assert np.mean(model.forward_train(part.images[:500])[0].argmax(1) == part.labels[:500]) > \
        network.accuracy(part) - 0.03
    history = fit(model, part, 1, rng=0, faults=bnnsim.faults.BitFlips(0.05), progress=False)
    assert history.loss[0] < 1.5 and pack(model).metadata["unpacked_from"] == network.checksum
    assert sum(history.flip_ratio[0]) < 0.01                    # +-0.1 is far from 0 in six steps


def test_small_latent_weights_flip_sooner():
    network, split = trained("FC40 FC20 FC10"), small_split(300, 4)
    ratio = []
    for latent in (0.002, 1.0):
        model = unpack(network, split, latent)
        assert {abs(float(w)) for layer in model.weighted for w in layer.parameters["weight"].ravel()} == {
            float(np.float32(latent))}
        ratio.append(np.mean(fit(model, split, 1, rng=0, batch_size=32, progress=False).flip_ratio[0]))
    assert ratio[0] > 0.01 and ratio[1] == 0


def test_thresholds_that_no_sum_reaches_stay_out_of_reach():
    """Units that are constant, beyond any sum and over images of one value."""
    from dataclasses import replace
    network = trained("FC40 FC20 FC10")
    theta = np.array(network.layers[1].threshold)
    theta[:4] = [2**31 - 1, -2**31, 41, -40]
    layers = [network.layers[0], replace(network.layers[1], threshold=theta), network.layers[2]]
    network = bnnsim.PackedNetwork(layers, (1, 6, 6), 128)
    images = small_split(200, 3).images
    for split in (small_split(300), bnnsim.Split(np.zeros((3, 1, 6, 6), np.uint8), np.zeros(3, np.uint8), "black")):
        again = pack(unpack(network, split))
        np.testing.assert_array_equal(again.layers[1].threshold, np.clip(theta.astype(np.int64), -40, 41))
        np.testing.assert_allclose(again.scores(images), network.scores(images), rtol=1e-9, atol=1e-9)


@pytest.mark.jit_off
def test_bad_input():
    network, split = pack(build("FC10", (1, 6, 6), rng=0)), small_split()
    for call, error, message in [
            (lambda: unpack(build("FC10", (1, 6, 6), rng=0), split), TypeError, "network must be a PackedNetwork"),
            (lambda: unpack(network, split.images), TypeError, "split must be a Split"),
            (lambda: unpack(network, split, 0), ValueError, "latent must be > 0"),
            (lambda: unpack(network, split, 1.5), ValueError, "latent must be <= 1"),
            (lambda: unpack(network, bnnsim.load_embedded()[1]), ValueError, "images must")]:
        with pytest.raises(error, match=message):
            call()
