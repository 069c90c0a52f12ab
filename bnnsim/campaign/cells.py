"""The work of a campaign: one cell is a pure function of a context and (series, rate, trial).

A context reaches a worker process once: a task names it by key, and a worker that does not have it says so and is sent
the same task again, with it.
"""

import itertools
import os
import threading
import time
from dataclasses import dataclass, replace

import numpy as np

from bnnsim.faults import BitFlips
from bnnsim.faults.protocol import when_drawn
from bnnsim.kernels import threads
from bnnsim.packed.clean_pass import CleanPass
from bnnsim.packed.shared_arrays import shared

READ_IMAGES = 500                   # an inference batch: images that one read of a memory serves


@dataclass(frozen=True)
class Series:
    """A network on labelled images under a fault setting; `fault.at(rate)` gives the fault of a cell.

    task : number of the network and images, which several fault settings may share
    """

    name: str
    network: object
    images: np.ndarray
    labels: np.ndarray
    fault: object
    task: int = 0


@dataclass(frozen=True)
class Context:
    """What all cells of a campaign share.

    folder : path, optional
        Where processes of this machine share images and clean activations: see `in_folder`.
    """

    key: str
    series: tuple
    root: int
    predictions: bool
    folder: str | None = None

    def in_folder(self, folder):
        """The same, with the images in files of a folder, and small to send."""
        for series in self.series:
            shared(_images_path(folder, series.task), lambda: series.images)
        return replace(self, series=tuple(replace(s, images=None) for s in self.series), folder=folder)


def _images_path(folder, task):
    return os.path.join(folder, f"images-{task}.npy")


def run_cell(context, s, rate, trial, broken=None):
    """(right answers by true class int64 (C,), predictions uint8 (N,) or None) of one cell.

    broken : the network with the cell's errors, where they are drawn already.
    """
    series, clean = context.series[s], pass_of(context, s)
    fault = series.fault.at(rate)
    if broken is not None:
        predicted = clean.predict(broken)
    elif when_drawn(fault) == "read":
        predicted = np.concatenate([
            fault.apply(series.network, context.root, trial, read=read).predict(clean.images[first:first + READ_IMAGES])
            for read, first in enumerate(range(0, len(clean.images), READ_IMAGES))])
    else:
        predicted = clean.predict(fault.apply(series.network, context.root, trial))
    right = np.bincount(series.labels[predicted == series.labels], minlength=series.network.n_classes)
    return right.astype(np.int64), predicted.astype(np.uint8) if context.predictions else None


def _drawn(context, batch):
    """Each cell and its broken network, or None; neighbours of one chip share a pass over its random bits."""
    for (s, trial), group in itertools.groupby(batch, lambda cell: (cell[0], cell[2])):
        series, group = context.series[s], list(group)
        if type(series.fault) is not BitFlips:                   # not even one derived from it: it may draw otherwise
            yield from zip(group, itertools.repeat(None))
        else:
            rates = [rate for _, rate, _ in group]
            yield from zip(group, series.fault.apply_each(rates, series.network, context.root, trial))


_contexts, _passes, _lock = {}, {}, threading.Lock()             # of this process, by key


def pass_of(context, s):
    """What the cells of series number s share: the activations of its network without errors."""
    series = context.series[s]
    if context.key not in _contexts:
        return _make_pass(context, series)
    with _lock:
        if (context.key, series.task) not in _passes:
            _passes[context.key, series.task] = _make_pass(context, series)
        return _passes[context.key, series.task]


def _make_pass(context, series):
    if context.folder is None:
        return CleanPass(series.network, series.images)
    images = shared(_images_path(context.folder, series.task), lambda: series.images)
    return CleanPass(series.network, images, os.path.join(context.folder, f"clean-{series.task}"))


def remember(context):
    """Keep a context for the tasks of this process; one campaign's at a time, so that memory does not grow."""
    for key in set(_contexts) - {context.key}:
        forget(key)
    _contexts[context.key] = context


def forget(key):
    """Drop a context and what its cells shared."""
    _contexts.pop(key, None)
    with _lock:
        for found in [found for found in _passes if found[0] == key]:
            del _passes[found]


def run_batch(key, batch, context=None):
    """Evaluate a batch of cells (s, rate, trial) in one thread.

    Returns
    -------
    (seconds, results) with one (right, predictions) a cell; None where this process needs the context first.
    """
    if context is not None:
        remember(context)
    found = _contexts.get(key)
    if found is None:
        return None
    started = time.perf_counter()
    with threads(1):
        results = [run_cell(found, *cell, broken) for cell, broken in _drawn(found, batch)]
    return time.perf_counter() - started, results
