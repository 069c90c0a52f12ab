"""Files of networks and checkpoints: what comes back, what is never written, what a failed write leaves."""

import copy
import os
import stat
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from weight_files import (assert_same, checkpoint, conv_layer, conv_network, dense_layer, dense_network,
                          stored_checksum)

import bnnsim.files.file_format as file_format
import bnnsim.packed.network_file as network_file
import bnnsim.packed.schema as schema
import bnnsim.training.checkpoint_file as checkpoint_file

GOLDEN = Path(__file__).parents[1] / "golden"
ONE_DENSE = {"input_shape": (1, 2, 2), "input_offset": 255, "metadata": {},
             "layers": [dense_layer(4, 2, np.random.default_rng(0), last=True)]}


# ---------------------------------------------------------------- what comes back

@pytest.mark.parametrize("network", [ONE_DENSE, dense_network(), conv_network()],
                         ids=["one", "dense", "conv"])
def test_a_network_comes_back_as_it_was(tmp_path, network):
    path = tmp_path / "network.h5"
    network_file.save_network(path, network)
    assert_same(network_file.load_network(path), network)
    assert_same(network_file.load_network(str(path)), network)
    assert stored_checksum(path) == network_file.checksum(network)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    path, (settings, arrays, progress) = tmp_path / "run.h5", checkpoint()
    checkpoint_file.save_checkpoint(path, settings, arrays, progress)
    expected = {name: (array.dtype, array.shape) for name, array in arrays.items()}
    for came in (checkpoint_file.load_checkpoint(path), checkpoint_file.load_checkpoint(path, expected)):
        assert_same(came, (settings, arrays, progress))
    assert checkpoint_file.load_settings(path) == settings
    assert all(array.flags.writeable for array in came[1].values())


def test_arrays_in_any_memory_order_are_saved(tmp_path):
    values = np.arange(12.0).reshape(3, 4)
    checkpoint_file.save_checkpoint(tmp_path / "run.h5", {}, {"t": values.T, "s": values[::2, 1:]}, {})
    _, arrays, _ = checkpoint_file.load_checkpoint(tmp_path / "run.h5")
    assert_same(arrays, {"t": values.T.copy(), "s": values[::2, 1:].copy()})


@pytest.mark.tiny
def test_golden_network_of_an_independent_writer_loads():
    network = network_file.load_network(GOLDEN / "network.h5")
    assert network_file.checksum(network) == "c39772b02b4d760115ac2329603cabbfc28489f44f69e5e8628c3818549feede"
    assert network["metadata"] == {"dataset": "none", "note": "Büschel"}
    assert network["input_shape"] == (2, 4, 4) and network["input_offset"] == 128
    conv, dense = network["layers"]
    assert conv["words"].reshape(-1).tolist() == [i % 4 for i in range(27)] and conv["pool"] == (2, 2)
    assert conv["threshold"].tolist() == [-3, 0, 700] and conv["inverted"].tolist() == [True, False, False]
    assert dense["words"].tolist() == [[0b101010101010], [0b111111]]
    assert dense["scale"].tolist() == [0.125, 3.0]


def test_golden_checkpoint_of_an_independent_writer_loads():
    path = GOLDEN / "checkpoint.h5"
    checksum = "f29e3c119fb6041b1378ae86458ef90de739656e74b44280739d29cb9607376e"
    assert stored_checksum(path) == checksum
    settings, arrays, progress = checkpoint_file.load_checkpoint(path)
    assert settings == {"epochs": 3, "rates": [0.1, 1e-30]} and progress == {"step": 7}
    assert_same(arrays, {"0.weight": np.array([[0.5, -1.0]], np.float32),
                         "0.weight.first": np.array([1e-3, 2.0]), "count": np.array(-4, np.int32),
                         "empty": np.zeros(0, np.uint8),
                         "key": np.array([2**64 - 1], np.uint64), "order": np.array([2, 0, 1])})


def test_golden_files_saved_again_keep_their_checksum(tmp_path):
    path = tmp_path / "again.h5"
    network_file.save_network(path, network_file.load_network(GOLDEN / "network.h5"))
    assert stored_checksum(path) == stored_checksum(GOLDEN / "network.h5")
    checkpoint_file.save_checkpoint(path, *checkpoint_file.load_checkpoint(GOLDEN / "checkpoint.h5"))
    assert stored_checksum(path) == stored_checksum(GOLDEN / "checkpoint.h5")


def test_saving_twice_gives_the_same_bytes_but_for_the_time(tmp_path, monkeypatch):
    fixed = dict(file_format.root_attributes("bnnsim-network", 1, network_file.checksum(conv_network())))
    monkeypatch.setattr(file_format, "root_attributes", lambda *_: fixed)
    for name in "ab":
        network_file.save_network(tmp_path / name, conv_network())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with h5py.File(tmp_path / "a") as file:             # HDF5 would store seconds, which the two saves share
        assert not file["layer0/words"].id.get_create_plist().get_obj_track_times()


def test_checksum_is_of_the_numbers_and_not_of_their_history():
    network = conv_network()
    same = {**network, "metadata": {"command": "another"}, "input_shape": [3, 9, 8]}
    assert network_file.checksum(same) == network_file.checksum(network)
    changed = [("input_offset", 127, None), ("stride", 3, 1), ("pad_value", 1, 1), ("words", None, 1),
               ("mean", None, 3), ("inverted", None, 0), ("threshold", None, 2), ("shift", None, 3)]
    for key, value, layer in changed:
        other = copy.deepcopy(network)
        place = other if layer is None else other["layers"][layer]
        if value is not None:
            place[key] = value
        elif key == "inverted":
            place[key][0] ^= True
        elif key == "words":
            place[key][0, 0, 0, 0] ^= np.uint64(1)
        else:
            place[key][0] += 1
        assert network_file.checksum(other) != network_file.checksum(network), key


# ---------------------------------------------------------------- what is never written

def _pad(network):
    network["layers"][0]["words"][3, 1, 2, 0] |= np.uint64(8)


def _change(layer, key, value):
    def change(network):
        place = network if layer is None else network["layers"][layer]
        place[key] = value
    return change


def _drop(layer, key):
    return lambda network: (network if layer is None else network["layers"][layer]).pop(key)


F8 = np.zeros(3)
RNG = np.random.default_rng(1)
BAD_NETWORKS = [
    (_pad, ValueError, r"layers\[0\] words must have 0 in every padding bit \(past feature 2\).*\(3, 1, 2\)"),
    (_drop(None, "input_offset"), ValueError, "network must have exactly .*missing: input_offset"),
    (_change(None, "colour", 1), ValueError, "unknown: 'colour'"),
    (_drop(1, "words"), ValueError, r"layers\[1\] must have kind, .*may have stride, .*missing: words"),
    (_change(1, "strides", 1), ValueError, r"layers\[1\] .*unknown: 'strides'"),
    (_drop(3, "mean"), ValueError, r"layers\[3\] \(the last layer\) .*missing: mean"),
    (_change(3, "threshold", F8), ValueError, r"layers\[3\] \(the last layer\) .*unknown: 'mean'"),
    (_change(2, "mean", F8), ValueError, r"layers\[2\] .*unknown: 'mean'"),
    (_change(None, "layers", []), ValueError, "number of layers must be"),
    (_change(None, "layers", 3), TypeError, "layers must be a list"),
    (_change(None, "input_shape", (3, 9)), ValueError, "three integers"),
    (_change(None, "input_shape", (3, 9, 0)), ValueError, r"input_shape\[2\] must be in"),
    (_change(None, "input_shape", (2**16, 2**16, 1)), ValueError, "values of an input image"),
    (_change(None, "input_shape", (2, 9, 8)), ValueError, r"layers\[0\] n_in must be 2, the channels"),
    (_change(None, "input_shape", (3, 99, 98)), ValueError, r"layers\[2\] n_in must be 1152"),
    (_change(None, "input_offset", 256), ValueError, "input_offset must be in"),
    (_change(None, "input_offset", 1.0), TypeError, "input_offset must be an integer"),
    (_change(None, "metadata", {"epochs": 3}), TypeError, "metadata must be a dict of str to str"),
    (_change(None, "metadata", {"log": "x" * 2**20}), ValueError, "metadata must be at most"),
    (_change(0, "kind", "lstm"), ValueError, r"layers\[0\] kind must be one of"),
    (_change(3, "kind", "conv"), ValueError, r"layers\[3\] words must have shape \(any, any, any, 1\)"),
    (_change(0, "n_in", 4), ValueError, r"layers\[0\] n_in must be 3"),
    (_change(0, "n_in", 65), ValueError, r"layers\[0\] words must have shape \(any, any, any, 2\)"),
    (_change(0, "words", np.zeros((70, 1), np.uint64)), ValueError, "words must have shape"),
    (_change(0, "words", np.zeros((0, 3, 3, 1), np.uint64)), ValueError, "must not be empty"),
    (_change(0, "words", np.zeros((70, 3, 3, 1))), TypeError, "must have dtype uint64, got float64"),
    (_change(0, "words", [[1]]), TypeError, "must be a NumPy array"),
    (_change(0, "stride", 0), ValueError, "stride must be in"),
    (_change(0, "padding", -1), ValueError, "padding must be in"),
    (_change(0, "padding", 60_000), ValueError, "values of its input with a padding of 60000"),
    (_change(0, "pad_value", 2), ValueError, r"pad_value must be in \[-1, 1\]"),
    (_change(0, "pool", 10), ValueError, "must fit its input of 9 x 8, got an output of 0 x 0"),
    (_change(1, "words", np.zeros((2, 5, 5, 2), np.uint64)), ValueError, r"layers\[1\]: a 5 x 5 kernel"),
    (_change(2, "pool", 2), ValueError, r"layers\[2\] pool must be"),
    (_change(2, "pad_value", 1), ValueError, r"layers\[2\] pad_value must be"),
    (_change(2, "threshold", np.zeros(4, np.int64)), TypeError, "threshold must have dtype int32"),
    (_change(2, "threshold", np.zeros(5, np.int32)), ValueError, r"threshold must have shape \(4,?\)"),
    (_change(2, "inverted", np.zeros(4, np.uint8)), TypeError, "inverted must have dtype bool"),
    (_change(2, "inverted", np.full(4, 2, np.uint8).view(bool)), ValueError,
     "must hold False and True, got byte 2"),
    (_change(3, "scale", np.array([1, np.nan, 1])), ValueError, r"layers\[3\] scale must be finite"),
    (_change(3, "shift", np.array([1, 1, np.inf])), ValueError, r"layers\[3\] shift must be finite"),
    (_change(3, "mean", np.zeros(3, np.float32)), TypeError, "mean must have dtype float64"),
    (_change(3, "mean", np.zeros((3, 1))), ValueError, "mean must have shape"),
    (_change(2, "words", np.zeros((4, 2), np.uint64)), ValueError, r"layers\[2\] words must have shape"),
]


@pytest.mark.parametrize("case", BAD_NETWORKS, ids=lambda case: case[2][:50])
def test_a_bad_network_is_not_written(tmp_path, case):
    change, error, message = case
    network = conv_network()
    change(network)
    with pytest.raises(error, match=message):
        network_file.save_network(tmp_path / "network.h5", network)
    assert not list(tmp_path.iterdir())


def test_conv_may_not_follow_dense():
    network = dense_network()
    network["layers"].insert(1, conv_layer(130, 130, RNG))
    with pytest.raises(ValueError, match=r"layers\[1\] is conv behind a dense layer"):
        schema.check_network(network)


def test_pre_activations_must_fit_int32():
    network = {**ONE_DENSE, "input_shape": (129, 256, 256), "layers": [dense_layer(64, 1, RNG, last=True)]}
    network["layers"][0] |= {"n_in": 129 * 2**16, "words": np.zeros((1, 129 * 2**10), np.uint64)}
    with pytest.raises(ValueError, match="largest pre-activation"):
        schema.check_network(network)
    schema.check_network({**network, "input_offset": 128})             # |pixel - offset| is half as large


@pytest.mark.parametrize("padding, stride, kernel, message", [
    (2**16, 2**16, 1, "number of values of its input with a padding of 65536 must be <= 16777216"),
    (2**16, 1000, 3, "number of values of its input with a padding of 65536 must be"),
    (400, 1, 160, "number of its output positions times that of its kernel's taps must be <= 16777216")])
def test_padding_asks_for_no_more_memory_than_images_do(padding, stride, kernel, message):
    """A few bytes of a file ended in a MemoryError once the network ran; whole networks of this kind are none."""
    size = (4 + 2 * padding - kernel) // stride + 1
    layers = [{"kind": "conv", "n_in": 1, "words": np.ones((1, kernel, kernel, 1), np.uint64), "stride": stride,
               "padding": padding, "pad_value": 0, "pool": 1, "threshold": np.zeros(1, np.int32),
               "inverted": np.zeros(1, bool)}, dense_layer(size * size, 2, RNG, last=True)]
    network = {"input_shape": (1, 4, 4), "input_offset": 0, "metadata": {}, "layers": layers}
    with pytest.raises(ValueError, match=rf"layers\[0\]: the {message}"):
        schema.check_network(network)
    wide = dict(network, input_shape=(3, 224, 224), layers=[
        dict(layers[0], n_in=3, words=np.ones((1, 7, 7, 1), np.uint64), stride=2, padding=3),
        dense_layer(112 * 112, 2, RNG, last=True)])
    schema.check_network(wide)                                  # as published networks begin


def test_check_network_copies_nothing_it_need_not():
    network = conv_network()
    clean = schema.check_network(network)
    assert clean["layers"][0]["words"] is network["layers"][0]["words"]


BAD_CHECKPOINTS = [
    (({"lr": np.nan}, {}, {}), ValueError, "settings must be plain JSON"),
    (({}, {}, {"loss": float("inf")}), ValueError, "progress must be plain JSON"),
    (({"betas": (0.9, 0.999)}, {}, {}), ValueError, "lists rather than tuples"),
    (({3: 4}, {}, {}), ValueError, "string keys"),
    (({"rng": np.int64(4)}, {}, {}), TypeError, "settings must be plain JSON"),
    (([], {}, {}), TypeError, "settings must be a dict"),
    (({"log": "x" * 2**20}, {}, {}), ValueError, "settings must be at most"),
    (({}, [], {}), TypeError, "arrays must be a dict"),
    (({}, {"a/b": np.zeros(2)}, {}), ValueError, "a name in arrays"),
    (({}, {".": np.zeros(2)}, {}), ValueError, "a name in arrays"),
    (({}, {"x\n": np.zeros(2)}, {}), ValueError, "a name in arrays"),
    (({}, {"w": [1.0]}, {}), TypeError, "array w must be a NumPy array .* got list"),
    (({}, {"w": np.zeros(2, np.float16)}, {}), TypeError, "got float16"),
    (({}, {"w": np.zeros(2, ">f8")}, {}), TypeError, "got >f8"),
    (({}, {"w": np.zeros(2, object)}, {}), TypeError, "got object"),
    (({}, {str(i): F8 for i in range(10_001)}, {}), ValueError, "at most 10000"),
]


@pytest.mark.parametrize("case", BAD_CHECKPOINTS, ids=lambda case: case[2][:50])
def test_a_bad_checkpoint_is_not_written(tmp_path, case):
    content, error, message = case
    with pytest.raises(error, match=message):
        checkpoint_file.save_checkpoint(tmp_path / "run.h5", *content)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- what a failed write leaves

def _raise(error):
    def fail(*_, **__):
        raise error
    return fail


FAILURES = [
    ((os, "replace"), OSError(28, "No space left on device"), OSError, "No space left on device"),
    ((os, "fsync"), OSError(5, "Input/output error"), OSError, "Input/output error"),
    ((os, "open"), PermissionError(13, "Permission denied"), PermissionError,
     "cannot write .*Permission denied"),
    ((h5py.Group, "create_dataset"), RuntimeError("Can't extend file"), OSError,
     "cannot write .*Can't extend"),
    ((h5py.Group, "create_dataset"), KeyboardInterrupt(), KeyboardInterrupt, None),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f"{f[0][1]}-{type(f[1]).__name__}")
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failure):
    where, error, wanted, message = failure
    path = tmp_path / "network.h5"
    network_file.save_network(path, dense_network())
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(*where, _raise(error))
        with pytest.raises(wanted, match=message):
            network_file.save_network(path, conv_network())
        with pytest.raises(wanted, match=message):
            checkpoint_file.save_checkpoint(path, *checkpoint())
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    network_file.save_network(path, conv_network())                          # and the next one succeeds
    assert_same(network_file.load_network(path), conv_network())


FULL_DISK = """
import resource, sys
import numpy as np
from bnnsim.training import checkpoint_file as weights
weights.save_checkpoint(sys.argv[1], {}, {"w": np.zeros(10)}, {})
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
try:
    weights.save_checkpoint(sys.argv[1], {}, {"w": np.zeros(2**20)}, {})
except OSError as error:
    print(error)
print(weights.load_checkpoint(sys.argv[1])[1]["w"].shape)
"""


def test_a_full_disk_is_reported_and_survived(tmp_path):
    pytest.importorskip("resource", reason="file size limits are POSIX")
    done = subprocess.run([sys.executable, "-c", FULL_DISK, tmp_path / "run.h5"], capture_output=True,
                          check=False, text=True, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stderr) == (0, "")
    assert "cannot write" in done.stdout and "too large" in done.stdout and "(10,)" in done.stdout
    assert os.listdir(tmp_path) == ["run.h5"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder does not exist; make it first.*nowhere"):
        network_file.save_network(tmp_path / "nowhere" / "network.h5", ONE_DENSE)


def test_only_plain_files_are_replaced(tmp_path):
    with pytest.raises(IsADirectoryError):
        network_file.save_network(tmp_path, ONE_DENSE)
    with pytest.raises(TypeError):
        network_file.save_network(3, ONE_DENSE)
    if hasattr(os, "mkfifo"):                                       # as /dev/null, which root could replace
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="device or a pipe"):
            network_file.save_network(tmp_path / "pipe", ONE_DENSE)
        with pytest.raises(ValueError, match="device or a pipe"):       # and does not wait for a writer
            network_file.load_network(tmp_path / "pipe")


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "disk").mkdir()
    link, target = tmp_path / "link.h5", tmp_path / "disk" / "network.h5"
    link.symlink_to(target)
    network_file.save_network(link, ONE_DENSE)
    assert link.is_symlink() and not target.is_symlink()
    assert_same(network_file.load_network(target), ONE_DENSE)


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    old = os.umask(0o027)
    try:
        network_file.save_network(tmp_path / "network.h5", ONE_DENSE)
    finally:
        os.umask(old)
    if os.name == "posix":
        assert (tmp_path / "network.h5").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name != "posix", reason="Windows syncs no folders")
def test_a_file_is_on_the_disk_before_it_has_its_name_and_the_name_when_save_returns(tmp_path, monkeypatch):
    """Else a power cut leaves an empty file where the old one was, or none where a new one was reported."""
    done, fsync, replace = [], os.fsync, os.replace

    def synced(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", lambda *names: done.append("name") or replace(*names))
    network_file.save_network(tmp_path / "network.h5", ONE_DENSE)
    assert done == ["file", "name", "folder"]


def test_files_are_not_locked(tmp_path, monkeypatch):
    """Network disks may have no locks to give: then a lock would be an error."""
    opened, file = [], h5py.File
    monkeypatch.setattr(h5py, "File", lambda *a, **k: opened.append(k.get("locking")) or file(*a, **k))
    network_file.save_network(tmp_path / "network.h5", ONE_DENSE)
    network_file.load_network(tmp_path / "network.h5")
    assert opened == [False], "one to write, none to read"
