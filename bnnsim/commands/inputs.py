"""What a command works on: networks by name, and the images they are tried on."""

import argparse
import itertools
import os
from collections.abc import Mapping, Sequence

import bnnsim.commands.options as shared
import bnnsim.commands.rules as rules
import bnnsim.datasets.find as find
import bnnsim.datasets.shipped as shipped
from bnnsim.datasets.catalogue import CATALOGUE, dataset_of
from bnnsim.datasets.reading import KEY
from bnnsim.datasets.split import Split
from bnnsim.packed.network import PackedNetwork

SHIPPED = "fashion_fcnn"                    # what comes with the library, and the data set it is tried on
SHIPPED_DATASET = "fashion-subset"


def shipped_file(name: str = SHIPPED) -> str:
    """The path of a network that comes with the library."""
    return os.fspath(shipped.data_file(f"{name}.h5"))


def load_networks(paths: Sequence[str]) -> dict[str, PackedNetwork]:
    """Networks by a short name: the file's, made unique; without a path the one that comes with the library."""
    paths = paths or [shipped_file()]
    twice = next((path for i, path in enumerate(paths) if path in paths[:i]), None)
    if twice:
        raise ValueError(f"{twice} is given twice")
    networks: dict[str, PackedNetwork] = {}
    for path in paths:
        stem = os.path.splitext(os.path.basename(path))[0]
        names = itertools.chain((stem, path), (f"{path} ({n})" for n in itertools.count(2)))
        name = next(name for name in names if name not in networks)      # a path may be the short name of another
        networks[name] = PackedNetwork.load(shipped.network_file(path))
    return networks


def load_network(path: str | None) -> tuple[str, PackedNetwork]:
    """A network and its short name; without a path the one that comes with the library."""
    (name, network), = load_networks([path] if path else []).items()
    return name, network


def default_dataset(paths: Sequence[str], networks: Mapping[str, PackedNetwork]) -> str:
    """The one data set that all networks were trained on, as their files say; where they do not, it is asked for."""
    if not paths:
        return SHIPPED_DATASET
    remedy = "say which to take, --dataset NAME, or the path of data of your own"
    found = {}
    for name, network in networks.items():
        trained_on = network.metadata.get("dataset")
        if trained_on is None:
            raise ValueError(f"the file of {name} does not tell the data set that it was trained on: {remedy}")
        known = dataset_of(trained_on)
        if known is None:
            raise ValueError(f"{name} was trained on {trained_on!r}, which is none of {', '.join(CATALOGUE)}: {remedy}")
        found[known] = name
    if len(found) > 1:
        came = ", ".join(f"{name} on {trained_on}" for trained_on, name in found.items())
        raise ValueError(f"the networks were trained on several data sets ({came}): {remedy}")
    return next(iter(found))


def load_test(options: argparse.Namespace, paths: Sequence[str], networks: Mapping[str, PackedNetwork]) -> Split:
    """The test images of --dataset, or of the default data set, once all networks are known to take them."""
    halves = _read_halves(options.dataset or default_dataset(paths, networks), options, networks)
    test = shared.limited(halves[1], options)
    for name, network in networks.items():
        check_fit(name, network, test)
    return test


def load_halves(name: str, options: argparse.Namespace, networks: Mapping[str, PackedNetwork]) -> tuple[Split, Split]:
    """Training and test half of a known data set, or of data of one's own, read as in the networks' training."""
    train, test = _read_halves(name, options, networks)
    return shared.limited(train, options), shared.limited(test, options)


def _read_halves(name: str, options: argparse.Namespace, networks: Mapping[str, PackedNetwork]) -> tuple[Split, Split]:
    size = rules.size_of(options.size)
    if name in CATALOGUE:
        return find.load_dataset(name, options.data, size=size, order=options.order)
    if len({network.metadata.get(KEY) for network in networks.values()}) > 1:
        raise ValueError(f"the networks {', '.join(networks)} number classes, or read data, each in another way: try "
                         f"{name} on one at a time")
    like = next(iter(networks.values())).metadata
    halves = find.load_dataset(name, options.data, size=size, order=options.order, like=like)
    for short, network in networks.items():
        names = halves[1].reading.class_names if halves[1].reading else ()
        if KEY not in like and len(names) > network.n_classes:
            raise ValueError(f"{short} has {network.n_classes} classes, but {name} has {len(names)}: choose another "
                             "--dataset")
    return halves


def check_fit(name: str, network: PackedNetwork, split: Split) -> None:
    """The network takes these images and knows these classes; ValueError which says what to change."""
    if network.input_shape != split.images.shape[1:]:
        takes, has = (" x ".join(map(str, shape)) for shape in (network.input_shape, split.images.shape[1:]))
        raise ValueError(f"{name} takes images of {takes}, but those of {split.name} are {has}: choose another "
                         "--dataset")
    if network.n_classes <= split.labels.max():
        raise ValueError(f"{name} has {network.n_classes} classes, but {split.name} has labels up to "
                         f"{split.labels.max()}: choose another --dataset")
