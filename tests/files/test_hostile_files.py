"""Files that somebody changed on purpose: refused with a ValueError or read, never a crash, a hang or much memory."""

import struct
import subprocess
import sys
import time
import tracemalloc

import graph_models
import h5py
import mutations
import numpy as np
import pytest
from weight_files import checkpoint, conv_network, geometry_network

import bnnsim.campaign.result_file as result_file
import bnnsim.files.file_format as file_format
from bnnsim.campaign.result import SweepResult
from bnnsim.faults import FaultMap, LayerErrors
from bnnsim.files.hdf5_messages import lookup3
from bnnsim.files.hdf5_structure import Group, read_structure
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.network_file import load_network, save_network
from bnnsim.training.checkpoint_file import load_checkpoint, save_checkpoint
from bnnsim.training.packing import pack

MOST_BYTES = 2**26                  # over the file's own size
MOST_SECONDS = 10


def result():
    """Two series, two rates, three chips, predictions kept."""
    right = np.random.default_rng(0).integers(0, 3, (2, 2, 3, 4))
    right[:, 0] = right[:, 0, :1]
    settings = {"series": [{"name": name, "network": "a", "split": "s", "split_sha256": "b", "n_images": 12,
                            "fault": "BitFlips(0.0)"} for name in "ab"],
                "seed": "0", "stopping": None, "predictions": True}
    predictions = np.repeat(np.arange(4, dtype=np.uint8), 3)[None, None, None].repeat(2, 0).repeat(2, 1).repeat(3, 2)
    return SweepResult(settings, np.array([0, 0.1]), right, np.full((2, 4), 3), np.zeros(right.shape[:3]),
                       predictions.copy())


def save_faults(path):
    masks = [np.random.default_rng(i).integers(0, 2**9, (12, 1)).astype(np.uint64) for i in (1, 2)]
    FaultMap([LayerErrors(9, *masks)] * 5).save(path)


def save_many(path):
    """Enough arrays for a heap of many blocks and a tree of two levels."""
    save_checkpoint(path, {}, {f"array.{i}": np.arange(i % 3) for i in range(70)}, {})


KINDS = {"network": (lambda path: save_network(path, conv_network()), load_network),
         "graph": (lambda path: pack(graph_models.dense_blocks()).save(path), PackedNetwork.load),
         "geometry": (lambda path: save_network(path, geometry_network()), load_network),
         "checkpoint": (lambda path: save_checkpoint(path, *checkpoint()), load_checkpoint),
         "many arrays": (save_many, load_checkpoint),
         "faults": (save_faults, FaultMap.load),
         "results": (lambda path: result_file.save(path, result()), SweepResult.load)}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    for name, (save, load) in KINDS.items():
        save(folder / name)
        load(folder / name)
    return folder


def attempt(load, path):
    """Load; how many bytes and seconds it took; any error but ValueError is a failure."""
    tracemalloc.start()
    started = time.process_time()                               # others may load the machine
    try:
        load(path)
    except ValueError as error:
        assert str(path) in str(error)
    seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak, seconds


def assaulted(good, tmp_path, monkeypatch, n_files):
    """Load n files, changed so that all checksums are right; how many were read in the end."""
    monkeypatch.setattr(file_format, "check_checksum", lambda *_: None)        # an attacker sets it right
    rng = np.random.default_rng(n_files)
    for name, (_, load) in KINDS.items():
        content, places = (good / name).read_bytes(), mutations.structures(good / name)
        for i in range(n_files // len(KINDS)):
            path = tmp_path / f"{name}-{i}.h5"
            path.write_bytes(mutations.mutated(content, places, rng))
            peak, seconds = attempt(load, path)
            assert peak < MOST_BYTES + len(content) and seconds < MOST_SECONDS, path
            path.unlink()


def test_60_changed_files(good, tmp_path, monkeypatch):
    assaulted(good, tmp_path, monkeypatch, 60)


@pytest.mark.slow
def test_30_000_changed_files(good, tmp_path, monkeypatch):
    assaulted(good, tmp_path, monkeypatch, 30_000)


@pytest.mark.parametrize("name", KINDS)
def test_the_changes_go_deep(good, tmp_path, name):
    """Changed files must get past the first checks, or the test above shows nothing."""
    content, places = (good / name).read_bytes(), mutations.structures(good / name)
    assert mutations.sealed(content, places) == content
    rng, errors = np.random.default_rng(0), set()
    for _ in range(60):
        (tmp_path / "x").write_bytes(mutations.mutated(content, places, rng))
        try:
            KINDS[name][1](tmp_path / "x")
        except ValueError as error:
            errors.add(str(error).split("x", 1)[1])
    assert len(errors) > 12 and not all("checksum" in error for error in errors)


@pytest.mark.tiny
def test_an_unsealed_change_is_found(good, tmp_path):
    """A flipped bit in any structure, by accident."""
    content = (good / "network").read_bytes()
    places = mutations.structures(good / "network")
    for address, size, _ in places:
        for at in np.random.default_rng(address).integers(0, size, 5):
            changed = bytearray(content)
            changed[address + int(at)] ^= 4
            (tmp_path / "x").write_bytes(changed)
            with pytest.raises(ValueError):
                load_network(tmp_path / "x")


def test_a_header_continued_without_end(tmp_path):
    """A chain of continuations is as long as the file: no recursion."""
    n = 20_000
    head = b"OHDR\2\0" + bytes([20]) + struct.pack("<BHB", 16, 16, 0) + struct.pack("<QQ", 96, 28)
    chunks = [b"OCHK" + struct.pack("<BHBQQ", 16, 16, 0, 96 + 28 * (i + 1), 28) for i in range(n)]
    body = head + struct.pack("<I", lookup3(head))
    content = bytes(48) + body.ljust(48, b"\0") + b"".join(c + struct.pack("<I", lookup3(c)) for c in chunks)
    block = b"\x89HDF\r\n\x1a\n" + bytes([3, 8, 8, 0]) + struct.pack("<QQQQ", 0, 2**64 - 1, len(content), 48)
    (tmp_path / "x").write_bytes(block + struct.pack("<I", lookup3(block)) + content[48:])
    with pytest.raises(ValueError, match=f"lies at byte {96 + 28 * n}"):
        load_network(tmp_path / "x")


def plain(group, content):
    """Attributes and arrays of a structure as NumPy has them."""
    found = {key: np.frombuffer(value.raw, value.dtype).reshape(value.shape) for key, value in group.attributes.items()}
    for key, value in group.members.items():
        found[f"/{key}"] = plain(value, content) if isinstance(value, Group) else np.frombuffer(
            content[value.address:value.address + value.n_bytes] if value.n_bytes else b"", value.dtype
        ).reshape(value.shape)
    return found


def as_h5py_reads(group):
    found = {key: np.asarray(value) for key, value in group.attrs.items()}
    return {**found, **{f"/{key}": as_h5py_reads(value) if isinstance(value, h5py.Group) else value[()]
                        for key, value in group.items()}}


@pytest.mark.parametrize("name", KINDS)
def test_the_structure_is_what_libhdf5_reads(good, name):
    with (good / name).open("rb") as file, h5py.File(good / name) as reference:
        np.testing.assert_equal(plain(read_structure(file), (good / name).read_bytes()), as_h5py_reads(reference))


@pytest.mark.tiny
def test_the_hash_is_that_of_its_author():
    """Values of Jenkins' lookup3.c, driver5."""
    assert lookup3(b"") == 0xDEADBEEF and lookup3(b"Four score and seven years ago") == 0x17770551


def test_reading_needs_no_h5py(good):
    code = "import bnnsim, sys; bnnsim.PackedNetwork.load(sys.argv[1]); print('h5py' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, good / "network"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
