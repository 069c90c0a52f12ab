"""Training: mini-batches, schedules, bit errors in the forward pass, checkpoints that resume to the same bytes.

Every draw has a stream of its own (`seeding`): the order of an epoch's images hangs on (seed, epoch), the crops and
flips of a batch's images and the bit errors of a forward pass on (seed, step). So a run that was killed goes on from
its last checkpoint, at any step, as if nothing had happened.
"""

import logging
import signal
import threading

import numpy as np
from tqdm import tqdm

import bnnsim.training.step as step
from bnnsim.checks import (check_choice, check_images, check_int, check_labels, check_probability, check_real,
                           check_split)
from bnnsim.kernels import recycling
from bnnsim.packed.memory import of_model
from bnnsim.seeding import root_seed
from bnnsim.training.checkpoints import Keeper
from bnnsim.training.gradients import PRECISIONS
from bnnsim.training.losses import check_loss
from bnnsim.training.model import Sequential
from bnnsim.training.optimizers import Adam
from bnnsim.training.regularisers import DirectRegulariser
from bnnsim.training.run import Run
from bnnsim.training.schedules import Cosine

log = logging.getLogger("bnnsim")


def fit(model, train, epochs=20, validation=None, rng=None, *, batch_size=256, optimizer=None, schedule=None,
        loss="cross-entropy", regulariser=None, flip_rate=0.0, faults=None, gradient="straight-through",
        precision="fixed16", augment=False, keep="last", checkpoint=None, resume=False, checkpoint_seconds=30.0,
        progress=True):
    """Train a model in place.

    Parameters
    ----------
    model : Sequential
    train : Split
    epochs : int
    validation : Split, optional
        Evaluated after each epoch, with running statistics and without bit errors.
    rng : None, int, SeedSequence or Generator
        The root seed; it is logged.
    batch_size : int
        The last batch of an epoch may be smaller; every image is seen once an epoch. With batch norm behind a dense
        layer it must be 2 or more, and a last batch of one image joins the one before.
    optimizer : Adam, Sgd or Bop, optional
        Adam at 1e-3 by default. It keeps its moments: give a new one to each run.
    schedule : Cosine, Step, Exponential or Constant, optional
        Of the learning rate; Cosine by default.
    loss : "cross-entropy", "mhl", "squared-hinge", "mcel", or an object of `bnnsim.losses`
        Such as ``ModifiedHinge(b=64)``; or any function (scores, labels) -> (loss, gradient). MHL and MCEL need a model
        that was built with ``output_norm=False``.
    regulariser : DirectRegulariser, optional
        Added to the loss: see `bnnsim.regularisers`.
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
        `resume`, which goes on from it to the bytes that an uninterrupted run gives.
    checkpoint_seconds : float
    progress : bool
        Show a bar with loss and accuracy.

    Returns
    -------
    History

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, after the step in flight is finished and the checkpoint is written.
    ValueError, TypeError, FileExistsError
        Where an argument is bad, or the checkpoint belongs to another run: the message says what differs.

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> split = bnnsim.Split(np.zeros((8, 1, 4, 4), np.uint8), np.arange(8) % 2, "zeros")
    >>> model = bnnsim.architectures.build("FC8 FC2", (1, 4, 4), rng=0)
    >>> len(bnnsim.fit(model, split, epochs=2, rng=0, progress=False).loss)
    2
    """
    optimizer, schedule = Adam() if optimizer is None else optimizer, Cosine() if schedule is None else schedule
    _check_plug_in("optimizer", optimizer, "update", "bnnsim.optimizers.Adam()")
    _check_plug_in("schedule", schedule, "factor", "bnnsim.optimizers.Cosine()")
    if not isinstance(model, Sequential):
        raise TypeError(f"model must be a Sequential, as bnnsim.architectures makes them, got {type(model).__name__}")
    for name, split in (("train", train), ("validation", validation)):
        if split is not None or name == "train":
            check_split(split, name)
            check_images(split.images, model.input_shape)
            check_labels(split.labels, len(split.images), model.n_classes)
    root = root_seed(rng)
    log.info("training with seed %d", root)
    run = Run(model, train, validation, root, check_int("epochs", epochs, 1), check_int("batch_size", batch_size, 1),
               optimizer, schedule, check_loss(loss, model),
               _flip_rates(flip_rate, len(model.weighted)), _checked_faults(faults, flip_rate, model),
               check_choice("gradient", gradient, ("straight-through", "native")),
               check_choice("precision", precision, PRECISIONS), bool(augment),
               check_choice("keep", keep, ("last", "best")), _checked_regulariser(regulariser, model))
    keeper = Keeper(checkpoint, check_real("checkpoint_seconds", checkpoint_seconds, 0), run, resume)
    keeper.start()
    with _deferred_interrupt() as interrupted, _bar(run, progress) as bar, recycling():
        while run.progress.step < run.n_steps:
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
    if run.best:
        model.load_arrays(run.best)
    return run.progress.history


def _check_plug_in(name, value, method, example):
    if isinstance(value, type) or not callable(getattr(value, method, None)):
        raise TypeError(f"{name} must be an object with a method `{method}`, such as {example}, got {value!r}")


def _flip_rates(flip_rate, n_layers):
    if np.ndim(flip_rate) == 0:
        return (check_probability("flip_rate", flip_rate),) * n_layers
    if len(flip_rate) != n_layers:
        raise ValueError(f"flip_rate must be one probability or {n_layers}, one for each layer with weights, got "
                         f"{len(flip_rate)}")
    return tuple(check_probability(f"flip_rate[{i}]", p) for i, p in enumerate(flip_rate))


def _checked_faults(faults, flip_rate, model):
    """The fault, once tried on the model's weights: bad ones are to fail before the first step."""
    if faults is None:
        return None
    _check_plug_in("faults", faults, "apply", "bnnsim.faults.BitFlips(0.01)")
    if np.any(flip_rate):
        raise ValueError("give flip_rate or faults, not both: BitFlips(flip_rate) is a fault")
    faults.apply(of_model(model), 0, 0)
    return faults


def _checked_regulariser(regulariser, model):
    if regulariser is not None and not isinstance(regulariser, DirectRegulariser):
        raise TypeError("regulariser must be an object such as bnnsim.regularisers.DirectRegulariser(strength=0.01, "
                        f"target=16), got {regulariser!r}")
    if regulariser is not None and len(model.weighted) < 2:
        raise ValueError("regulariser needs hidden neurons, and this model has none")
    return regulariser


def _bar(run, progress):
    return tqdm(total=run.n_steps, initial=run.progress.step, unit="step", disable=not progress, mininterval=0.5)


def _show(bar, run):
    state, history = run.progress, run.progress.history
    shown = {"epoch": f"{min(state.step // run.steps_per_epoch + 1, run.epochs)}/{run.epochs}"}
    loss, accuracy = (state.loss_sum / state.n_seen, state.n_right / state.n_seen) if state.n_seen else \
        (history.loss[-1], history.accuracy[-1])
    shown |= {"loss": f"{loss:.3f}", "accuracy": f"{accuracy:.3f}"}
    if history.validation_accuracy and history.validation_accuracy[-1] is not None:
        shown["validation"] = f"{history.validation_accuracy[-1]:.4f}"
    bar.set_postfix(shown, refresh=False)


class _deferred_interrupt:
    """Inside: the first Ctrl-C sets an event, so that the step in flight is finished; a second one interrupts at once.

    Outside of the main thread signals cannot be caught, and nothing is changed.
    """

    def __enter__(self):
        event = threading.Event()
        self._former = None
        if threading.current_thread() is threading.main_thread():
            def handle(number, frame):
                if event.is_set():
                    raise KeyboardInterrupt
                event.set()
            self._former = signal.signal(signal.SIGINT, handle)
        return event

    def __exit__(self, *exception):
        if self._former is not None:
            signal.signal(signal.SIGINT, self._former)
