"""How time grows with the batch, the width of layers, and the number of wrong bits."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

import bnnsim.training.architectures as architectures
import bnnsim.training.packing as packing
from bnnsim.benchmarks.kernels import require
from bnnsim.benchmarks.networks import run_sweep
from bnnsim.benchmarks.reference import reference_scores
from bnnsim.benchmarks.sizes import WORKS, Images, Sizes, make_network
from bnnsim.benchmarks.timing import Measurement, alternated, seconds_of
from bnnsim.kernels import thread_count

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096)
MOST_NARROW = 256                   # units of the tiny size
ODD_WIDTHS = (10, 50, 100, 200, 500, 1000, 2000, 4000)           # off the words of 64
WIDTH_IMAGES = 1000
RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 5e-2, 0.2, 0.5)

Calls = dict[tuple[str, float], Callable[[], object]]           # by series, and place on the axis


def _batches(sizes: Sizes, images: Images) -> Calls:
    """One call of `predict` each; the axis is the number of images."""
    calls: Calls = {}
    for name in ("fcnn", "cnn"):
        network, (_, test) = make_network(name, sizes)[0], images.of(name)
        for n in BATCHES:
            if n <= len(test):
                calls[WORKS[name].title, n] = partial(network.predict, test.images[:n])
    return calls


def _widths(sizes: Sizes, images: Images) -> Calls:
    """`predict` of FC w, FC w, FC 10; each network's first scores are checked. The axis is w."""
    _, test = images.of("fcnn")
    some, most = test.images[:WIDTH_IMAGES], MOST_NARROW if sizes.narrow else max(WIDTHS)
    calls: Calls = {}
    for series, widths in (("multiples of 64", WIDTHS), ("no multiples of 64", ODD_WIDTHS)):
        for width in (w for w in widths if w <= most):
            network = packing.pack(architectures.build(f"FC{width} FC{width} FC10", (1, 28, 28), rng=0))
            require(f"a network {width} wide", np.array_equal(network.scores(some[:4]),
                                                              reference_scores(network, some[:4])))
            calls[series, width] = partial(network.predict, some)
    return calls


def _flips(sizes: Sizes, images: Images) -> Calls:
    """A sweep of some chips at one rate each; the axis is the mean number of wrong bits."""
    calls: Calls = {}
    for name in ("fcnn", "cnn"):
        network, (_, test) = make_network(name, sizes)[0], images.of(name)
        for rate in RATES:
            wrong_bits = rate * network.n_bits
            calls[WORKS[name].title, wrong_bits] = partial(run_sweep, network, test, rate, sizes.chips["cnn"])
    return calls


AXES = {                            # axis: (functions, what one unit of time is for, its number in one call)
    "batch": (_batches, "an image, by `predict` of a batch", lambda x, sizes, images: x),
    "width": (_widths, "an image through two hidden layers", lambda x, sizes, images:
              min(WIDTH_IMAGES, len(images.of("fcnn")[1]))),
    "flips": (_flips, "a chip", lambda x, sizes, images: sizes.chips["cnn"]),
}


def measure(sizes: Sizes, images: Images) -> Iterator[Measurement]:
    """Measurements of each point, a generator of one axis after the other: all points of an axis in turns."""
    for axis, (functions, what, number) in AXES.items():
        calls = {key: partial(seconds_of, call) for key, call in functions(sizes, images).items()}
        alternated(calls, 1)
        for (series, x), seconds in alternated(calls, sizes.sweeps).items():
            each = (np.array(seconds) / number(x, sizes, images)).tolist()
            place = f"{x:,.0f}" if x >= 10 else f"{x:.2g}"
            yield Measurement("scaling", f"{axis} {place}, {series}", each, thread_count(), note=f"for {what}",
                              values={"axis": axis, "x": x, "series": series})
