"""Callbacks: what `fit` calls after each epoch, to stop, to remember, to write down.

A callback of your own is any object with ``on_epoch_end(model, row)``; see `Callback`. Those that ship are its
examples: `EarlyStopping` decides, `CsvLog` writes a file, `LearningRateLog` writes log lines.
"""

import csv
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

import bnnsim.files.atomic as atomic
from bnnsim.checks import FilePath, check_bool, check_choice, check_int, check_real
from bnnsim.training.history import COLUMNS
from bnnsim.training.plug_ins import check_plug_in, name_of

if TYPE_CHECKING:
    from bnnsim.training.model import Graph

log = logging.getLogger("bnnsim")
MONITORS = ("validation_loss", "validation_accuracy", "loss", "accuracy")


class Callback(Protocol):
    """What is called after each epoch.

    With ``checkpoint=`` it has an attribute ``state`` too: a dict of plain JSON, with all that it remembers from epoch
    to epoch, ``{}`` for nothing. It is stored, and put back where a stopped run goes on. Other public attributes are
    settings, in which a resumed run must agree.

    One that says which epoch the model is left at has ``best = True`` and, after each call, ``chosen``: whether this
    epoch is the best so far.
    """

    def on_epoch_end(self, model: "Graph", row: Mapping[str, Any]) -> bool | None:
        """True to stop training here.

        row : dict of COLUMNS and flip_ratio
            What the epoch gave, as `History` has it; epoch from 1, and None where there is no validation.
        """


@dataclass
class EarlyStopping:
    """Stops where nothing got better for `patience` epochs.

    Parameters
    ----------
    monitor : "validation_loss", "validation_accuracy", "loss" or "accuracy"
        A loss is to fall, an accuracy to rise.
    patience : int
        Epochs without a better one, one after the other, after which training stops.
    best : bool
        Leave the model at the best epoch, stopped or not; else at the last.
    min_delta : float
        By how much an epoch must beat the best one before it counts as better.

    Examples
    --------
    >>> stopping = EarlyStopping("loss", patience=2)
    >>> [stopping.on_epoch_end(None, {"epoch": i + 1, "loss": loss}) for i, loss in enumerate([3.0, 2.0, 2.5, 2.0])]
    [False, False, False, True]
    """

    monitor: str = "validation_loss"
    patience: int = 5
    best: bool = True
    min_delta: float = 0.0
    state: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        check_choice("monitor", self.monitor, MONITORS)
        check_int("patience", self.patience, 1)
        self.best = check_bool("best", self.best)
        check_real("min_delta", self.min_delta, 0)

    @property
    def chosen(self) -> bool:
        """Whether the last epoch is the best so far."""
        return self.state.get("since") == 0

    def on_epoch_end(self, model: "Graph", row: Mapping[str, Any]) -> bool:
        """True after `patience` epochs without a better one."""
        value = float(row[self.monitor]) * (1 if self.monitor.endswith("loss") else -1)
        if row["epoch"] == 1:                                           # it served another run before
            self.state.clear()
        if not self.state or value < self.state["least"] - self.min_delta:
            self.state.update(least=value, since=0)
        else:
            self.state["since"] += 1
        return self.state["since"] >= self.patience


@dataclass
class CsvLog:
    """A line of COLUMNS an epoch, in a CSV file that is whole at each moment.

    Parameters
    ----------
    path : path
        The first epoch replaces a file that is there; each later one replaces what is there from its own line on. So a
        run that was killed and goes on from its checkpoint leaves the file of an uninterrupted one.
    """

    path: FilePath
    state: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.path = os.fsdecode(self.path)
        atomic.check_target(self.path)

    def on_epoch_end(self, model: "Graph", row: Mapping[str, Any]) -> None:
        """Write the epoch's line."""
        lines = [line for line in self._lines(row["epoch"]) if int(line[0]) < row["epoch"]]
        with atomic.replaced(self.path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows([*lines, ["" if row[name] is None else row[name] for name in COLUMNS]])

    def _lines(self, epoch: int) -> list[list[str]]:
        """The lines of a file that this log has begun."""
        if epoch == 1 or not os.path.exists(self.path):
            return []
        with open(self.path, encoding="utf-8", newline="") as file:
            header, *lines = csv.reader(file)
        if tuple(header) != COLUMNS or not all(line and line[0].isdecimal() for line in lines):
            raise ValueError(f"{self.path} must be the CSV file that this training has begun, with the columns "
                             f"{', '.join(COLUMNS)}; got {','.join(header)[:80]!r}")
        return lines


@dataclass
class LearningRateLog:
    """A log line an epoch, of the logger "bnnsim", with the learning rate of its last step."""

    state: dict[str, Any] = field(default_factory=dict, repr=False)

    def on_epoch_end(self, model: "Graph", row: Mapping[str, Any]) -> None:
        """Log it."""
        log.info("epoch %d: learning rate %.6g", row["epoch"], row["learning_rate"])


def check_callbacks(callbacks: Sequence[Callback], keep: str, validated: bool, stored: bool) -> tuple[Callback, ...]:
    """Callbacks that go with each other and with what `fit` is asked for."""
    if not isinstance(callbacks, Sequence):
        raise TypeError(f"callbacks must be a list, such as [EarlyStopping()], got {callbacks!r:.200}")
    for i, callback in enumerate(callbacks):
        check_plug_in(f"callbacks[{i}]", callback, ("on_epoch_end",), "bnnsim.callbacks.EarlyStopping()")
        if stored and not isinstance(getattr(callback, "state", None), dict):
            raise TypeError(f"callbacks[{i}], a {name_of(callback)}, must have a dict `state` where there is a "
                            "checkpoint: plain JSON of all that it remembers, {} for nothing, so that a stopped run "
                            "goes on as if it had not been stopped")
        if isinstance(callback, EarlyStopping) and callback.monitor.startswith("validation") and not validated:
            raise ValueError(f"{callback!r} needs validation images: validation= or validation_share=, or "
                             "monitor='loss'")
    choosing = [name_of(callback) for callback in callbacks if getattr(callback, "best", False)]
    if keep == "best":
        choosing.append("keep='best'")
    if len(choosing) > 1:
        raise ValueError(f"give one of {', '.join(choosing)}, not several: each says which epoch the model is left at; "
                         "EarlyStopping(best=False) only stops")
    return tuple(callbacks)


def call(callbacks: Sequence[Callback], model: "Graph", row: Mapping[str, Any]) -> tuple[bool, bool | None]:
    """(whether to stop, whether this epoch is the best so far: None where no callback says so)."""
    stop, chosen = False, None
    for callback in callbacks:
        answer = callback.on_epoch_end(model, dict(row))
        if answer is not None and not isinstance(answer, (bool, np.bool_)):
            raise TypeError(f"on_epoch_end of {name_of(callback)} must give True to stop, False or None, got "
                            f"{answer!r:.200}")
        stop = stop or bool(answer)
        if getattr(callback, "best", False):
            chosen = bool(getattr(callback, "chosen", False))
    return stop, chosen
