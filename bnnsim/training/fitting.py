"""Training: mini-batches, schedules, bit errors in the forward pass, checkpoints that resume to the same bytes.

Every draw has a stream of its own (`seeding`): the order of an epoch's images hangs on (seed, epoch), the crops and
flips of a batch's images and the bit errors of a forward pass on (seed, step). So a run that was killed goes on from
its last checkpoint, at any step, as if nothing had happened.
"""

import logging
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

import bnnsim.training.step as step
from bnnsim.checks import (FilePath, check_bool, check_choice, check_images, check_int, check_labels, check_real,
                           check_split)
from bnnsim.kernels import recycling
from bnnsim.progress_bars import progress_bar
from bnnsim.seeding import RandomSource, root_seed
from bnnsim.training.callbacks import Callback, check_callbacks
from bnnsim.training.checkpoints import Keeper
from bnnsim.training.gradients import PRECISIONS
from bnnsim.training.history import History
from bnnsim.training.losses import Loss, check_loss, class_weights
from bnnsim.training.model import Graph
from bnnsim.training.optimizers import Optimizer, check_optimizer
from bnnsim.training.reading import check_errors
from bnnsim.training.regularisers import Regulariser, check_regulariser
from bnnsim.training.run import Run
from bnnsim.training.schedules import Schedule, check_schedule
from bnnsim.training.settings import Settings

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages
    from bnnsim.faults.protocol import Fault

log = logging.getLogger("bnnsim")


def fit(model: Graph, train: "LabelledImages", epochs: int = 20, validation: "LabelledImages | None" = None,
        rng: RandomSource = None, *, batch_size: int = 256, optimizer: Optimizer | None = None,
        schedule: Schedule | None = None, loss: str | Loss = "cross-entropy", regulariser: Regulariser | None = None,
        flip_rate: float | Sequence[float] = 0.0, faults: "Fault | None" = None, gradient: str = "straight-through",
        precision: str = "fixed16", augment: bool = False, keep: str = "last", checkpoint: FilePath | None = None,
        resume: bool = False, checkpoint_seconds: float = 30.0, progress: bool = True,
        validation_share: float | None = None, callbacks: Sequence[Callback] = (),
        class_weight: str | Mapping[int, float] | None = None, initial_epoch: int = 0) -> History:
    """Train a model in place.

    Parameters
    ----------
    model : Sequential or Graph
    train : Split
    epochs : int
    validation : Split, optional
        Evaluated after each epoch, with running statistics and without bit errors: accuracy, and the loss without its
        regulariser.
    rng : None, int, SeedSequence or Generator
        The root seed; it is logged. None with initial_epoch: that of the epochs before, if ``model.metadata`` has it.
    batch_size : int
        The last batch of an epoch may be smaller; every image is seen once an epoch. With batch norm behind a dense
        layer it must be 2 or more, and a last batch of one image joins the one before.
    optimizer : Optimizer, optional
        Adam at 1e-3 by default; Sgd, Bop, or one of your own: see `bnnsim.optimizers`. It keeps its moments: give a new
        one to each run.
    schedule : Schedule, optional
        Of the learning rate; Cosine by default; Step, Exponential, Constant, or one of your own: see
        `bnnsim.schedules`.
    loss : "cross-entropy", "mhl", "squared-hinge", "mcel", or a Loss
        An object of `bnnsim.losses`, such as ``ModifiedHinge(b=64)``; or any function (scores, labels) -> (loss,
        gradient). MHL and MCEL need a model that was built with ``output_norm=False``.
    regulariser : Regulariser, optional
        Added to the loss: DirectRegulariser, or one of your own: see `bnnsim.regularisers`.
    flip_rate : float, or one float a layer with weights
        Probability that a weight bit is read wrong in training's forward pass; a new mask each forward
        [V: Hirtzlin et al. 2019; Buschjaeger et al. 2020, section V].
    faults : fault, optional
        Any fault instead of flips at a rate, as `bnnsim.faults` has them: an object with ``apply(memory, rng, trial)``.
        It is drawn anew in each forward pass, whenever it is drawn in a memory: this trains for all chips. A
        `FaultMap` draws nothing: it trains for one chip.
    gradient : "straight-through" or "native"
        Whether the weight gradient ignores the mask (dW = dH X^T, Buschjaeger et al. 2020 [R]) or sees it
        (dW = M * dH X^T, Hirtzlin et al. 2019 [R]).
    precision : "fixed16" or "float32"
        Of gradients in matrix products: rounded to 16 bits once, with a unit for each row that is summed along, and
        summed exactly; or float32, summed in float32. Both give the same bytes on every CPU, for any number of threads.
    augment : bool
        Random crop (4 black pixels around) and horizontal flip of each image, as for CIFAR-10 [C].
    keep : "last" or "best"
        Which epoch the model is left at: "best" is that of the best validation accuracy, the first where several are
        alike. Give it a part of the training images for that, never the test set.
    checkpoint : path, optional
        HDF5 file, written every `checkpoint_seconds`, at the end and on Ctrl-C. An existing file is an error unless
        `resume`, which goes on from it to the bytes that an uninterrupted run gives. Give it the model as it was when
        the run began, or, in the same process, as the run left it: the checkpoint of another one is refused.
    checkpoint_seconds : float
    progress : bool
        Show a bar with loss and accuracy.
    validation_share : float, optional
        Instead of `validation`: this share of each class of `train`, in (0, 1), is drawn by the root seed, held out
        and evaluated; the rest is trained on. ``train.hold_out(share, seed)`` gives the same two parts.
    callbacks : list of Callback
        Called after each epoch, in this order: EarlyStopping, CsvLog, LearningRateLog, or any object of your own with
        ``on_epoch_end(model, row)``, which gives True to stop: see `bnnsim.callbacks`.
    class_weight : dict of int to float, or "balanced"
        Makes the loss the weighted mean of its images': sum_i w[y_i] l_i / sum_i w[y_i] over the batch, in training and
        in validation. A class that the dict does not name weighs 1; "balanced" is N / (classes * images of the class)
        over the images that are trained on. See `bnnsim.losses.ClassWeighted`.
    initial_epoch : int
        To go on for more epochs than a training had: those that ``model.history`` has, ``len(model.history.loss)``;
        `epochs` is the number in all. Weights are those that the model was left at, the history grows, and seed and
        schedule go on at that epoch: with the same optimizer, which has its moments, and a schedule that does not look
        at `epochs`, such as Constant, the bytes are those of one longer training. A new optimizer begins anew. Another
        batch size needs another seed; a model that was interrupted in an epoch goes on from a checkpoint alone.

    Returns
    -------
    History
        The model's ``metadata`` says how it was trained, for `pack`. The history is ``model.history`` too, from the
        start on: after a Ctrl-C it has the epochs that were finished, and ``metadata`` the step, "interrupted_at_step".

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, after the step in flight is finished and the checkpoint is written.
    ValueError, TypeError, FileExistsError
        Where an argument is bad, or the checkpoint belongs to another run: the message says what differs.
    OSError
        Where the checkpoint is in use by another process, or cannot be written.

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> split = bnnsim.Split(np.zeros((8, 1, 4, 4), np.uint8), np.arange(8) % 2, "zeros")
    >>> model = bnnsim.architectures.build("FC8 FC2", (1, 4, 4), rng=0)
    >>> len(bnnsim.fit(model, split, epochs=2, rng=0, progress=False).loss)
    2
    """
    check_choice("keep", keep, ("last", "best"))
    resume, progress = check_bool("resume", resume), check_bool("progress", progress)
    _check_data(model, train, validation, validation_share)
    if keep == "best" and validation is None and validation_share is None:
        raise ValueError("keep='best' needs validation images: a part of the training images, validation_share=0.1")
    root = _root(model, rng, initial_epoch)
    if validation_share is not None:
        validation_share = check_real("validation_share", validation_share, 0, 1, open_low=True)
        if initial_epoch:
            _check_held_before(model, root, validation_share)
        train, validation = _held_out(train, validation_share, root)
    weights = None if class_weight is None else class_weights(class_weight, train.labels, model.n_classes)
    flip_rates = check_errors(flip_rate, faults, model)
    settings = Settings(
        check_int("epochs", epochs, 1), check_int("batch_size", batch_size, 1),
        check_optimizer(optimizer, initial_epoch != 0), check_schedule(schedule), check_loss(loss, model, weights),
        check_regulariser(regulariser, model), flip_rates, faults,
        check_choice("gradient", gradient, ("straight-through", "native")),
        check_choice("precision", precision, PRECISIONS), check_bool("augment", augment), keep, validation_share,
        check_callbacks(callbacks, keep, validation is not None, checkpoint is not None),
        check_int("initial_epoch", initial_epoch, 0, epochs - 1))
    run = Run(model, train, validation, root, settings)
    keeper = Keeper(checkpoint, check_real("checkpoint_seconds", checkpoint_seconds, 0), run, resume)
    with closing(keeper):
        keeper.start()
        if not keeper.loaded:
            run.go_on()
        log.info("training with seed %d", run.root)
        model.history = run.progress.history
        try:
            _train(run, keeper, progress)
            if run.best:
                model.load_arrays(run.best)
        except BaseException:
            model.metadata = run.interrupted_metadata()
            raise
        finally:
            model.left = run.left()
    model.metadata = run.metadata()
    return run.progress.history


def _check_data(model: Graph, train: "LabelledImages", validation: "LabelledImages | None",
                validation_share: float | None) -> None:
    """A model, and images and labels that are for it."""
    if not isinstance(model, Graph):
        raise TypeError("model must be a Sequential or a Graph, as bnnsim.architectures makes them, got "
                        f"{type(model).__name__}")
    check_split(train, "train")
    if validation_share is not None and validation is not None:
        raise ValueError("give validation or validation_share, not both: each says which images are evaluated")
    for split in (train, validation):
        if split is not None:
            check_split(split, "train" if split is train else "validation")
            check_images(split.images, model.input_shape)
            check_labels(split.labels, len(split.images), model.n_classes)


def _root(model: Graph, rng: RandomSource, initial_epoch: int) -> int:
    """The root seed; of a training that goes on that of the epochs before, where none is given and it is known."""
    before = model.metadata.get("seed", "") if initial_epoch and rng is None else ""
    return int(before) if before.isdecimal() else root_seed(rng)


def _check_held_before(model: Graph, root: int, share: float) -> None:
    """What is held out now must have been held out in the epochs before, as far as these are known."""
    before = model.metadata
    if "seed" in before and before["seed"] != str(root):
        raise ValueError(f"rng must be the seed of the epochs before, {before['seed']}, got {root}: with another one, "
                         "validation_share holds out images that were trained on; leave rng out, or give validation=")
    if "seed" in before and before.get("validation_share") != repr(share):
        raise ValueError(f"validation_share must be that of the epochs before, {before.get('validation_share')}, got "
                         f"{share}: other images were trained on; give validation= to evaluate others")


def _held_out(train: "LabelledImages", share: float, root: int) -> "tuple[LabelledImages, LabelledImages]":
    """(training part, validation part)."""
    hold_out = getattr(train, "hold_out", None)
    if not callable(hold_out):
        raise TypeError("validation_share needs a train with a method hold_out(share, rng), as a Split has it, got "
                        f"{type(train).__name__}; give validation= instead")
    return hold_out(share, root)


def _train(run: Run, keeper: Keeper, progress: bool) -> None:
    """All steps that are left."""
    with _deferred_interrupt() as interrupted, _bar(run, progress) as bar, recycling():
        while not run.done:
            step.train_step(run)
            bar.update(1)
            if run.progress.step % run.steps_per_epoch == 0:
                step.end_epoch(run)
            _show(bar, run)
            if interrupted.is_set():
                keeper.save()
                raise KeyboardInterrupt(keeper.hint())
            keeper.save_if_due()
    keeper.save()


def _bar(run: Run, progress: bool) -> Any:
    return progress_bar(total=run.n_steps, initial=run.progress.step, unit="step", disable=not progress,
                        mininterval=0.5)


def _show(bar: Any, run: Run) -> None:
    now, history, epochs = run.progress, run.progress.history, run.settings.epochs
    shown = {"epoch": f"{min(now.step // run.steps_per_epoch + 1, epochs)}/{epochs}"}
    loss, accuracy = (now.loss_sum / now.n_seen, now.n_right / now.n_seen) if now.n_seen else \
        (history.loss[-1], history.accuracy[-1])
    shown |= {"loss": f"{loss:.3f}", "accuracy": f"{accuracy:.3f}"}
    if history.validation_accuracy and history.validation_accuracy[-1] is not None:
        shown["validation"] = f"{history.validation_accuracy[-1]:.4f}"
    bar.set_postfix(shown, refresh=False)


@contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Inside: the first Ctrl-C sets an event, so that the step in flight is finished; a second one interrupts at once.

    Outside of the main thread signals cannot be caught, and nothing is changed.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    former = signal.signal(signal.SIGINT, handle)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, former)
