"""`fit(class_weight=)`: the weighted mean of the images' losses, whatever the loss."""

import numpy as np
import pytest
from test_plug_ins import Doubled
from training_run import interrupt_at, run, small_split, state, stop

from bnnsim.datasets.split import Split
from bnnsim.training.architectures import build
from bnnsim.training.losses import (ClassWeighted, MarginCrossEntropy, ModifiedHinge, SquaredHinge, class_weights,
                                    cross_entropy)
from bnnsim.training.optimizers import Adam
from bnnsim.training.packing import pack

WEIGHTS = (0.5, 1.0, 2.0, 1.0)
LOSSES = [cross_entropy, ModifiedHinge(4), SquaredHinge(1.5), MarginCrossEntropy(1, 5), Doubled(2)]


def batch(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 3, (n, 4)), rng.integers(0, 4, n).astype(np.uint8)


@pytest.mark.jit_off
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss if isinstance(loss, str) else type(loss).__name__)
def test_the_equation(loss):
    """Image by image, from the loss of each alone."""
    scores, labels = batch()
    w = np.array(WEIGHTS)[labels]
    alone = [loss(scores[i:i + 1], labels[i:i + 1]) for i in range(len(labels))]
    found, dscores = ClassWeighted(loss, WEIGHTS)(scores, labels)
    assert found == pytest.approx(np.sum(w * [value for value, _ in alone]) / w.sum(), rel=1e-12)
    ref = np.concatenate([gradient for _, gradient in alone]) * (w / w.sum())[:, None]
    np.testing.assert_allclose(dscores, ref, rtol=3e-7, atol=1e-12)
    assert dscores.dtype == np.float32 and not np.allclose(dscores, loss(scores, labels)[1], rtol=0.01)


@pytest.mark.jit_off
def test_its_gradient_is_that_of_its_value():
    scores, labels = batch()
    loss, direction, step = ClassWeighted(cross_entropy, WEIGHTS), batch(seed=1)[0], 1e-6
    difference = loss(scores + step * direction, labels)[0] - loss(scores - step * direction, labels)[0]
    assert np.sum(loss(scores, labels)[1] * direction) == pytest.approx(difference / (2 * step), rel=1e-5)


@pytest.mark.jit_off
def test_equal_weights_change_no_byte():
    scores, labels = batch()
    for weights in ((1.0,) * 4, (3.7,) * 4):
        loss, dscores = ClassWeighted(cross_entropy, weights)(scores, labels)
        ref, ref_dscores = cross_entropy(scores, labels)
        assert loss == ref and dscores.tobytes() == ref_dscores.tobytes()


@pytest.mark.jit_off
@pytest.mark.parametrize("given, wanted", [
    ({}, (1.0, 1.0, 1.0)), ({2: 5, np.int64(0): 0.5}, (0.5, 1.0, 5.0)), ("balanced", (6 / (2 * 4), 6 / (2 * 2), 1.0))])
def test_weights_by_class(given, wanted):
    """A class without an image has no weight that counts."""
    assert class_weights(given, np.array([0, 1, 0, 1, 0, 0]), 3) == wanted


def test_a_run_with_weights(tmp_path, monkeypatch):
    """In training and validation; a stopped one goes on, and its checkpoint and network know the weights."""
    weights = {"class_weight": {3: 4.0}}
    model, history = run(**weights)
    held = small_split(20, 2)
    loss = ClassWeighted(cross_entropy, class_weights({3: 4.0}, held.labels, 10))
    assert history.validation_loss[-1] == loss(model.scores(held.images), held.labels)[0]
    assert pack(model).metadata["loss"] == f"ClassWeighted(loss=cross_entropy, weights={loss.weights})"
    assert state(model, history) != state(*run()) and state(*run(class_weight={})) == state(*run())
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5, stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            run(tmp_path / "run.h5", **weights)
    with pytest.raises(ValueError, match="another run: loss is "):
        run(tmp_path / "run.h5", class_weight={3: 5.0}, resume=True)
    assert state(*run(tmp_path / "run.h5", **weights, resume=True)) == state(model, history)


@pytest.mark.slow
def test_a_rare_class_is_heard():
    """Where images tell nothing, the class of the larger sum of weights is the answer."""
    rng = np.random.default_rng(0)
    rare = (rng.random(2000) < 0.1).astype(np.uint8)
    split = Split(rng.integers(0, 256, (2000, 1, 2, 2)).astype(np.uint8), rare, "noise")
    share = {}
    for class_weight in (None, "balanced"):
        model = build("FC4 FC2", (1, 2, 2), 128, rng=0)
        run(model=model, train=split, validation=None, epochs=10, flip_rate=0, augment=False,
            optimizer=Adam(0.05), class_weight=class_weight)
        share[class_weight] = np.mean(model.predict(split.images) == 1)
    assert share[None] < 0.01 and 0.1 < share["balanced"] < 0.9, share


@pytest.mark.jit_off
@pytest.mark.parametrize("given, error, message", [
    ({10: 1.0}, ValueError, r"a class of class_weight must be in \[0, 9\], got 10"),
    ({"a": 1.0}, TypeError, "a class of class_weight must be an integer"),
    ({1: 0}, ValueError, "class_weight of class 1 must be > 0"), ({1: "x"}, TypeError, "must be a real number"),
    ("balance", ValueError, "did you mean 'balanced'"), ([1.0] * 10, TypeError, "must be \"balanced\" or a dict")])
def test_bad_weights(given, error, message):
    with pytest.raises(error, match=message):
        run(class_weight=given)
