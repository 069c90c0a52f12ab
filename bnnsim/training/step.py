"""One step of training, and what it reads: augmented images, weights as a faulty memory gives them."""

import logging
import math

import numpy as np

from bnnsim.packed.bit_errors import flip_masks
from bnnsim.packed.memory import of_model
from bnnsim.seeding import child_root, generator, stream_key

log = logging.getLogger("bnnsim")


def broken_read(run):
    """The read function of this step: each layer's words as the memory gives them; None where it is sound."""
    return flipping_read(run) if run.faults is None else faulty_read(run)


def faulty_read(run):
    """What `run.faults` leaves of the stored words; its root seed is of the stream "training faults", its trial the
    step."""
    stored = of_model(run.model)
    broken = run.faults.apply(stored, child_root(run.root, "training faults"), run.progress.step)

    def read(index, layer):
        words = broken.layers[index].words
        return words, words ^ layer.words if run.gradient == "native" else None

    return read


def flipping_read(run):
    """Each layer's words with fresh flips; None at rate 0."""
    if not any(run.flip_rates):
        return None
    step = run.progress.step

    def read(index, layer):
        words = layer.words.reshape(-1, layer.words.shape[-1])
        masks = flip_masks(len(words), layer.parameters["weight"].shape[-1], run.flip_rates[index],
                                    stream_key(run.root, "training flips", step, index)).reshape(layer.words.shape)
        return layer.words ^ masks, masks if run.gradient == "native" else None

    return read


def augmented(images, rng, margin=4):
    """Random crops, `margin` black pixels around, and horizontal flips of images (N, C, H, W) uint8."""
    n, channels, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    top, left = rng.integers(0, 2 * margin + 1, (2, n))
    columns = left[:, None] + np.arange(width)
    columns = np.where(rng.random(n)[:, None] < 0.5, columns[:, ::-1], columns)
    rows = top[:, None] + np.arange(height)
    return padded[np.arange(n)[:, None, None, None], np.arange(channels)[:, None, None], rows[:, None, :, None],
                  columns[:, None, None, :]]


def train_step(run):
    """One batch: forward, loss, backward, update, as `run` says; its progress moves on by a step."""
    state = run.progress
    chosen = run.batch_indices(state.step)
    images, labels = run.train.images[chosen], run.train.labels[chosen]
    if run.augment:
        images = augmented(images, generator(run.root, "augment", state.step))
    scores, caches = run.model.forward_train(images, broken_read(run))
    loss, dscores = run.loss(scores, labels)
    added, penalties = (0.0, None) if run.regulariser is None else run.regulariser(run.model, caches)
    loss += added
    if not math.isfinite(loss):
        raise FloatingPointError(f"the loss is {loss} at step {state.step}: try a lower learning rate")
    factor = run.schedule.factor(state.step / run.steps_per_epoch, run.epochs)
    run.model.backward_update(dscores, caches, run.optimizer, factor, state.step + 1, run.precision, penalties)
    state.step += 1
    state.loss_sum += loss * len(labels)
    state.n_right += int(np.sum(scores.argmax(axis=1) == labels))
    state.n_seen += len(labels)


def end_epoch(run):
    """Evaluate, and enter the epoch into the history; remember the model where it is the best so far."""
    state, history = run.progress, run.progress.history
    for name, value in run.model.arrays().items():              # hidden ones can be NaN under a finite loss
        if not np.isfinite(value).all():
            raise FloatingPointError(f"{name} is not finite at step {state.step}: try a lower learning rate")
    validation = run.model.accuracy(run.validation) if run.validation is not None else None
    last = run.schedule.factor((state.step - 1) / run.steps_per_epoch, run.epochs)
    for name, value in (("loss", state.loss_sum / state.n_seen), ("accuracy", state.n_right / state.n_seen),
                        ("validation_accuracy", validation), ("learning_rate", run.optimizer.learning_rate * last),
                        ("flip_ratio", run.flip_ratio())):
        getattr(history, name).append(value)
    run.start_epoch()
    if run.keep == "last":
        history.kept_epoch = len(history.loss)
    elif validation > max(history.validation_accuracy[:-1], default=-1.0):
        history.kept_epoch = len(history.loss)
        run.keep_arrays()
    log.info("epoch %d of %d: loss %.4f, accuracy %.4f, validation %s", len(history.loss), run.epochs,
             history.loss[-1], history.accuracy[-1], validation)
    state.loss_sum, state.n_right, state.n_seen = 0.0, 0, 0
