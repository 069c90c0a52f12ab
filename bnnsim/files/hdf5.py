"""HDF5 as a safe container: files that appear whole or not at all, and readers that trust nothing.

A file may come from anybody, or from a failing disk. What is read here is exactly what was expected by name;
it is linked hard, stored in this very file, contiguous, unfiltered, of a known type, and no larger than the
file itself; all this is known before memory is allocated. Whatever HDF5 has to say to a damaged file becomes
one ValueError.
"""

import contextlib
import errno
import math
import os
import stat

import h5py
import numpy as np
from h5py import h5d, h5s, h5t

import bnnsim.files.atomic as atomic
from bnnsim.files.announced import Announced

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Since this version of the format HDF5 keeps checksums of its own structures: a flipped bit there raises,
# where the older one that h5py writes by default goes on with a wrong address or size.
LIBVER = ("v110", "v110")
MAX_STRING = 200                # bytes of an attribute
DTYPES = tuple(np.dtype(name) for name in ("float32", "float64", "int64", "uint64", "int32", "uint8", "bool"))
# What h5py raises on damaged files.
HDF5_ERRORS = (OSError, RuntimeError, KeyError, ValueError, TypeError, IndexError, OverflowError, SystemError)


class Refused(ValueError):
    """What is wrong with a file that is open; `open_file` adds the path."""


# ---------------------------------------------------------------- writing

@contextlib.contextmanager
def new_file(path):
    """An h5py.File that becomes `path` when the block ends well, and vanishes otherwise: see `files.replaced`."""
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
        with open(temporary, "wb") as target:
            target.write(image)


def write_array(group, name, array):
    """A contiguous dataset without times: the same content gives the same bytes."""
    group.create_dataset(name, data=array, track_times=False)


def write_attributes(group, values):
    """Attributes: ASCII str of fixed length, int64, or a tuple of int64."""
    for name, value in values.items():
        group.attrs.create(name, np.bytes_(value) if isinstance(value, str) else np.asarray(value, np.int64))


# ---------------------------------------------------------------- reading

@contextlib.contextmanager
def open_file(path):
    """An h5py.File to read; ValueError naming the path where the block, or HDF5, finds it to be wrong.

    Nothing is locked: files are replaced whole and never altered, and network disks refuse locks.
    """
    path = os.fsdecode(path)
    _check_signature(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except Refused as error:
        raise ValueError(f"{path}: {error}") from None
    except HDF5_ERRORS as error:
        raise ValueError(f"{path} is damaged or cut off; copy it again or make it anew (HDF5 says: {error})"
                         ) from error


def _check_signature(path):
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


def check_members(group, groups=(), datasets=()):
    """Exactly these groups and datasets are in a group, hard-linked: no other kind of link is followed."""
    _check_names(group, "objects", group, {*groups, *datasets})
    for name in (*groups, *datasets):
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise Refused(f"{group.name}: wanted {name} itself, got a soft or an external link")
        wanted = h5py.Group if name in groups else h5py.Dataset
        if group.get(name, getclass=True) is not wanted:
            raise Refused(f"{group.name}: wanted {name} to be a {wanted.__name__.lower()}, it is none")


def _check_names(group, what, collection, wanted):
    if len(collection) > len(wanted) + 1000:
        raise Refused(f"{group.name}: wanted {len(wanted)} {what}, got {len(collection)}")
    names = set(collection)
    if names != wanted:
        missing, extra = sorted(wanted - names)[:5], sorted(names - wanted)[:5]
        raise Refused(f"{group.name}: wanted exactly the {what} {', '.join(sorted(wanted)) or '(none)'}; "
                      f"missing: {', '.join(missing) or 'none'}, "
                      f"unknown: {', '.join(map(ascii, extra)) or 'none'}")


def read_attributes(group, wanted):
    """Exactly these attributes of a group.

    Parameters
    ----------
    wanted : dict
        Name -> str (ASCII, of at most MAX_STRING bytes), or a shape: () for an int, (n,) for a tuple of n.
    """
    _check_names(group, "attributes", group.attrs, set(wanted))
    return {name: read_attribute(group, name, kind) for name, kind in wanted.items()}


def read_attribute(group, name, kind):
    """One attribute: see `read_attributes`."""
    where = f"attribute {name} of {group.name}"
    if name not in group.attrs:
        raise Refused(f"{where} is missing")
    attribute = group.attrs.get_id(name)
    shape = () if kind is str else kind
    if attribute.shape != shape:
        raise Refused(f"{where}: wanted shape {shape}, got {attribute.shape}")
    if kind is str:
        size = _string_size(where, attribute.get_type(), MAX_STRING)
        return _text(where, _filled(attribute, (), np.dtype(f"S{size}")))
    if not attribute.get_type().equal(h5t.py_create(np.dtype(np.int64))):
        raise Refused(f"{where}: wanted int64, got another type")
    values = _filled(attribute, shape, np.dtype(np.int64))
    return tuple(values.tolist()) if shape else int(values)


def _filled(attribute, shape, dtype):
    out = np.empty(shape, dtype)
    attribute.read(out)
    return out


def _string_size(where, kind, most):
    if not isinstance(kind, h5t.TypeStringID) or kind.is_variable_str():
        raise Refused(f"{where}: wanted a string of fixed length, got another type")
    if not 0 < kind.get_size() <= most:
        raise Refused(f"{where}: wanted at most {most} bytes, got {kind.get_size()}")
    return kind.get_size()


def _text(where, value):
    raw = value.tobytes().rstrip(b"\0")
    if not raw.isascii():
        raise Refused(f"{where}: wanted ASCII text, got {raw[:40]!r}")
    return raw.decode("ascii")


def announce(dataset):
    """Type and shape of a dataset, which is stored in full in this file, as is.

    Returns
    -------
    Announced
    """
    kind = dataset.id.get_type()
    dtype = next((known for known in DTYPES if kind.equal(h5t.py_create(known, logical=True))), None)
    if dtype is None or kind.committed():
        raise Refused(f"{dataset.name}: wanted one of {', '.join(map(str, DTYPES))}, got another type")
    return _check_storage(dataset, dtype)


def announce_text(dataset, most):
    """A scalar dataset that is a string of at most `most` bytes."""
    size = _string_size(dataset.name, dataset.id.get_type(), most)
    announced = _check_storage(dataset, np.dtype(f"S{size}"))
    if announced.shape != ():
        raise Refused(f"{dataset.name}: wanted one string, got shape {announced.shape}")
    return announced


def _check_storage(dataset, dtype):
    # contiguous data has no filters: HDF5 keeps those for chunks
    plist, file_size = dataset.id.get_create_plist(), dataset.file.id.get_filesize()
    if plist.get_external_count() or plist.get_layout() != h5d.CONTIGUOUS:
        raise Refused(f"{dataset.name}: wanted data stored in this file, contiguous and uncompressed, got "
                      "another layout; for a file of your own, h5repack -l CONTI -f NONE makes it so")
    if dataset.shape is None or len(dataset.attrs):
        raise Refused(f"{dataset.name}: wanted an array without attributes, got no array or some attributes")
    n_bytes, offset = math.prod(dataset.shape) * dtype.itemsize, dataset.id.get_offset()
    n_stored = dataset.id.get_storage_size()
    if n_bytes != n_stored or (n_bytes and offset + n_bytes > file_size):
        raise Refused(f"{dataset.name}: shape {dataset.shape} announces {n_bytes} bytes, but {n_stored} are "
                      f"stored, in a file of {file_size}")
    return Announced(dtype, tuple(dataset.shape))


def check_total(file, announced, most):
    """All that is announced fits the file, and `most` bytes: datasets may overlap in a hostile one."""
    total = sum(math.prod(a.shape) * a.dtype.itemsize for a in announced)
    limit = min(most, file.id.get_filesize())
    if total > limit:
        raise Refused(f"wanted at most {limit} bytes of data, got {total}")


def read_array(dataset, announced):
    """The values of a dataset that `announce` has seen."""
    out = np.empty(announced.shape, announced.dtype)
    if out.size:
        dataset.id.read(h5s.ALL, h5s.ALL, out)
    return out


def read_text(dataset, announced):
    """The ASCII text of a dataset that `announce_text` has seen."""
    return _text(dataset.name, read_array(dataset, announced))
