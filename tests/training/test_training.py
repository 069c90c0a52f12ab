"""Training: it learns, from the images and by the settings it says; the same seed gives the same bytes in any number of
threads."""

import logging
import math

import numpy as np
import pytest
import training_run
from training_run import N_STEPS, run, small_model, small_split, state

import bnnsim.training.fitting as fitting
import bnnsim.training.packing as packing
from bnnsim import threads
from bnnsim.datasets.find import load_embedded
from bnnsim.datasets.split import Split
from bnnsim.seeding import generator
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.losses import LOSSES, cross_entropy
from bnnsim.training.optimizers import Adam, Sgd
from bnnsim.training.schedules import Constant, Cosine
from bnnsim.training.step import augmented


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


def test_history(monkeypatch):
    """Means over the images of an epoch, a smaller last batch counted by its images."""
    seen = []

    def recorded(scores, labels):
        if len(labels) != 20:                                   # those of validation
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
    validation = small_split(20, 2)
    assert history.validation_loss[1] == cross_entropy(model.scores(validation.images), validation.labels)[0]
    without = run(epochs=1, validation=None)[1]
    assert without.validation_accuracy == [None] and without.validation_loss == []


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

@pytest.mark.tiny
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


def test_every_image_once_an_epoch_in_a_new_order(monkeypatch):
    seen, train = record_batches(monkeypatch), small_split()
    run(train=train, augment=False, epochs=2, model=small_model("FC8 FC10"))
    epochs = [np.concatenate(seen[:3]), np.concatenate(seen[3:])]
    for images in epochs:
        assert sorted(map(bytes, images)) == sorted(map(bytes, train.images))
    orders = [tuple(map(bytes, images)) for images in (*epochs, train.images)]
    assert len(set(orders)) == 3


def test_images_keep_their_labels(monkeypatch):
    seen, found, train = record_batches(monkeypatch), [], small_split()
    monkeypatch.setitem(LOSSES, "cross-entropy",
                        lambda scores, labels: found.append(labels) or cross_entropy(scores, labels))
    run(train=train, augment=False, epochs=1, validation=None)
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


def test_augmentation_is_drawn_by_the_number_of_the_step(monkeypatch):
    """The batches by hand: on another stream a resumed training saw other crops than the whole one would have."""
    seen, train = record_batches(monkeypatch), small_split()
    run(train=train, epochs=2, model=small_model("FC8 FC10"))
    for step, images in enumerate(seen):
        order = generator(5, "order", step // 3).permutation(80)[32 * (step % 3):32 * (step % 3 + 1)]
        np.testing.assert_array_equal(images, augmented(train.images[order], generator(5, "augment", step)))


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


def test_gradient_setting_decides_who_sees_the_mask(monkeypatch):
    seen = record_reads(monkeypatch)
    run(epochs=1, gradient="straight-through")
    assert all(mask is None and flips.any() for flips, mask, _ in seen)
    seen.clear()
    run(epochs=1, flip_rate=0)
    assert not any(flips.any() for flips, _, _ in seen)


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


def test_an_optimizer_is_not_used_twice():
    """Its moments are another run's, possibly of another size: results would hang on what ran before."""
    optimizer = Adam()
    run(epochs=1, optimizer=optimizer)
    with pytest.raises(ValueError, match="optimizer must be a new one"):
        run(epochs=1, optimizer=optimizer, model=small_model("FC500 FC10"), flip_rate=0)


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
