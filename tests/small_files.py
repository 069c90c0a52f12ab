"""Tiny files in the formats of MNIST and CIFAR-10, written without the library, for the tests to read."""

import gzip
import pickle
import struct

import numpy as np

IDX_NAMES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
             "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")


def forget_all_copies(monkeypatch, tmp_path):
    """Act as a machine with no copy of a data set, no cache, no proxy and no network."""
    import bnnsim.datasets.find as find
    import bnnsim.datasets.shipped as shipped

    monkeypatch.delenv("BNNSIM_DATA", raising=False)
    monkeypatch.setenv("BNNSIM_OFFLINE", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(find, "_SYSTEM_FOLDERS", (tmp_path / "system",))
    data = tmp_path / "data-without-full-sets"
    data.mkdir()
    for path in shipped.data_folder().glob("fashion-subset-*"):
        (data / path.name).symlink_to(path)
    monkeypatch.setattr(shipped, "data_folder", lambda: data)


def from_source(monkeypatch, name, source):
    """Let a known data set have other official files."""
    from dataclasses import replace

    from bnnsim.datasets.catalogue import CATALOGUE

    monkeypatch.setitem(CATALOGUE, name, replace(CATALOGUE[name], source=source))


def idx_bytes(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def idx_files(n_train=20, n_test=10, seed=0):
    """{official name: plain IDX bytes} of a tiny set."""
    rng = np.random.default_rng(seed)
    contents = {}
    for half, n in (("train", n_train), ("t10k", n_test)):
        images = rng.integers(0, 256, (n, 28, 28), np.uint8)
        contents[f"{half}-images-idx3-ubyte.gz"] = idx_bytes(images)
        contents[f"{half}-labels-idx1-ubyte.gz"] = idx_bytes((np.arange(n) % 10).astype(np.uint8))
    return contents


def put_idx(folder, compress=True, **options):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in idx_files(**options).items():
        path = folder / (name if compress else name.removesuffix(".gz"))
        path.write_bytes(gzip.compress(content) if compress else content)
    return folder


def cifar_parts(batch, n=3):
    """Labels and pixels (n, 3072) of a tiny batch; a pixel tells its batch, plane and row."""
    labels = (np.arange(n) + batch) % 10
    pixels = np.zeros((n, 3, 32, 32), np.uint8) + np.arange(3, dtype=np.uint8)[:, None, None] * 40 + batch
    pixels += np.arange(32, dtype=np.uint8)[:, None]
    return labels.astype(np.uint8), pixels.reshape(n, 3072)


def cifar_binary(batch):
    labels, pixels = cifar_parts(batch)
    return np.column_stack([labels, pixels]).tobytes()


def python2_batch(batch):
    """The instructions of an official batch, as Python 2 wrote them (protocol 2)."""
    labels, pixels = cifar_parts(batch)
    return (b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05("
            + b"".join(b"K" + bytes([label]) for label in labels)
            + b"eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85"
            + b"U\x01b\x87Rq\x09(K\x01M" + struct.pack("<H", len(labels)) + b"M\x00\x0c\x86"
            + b"cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b"
            + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            + b"\x89T" + struct.pack("<i", pixels.size) + pixels.tobytes()
            + b"tbU\tfilenamesq\x0c]q\x0d(U\x05a.pngq\x0eU\x05b.pngq\x0feu.")


def python3_batch(batch, protocol=2):
    labels, pixels = cifar_parts(batch)
    fields = {b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"x", b"none": b""}
    return pickle.dumps(fields, protocol)


def put_cifar(folder, make, suffix):
    folder.mkdir(parents=True)
    for i in range(1, 6):
        (folder / f"data_batch_{i}{suffix}").write_bytes(make(i))
    (folder / f"test_batch{suffix}").write_bytes(make(6))
    return folder
