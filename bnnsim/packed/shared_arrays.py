"""Arrays that processes of one machine share: files in a folder of a campaign's own, mapped into memory.

A folder is locked by the process that made it. One that nobody holds is left from a process that was killed: the next
one to make a folder removes it.
"""

import contextlib
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator

import numpy as np

import bnnsim.files.locks as locks

log = logging.getLogger("bnnsim")
PREFIX = "bnnsim-shared-"
NAME = re.compile(rf"{PREFIX}[a-z0-9_]{{8}}")                    # as mkdtemp makes them
SEMAPHORES = "/dev/shm"                                          # where Linux has them, as files


@contextlib.contextmanager
def shared_folder() -> Iterator[str]:
    """A folder that only this user can enter, in the system's place for such (TMPDIR); gone after the block."""
    remove_left_behind()
    folder, lock = _locked_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)                # Windows keeps what a worker has still open
        if lock is not None:
            lock.close()


def _locked_folder() -> tuple[str, locks.FolderLock | None]:
    while True:
        folder = tempfile.mkdtemp(prefix=PREFIX)
        try:
            return folder, locks.FolderLock(folder)
        except (BlockingIOError, FileNotFoundError):             # another process took it for one left behind
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:                                          # a disk that locks no folders, for anybody
            return folder, None


def semaphore_prefix(folder: str) -> str:
    """How semaphores of a folder's owner are called: they are removed with it, should it be left behind."""
    return f"/{os.path.basename(folder)}"


def remove_left_behind() -> None:
    """Remove this user's shared folders whose owner is gone, and the semaphores of each."""
    place = tempfile.gettempdir()
    for name in filter(NAME.fullmatch, os.listdir(place) if locks.FOR_ALL else []):
        folder = os.path.join(place, name)
        with contextlib.suppress(OSError):                       # it is another process's, or has just gone
            found = os.lstat(folder)
            if not stat.S_ISDIR(found.st_mode) or stat.S_IMODE(found.st_mode) != 0o700 or found.st_uid != os.getuid():
                continue
            with contextlib.closing(locks.FolderLock(folder)):
                _remove_semaphores(f"sem.{semaphore_prefix(folder)[1:]}-")
                shutil.rmtree(folder)
                log.info("removed %s, which a process that was killed had left", folder)


def _remove_semaphores(start: str) -> None:
    for name in os.listdir(SEMAPHORES) if os.path.isdir(SEMAPHORES) else []:
        if name.startswith(start) and os.lstat(os.path.join(SEMAPHORES, name)).st_uid == os.getuid():
            os.unlink(os.path.join(SEMAPHORES, name))


def shared(path: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array of a file, mapped; where there is none yet, it is made and written.

    Two processes may both make it: the second rename wins, with the same bytes. Where the disk is full, the array is
    this process's own.
    """
    if not os.path.exists(path):
        array, temporary = make(), f"{path}.{secrets.token_hex(8)}"
        try:
            with open(temporary, "xb") as file:
                np.save(file, array, allow_pickle=False)
            os.replace(temporary, path)
        except OSError as error:
            log.info("arrays are not shared between processes: %s", error)
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            return array
    return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))      # "c": kernels expect writable arrays
