"""A training under way: its model, settings, history, checkpoints and progress."""

import math
from dataclasses import asdict, dataclass, field, is_dataclass

import numpy as np

from bnnsim.seeding import generator


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
class Progress:
    """Where a run stands: steps done, and sums over the present epoch."""

    step: int = 0
    loss_sum: float = 0.0
    n_right: int = 0
    n_seen: int = 0
    history: History = field(default_factory=History)


@dataclass
class Run:
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
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self):
        if self.optimizer.state:
            raise ValueError("optimizer must be a new one: this one has the moments of another run")
        self.steps_per_epoch = math.ceil(len(self.train.images) / self.batch_size)
        if self.model.needs_batches:
            self._check_batches()
        self.n_steps = self.epochs * self.steps_per_epoch
        self._order = (None, None)
        self.epoch_words = {}
        self.start_epoch()
        if self.keep == "best" and self.validation is None:
            raise ValueError("keep='best' needs validation images: a part of the training images")
        self.best = {}                                          # a copy of the model's arrays at the best epoch
        if self.keep == "best":
            self.keep_arrays()

    def _check_batches(self):
        """No batch of one image, of which dense batch norm makes 0 whatever it is: the last joins the one before."""
        n_images = len(self.train.images)
        if min(n_images, self.batch_size) < 2:
            what = "batch_size" if self.batch_size < 2 else "the number of training images"
            raise ValueError(f"{what} must be >= 2 for a model with batch norm behind a dense layer, got 1: of one "
                             "image it gives its shift, whatever the image, and nothing is learnt")
        self.steps_per_epoch -= n_images % self.batch_size == 1

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
        self.progress = Progress(**{**progress, "history": History(**progress["history"])})

    def batch_indices(self, step):
        """Which images step number `step` (from 0) sees: a fresh permutation each epoch."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, generator(self.root, "order", epoch).permutation(len(self.train.images)))
        stop = None if batch == self.steps_per_epoch - 1 else (batch + 1) * self.batch_size
        return self._order[1][batch * self.batch_size:stop]

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
