"""Arrays that processes of one machine share: files in a folder of a campaign's own, mapped into memory."""

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator

import numpy as np

log = logging.getLogger("bnnsim")


@contextlib.contextmanager
def shared_folder() -> Iterator[str]:
    """A folder that only this user can enter, in the system's place for such (TMPDIR); gone after the block."""
    folder = tempfile.mkdtemp(prefix="bnnsim-")
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)                # Windows keeps what a worker has still open


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
