"""The files of compiled kernels: where they are looked for, which are bnnsim's, and how they are removed.

Numba keeps an index (.nbi) and machine code (.nbc) of each kernel in the folder that `bnnsim.kernels._jit` names: one
beside the kernels, or one for each state of their sources, of this installation or another, in a folder that several
share. An index is read anew for each kernel, and code that it names and that is gone is compiled again: so files may
be removed while somebody works. Folders may not: one in which code is about to be written must be there.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bnnsim.kernels._jit as _jit

FILE = re.compile(r".+\.nb[ic](\.tmp\.[0-9a-f]+)?")      # the last: what a killed process was writing
FOLDER = re.compile(r"[0-9a-f]{20}")                     # digest of the sources


@dataclass(frozen=True)
class Place:
    """A folder with compiled kernels: how many files and bytes, and whose they are."""

    folder: str
    n_files: int
    n_bytes: int
    what: str


def places() -> list[Place]:
    """All folders that have compiled kernels, and the one that is in use even if it is empty."""
    used, found = _jit.cache_folder(), list[Place]()
    for folder in dict.fromkeys(_candidates(used)):
        sizes = [size for _, size in _files(folder)]
        if sizes or folder == used:
            what = "in use" if folder == used else "of this installation, not in use" if folder == _beside() else \
                "of other sources or another installation"
            found.append(Place(str(folder), len(sizes), sum(sizes), what))
    return found


def clear(found: list[Place]) -> None:
    """Remove the files: indices first, so that nobody is sent to code that is gone."""
    failed = list[tuple[Path, OSError]]()
    for place in found:
        folder = Path(place.folder)
        for name, _ in sorted(_files(folder), key=lambda file: ".nbi" not in file[0]):
            try:
                _unlink(folder, name)
            except FileNotFoundError:                    # another process was faster
                pass
            except OSError as error:
                failed.append((folder / name, error))
    if failed:
        path, why = failed[0]
        raise OSError(why.errno, f"cannot remove {len(failed)} of the files, all others are gone: {why.strerror}",
                      str(path))


def _beside() -> Path:
    return _jit.FOLDER / "__pycache__"


def _candidates(used: Path | None) -> Iterator[Path]:
    """Folders that may have some; `used` is the one that this process uses."""
    if used is not None:
        yield used
    yield _beside()
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for root in (_jit.NUMBA.CACHE_DIR and Path(_jit.NUMBA.CACHE_DIR) / "bnnsim", Path(home) / "bnnsim" / "numba"):
        try:
            yield from sorted(root / entry.name for entry in os.scandir(root)
                              if FOLDER.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)) if root else ()
        except OSError:                                  # not there, or not to be read
            pass


def _files(folder: Path) -> list[tuple[str, int]]:
    """(name, bytes) of each file that a kernel's compilation made; no links, and none in a folder that is one."""
    found = []
    try:
        if folder.is_symlink():
            return []
        for entry in os.scandir(folder):
            if FILE.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                found.append((entry.name, entry.stat(follow_symlinks=False).st_size))
    except OSError:                                      # gone meanwhile
        pass
    return found


def _unlink(folder: Path, name: str) -> None:
    """Remove a file of this very folder, where the system can say so: not of one that a link puts in its place."""
    if os.unlink not in os.supports_dir_fd:              # Windows
        os.unlink(folder / name)
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.unlink(name, dir_fd=descriptor)
    finally:
        os.close(descriptor)
