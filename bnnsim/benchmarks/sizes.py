"""How much is measured: the networks, and how often and on how many images each is timed."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import bnnsim.datasets.find as find
import bnnsim.training.architectures as architectures
import bnnsim.training.packing as packing
from bnnsim.datasets.shipped import data_file
from bnnsim.datasets.split import Split
from bnnsim.packed.network import PackedNetwork
from bnnsim.training.model import Graph

BATCH = 256                         # images a training step


@dataclass(frozen=True)
class Work:
    """A paper's network, a narrow one of its kind, its images, and how many images an epoch has."""

    title: str
    architecture: str               # of `bnnsim.architectures`
    narrow: str | int               # list of layers; of a graph the width
    input_shape: tuple[int, int, int]
    input_offset: int
    epoch_images: int
    shipped: str | None             # a trained one comes with the library


WORKS = {
    "fcnn": Work("Fashion FCNN", "fashion_fcnn", "FC128 FC128 FC10", (1, 28, 28), 0, 60_000, "fashion_fcnn.h5"),
    "cnn": Work("Fashion CNN", "fashion_cnn", "C4 MP2 C4 MP2 FC128 FC128 FC10", (1, 28, 28), 0, 60_000,
                "fashion_cnn.h5"),
    "cifar": Work("CIFAR-10 CNN", "cifar10_cnn", "C8 C8 MP2 C16 C16 MP2 C16 C16 MP2 FC128 FC128 FC10", (3, 32, 32), 128,
                  50_000, None),
    "residual": Work("Bi-Real ResNet-18", "bireal_resnet18", 8, (1, 28, 28), 0, 60_000, None),
}
TEST_IMAGES = 10_000                # of each data set
SYNTHETIC_IMAGES = 5000             # drawn in place of CIFAR-10, and taken over and over


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    name: str
    repetitions: int
    gemm: int                       # rows, columns and terms of the products
    steps: dict[str, int]           # training steps timed, by network; 0: whole epochs
    epochs: dict[str, int]          # whole epochs timed, where steps are 0
    images: dict[str, int]          # test images classified, by network
    chips: dict[str, int]           # of a sweep, by network; the time of one is reported
    sweeps: int                     # repetitions of sweeps and of whole processes
    narrow: bool = False            # narrow networks in place of the papers'
    limit_steps: int = 300_000      # of the limit's chains
    rounds: int = 3                 # of A B A B with a peer
    compared: int = TEST_IMAGES     # images, at most, that a peer classifies with the networks of SLOW
    looped: int = 1000              # calls in a loop of one image each


SLOW = ("cifar", "residual")
SIZES = {
    "tiny": Sizes("tiny", 2, 128, dict.fromkeys(WORKS, 2), {}, {"fcnn": 40, "cnn": 40, "cifar": 20, "residual": 20},
                  dict.fromkeys(WORKS, 2), 1, narrow=True, limit_steps=100, rounds=2),
    "quick": Sizes("quick", 5, 2048, {"fcnn": 30, "cnn": 8, "cifar": 3, "residual": 4}, {},
                   dict.fromkeys(WORKS, TEST_IMAGES), {"fcnn": 20, "cnn": 10, "cifar": 2, "residual": 2}, 3,
                   compared=1000),
    "full": Sizes("full", 11, 2048, dict.fromkeys(WORKS, 0) | {"residual": 40}, {"fcnn": 5, "cnn": 3, "cifar": 2},
                  dict.fromkeys(WORKS, TEST_IMAGES), dict.fromkeys(WORKS, 20), 5, rounds=5, compared=2000),
}


def make_model(name: str, sizes: Sizes) -> Graph:
    """A new, untrained network; the same at each call."""
    work = WORKS[name]
    if isinstance(work.narrow, int):
        return architectures.GRAPHS[work.architecture](rng=0, **({"width": work.narrow} if sizes.narrow else {}))
    if sizes.narrow:
        return architectures.build(work.narrow, work.input_shape, work.input_offset, rng=0)
    return architectures.IN_A_ROW[work.architecture](rng=0)


def make_network(name: str, sizes: Sizes) -> tuple[PackedNetwork, str]:
    """The packed network that is evaluated and broken, and what it is: the shipped one, else an untrained one."""
    shipped = WORKS[name].shipped
    if shipped and not sizes.narrow:
        return PackedNetwork.load(data_file(shipped)), "trained"
    return packing.pack(make_model(name, sizes)), "untrained"


def synthetic(name: str, n_images: int) -> Split:
    """A split of random pixels of the right shape."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n_images, *WORKS[name].input_shape), np.uint8)
    return Split(images, rng.integers(0, 10, n_images), "synthetic")


def repeated(split: Split, n_images: int) -> Split:
    """The first `n_images` of a split, which starts anew where it ends."""
    return split if len(split) == n_images else split[:n_images] if len(split) > n_images else \
        split.take(np.arange(n_images) % len(split))


class Images:
    """Training and test images of each network; loaded once, and described for the report."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self._loaded: dict[str, tuple[Split, Split]] = {}

    def of(self, name: str) -> tuple[Split, Split]:
        """(train, test) for a network; test has the number of images that `sizes` asks for."""
        kind = "cifar" if name == "cifar" else "fashion"
        if kind not in self._loaded:
            # narrow networks take the embedded subset; without the full set others do too, with a notice
            self._loaded[kind] = (synthetic("cifar", SYNTHETIC_IMAGES),) * 2 if kind == "cifar" else \
                find.load_dataset("fashion-subset" if self.sizes.narrow else "fashion", download=False)
        train, test = self._loaded[kind]
        return train, repeated(test, self.sizes.images[name])

    def described(self) -> dict[str, dict[str, Any]]:
        """What was used, for those that were."""
        origins = {"": "random pixels", "embedded subset": "embedded subset"}
        return {kind: {"name": train.name, "images": len(train), "test": test.name, "test_images": len(test),
                       "origin": origins.get(train.origin, "official files")}
                for kind, (train, test) in self._loaded.items()}
