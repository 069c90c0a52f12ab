"""HDF5 as a safe container: files that appear whole or not at all, and readers that trust nothing.

A file may come from anybody, or from a failing disk. h5py writes, but never reads: `hdf5_structure` says what stands
where. What is read here is exactly what was expected by name; it is linked hard, stored in this very file, contiguous,
unfiltered, of a known type, and no larger than the file itself; all this is known before memory is allocated.
"""

import contextlib
import errno
import io
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import bnnsim.files.atomic as atomic
from bnnsim.checks import FilePath
from bnnsim.files.announced import Announced
from bnnsim.files.hdf5_messages import Damaged, Refused, lookup3
from bnnsim.files.hdf5_structure import SIGNATURE, Group, read_structure

if TYPE_CHECKING:
    import h5py

# Since this version of the format HDF5 keeps checksums of its own structures, and it is the one that is read.
LIBVER = ("v110", "v110")
MAX_STRING = 200                # bytes of an attribute
DTYPES = tuple(np.dtype(name) for name in ("float32", "float64", "int64", "uint64", "int32", "uint8", "bool"))


OTHERS = (".csv", ".json", ".npy", ".npz", ".onnx", ".pdf", ".png", ".pt", ".pth", ".svg", ".txt")


# ---------------------------------------------------------------- writing

def check_ending(name: str, path: FilePath) -> None:
    """No ending of another format: nothing that reads such files could read this one."""
    ending = os.path.splitext(os.fsdecode(path))[1].lower()
    if ending in OTHERS:
        raise ValueError(f"{name} must be that of an HDF5 file, with the ending .h5, .hdf5, none or one of your own, "
                         f"got {os.fsdecode(path)!r}")


@contextlib.contextmanager
def new_file(path: FilePath) -> "Iterator[h5py.File]":
    """An h5py.File that becomes `path` when the block ends well, and vanishes otherwise: see `files.replaced`."""
    check_ending("path", path)
    import h5py                                                  # reading needs none of it

    with atomic.replaced(path) as temporary:
        try:
            # in memory: HDF5 cannot close a file that has met a full disk, and crashes the process when used later
            with h5py.File(temporary, "w", libver=LIBVER, driver="core", backing_store=False,
                           locking=False) as file:
                yield file
                file.flush()
                image = file.id.get_file_image()
        except RuntimeError as error:                               # what HDF5 says where it cannot grow
            raise OSError(errno.EIO, str(error)) from error
        with open(temporary, "wb") as target:                    # HDF5 before 2.0 clears a flag of the superblock last,
            target.write(image[:44])                             # and leaves the checksum as it was
            target.write(lookup3(image[:44]).to_bytes(4, "little"))
            target.write(memoryview(image)[48:])


def write_array(group: "h5py.Group", name: str, array: np.ndarray | np.bytes_) -> None:
    """A contiguous dataset without times: the same content gives the same bytes."""
    group.create_dataset(name, data=array, track_times=False)


def write_attributes(group: "h5py.Group", values: Mapping[str, Any]) -> None:
    """Attributes: ASCII str of fixed length, int64, or a tuple of int64."""
    for name, value in values.items():
        group.attrs.create(name, np.bytes_(value) if isinstance(value, str) else np.asarray(value, np.int64))


# ---------------------------------------------------------------- reading

@dataclass(frozen=True)
class File(Group):
    """The root group of an open HDF5 file, and the bytes that its arrays point to."""

    stream: io.BufferedReader

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self.stream.fileno()).st_size


@contextlib.contextmanager
def open_file(path: FilePath) -> Iterator[File]:
    """A `File` to read; ValueError naming the path where the block, or the reader, finds it to be wrong.

    Nothing is locked: files are replaced whole and never altered, and network disks refuse locks.
    """
    path = os.fsdecode(path)
    _check_signature(path)
    try:
        with open(path, "rb") as stream:
            root = read_structure(stream)
            yield File(root.name, root.attributes, root.members, stream)
    except Damaged as error:
        raise ValueError(f"{path} is damaged or cut off, or another program wrote it ({error}): copy it again or make "
                         "it anew") from None
    except Refused as error:
        raise ValueError(f"{path}: {error}") from None


def _check_signature(path: str) -> None:
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "wanted an HDF5 file, got a folder", path)
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path}: wanted an HDF5 file, got a device or a pipe")
    with open(path, "rb") as file:
        start = file.read(len(SIGNATURE))
    if start != SIGNATURE:
        came = f"one that starts with {start!r}" if start else "an empty one"
        raise ValueError(f"{path}: wanted an HDF5 file that bnnsim saved, got {came}")


def check_members(group: Group, groups: Iterable[str] = (), datasets: Iterable[str] = ()) -> None:
    """Exactly these groups and datasets are in a group."""
    _check_names(group, "objects", group.members, {*groups, *datasets})
    for name in (*groups, *datasets):
        if isinstance(group[name], Group) is not (name in groups):
            wanted = "a group" if name in groups else "an array"
            raise Refused(f"{group.name}: wanted {name} to be {wanted}, it is none")


def _check_names(group, what, names, wanted):
    names = set(names)
    if names != wanted:
        missing, extra = sorted(wanted - names)[:5], sorted(names - wanted)[:5]
        raise Refused(f"{group.name}: wanted exactly the {what} {', '.join(sorted(wanted)) or '(none)'}; "
                      f"missing: {', '.join(missing) or 'none'}, "
                      f"unknown: {', '.join(map(ascii, extra)) or 'none'}")


def read_attributes(group: Group, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Exactly these attributes of a group.

    Parameters
    ----------
    wanted : dict
        Name -> str (ASCII, of at most MAX_STRING bytes), or a shape: () for an int, (n,) for a tuple of n.
    """
    _check_names(group, "attributes", group.attributes, set(wanted))
    return {name: read_attribute(group, name, kind) for name, kind in wanted.items()}


def read_attribute(group: Group, name: str, kind: Any) -> Any:
    """One attribute: see `read_attributes`."""
    where = f"attribute {name} of {group.name}"
    if name not in group.attributes:
        raise Refused(f"{where} is missing")
    value = group.attributes[name]
    shape = () if kind is str else kind
    if value.shape != shape:
        raise Refused(f"{where}: wanted shape {shape}, got {value.shape}")
    if kind is str:
        _check_string(where, value.dtype, MAX_STRING)
        return _text(where, value.raw)
    if value.dtype != np.int64:
        raise Refused(f"{where}: wanted int64, got {value.dtype}")
    values = np.frombuffer(value.raw, np.int64)
    return tuple(values.tolist()) if shape else int(values[0])


def _check_string(where, dtype, most):
    if dtype.kind != "S":
        raise Refused(f"{where}: wanted a string of fixed length, got {dtype}")
    if dtype.itemsize > most:
        raise Refused(f"{where}: wanted at most {most} bytes, got {dtype.itemsize}")


def _text(where, raw):
    raw = raw.rstrip(b"\0")
    if not raw.isascii():
        raise Refused(f"{where}: wanted ASCII text, got {raw[:40]!r}")
    return raw.decode("ascii")


def announce(dataset: Announced | Group) -> Announced:
    """An array of numbers that a file announces, of a type that bnnsim writes."""
    if isinstance(dataset, Group):
        raise Refused(f"wanted {dataset.name} to be an array, got a group")
    if dataset.dtype not in DTYPES:
        raise Refused(f"{dataset.name}: wanted one of {', '.join(map(str, DTYPES))}, got {dataset.dtype}")
    return dataset


def announce_text(dataset: Announced | Group, most: int) -> Announced:
    """A scalar dataset that is a string of at most `most` bytes."""
    if isinstance(dataset, Group):
        raise Refused(f"wanted {dataset.name} to be a text, got a group")
    _check_string(dataset.name, dataset.dtype, most)
    if dataset.shape != ():
        raise Refused(f"{dataset.name}: wanted one string, got shape {dataset.shape}")
    return dataset


def check_total(file: File, announced: Iterable[Announced], most: int) -> None:
    """All that is announced fits the file, and `most` bytes: datasets may overlap in a hostile one."""
    total, limit = sum(one.n_bytes for one in announced), min(most, file.size)
    if total > limit:
        raise Refused(f"wanted at most {limit} bytes of data, got {total}")


def read_array(file: File, dataset: Announced) -> np.ndarray:
    """The values of a dataset that was announced."""
    out = np.empty(dataset.shape, dataset.dtype)
    if out.size:
        file.stream.seek(dataset.address)
        if file.stream.readinto(out.reshape(-1).view(np.uint8)) != dataset.n_bytes:
            raise Refused(f"{dataset.name} ends early")
    return out


def read_text(file: File, dataset: Announced) -> str:
    """The ASCII text of a dataset that `announce_text` has seen."""
    return _text(dataset.name, read_array(file, dataset).tobytes())
