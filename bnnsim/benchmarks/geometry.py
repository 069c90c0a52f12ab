"""Convolutions of every geometry beside the plain one, by multiply-accumulates: whether one of them is a slow cliff."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from bnnsim.benchmarks.sizes import Sizes
from bnnsim.benchmarks.timing import Measurement, alternated, seconds_of
from bnnsim.kernels import recycling, threads
from bnnsim.packed.words import pack_signs
from bnnsim.training.architectures import build
from bnnsim.training.layers.conv import Conv2d

PLAIN = "C128"
WORDS = (PLAIN, "C128s2", "C128s2x1", "C128d2p2", "C128p0x0x2x2", "C128k4same", "C128rep", "C128k1x7p0x3", "C128k5p2",
         "C128g2", "C128g4", "C128g128")
SIDE = 16                           # of the map, of 128 channels


@dataclass(frozen=True, eq=False)
class Case:
    """A layer of a word's geometry, its input and a gradient of its output."""

    word: str
    layer: Conv2d
    x: np.ndarray
    dh: np.ndarray

    @property
    def macs(self) -> int:
        """Of a forward pass."""
        return self.dh.size * self.layer.fan_in


def make(word: str, n_images: int) -> Case:
    """The second layer of a network that the word is a part of."""
    rng = np.random.default_rng(0)
    model = build(f"C128 {word} FC2", (1, SIDE, SIDE), rng=0)
    layer = model.weighted[1]
    assert isinstance(layer, Conv2d)
    x = pack_signs(rng.choice([-1, 1], (n_images * SIDE * SIDE, 128)).astype(np.int8)).reshape(n_images, SIDE, SIDE, -1)
    return Case(word, layer, x, rng.standard_normal(layer.forward(x).shape).astype(np.float32))


def measure(sizes: Sizes) -> Iterator[Measurement]:
    """Forward pass and both gradients of each geometry, in turns with the plain convolution's, on one thread."""
    n_images = 2 if sizes.narrow else 32
    plain = make(PLAIN, n_images)
    for word in WORDS:
        case = make(word, n_images)
        for what in ("forward", "backward"):
            with threads(1), recycling():
                runs = {one: _run(one, what) for one in (plain, case)} if case.word != PLAIN else \
                    {plain: _run(plain, what)}
                alternated(runs, 1)
                samples = alternated(runs, 3 * sizes.repetitions)
            own = samples[plain if case.word == PLAIN else case]
            ratio = np.median(own) / case.macs / (np.median(samples[plain]) / plain.macs)
            amount = case.macs if what == "forward" else 2 * case.macs
            yield Measurement("geometry", f"{word}, {what}, a core", own, 1, amount=amount, unit="MAC",
                              note=f"{ratio:.2f} x the time of {PLAIN} by MACs")


def _run(case: Case, what: str) -> Callable[[], float]:
    cache = case.layer.forward_train(case.x)[1]
    if what == "forward":
        return lambda: seconds_of(case.layer.forward, case.x)
    return lambda: seconds_of(case.layer.backward, case.dh, cache)
