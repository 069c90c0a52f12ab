"""Training that is stopped: by Ctrl-C, a kill, an error; it goes on from its checkpoint to the same bytes."""

import copy
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import training_run
from training_run import N_STEPS, digest, interrupt_at, run, small_model, small_split, state, stop

import bnnsim.files.file_format as file_format
import bnnsim.training.checkpoint_file as checkpoint_file
import bnnsim.training.fitting as fitting
import bnnsim.training.step as step_module
from bnnsim import threads
from bnnsim.datasets.find import load_embedded
from bnnsim.datasets.split import Split
from bnnsim.training.history import History
from bnnsim.training.optimizers import Adam, Sgd
from bnnsim.training.schedules import Constant
from bnnsim.training.step import train_step

CHILD = [sys.executable, training_run.__file__]


@pytest.fixture(scope="module")
def whole():
    """The state that an uninterrupted run ends with."""
    return state(*run())


# checkpoints

@pytest.mark.parametrize("at", range(1, N_STEPS + 1))
def test_resume_gives_the_bytes_of_an_uninterrupted_run(tmp_path, monkeypatch, whole, at):
    """Moments, statistics, sums of an unfinished epoch, order, crops and flips go on; at any step."""
    with monkeypatch.context() as patch:
        interrupt_at(patch, at, stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            run(tmp_path / "run.h5", resume=True)
    steps, step, model = [], train_step, small_model()
    monkeypatch.setattr(step_module, "train_step", lambda run: steps.append(1) or step(run))
    assert state(*run(tmp_path / "run.h5", model=model, resume=True)) == whole
    assert len(steps) == N_STEPS - at + 1                       # step `at` was stopped before it was saved


def test_resume_of_a_finished_run_is_the_run(tmp_path, whole):
    run(tmp_path / "run.h5")
    assert state(*run(tmp_path / "run.h5", resume=True)) == whole


def test_resume_with_momentum(tmp_path, monkeypatch):
    """The other optimizer's state is in the checkpoint too."""
    ref = state(*run(optimizer=Sgd()))
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5, stop)
        with pytest.raises(RuntimeError):
            run(tmp_path / "run.h5", optimizer=Sgd())
    assert state(*run(tmp_path / "run.h5", optimizer=Sgd(), resume=True)) == ref


OTHER_RUNS = {
    "seed": {"rng": 6}, "epochs": {"epochs": 4}, "batch_size": {"batch_size": 16},
    "flip_rates": {"flip_rate": 0.2},
    "gradient": {"gradient": "straight-through"}, "precision": {"precision": "float32"}, "augment": {"augment": False},
    "optimizer": {"optimizer": Sgd()},
    "schedule": {"schedule": Constant()}, "train": {"train": small_split(80, 3)},
    "validation": {"validation": None},
    "keep": {"keep": "best"},
    "model": {"model": small_model("C4 MP2 FC21 FC10")},
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("other") / "run.h5"
    run(path)
    return path


@pytest.mark.parametrize("what", OTHER_RUNS)
def test_the_checkpoint_of_another_run_is_refused(checkpoint, what):
    """Going on with other settings would be neither run; the message names it, and the file stays."""
    before, changes = checkpoint.read_bytes(), dict(OTHER_RUNS[what])
    model = changes.pop("model", None) or small_model()
    untouched = state(model, None)
    with pytest.raises(ValueError, match=f"checkpoint of another run: {what} is .* there and .* here$"):
        run(checkpoint, model=model, resume=True, **changes)
    assert checkpoint.read_bytes() == before and state(model, None) == untouched


def test_the_checkpoint_of_other_weights_is_refused(tmp_path, monkeypatch):
    """Else the second of two networks that are trained on alike would silently become the first."""
    path, other = tmp_path / "run.h5", small_model(seed=9)
    run(path)
    before, untouched = path.read_bytes(), state(other, None)
    with pytest.raises(ValueError, match="another run: it began from other weights than the model has.*same rng"):
        run(path, model=other, resume=True)
    assert path.read_bytes() == before and state(other, None) == untouched
    run(model=other, epochs=1)                                  # trained, but not by the run of this checkpoint
    with pytest.raises(ValueError, match="began from other weights"):
        run(path, model=other, resume=True)


@pytest.mark.parametrize("how", [lambda: os.kill(os.getpid(), signal.SIGINT), stop])
def test_the_model_of_an_interrupted_run_goes_on_itself(tmp_path, monkeypatch, whole, how):
    """In the same process, where it has the weights that it was left with."""
    model = small_model()
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5, how)
        with pytest.raises((KeyboardInterrupt, RuntimeError)):
            run(tmp_path / "run.h5", model=model)
    assert state(*run(tmp_path / "run.h5", model=model, resume=True)) == whole
    assert state(*run(tmp_path / "run.h5", model=model, resume=True)) == whole


def test_a_checkpoint_that_does_not_know_its_beginning_goes_on(tmp_path, monkeypatch, whole):
    """Written before checkpoints knew it; what is not known stays so."""
    path = tmp_path / "run.h5"
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5, stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            run(path)
    settings, arrays, progress = checkpoint_file.load_checkpoint(path)
    assert len(progress.pop("began")) == 64
    checkpoint_file.save_checkpoint(path, settings, arrays, progress)
    assert state(*run(path, model=small_model(seed=9), resume=True)) == whole
    assert "began" not in checkpoint_file.load_checkpoint(path)[2]


def test_same_sizes_under_another_learning_rate_are_another_run(checkpoint):
    with pytest.raises(ValueError, match="optimizer is .*0.001.* there and .*0.002.* here"):
        run(checkpoint, resume=True, optimizer=Adam(0.002))


def test_an_existing_checkpoint_is_not_overwritten(checkpoint):
    before = checkpoint.read_bytes()
    with pytest.raises(FileExistsError, match="exists: pass resume=True to go on from it, or give another name"):
        run(checkpoint)
    assert checkpoint.read_bytes() == before


def test_a_checkpoint_is_written_when_due_and_at_the_end(tmp_path, monkeypatch):
    """Every `checkpoint_seconds`: 0 is after each step, an hour is at the end only."""
    written, save = [], checkpoint_file.save_checkpoint
    monkeypatch.setattr(checkpoint_file, "save_checkpoint", lambda *args: written.append(1) or save(*args))
    run(tmp_path / "often.h5")
    assert len(written) == N_STEPS
    written.clear()
    run(tmp_path / "late.h5", checkpoint_seconds=3600)
    assert len(written) == 1


def test_float32_resumes_to_the_same_bytes_too(tmp_path, monkeypatch):
    """And for any number of threads; it is another training than that of the default."""
    whole = state(*run(precision="float32"))
    assert whole != state(*run())
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4, stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            run(tmp_path / "run.h5", precision="float32")
    with threads(3):
        assert state(*run(tmp_path / "run.h5", precision="float32", resume=True)) == whole


@pytest.mark.parametrize("optimizer", [Adam, Sgd])
def test_a_learning_rate_of_numpy_goes_into_a_checkpoint(tmp_path, optimizer):
    """Of any float type; the history has it as a plain number."""
    model, history = run(tmp_path / "run.h5", optimizer=optimizer(np.float32(1e-3)), schedule=Constant())
    assert history.learning_rate == [float(np.float32(1e-3))] * 3 and {*map(type, history.learning_rate)} == {float}
    resumed = run(tmp_path / "run.h5", optimizer=optimizer(np.float32(1e-3)), schedule=Constant(), resume=True)
    assert state(*resumed) == state(model, history)


def test_a_history_of_many_epochs_goes_into_a_checkpoint(tmp_path):
    """Of more than a MiB, with which a long training ended."""
    n, path, model = 9000, tmp_path / "run.h5", small_model()
    model.history = History([1 / 3] * n, [1 / 3] * n, [1 / 3] * n, [1e-3] * n, [[1 / 3] * 3] * n, n, [1 / 3] * n)
    again = copy.deepcopy(model)
    more = dict(epochs=n + 1, initial_epoch=n, schedule=Constant())
    whole = run(path, model, **more)
    assert len(file_format.to_json("progress", checkpoint_file.load_checkpoint(path)[2], 2**26)) > 2**20
    assert state(*run(path, again, resume=True, **more)) == state(*whole)


@pytest.mark.parametrize("settings, progress, message", [
    ({"a": "x" * 2**20}, {}, "settings must be at most 1048576 bytes of JSON"),
    ({}, {"a": "x" * 2**26}, "progress must be at most 67108864 bytes of JSON")])
def test_texts_without_bounds_are_refused(tmp_path, settings, progress, message):
    with pytest.raises(ValueError, match=message):
        checkpoint_file.save_checkpoint(tmp_path / "run.h5", settings, {}, progress)


# Ctrl-C

def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_finishes_the_step_and_keeps_a_checkpoint(tmp_path, monkeypatch, whole):
    """Also where none was due; the message says how to go on, and the former handler is back."""
    former, path = signal.getsignal(signal.SIGINT), tmp_path / "run.h5"
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4, press)
        with pytest.raises(KeyboardInterrupt) as stopped:
            run(path, checkpoint_seconds=3600)
    hint = f"go on with checkpoint='{path}', resume=True, or a command with --resume"
    assert str(stopped.value) == f"interrupted after 4 of 9 steps; {hint}"
    assert signal.getsignal(signal.SIGINT) is former
    assert checkpoint_file.load_checkpoint(path)[2]["step"] == 4
    assert state(*run(path, resume=True)) == whole


def test_ctrl_c_without_a_checkpoint_says_so(monkeypatch):
    interrupt_at(monkeypatch, 2, press)
    with pytest.raises(KeyboardInterrupt, match="2 of 9 steps, which the model has; no file was written"):
        run()


def test_a_second_ctrl_c_interrupts_at_once(monkeypatch):
    """A step that hangs can be left."""
    interrupt_at(monkeypatch, 2, lambda: (press(), press(), pytest.fail("still running")))
    with pytest.raises(KeyboardInterrupt):
        run()


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_the_former_handler_is_back(monkeypatch, error):
    """A program's own Ctrl-C handling survives a training, also one that fails."""
    def mine(number, frame):
        pass

    former = signal.signal(signal.SIGINT, mine)
    try:
        if error:
            interrupt_at(monkeypatch, 1, stop)
            with pytest.raises(error):
                run()
        else:
            run()
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, former)


def test_training_in_another_thread(whole):
    """There signals cannot be caught: training runs all the same."""
    found = []
    thread = threading.Thread(target=lambda: found.append(state(*run())))
    thread.start()
    thread.join()
    assert found == [whole]


# processes that are stopped from outside

def start(path):
    here = {"PYTHONPATH": str(Path(fitting.__file__).resolve().parents[2])}
    return subprocess.Popen([*CHILD, str(path)], env={**os.environ, **here}, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def read_steps(child, n_lines):
    """Wait for up to n_lines of a child's output; the steps that it reported."""
    steps = []
    while len(steps) < n_lines and (line := child.stdout.readline()).startswith("step"):
        steps.append(int(line.split()[1]))
    return steps


def test_sigint_from_outside(tmp_path, whole):
    """As a user at a terminal: one line says how to go on, and the same command goes on."""
    with start(tmp_path / "run.h5") as child:
        read = read_steps(child, 2)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate()
    assert child.returncode != 0 and "done" not in out
    assert "KeyboardInterrupt: interrupted after" in err and "resume=True" in err
    assert checkpoint_file.load_checkpoint(tmp_path / "run.h5")[2]["step"] == len(read) + out.count("step")
    assert state(*run(tmp_path / "run.h5", resume=True)) == whole


def kill_and_resume(path, n_kills, seed):
    """Kill -9 at random moments, also while a checkpoint is written, and start again each time."""
    print("seed", seed)
    moments, last = random.Random(seed), 1
    for _ in range(n_kills):
        with start(path) as child:
            steps = read_steps(child, moments.randint(1, 3))
            threading.Event().wait(moments.random() * 0.03)
            child.kill()
        assert all(step >= last for step in steps[:1]), "it began anew"     # a step was saved before the next
        last = max([last, *steps])
    with start(path) as child:
        out, err = child.communicate()
    assert child.returncode == 0, err
    return out.splitlines()[-1].removeprefix("done ")


@pytest.mark.parametrize("n_kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, n_kills):
    """Power cut, scheduler's kill, out of memory: the file is whole at each moment."""
    for attempt in range(max(1, n_kills // 4)):
        seed = random.SystemRandom().randrange(10**6)
        assert kill_and_resume(tmp_path / f"run{attempt}.h5", min(n_kills, 5), seed) == digest(*run())


# ---------------------------------------------------------------- keeping the best epoch

def test_the_best_epoch_on_validation_is_kept(tmp_path):
    """keep="best" leaves the model where validation was best, and resumes to the same bytes."""
    train, test = load_embedded()
    settings = dict(epochs=4, validation=test[:300], rng=5, batch_size=64, keep="best", progress=False,
                    optimizer=Adam(0.05), schedule=Constant())
    whole = training_run.build("FC16 FC10", (1, 28, 28), rng=1)
    history = fitting.fit(whole, train[:600], checkpoint=tmp_path / "run.h5", checkpoint_seconds=0, **settings)
    accuracies = history.validation_accuracy
    assert history.kept_epoch == 1 + accuracies.index(max(accuracies)) < 4, "take another seed: the last was the best"
    assert whole.accuracy(test[:300]) == max(accuracies)
    again = training_run.build("FC16 FC10", (1, 28, 28), rng=1)
    settings["optimizer"] = Adam(0.05)
    resumed = fitting.fit(again, train[:600], checkpoint=tmp_path / "run.h5", resume=True, **settings)
    assert resumed == history
    for name, value in whole.arrays().items():
        assert value.tobytes() == again.arrays()[name].tobytes(), name


def test_keeping_the_best_needs_validation():
    train, _ = load_embedded()
    model = training_run.build("FC16 FC10", (1, 28, 28), rng=1)
    with pytest.raises(ValueError, match="keep='best' needs validation"):
        fitting.fit(model, train[:64], epochs=1, keep="best", progress=False)


@pytest.mark.parametrize("other", [dict(offset=128), dict(pad_value="plus")])
def test_a_checkpoint_of_other_layer_settings_is_refused(tmp_path, other):
    """An input offset or a padding changes what is computed, though not the shape of a single array."""
    import bnnsim.training.layers as layers
    from bnnsim.training.model import Sequential

    def model(offset=0, pad_value="zero"):
        rng = np.random.default_rng(0)
        return Sequential([
            layers.InputConv2d(1, 4, offset=offset, pad_value=pad_value, generator=rng), layers.BatchNormSign(4),
            layers.Flatten(4), layers.Dense(4 * 6 * 6, 10, rng), layers.BatchNorm(10)], (1, 6, 6))

    split = Split(np.zeros((8, 1, 6, 6), np.uint8), np.arange(8) % 2, "zeros")
    fitting.fit(model(), split, epochs=1, rng=0, checkpoint=tmp_path / "run.h5", progress=False)
    with pytest.raises(ValueError, match="another run: model is"):
        fitting.fit(model(**other), split, epochs=1, rng=0, checkpoint=tmp_path / "run.h5", resume=True,
                    progress=False)
