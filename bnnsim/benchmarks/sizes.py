"""How much is measured: the networks, and how often and on how many images each is timed."""

import re
from dataclasses import dataclass

import numpy as np

import bnnsim.datasets.find as find
import bnnsim.packed.network as network
import bnnsim.training.architectures as architectures
import bnnsim.training.packing as packing
from bnnsim.datasets.shipped import data_file
from bnnsim.datasets.split import Split

BATCH = 256                         # images a training step


@dataclass(frozen=True)
class Work:
    """A paper's network: its list of layers, its images, and how many images an epoch has."""

    title: str
    spec: str
    input_shape: tuple
    input_offset: int
    epoch_images: int
    shipped: str | None             # a trained one comes with the library


WORKS = {
    "fcnn": Work("Fashion FCNN", "FC2048 FC2048 FC10", (1, 28, 28), 0, 60_000, "fashion_fcnn.h5"),
    "cnn": Work("Fashion CNN", "C64 MP2 C64 MP2 FC2048 FC2048 FC10", (1, 28, 28), 0, 60_000, "fashion_cnn.h5"),
    "cifar": Work("CIFAR-10 CNN", "C128 C128 MP2 C256 C256 MP2 C256 C256 MP2 FC2048 FC2048 FC10", (3, 32, 32), 128,
                  50_000, None),
}
TEST_IMAGES = 10_000                # of each data set
SYNTHETIC_IMAGES = 5000             # drawn in place of CIFAR-10, and taken over and over


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    name: str
    repetitions: int
    gemm: int                       # rows, columns and terms of the products
    steps: dict                     # training steps timed, by network; 0: whole epochs
    epochs: dict                    # whole epochs timed, where steps are 0
    images: dict                    # test images classified, by network
    chips: dict                     # of a sweep, by network; the time of one is reported
    sweeps: int                     # repetitions of sweeps and of whole processes
    shrink: int = 1                 # layers are so many times narrower
    limit_steps: int = 300_000      # of the limit's chains
    rounds: int = 3                 # of A B A B with a peer


SIZES = {
    "tiny": Sizes("tiny", 2, 128, {"fcnn": 2, "cnn": 2, "cifar": 2}, {}, {"fcnn": 40, "cnn": 40, "cifar": 20},
                  dict.fromkeys(WORKS, 2), 1,
                  shrink=16, limit_steps=100, rounds=2),
    "quick": Sizes("quick", 5, 2048, {"fcnn": 30, "cnn": 8, "cifar": 3}, {},
                   dict.fromkeys(WORKS, TEST_IMAGES), {"fcnn": 20, "cnn": 10, "cifar": 2}, 3),
    "full": Sizes("full", 11, 2048, dict.fromkeys(WORKS, 0), {"fcnn": 5, "cnn": 3, "cifar": 2},
                  dict.fromkeys(WORKS, TEST_IMAGES), dict.fromkeys(WORKS, 20), 5, rounds=5),
}


def narrower(spec, shrink):
    """A network's list with all layers but the last `shrink` times narrower.

    Examples
    --------
    >>> narrower("C64 MP2 FC2048 FC10", 16)
    'C4 MP2 FC128 FC10'
    """
    *hidden, last = spec.split()
    return " ".join([*(re.sub(r"^(C|FC)(\d+)", lambda m: f"{m[1]}{int(m[2]) // shrink}", word) for word in hidden),
                     last])


def make_model(name, sizes):
    """A new, untrained network; the same at each call."""
    work = WORKS[name]
    return architectures.build(narrower(work.spec, sizes.shrink), work.input_shape, work.input_offset, rng=0)


def make_network(name, sizes):
    """The packed network that is evaluated and broken, and what it is: the shipped one, else an untrained one."""
    if WORKS[name].shipped and sizes.shrink == 1:
        return network.PackedNetwork.load(data_file(WORKS[name].shipped)), "trained"
    return packing.pack(make_model(name, sizes)), "untrained"


def synthetic(name, n_images):
    """A split of random pixels of the right shape."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n_images, *WORKS[name].input_shape), np.uint8)
    return Split(images, rng.integers(0, 10, n_images), "synthetic")


def repeated(split, n_images):
    """The first `n_images` of a split, which starts anew where it ends."""
    return split if len(split) == n_images else split[:n_images] if len(split) > n_images else \
        split.take(np.arange(n_images) % len(split))


class Images:
    """Training and test images of each network; loaded once, and described for the report."""

    def __init__(self, sizes):
        self.sizes, self._found = sizes, {}

    def of(self, name):
        """(train, test) for a network; test has the number of images that `sizes` asks for."""
        kind = "cifar" if name == "cifar" else "fashion"
        if kind not in self._found:
            # without the full set the embedded subset comes, with a notice
            self._found[kind] = (synthetic("cifar", SYNTHETIC_IMAGES),) * 2 if kind == "cifar" else \
                find.load_dataset("fashion", download=False)
        train, test = self._found[kind]
        return train, repeated(test, self.sizes.images[name])

    def described(self):
        """What was used, for those that were."""
        origins = {"": "random pixels", "embedded subset": "embedded subset"}
        return {kind: {"name": train.name, "images": len(train), "test": test.name, "test_images": len(test),
                       "origin": origins.get(train.origin, "official files")}
                for kind, (train, test) in self._found.items()}
