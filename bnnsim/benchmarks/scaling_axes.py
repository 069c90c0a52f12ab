"""What is timed along each axis: threads, batch, width, depth, images, wrong bits, cells of a campaign.

A series of an axis is one kind of call at growing x. Networks are the papers' ones, or of random bits where they only
have to be wide or deep; cells are answered by a stub where the time of a campaign's own work is asked for.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import bnnsim.campaign.sweeps as sweeps
from bnnsim.benchmarks.networks import run_sweep, step_seconds
from bnnsim.benchmarks.reference import reference_scores
from bnnsim.benchmarks.sizes import WORKS, Images, Sizes, make_model, make_network
from bnnsim.campaign.cells import Answers
from bnnsim.campaign.result import SweepResult
from bnnsim.datasets.split import Split
from bnnsim.faults import BitFlips
from bnnsim.kernels import thread_count, threads
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.words import full_row, n_words

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384)
ODD_WIDTHS = (10, 50, 100, 200, 500, 1000, 2000, 4000, 8000, 16_000)     # off the words of 64
WIDTH_IMAGES = 1000                 # of the axes of width and depth
DEPTHS = (2, 3, 5, 10, 20, 35, 50)
DEEP_WIDTH = 512
IMAGES = (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)
RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 5e-2, 0.2, 0.5)
CELLS = (100, 1000, 10_000, 100_000, 1_000_000)
FEW = 10                            # of what a campaign of many cells has few of
MOST_SETTINGS = 1000                # of a campaign of many fault settings; its file has room for some thousands
MOST = {                            # x by the name of the size
    "tiny": {"width": 256, "depth": 3, "images": 1000, "cells": 1000},
    "quick": {"width": 4096, "depth": 50, "images": 100_000, "cells": 10_000},
    "full": {"width": 16_384, "depth": 50, "images": 1_000_000, "cells": 1_000_000}}


@dataclass(frozen=True)
class Point:
    """A call, whether what it gives is right, and how much work it is: in any unit, the same along its series."""

    name: str
    call: Callable[[], Any]
    work: float
    is_right: Callable[[Any], bool]


Points = dict[tuple[str, float], Point]                         # by series, and place on the axis


@dataclass(frozen=True)
class Axis:
    """What makes the points from sizes, images and a folder for files; what a call does; how often it is timed."""

    points: Callable[[Sizes, Images, str], Points]
    what: str
    repetitions: int = 100          # at most


def random_network(n_in: int, widths: Sequence[int], n_classes: int = 10) -> PackedNetwork:
    """A dense network of random bits, for images (1, 1, n_in); the same at each call."""
    rng, layers = np.random.default_rng(0), []
    for fan_in, units in itertools.pairwise((n_in, *widths, n_classes)):
        words = rng.integers(0, 2**64, (units, n_words(fan_in)), np.uint64) & full_row(fan_in)
        layers.append(PackedLayer("dense", fan_in, words, threshold=np.zeros(units, np.int32),
                                  inverted=np.zeros(units, bool)))
    last = layers.pop()
    layers.append(PackedLayer("dense", last.n_in, last.words, mean=np.zeros(n_classes), scale=np.ones(n_classes),
                              shift=np.zeros(n_classes)))
    return PackedNetwork(layers, (1, 1, n_in))


def _equal(expected: np.ndarray) -> Callable[[Any], bool]:
    return lambda found: np.array_equal(found, expected)


def _begins(expected: np.ndarray) -> Callable[[Any], bool]:
    """Whether classes begin as expected; the images may be fewer."""
    return lambda found: np.array_equal(found[:len(expected)], expected[:len(found)])


def _gives(right: np.ndarray) -> Callable[[SweepResult], bool]:
    """Whether right answers (S, R, T, C) begin as expected."""
    return lambda found: np.array_equal(found.right[tuple(map(slice, right.shape))], right)


def _all_right(n_cells: int) -> Callable[[SweepResult], bool]:
    return lambda found: found.right.size == 10 * n_cells and bool(np.all(found.right == 1))


def _papers(sizes: Sizes, images: Images, names: Iterable[str] = ("fcnn", "cnn")
            ) -> Iterable[tuple[str, str, PackedNetwork, Split]]:
    """(name, title, network, test split) of the small two of the papers' networks."""
    for name in names:
        yield name, WORKS[name].title, make_network(name, sizes)[0], images.of(name)[1]


# ---------------------------------------------------------------- networks

def _threads(sizes: Sizes, images: Images, folder: str) -> Points:
    """`predict`, a sweep of two chips and training steps; the axis is the number of threads. The work is one."""
    points: Points = {}
    most = thread_count()
    counts = sorted({2**i for i in range(most.bit_length()) if 2**i < most} | {1, most})

    def inside(n: int, call: Callable[[], Any]) -> Any:
        with threads(n):
            return call()

    for name, title, network, test in _papers(sizes, images):
        model, train = make_model(name, sizes), images.of(name)[0]
        swept = run_sweep(network, test, 0.05, 2).right
        calls: dict[str, tuple[Callable[[], Any], Callable[[Any], bool]]] = {
            "inference": (partial(network.predict, test.images), _equal(network.predict(test.images))),
            "sweep": (partial(run_sweep, network, test, 0.05, 2), _gives(swept)),
            "training": (partial(step_seconds, model, train, 3), lambda found: len(found) == 3)}
        for what, (call, is_right) in calls.items():
            for n in counts:
                points[f"{title}, {what}", n] = Point(f"{what} of the {title}", partial(inside, n, call), 1.0, is_right)
    return points


def _batches(sizes: Sizes, images: Images, folder: str) -> Points:
    """One call of `predict` each; the axis is the number of images."""
    points: Points = {}
    for _, title, network, test in _papers(sizes, images):
        classes = reference_scores(network, test.images[:4]).argmax(axis=1)
        for n in BATCHES:
            if n <= len(test):
                points[title, n] = Point(f"inference of the {title}", partial(network.predict, test.images[:n]), n,
                                         _begins(classes))
    return points


def _some_images(images: Images) -> np.ndarray:
    """(N, 1, 1, 784), as `random_network` reads them."""
    some = images.of("fcnn")[1].images[:WIDTH_IMAGES]
    return some.reshape(len(some), 1, 1, -1)


def _random(some: np.ndarray, widths: Sequence[int]) -> Point:
    """`predict` by a network of random bits; its first classes are NumPy's."""
    network = random_network(some.shape[3], widths)
    classes = reference_scores(network, some[:4]).argmax(axis=1)
    return Point(f"a network {widths[0]} wide and {len(widths)} deep", partial(network.predict, some), network.n_bits,
                 _begins(classes))


def _widths(sizes: Sizes, images: Images, folder: str) -> Points:
    """`predict` of FC w, FC w, FC 10. The axis is w."""
    some, most = _some_images(images), MOST[sizes.name]["width"]
    return {(series, width): _random(some, (width, width))
            for series, widths in (("multiples of 64", WIDTHS), ("no multiples of 64", ODD_WIDTHS))
            for width in widths if width <= most}


def _depths(sizes: Sizes, images: Images, folder: str) -> Points:
    """`predict` of so many hidden layers. The axis is their number."""
    some, most = _some_images(images), MOST[sizes.name]["depth"]
    return {(f"{DEEP_WIDTH} units a layer", depth): _random(some, (DEEP_WIDTH,) * depth)
            for depth in DEPTHS if depth <= most}


def _images(sizes: Sizes, images: Images, folder: str) -> Points:
    """`predict` of a memory-mapped file. The axis is the number of images, which the file repeats."""
    points: Points = {}
    most = MOST[sizes.name]["images"]
    for name, title, network, test in _papers(sizes, images):
        path, classes = os.path.join(folder, "images.npy"), network.predict(test.images)
        if not os.path.exists(path):                             # the networks read the same images
            file = np.lib.format.open_memmap(path, "w+", np.uint8, (most, *test.images.shape[1:]))
            for first in range(0, most, len(test)):
                file[first:first + len(test)] = test.images[:most - first]
            file.flush()
        mapped = np.load(path, mmap_mode="r")
        for n in (n for n in IMAGES if n <= most):
            points[title, n] = Point(f"inference of the {title} on mapped images", partial(network.predict, mapped[:n]),
                                     n, _equal(np.resize(classes, n)))
    return points


def _flips(sizes: Sizes, images: Images, folder: str) -> Points:
    """A sweep of some chips at one rate each; the axis is the mean number of wrong bits."""
    points: Points = {}
    for _, title, network, test in _papers(sizes, images):
        for rate in RATES:
            first = BitFlips(rate).apply(network, 0, 0).predict(test.images)
            right = np.bincount(test.labels[first == test.labels], minlength=network.n_classes)
            points[title, rate * network.n_bits] = Point(
                f"the sweep of the {title}", partial(run_sweep, network, test, rate, sizes.chips["cnn"]),
                rate * network.n_bits, _gives(right[None, None, None]))
    return points


# ---------------------------------------------------------------- campaigns

class Answering(Executor):
    """An executor that evaluates nothing: every cell has the same right answers, at once."""

    def __init__(self, right: np.ndarray) -> None:
        self.right = right

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future that is done: of a batch of cells, the second argument of `cells.run_batch`."""
        future: Future[Any] = Future()
        future.set_result((1e-6 * len(args[1]), [Answers(self.right, None, rate) for _, rate, _ in args[1]]))
        return future


def _cells(sizes: Sizes, images: Images, folder: str) -> Points:
    """`sweep` with answered cells: planning, journal, file, result, tables. The axis is the number of cells."""
    network, split = random_network(64, (64,)), Split(np.zeros((10, 1, 1, 64), np.uint8), np.arange(10), "zeros")
    right, n = np.ones(10, np.int64), itertools.count()

    def run(n_faults: int, n_rates: int, chips: int, out: str | None = None, resume: bool = False) -> SweepResult:
        faults = {str(i): BitFlips(0.0) for i in range(n_faults)}
        return sweeps.sweep(network, split, np.linspace(0.01, 0.5, n_rates), chips, 0, faults=faults, workers=1,
                            executor=Answering(right), out=out, resume=resume, progress=False)

    def resumed(of: int) -> SweepResult:
        path = os.path.join(folder, f"{of}.h5")
        if not os.path.exists(path):
            run(1, FEW, of // FEW, path)
        return run(1, FEW, of // FEW, path, True)

    def of_settings(of: int) -> SweepResult:
        settings = min(of // FEW**2, MOST_SETTINGS)
        return run(settings, FEW, of // settings // FEW)

    def told(result: SweepResult) -> SweepResult:
        result.table(), result.csv()
        return result

    calls: dict[str, Callable[[int], SweepResult]] = {
        "many rates": lambda of: run(1, of // FEW, FEW),
        "many fault settings": of_settings,
        "many chips, into a file": lambda of: run(1, FEW, of // FEW, os.path.join(folder, f"new-{next(n)}.h5")),
        "many chips, resumed": resumed,
        "many rates, with table and CSV": lambda of: told(run(1, of // FEW, FEW))}
    return {(series, of): Point("a campaign of answered cells", partial(call, of), of, _all_right(of))
            for series, call in calls.items() for of in CELLS if of <= MOST[sizes.name]["cells"]}


AXES = {
    "threads": Axis(_threads, "the same work"),
    "batch": Axis(_batches, "`predict` of a batch"),
    "width": Axis(_widths, "images through two hidden layers"),
    "depth": Axis(_depths, "images through so many hidden layers"),
    "images": Axis(_images, "`predict` of a memory-mapped file", 3),
    "flips": Axis(_flips, "a sweep of some chips"),
    "cells": Axis(_cells, "a campaign whose cells are answered at once", 3),
}
