"""The published networks, where they are: other people's files, which are not in this repository.

They lie in the folder that BNNSIM_NETWORKS names, or in shared/networks beside a folder that the repository is in, and
MNIST in ../data/mnist beside it.
"""

import os
import tarfile
from pathlib import Path

import pytest

HERE = Path(__file__).resolve()


def folder():
    """Where they are; skips, with the reason, where they are not."""
    named = os.environ.get("BNNSIM_NETWORKS")
    places = [Path(named)] if named else [parent / "shared" / "networks" for parent in HERE.parents]
    for place in places:
        if (place / "courage.tar.gz").is_file():
            return place
    pytest.skip("other people's networks are not in this repository: BNNSIM_NETWORKS names no folder that has them")


def unpacked(name, target):
    """The files of one, in a folder."""
    with tarfile.open(folder() / f"{name}.tar.gz") as archive:
        archive.extractall(target, filter="data")
    return target


def mnist():
    """The folder of MNIST's files."""
    place = folder().parent / "data" / "mnist"
    if not place.is_dir():
        pytest.skip("MNIST is not beside the published networks")
    return place
