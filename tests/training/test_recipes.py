"""Recipes for graphs: knowledge distillation from stored scores, and two-stage training."""

import math

import numpy as np
import pytest
from test_losses_optimizers import check_gradient
from training_run import interrupt_at, run, small_model, small_split, state, stop

import bnnsim
from bnnsim import layers
from bnnsim.training.losses import Distillation, cross_entropy
from bnnsim.training.two_stages import take_real_weights, with_real_weights


@pytest.fixture
def rng():
    return np.random.default_rng(3)


# knowledge distillation

def naive_distillation(scores, teacher, labels, temperature, share):
    """Image by image, class by class."""
    def softmax(values):
        e = [math.exp(v - max(values)) for v in values]
        return [v / sum(e) for v in e]

    total = 0.0
    for s, t, label in zip(scores.tolist(), teacher.tolist(), labels.tolist()):
        p, q = (softmax([v / temperature for v in values]) for values in (s, t))
        total += share * temperature ** 2 * sum(b * math.log(b / a) for a, b in zip(p, q))
        total -= (1 - share) * math.log(softmax(s)[label])
    return total / len(labels)


@pytest.mark.jit_off
@pytest.mark.parametrize("temperature, share", [(1.0, 1.0), (4.0, 0.9), (2.5, 0.0), (0.5, 0.4)])
def test_distillation_is_its_formula_and_its_gradient(rng, temperature, share):
    teacher, chosen = rng.normal(0, 3, (9, 5)), np.array([7, 0, 3, 3])
    scores, labels = rng.normal(0, 2, (4, 5)), rng.integers(0, 5, 4).astype(np.uint8)
    loss = Distillation(teacher, temperature, share).of_images(chosen, 9)
    value, dscores = loss(scores, labels)
    assert value == pytest.approx(naive_distillation(scores, teacher[chosen], labels, temperature, share), rel=1e-12)
    check_gradient(lambda s: loss(s, labels)[0], dscores.astype(np.float64), scores, rng)


@pytest.mark.jit_off
def test_the_least_loss_is_at_the_teachers_scores(rng):
    """Whatever the temperature, up to a number added to all classes."""
    teacher, labels = rng.normal(0, 30, (6, 4)), np.zeros(6, np.uint8)
    value, dscores = Distillation(teacher, 3.0, 1.0).of_images(np.arange(6), 6)(teacher + 7, labels)
    assert abs(value) < 1e-12 and np.abs(dscores).max() < 1e-7
    far = Distillation(np.array([[0.0, 1e6]]), 1.0, 1.0).of_images(np.array([0]), 1)(np.array([[0.0, 0.0]]), labels[:1])
    assert far[0] == pytest.approx(math.log(2)) and far[1].tolist() == [[0.5, -0.5]]


def test_a_student_learns_what_its_teacher_says_of_each_image():
    """The teacher contradicts the labels at random: rows that went to other images would teach nothing."""
    split = small_split(60)
    said = np.random.default_rng(9).integers(0, 10, 60)
    loss = Distillation(10.0 * np.eye(10)[said], temperature=2.0, share=1.0)
    model = small_model("FC256 FC10")
    bnnsim.fit(model, split, 80, rng=1, batch_size=20, loss=loss, progress=False)
    found = model.predict(split.images)
    assert np.mean(found == said) > 0.9 and np.mean(found == split.labels) < 0.4


def test_distillation_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    """A checkpoint of other teacher's scores is another run's; validation is by the labels."""
    loss = Distillation(np.random.default_rng(0).normal(0, 3, (80, 10)))
    whole = run(loss=loss)
    assert state(*whole) != state(*run()) and whole[0].metadata["loss"] == "Distillation(temperature=4.0, share=0.9)"
    validation = small_split(20, 2)
    last = cross_entropy(whole[0].scores(validation.images), validation.labels)[0]
    assert whole[1].validation_loss[-1] == last
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5, stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            run(tmp_path / "run.h5", loss=loss)
    with pytest.raises(ValueError, match="another run: loss is"):
        run(tmp_path / "run.h5", resume=True, loss=Distillation(loss.teacher_scores + 1))
    assert state(*run(tmp_path / "run.h5", resume=True, loss=loss)) == state(*whole)


@pytest.mark.parametrize("make, message", [
    (lambda: Distillation(np.zeros((80, 10), np.float32)), "teacher_scores"),
    (lambda: Distillation(np.full((80, 10), np.nan)), "must be finite"),
    (lambda: Distillation(np.zeros((80, 10)), 0.0), "temperature must be > 0"),
    (lambda: Distillation(np.zeros((80, 10)), share=1.1), "share must be a probability"),
    (lambda: run(loss=Distillation(np.zeros((80, 9)))), "a column for each of the model's 10 classes, got 9"),
    (lambda: run(loss=Distillation(np.zeros((79, 10)))), "a row for each of the 80 images that are trained on, got 79"),
    (lambda: run(loss=Distillation(np.zeros((80, 10))), validation=None, validation_share=0.5), "hold out first"),
    (lambda: run(loss=Distillation(np.zeros((80, 10))), class_weight="balanced"), "class_weight goes with losses of")],
    ids=range(8))
def test_distillation_that_would_teach_something_else_is_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


# two stages

def small(seed=0):
    return bnnsim.architectures.reactnet_small(rng=seed, input_shape=(1, 6, 6), width=8)


def test_both_stages_are_one_model_where_latent_weights_are_their_signs():
    model, images = small(), small_split(40).images
    for layer in model.weighted:
        layer.parameters["weight"][...] = np.where(layer.parameters["weight"] >= 0, 1, -1)
    np.testing.assert_array_equal(with_real_weights(model).scores(images), model.scores(images))


def test_what_the_first_stage_learns_is_where_the_second_begins():
    """The first is a model of its own; its weights stay in [-1, 1], and their signs are the second's bits."""
    model, split = small(), small_split()
    before = state(model, None)
    first = with_real_weights(model)
    history = bnnsim.fit(first, split, 8, rng=0, batch_size=20, progress=False,
                         optimizer=bnnsim.optimizers.Adam(0.01))
    assert history.loss[-1] < 0.7 * history.loss[0] and state(model, None) == before
    take_real_weights(model, first)
    for a, b in zip(first.layers, model.layers, strict=True):
        if isinstance(a, layers.LatentConv2d):
            np.testing.assert_array_equal(a.parameters["kernel"], b.parameters["weight"])
            assert np.abs(a.parameters["kernel"]).max() <= 1
        else:
            assert all(np.array_equal(value, b.parameters[name]) for name, value in a.parameters.items())
            assert all(np.array_equal(value, b.running[name]) for name, value in a.running.items())
    after = bnnsim.fit(model, split, 4, rng=1, batch_size=20, progress=False)
    assert after.loss[0] < history.loss[0], "it goes on from there"
    np.testing.assert_array_equal(bnnsim.pack(model).scores(split.images), model.scores(split.images))


def test_models_that_have_no_two_stages_are_refused():
    with pytest.raises(TypeError, match="must have a Conv2d"):
        with_real_weights(small_model("FC10"))
    with pytest.raises(ValueError, match="BatchNormSign, takes pre-activations, but gets reals"):
        with_real_weights(small_model("C4 C4 FC10"))
    with pytest.raises(ValueError, match="first must be what with_real_weights"):
        take_real_weights(small(), with_real_weights(bnnsim.architectures.reactnet_small(rng=0, width=4)))
    with pytest.raises(TypeError, match="must be a Graph, got str"):
        with_real_weights("model")
