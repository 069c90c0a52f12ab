"""Advisory locks, for files and folders that one process at a time may have: whoever holds one is alive.

A lock ends with its process, however that ends. Windows has none: there `FOR_ALL` is false, and everything counts as
free to take and as held by somebody alive.
"""

import contextlib
import errno
import os
import stat
import weakref
from io import FileIO
from typing import Protocol

from bnnsim.checks import FilePath

try:
    import fcntl
except ImportError:                                              # Windows
    fcntl = None                                                 # type: ignore[assignment]  # a module elsewhere

FOR_ALL = fcntl is not None


class _Held(Protocol):
    def close(self) -> None: ...


_held: "weakref.WeakSet[_Held]" = weakref.WeakSet()


def _close_in_child() -> None:
    for held in list(_held):
        held.close()


if hasattr(os, "register_at_fork"):     # forked workers would go on holding the locks when this process is killed
    os.register_at_fork(after_in_child=_close_in_child)


def _plain(path: str, flags: int) -> int:
    """Open without following a link or waiting for a reader; both are refused."""
    try:
        descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o666)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise
    raise FileExistsError(f"{path} must be a plain file, made here: move away what has its name")


def claim(target: str) -> FileIO:
    """The empty file TARGET.lock, locked: TARGET is this process's until `close_and_remove`.

    Raises
    ------
    FileExistsError
        Where something of that name is there that is no lock.
    OSError
        As of `open_locked`.
    """
    file = open_locked(f"{target}.lock")
    if os.fstat(file.fileno()).st_size:
        file.close()
        raise FileExistsError(f"{target}.lock has something in it, so it is no lock: move it away")
    return file


def open_locked(path: FilePath) -> FileIO:
    """A file to append to, made if it is not there, locked until it is closed; no link is followed.

    Raises
    ------
    FileExistsError
        Where a link, a folder, a pipe or a device has its name.
    OSError
        Where another process holds it, or it cannot be written.
    """
    while True:
        file = open(path, "ab", buffering=0, opener=_plain)
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                _held.add(file)
                return file
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
                why = "is in use by another process: wait for it, or write to another file"
            else:
                why = f"cannot be locked ({error.strerror}), as on some network disks: write to a disk of this machine"
                with contextlib.suppress(OSError):
                    if os.fstat(file.fileno()).st_size == 0:     # made here, most likely; nothing is in it
                        os.unlink(path)
            file.close()
            raise OSError(error.errno, f"{os.fsdecode(path)} {why}") from error
        file.close()                     # its former holder has just removed it


def close_and_remove(file: FileIO) -> None:
    """Remove a locked file before its lock ends."""
    if file.closed:
        return
    if fcntl is None:                    # Windows removes no open file
        file.close()
    os.unlink(file.name)
    file.close()


class FolderLock:
    """A folder, locked until it is closed; no link is followed.

    Raises
    ------
    OSError
        Where another process holds it, or it is gone or no folder.
    """

    def __init__(self, path: str) -> None:
        self._descriptor: int | None = None
        if fcntl is None:
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(descriptor), os.lstat(path)):
                raise FileNotFoundError(f"{path} was replaced")
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        _held.add(self)

    def close(self) -> None:
        """Let it go."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None
