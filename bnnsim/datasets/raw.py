"""What a reader of a file of one's own gives: data and labels as they stand in it, before they become a `Split`."""

import os
import stat
from dataclasses import dataclass

import numpy as np

from bnnsim.checks import FilePath

MAX_BYTES = 1 << 30                         # of one data set, in memory


@dataclass(frozen=True)
class Part:
    """Images (see `split.in_nchw`) or features (N, L), and labels, integers or strings (N,)."""

    data: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Raw:
    """One part, or a training and a test half, and what the reader knows of them: see `reading.Reading`."""

    train: Part
    test: Part | None = None
    class_names: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    order: str | None = None
    columns: tuple[str, ...] = ()


def regular_file(path: FilePath, most: int = MAX_BYTES) -> int:
    """The size of a file that is one, and of at most so many bytes."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path}: wanted a file, got a pipe, a device or a folder")
    if not 0 < found.st_size <= most:
        raise ValueError(f"{path}: wanted a file of 1 to {most} bytes, got {found.st_size}")
    return found.st_size
