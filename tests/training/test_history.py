"""A training's history in files and figures, and more epochs than it was set to."""

import json
import os
import signal

import pytest
from training_run import interrupt_at, run, small_model, small_split, state, stop

import bnnsim.train as train
from bnnsim.packed.network import PackedNetwork
from bnnsim.training.callbacks import CsvLog
from bnnsim.training.history import History
from bnnsim.training.optimizers import Adam, Bop, Metaplastic, Sgd
from bnnsim.training.schedules import Constant

STEADY = dict(schedule=Constant())


# files

@pytest.mark.parametrize("ending", ["json", "csv"])
@pytest.mark.parametrize("changes", [{}, {"validation": None}, {"keep": "best"}])
def test_it_comes_back_equal(tmp_path, ending, changes):
    _, history = run(epochs=2, **changes)
    history.save(tmp_path / f"h.{ending}")
    found = History.load(tmp_path / f"h.{ending}")
    assert found == history and repr(found) == repr(history)


def test_the_log_of_a_callback_can_be_read(tmp_path):
    _, history = run(callbacks=[CsvLog(tmp_path / "log.csv")])
    found = History.load(tmp_path / "log.csv")
    assert (found.loss, found.validation_loss, found.kept_epoch) == (history.loss, history.validation_loss, 3)


GOOD = {"loss": [1.0], "accuracy": [0.5], "validation_accuracy": [None], "learning_rate": [0.1], "flip_ratio": [[]],
        "kept_epoch": 1, "validation_loss": []}


@pytest.mark.jit_off
@pytest.mark.parametrize("name, text", [
    ("a.json", "["), ("a.json", "[]"), ("a.json", json.dumps({**GOOD, "more": 1})), ("a.json", '{"loss": NaN}'),
    ("a.json", json.dumps({**GOOD, "loss": [1.0, 2.0]})), ("a.json", json.dumps({**GOOD, "loss": 3})),
    ("a.json", json.dumps({**GOOD, "loss": [None]})), ("a.json", json.dumps({**GOOD, "kept_epoch": "x"})),
    ("a.json", json.dumps({**GOOD, "validation_loss": [1, 2]})), ("a.csv", "a,b\n1,2\n"),
    ("a.csv", "epoch,loss,accuracy,validation_loss,validation_accuracy,learning_rate\n1,,0.5,,,0.1\n"),
    ("a.csv", "epoch,loss,accuracy,validation_loss,validation_accuracy,learning_rate\n2,1,0.5,,,0.1\n")])
def test_what_is_no_history_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name} must be a history that History.save wrote: "):
        History.load(tmp_path / name)


@pytest.mark.jit_off
def test_other_endings_are_refused(tmp_path):
    for call in (History(**GOOD).save, History.load):
        with pytest.raises(ValueError, match="path must end in .json or .csv, got"):
            call(tmp_path / "h.txt")


def test_it_draws_itself(tmp_path):
    _, history = run(epochs=2)
    left, right = history.plot(tmp_path / "h.png").axes
    assert [line.get_label() for line in left.lines] == ["training", "validation"] == [
        line.get_label() for line in right.lines]
    assert left.lines[1].get_ydata().tolist() == history.validation_loss and (tmp_path / "h.png").stat().st_size


def test_the_command_writes_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main(["--dataset", "fashion-subset", "--network", "FC16 FC10", "--epochs", "2", "--holdout", "100",
                       "--quiet", "--history", "h.csv"]) == 0
    assert len(History.load("h.csv").validation_loss) == 2


def test_the_command_stops_early(tmp_path, monkeypatch, capsys):
    """And is left at the epoch that was best on what was held out."""
    monkeypatch.chdir(tmp_path)
    assert train.main(["--dataset", "fashion-subset", "--network", "FC16 FC10", "--epochs", "40", "--holdout", "100",
                       "--patience", "1", "--class-weight", "balanced", "--learning-rate", "0.1", "--quiet",
                       "--history", "h.json", "--out", "net.h5"]) == 0
    history = History.load("h.json")
    assert history.kept_epoch == len(history.loss) - 1 < 39
    assert f"epoch {history.kept_epoch} of {len(history.loss)}, seed 0" in capsys.readouterr().out
    said = PackedNetwork.load("net.h5").metadata
    assert said["stopped_after"] == str(len(history.loss)) and said["loss"].startswith("ClassWeighted(loss=cross_entr")
    with pytest.raises(SystemExit):
        train.main(["--dataset", "fashion-subset", "--patience", "1"])
    assert "--patience needs --holdout N" in capsys.readouterr().err


# more epochs

@pytest.mark.parametrize("optimizer", [Adam, Metaplastic, Sgd, lambda: Bop(gamma=0.1, tau=1e-4)])
def test_going_on_is_one_longer_training(optimizer):
    """Order, augmentation and errors of the later epochs, moments, and the steps that Adam counts."""
    whole = run(epochs=4, optimizer=optimizer(), **STEADY)
    model, same = small_model(), optimizer()
    run(model=model, epochs=2, optimizer=same, **STEADY)
    again = run(model=model, epochs=4, optimizer=same, **STEADY, initial_epoch=2)
    assert state(*again) == state(*whole) and again[1] == whole[1]


def test_a_new_optimizer_counts_from_its_own_first_step():
    """Else Adam would take its empty moments for old ones, and step three times too far."""
    model, other = small_model(), small_model()
    run(model=model, epochs=1, **STEADY)
    other.load_arrays(model.arrays())
    other.history = model.history
    seen, new = [], Adam()
    whole = Adam.on_parts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Adam, "on_parts", lambda self, key, value, factor, step, bound:
                      seen.append(step) or whole(self, key, value, factor, step, bound))
        run(model=other, epochs=2, optimizer=new, **STEADY, initial_epoch=1)
    assert sorted(set(seen)) == [1, 2, 3] and len(other.history.loss) == 2


def test_a_third_part_is_of_the_longer_training_too():
    """The optimizer that was new in the second counts on from there, with another seed and batch size as well."""
    def steps(model, **changes):
        seen, whole = [], Adam.on_parts
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Adam, "on_parts", lambda self, key, value, factor, step, bound:
                          seen.append(step) or whole(self, key, value, factor, step, bound))
            found = run(model=model, **STEADY, **changes)
        return found, sorted(set(seen))

    def begun():
        return run(epochs=1, **STEADY)[0]

    model, optimizer = begun(), Adam(0.01)
    assert steps(model, epochs=2, initial_epoch=1, optimizer=optimizer)[1] == [1, 2, 3]
    found, seen = steps(model, epochs=3, initial_epoch=2, optimizer=optimizer)
    assert seen == [4, 5, 6]
    assert state(*found) == state(*run(model=begun(), epochs=3, initial_epoch=1, optimizer=Adam(0.01), **STEADY))
    assert steps(model, epochs=4, initial_epoch=3, optimizer=optimizer, rng=6, batch_size=20)[1] == [7, 8, 9, 10]


@pytest.mark.parametrize("changes", [dict(batch_size=16), dict(train=small_split(100))])
def test_other_steps_an_epoch_would_draw_again_what_was_drawn(changes):
    """Of a seed and a step; another seed has other draws, and of a model whose steps are not known nothing is said."""
    model, _ = run(epochs=1)
    for rng in (None, 5):
        with pytest.raises(ValueError, match="batch_size must be that of the 1 epochs before, which had 3 steps, got"):
            run(model=model, epochs=2, initial_epoch=1, **changes, rng=rng)
    assert len(run(model=model, epochs=2, initial_epoch=1, **changes, rng=6)[1].loss) == 2
    model.left = None
    assert len(run(model=model, epochs=3, initial_epoch=2)[1].loss) == 3


@pytest.mark.parametrize("at, message", [
    (5, "initial_epoch must be at the end of an epoch, got 1 of a model that is 2 steps into epoch 2"), (6, None)])
def test_no_part_of_an_epoch_is_trained_twice(tmp_path, monkeypatch, at, message):
    """After a Ctrl-C at its end there is none."""
    model, optimizer = small_model(), Adam()
    with monkeypatch.context() as patch:
        interrupt_at(patch, at, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            run(model=model, optimizer=optimizer, **STEADY)
    going_on = dict(model=model, optimizer=optimizer, **STEADY, epochs=3, initial_epoch=at // 3)
    if message is None:
        assert state(*run(**going_on)) == state(*run(**STEADY))
        return
    with pytest.raises(ValueError, match=message):
        run(**going_on)
    model.left = None
    assert len(run(**going_on)[1].loss) == 3


@pytest.mark.parametrize("at", [8, 11])
def test_going_on_can_be_stopped_too(tmp_path, monkeypatch, at):
    def first():
        model = small_model()
        run(model=model, epochs=2)
        return model

    whole = run(model=first(), epochs=4, initial_epoch=2)
    with monkeypatch.context() as patch:
        interrupt_at(patch, at, stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            run(tmp_path / "run.h5", model=first(), epochs=4, initial_epoch=2)
    again = run(tmp_path / "run.h5", model=first(), epochs=4, initial_epoch=2, resume=True)
    assert state(*again) == state(*whole) and again[1] == whole[1]
    with pytest.raises(ValueError, match="another run: initial_epoch is 2 there and None here"):
        run(tmp_path / "run.h5", epochs=4, resume=True)


def test_the_best_epoch_of_both_is_kept():
    """None of the later ones was better: the model stays as it was."""
    model, history = run(keep="best", validation_share=None)
    before = state(model, None)
    history.validation_accuracy[history.kept_epoch - 1] = 1.0
    _, later = run(model=model, epochs=5, keep="best", initial_epoch=3)
    assert later.kept_epoch == history.kept_epoch and state(model, None) == before


def test_validation_that_begins_later_has_none_before():
    model, _ = run(epochs=1, validation=None)
    history = run(model=model, epochs=2, initial_epoch=1)[1]
    assert history.validation_loss[0] is None and history.row(2)["validation_loss"] > 0
    history = run(model=model, epochs=3, initial_epoch=2, validation=None)[1]
    assert len(history.validation_loss) == 3 and history.validation_loss[2] is None
    history.plot()


@pytest.mark.jit_off
@pytest.mark.parametrize("epochs, initial, message", [
    (4, 2, "initial_epoch must be as many epochs as model.history has, 0, got 2"),
    (2, 2, r"initial_epoch must be in \[0, 1\], got 2"), (2, -1, "initial_epoch must be in")])
def test_bad_initial_epochs(epochs, initial, message):
    with pytest.raises(ValueError, match=message):
        run(epochs=epochs, initial_epoch=initial)


def test_moments_of_another_model_are_refused():
    model, optimizer = small_model(), Adam()
    run(model=small_model("C4 MP2 FC21 FC10"), epochs=1, optimizer=optimizer)
    run(model=model, epochs=1)
    with pytest.raises(ValueError, match="the optimizer's state.* must have shape"):
        run(model=model, epochs=2, optimizer=optimizer, initial_epoch=1)


def test_a_stored_history_will_do(tmp_path):
    model, history = run(epochs=2)
    history.save(tmp_path / "h.json")
    model.history = History.load(tmp_path / "h.json")
    assert len(run(model=model, epochs=3, initial_epoch=2)[1].loss) == 3
