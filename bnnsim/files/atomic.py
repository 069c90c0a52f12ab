"""Files that appear whole or not at all: written beside their target under another name, flushed, and renamed."""

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator

from bnnsim.checks import FilePath

LONGEST_BESIDE = ".journal"         # what others add to the name of a file that they write: of .lock and .journal


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

    A killed process may leave a ``.bnnsim-*`` behind, which may be removed: see `remove_parts`.
    """
    folder, name = os.path.split(os.fsdecode(path))
    temporary = os.path.join(folder, f"{_part_start(name)}{secrets.token_hex(8)}{os.path.splitext(name)[1]}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def remove_parts(path: FilePath) -> None:
    """Remove what killed writers of `path` have left beside it; for whoever knows that nobody is writing it now."""
    folder, name = os.path.split(os.path.realpath(os.fsdecode(path)))
    for found in os.listdir(folder):
        if found.startswith(_part_start(name)):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, found))


def _part_start(name: str) -> str:
    return f".bnnsim-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}-"


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
    with contextlib.suppress(FileNotFoundError):                    # `exists` would call a name that is too long free
        os.lstat(target)
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, f"cannot write {os.path.basename(target)}: its folder is read-only", folder)
    return target


def check_creatable(path: FilePath) -> str:
    """`check_target`, and files beside it can be made, which is tried: before hours of work, not after them."""
    target = check_target(path)
    folder, name = os.path.split(target)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.lstat(f"{target}{LONGEST_BESIDE}")
        with part(target):
            pass
    except OSError as error:
        why, code = f"its folder takes no new files ({error.strerror}); choose another one", error.errno
        if code == errno.ENAMETOOLONG:
            why = f"its name must be {len(LONGEST_BESIDE)} bytes shorter, for the files that stand beside it meanwhile"
        if code == errno.ENOENT:                                 # of /proc, which is there
            why, code = "its folder, which is there, takes no new files; choose another one", errno.EACCES
        raise OSError(code, f"cannot write {name[:40]}: {why}", folder) from error
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
