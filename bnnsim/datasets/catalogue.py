"""The data sets known by name: one entry each, which `load_dataset`, every command and configuration files read.

Sizes: N images, C channels, H rows, W columns.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from bnnsim.datasets.readers import read_batches, read_cifar_binary, read_cifar_python, read_idx_pair

# paths of one half, (C, H, W), number of classes -> images uint8 (N, C, H, W), labels uint8 (N,); ValueError else
Reader = Callable[[Sequence[Path], tuple[int, int, int], int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Layout:
    """The files that one version of a data set consists of, and how to read them.

    Parameters
    ----------
    train, test : tuple of str
        The names of each half's files; one that ends in .gz may be there without.
    folders : tuple of str
        The names of the folders that they usually come in.
    read : function
        See `Reader`.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    folders: tuple[str, ...]
    read: Reader

    def find(self, folder: Path) -> dict[str, Path | None]:
        """The path of each file in this folder, None if it is absent; a .gz file may be there plain."""
        def first(*spellings: str) -> Path | None:
            # os.path.isfile is False, and Path.is_file an error, where a folder may not be looked into
            return next((folder / name for name in spellings if os.path.isfile(folder / name)), None)

        return {name: first(name, name.removesuffix(".gz")) for name in self.train + self.test}


@dataclass(frozen=True)
class Source:
    """Where official files are: addresses to try in turn, and the SHA-256 of each file's content.

    Parameters
    ----------
    addresses : tuple of str
    sha256 : dict of str to str
        By the file's name, of the decompressed content: a recompressed copy passes.
    archive, archive_sha256, archive_folder : str
        Of files that come in one tar.gz: its name, its sum, and the folder in it that they are in.
    """

    addresses: tuple[str, ...]
    sha256: Mapping[str, str]
    archive: str = ""
    archive_sha256: str = ""
    archive_folder: str = ""


@dataclass(frozen=True)
class Dataset:
    """All that the library knows of a data set.

    Parameters
    ----------
    title : str
        What it is called in prose.
    image_shape : (C, H, W)
    layouts : tuple of Layout
        The versions that its files come in; the first complete one is read.
    network : str
        What `train` builds for it: a name of `bnnsim.architectures`, or a list such as "C64 MP2 FC10".
    class_names : tuple of str
        For tables and legends; "class 0" and so on where it is empty.
    n_classes : int
    augment : bool
        Whether `train` crops and flips its images where nothing is said.
    source : Source, optional
        What `download` fetches.
    embedded : bool
        Whether it comes with the library, and is looked for nowhere else.
    stand_in : str
        The embedded data set that comes, with a warning, where there is no copy of this one.
    """

    title: str
    image_shape: tuple[int, int, int]
    layouts: tuple[Layout, ...]
    network: str
    class_names: tuple[str, ...] = ()
    n_classes: int = 10
    augment: bool = False
    source: Source | None = field(default=None, repr=False)
    embedded: bool = False
    stand_in: str = ""


def idx_layout(prefix: str, *folders: str) -> Layout:
    """The four compressed IDX files that MNIST, and the sets made after it, consist of."""
    train, test = (tuple(f"{prefix}{half}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
                   for half in ("train", "t10k"))
    return Layout(train, test, folders, read_idx_pair)


_FASHION_CLASSES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
                    "ankle boot")                               # as in github.com/zalandoresearch/fashion-mnist
_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))

# Where the sums were read.
# Fashion: computed from Debian's dataset-fashion-mnist; the same sums stand for the official files in three
# independent public projects (a Rust crate, a Makefile, a loader that first compared the README's MD5 sums).
# MNIST: a public downloader has them beside the .gz sums of tensorflow/datasets, url_checksums/mnist.txt; a
# Makefile has those of the labels and the test images too.
# CIFAR-10: the archive's in tensorflow/datasets, url_checksums/cifar10.txt; the batches' in torchvision for
# Ruby, that of test_batch.bin in two more projects.
CATALOGUE: dict[str, Dataset] = {
    "fashion": Dataset(
        "Fashion-MNIST", (1, 28, 28), (idx_layout("", "fashion-mnist", "FashionMNIST/raw"),), "fashion_fcnn",
        _FASHION_CLASSES, stand_in="fashion-subset",
        source=Source(("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",), {
            "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"})),
    "mnist": Dataset(
        "MNIST", (1, 28, 28), (idx_layout("", "MNIST/raw"),), "mnist_mlp",
        source=Source(("https://ossci-datasets.s3.amazonaws.com/mnist/",
                       "https://storage.googleapis.com/cvdf-datasets/mnist/"), {
            "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"})),
    "cifar10": Dataset(
        "CIFAR-10", (3, 32, 32), (
            Layout(tuple(f"{name}.bin" for name in _BATCHES), ("test_batch.bin",), ("cifar-10-batches-bin",),
                   partial(read_batches, read_cifar_binary)),
            Layout(_BATCHES, ("test_batch",), ("cifar-10-batches-py",), partial(read_batches, read_cifar_python))),
        "cifar10_cnn",
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"), augment=True,
        source=Source(("https://www.cs.toronto.edu/~kriz/",), {
            "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
            "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
            "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
            "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
            "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
            "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"},
            "cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            "cifar-10-batches-bin")),
    "fashion-subset": Dataset(
        "a part of Fashion-MNIST", (1, 28, 28), (idx_layout("fashion-subset-"),), "fashion_fcnn", _FASHION_CLASSES,
        embedded=True),
}


def dataset_of(split_name: str) -> str | None:
    """The data set that a split is of, by the split's name; None for none that is known.

    Examples
    --------
    >>> dataset_of("fashion-subset-test[:300]"), dataset_of("fashion-train"), dataset_of("mnist-of-mine.npz-test")
    ('fashion-subset', 'fashion', None)
    """
    name = re.sub(r"(-train|-test)?(\[[^]]*\])*$", "", split_name)
    return name if name in CATALOGUE else None
