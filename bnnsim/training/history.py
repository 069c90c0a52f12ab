"""What each epoch of a training gave: kept by `fit`, written as JSON or CSV, read back, drawn."""

import csv
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import bnnsim.files.atomic as atomic
import bnnsim.files.html_text as html_text
from bnnsim.checks import FilePath, integer_of, real_of
from bnnsim.files.json_text import parse_json

if TYPE_CHECKING:
    from bnnsim.figures.style import Drawn, Width

COLUMNS = ("epoch", "loss", "accuracy", "validation_loss", "validation_accuracy", "learning_rate")
ENDINGS = (".json", ".csv")


@dataclass
class History:
    """What each epoch gave; lists of one entry an epoch. Accuracies are shares of 1, None without validation.

    loss has the regulariser in it, validation_loss has not; it is empty without validation. flip_ratio is, for each
    layer with weights, the share of its binary weights that changed sign from the start of the epoch to its end.
    kept_epoch is the epoch, from 1, that the model was left at.
    """

    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    validation_accuracy: list[float | None] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    flip_ratio: list[list[float]] = field(default_factory=list)
    kept_epoch: int = 0
    validation_loss: list[float | None] = field(default_factory=list, repr=False)

    def row(self, epoch: int) -> dict[str, Any]:
        """What an epoch, from 1, gave, by name; None where there was no validation."""
        at = epoch - 1
        return {"epoch": epoch, "loss": self.loss[at], "accuracy": self.accuracy[at],
                "validation_loss": self.validation_loss[at] if self.validation_loss else None,
                "validation_accuracy": self.validation_accuracy[at], "learning_rate": self.learning_rate[at],
                "flip_ratio": self.flip_ratio[at]}

    def _repr_html_(self) -> str:
        rows = [[row[name] for name in COLUMNS] for row in map(self.row, range(1, len(self.loss) + 1))]
        kept = f"the model was left at epoch {self.kept_epoch}" if self.kept_epoch else ""
        return html_text.table(f"History: {len(rows)} epoch{'s' * (len(rows) != 1)}", rows, COLUMNS, kept)

    def plot(self, path: FilePath | None = None, *, ax: "Drawn | None" = None, width: "Width" = None) -> "Drawn":
        """Draw loss and accuracy over epochs: see `bnnsim.figures.training_curves`."""
        import bnnsim.figures.training as training
        return training.training_curves(self, path, ax=ax, width=width)

    def save(self, path: FilePath) -> None:
        """Write it, by the path's ending, as .json, or as .csv with a line an epoch; both give it back equal.

        The CSV has the columns of `bnnsim.callbacks.CsvLog`, then kept (1 in the line of kept_epoch, else 0), and a
        flip_ratio_<i> for each layer with weights.
        """
        ending = _ending(path)
        with atomic.replaced(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            if ending == ".json":
                json.dump(asdict(self), file, indent=1, allow_nan=False)
            else:
                rows = [self.row(epoch) for epoch in range(1, len(self.loss) + 1)]
                layers = range(len(self.flip_ratio[0]) if self.flip_ratio else 0)
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([*COLUMNS, "kept", *(f"flip_ratio_{i}" for i in layers)])
                for row in rows:
                    kept = int(row["epoch"] == self.kept_epoch)
                    writer.writerow([*("" if row[name] is None else row[name] for name in COLUMNS), kept,
                                     *row["flip_ratio"]])

    @classmethod
    def load(cls, path: FilePath) -> "History":
        """Read what `save` wrote; of a `CsvLog` the last epoch is taken for the one that was kept.

        Raises
        ------
        ValueError
            Where the file is no such history.
        """
        ending = _ending(path)
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        try:
            found = cls(**parse_json(text)) if ending == ".json" else cls._of_lines(text.splitlines())
            found._check()
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise ValueError(f"{os.fsdecode(path)} must be a history that History.save wrote: {error}") from error
        return found

    @classmethod
    def _of_lines(cls, lines: Iterable[str]) -> "History":
        """Of a CSV's lines."""
        found = cls()
        for place, line in enumerate(csv.DictReader(lines, strict=True), 1):
            if integer_of(line["epoch"]) != place:
                raise ValueError(f"line {place + 1} must be epoch {place}, got {line['epoch']!r}")
            for name in COLUMNS[1:]:
                getattr(found, name).append(real_of(line[name]) if line[name] or name in ("loss", "accuracy") else None)
            found.flip_ratio.append([real_of(value) for name, value in line.items()
                                     if name is not None and name.startswith("flip_ratio_")])
            if line.get("kept", "1") == "1":
                found.kept_epoch = place
        if not any(value is not None for value in found.validation_loss):
            found.validation_loss = []
        return found

    def _check(self) -> None:
        """Lists of numbers of one length."""
        lengths = {name: len(value) for name in (each.name for each in fields(self))
                   if isinstance(value := getattr(self, name), list) and (value or name != "validation_loss")}
        wrong = [name for name in ("loss", "accuracy", "validation_accuracy", "learning_rate", "flip_ratio",
                                   "validation_loss") if not isinstance(getattr(self, name), list)]
        if wrong or len(set(lengths.values())) != 1 or not isinstance(self.kept_epoch, int):
            raise ValueError(f"wanted lists with one entry an epoch, and a kept_epoch; got {lengths}")
        for values in (self.loss, self.accuracy, self.learning_rate, *self.flip_ratio):
            for value in values:
                float(value)
        for either in (self.validation_accuracy, self.validation_loss):
            for each in either:
                float(0.0 if each is None else each)


def _ending(path: FilePath) -> str:
    ending = os.path.splitext(os.fsdecode(path))[1].lower()
    if ending not in ENDINGS:
        raise ValueError(f"path must end in .json or .csv, got {os.fsdecode(path)!r}")
    return ending
