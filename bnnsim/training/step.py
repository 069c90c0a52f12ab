"""One step of training, and the end of an epoch. What plug-ins give is checked here, where they are asked."""

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np

import bnnsim.training.callbacks as callbacks
from bnnsim.checks import check_array, check_finite, check_labels, check_real
from bnnsim.seeding import generator
from bnnsim.training.layers.batchnorm import Norm
from bnnsim.training.losses import Loss, of_images
from bnnsim.training.model import Graph
from bnnsim.training.plug_ins import name_of
from bnnsim.training.reading import Read, reader, root_of
from bnnsim.training.regularisers import Penalty, Regulariser
from bnnsim.training.run import Run

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages

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
    images, labels = run.train.images[chosen], run.labels[chosen]
    if settings.augment:
        images = augmented(images, generator(run.root, "augment", progress.step))
    scores, caches = run.model.forward_train(images, _read(run))
    loss, dscores = _loss(of_images(settings.loss, chosen, len(run.train.images)), scores, labels)
    penalties: dict[int, Penalty] = {}
    if settings.regulariser is not None and math.isfinite(loss):
        added, penalties = _penalties(settings.regulariser, run.model, caches)
        loss += added
    if not math.isfinite(loss):
        raise FloatingPointError(f"the loss is {loss} at step {progress.step}: try a lower learning rate")
    run.model.backward_update(dscores, caches, settings.optimizer, _factor(run, progress.step),
                              progress.step + 1 - progress.first_step, settings.precision, penalties)
    progress.step += 1
    progress.loss_sum += loss * len(labels)
    progress.n_right += int(np.sum(scores.argmax(axis=1) == labels))
    progress.n_seen += len(labels)


def _read(run: Run) -> Read | None:
    """How this step's forward pass reads its weights; None where no bit is wrong."""
    errors = run.settings.errors
    if errors is None:
        return None
    return reader(run.model, errors, root_of(errors, run.root), run.progress.step, run.settings.gradient == "native")


def _loss(loss: Loss, scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """What a loss gives; TypeError or ValueError where that is not a number and a finite gradient float32 (N, U)."""
    given, name = loss(scores, labels), name_of(loss)
    if not isinstance(given, tuple) or len(given) != 2 or np.ndim(given[0]):
        raise TypeError(f"a loss must give two things, its mean (a number) and the gradient of the scores (an array); "
                        f"{name} gave {given!r:.200}")
    gradient = check_array(f"the gradient that {name} gave", given[1], np.float32, scores.shape)
    if math.isfinite(given[0]):                                 # else it is the loss that is told of
        check_finite(f"the gradient that {name} gave with a loss of {float(given[0]):g}", gradient)
    return float(given[0]), gradient


def _penalties(regulariser: Regulariser, model: Graph, caches: list[Any]) -> tuple[float, dict[int, Penalty]]:
    """What a regulariser gives; TypeError or ValueError where that is not a value and Penalties that fit."""
    given, name = regulariser(model, caches), name_of(regulariser)
    if not isinstance(given, tuple) or len(given) != 2 or not isinstance(given[1], dict) or np.ndim(given[0]):
        raise TypeError("a regulariser must give two things, its value (a number) and a dict of Penalty by the number "
                        f"of a batch norm in model.layers; {name} gave {given!r:.200}")
    for i, each in given[1].items():
        if i not in range(len(model.layers)) or not isinstance(model.layers[i], Norm) or not isinstance(each, Penalty):
            raise TypeError("a regulariser must give each Penalty by the number of a batch norm in model.layers; "
                            f"{name} gave {i!r}: {each!r:.200}")
        each.check(f"of the Penalty that {name} gave", caches[i].h)
    return float(given[0]), given[1]


def _factor(run: Run, step: int) -> float:
    """The schedule's factor at step number `step`, from 0."""
    factor = run.settings.schedule.factor(step / run.steps_per_epoch, run.settings.epochs)
    return check_real("factor(epoch, n_epochs) of the schedule", factor)


def _evaluated(run: Run, split: "LabelledImages") -> tuple[float, float]:
    """(mean loss, accuracy) of the model as it is, with running statistics and without bit errors."""
    labels = check_labels(split.labels, len(split.images), run.model.n_classes)
    scores = run.model.scores(split.images)
    loss, _ = _loss(run.settings.loss, scores, labels)
    if not math.isfinite(loss):
        raise FloatingPointError(f"the validation loss is {loss} after step {run.progress.step}: try a lower learning "
                                 "rate")
    return loss, float(np.mean(scores.argmax(axis=1) == labels))


def end_epoch(run: Run) -> None:
    """Evaluate, enter the epoch into the history, tell callbacks; remember the model where it is the best so far."""
    progress, history = run.progress, run.progress.history
    for name, value in run.model.arrays().items():              # hidden ones can be NaN under a finite loss
        if not np.isfinite(value).all():
            raise FloatingPointError(f"{name} is not finite at step {progress.step}: try a lower learning rate")
    validation = None
    if run.validation is not None:
        loss, validation = _evaluated(run, run.validation)
        history.validation_loss += [None] * (len(history.loss) - len(history.validation_loss)) + [loss]
    elif history.validation_loss:
        history.validation_loss.append(None)
    history.loss.append(progress.loss_sum / progress.n_seen)
    history.accuracy.append(progress.n_right / progress.n_seen)
    history.learning_rate.append(float(run.settings.optimizer.learning_rate * _factor(run, progress.step - 1)))
    history.flip_ratio.append(run.flip_ratio())
    best = history.validation_accuracy[history.kept_epoch - 1] if history.kept_epoch else None
    history.validation_accuracy.append(validation)
    progress.stopped, chosen = callbacks.call(run.settings.callbacks, run.model, history.row(len(history.loss)))
    if chosen is None:
        chosen = run.settings.keep == "last" or (validation is not None and (best is None or validation > best))
    if chosen:
        history.kept_epoch = len(history.loss)
        if run.keeps_best:
            run.keep_arrays()
    log.info("epoch %d of %d: loss %.4f, accuracy %.4f, validation %s", len(history.loss), run.settings.epochs,
             history.loss[-1], history.accuracy[-1], validation)
    run.start_epoch()
