"""Which images a broken memory fails on: how often each, over chips and reads, beside how clear it was without errors.

The lead of an image is its class's score less the best other one, without errors. N images, C chips, T reads of each.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnnsim.checks import FilePath, check_int
from bnnsim.datasets.split import LabelledImages
from bnnsim.faults.protocol import Fault, apply_read, check_fault, when_drawn
from bnnsim.files.brief import Brief
from bnnsim.packed.blocks import check_labelled
from bnnsim.packed.network import PackedNetwork
from bnnsim.seeding import RandomSource, root_seed

if TYPE_CHECKING:
    from bnnsim.figures.style import Drawn, Width

PARTS = 10


@dataclass(frozen=True, eq=False, repr=False)
class HardImages(Brief):
    """How often each image fails that is right without errors, by its lead.

    Attributes
    ----------
    lead : float64 (N,)
        Of the images that are right without errors: 0 or more, in units of the scores.
    failures : int64 (C, N)
        Reads of each chip that got the image wrong.
    n_reads : int
        T: reads of a chip.
    n_images : int
        All images, with those that were wrong without errors.
    """

    lead: np.ndarray
    failures: np.ndarray
    n_reads: int
    n_images: int

    @property
    def share(self) -> np.ndarray:
        """Share of the reads, of all chips, that got each image wrong, float64 (N,)."""
        return self.failures.sum(axis=0) / (len(self.failures) * self.n_reads)

    @property
    def area(self) -> float:
        """With what probability an image that fails has a smaller lead than one that stands; equal leads count half.

        The area under the ROC curve of small leads as a forecast of failures: 1/2 where leads tell nothing, 1 where all
        that fail had smaller leads than all that stand. NaN without a failure, or with nothing else.
        """
        return _area(self.lead, self.share)

    @property
    def area_by_chip(self) -> np.ndarray:
        """`area` of each chip, float64 (C,)."""
        return np.array([_area(self.lead, of_chip / self.n_reads) for of_chip in self.failures])

    def by_part(self, parts: int = PARTS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(ends, largest lead, share of wrong reads) of parts of the images, the smallest leads first.

        Parts are equal, but for one image where their number does not divide that of the images. Part i has the images
        from the share ends[i] to ends[i + 1] of all, float64 (parts + 1,); the others are float64 (parts,).
        """
        parts = check_int("parts", parts, 1, len(self.lead))
        order = np.argsort(self.lead, kind="stable")
        pieces = np.array_split(order, parts)
        return np.cumsum([0, *map(len, pieces)]) / len(order), np.array([self.lead[piece[-1]] for piece in pieces]), \
            np.array([self.share[piece].mean() for piece in pieces])

    def table(self) -> str:
        """Text: a line for each tenth of the images, the smallest leads first."""
        parts = min(PARTS, len(self.lead))
        ends, leads, shares = self.by_part(parts)
        pairs = "no pair of one that fails and one that stands" if math.isnan(self.area) else \
            f"an image that fails had the smaller lead in {100 * self.area:.1f} % of pairs"
        lines = [f"{len(self.lead):,} of {self.n_images:,} images are right without errors; {len(self.failures)} "
                 f"chips, {self.n_reads} reads each; {pairs}", "", "images %     lead up to  wrong reads %"]
        lines += [f"{100 * start:>3.0f} to {100 * end:>3.0f}  {lead:>10.4g}  {100 * share:>13.3f}"
                  for start, end, lead, share in zip(ends, ends[1:], leads, shares)]
        return "\n".join(lines)

    def plot(self, path: FilePath | None = None, *, ax: "Drawn | None" = None, width: "Width" = None) -> "Drawn":
        """Draw them: see `bnnsim.figures.failing_images`."""
        import bnnsim.figures.metrics as figures

        return figures.failing_images(self, path, ax=ax, width=width)


def hard_images(network: PackedNetwork, split: LabelledImages, fault: Fault, chips: int = 10, reads: int = 1,
                rng: RandomSource = None) -> HardImages:
    """Which images fail under a fault, and whether they were hard before.

    Parameters
    ----------
    network : PackedNetwork
    split : Split
        At least one of its images must be right without errors.
    fault : fault
    chips : int
        Trials 0 to chips - 1.
    reads : int
        Of each chip, reads 0 to reads - 1; all images see one read's errors. A fault that is not drawn at each read
        has 1.
    rng : None, int, SeedSequence or Generator
        The root seed: chips are those that a sweep on it has.

    Returns
    -------
    HardImages

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.load_network("fashion_fcnn")
    >>> test = bnnsim.load_embedded()[1][:300]
    >>> found = bnnsim.metrics.hard_images(network, test, bnnsim.faults.BitFlips(0.1), chips=3, rng=0)
    >>> bool(found.area > 0.7), found.failures.shape[0]
    (True, 3)
    """
    check_fault("fault", fault)
    chips, reads = check_int("chips", chips, 1), check_int("reads", reads, 1)
    if reads > 1 and when_drawn(fault) != "read":
        raise ValueError(f"reads must be 1 of a fault that is not drawn at each read, got {reads}; its when is "
                         f"{when_drawn(fault)!r}")
    labels, images, root = check_labelled(network, split), split.images, root_seed(rng)
    scores = network.scores(images)
    right = np.flatnonzero(scores.argmax(axis=1) == labels)
    if len(right) == 0:
        raise ValueError("split must have an image that the network has right without errors, got none")
    failures = np.zeros((chips, len(right)), np.int64)
    for trial, read in np.ndindex(chips, reads):
        broken = apply_read(fault, network, root, trial, read)
        failures[trial] += broken.predict(images[right]) != labels[right]
    return HardImages(_leads(scores[right], labels[right]), failures, reads, len(images))


def _leads(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Score of the label less the best other one, float64 (N,)."""
    rows, others = np.arange(len(scores)), scores.copy()
    others[rows, labels] = -np.inf
    return scores[rows, labels] - others.max(axis=1)


def _area(lead: np.ndarray, share: np.ndarray) -> float:
    """Of all pairs of an image that fails and one that stands, weighted by how often they do: the first has less."""
    _, place = np.unique(lead, return_inverse=True)
    fails, stands = np.bincount(place, share), np.bincount(place, 1 - share)
    if not fails.sum() * stands.sum() > 0:
        return float("nan")
    larger = stands.sum() - np.cumsum(stands)
    return float((fails * (larger + stands / 2)).sum() / (fails.sum() * stands.sum()))
