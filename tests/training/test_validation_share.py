"""`fit(validation_share=)`: a part of the training images is held out, and a stopped run holds out the same."""

import numpy as np
import pytest
from training_run import interrupt_at, run, small_model, small_split, state, stop

import bnnsim.training.fitting as fitting
from bnnsim.training.losses import cross_entropy
from bnnsim.training.packing import pack

SHARED = dict(validation=None, validation_share=0.25)


def test_it_is_the_part_that_the_split_holds_out():
    """Nothing of it is trained on: the run is that of the two parts given by hand."""
    part, held = small_split().hold_out(0.25, 5)
    model, history = run(**SHARED)
    ref_model, ref_history = run(train=part, validation=held)
    assert state(model, history) == state(ref_model, ref_history) and history == ref_history
    assert history.validation_accuracy[-1] == model.accuracy(held)
    assert history.validation_loss[-1] == cross_entropy(model.scores(held.images), held.labels)[0]
    assert len(history.validation_loss) == 3 and pack(model).metadata["validation_share"] == "0.25"
    shares = np.bincount(held.labels, minlength=10) / np.bincount(small_split().labels, minlength=10)
    assert 0 < shares.min() and shares.max() <= 0.5


@pytest.mark.parametrize("at", [2, 5])
def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, monkeypatch, at):
    whole = run(**SHARED, keep="best")
    with monkeypatch.context() as patch:
        interrupt_at(patch, at, stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            run(tmp_path / "run.h5", **SHARED, keep="best")
    again = run(tmp_path / "run.h5", **SHARED, keep="best", resume=True)
    assert state(*again) == state(*whole) and again[1] == whole[1]


def test_a_checkpoint_knows_it(tmp_path):
    run(tmp_path / "run.h5", **SHARED)
    with pytest.raises(ValueError, match="another run: .*validation_share is 0.25 there and 0.5 here"):
        run(tmp_path / "run.h5", validation=None, validation_share=0.5, resume=True)


class Bare:
    """Labelled images that can hold nothing out."""

    def __init__(self):
        split = small_split()
        self.images, self.labels, self.name, self.sha256 = split.images, split.labels, split.name, split.sha256

    def __len__(self):
        return len(self.labels)


@pytest.mark.jit_off
@pytest.mark.parametrize("changes, error, message", [
    (dict(validation_share=0.1), ValueError, "give validation or validation_share, not both"),
    (dict(validation=None, validation_share=0), ValueError, "validation_share must be > 0"),
    (dict(validation=None, validation_share=1), ValueError, "share must be below 1"),
    (dict(validation=None, validation_share="a"), TypeError, "validation_share must be a real number"),
    (dict(validation=None, validation_share=0.1, train=Bare()), TypeError, "needs a train with a method hold_out"),
    (dict(validation=None, validation_share=None, keep="best"), ValueError, "keep='best' needs validation images")])
def test_bad_shares_are_refused(changes, error, message):
    with pytest.raises(error, match=message):
        run(**changes)


# going on for more epochs

def begun(**changes):
    model = small_model()
    run(model=model, **{**SHARED, **changes}, epochs=1)
    return model


@pytest.mark.parametrize("rng", [None, 5])
def test_going_on_holds_out_the_same_images(monkeypatch, rng):
    """Else the validation images of later epochs would be those that were trained on."""
    seen, held_out = [], fitting._held_out
    monkeypatch.setattr(fitting, "_held_out", lambda *args: seen.append(held_out(*args)) or seen[-1])
    run(model=begun(), **SHARED, epochs=2, initial_epoch=1, rng=rng)
    assert seen[0][1].sha256 == seen[1][1].sha256


@pytest.mark.parametrize("before, changes, message", [
    ({}, dict(rng=6), "rng must be the seed of the epochs before, 5, got 6: .* leave rng out"),
    ({}, dict(rng=np.random.default_rng(5)), "rng must be the seed of the epochs before, 5, got"),
    ({}, dict(validation_share=0.5), "validation_share must be that of the epochs before, 0.25, got 0.5"),
    (dict(validation_share=None), {}, "validation_share must be that of the epochs before, None, got 0.25")])
def test_holding_out_what_was_trained_on_is_refused(before, changes, message):
    model = begun(**before)
    with pytest.raises(ValueError, match=message):
        run(model=model, epochs=2, initial_epoch=1, **{**SHARED, **changes})


def test_another_seed_for_later_epochs_will_do_where_nothing_is_held_out():
    """And where nothing is known of the epochs before."""
    model = begun(validation_share=None)
    assert len(run(model=model, epochs=2, initial_epoch=1, rng=6, validation=None)[1].loss) == 2
    model.metadata = {}
    assert len(run(model=model, **SHARED, epochs=3, initial_epoch=2, rng=7)[1].loss) == 3
