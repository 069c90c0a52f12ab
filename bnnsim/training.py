"""Training: mini-batches, schedules, bit errors in the forward pass, checkpoints that resume to the same bytes.

Every draw has a stream of its own (`seeding`): the order of an epoch's images hangs on (seed, epoch), the crops and
flips of a batch's images and the bit errors of a forward pass on (seed, step). So a run that was killed goes on from
its last checkpoint, at any step, as if nothing had happened.
"""

import logging
import math
import signal
import threading
from dataclasses import asdict, dataclass, field, is_dataclass

import numpy as np
from tqdm import tqdm

import bnnsim.products as products
from bnnsim.checks import (
    check_choice,
    check_images,
    check_int,
    check_labels,
    check_probability,
    check_real,
    check_split,
)
from bnnsim.checkpoints import Keeper
from bnnsim.kernels._buffers import recycling
from bnnsim.losses import check_loss
from bnnsim.memory import of_model
from bnnsim.model import Sequential
from bnnsim.optimizers import Adam, Cosine
from bnnsim.regularisers import DirectRegulariser
from bnnsim.seeding import child_root, generator, root_seed, stream_key

log = logging.getLogger("bnnsim")


@dataclass
class History:
    """What each epoch gave; lists of one entry an epoch. Accuracies are shares of 1, None without validation.

    loss has the regulariser in it. flip_ratio is, for each layer with weights, the share of its binary weights that
    changed sign from the start of the epoch to its end. kept_epoch is the epoch, from 1, that the model was left at.
    """

    loss: list = field(default_factory=list)
    accuracy: list = field(default_factory=list)
    validation_accuracy: list = field(default_factory=list)
    learning_rate: list = field(default_factory=list)
    flip_ratio: list = field(default_factory=list)
    kept_epoch: int = 0


@dataclass
class _Progress:
    """Where a run stands: steps done, and sums over the present epoch."""

    step: int = 0
    loss_sum: float = 0.0
    n_right: int = 0
    n_seen: int = 0
    history: History = field(default_factory=History)


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
        The last batch of an epoch may be smaller; every image is seen once an epoch.
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
    run = _Run(model, train, validation, root, check_int("epochs", epochs, 1), check_int("batch_size", batch_size, 1),
               optimizer, schedule, check_loss(loss, model),
               _flip_rates(flip_rate, len(model.weighted)), _checked_faults(faults, flip_rate, model),
               check_choice("gradient", gradient, ("straight-through", "native")),
               check_choice("precision", precision, products.PRECISIONS), bool(augment),
               check_choice("keep", keep, ("last", "best")), _checked_regulariser(regulariser, model))
    keeper = Keeper(checkpoint, check_real("checkpoint_seconds", checkpoint_seconds, 0), run, resume)
    keeper.start()
    with _deferred_interrupt() as interrupted, _bar(run, progress) as bar, recycling():
        while run.progress.step < run.n_steps:
            _train_step(run)
            bar.update(1)
            if run.progress.step % run.steps_per_epoch == 0:
                _end_epoch(run)
            _show(bar, run)
            if interrupted.is_set():
                keeper.save()
                raise KeyboardInterrupt(keeper.hint())
            keeper.save_if_due()
    keeper.save()
    if run.best:
        model.load_arrays(run.best)
    return run.progress.history


@dataclass
class _Run:
    """A run's settings, which do not change, and its progress, which does."""

    model: object
    train: object
    validation: object
    root: int
    epochs: int
    batch_size: int
    optimizer: object
    schedule: object
    loss: object
    flip_rates: tuple
    faults: object
    gradient: str
    precision: str
    augment: bool
    keep: str
    regulariser: object
    progress: _Progress = field(default_factory=_Progress)

    def __post_init__(self):
        if self.optimizer.state:
            raise ValueError("optimizer must be a new one: this one has the moments of another run")
        self.steps_per_epoch = math.ceil(len(self.train.images) / self.batch_size)
        self.n_steps = self.epochs * self.steps_per_epoch
        self._order = (None, None)
        self.epoch_words = {}
        self.start_epoch()
        if self.keep == "best" and self.validation is None:
            raise ValueError("keep='best' needs validation images: a part of the training images")
        self.best = {}                                          # a copy of the model's arrays at the best epoch
        if self.keep == "best":
            self.keep_arrays()

    def keep_arrays(self):
        """Remember the model as it is now."""
        self.best = {name: value.copy() for name, value in self.model.arrays().items()}

    def start_epoch(self):
        """Remember the weights' bits, for the epoch's flip ratio."""
        self.epoch_words = {f"epoch_words.{i}": layer.words for i, layer in enumerate(self.model.weighted)}

    def flip_ratio(self):
        """Share of each layer's weights that changed sign in this epoch."""
        return [int(np.bitwise_count(layer.words ^ words).sum(dtype=np.int64)) / layer.parameters["weight"].size
                for layer, words in zip(self.model.weighted, self.epoch_words.values())]

    def restore(self, progress):
        """Take up the progress that a checkpoint holds."""
        self.progress = _Progress(**{**progress, "history": History(**progress["history"])})

    def batch_indices(self, step):
        """Which images step number `step` (from 0) sees: a fresh permutation each epoch."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, generator(self.root, "order", epoch).permutation(len(self.train.images)))
        return self._order[1][batch * self.batch_size:(batch + 1) * self.batch_size]

    def settings(self):
        """What a checkpoint must agree on for a resumed run to give the same bytes; plain JSON."""
        def described(thing):
            return {"type": type(thing).__name__,
                    **{k: v for k, v in asdict(thing).items() if k != "state"}}
        return {"model": self.model.describe(), "seed": str(self.root), "epochs": self.epochs,
                "batch_size": self.batch_size, "optimizer": described(self.optimizer),
                "schedule": described(self.schedule), "flip_rates": list(self.flip_rates),
                "loss": described(self.loss) if is_dataclass(self.loss) else _name(self.loss),
                "gradient": self.gradient, "precision": self.precision, "augment": self.augment, "keep": self.keep,
                **({} if self.faults is None else {"faults": repr(self.faults)}),
                **({} if self.regulariser is None else {"regulariser": described(self.regulariser)}),
                "train": self.train.sha256,
                "validation": self.validation.sha256 if self.validation is not None else None}


def _name(function):
    return getattr(function, "__qualname__", type(function).__name__)


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


# ---------------------------------------------------------------- one step

def _broken_read(run):
    """The read function of this step: each layer's words as the memory gives them; None where it is sound."""
    return _flipping_read(run) if run.faults is None else _faulty_read(run)


def _faulty_read(run):
    """What `run.faults` leaves of the stored words; its root seed is of the stream "training faults", its trial the
    step."""
    stored = of_model(run.model)
    broken = run.faults.apply(stored, child_root(run.root, "training faults"), run.progress.step)

    def read(index, layer):
        words = broken.layers[index].words
        return words, words ^ layer.words if run.gradient == "native" else None

    return read


def _flipping_read(run):
    """Each layer's words with fresh flips; None at rate 0."""
    if not any(run.flip_rates):
        return None
    step = run.progress.step

    def read(index, layer):
        words = layer.words.reshape(-1, layer.words.shape[-1])
        masks = products.flip_masks(len(words), layer.parameters["weight"].shape[-1], run.flip_rates[index],
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


def _train_step(run):
    state = run.progress
    chosen = run.batch_indices(state.step)
    images, labels = run.train.images[chosen], run.train.labels[chosen]
    if run.augment:
        images = augmented(images, generator(run.root, "augment", state.step))
    scores, caches = run.model.forward_train(images, _broken_read(run))
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


def _end_epoch(run):
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
