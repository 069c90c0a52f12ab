"""The journal of a running campaign: finished cells, appended line by line, a checksum each; it survives any kill.

A line is the first 16 hexadecimal digits of the SHA-256 of what follows, a space, and canonical JSON: first the head,
which tells whose journal it is, then {"cells": [[series, rate as float.hex, trial, right answers by class, predictions
or null, bit error rate as float.hex, and if there were any the number of scores that were no finite numbers]]}. A last
line that is cut off is dropped; damage before the end is dropped with all that follows, and said.
One process holds the journal, by an advisory lock that ends with the process. Before the first finished cells the
file is empty, and an empty one is removed: a campaign that could not start leaves nothing behind.
"""

import base64
import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from io import FileIO
from typing import Any

import numpy as np

import bnnsim.files.atomic as atomic
import bnnsim.files.locks as locks
from bnnsim.campaign.cells import Answers, CellName
from bnnsim.checks import FilePath

log = logging.getLogger("bnnsim")
MAX_LINE = 2**28


def journal_path(path: FilePath) -> str:
    """Where the journal of a results file is: beside the file itself, where a link leads to it."""
    name = os.fsdecode(path)
    return (os.path.realpath(name) if os.path.islink(name) else name) + ".journal"


# ---------------------------------------------------------------- lines

def _line(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]} {text}\n".encode()


def _parse(line: bytes) -> Any:
    """The value of a whole, undamaged line; None for any other."""
    digest, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or hashlib.sha256(text).hexdigest()[:16].encode() != digest:
        return None
    return json.loads(text)


def _encoded(cells: Mapping[CellName, Answers]) -> dict[str, list[Any]]:
    return {"cells": [[series, float(rate).hex(), int(trial), [int(n) for n in right],
                       None if predictions is None else base64.b64encode(predictions.tobytes()).decode(), ber.hex(),
                       *([n_nonfinite] if n_nonfinite else [])]
                      for (series, rate, trial), (right, predictions, ber, n_nonfinite) in cells.items()]}


def _decoded(value: Any) -> dict[CellName, Answers]:
    return {(series, float.fromhex(rate), trial):
            Answers(np.array(right, np.int64), None if predictions is None else
                    np.frombuffer(base64.b64decode(predictions), np.uint8), float.fromhex(ber), *map(int, more))
            for series, rate, trial, right, predictions, ber, *more in value["cells"]}


def _write(file: FileIO, data: bytes) -> None:
    """All of it; an unbuffered file may take less at a time."""
    while data:
        data = data[file.write(data):]


# ---------------------------------------------------------------- the file

class Journal:
    """An open, locked journal.

    Parameters
    ----------
    path : path
        Of the results file.
    head : dict
        Of a new journal: plain JSON.
    check_head : function (head found) -> None
        Raises where a journal that is there is another's; nothing has been changed then.

    Attributes
    ----------
    cells : dict of (series, rate, trial) to Answers
        What was found in it.
    """

    def __init__(self, path: FilePath, head: Mapping[str, Any], check_head: Callable[[Any], None]) -> None:
        self.path, self._head = journal_path(path), head
        self._file = locks.open_locked(self.path)
        try:
            atomic.remove_parts(path)
            self.cells = self._read(check_head)
        except BaseException:
            self.close()
            raise

    def _read(self, check_head: Callable[[Any], None]) -> dict[CellName, Answers]:
        """All cells up to the first damage; what follows that is cut off."""
        n_good = 0
        found: dict[CellName, Answers] = {}
        with open(self.path, "rb") as file:
            while line := file.readline(MAX_LINE):
                with self._is_ours():
                    value = _parse(line)
                if value is None:
                    break
                if n_good == 0:
                    check_head(value)
                else:
                    with self._is_ours():
                        found.update(_decoded(value))
                n_good += len(line)
        n_left = os.path.getsize(self.path) - n_good
        if n_good == 0 and n_left and not self._is_cut_off_head():
            raise ValueError(f"{self.path} is not a journal of bnnsim, or its first line is damaged: move it away; "
                             "what is in it is lost to the campaign")
        if n_left:
            log.warning("%s: the last %d bytes are cut off or damaged and are done again", self.path, n_left)
            self._file.truncate(n_good)
        self._empty = n_good == 0
        return found

    @contextlib.contextmanager
    def _is_ours(self) -> Iterator[None]:
        """Whatever goes wrong in a line with the right checksum: another program wrote it."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"{self.path} is not a journal of bnnsim: move it away") from error

    def _is_cut_off_head(self) -> bool:
        head = _line(self._head)
        with open(self.path, "rb") as file:
            return head.startswith(file.read(len(head) + 1))

    def _append(self, value: Any) -> None:
        try:
            _write(self._file, _line(value))
        except OSError as error:
            raise OSError(error.errno, f"cannot write {self.path}: {error.strerror}; the cells before are kept: "
                                       "make room and go on with --resume (resume=True)") from error

    def add(self, cells: Mapping[CellName, Answers]) -> None:
        """Append finished cells."""
        if self._empty:
            self._append(self._head)
            self._empty = False
        self._append(_encoded(cells))

    def close(self, remove: bool = False) -> None:
        """Release it, and remove it where the results file now has everything, or where it is empty."""
        if self._file.closed:
            return
        remove = remove or os.fstat(self._file.fileno()).st_size == 0
        if remove:
            locks.close_and_remove(self._file)
        self._file.close()
