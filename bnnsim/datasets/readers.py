"""Readers for the files of image sets: IDX (MNIST, Fashion-MNIST), CIFAR-10's binary and Python versions.

A file is somebody else's: every reader checks what the header announces against what is there, allocates no
more than `MAX_BYTES`, runs nothing that the file says, and raises a ValueError that names the file, what was
wanted and what came.

Sizes: N images, C channels, H rows, W columns.
"""

import gzip
import hashlib
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import IO

import numpy as np

from bnnsim.checks import FilePath
from bnnsim.datasets.cifar_pickle import read_python_batch

MAX_BYTES = 1 << 30                     # of one array, decompressed; the largest official one has 47 MB
MAX_INFLATED = 1 << 25                  # of a compressed array, or MAX_RATIO times its file where that is more:
MAX_RATIO = 6                           # Fashion-MNIST's images shrink 1.8 times, MNIST's 4.7 times
CIFAR_RECORD_BYTES = 1 + 3 * 32 * 32    # a label, then the red, green and blue planes, row by row


def read_idx(path: FilePath, n_dims: int) -> np.ndarray:
    """Read an IDX file of uint8, plain or gzip-compressed (told by its first bytes, not by its name).

    A compressed one may inflate to 32 MiB, or to six times its size: more is no image file, but made to fill memory.

    Parameters
    ----------
    path : str or os.PathLike
    n_dims : int
        1 for labels, 3 for images.

    Returns
    -------
    array : uint8, of the shape that the header announces
        Writable, C-contiguous.

    Raises
    ------
    ValueError
        If the magic number, the dimensions, the length or the compression is not right.
    """
    with open(path, "rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        try:
            return _read_idx_stream(path, gzip.GzipFile(fileobj=raw) if zipped else raw, n_dims,
                                    os.fstat(raw.fileno()).st_size, zipped)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: wanted a whole gzip file, got a truncated or damaged one "
                             f"({error})") from error


def _read_idx_stream(path, stream, n_dims, file_bytes, zipped):
    magic = bytes((0, 0, 8, n_dims))                # 8 is IDX's code for uint8
    head = stream.read(4)
    if head != magic:
        raise ValueError(f"{path}: wanted an IDX file of uint8 in {n_dims} dimension(s), which starts with "
                         f"bytes {magic.hex(' ')}, got {head.hex(' ') or 'an empty file'}")
    head = stream.read(4 * n_dims)
    if len(head) != 4 * n_dims:
        raise ValueError(f"{path}: wanted {4 * n_dims} bytes of dimensions, got {len(head)}: it is cut off")
    shape = struct.unpack(f">{n_dims}I", head)
    n_bytes = int(np.prod(shape, dtype=object))
    if not 0 < n_bytes <= MAX_BYTES:
        raise ValueError(f"{path}: wanted 1 to {MAX_BYTES} bytes of data, got a header that announces "
                         f"{n_bytes} (dimensions {' x '.join(map(str, shape))})")
    most = max(MAX_INFLATED, MAX_RATIO * file_bytes)
    if zipped and n_bytes > most:
        raise ValueError(f"{path}: wanted at most {most} bytes of data in a compressed file of {file_bytes}, got a "
                         f"header that announces {n_bytes}; where that is right, decompress it (gunzip), and read that")
    there = n_bytes if zipped else min(n_bytes, file_bytes - stream.tell())     # no room is made for what is not there
    array = np.empty(there, np.uint8)               # pages are only taken as they are filled
    n_read = fill(stream, array)
    if n_read < n_bytes or stream.read(1):
        came = f"only {n_read}: the file is cut off" if n_read < n_bytes else "more"
        raise ValueError(f"{path}: wanted the {n_bytes} bytes of data that its header announces, got {came}")
    return array.reshape(shape)


def fill(stream: IO[bytes], array: np.ndarray) -> int:
    """Read into `array` until it is full or the stream ends; the number of bytes read."""
    view, n_read = memoryview(array), 0
    while n_read < len(view):
        n_new = stream.readinto(view[n_read:n_read + (1 << 20)])        # type: ignore[attr-defined]
        if not n_new:
            break
        n_read += n_new
    return n_read


def idx_sha256(array: np.ndarray) -> str:
    """SHA-256 of the plain IDX file that holds this uint8 array: the same however the file was compressed."""
    digest = hashlib.sha256(bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape))
    digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def write_idx(path: FilePath, array: np.ndarray) -> None:
    """Write a uint8 array as a compressed IDX file, without a name or a time: same array, same bytes."""
    with open(path, "wb") as raw, gzip.GzipFile("", "wb", compresslevel=9, fileobj=raw, mtime=0) as stream:
        stream.write(bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape))
        stream.write(np.ascontiguousarray(array))


def read_idx_pair(paths: Sequence[FilePath], image_shape: tuple[int, int, int], n_classes: int,
                  ) -> tuple[np.ndarray, np.ndarray]:
    """Read a half of a set like MNIST: a file of grey images, and one of labels.

    Returns
    -------
    images : uint8 (N, 1, H, W)
    labels : uint8 (N,)
    """
    images, labels = read_idx(paths[0], 3), read_idx(paths[1], 1)
    if (1, *images.shape[1:]) != image_shape:
        raise ValueError(f"{paths[0]}: wanted images of {image_shape[1]} x {image_shape[2]} pixels, got "
                         f"{images.shape[1]} x {images.shape[2]}")
    return images[:, None], _checked_labels(paths[1], labels, len(images), n_classes)


def read_batches(read: Callable[[FilePath], tuple[np.ndarray, np.ndarray]], paths: Sequence[FilePath],
                 image_shape: tuple[int, int, int], n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Read a half whose images come in several files, each with its labels, by `read`: see `read_idx_pair`."""
    batches = []
    for path in paths:
        images, labels = read(path)
        batches.append((images, _checked_labels(path, labels, len(images), n_classes)))
    images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return images.reshape(-1, *image_shape), labels


def read_cifar_binary(path: FilePath) -> tuple[np.ndarray, np.ndarray]:
    """Read one batch of CIFAR-10's binary version.

    Parameters
    ----------
    path : str or os.PathLike
        Records of 3073 bytes: a label, then the red, green and blue planes.

    Returns
    -------
    pixels : uint8 (N, 3072)
    labels : uint8 (N,)
    """
    n_bytes = os.stat(path).st_size
    if n_bytes % CIFAR_RECORD_BYTES or not 0 < n_bytes <= MAX_BYTES:
        raise ValueError(f"{path}: wanted whole records of {CIFAR_RECORD_BYTES} bytes, at least one and at "
                         f"most {MAX_BYTES} bytes, got {n_bytes} bytes")
    records = np.fromfile(path, np.uint8).reshape(-1, CIFAR_RECORD_BYTES)
    return records[:, 1:], records[:, 0]


def read_cifar_python(path: FilePath) -> tuple[np.ndarray, np.ndarray]:
    """Read one batch of CIFAR-10's Python version, a pickle, without unpickling it (see cifar_pickle.py).

    Returns
    -------
    pixels : uint8 (N, 3072)
    labels : uint8 (N,)
    """
    pixels, labels = read_python_batch(path)
    if pixels.shape[1] != CIFAR_RECORD_BYTES - 1:
        raise ValueError(f"{path}: wanted 'data' of shape (N, 3072), got {pixels.shape}")
    if not all(type(label) is int and 0 <= label <= 255 for label in labels):
        raise ValueError(f"{path}: wanted 'labels' that are integers 0..9, got others")
    return pixels, np.array(labels, np.uint8)


def _checked_labels(path, labels, n_images, n_classes):
    if len(labels) != n_images:
        raise ValueError(f"{path}: wanted {n_images} labels, one for each image, got {len(labels)}")
    if labels.max() >= n_classes:
        where = int((labels >= n_classes).argmax())
        raise ValueError(f"{path}: wanted labels 0..{n_classes - 1}, got {labels[where]} at index {where}")
    return labels
