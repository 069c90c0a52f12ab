"""Time of training epochs, of inference and of sweep points, as users get them through `fit`, `predict` and `sweep`."""

import math
import time
from collections.abc import Iterable, Iterator

import numpy as np

import bnnsim.campaign.sweeps as sweeps
import bnnsim.training.fitting as fitting
import bnnsim.training.packing as packing
from bnnsim.benchmarks.kernels import require
from bnnsim.benchmarks.reference import reference_scores
from bnnsim.benchmarks.sizes import BATCH, TEST_IMAGES, WORKS, Images, Sizes, make_model, make_network
from bnnsim.benchmarks.timing import Measurement, seconds_of
from bnnsim.campaign.result import SweepResult
from bnnsim.datasets.split import Split
from bnnsim.faults import BitFlips
from bnnsim.kernels import thread_count, threads
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.network import PackedNetwork
from bnnsim.training.model import Graph

RATES = (0.05, 1e-4)                # of the sweep points


# ---------------------------------------------------------------- training

class _EnoughSteps(Exception):
    """Training has made the steps that were to be timed."""


class _Clock:
    """A constant learning rate; notes when each step asks for it, and ends the run after `n_steps` whole steps."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self.times: dict[float, float] = {}

    def factor(self, epoch: float, n_epochs: int) -> float:
        """1, until there are enough steps. An epoch's end asks for its last step's once more, which is not counted."""
        self.times.setdefault(epoch, time.perf_counter())
        if len(self.times) > self.n_steps:
            raise _EnoughSteps
        return 1.0

    def step_seconds(self) -> list[float]:
        """Seconds of each step (n_steps,)."""
        return np.diff(list(self.times.values())).tolist()


def step_seconds(model: Graph, train: Split, n_steps: int, n_unheeded: int = 1) -> list[float]:
    """Seconds of `n_steps` steps of `fit` with its defaults; the first few, which allocate, are made but not heeded."""
    clock = _Clock(n_steps + n_unheeded)
    epochs = math.ceil((n_steps + n_unheeded + 1) * BATCH / len(train)) + 1
    try:
        fitting.fit(model, train, epochs, rng=0, batch_size=BATCH, schedule=clock, progress=False)
    except _EnoughSteps:
        return clock.step_seconds()[n_unheeded:]
    raise RuntimeError("the training ended before its clock")


def check_training(name: str, model: Graph, images: np.ndarray) -> None:
    """The trained network, packed, scores as it does itself, and as NumPy does, image by image."""
    network = packing.pack(model)
    require(f"training of the {WORKS[name].title}", np.array_equal(network.predict(images), model.predict(images)))
    check_scores(f"training of the {WORKS[name].title}", network, images[:4])


def check_scores(what: str, network: PackedNetwork, images: np.ndarray) -> None:
    """Scores equal to NumPy's sums; those of a graph, of floats, to another number of images at a time."""
    wanted = reference_scores(network, images) if not isinstance(network, PackedGraph) else \
        np.concatenate([network.scores(images[i:i + 1]) for i in range(len(images))])
    require(what, np.array_equal(network.scores(images), wanted))


def training_epoch(name: str, sizes: Sizes, images: Images) -> Measurement:
    """Measurement of an epoch. Whole ones, or so many steps, each a sample that stands for its share of an epoch.

    Where there are fewer training images than an epoch has, they are taken several times over.
    """
    work, (train, test) = WORKS[name], images.of(name)
    model = make_model(name, sizes)
    step_seconds(model, train, 1)                                # compiles
    check_training(name, model, test.images[:64])
    if sizes.steps[name]:
        samples = np.array(step_seconds(model, train, sizes.steps[name]))
        n_images, share = BATCH, min(1.0, len(samples) * BATCH / work.epoch_images)
    else:
        passes, per_pass = max(1, work.epoch_images // len(train)), math.ceil(len(train) / BATCH)
        seconds = step_seconds(model, train, sizes.epochs[name] * passes * per_pass)
        samples = np.reshape(seconds, (sizes.epochs[name], -1)).sum(axis=1)
        n_images, share = passes * len(train), 1.0
    what = f"{len(train):,} images of {train.name}, batch {BATCH}, Adam" + (
        "" if share == 1 else f"; {len(samples)} steps timed")
    return Measurement("training", f"{work.title}: epoch of {work.epoch_images:,} images",
                       (samples * work.epoch_images / n_images).tolist(), thread_count(), share, note=what)


# ---------------------------------------------------------------- inference and sweeps

def check_inference(name: str, network: PackedNetwork, images: np.ndarray) -> None:
    """Scores of some images, equal to NumPy's."""
    check_scores(f"inference of the {WORKS[name].title}", network, images[:4])


def inference(name: str, sizes: Sizes, images: Images) -> Measurement:
    """Measurement of the test images' classes."""
    (_, test), (network, origin) = images.of(name), make_network(name, sizes)
    check_inference(name, network, test.images)
    network.predict(test.images)
    share = len(test) / TEST_IMAGES
    samples = [seconds_of(network.predict, test.images) / share for _ in range(sizes.repetitions)]
    return Measurement("inference", f"{WORKS[name].title}: {TEST_IMAGES:,} images", samples, thread_count(), share,
                       note=f"{origin} network, {test.name}")


def one_image(name: str, sizes: Sizes, images: Images) -> Measurement:
    """Measurement of one image's class, in one thread; each sample is the mean of a loop over test images."""
    (_, test), (network, origin) = images.of(name), make_network(name, sizes)
    loop = [test.images[i:i + 1] for i in range(min(sizes.looped, len(test)))]

    def run() -> list[np.ndarray]:
        return [network.predict(one) for one in loop]

    with threads(1):
        require(f"inference of the {WORKS[name].title}, image by image",
                np.array_equal(np.concatenate(run()), network.predict(test.images[:len(loop)])))
        samples = [seconds_of(run) / len(loop) for _ in range(sizes.repetitions)]
    return Measurement("inference", f"{WORKS[name].title}: one image, 1 thread", samples, 1,
                       note=f"{origin} network, {test.name}, mean of {len(loop)} calls")


def run_sweep(network: PackedNetwork, test: Split, rate: float, chips: int) -> SweepResult:
    """The campaign that is timed: one rate, `chips` chips, everything as `sweep` does it."""
    return sweeps.sweep(network, test, [rate], chips, 0, progress=False)


def check_sweep(name: str, network: PackedNetwork, test: Split, rate: float) -> None:
    """Two chips of a sweep, against breaking a copy of the network and asking it for its classes."""
    swept = run_sweep(network, test, rate, 2)
    right = [int(np.sum(BitFlips(rate).apply(network, 0, trial).predict(test.images) == test.labels))
             for trial in range(2)]
    require(f"the sweep of the {WORKS[name].title}", swept.right[0, 0].sum(axis=1).tolist() == right)
    check_scores(f"the broken {WORKS[name].title}", BitFlips(rate).apply(network, 0, 1), test.images[:4])


def sweep_point(name: str, sizes: Sizes, images: Images, rate: float) -> Measurement:
    """Measurement of one chip of a sweep: bits flipped, all test images classified; shared work spread over chips."""
    (_, test), (network, origin) = images.of(name), make_network(name, sizes)
    check_sweep(name, network, test[:500], rate)
    run_sweep(network, test, rate, 2)
    share = len(test) / TEST_IMAGES
    chips = sizes.chips[name]
    samples = [seconds_of(run_sweep, network, test, rate, chips) / chips / share for _ in range(sizes.sweeps)]
    return Measurement("sweep", f"{WORKS[name].title}: one chip at BER {rate:g}, {TEST_IMAGES:,} images", samples,
                       thread_count(), share, note=f"{origin} network, {test.name}, mean of {chips} chips")


def measure(section: str, sizes: Sizes, images: Images, names: Iterable[str]) -> Iterator[Measurement]:
    """Measurements of one section, a generator."""
    for name in names:
        if section == "sweep":
            yield from (sweep_point(name, sizes, images, rate) for rate in RATES)
        elif section == "inference":
            yield inference(name, sizes, images)
            yield one_image(name, sizes, images)
        else:
            yield training_epoch(name, sizes, images)
