"""A training under way: what is trained on what, how far it is, and what is remembered on the way."""

import copy
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bnnsim.checks import check_array, check_labels, digest_of
from bnnsim.files.file_format import content_checksum
from bnnsim.seeding import generator
from bnnsim.training.history import History
from bnnsim.training.on_chip import LimitedWrites
from bnnsim.training.settings import Settings

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages
    from bnnsim.training.model import Graph


@dataclass
class Progress:
    """Where a run stands: steps done, sums over the present epoch, and whether a callback ended it.

    first_step is the one at which the optimizer was new: it counts its steps from there.
    """

    step: int = 0
    loss_sum: float = 0.0
    n_right: int = 0
    n_seen: int = 0
    history: History = field(default_factory=History)
    stopped: bool = False
    first_step: int = 0

    def described(self) -> dict[str, Any]:
        """Plain JSON, for a checkpoint; without what this run has not."""
        found = asdict(self)
        if not self.history.validation_loss:
            del found["history"]["validation_loss"]
        return {name: value for name, value in found.items() if value or name not in ("stopped", "first_step")}


@dataclass(frozen=True)
class Left:
    """How a training left its model: kept with the weights, for the one that goes on from them.

    Parameters
    ----------
    root : int
        Its root seed.
    step, steps_into_epoch, optimizer_steps : int
        Steps done; of those, in an epoch that was not finished; and by the optimizer, which may have been new later.
    began : str
        Digest of the weights that it began from; "" where it had no checkpoint.
    """

    root: int
    step: int
    steps_into_epoch: int
    optimizer_steps: int
    began: str


@dataclass
class Run:
    """A run: model, data, root seed and settings, which stay the same, and its progress, which moves.

    Attributes
    ----------
    epoch_words : dict of str to uint64 array
        The weights' bits at the start of the epoch, for its flip ratio.
    best : dict of str to array
        A copy of the model's arrays at the best epoch, where that one is kept.
    began : str
        Digest of the arrays that the run began from; "" where it is not known.
    """

    model: "Graph"
    train: "LabelledImages"
    validation: "LabelledImages | None"
    root: int
    settings: Settings
    progress: Progress = field(default_factory=Progress)
    epoch_words: dict[str, np.ndarray] = field(default_factory=dict)
    best: dict[str, np.ndarray] = field(default_factory=dict)
    began: str = ""

    def __post_init__(self) -> None:
        self.labels = check_labels(self.train.labels, len(self.train.images), self.model.n_classes)
        self.steps_per_epoch = math.ceil(len(self.train.images) / self.settings.batch_size)
        if self.model.needs_batches:
            self._check_batches()
        self.n_steps = self.settings.epochs * self.steps_per_epoch
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, np.int64))
        self.start_epoch()
        if self.keeps_best:
            self.keep_arrays()

    def _check_batches(self) -> None:
        """No batch of one image, of which dense batch norm makes 0 whatever it is: the last joins the one before."""
        n_images, size = len(self.train.images), self.settings.batch_size
        if min(n_images, size) < 2:
            what = "batch_size" if size < 2 else "the number of training images"
            raise ValueError(f"{what} must be >= 2 for a model with batch norm behind a dense layer, got 1: of one "
                             "image it gives its shift, whatever the image, and nothing is learnt")
        self.steps_per_epoch -= n_images % size == 1

    @property
    def keeps_best(self) -> bool:
        """Whether the model is left at its best epoch, not at the last."""
        return self.settings.keep == "best" or any(getattr(each, "best", False) for each in self.settings.callbacks)

    @property
    def done(self) -> bool:
        """Whether no step is left."""
        return self.progress.step >= self.n_steps or self.progress.stopped

    def go_on(self) -> None:
        """Begin behind the epochs that the model's history has, where `initial_epoch` says so."""
        history, epoch = self.model.history, self.settings.initial_epoch
        if not epoch:
            return
        if history is None or len(history.loss) != epoch:
            found = 0 if history is None else len(history.loss)
            raise ValueError(f"initial_epoch must be as many epochs as model.history has, {found}, got {epoch}; "
                             "model.history = History.load(path) brings one back")
        optimizer, arrays, left = self.settings.optimizer, self.model.arrays(), self.model.left
        step = epoch * self.steps_per_epoch
        if left is not None:
            self._check_steps(left, step)
        before = 0 if not optimizer.state else step if left is None else left.optimizer_steps
        self.progress = Progress(step=step, history=copy.deepcopy(history), first_step=step - before)
        for key, moments in optimizer.state.items():
            for name, value in moments.items():
                size = arrays[key].size if key in arrays else 0
                check_array(f"the optimizer's state[{key!r}][{name!r}]", value, np.float32, (size,))
        if isinstance(optimizer, LimitedWrites):
            optimizer.go_on(arrays)

    def _check_steps(self, left: Left, step: int) -> None:
        """No step is done twice, and none draws what another one drew."""
        epoch = self.settings.initial_epoch
        if left.steps_into_epoch:
            raise ValueError(f"initial_epoch must be at the end of an epoch, got {epoch} of a model that is "
                             f"{left.steps_into_epoch} steps into epoch {epoch + 1}, which would be trained twice: go "
                             "on from a checkpoint of it, with resume=True, or say that it does not matter, "
                             "model.left = None")
        if left.root == self.root and left.step != step:
            raise ValueError(f"batch_size must be that of the {epoch} epochs before, which had {left.step} steps, got "
                             f"{self.settings.batch_size}, with which they have {step}: later steps would draw what "
                             "earlier ones drew; with another number of images, or batch_size, give another rng")

    def digest(self) -> str:
        """SHA-256 of the model's arrays as they are now."""
        return content_checksum({}, self.model.arrays())

    def left(self) -> Left:
        """How the run leaves its model now."""
        now = self.progress
        return Left(self.root, now.step, now.step - len(now.history.loss) * self.steps_per_epoch,
                    now.step - now.first_step, self.began)

    def keep_arrays(self) -> None:
        """Remember the model as it is now."""
        self.best = {name: value.copy() for name, value in self.model.arrays().items()}

    def start_epoch(self) -> None:
        """Remember the weights' bits, and begin the epoch's sums."""
        self.epoch_words = {f"epoch_words.{i}": layer.words for i, layer in enumerate(self.model.weighted)}
        self.progress.loss_sum, self.progress.n_right, self.progress.n_seen = 0.0, 0, 0

    def flip_ratio(self) -> list[float]:
        """Share of each layer's weights that changed sign in this epoch."""
        return [int(np.bitwise_count(layer.words ^ words).sum(dtype=np.int64)) / layer.n_bits
                for layer, words in zip(self.model.weighted, self.epoch_words.values())]

    def stored(self) -> dict[str, Any]:
        """The progress as a checkpoint holds it: plain JSON."""
        states = [getattr(each, "state", {}) for each in self.settings.callbacks]
        return (self.progress.described() | ({"callbacks": states} if states else {})
                | ({"began": self.began} if self.began else {}))

    def restore(self, progress: Mapping[str, Any]) -> None:
        """Take up the progress that a checkpoint holds."""
        progress = dict(progress)
        self.began = progress.pop("began", "")
        for callback, state in zip(self.settings.callbacks, progress.pop("callbacks", [])):
            setattr(callback, "state", state)
        self.progress = Progress(**{**progress, "history": History(**progress["history"])})

    def batch_indices(self, step: int) -> np.ndarray:
        """Which images step number `step` (from 0) sees: a fresh permutation each epoch."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, generator(self.root, "order", epoch).permutation(len(self.train.images)))
        size = self.settings.batch_size
        stop = None if batch == self.steps_per_epoch - 1 else (batch + 1) * size
        return self._order[1][batch * size:stop]

    def described(self) -> dict:
        """What a checkpoint must agree on for a resumed run to give the same bytes; plain JSON."""
        return {"model": self.model.describe(), "seed": str(self.root), "train": digest_of(self.train, "train"),
                "validation": digest_of(self.validation, "validation") if self.validation is not None else None,
                **self.settings.described()}

    def metadata(self) -> dict[str, str]:
        """What the network is to know of its training; text."""
        data_set = re.sub(r"(-train|-test)?(\[[^]]*\])*$", "", self.train.name)   # "fashion" of "fashion-train[:1000]"
        reading = getattr(self.train, "reading", None)              # of data of one's own
        return {"architecture": self.model.describe(), **({"dataset": data_set} if data_set else {}),
                **({"reading": reading.text()} if reading is not None else {}),
                "seed": str(self.root), "kept_epoch": str(self.progress.history.kept_epoch),
                **{name: text for name, text in self.model.metadata.items()
                   if name in ("unpacked_from", "read_errors")},
                **({"stopped_after": str(len(self.progress.history.loss))} if self.progress.stopped else {}),
                **self.settings.metadata()}

    def interrupted_metadata(self) -> dict[str, str]:
        """The same of a training that did not come to its end: epochs and steps done, and no epoch that was kept."""
        done = {"stopped_after": str(len(self.progress.history.loss)), "interrupted_at_step": str(self.progress.step)}
        return {name: text for name, text in self.metadata().items() if name != "kept_epoch"} | done
