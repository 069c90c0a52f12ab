"""Evaluation: a network's answers on labelled images, as a whole and by class.

C classes. M[i, j] of the confusion matrix are the images of class i that are called j. Recall of class i is M[i, i]
over the sum of its row, precision over that of its column, F1 their harmonic mean, 2 M[i, i] over both sums together.
Balanced accuracy is the mean recall, macro F1 the mean F1, of the classes that have images. 0 / 0 is NaN here, None in
JSON.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import bnnsim.datasets.class_names as class_names
from bnnsim.checks import FilePath
from bnnsim.datasets.split import LabelledImages
from bnnsim.files.brief import Brief
from bnnsim.files.html_text import Tabled
from bnnsim.packed.network import PackedNetwork
from bnnsim.statistics.intervals import wilson

if TYPE_CHECKING:
    from bnnsim.figures.style import Drawn, Width

FIELDS = ("network", "split", "class", "images", "right", "accuracy", "low", "high")


@dataclass(frozen=True, repr=False)
class Evaluation(Tabled, Brief):
    """A network's answers to a split: predicted (N,), and right answers and images by class (C,)."""

    name: str
    network: PackedNetwork
    split: LabelledImages
    predicted: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """The split's, integers (N,)."""
        return np.asarray(self.split.labels)

    @property
    def right(self) -> np.ndarray:
        """Right answers of each class, int64 (C,)."""
        return np.bincount(self.labels[self.predicted == self.labels], minlength=self.network.n_classes)

    @property
    def images(self) -> np.ndarray:
        """Images of each class, int64 (C,)."""
        return np.bincount(self.labels, minlength=self.network.n_classes)

    @property
    def accuracy(self) -> float:
        """Share of 1."""
        return float(self.right.sum() / len(self.split))

    @property
    def confusion(self) -> np.ndarray:
        """Images by label (rows) and predicted class (columns), int64 (C, C)."""
        n = self.network.n_classes
        return np.bincount(self.labels.astype(np.int64) * n + self.predicted, minlength=n * n).reshape(n, n)

    @property
    def recall(self) -> np.ndarray:
        """Of each class's images, the share that is called by its name, float64 (C,); NaN without images."""
        return _ratio(self.right, self.images)

    @property
    def precision(self) -> np.ndarray:
        """Of the images that are called by a class's name, the share that is of it, float64 (C,); NaN without any."""
        return _ratio(self.right, self.confusion.sum(axis=0))

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall, float64 (C,); NaN of a class that nobody meant and nobody named."""
        return _ratio(2 * self.right, self.images + self.confusion.sum(axis=0))

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have images."""
        return float(self.recall[self.images > 0].mean())

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the classes that have images."""
        return float(self.f1[self.images > 0].mean())

    def scores(self) -> dict[str, Any]:
        """Plain JSON: balanced_accuracy, macro_f1, a dict a class, and the confusion matrix as lists."""
        names = class_names.of(self.split, self.network.n_classes)
        by_class = [{"class": name, **{what: None if np.isnan(value) else float(value) for what, value in each}}
                    for name, *values in zip(names, self.precision, self.recall, self.f1)
                    for each in [zip(("precision", "recall", "f1"), values)]]
        return {"balanced_accuracy": self.balanced_accuracy, "macro_f1": self.macro_f1, "by_class": by_class,
                "confusion": self.confusion.tolist()}

    def table(self) -> str:
        """Text: the confusion matrix, with precision, recall and F1 of each class in percent."""
        matrix, names = self.confusion, class_names.of(self.split, self.network.n_classes)
        cell = max(5, len(f"{matrix.max():,}"))
        first = max(len(name) for name in names)
        head = "".join(f"  {number:>{cell}}" for number in range(len(names)))
        lines = [f"{self.name} on {self.split.name}: balanced accuracy {100 * self.balanced_accuracy:.2f} %, "
                 f"macro F1 {100 * self.macro_f1:.2f} %", "rows: labels; columns: what the network says, by number", "",
                 f"{'class':<{first + 4}}{head}  {'recall %':>8}  {'precision %':>11}  {'F1 %':>6}"]
        for number, (name, row, *values) in enumerate(zip(names, matrix, self.recall, self.precision, self.f1)):
            shares = ["-" if np.isnan(value) else f"{100 * value:.2f}" for value in values]
            lines.append(f"{number:>3} {name:<{first}}" + "".join(f"  {n:>{cell},}" for n in row)
                         + f"  {shares[0]:>8}  {shares[1]:>11}  {shares[2]:>6}")
        return "\n".join(lines)

    def plot(self, path: FilePath | None = None, *, ax: "Drawn | None" = None, width: "Width" = None) -> "Drawn":
        """Draw the confusion matrix: see `bnnsim.figures.confusion_matrix`."""
        import bnnsim.figures.training as training
        return training.confusion_matrix(self, path, ax=ax, width=width)

    def rows(self) -> list[dict[str, Any]]:
        """One dict of FIELDS for all images ("all") and for each class that has images."""
        names = class_names.of(self.split, self.network.n_classes)
        counts = [("all", self.right.sum(), len(self.split)), *zip(names, self.right, self.images)]
        return [dict(zip(FIELDS, (self.name, self.split.name, name, int(n), int(k), float(k / n), *wilson(k, n))))
                for name, k, n in counts if n]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN for 0 / 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
