"""Callbacks: early stopping, logs and a user's own; with a checkpoint a stopped run goes on as if nothing happened."""

import csv
import logging
import os
import signal

import pytest
from training_run import interrupt_at, run, small_model, state, stop

from bnnsim.training.callbacks import COLUMNS, CsvLog, EarlyStopping, LearningRateLog
from bnnsim.training.optimizers import Adam
from bnnsim.training.packing import pack
from bnnsim.training.schedules import Constant

LONG = dict(epochs=12, optimizer=None, schedule=Constant(), flip_rate=0, augment=False, gradient="straight-through")


def long(checkpoint=None, **changes):
    return run(checkpoint, **{**LONG, "optimizer": Adam(0.05), **changes})


class Third:
    """A user's own: stops after three calls, however often training was stopped between them."""

    def __init__(self, limit=3):
        self.limit, self.state = limit, {"calls": 0}

    def on_epoch_end(self, model, row):
        self.state["calls"] += 1
        return self.state["calls"] == self.limit


# what they decide

@pytest.mark.jit_off
@pytest.mark.parametrize("settings, values, stops, best", [
    (dict(monitor="loss", patience=2), [3, 2, 2, 2.5], 4, 2), (dict(monitor="loss", patience=1), [3, 2, 1], None, 3),
    (dict(monitor="accuracy", patience=2), [0.1, 0.3, 0.2, 0.3], 4, 2),
    (dict(monitor="loss", patience=1, min_delta=0.5), [3, 2.6], 2, 1),
    (dict(monitor="validation_accuracy", patience=3), [0.5, 0.4, 0.4, 0.6, 0.1, 0.1, 0.1], 7, 4)])
def test_early_stopping_by_its_definition(settings, values, stops, best):
    stopping, chosen, stopped = EarlyStopping(**settings), [], None
    for epoch, value in enumerate(values, 1):
        if stopping.on_epoch_end(None, {"epoch": epoch, settings["monitor"]: value}):
            stopped = stopped or epoch
        chosen += [epoch] * stopping.chosen
    assert (stopped, chosen[-1]) == (stops, best)


def test_early_stopping_leaves_the_model_at_its_best_epoch():
    model, history = long(callbacks=[EarlyStopping("validation_loss", 2)])
    best = 1 + history.validation_loss.index(min(history.validation_loss))
    assert history.kept_epoch == best == len(history.loss) - 2 < 10, "take another rate: it never got worse"
    assert state(model, None) == state(long(epochs=best)[0], None)
    said = pack(model).metadata
    assert said["stopped_after"] == str(best + 2) and "EarlyStopping(monitor='validation_loss'" in said["callbacks"]


def test_or_at_the_last():
    model, history = long(callbacks=[EarlyStopping("validation_loss", 2, best=False)])
    assert history.kept_epoch == len(history.loss) < 12
    assert state(model, None) == state(long(epochs=len(history.loss))[0], None)


def test_one_that_only_looks_changes_no_byte(tmp_path):
    assert state(*run(callbacks=[LearningRateLog(), CsvLog(tmp_path / "log.csv")])) == state(*run())


def test_an_object_serves_two_runs():
    stopping = EarlyStopping("validation_loss", 2)
    assert long(callbacks=[stopping])[1] == long(callbacks=[stopping])[1]


# what they write

def test_the_csv_is_the_history(tmp_path):
    _, history = run(callbacks=[CsvLog(tmp_path / "log.csv")])
    with open(tmp_path / "log.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS
    assert [[float(value) for value in row] for row in rows] == [
        [history.row(epoch)[name] for name in COLUMNS] for epoch in (1, 2, 3)]
    run(callbacks=[CsvLog(tmp_path / "log.csv")], validation=None, epochs=1)
    header, row = (tmp_path / "log.csv").read_text().splitlines()
    assert row.split(",")[3:5] == ["", ""]


@pytest.mark.jit_off
def test_lines_of_epochs_that_a_killed_run_had_beyond_its_checkpoint_are_written_anew(tmp_path):
    log = CsvLog(tmp_path / "log.csv")
    for epoch in (1, 2, 3, 4, 2):                                # killed in epoch 5; its checkpoint is of epoch 1
        log.on_epoch_end(None, {**dict.fromkeys(COLUMNS, epoch / 8), "epoch": epoch})
    assert [line.split(",")[0] for line in (tmp_path / "log.csv").read_text().splitlines()[1:]] == ["1", "2"]


@pytest.mark.jit_off
def test_a_file_of_something_else_is_not_continued(tmp_path):
    (tmp_path / "log.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="log.csv must be the CSV file that this training has begun"):
        CsvLog(tmp_path / "log.csv").on_epoch_end(None, dict.fromkeys(COLUMNS, 2))
    assert (tmp_path / "log.csv").read_text() == "a,b\n1,2\n"


def test_learning_rates_are_logged(caplog):
    with caplog.at_level(logging.INFO, "bnnsim"):
        _, history = run(callbacks=[LearningRateLog()])
    said = [record.message for record in caplog.records if "learning rate" in record.message]
    assert said == [f"epoch {i}: learning rate {rate:.6g}" for i, rate in enumerate(history.learning_rate, 1)]


# stopped runs

@pytest.mark.parametrize("at", (2, 5, 8, 11, 12))
def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path, monkeypatch, at):
    """Best weights, patience and log; the end that a callback set stays the end."""
    def made():
        return [EarlyStopping("validation_loss", 2), CsvLog(tmp_path / "log.csv")]

    whole = long(callbacks=made())
    text = (tmp_path / "log.csv").read_text()
    with monkeypatch.context() as patch:
        interrupt_at(patch, at, stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            long(tmp_path / "run.h5", callbacks=made())
    for _ in range(2):
        again = long(tmp_path / "run.h5", callbacks=made(), resume=True)
        assert state(*again) == state(*whole) and again[1] == whole[1]
        assert (tmp_path / "log.csv").read_text() == text


def test_a_user_s_own_goes_on_where_it_was(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 8, stop)                            # in the third epoch
        with pytest.raises(RuntimeError, match="stopped by the test"):
            long(tmp_path / "run.h5", callbacks=[Third()])
    assert len(long(tmp_path / "run.h5", callbacks=[Third()], resume=True)[1].loss) == 3


def test_a_checkpoint_knows_its_callbacks(tmp_path):
    long(tmp_path / "run.h5", callbacks=[EarlyStopping(patience=2)])
    with pytest.raises(ValueError, match="run: callbacks is .*'patience': 2.* there and .*'patience': 3.* here"):
        long(tmp_path / "run.h5", callbacks=[EarlyStopping(patience=3)], resume=True)


def test_ctrl_c_keeps_the_history(monkeypatch):
    """Of the epochs that were finished, with no checkpoint either."""
    interrupt_at(monkeypatch, 7, lambda: os.kill(os.getpid(), signal.SIGINT))
    model = small_model()
    with pytest.raises(KeyboardInterrupt):
        run(model=model)
    monkeypatch.undo()
    whole = run()[1]
    assert model.history.loss == whole.loss[:2] and model.history.validation_loss == whole.validation_loss[:2]


# bad input

class Plain:
    def on_epoch_end(self, model, row):
        return "yes"


@pytest.mark.parametrize("changes, error, message", [
    (dict(callbacks=EarlyStopping()), TypeError, "callbacks must be a list"),
    (dict(callbacks=[EarlyStopping]), TypeError, r"callbacks\[0\] must be an object with a method `on_epoch_end`"),
    (dict(callbacks=[print]), TypeError, r"callbacks\[0\] must be an object with a method `on_epoch_end`"),
    (dict(callbacks=[EarlyStopping()], validation=None), ValueError, "needs validation images"),
    (dict(callbacks=[EarlyStopping()], keep="best"), ValueError, "give one of EarlyStopping, keep='best', not several"),
    (dict(callbacks=[EarlyStopping(), EarlyStopping("loss")]), ValueError, "not several"),
    (dict(callbacks=[Plain()]), TypeError, "on_epoch_end of Plain must give True to stop, False or None, got 'yes'")])
def test_bad_callbacks(changes, error, message):
    with pytest.raises(error, match=message):
        run(**changes)


@pytest.mark.jit_off
def test_with_a_checkpoint_a_callback_says_what_it_remembers(tmp_path):
    with pytest.raises(TypeError, match=r"callbacks\[0\], a Plain, must have a dict `state` where there is a"):
        run(tmp_path / "run.h5", callbacks=[Plain()])
    assert not (tmp_path / "run.h5").exists()


@pytest.mark.jit_off
@pytest.mark.parametrize("call, error, message", [
    (lambda: EarlyStopping("val_loss"), ValueError, "monitor must be one of"),
    (lambda: EarlyStopping(best="no"), TypeError, "best must be True or False, got 'no'"),
    (lambda: EarlyStopping(patience=0), ValueError, "patience must be >= 1"),
    (lambda: EarlyStopping(min_delta=-1), ValueError, "min_delta must be >= 0"),
    (lambda: CsvLog("missing/log.csv"), FileNotFoundError, "its folder does not exist")])
def test_bad_settings(call, error, message):
    with pytest.raises(error, match=message):
        call()
