"""Training: the same seed gives the same bytes, whatever threads, interrupts, kills and resumes there are."""

import logging
import math
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
from training_run import N_STEPS, digest, run, small_model, small_split, state

import bnnsim.training.checkpoint_file as checkpoint_file
import bnnsim.training.fitting as fitting
import bnnsim.training.packing as packing
import bnnsim.training.step as step_module
from bnnsim import threads
from bnnsim.datasets.find import load_embedded
from bnnsim.datasets.split import Split
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.losses import LOSSES, cross_entropy
from bnnsim.training.optimizers import Adam, Sgd
from bnnsim.training.schedules import Constant, Cosine
from bnnsim.training.step import augmented, train_step

CHILD = [sys.executable, training_run.__file__]


@pytest.fixture(scope="module")
def whole():
    """The state that an uninterrupted run ends with."""
    return state(*run())


# what is learnt

def test_accuracy_is_far_over_chance():
    """2,000 images, 2 epochs: chance is 10 %."""
    train, test = load_embedded()
    model = training_run.build("FC256 FC10", (1, 28, 28), rng=0)
    history = fitting.fit(model, train[:2000], 2, test, 0, batch_size=50, optimizer=Adam(3e-3),
                           progress=False)
    assert history.loss[1] < 0.9 * history.loss[0] and history.accuracy[1] > history.accuracy[0] > 0.4
    assert history.validation_accuracy[1] > 0.6
    assert history.validation_accuracy[1] == model.accuracy(test) == packing.pack(model).accuracy(test)


@pytest.mark.parametrize("changes", [
    {}, {"optimizer": Sgd(0.05)}, {"flip_rate": [0.05, 0.05, 0]}, {"flip_rate": 0.05, "gradient": "native"},
    {"schedule": Constant()}])
def test_loss_falls(changes):
    settings = {"flip_rate": 0, "augment": False, "gradient": "straight-through", "epochs": 15,
                "optimizer": Adam(0.01),
                "model": small_model("FC64 FC64 FC10")}
    _, history = run(**{**settings, **changes})
    assert history.loss[-1] < 0.7 * history.loss[0] and history.accuracy[-1] > 0.5


@pytest.mark.jit_off
def test_history(monkeypatch):
    """Means over the images of an epoch, a smaller last batch counted by its images."""
    seen = []

    def recorded(scores, labels):
        seen.append((cross_entropy(scores, labels)[0], np.sum(scores.argmax(1) == labels), len(labels)))
        return cross_entropy(scores, labels)

    monkeypatch.setitem(LOSSES, "cross-entropy", recorded)
    model, history = run(epochs=2, optimizer=Adam(0.1), model=small_model("FC8 FC10"))
    losses, right, sizes = np.array(seen).reshape(2, 3, 3).transpose(2, 0, 1)
    np.testing.assert_array_equal(sizes, [[32, 32, 16]] * 2)
    np.testing.assert_allclose(history.loss, (losses * sizes).sum(1) / 80, rtol=1e-12)
    np.testing.assert_allclose(history.accuracy, right.sum(1) / 80, rtol=1e-12)
    rates = [0.1 * Cosine().factor(step / 3, 2) for step in (2, 5)]
    np.testing.assert_allclose(history.learning_rate, rates, rtol=1e-12)
    assert history.validation_accuracy[1] == model.accuracy(small_split(20, 2)) and len(history.loss) == 2
    assert run(epochs=1, validation=None)[1].validation_accuracy == [None]


@pytest.mark.jit_off
def test_learning_rate_of_each_step(monkeypatch):
    """The schedule moves within an epoch, and Adam's bias correction counts steps from 1."""
    seen, on_parts = [], Adam.on_parts
    monkeypatch.setattr(Adam, "on_parts", lambda self, key, value, factor, step, bound:
                        seen.append((key, factor, step, bound)) or on_parts(self, key, value, factor, step, bound))
    run(schedule=Cosine(), model=small_model("FC8 FC10"))
    weights = [(factor, step) for key, factor, step, bound in seen if key == "0.weight"]
    assert weights == [(Cosine().factor(step / 3, 3), step + 1) for step in range(N_STEPS)]
    assert {bound for key, _, _, bound in seen if key.endswith("weight")} == {1.0}
    assert {bound for key, _, _, bound in seen if not key.endswith("weight")} == {math.inf}


# the same bytes

def test_the_seed_is_the_run(whole):
    assert state(*run()) == whole
    assert state(*run(rng=6)) != whole
    assert state(*run(rng=np.random.default_rng(1))) == state(*run(rng=np.random.default_rng(1)))


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_threads_do_not_change_a_byte(whole, n_threads):
    with threads(n_threads):
        assert state(*run()) == whole


def test_numpy_s_global_generator_is_neither_read_nor_moved(whole):
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    assert state(*run()) == whole and np.array_equal(np.random.get_state()[1], before)


def test_a_seed_that_was_drawn_is_logged_and_gives_the_run_again(caplog):
    caplog.set_level(logging.INFO, "bnnsim")
    drawn = state(*run(rng=None))
    seed = next(int(record.args[0]) for record in caplog.records if "seed" in record.msg)
    assert state(*run(rng=seed)) == drawn


# batches, augmentation

def record_batches(monkeypatch):
    seen, forward = [], training_run.build("FC10", (1, 1, 1), rng=0).__class__.forward_train

    def recorded(self, images, read=None):
        seen.append(images.copy())
        return forward(self, images, read)

    monkeypatch.setattr("bnnsim.training.model.Sequential.forward_train", recorded)
    return seen


@pytest.mark.jit_off
def test_every_image_once_an_epoch_in_a_new_order(monkeypatch):
    seen, train = record_batches(monkeypatch), small_split()
    run(train=train, augment=False, epochs=2, model=small_model("FC8 FC10"))
    epochs = [np.concatenate(seen[:3]), np.concatenate(seen[3:])]
    for images in epochs:
        assert sorted(map(bytes, images)) == sorted(map(bytes, train.images))
    orders = [tuple(map(bytes, images)) for images in (*epochs, train.images)]
    assert len(set(orders)) == 3


@pytest.mark.jit_off
def test_images_keep_their_labels(monkeypatch):
    seen, found, train = record_batches(monkeypatch), [], small_split()
    monkeypatch.setitem(LOSSES, "cross-entropy",
                        lambda scores, labels: found.append(labels) or cross_entropy(scores, labels))
    run(train=train, augment=False, epochs=1)
    label_of = {bytes(image): label for image, label in zip(train.images, train.labels)}
    assert [label_of[bytes(image)] for image in np.concatenate(seen)] == np.concatenate(found).tolist()


def crop_of(image, original, margin=4):
    """(top, left, flipped) of the crop of the padded original that an image is; None where it is none."""
    padded = np.pad(original, ((0, 0), (margin, margin), (margin, margin)))
    height, width = original.shape[1:]
    for top, left, flipped in np.ndindex(2 * margin + 1, 2 * margin + 1, 2):
        crop = padded[:, top:top + height, left:left + width]
        if np.array_equal(image, crop[:, :, ::-1] if flipped else crop):
            return top, left, flipped
    return None


@pytest.mark.jit_off
def test_augmented_images_are_crops(monkeypatch):
    """Each at its own place, uniformly; half of them mirrored; channels stay together."""
    rng = np.random.default_rng(61)
    images = rng.integers(1, 256, (400, 3, 6, 8), np.uint8)
    crops = [crop_of(image, original) for image, original in zip(augmented(images, rng), images)]
    assert None not in crops
    top, left, flipped = np.array(crops).T
    for places in (top, left):
        counts = np.bincount(places, minlength=9)
        assert counts.size == 9 and np.all(np.abs(counts - 400 / 9) < 5 * math.sqrt(400 * 8 / 81))
    assert abs(flipped.mean() - 0.5) < 5 * 0.5 / 20
    assert abs(np.corrcoef([top, left, flipped]) - np.eye(3)).max() < 5 / 20


@pytest.mark.jit_off
def test_augmentation_is_new_in_each_epoch(monkeypatch):
    seen, train = record_batches(monkeypatch), small_split(2)
    run(train=train, epochs=6)
    assert len({bytes(image) for batch in seen for image in batch}) > 6
    assert all(any(crop_of(image, original) for original in train.images) for batch in seen
               for image in batch)
    seen.clear()
    run(train=train, epochs=2, augment=False)
    assert {bytes(image) for batch in seen for image in batch} == set(map(bytes, train.images))


# bit errors in the forward pass

def record_reads(monkeypatch):
    """[(flipped bits, mask)] of each forward of each layer with weights, in order."""
    seen, forward = [], Weighted.forward_train

    def recorded(self, x, words=None, mask=None):
        flips = np.zeros_like(self.words) if words is None else words ^ self.words
        seen.append((flips, None if mask is None else mask.copy(), self.parameters["weight"].size))
        return forward(self, x, words, mask)

    monkeypatch.setattr(Weighted, "forward_train", recorded)
    return seen


def test_flip_rates_by_layer(monkeypatch):
    """Rate 0: the words are read as they are. Elsewhere: Bernoulli within 5 sigma, new in each forward."""
    seen, rates = record_reads(monkeypatch), (0.2, 0.0, 0.3, 0.5, 0.01)
    run(model=small_model("FC300 FC300 FC300 FC300 FC10"), flip_rate=rates)
    for layer, p in enumerate(rates):
        reads = seen[layer::5]
        assert len(reads) == N_STEPS
        assert len({flips.tobytes() for flips, _, _ in reads}) == (N_STEPS if p else 1)
        for flips, mask, n_bits in reads:
            np.testing.assert_array_equal(mask, flips)
            assert abs(np.bitwise_count(flips).sum() - p * n_bits) <= 5 * math.sqrt(n_bits * p * (1 - p))
        check_independent(reads[0], reads[1], p, p)
    check_independent(seen[2], seen[3], 0.3, 0.5)               # two layers of one shape, in one forward


def check_independent(a, b, p_a, p_b):
    """Flips of two reads coincide as often as chance has it, within 5 sigma."""
    p, n_bits, shared = p_a * p_b, a[2], np.bitwise_count(a[0] & b[0]).sum()
    assert abs(shared - n_bits * p) <= 5 * math.sqrt(n_bits * p * (1 - p))


@pytest.mark.jit_off
def test_gradient_setting_decides_who_sees_the_mask(monkeypatch):
    seen = record_reads(monkeypatch)
    run(epochs=1, gradient="straight-through")
    assert all(mask is None and flips.any() for flips, mask, _ in seen)
    seen.clear()
    run(epochs=1, flip_rate=0)
    assert not any(flips.any() for flips, _, _ in seen)


@pytest.mark.jit_off
def test_stored_bits_are_not_flipped():
    """Errors are in what is read: the network that is packed has the signs of the latent weights."""
    model, _ = run(flip_rate=0.5, epochs=1)
    for layer in model.weighted:
        weight, n = layer.parameters["weight"], layer.parameters["weight"].shape[-1]
        bits = np.unpackbits(layer.words.view(np.uint8), axis=-1, bitorder="little", count=n)
        np.testing.assert_array_equal(bits, weight >= 0)


# bad input

BAD = {
    "epochs 0": ({"epochs": 0}, ValueError, "epochs must be >= 1"),
    "epochs 1.5": ({"epochs": 1.5}, TypeError, "epochs must be an integer"),
    "batch size": ({"batch_size": 0}, ValueError, "batch_size must be >= 1"),
    "loss": ({"loss": "cross_entropy"}, ValueError, "did you mean 'cross-entropy'"),
    "gradient": ({"gradient": "STE"}, ValueError, "gradient must be one of"),
    "precision": ({"precision": "float16"}, ValueError, "precision must be one of"),
    "flip rate": ({"flip_rate": 1.1}, ValueError, r"flip_rate must be a probability in \[0, 1\], got 1.1"),
    "flip rate NaN": ({"flip_rate": math.nan}, ValueError, "flip_rate must be a probability"),
    "flip rates": ({"flip_rate": [0.1, 0.2]}, ValueError,
                   "one probability or 3, one for each layer with weights, got 2"),
    "a flip rate": ({"flip_rate": [0.1, -1, 0]}, ValueError, r"flip_rate\[1\] must be a probability"),
    "seed": ({"rng": -1}, ValueError, "rng must be a seed >= 0"),
    "rng": ({"rng": "7"}, TypeError, "rng must be None, an integer"),
    "optimizer": ({"optimizer": "adam"}, TypeError, "optimizer must be"),
    "optimizer class": ({"optimizer": Adam}, TypeError, "optimizer must be"),
    "schedule": ({"schedule": "cosine"}, TypeError, "schedule must be"),
    "schedule class": ({"schedule": Cosine}, TypeError, "schedule must be"),
    "resume nothing": ({"resume": True}, ValueError, "resume=True needs the path"),
    "no folder": ({"checkpoint": "/nowhere/run.h5"}, FileNotFoundError,
                  "its folder does not exist; make it first: '/nowhere'"),
    "other images": ({"train": Split(np.zeros((4, 1, 6, 7), np.uint8), [0] * 4, "t")}, ValueError,
                     "images must have"),
    "no images": ({"train": small_split()[:0]}, ValueError, "train must have at least one image"),
    "labels": ({"train": Split(np.zeros((2, 1, 6, 6), np.uint8), [0, 10], "t", 11)}, ValueError,
               "labels must be in"),
    "validation": ({"validation": Split(np.zeros((4, 3, 6, 6), np.uint8), [0] * 4, "t")}, ValueError,
                   "images must"),
    "empty validation": ({"validation": small_split()[:0]}, ValueError,
                         "validation must have at least one image"),
}


@pytest.mark.jit_off
@pytest.mark.parametrize("row", BAD)
def test_bad_input(row):
    changes, error, message = BAD[row]
    model = small_model()
    before = state(model, None)
    with pytest.raises(error, match=message):
        run(model=model, **changes)
    assert state(model, None) == before


@pytest.mark.jit_off
def test_an_optimizer_is_not_used_twice():
    """Its moments are another run's, possibly of another size: results would hang on what ran before."""
    optimizer = Adam()
    run(epochs=1, optimizer=optimizer)
    with pytest.raises(ValueError, match="optimizer must be a new one"):
        run(epochs=1, optimizer=optimizer, model=small_model("FC500 FC10"), flip_rate=0)


@pytest.mark.jit_off
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(monkeypatch, value):
    """Weights made of NaN would look like all -1, and train on silently."""
    calls = []

    def spoilt(scores, labels):
        calls.append(1)
        loss, dscores = cross_entropy(scores, labels)
        return (loss, dscores) if len(calls) < 3 else (value, dscores)

    monkeypatch.setitem(LOSSES, "cross-entropy", spoilt)
    with pytest.raises(FloatingPointError,
                       match=r"the loss is (nan|inf) at step 2: try a lower learning rate"):
        run()


def test_weights_that_are_no_numbers_stop_the_run():
    """Hidden parameters overflow under a loss that stays finite."""
    settings = {"flip_rate": 0, "epochs": 5, "schedule": Constant()}
    with pytest.raises(FloatingPointError, match=r"[0-9]\.\w+ is not finite at step [0-9]+: try a lower"):
        run(model=small_model("FC20 FC20 FC10"), optimizer=Adam(1e30), **settings)


def test_progress_bar(capsys):
    run(progress=True)
    shown = capsys.readouterr()
    assert shown.out == "" and "loss=" in shown.err and "epoch=3/3" in shown.err and "9/9" in shown.err


# checkpoints

def interrupt_at(monkeypatch, at, how):
    """Call `how` after step number `at`, inside of it."""
    step = train_step

    def interrupted(run):
        step(run)
        if run.progress.step == at:
            how()

    monkeypatch.setattr(step_module, "train_step", interrupted)


def stop():
    raise RuntimeError("stopped by the test")


@pytest.mark.parametrize("at", range(1, N_STEPS + 1))
def test_resume_gives_the_bytes_of_an_uninterrupted_run(tmp_path, monkeypatch, whole, at):
    """Moments, statistics, sums of an unfinished epoch, order, crops and flips go on; at any step."""
    with monkeypatch.context() as patch:
        interrupt_at(patch, at, stop)
        with pytest.raises(RuntimeError, match="stopped by the test"):
            run(tmp_path / "run.h5", resume=True)
    steps, step, model = [], train_step, small_model(seed=9 if at > 1 else 0)
    monkeypatch.setattr(step_module, "train_step", lambda run: steps.append(1) or step(run))
    assert state(*run(tmp_path / "run.h5", model=model, resume=True)) == whole
    assert len(steps) == N_STEPS - at + 1                       # step `at` was stopped before it was saved


def test_resume_of_a_finished_run_is_the_run(tmp_path, whole):
    run(tmp_path / "run.h5")
    assert state(*run(tmp_path / "run.h5", model=small_model(seed=9), resume=True)) == whole


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
    hint = f"go on with checkpoint='{path}', resume=True"
    assert str(stopped.value) == f"interrupted after 4 of 9 steps; {hint}"
    assert signal.getsignal(signal.SIGINT) is former
    assert checkpoint_file.load_checkpoint(path)[2]["step"] == 4
    assert state(*run(path, resume=True)) == whole


def test_ctrl_c_without_a_checkpoint_says_so(monkeypatch):
    interrupt_at(monkeypatch, 2, press)
    with pytest.raises(KeyboardInterrupt, match="2 of 9 steps; nothing was saved"):
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


@pytest.mark.parametrize("n_kills", [5, pytest.param(20, marks=pytest.mark.slow)])
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
    again = training_run.build("FC16 FC10", (1, 28, 28), rng=2)
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
