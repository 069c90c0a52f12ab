"""CIFAR-10's files: both official versions are read, and no pickle is ever run."""

import os
import pickle
import struct

import numpy as np
import pytest
from small_files import cifar_binary, cifar_parts, put_cifar, python2_batch, python3_batch

import bnnsim.datasets.cifar_pickle as cifar_pickle
import bnnsim.datasets.readers as readers
from bnnsim.datasets.find import load_dataset


@pytest.mark.parametrize("make, suffix, place", [
    (cifar_binary, ".bin", "cifar-10-batches-bin"),
    (cifar_binary, ".bin", ""),
    (cifar_binary, ".bin", "cifar10"),
    (python2_batch, "", "cifar-10-batches-py"), (python3_batch, "", "cifar10/cifar-10-batches-py"),
    (lambda batch: python3_batch(batch, 3), "", "cifar-10-batches-py"),
])
def test_cifar10_from_either_version(tmp_path, make, suffix, place):
    put_cifar(tmp_path / "mine" / place, make, suffix)
    train, test = load_dataset("cifar10", folder=tmp_path / "mine")
    parts = [cifar_parts(batch) for batch in range(1, 7)]
    pixels = np.concatenate([pixels for _, pixels in parts[:5]])
    np.testing.assert_array_equal(train.images, pixels.reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(train.labels, np.concatenate([labels for labels, _ in parts[:5]]))
    np.testing.assert_array_equal(test.images, parts[5][1].reshape(-1, 3, 32, 32))
    assert test.images[0, 2, 31, 0] == 2 * 40 + 31 + 6, "planes are red, green, blue, each row by row"
    assert train.images.flags.writeable and test.name == "cifar10-test"


@pytest.mark.parametrize("content, message", [
    (b"", "whole records of 3073 bytes"),
    (bytes(3072), "got 3072 bytes"),
    (bytes(3073) + b"\x0a" + bytes(3072), "labels 0..9, got 10 at index 1"),
])
def test_a_damaged_cifar_batch_is_refused(tmp_path, content, message):
    put_cifar(tmp_path / "mine", cifar_binary, ".bin")
    (tmp_path / "mine" / "data_batch_3.bin").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_dataset("cifar10", folder=tmp_path / "mine")
    assert "data_batch_3.bin: wanted" in str(caught.value)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_malicious_pickle_is_refused_and_nothing_of_it_runs(tmp_path):
    put_cifar(tmp_path / "mine", python2_batch, "")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        evil = pickle.dumps({"data": Evil(tmp_path / "ran")}, protocol)
        (tmp_path / "mine" / "data_batch_2").write_bytes(evil)
        with pytest.raises(ValueError, match="data_batch_2: wanted a pickle of plain CIFAR-10") as caught:
            load_dataset("cifar10", folder=tmp_path / "mine")
        if protocol in (2, 3):
            assert "system' is not allowed (instruction GLOBAL at byte" in str(caught.value)
    assert not (tmp_path / "ran").exists()


ARRAY = pickle.dumps(np.zeros((2, 3072), np.uint8), 2)
BIG = b"X" + struct.pack("<I", 1 << 20) + bytes(1 << 20)


@pytest.mark.parametrize("content, message", [
    (b"", "refused"),
    (b"garbage", r"instruction GET at byte 0"),
    (python2_batch(1)[:2000], "refused"),
    (python2_batch(1)[:-1], "refused"),
    (b"\x80\x04.", "protocol 2 or 3 is wanted, got 4"),
    (b"\x80\x02cbuiltins\neval\n(U\x011tR.", r"eval' is not allowed \(instruction GLOBAL at byte 2"),
    (b"\x80\x02cnumpy\n\\x64type\n.", "is not allowed"),
    (b"\x80\x02(ios\nsystem\n.", "instruction INST"),
    (b"\x80\x02}cnumpy\nndarray\n)\x81.", "instruction NEWOBJ"),
    (b"\x80\x02cnumpy\nndarray\n)R.", "this call is not allowed"),
    (b"\x80\x02cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R.", "dtype 'u1' is wanted"),
    (b"\x80\x02.", "nothing on the stack"),
    (b"\x80\x02(.", "nothing on the stack"),
    (b"\x80\x02e.", "no mark"),
    (b"\x80\x02h\x07.", "memo 7 is empty"),
    (b"\x80\x02}]Ns.", "a key must be a string"),
    (b"\x80\x02NNa.", "a list is wanted, got NoneType"),
    (b"\x80\x02]NNs.", "a dict is wanted, got list"),
    (b"\x80\x02NNb.", "an array is wanted"),
    (b"\x80\x02" + b"N" * 250_000 + b".", "more than 200000 instructions"),
    (b"\x80\x02c_codecs\nencode\nq\x01" + BIG + b"q\x02X\x06\0\0\0latin1q\x03"
     + b"h\x01h\x02h\x03\x86R" * 100 + b".", "more than 67108864 bytes of text"),
    (b"\x80\x02" + b"(" * 1000 + b"t" * 1000 + b".", "got tuple"),
    (b"\x80\x02].", "got list"),
    (b"\x80\x02}.", "got dict"),
    (ARRAY.replace(b"M\x00\x0c", b"M\x00\x0d"), "bytes are wanted for"),
    (b"\x80\x02}(U\x04data" + ARRAY[2:-1] + b"U\x06labels]K\x01au.", "wanted 2 labels"),
    (b"\x80\x02}(U\x04data" + ARRAY[2:-1] + b"U\x06labels](K\x01K\x0aeu.", "labels 0..9, got 10"),
    (b"\x80\x02}(U\x04data" + ARRAY[2:-1] + b"U\x06labels](K\x01Neu.", "'labels' that are integers"),
    (pickle.dumps({"data": np.zeros((2, 3)), "labels": [1, 2]}, 2), "dtype 'u1' is wanted"),
    (pickle.dumps({"data": np.zeros((2, 3), np.uint8), "labels": [1, 2]}, 2), r"shape \(N, 3072\)"),
    (pickle.dumps({"data": np.zeros((3, 3072), np.uint8).T, "labels": [1, 2]}, 2), "C order"),
    (pickle.dumps({"data": [1], "labels": [1]}, 2), "uint8 matrix 'data'"),
])
def test_pickles_that_are_not_a_batch(tmp_path, content, message):
    path = tmp_path / "data_batch_1"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        readers.read_batches(readers.read_cifar_python, [path], (3, 32, 32), 10)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 1000


def test_no_cut_or_changed_byte_of_a_pickle_escapes_as_another_error(tmp_path):
    whole = python2_batch(1)
    head = 230                                              # all but the pixels, which may be anything
    rng = np.random.default_rng(0)
    for _ in range(400):
        content = bytearray(whole)
        content[rng.integers(head)] = rng.integers(256)
        path = tmp_path / "batch"
        path.write_bytes(content[:rng.integers(1, len(content))] if rng.random() < 0.3 else content)
        try:
            readers.read_batches(readers.read_cifar_python, [path], (3, 32, 32), 10)
        except ValueError as error:
            assert str(path) in str(error)


def test_a_batch_file_that_is_too_large_is_not_read(tmp_path):
    with open(tmp_path / "batch", "wb") as stream:
        stream.truncate(cifar_pickle.MAX_BYTES + 1)
    with pytest.raises(ValueError, match="at most 67108864 bytes"):
        cifar_pickle.read_python_batch(tmp_path / "batch")
