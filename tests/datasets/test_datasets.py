"""Data sets: what a Split holds, what is found where, what is refused, and what comes with the library."""

import gzip
import hashlib
import runpy
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from small_files import IDX_NAMES, forget_all_copies, from_source, idx_bytes, idx_files, put_idx

import bnnsim
import bnnsim.datasets.downloading as downloading
import bnnsim.datasets.readers as readers
import bnnsim.datasets.shipped as shipped
from bnnsim.campaign import rare_failures
from bnnsim.datasets.catalogue import Source
from bnnsim.datasets.find import EmbeddedSubsetWarning, load_dataset, load_embedded
from bnnsim.datasets.split import LabelledImages, Split
from bnnsim.metrics.evaluation import Evaluation

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
DATA = shipped.data_folder()


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    forget_all_copies(monkeypatch, tmp_path)


def tiny(n=6):
    images = np.arange(n * 3 * 2 * 2, dtype=np.uint8).reshape(n, 3, 2, 2)
    return Split(images, np.arange(n) % 3, "tiny", n_classes=3, origin="memory")


def test_a_split_can_be_cut_into_parts_that_keep_images_and_labels_together():
    split = tiny()
    for part, rows in ((split[:4], [0, 1, 2, 3]), (split[1::2], [1, 3, 5]),
                       (split.take([5, 0, 0]), [5, 0, 0]), (split.take(np.array([], int)), [])):
        assert len(part) == len(rows)
        np.testing.assert_array_equal(part.images, split.images[rows])
        np.testing.assert_array_equal(part.labels, split.labels[rows])
        assert (part.n_classes, part.origin) == (3, "memory") and part.name.startswith("tiny[")
        assert part.images.flags.c_contiguous and part.labels.dtype == np.uint8
    assert np.shares_memory(split[:4].images, split.images), "a slice of a large set must not copy it"
    assert split[:None] is split, "under its own name, in figures too"
    assert split.labels.dtype == np.uint8 and "6 images of 3 x 2 x 2" in repr(split)


def test_sha256_tells_contents_apart_and_nothing_else():
    split = tiny()
    assert split.sha256 == Split(split.images.copy(), split.labels, "other name").sha256
    images, labels = split.images.copy(), split.labels.copy()
    images[-1, -1, -1, -1] ^= 1
    labels[-1] ^= 1
    others = [Split(images, split.labels, "a"), Split(split.images, labels, "b"), split[:5],
              Split(split.images.reshape(6, 1, 3, 4), split.labels, "c")]
    assert len({split.sha256, *(other.sha256 for other in others)}) == 5


IMAGES = np.zeros((3, 1, 2, 2), np.uint8)


@pytest.mark.parametrize("call, error, message", [
    (lambda: Split(IMAGES.astype(float), [0, 1, 2], "a"), TypeError, "uint8 array"),
    (lambda: Split(IMAGES[0], [0], "a"), ValueError, "images must have shape"),
    (lambda: Split(IMAGES, [0, 1], "a"), ValueError, "one for each image"),
    (lambda: Split(IMAGES, [0, 1, 10], "a"), ValueError, "labels must be in 0..9"),
    (lambda: Split(IMAGES, [0, 1, 2], "a", n_classes=2), ValueError, "labels must be in 0..1"),
    (lambda: Split(IMAGES, [0, 1, 2], "a", n_classes=0), ValueError, "n_classes"),
    (lambda: Split(IMAGES, [0, 1, 2], 7), TypeError, "name must be a string"),
    (lambda: tiny()[2], TypeError, "split.take"),
    (lambda: list(tiny()), TypeError, "takes a slice"),
    (lambda: tiny().take([6]), ValueError, r"indices must be in 0\.\.5"),
    (lambda: tiny().take([-1]), ValueError, r"indices must be in 0\.\.5"),
    (lambda: tiny().take([0.5]), TypeError, "integers"),
    (lambda: tiny().take(np.ones(6, bool)), TypeError, "flatnonzero"),
    (lambda: load_dataset("fasion"), ValueError, "did you mean 'fashion'"),
    (lambda: load_dataset(3), TypeError, "name must be one of"),
    (lambda: load_dataset("fashion", folder=3), TypeError, "folder must be a path"),
    (lambda: load_dataset("fashion", download="no"), TypeError, "download must be True or False"),
    (lambda: load_dataset("fashion", folder="/no/such"), FileNotFoundError, "/no/such, which is not there"),
    (lambda: load_dataset("fashion", folder=__file__), FileNotFoundError, "not a folder"),
    (lambda: load_dataset("fashion-subset", folder="/tmp"), ValueError, "comes with the library"),
    (lambda: load_dataset("mnist"), FileNotFoundError, "python -m bnnsim.download mnist"),
    (lambda: load_dataset("cifar10", download=False), FileNotFoundError, "download=False"),
    (lambda: load_dataset("cifar10", download=np.False_), FileNotFoundError, "download=False"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


PLACES = ("", "fashion", "fashion-mnist", "FashionMNIST/raw", "fashion/fashion-mnist")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("compress", [True, False])
def test_a_folder_may_hold_the_files_directly_or_in_a_named_folder(tmp_path, place, compress):
    put_idx(tmp_path / "mine" / place, compress)
    train, test = load_dataset("fashion", folder=str(tmp_path / "mine"))
    expected = idx_files()
    for split, half, n in ((train, "train", 20), (test, "t10k", 10)):
        assert split.images.shape == (n, 1, 28, 28) and split.images.dtype == np.uint8
        assert split.images.tobytes() == expected[f"{half}-images-idx3-ubyte.gz"][16:]
        assert split.labels.tobytes() == expected[f"{half}-labels-idx1-ubyte.gz"][8:]
        assert split.images.flags.writeable, "compiled kernels take read-only arrays for another type"
    assert (train.name, test.name, train.n_classes) == ("fashion-train", "fashion-test", 10)
    assert train.origin == str(tmp_path / "mine" / place).rstrip("/")


def test_places_are_searched_in_the_documented_order(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "data_folder", lambda: tmp_path / "data")
    places = [tmp_path / "cache" / "bnnsim" / "fashion", tmp_path / "system" / "fashion-mnist",
              tmp_path / "data" / "fashion", tmp_path / "environment", tmp_path / "argument"]
    for n, place in enumerate(places[:3], 1):
        put_idx(place, n_train=n)
        assert len(load_dataset("fashion")[0]) == n
    put_idx(places[3], n_train=4)
    monkeypatch.setenv("BNNSIM_DATA", str(places[3]))
    assert len(load_dataset("fashion")[0]) == 4
    assert len(load_dataset("fashion", folder=put_idx(places[4], n_train=5))[0]) == 5


@pytest.mark.parametrize("through_environment", [True, False])
def test_a_named_folder_without_the_files_is_an_error(tmp_path, monkeypatch, through_environment):
    put_idx(tmp_path / "system" / "fashion")                # complete, but not what was asked for
    mine = put_idx(tmp_path / "mine" / "fashion")
    (mine / IDX_NAMES[3]).unlink()
    if through_environment:
        monkeypatch.setenv("BNNSIM_DATA", str(mine.parent))
    with pytest.raises(FileNotFoundError) as caught:
        load_dataset("fashion", folder=None if through_environment else mine.parent)
    message = str(caught.value)
    assert all(name in message for name in IDX_NAMES) and f"{mine} lacks {IDX_NAMES[3]}" in message
    assert f"python -m bnnsim.download fashion --folder {mine.parent}" in message
    assert ("BNNSIM_DATA" in message) == through_environment


def test_fashion_files_are_not_taken_for_mnist(tmp_path, monkeypatch):
    mine = put_idx(tmp_path / "mine", n_test=10_000)
    labels = gzip.decompress((mine / IDX_NAMES[3]).read_bytes())
    from_source(monkeypatch, "fashion", Source((), {IDX_NAMES[3]: hashlib.sha256(labels).hexdigest()}))
    load_dataset("fashion", folder=mine)
    with pytest.raises(ValueError, match="wanted the files of mnist, got those of fashion"):
        load_dataset("mnist", folder=mine)


def gz(array):
    return gzip.compress(idx_bytes(array), mtime=0)


LABELS = (np.arange(20) % 10).astype(np.uint8)
PIXELS = np.zeros((20, 28, 28), np.uint8)


@pytest.mark.parametrize("name, content, message", [
    (IDX_NAMES[0], b"", "an empty file"),
    (IDX_NAMES[0], b"<html>", "starts with bytes 00 00 08 03, got 3c 68 74 6d"),
    (IDX_NAMES[0], gz(LABELS), "starts with bytes 00 00 08 03, got 00 00 08 01"),
    (IDX_NAMES[0], b"\0\0\x0d\3" + idx_bytes(PIXELS)[4:], "IDX file of uint8"),
    (IDX_NAMES[0], idx_bytes(PIXELS)[:9], "5 of dimensions|12 bytes of dimensions, got 5"),
    (IDX_NAMES[0], idx_bytes(PIXELS)[:-1], "got only 15679"),
    (IDX_NAMES[0], idx_bytes(PIXELS) + b"\0", "got more"),
    (IDX_NAMES[0], gz(PIXELS)[:-9], "truncated or damaged"),
    (IDX_NAMES[0], gz(PIXELS)[:-8] + b"\1" * 8, "truncated or damaged"),
    (IDX_NAMES[0], gz(PIXELS)[:12] + b"\xff" * 30, "truncated or damaged"),
    (IDX_NAMES[0], b"\x1f\x8b\x09", "truncated or damaged"),
    (IDX_NAMES[0], gzip.compress(struct.pack(">4I", 0x803, 20, 28, 28) + bytes(40_000_000), mtime=0), "got more"),
    (IDX_NAMES[0], struct.pack(">4I", 0x803, 2**32 - 1, 2**32 - 1, 28), "wanted 1 to 1073741824 bytes"),
    (IDX_NAMES[0], struct.pack(">4I", 0x803, 0, 28, 28), "header that announces 0"),
    (IDX_NAMES[0], gz(np.zeros((20, 32, 32), np.uint8)), "28 x 28 pixels, got 32 x 32"),
    (IDX_NAMES[0], gz(PIXELS[:19]), "wanted 19 labels, one for each image, got 20"),
    (IDX_NAMES[1], gz(LABELS + 1), "wanted labels 0..9, got 10 at index 9"),
])
def test_a_damaged_idx_file_is_named_and_there_is_a_remedy(tmp_path, name, content, message):
    mine = put_idx(tmp_path)
    (mine / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_dataset("fashion", folder=mine)
    assert "-ubyte.gz: wanted" in str(caught.value)
    assert f"move the file away and run python -m bnnsim.download fashion --folder {mine}" in str(caught.value)


def test_a_gzip_bomb_is_not_inflated(tmp_path):
    bomb = tmp_path / IDX_NAMES[1]
    with gzip.open(bomb, "wb", compresslevel=1) as stream:
        stream.write(struct.pack(">2I", 0x801, 10))
        for _ in range(300):
            stream.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(ValueError, match="got more"):
        readers.read_idx(bomb, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6


@pytest.mark.tiny
def test_the_embedded_subset_is_balanced_small_and_the_one_in_the_readme():
    train, test = load_embedded()
    assert np.bincount(train.labels).tolist() == [1000] * 10
    assert np.bincount(test.labels).tolist() == [200] * 10
    assert train.images.shape == (10_000, 1, 28, 28) and test.images.shape == (2000, 1, 28, 28)
    readme = (DATA / "README.rst").read_text(encoding="utf-8")
    files = sorted(DATA.glob("fashion-subset-*.gz"))
    assert len(files) == 4 and sum(path.stat().st_size for path in files) < 6e6
    for path in files:
        content = path.read_bytes()
        lines = readme[readme.index(path.name + " "):].split("\n")[:2]
        assert hashlib.sha256(content).hexdigest() in lines[0]
        assert hashlib.sha256(gzip.decompress(content)).hexdigest() in lines[1]
    assert {half.sha256 for half in load_dataset("fashion-subset")} == {train.sha256, test.sha256}


@pytest.mark.parametrize("options", [{}, {"download": False}])
def test_the_embedded_subset_never_comes_silently_for_the_full_set(options):
    with pytest.warns(EmbeddedSubsetWarning, match="embedded subset of 10,000 training and 2,000 test"):
        train, test = load_dataset("fashion", **options)
    assert (train.name, test.name) == ("fashion-subset-train", "fashion-subset-test")


def records(split):
    return {image.tobytes() + bytes([label]) for image, label in zip(split.images, split.labels, strict=True)}


@pytest.mark.skipif(not DEBIAN.exists(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_full_set_is_official_and_holds_the_embedded_subset(tmp_path, monkeypatch):
    full = load_dataset("fashion", folder=DEBIAN)
    assert [split.images.shape for split in full] == [(60_000, 1, 28, 28), (10_000, 1, 28, 28)]
    for split, part, kept in zip(full, load_embedded(), (1000, 200), strict=True):
        assert np.bincount(part.labels).tolist() == [kept] * 10
        assert records(part) <= records(split)
    with pytest.raises(ValueError, match="wanted the files of mnist, got those of fashion"):
        load_dataset("mnist", folder=DEBIAN)
    monkeypatch.setenv("BNNSIM_DATA", str(DEBIAN))
    runpy.run_path(str(DATA / "make_fashion_subset.py"))["main"](tmp_path)
    for path in DATA.glob("fashion-subset-*.gz"):
        assert gzip.decompress((tmp_path / path.name).read_bytes()) == gzip.decompress(path.read_bytes())
    (tmp_path / "fashion").mkdir()
    for name in IDX_NAMES:
        (tmp_path / "fashion" / name).symlink_to(DEBIAN / name)
    downloading.download_dataset("fashion", tmp_path, addresses=[])     # it is all there and official


class OnDisk:
    """Labelled images of a user's own: no Split, and no part of one that is not needed."""

    digest = "0" * 64

    def __init__(self, split, path):
        np.save(path, split.images)
        self.images, self.labels, self.name = np.load(path, mmap_mode="r"), split.labels, "mine"

    def __len__(self):
        return len(self.labels)

    @property
    def sha256(self):
        return self.digest


def test_labelled_images_of_your_own_work_like_a_split(tmp_path):
    split, networks = load_embedded()[0][:300], []
    mine: LabelledImages = OnDisk(split, tmp_path / "images.npy")
    for data in (split, mine):
        model = bnnsim.architectures.build("FC16 FC10", (1, 28, 28), rng=0)
        bnnsim.fit(model, data, 1, validation=data, rng=0, progress=False)
        networks.append(bnnsim.pack(model))
        assert model.accuracy(data) == networks[-1].accuracy(data)
    assert networks[0].checksum == networks[1].checksum
    found = [bnnsim.metrics.importance(networks[0], data).layers[0].raw for data in (split, mine)]
    assert np.array_equal(*found)
    found = [bnnsim.sweep(networks[0], data, [0.1], 2, 3, progress=False).right for data in (split, mine)]
    assert np.array_equal(*found)


def test_labels_of_your_own_may_be_a_list(tmp_path):
    """Only network.accuracy took them."""
    split = load_embedded()[0][:40]
    mine = OnDisk(split, tmp_path / "images.npy")
    mine.labels = split.labels.tolist()
    model = bnnsim.architectures.build("FC16 FC16 FC10", (1, 28, 28), rng=0)
    bnnsim.fit(model, mine, 1, validation=mine, rng=0, progress=False, class_weight="balanced")
    network, flips = bnnsim.pack(model), bnnsim.faults.BitFlips(0.1)
    for ask in (lambda data: bnnsim.sweep(network, data, [0.1], 2, 3, progress=False).right,
                lambda data: bnnsim.metrics.critical_bits(network, data, 1).effect,
                lambda data: bnnsim.metrics.importance(network, data).layers[0].raw,
                lambda data: bnnsim.metrics.importance(network, data, "readout").layers[0].raw,
                lambda data: bnnsim.metrics.importance(model, data, "taylor").layers[0].raw,
                lambda data: bnnsim.metrics.predicted_accuracy(network, data, [0.1]).accuracy,
                lambda data: bnnsim.metrics.hard_images(network, data, flips, 2, rng=0).failures,
                lambda data: bnnsim.metrics.ensemble(network, data, reads=1).labels,
                lambda data: Evaluation("n", network, data, network.predict(data.images)).confusion,
                lambda data: np.array(rare_failures(network, data, flips, 0.05, 4, 2, 0).share.share)):
        assert np.array_equal(ask(split), ask(mine))


@pytest.mark.parametrize("part", ["images", "labels", "name"])
def test_what_labelled_images_lack_is_named(tmp_path, part):
    mine = OnDisk(load_embedded()[0][:10], tmp_path / "images.npy")
    delattr(mine, part)
    network = bnnsim.pack(bnnsim.architectures.build("FC16 FC10", (1, 28, 28), rng=0))
    with pytest.raises(TypeError, match=f"split must be a Split, .* got OnDisk, which has no {part}; wrap arrays as"):
        network.accuracy(mine)


@pytest.mark.parametrize("part, value, message", [
    ("name", None, "the name of .* must be a string, under which results are recorded, got None"),
    ("name", 3, "the name of .* must be a string, .* got 3"),
    ("digest", None, "the sha256 of .* must be a string that changes with the content, .* got None"),
    ("digest", 3, "the sha256 of .* must be a string .* got 3"),
    ("digest", "", "the sha256 of .* must be a string .* got ''")])
def test_what_no_file_could_hold_of_labelled_images_is_refused_before_the_work(tmp_path, part, value, message):
    """A sweep ran to its end before, and left results that nothing read; a training died behind its last epoch."""
    mine = OnDisk(load_embedded()[0][:10], tmp_path / "images.npy")
    setattr(mine, part, value)
    model = bnnsim.architectures.build("FC16 FC10", (1, 28, 28), rng=0)
    network, out = bnnsim.pack(model), tmp_path / "n.h5"
    with pytest.raises(TypeError, match=message):
        bnnsim.sweep(network, mine, [0.1], 2, rng=0, progress=False, out=out)
    with pytest.raises(TypeError, match=message):
        bnnsim.fit(model, mine, 1, rng=0, progress=False, checkpoint=out)
    assert not out.exists() and model.history is None


def bombs(folder):
    """Small compressed files that inflate to 1 GB: their headers announce it, or less, or nothing."""
    zeros = bytes(1 << 20)
    compressed = gzip.compress(zeros)
    for name, head in (("announced", struct.pack(">4I", 0x803, 1 << 20, 32, 32)),
                       ("not-announced", struct.pack(">4I", 0x803, 10, 28, 28)),
                       ("the-most", struct.pack(">4I", 0x803, 1 << 15, 32, 32))):
        (folder / f"{name}.gz").write_bytes(gzip.compress(head) + (1 << 10) * compressed)
    (folder / "plain").write_bytes(struct.pack(">4I", 0x803, 1 << 20, 32, 32) + zeros)


def peak_of(call, message):
    """Bytes taken at most by a call that is refused, as tracemalloc counts them."""
    tracemalloc.start()
    with pytest.raises(ValueError, match=message):
        call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_an_idx_file_takes_no_more_memory_than_is_in_it(tmp_path):
    """1 MB that inflates to 1 GB, as its header says: 1 GB was taken."""
    bombs(tmp_path)
    for name, message in (("announced.gz", r"announced.gz: wanted at most 33554432 .* announces 1073741824"),
                          ("not-announced.gz", "not-announced.gz: wanted the 7840 bytes .* got more"),
                          ("the-most.gz", "the-most.gz: wanted the 33554432 bytes .* got more"),
                          ("plain", "plain: wanted the 1073741824 bytes .* got only 1048576: the file is cut off")):
        path = tmp_path / name
        assert peak_of(lambda path=path: readers.read_idx(path, 3), message) < path.stat().st_size + (40 << 20)


def test_a_compressed_file_that_is_refused_can_be_read_decompressed(tmp_path, monkeypatch):
    """As the message says to do; and what shrinks as images do is read whatever its size."""
    monkeypatch.setattr(readers, "MAX_INFLATED", 1000)
    content = idx_bytes(np.zeros((20, 28, 28), np.uint8))
    images = np.random.default_rng(0).integers(0, 256, (9, 28, 28))
    (tmp_path / "a.gz").write_bytes(gzip.compress(content, mtime=0))
    with pytest.raises(ValueError, match="decompress it .gunzip."):
        readers.read_idx(tmp_path / "a.gz", 3)
    (tmp_path / "a").write_bytes(gzip.decompress((tmp_path / "a.gz").read_bytes()))
    assert readers.read_idx(tmp_path / "a", 3).shape == (20, 28, 28)
    (tmp_path / "b.gz").write_bytes(gz(images.astype(np.uint8)))
    np.testing.assert_array_equal(readers.read_idx(tmp_path / "b.gz", 3), images)
