"""Evaluation: a network's answers on labelled images, as a whole and by class."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import bnnsim.datasets.class_names as class_names
from bnnsim.datasets.split import LabelledImages
from bnnsim.packed.network import PackedNetwork
from bnnsim.statistics.intervals import wilson

FIELDS = ("network", "split", "class", "images", "right", "accuracy", "low", "high")


@dataclass(frozen=True)
class Evaluation:
    """A network's answers to a split: predicted (N,), and right answers and images by class (C,)."""

    name: str
    network: PackedNetwork
    split: LabelledImages
    predicted: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """Right answers of each class, int64 (C,)."""
        return np.bincount(self.split.labels[self.predicted == self.split.labels], minlength=self.network.n_classes)

    @property
    def images(self) -> np.ndarray:
        """Images of each class, int64 (C,)."""
        return np.bincount(self.split.labels, minlength=self.network.n_classes)

    @property
    def accuracy(self) -> float:
        """Share of 1."""
        return float(self.right.sum() / len(self.split))

    def rows(self) -> list[dict[str, Any]]:
        """One dict of FIELDS for all images ("all") and for each class that has images."""
        names = class_names.of(self.split, self.network.n_classes)
        counts = [("all", self.right.sum(), len(self.split)), *zip(names, self.right, self.images)]
        return [dict(zip(FIELDS, (self.name, self.split.name, name, int(n), int(k), float(k / n), *wilson(k, n))))
                for name, k, n in counts if n]
