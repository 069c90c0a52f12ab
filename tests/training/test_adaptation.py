"""Thresholds after training: rescaled for another bit error rate, or from statistics taken under bit errors."""

import math

import numpy as np
import pytest
from training_run import small_model, small_split, state

import bnnsim
from bnnsim import threads
from bnnsim.datasets.split import Split
from bnnsim.faults import BitFlips, StuckAt
from bnnsim.packed.network import PackedNetwork
from bnnsim.training.adaptation import reestimate_batch_norm, rescale_thresholds
from bnnsim.training.architectures import build
from bnnsim.training.packing import pack


@pytest.fixture
def rng():
    return np.random.default_rng(81)


def moved(model, rng):
    """Batch norm as after some training: gammas of both signs, one of 0."""
    for layer in model.layers:
        if "gamma" in layer.parameters:
            layer.parameters["gamma"][:] = rng.normal(0, 1, layer.units)
            layer.parameters["gamma"][0] = 0
            layer.parameters["beta"][:] = rng.normal(0, 1, layer.units)
            layer.running["mean"][:] = rng.normal(0, 5, layer.units)
            layer.running["variance"][:] = np.exp(rng.normal(3, 0.5, layer.units))
    return model


def thresholds(model):
    """s of each hidden layer, where gamma is not 0."""
    found = []
    for layer in model.layers:
        if layer.gives == "bits" and "gamma" in layer.parameters:
            mean, scale, shift = layer.affine()
            found.append(mean[1:] - shift[1:] / scale[1:])
    return found


# rescaling

@pytest.mark.parametrize("rates, factors", [((0.0, 0.1), [0.8] * 3), ((0.1, 0.0), [1.25] * 3), ((0.2, 0.2), [1] * 3),
                                            (([0, 0.1, 0.2], [0.2, 0.1, 0.4]), [0.6, 1, 1 / 3])])
def test_thresholds_scale_by_the_mean_s_shrinking(rng, rates, factors):
    """s (1 - 2q) / (1 - 2p), of each layer; the model given is untouched, and the new one packs to itself."""
    model = moved(small_model(), rng)
    before = state(model, None)
    found = rescale_thresholds(model, *rates)
    for new, old, factor in zip(thresholds(found), thresholds(model), factors):
        np.testing.assert_allclose(new, factor * old, rtol=1e-5, atol=1e-5)
    assert state(model, None) == before
    images = small_split(100, 3).images
    np.testing.assert_array_equal(pack(found).scores(images), found.scores(images))
    for layer, other in zip(model.weighted, found.weighted):
        np.testing.assert_array_equal(layer.words, other.words)


def test_scores_are_scaled_alike(rng):
    """A class must not win because its threshold moved more than another's."""
    model = moved(small_model("FC10"), rng)
    images = small_split(50, 3).images
    h = model.weighted[0].forward(images)
    found = rescale_thresholds(model, 0.0, 0.3).layers[-1]
    mean, scale, shift = model.layers[-1].affine()
    np.testing.assert_allclose(found.forward(h), (h - 0.4 * mean) * scale + 0.4 * shift, rtol=1e-6, atol=1e-6)


def test_a_packed_network_s_thresholds_are_within_one_of_its_model_s(rng):
    model = moved(small_model(), rng)
    network = pack(model)
    found, wanted = rescale_thresholds(network, 0.05, 0.2), pack(rescale_thresholds(model, 0.05, 0.2))
    differ = 0
    for new, ref, old in zip(found.layers[:-1], wanted.layers[:-1], network.layers):
        assert np.abs(new.threshold[1:].astype(int) - ref.threshold[1:]).max() <= 1
        np.testing.assert_array_equal(new.inverted, old.inverted)
        np.testing.assert_array_equal(new.words, old.words)
        differ += np.sum(new.threshold != old.threshold)
    assert differ
    for new, ref in zip(found.layers[-1].output_affine, wanted.layers[-1].output_affine):
        np.testing.assert_allclose(new, ref, rtol=1e-6, atol=1e-6)
    same = rescale_thresholds(network, 0.1, 0.1)
    assert same.checksum == network.checksum


def test_constant_outputs_stay_constant():
    """A threshold past every pre-activation stands for gamma = 0; scaled, it would come alive."""
    network = PackedNetwork.from_arrays([
        dict(weight=np.ones((3, 4), int), threshold=np.array([5 * 255, 4 * 255 + 1, -4 * 255])),
        dict(weight=np.ones((2, 3), int))], (1, 2, 2))
    found = rescale_thresholds(network, 0.0, 0.4).layers[0].threshold
    assert found[1] == network.layers[0].threshold[1] and found[2] == network.layers[0].threshold[2]


def test_the_shares_of_wrong_outputs_that_the_formula_promises():
    """docs/equations.rst 9.1 and 9.2 [D]: n = 784, (h, theta, p) = (40, 30, .1), (-50, -20, .2), by flipping bits."""
    rng, n_draws = np.random.default_rng(5), 20_000
    for h, theta, p, before, after in ((40, 30, 0.1, 0.429, 0.296), (-50, -20, 0.2, 0.344, 0.224)):
        signs = np.where(np.arange(784) < (784 + h) // 2, 1, -1)
        network = PackedNetwork.from_arrays([dict(weight=signs[None], threshold=np.array([theta])),
                                             dict(weight=np.ones((2, 1), int))], (1, 28, 28))
        broken = (signs * np.where(rng.random((n_draws, 784)) < p, -1, 1)).sum(1)
        for net, wanted in ((network, before), (rescale_thresholds(network, 0.0, p), after)):
            wrong = np.mean((broken >= net.layers[0].threshold[0]) != (h >= theta))
            assert abs(wrong - wanted) < 5 * math.sqrt(wanted * (1 - wanted) / n_draws) + 0.001


# re-estimation

def test_statistics_are_the_averages_of_the_batches_under_faults(rng):
    """By hand: the same batches, broken by the same fault; nothing else of the model changes."""
    from bnnsim.packed.memory import of_model
    from bnnsim.seeding import child_root
    from bnnsim.seeding import generator

    model, split, fault = moved(small_model("FC20 FC10"), rng), small_split(70, 3), BitFlips(0.2)
    before = state(model, None)
    found = reestimate_batch_norm(model, split, fault, rng=4, batch_size=32)
    assert state(model, None) == before
    order, moments = generator(4, "re-estimation order").permutation(70), []
    for batch, start in enumerate((0, 32, 64)):
        chosen = np.sort(order[start:start + 32])
        words = fault.apply(of_model(model), child_root(4, "re-estimation faults"), batch).layers[0].words
        twin = small_model("FC20 FC10")
        twin.weighted[0].words = words
        h = twin.weighted[0].forward(split.images[chosen])
        moments.append((len(chosen), h.mean(0), h.var(0, ddof=1)))
    sizes, means, variances = zip(*moments)
    running = found.layers[1].running
    np.testing.assert_allclose(running["mean"], np.average(means, axis=0, weights=sizes), rtol=1e-9)
    np.testing.assert_allclose(running["variance"], np.average(variances, axis=0, weights=sizes), rtol=1e-9)
    changed = [name for name, value in found.arrays().items() if value.tobytes() != model.arrays()[name].tobytes()]
    assert changed and all(".running_" in name for name in changed)
    assert found.layers[1].momentum == model.layers[1].momentum == 0.1


def test_reestimated_model_packs_to_itself_in_any_number_of_threads(rng):
    model, split = moved(small_model(), rng), small_split(70, 3)
    found = []
    for n_threads in (1, 2, 3):
        with threads(n_threads):
            found.append(reestimate_batch_norm(model, split, StuckAt(0.1, 0.1), rng=4))
    assert len({state(each, None) for each in found}) == 1
    np.testing.assert_array_equal(pack(found[0]).scores(split.images), found[0].scores(split.images))
    assert state(reestimate_batch_norm(model, split, StuckAt(0.1, 0.1), rng=5), None) != state(found[0], None)
    assert state(reestimate_batch_norm(model, split, rng=4), None) != state(found[0], None)


def test_both_undo_what_flips_do_to_the_mean():
    """docs/equations.rst 9.2: at a high rate either one gives accuracy back that stale thresholds have lost."""
    train, test = bnnsim.load_embedded()
    model = build("FC256 FC256 FC10", (1, 28, 28), rng=0)
    bnnsim.fit(model, train[:3000], epochs=3, rng=0, progress=False)
    fault = BitFlips(0.2)

    def under_faults(network):
        return np.mean([fault.apply(network, 0, trial).accuracy(test) for trial in range(5)])

    stale = under_faults(pack(model))
    for adapted in (rescale_thresholds(model, 0.0, 0.2), reestimate_batch_norm(model, train[:3000], fault, rng=0)):
        assert under_faults(pack(adapted)) > stale + 0.01


@pytest.mark.parametrize("call, error, message", [
    (lambda m: rescale_thresholds(m, 0.5, 0.1), ValueError, "trained_at must be a bit error rate from 0 to below"),
    (lambda m: rescale_thresholds(m, 0, -0.1), ValueError, "target must be a bit error rate from 0 to below 0.5"),
    (lambda m: rescale_thresholds(m, 0, [0.1]), ValueError, "target must be one rate or 3"),
    (lambda m: rescale_thresholds(m, "0", 0.1), TypeError, "trained_at must be a real number"),
    (lambda m: rescale_thresholds(m.layers, 0, 0.1), TypeError, "must be a Sequential or a PackedNetwork"),
    (lambda m: reestimate_batch_norm(pack(m), small_split()), TypeError, "pack the result"),
    (lambda m: reestimate_batch_norm(m, small_split(), 0.1), TypeError, "faults must be an object"),
    (lambda m: reestimate_batch_norm(m, small_split(), BitFlips), TypeError, "faults must be an object"),
    (lambda m: reestimate_batch_norm(m, small_split()[:0]), ValueError, "at least one image"),
    (lambda m: reestimate_batch_norm(m, small_split(), batch_size=1), ValueError, "batch_size must be >= 2"),
    (lambda m: reestimate_batch_norm(m, Split(np.zeros((4, 1, 5, 5), np.uint8), [0] * 4, "t")), ValueError,
     "images must have")])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(small_model())


def test_a_last_batch_of_one_image_joins_the_one_before():
    """Alone its unbiased variance is 0, and would count as a batch's."""
    split, sizes = small_split(), []
    model = bnnsim.architectures.build("FC8 FC2", split.images.shape[1:], rng=0)
    whole = type(model).forward_train

    class Watched(type(model)):
        def forward_train(self, images, read=None):
            sizes.append(len(images))
            return whole(self, images, read)

    model.__class__ = Watched
    bnnsim.reestimate_batch_norm(model, split[:9], rng=0, batch_size=4)
    assert sizes == [4, 5]
    with pytest.raises(ValueError, match="number of images, .* must be >= 2, got 1"):
        bnnsim.reestimate_batch_norm(model, split[:1], rng=0, batch_size=4)
