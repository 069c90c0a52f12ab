"""Files that appear whole or not at all: written beside their target under another name, flushed, and renamed."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator

from bnnsim.checks import FilePath


@contextlib.contextmanager
def replaced(path: FilePath) -> Iterator[str]:
    """The name of a temporary file, which becomes `path` when the block ends well, and vanishes otherwise: see `part`.

    Readers see the old file or the new one, never a part.

    Raises
    ------
    OSError
        With the path and the reason; the file that was there before is unchanged.
    """
    target = check_target(path)
    try:
        with part(target) as temporary:
            yield temporary
            _sync(temporary)
            os.replace(temporary, target)
    except OSError as error:
        raise OSError(error.errno or errno.EIO, f"cannot write {target}: {error.strerror or error}; a file that was "
                                                "there is unchanged") from error
    _sync_folder(os.path.dirname(target))


@contextlib.contextmanager
def part(path: FilePath) -> Iterator[str]:
    """The name of a new, empty file beside `path`, with its ending; gone when the block ends, unless it was renamed.

    A killed process may leave a ``.bnnsim-*`` behind, which may be removed.
    """
    folder, name = os.path.split(os.fsdecode(path))
    temporary = os.path.join(folder, f".bnnsim-{secrets.token_hex(8)}{os.path.splitext(name)[1]}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def check_target(path: FilePath) -> str:
    """The real path of a file that can be written: it is no folder or device, and its folder takes files."""
    target = os.path.realpath(os.fsdecode(path))                    # a symbolic link stays one
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"cannot write {os.path.basename(target)}: its folder does not "
                                              "exist; make it first", folder)
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, "cannot write a file over a folder", target)
    if os.path.exists(target) and not os.path.isfile(target):       # /dev/null would be replaced, for root
        raise ValueError(f"cannot write {target}: it is a device or a pipe, wanted a plain file")
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, f"cannot write {os.path.basename(target)}: its folder is read-only", folder)
    return target


def _sync(path: str) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: str) -> None:
    """Let the rename survive a power cut, where the system can: Windows and some network disks cannot."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
