"""The work of a campaign: one cell is a pure function of a context and (series, rate, trial).

So it may be evaluated anywhere, in any order, and again. A context reaches a worker process once: a task names it by
key, and a worker that does not have it says so and is sent the same task again, with it.

N images, C classes.
"""

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter as clock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bnnsim.faults import BitFlips
from bnnsim.faults.protocol import READ_IMAGES, apply_read, when_drawn
from bnnsim.kernels import Abandoned, threads, while_wanted
from bnnsim.packed.clean_pass import CleanPass
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.graph_pass import clean_pass_of, counted_predictions
from bnnsim.packed.memory import wrong_bits
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.shared_arrays import shared

if TYPE_CHECKING:
    from bnnsim.faults.protocol import RatedFault

MOST_SECONDS = 1.0                  # after this, a batch is handed back with the cells that are done: what a kill loses

Cell = tuple[int, float, int]       # number of the series, rate, trial
CellName = tuple[str, float, int]   # the same by the series' name, as files know it


class Answers(NamedTuple):
    """What a cell gives.

    right : right answers by true class, int64 (C,)
    predictions : where asked for all of them, uint8 (N,)
    ber : share of the stored weight bits that were read wrong, after any code; the mean over reads
    n_nonfinite : scores that were no finite numbers, and counted as the lowest, where a graph's real numbers broke
    """

    right: np.ndarray
    predictions: np.ndarray | None
    ber: float
    n_nonfinite: int = 0


@dataclass(frozen=True)
class Series:
    """A network on labelled images under a fault setting; `fault.at(rate)` gives the fault of a cell.

    images : uint8 (N, C, H, W); none where they are in the context's folder
    task : number of the network and images, which several fault settings may share
    """

    name: str
    network: PackedNetwork
    images: np.ndarray
    labels: np.ndarray
    fault: "RatedFault"
    task: int = 0

    @property
    def class_totals(self) -> np.ndarray:
        """Images of each class, int64 (C,)."""
        return np.bincount(self.labels, minlength=self.network.n_classes)


@dataclass(frozen=True)
class Context:
    """What all cells of a campaign share.

    folder : path, optional
        Where processes of this machine share images and clean activations: see `in_folder`.
    """

    key: str
    series: tuple[Series, ...]
    root: int
    predictions: bool
    folder: str | None = None

    def in_folder(self, folder: str) -> "Context":
        """The same, with the images in files of a folder, and small to send; where the disk is full, as it is."""
        return replace(self, series=tuple(_in_folder(series, folder) for series in self.series), folder=folder)


def _in_folder(series: Series, folder: str) -> Series:
    path = _images_path(folder, series)
    shared(path, lambda: series.images)
    return replace(series, images=series.images[:0]) if os.path.exists(path) else series


def _images_path(folder: str, series: Series) -> str:
    return os.path.join(folder, f"images-{series.task}.npy")


# ---------------------------------------------------------------- one cell

def run_cell(context: Context, s: int, rate: float, trial: int, broken: PackedNetwork | None = None) -> Answers:
    """The answers of one cell.

    broken : the network with the cell's errors, where they are drawn already.
    """
    series, clean = context.series[s], pass_of(context, s)
    network, fault = series.network, series.fault.at(rate)
    if broken is None and when_drawn(fault) == "read":
        answers, wrong, n_nonfinite = [], [], 0
        for read, first in enumerate(range(0, len(clean.images), READ_IMAGES)):
            broken = apply_read(fault, network, context.root, trial, read)
            found, n = counted_predictions(broken, clean.images[first:first + READ_IMAGES])
            answers.append(found)
            n_nonfinite += n
            wrong.append(wrong_bits(network, broken))
        predicted = np.concatenate(answers)
    else:
        broken = fault.apply(network, context.root, trial) if broken is None else broken
        wrong = [wrong_bits(network, broken)]
        predicted, n_nonfinite = counted_predictions(broken, clean.images) if _has_other_numbers(network, broken) else \
            (clean.predict(broken), 0)
    right = np.bincount(series.labels[predicted == series.labels], minlength=network.n_classes)
    return Answers(right.astype(np.int64), predicted.astype(np.uint8) if context.predictions else None,
                   sum(wrong) / (len(wrong) * network.n_bits), n_nonfinite)


def _has_other_numbers(network: PackedNetwork, broken: PackedNetwork) -> bool:
    """Whether real numbers of a graph are broken, not the memory alone."""
    return isinstance(network, PackedGraph) and isinstance(broken, PackedGraph) and any(
        a is not b for a, b in zip(network.operations, broken.operations))


def run_batch(key: str, batch: Sequence[Cell], context: Context | None = None) -> tuple[float, list[Answers]] | None:
    """Evaluate a batch of cells in one thread: the first of them, as many as MOST_SECONDS let, and one at least.

    Where the campaign is abandoned meanwhile, the cell under way ends at its next block of images, without an answer.

    Returns
    -------
    (seconds, answers of the cells that are done); None where this process needs the context first.
    """
    if context is not None:
        remember(context)
    found = _contexts.get(key)
    return None if found is None else _timed(found, batch, lambda: key not in _abandoned)


def seconds_a_cell(context: Context, rate: float) -> list[float]:
    """How long a cell of each series takes here, once its code is compiled and what cells share is there."""
    remember(context)
    try:
        return [min(_timed(context, [(s, rate, 0)])[0] for _ in range(2)) for s in range(len(context.series))]
    finally:
        forget(context.key)


def _timed(context: Context, batch: Sequence[Cell], is_wanted: Callable[[], bool] = lambda: True,
           ) -> tuple[float, list[Answers]]:
    started, answers = clock(), []
    with threads(1), while_wanted(is_wanted), contextlib.suppress(Abandoned):
        for cell, broken in _drawn(context, batch):
            answers.append(run_cell(context, *cell, broken))
            if clock() - started >= MOST_SECONDS or not is_wanted():
                break
    return clock() - started, answers


def _drawn(context: Context, batch: Iterable[Cell]) -> Iterator[tuple[Cell, PackedNetwork | None]]:
    """Each cell and its broken network, or None; neighbours of one chip share a pass over its random bits."""
    for (s, trial), group in itertools.groupby(batch, lambda cell: (cell[0], cell[2])):
        series, same_chip = context.series[s], list(group)
        if type(series.fault) is not BitFlips:                   # not even one derived from it: it may draw otherwise
            yield from zip(same_chip, itertools.repeat(None))
        else:
            rates = [rate for _, rate, _ in same_chip]
            yield from zip(same_chip, series.fault.apply_each(rates, series.network, context.root, trial))


# ---------------------------------------------------------------- what this process has: contexts and clean passes

_contexts: dict[str, Context] = {}                               # by key
_passes: dict[tuple[str, int], CleanPass] = {}                   # by key and task
_abandoned: set[str] = set()                                     # keys of campaigns that nobody waits for any more
_lock = threading.Lock()


def pass_of(context: Context, s: int) -> CleanPass:
    """What the cells of series number s share: the activations of its network without errors."""
    series = context.series[s]
    if context.key not in _contexts:
        return _make_pass(context, series)
    with _lock:
        if (context.key, series.task) not in _passes:
            _passes[context.key, series.task] = _make_pass(context, series)
        return _passes[context.key, series.task]


def _make_pass(context: Context, series: Series) -> CleanPass:
    if context.folder is None:
        return clean_pass_of(series.network, series.images)
    images = shared(_images_path(context.folder, series), lambda: series.images)
    return clean_pass_of(series.network, images, os.path.join(context.folder, f"clean-{series.task}"))


def remember(context: Context) -> None:
    """Keep a context for the tasks of this process; one campaign's at a time, so that memory does not grow."""
    for key in set(_contexts) - {context.key}:
        forget(key)
    _contexts[context.key] = context
    _abandoned.discard(context.key)


def abandon(key: str) -> None:
    """End the batches of a campaign that run in threads of this process, soon: nobody waits for them."""
    _abandoned.add(key)
    forget(key)


def forget(key: str) -> None:
    """Drop a context and what its cells shared."""
    _contexts.pop(key, None)
    with _lock:
        for found in [found for found in _passes if found[0] == key]:
            del _passes[found]
