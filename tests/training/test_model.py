"""Whole networks, one training step at a time, against a naive float64 network that quantises nothing.

The golden file holds a first step and ten losses: it shows a change of any kernel's result to whoever
makes it. The script beside it made it.
"""

import json
import sys
from pathlib import Path

import naive_network
import numpy as np
import pytest

import bnnsim.training.architectures as architectures
import bnnsim.training.layers as layers
import bnnsim.training.optimizers as optimizers
from bnnsim import threads
from bnnsim.faults import ArrayMapping
from bnnsim.training.architectures import build
from bnnsim.training.losses import cross_entropy
from bnnsim.training.model import Sequential
from bnnsim.training.packing import pack

GOLDEN = Path(__file__).parents[1] / "golden"
sys.path.insert(0, str(GOLDEN))
import make_training  # noqa: E402  (beside the golden file)

CASES = {
    "FCNN": ("FC70 FC33 FC5", (1, 5, 5), 0, True, 9),
    "FCNN, integer logits": ("FC64 FC5", (1, 5, 5), 0, False, 7),
    "one layer": ("FC4", (2, 3, 3), 0, True, 5),
    "strided CNN, offset 128": ("C6k2s2p1 C5k3x2s1p0 FC9 FC4", (3, 7, 6), 128, True, 6),
    "CNN": ("C8 MP2 C70 MP2 FC64 FC10", (1, 12, 12), 0, True, 6),
    "wide FCNN": ("FC301 FC130 FC10", (1, 5, 7), 3, True, 6),
}
SMALL = ("FCNN, integer logits", "one layer", "strided CNN, offset 128")


def cases(*marked):
    return [pytest.param(case, marks=pytest.mark.jit_off if case in marked else ()) for case in CASES]


def random_model(case, rng):
    """A network in the middle of training: latent weights, batch norm and its statistics all moved."""
    spec, shape, offset, norm, _ = CASES[case]
    model = build(spec, shape, offset, norm, rng=5)
    for name, value in model.arrays().items():
        if name.endswith("weight"):
            value[...] = rng.uniform(-1, 1, value.shape)
        else:
            value += rng.normal(0, 0.3, value.shape)
        if name.endswith("variance"):
            value[...] = np.exp(rng.normal(4, 1, value.shape))
    model.load_arrays(dict(model.arrays()))
    return model


def random_batch(case, rng):
    _, shape, _, _, n = CASES[case]
    return rng.integers(0, 256, (n, *shape), np.uint8), rng.integers(0, 4, n)


@pytest.fixture
def rng():
    return np.random.default_rng(51)


@pytest.mark.parametrize("case", cases(*SMALL))
def test_a_training_step_against_float64(case, rng):
    """Scores and loss to 1e-12; each gradient within what 16-bit fixed point may change, under 1 %."""
    model, (images, labels), offset = random_model(case, rng), random_batch(case, rng), CASES[case][2]
    blocks = naive_network.of_model(model)
    ref_scores, ref_caches = naive_network.forward(blocks, images, offset)
    ref_loss, ref_dscores = naive_network.cross_entropy(ref_scores, labels)
    scores, caches = model.forward_train(images)
    loss, dscores = cross_entropy(scores, labels)
    np.testing.assert_allclose(scores, ref_scores, rtol=1e-12, atol=1e-12)
    assert loss == pytest.approx(ref_loss, rel=1e-12)
    per_block = naive_network.backward(blocks, ref_caches, ref_dscores)
    ref, bounds = (naive_network.named(model, each) for each in zip(*per_block))
    for i, found in enumerate(model.backward(dscores, caches)):
        for name, gradient in found.items():
            exact, bound = ref[f"{i}.{name}"], bounds[f"{i}.{name}"]
            assert np.all(np.abs(gradient - exact) <= bound), f"gradient of layer {i} {name}"
            assert np.linalg.norm(gradient - exact) <= 0.01 * np.linalg.norm(exact)
            assert np.any(exact != 0), f"layer {i} {name} has no gradient: the case shows nothing"


@pytest.mark.parametrize("case", cases(*SMALL))
def test_evaluation_against_float64(case, rng):
    """Running statistics, not those of the batch; predictions are the first largest score."""
    model, (images, _) = random_model(case, rng), random_batch(case, rng)
    ref = naive_network.evaluate(naive_network.of_model(model), images, CASES[case][2])
    np.testing.assert_allclose(model.scores(images), ref, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(model.predict(images), ref.argmax(1))


@pytest.mark.jit_off
def test_a_whole_update_against_float64(rng):
    """Gradients reach their parameter: after one Adam step nearly all weights are those of float64."""
    case = "strided CNN, offset 128"
    model, (images, labels) = random_model(case, rng), random_batch(case, rng)
    blocks = naive_network.of_model(model)
    scores, caches = naive_network.forward(blocks, images, 128)
    found = naive_network.backward(blocks, caches, naive_network.cross_entropy(scores, labels)[1])
    ref = naive_network.named(model, [g for g, _ in found])
    values = {name: value.copy() for name, value in model.arrays().items()}
    scores, caches = model.forward_train(images)
    model.update(model.backward(cross_entropy(scores, labels)[1], caches), optimizers.Adam(0.01), 1.0, 1)
    for name, gradient in ref.items():
        bound = 1 if name.endswith("weight") else np.inf
        wanted = naive_network.adam_first_step(values[name], gradient.astype(np.float32), 0.01, bound)
        # the first step is lr * sign(g): g near 0 may differ
        off = np.abs(model.arrays()[name] - wanted) > 1e-5
        assert off.mean() < 0.02, name
        assert np.abs(model.arrays()[name] - values[name]).mean() > 0.003


@pytest.mark.parametrize("case", CASES)
def test_threads_do_not_change_a_bit(case):
    found = []
    for n_threads in (1, 2, 3):
        model = random_model(case, np.random.default_rng(3))
        images, labels = random_batch(case, np.random.default_rng(4))
        with threads(n_threads):
            scores, caches = model.forward_train(images)
            gradients = model.backward(cross_entropy(scores, labels)[1], caches)
            model.update(gradients, optimizers.Adam(0.01), 1.0, 1)
            parts = [*model.arrays().values(), model.scores(images)]
            found.append(b"".join(part.tobytes() for part in parts))
    assert found[0] == found[1] == found[2]


class Momentless:
    """A user's optimizer, without moments."""

    learning_rate, state = 0.1, {}

    def moments_of(self, key):
        return ()

    def update(self, key, value, gradient, factor, step, bound):
        value -= np.float32(self.learning_rate * factor) * gradient.reshape(value.shape)
        np.clip(value, -bound, bound, out=value)


@pytest.mark.parametrize("native, precision", [(False, "fixed16"), (True, "fixed16"), (True, "float32")])
@pytest.mark.parametrize("make", [optimizers.Adam, optimizers.Sgd, optimizers.Bop, optimizers.Metaplastic, Momentless])
@pytest.mark.parametrize("case", ["strided CNN, offset 128", "CNN", "wide FCNN"])
def test_the_fused_update_is_the_unfused_one_bit_for_bit(case, make, native, precision, monkeypatch):
    """Gradients that are used block by block, in several threads, and stored nowhere."""
    monkeypatch.setattr("bnnsim.training.gradients.BLOCK_GRADIENTS", 1000)
    images, labels = random_batch(case, np.random.default_rng(4))
    found = []
    for n_threads in (0, 1, 2, 3):
        model, optimizer = random_model(case, np.random.default_rng(3)), make()
        masks = [np.random.default_rng(i).integers(0, 2**64, layer.words.shape, np.uint64) & layer.words
                 for i, layer in enumerate(model.weighted)]

        def read(index, layer):
            return layer.words ^ masks[index], masks[index] if native else None

        with threads(n_threads or 1):
            for step in (1, 2):
                scores, caches = model.forward_train(images, read)
                dscores = cross_entropy(scores, labels)[1]
                if n_threads:
                    model.backward_update(dscores, caches, optimizer, 0.5, step, precision)
                else:
                    model.update(model.backward(dscores, caches, precision), optimizer, 0.5, step)
        arrays = [*model.arrays().values(), *(layer.words for layer in model.weighted)]
        arrays += [part for moments in optimizer.state.values() for part in moments.values()]
        found.append(b"".join(sorted(part.tobytes() for part in arrays)))
    assert len(set(found)) == 1


# golden

@pytest.mark.parametrize("case", ["fcnn", "cnn"])
def test_golden_training(case):
    """Losses to 1e-6 only: exp and log differ by a last bit between CPUs and libraries."""
    golden, comp = json.loads((GOLDEN / "training.json").read_text())[case], make_training.trajectory(case)
    for name in ("first_scores", "losses"):
        np.testing.assert_allclose(comp[name], golden[name], rtol=1e-6, atol=1e-9)
    assert comp["gradient_norms"].keys() == golden["gradient_norms"].keys()
    for name, norm in golden["gradient_norms"].items():
        assert comp["gradient_norms"][name] == pytest.approx(norm, rel=1e-4)
    assert golden["losses"][-1] < 0.8 * golden["losses"][0]


# architectures

def n_weights(model):
    return sum(layer.parameters["weight"].size for layer in model.weighted)


@pytest.mark.parametrize("name, weights, units", [
    ("fashion_fcnn", 784 * 2048 + 2048 * 2048 + 2048 * 10, [2048, 2048, 10]),
    ("fashion_cnn", 9 * 64 + 9 * 64 * 64 + 7 * 7 * 64 * 2048 + 2048 * 2048 + 2048 * 10,
     [64, 64, 2048, 2048, 10]),
    ("cifar10_cnn", 9 * (3 * 128 + 128**2 + 128 * 256 + 3 * 256**2) + 16 * 256 * 2048 + 2048**2 + 2048 * 10,
     [128, 128, 256, 256, 256, 256, 2048, 2048, 10]),
    ("mnist_mlp", 784 * 1024 + 1024 * 1024 + 1024 * 10, [1024, 1024, 10])])
def test_the_papers_networks(name, weights, units):
    """Sizes as published: a network of another size is another experiment."""
    model = architectures.ARCHITECTURES[name](rng=0)
    assert n_weights(model) == weights and [layer.units for layer in model.weighted] == units
    assert model.layers[0].offset == (128 if name == "cifar10_cnn" else 0)
    for layer in model.weighted:
        assert getattr(layer, "kernel", (3, 3)) == (3, 3) and getattr(layer, "padding", (1,) * 4) == (1,) * 4
        assert getattr(layer, "stride", (1, 1)) == (1, 1) and getattr(layer, "pad_value", 0) == 0
    assert isinstance(model.layers[-1], layers.BatchNorm)
    plain = architectures.ARCHITECTURES[name](rng=0, output_norm=False)
    assert plain.describe().endswith("Logits[10]")


@pytest.mark.jit_off
def test_order_of_a_conv_block():
    """conv -> max-pool -> batch norm -> sign; after the flatten, dense layers."""
    model = build("C8 MP2 C5k5x3s2p2 FC6 FC3", (1, 12, 10), rng=0)
    assert [type(layer).__name__ for layer in model.layers] == [
        "InputConv2d", "MaxPool2d", "BatchNormSign", "Conv2d", "BatchNormSign", "Flatten", "Dense",
        "BatchNormSign", "Dense", "BatchNorm"]
    assert model.shapes == [(12, 10, 8), (6, 5, 8), (6, 5, 8), (3, 4, 5), (3, 4, 5), (60,), (6,), (6,),
                            (3,), (3,)]


@pytest.mark.jit_off
def test_the_seed_draws_the_weights():
    first, same, other = (build("FC8 FC8 FC3", (1, 3, 3), rng=seed) for seed in (1, 1, 2))
    a, b, c = (model.arrays()["0.weight"] for model in (first, same, other))
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    assert not np.array_equal(first.weighted[1].parameters["weight"].reshape(-1)[:20],
                              first.weighted[2].parameters["weight"].reshape(-1)[:20])
    generator = np.random.default_rng(1)
    x, y = build("FC8 FC3", (1, 3, 3), rng=generator), build("FC8 FC3", (1, 3, 3), rng=generator)
    assert not np.array_equal(x.arrays()["0.weight"], y.arrays()["0.weight"])


@pytest.mark.jit_off
@pytest.mark.parametrize("spec, shape, message", [
    ("", (1, 8, 8), "must end in FC"), ("C8 MP2", (1, 8, 8), "must end in FC"),
    ("FC8 D10", (1, 8, 8), "got 'D10'"),
    ("MP2 FC3", (1, 8, 8), "must begin with C or FC"), ("FC8 MP2 FC3", (1, 8, 8), "MP2 must follow a C"),
    ("C8 MP2 MP2 FC3", (1, 8, 8), "MP2 must follow a C"), ("FC8 C3 FC3", (1, 8, 8), "C3 cannot follow an FC"),
    ("FC0", (1, 8, 8), "units must be >= 1"), ("C8k9p0 FC3", (1, 8, 8), "does not fit"),
    ("C8 MP9 FC3", (1, 8, 8), "at least 9 x 9"), ("FC3", (8, 8), "must be three integers .C, H, W., got .8, 8."),
    ("FC3", 784, "must be three integers .C, H, W., got 784"),
    (["FC8", "FC3"], (1, 8, 8), "spec must be a string of words such as 'C64 MP2 FC10', got .'FC8', 'FC3'."),
    ("C8s0 FC3", (1, 8, 8), "stride must be >= 1")])
def test_bad_specs(spec, shape, message):
    with pytest.raises(ValueError if isinstance(spec, str) else TypeError, match=message):
        build(spec, shape)
    with pytest.raises(TypeError, match="output_norm must be True or False, got 1"):
        build("FC3", (1, 8, 8), output_norm=1)


@pytest.mark.jit_off
def test_bad_images():
    model = build("FC3", (1, 4, 4), rng=0)
    for images, error, message in (
            (np.zeros((2, 1, 4, 4)), TypeError, "uint8"),
            (np.zeros((2, 1, 4, 5), np.uint8), ValueError, "shape"),
            (np.zeros((1, 4, 4), np.uint8), ValueError, "shape"), ([[0]], TypeError, "uint8")):
        with pytest.raises(error, match=message):
            model.scores(images)
    assert model.scores(np.zeros((0, 1, 4, 4), np.uint8)).shape == (0, 3)


@pytest.mark.jit_off
def test_evaluation_in_batches_is_evaluation_at_once(rng, monkeypatch):
    """The last, smaller batch counts too."""
    model, images = build("FC8 FC3", (1, 4, 4), rng=0), rng.integers(0, 256, (7, 1, 4, 4), np.uint8)
    whole = model.scores(images)
    monkeypatch.setattr(model, "evaluation_batch", 3)
    np.testing.assert_array_equal(model.scores(images), whole)


@pytest.mark.jit_off
def test_arrays_restore_a_model(rng):
    """What a checkpoint holds is everything: another model that takes it over gives the same scores."""
    case = "strided CNN, offset 128"
    model, (images, _) = random_model(case, rng), random_batch(case, rng)
    other = build(*CASES[case][:4], rng=99)
    assert not np.array_equal(other.scores(images), model.scores(images))
    other.load_arrays({name: value.copy() for name, value in model.arrays().items()})
    np.testing.assert_array_equal(other.scores(images), model.scores(images))


@pytest.mark.jit_off
def test_a_list_of_layers_is_a_model(rng):
    """Layers put together by hand, as a user does who wants +1 padding."""
    stack = [layers.InputConv2d(1, 4, pad_value="minus", offset=0, generator=rng), layers.BatchNormSign(4),
             layers.Conv2d(4, 5, pad_value="plus", generator=rng), layers.MaxPool2d(2), layers.MaxPool2d(2),
             layers.BatchNormSign(5), layers.Flatten(5), layers.Dense(20, 3, rng), layers.BatchNorm(3)]
    model, images = Sequential(stack, (1, 8, 8)), rng.integers(0, 256, (3, 1, 8, 8), np.uint8)
    assert model.scores(images).shape == (3, 3) and model.shapes[4] == (2, 2, 5)


@pytest.mark.jit_off
def test_summary():
    """The table of what is packed, in any arrays, and what is trained: 4,840 weights, gamma and beta of 34 units."""
    model = build("C8 MP2 FC16 FC10", (1, 12, 12), rng=0)
    for mapping in (None, ArrayMapping(16, 7)):
        table, _, rest = model.summary(mapping).rpartition("\n")
        assert table == pack(model).summary(mapping)
        assert rest == "trained: 4,840 latent weights, 68 others (19.6 kB); running statistics: 68"


def test_of_equal_scores_the_lowest_class_wins(rng):
    """As in the packed network: integer logits tie often, and both must break ties alike."""
    model = build("FC5", (1, 4, 4), output_norm=False, rng=0)
    images = rng.integers(0, 256, (3, 1, 4, 4), np.uint8)
    model.layers[0].parameters["weight"][:] = 1
    model.layers[0].refresh()
    np.testing.assert_array_equal(model.predict(images), 0)
