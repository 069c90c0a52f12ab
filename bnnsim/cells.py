"""The work of a campaign: one cell is a pure function of a context and (series, rate, trial).

A context reaches a worker process once: a task names it by key, and a worker that does not have it says so and is sent
the same task again, with it.
"""

import time
from dataclasses import dataclass

import numpy as np

from bnnsim.kernels import threads


@dataclass(frozen=True)
class Series:
    """A network on labelled images under a fault setting; `fault.at(rate)` gives the fault of a cell."""

    name: str
    network: object
    images: np.ndarray
    labels: np.ndarray
    fault: object


@dataclass(frozen=True)
class Context:
    """What all cells of a campaign share."""

    key: str
    series: tuple
    root: int
    predictions: bool


def run_cell(context, s, rate, trial):
    """(right answers by true class int64 (C,), predictions uint8 (N,) or None) of one cell."""
    series = context.series[s]
    broken = series.fault.at(rate).apply(series.network, context.root, trial)
    predicted = broken.predict(series.images)
    right = np.bincount(series.labels[predicted == series.labels], minlength=broken.n_classes)
    return right.astype(np.int64), predicted.astype(np.uint8) if context.predictions else None


_contexts = {}                                                   # of this process, by key


def remember(context):
    """Keep a context for the tasks of this process; one campaign's at a time, so that memory does not grow."""
    for key in set(_contexts) - {context.key}:
        _contexts.pop(key, None)
    _contexts[context.key] = context


def forget(key):
    """Drop a context."""
    _contexts.pop(key, None)


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
        results = [run_cell(found, *cell) for cell in batch]
    return time.perf_counter() - started, results
