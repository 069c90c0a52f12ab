"""Files of networks and of a checkpoint, for tests that damage them."""

import shutil

import pytest
from weight_files import CONTENT

import bnnsim.packed.network_file as network_file
import bnnsim.training.checkpoint_file as checkpoint_file


@pytest.fixture(scope="module")
def good_files(tmp_path_factory):
    """network.h5 and checkpoint.h5, not to be altered."""
    folder = tmp_path_factory.mktemp("good")
    network_file.save_network(folder / "network.h5", CONTENT["network"])
    network_file.save_network(folder / "geometry.h5", CONTENT["geometry"])
    checkpoint_file.save_checkpoint(folder / "checkpoint.h5", *CONTENT["checkpoint"])
    return folder


@pytest.fixture
def copies(good_files, tmp_path):
    """The same in a folder of their own, to be altered."""
    for path in good_files.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path
