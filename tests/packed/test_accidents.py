"""Files of networks and checkpoints that were damaged by accident: one clear ValueError each."""

import os
import threading

import h5py
import numpy as np
import pytest
import slow_cases
from weight_files import CONTENT, assert_same, stored_checksum

import bnnsim.packed.network_file as network_file
import bnnsim.training.checkpoint_file as checkpoint_file


def _load(path):
    """Whatever a file of either kind holds."""
    kind = os.path.basename(path).split(".")[0]
    return network_file.load_network(path) if kind in ("network", "geometry") else checkpoint_file.load_checkpoint(path)


@pytest.mark.parametrize("kind", CONTENT)
def test_a_truncated_file_is_damaged(copies, kind):
    path = copies / f"{kind}.h5"
    whole = path.read_bytes()
    for length in {*range(0, len(whole), len(whole) // 50), 1, 8, 9, len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="damaged or cut off|empty|starts with") as caught:
            _load(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("seed", slow_cases.first(1, range(4)))
@pytest.mark.parametrize("kind", CONTENT)
def test_a_flipped_bit_is_noticed_or_harmless(copies, kind, seed):
    """Harmless: in space that HDF5 does not use."""
    path, rng = copies / f"{kind}.h5", np.random.default_rng(seed)
    whole = path.read_bytes()
    n_noticed = 0
    for position in rng.integers(0, 8 * len(whole), 150):
        damaged = bytearray(whole)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            came = _load(path)
        except ValueError as error:
            assert str(path) in str(error)
            n_noticed += 1
        else:
            assert_same(came, CONTENT[kind])
    assert n_noticed > 50


@pytest.mark.parametrize("kind", CONTENT)
def test_bytes_of_another_file_in_the_middle_are_noticed(copies, kind):
    path = copies / f"{kind}.h5"
    whole = path.read_bytes()
    for start in range(64, len(whole) - 512, 512):
        path.write_bytes(whole[:start] + bytes(range(256)) * 2 + whole[start + 512:])
        try:
            came = _load(path)
        except ValueError as error:
            assert str(path) in str(error)
        else:
            assert_same(came, CONTENT[kind])


def test_hdf5_prints_nothing_of_its_own(copies, capfd):
    """Not even in a thread, where h5py's silence once did not reach."""
    path, errors = copies / "network.h5", []
    path.write_bytes(path.read_bytes()[:-100])

    def load():
        with pytest.raises(ValueError, match="cut off") as caught:
            network_file.load_network(path)
        errors.append(caught)

    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    load()
    assert len(errors) == 2 and capfd.readouterr() == ("", "")


def test_what_is_no_file_of_ours_is_named(copies):
    empty, text, foreign = copies / "empty", copies / "text", copies / "foreign"
    empty.touch()
    text.write_text("weights: 1 0 1")
    with h5py.File(foreign, "w") as file:
        file["model_weights"] = np.zeros(3)
    cases = [(empty, ValueError, "got an empty one"), (text, ValueError, "starts with b'weights:'"),
             (foreign, ValueError, "another program"), (copies, IsADirectoryError, "folder"),
             (copies / "none", FileNotFoundError, "none"), (3.5, TypeError, "PathLike")]
    for path, error, message in cases:
        for load in (network_file.load_network, checkpoint_file.load_checkpoint, stored_checksum):
            with pytest.raises(error, match=message):
                load(path)
    with pytest.raises(ValueError, match="a training checkpoint: go on with fit"):
        network_file.load_network(copies / "checkpoint.h5")
    for load in (checkpoint_file.load_checkpoint, checkpoint_file.load_settings):
        with pytest.raises(ValueError, match="a packed network: open it with PackedNetwork.load"):
            load(copies / "network.h5")
