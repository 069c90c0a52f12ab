"""One step of training, and the end of an epoch."""

import logging
import math

import numpy as np

from bnnsim.seeding import generator
from bnnsim.training.losses import loss_of
from bnnsim.training.reading import Read, reader, root_of
from bnnsim.training.regularisers import Penalty, penalties_of
from bnnsim.training.run import Run
from bnnsim.training.schedules import factor_of

log = logging.getLogger("bnnsim")


def augmented(images: np.ndarray, rng: np.random.Generator, margin: int = 4) -> np.ndarray:
    """Random crops, `margin` black pixels around, and horizontal flips of images (N, C, H, W) uint8."""
    n, channels, height, width = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (margin, margin), (margin, margin)))
    top, left = rng.integers(0, 2 * margin + 1, (2, n))
    columns = left[:, None] + np.arange(width)
    columns = np.where(rng.random((n,))[:, None] < 0.5, columns[:, ::-1], columns)
    rows = top[:, None] + np.arange(height)
    return padded[np.arange(n)[:, None, None, None], np.arange(channels)[:, None, None], rows[:, None, :, None],
                  columns[:, None, None, :]]


def train_step(run: Run) -> None:
    """One batch: forward, loss, backward, update, as `run` says; its progress moves on by a step."""
    settings, progress = run.settings, run.progress
    chosen = run.batch_indices(progress.step)
    images, labels = run.train.images[chosen], run.train.labels[chosen]
    if settings.augment:
        images = augmented(images, generator(run.root, "augment", progress.step))
    scores, caches = run.model.forward_train(images, read_of(run))
    loss, dscores = loss_of(settings.loss, scores, labels)
    penalties: dict[int, Penalty] = {}
    if settings.regulariser is not None:
        added, penalties = penalties_of(settings.regulariser, run.model, caches)
        loss += added
    if not math.isfinite(loss):
        raise FloatingPointError(f"the loss is {loss} at step {progress.step}: try a lower learning rate")
    run.model.backward_update(dscores, caches, settings.optimizer, factor_at(run, progress.step), progress.step + 1,
                              settings.precision, penalties)
    progress.step += 1
    progress.loss_sum += loss * len(labels)
    progress.n_right += int(np.sum(scores.argmax(axis=1) == labels))
    progress.n_seen += len(labels)


def read_of(run: Run) -> Read | None:
    """How this step's forward pass reads its weights; None where no bit is wrong."""
    errors = run.settings.errors
    if errors is None:
        return None
    return reader(run.model, errors, root_of(errors, run.root), run.progress.step, run.settings.gradient == "native")


def factor_at(run: Run, step: int) -> float:
    """The schedule's factor at step number `step`, from 0."""
    return factor_of(run.settings.schedule, step / run.steps_per_epoch, run.settings.epochs)


def end_epoch(run: Run) -> None:
    """Evaluate, and enter the epoch into the history; remember the model where it is the best so far."""
    progress, history = run.progress, run.progress.history
    for name, value in run.model.arrays().items():              # hidden ones can be NaN under a finite loss
        if not np.isfinite(value).all():
            raise FloatingPointError(f"{name} is not finite at step {progress.step}: try a lower learning rate")
    validation = run.model.accuracy(run.validation) if run.validation is not None else None
    history.loss.append(progress.loss_sum / progress.n_seen)
    history.accuracy.append(progress.n_right / progress.n_seen)
    history.learning_rate.append(run.settings.optimizer.learning_rate * factor_at(run, progress.step - 1))
    history.flip_ratio.append(run.flip_ratio())
    best = max((accuracy for accuracy in history.validation_accuracy if accuracy is not None), default=-1.0)
    history.validation_accuracy.append(validation)
    if run.settings.keep == "last" or (validation is not None and validation > best):
        history.kept_epoch = len(history.loss)
        if run.settings.keep == "best":
            run.keep_arrays()
    log.info("epoch %d of %d: loss %.4f, accuracy %.4f, validation %s", len(history.loss), run.settings.epochs,
             history.loss[-1], history.accuracy[-1], validation)
    run.start_epoch()
