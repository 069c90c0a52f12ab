"""The journal of a running campaign: finished cells, appended line by line, a checksum each; it survives any kill.

A line is the first 16 hexadecimal digits of the SHA-256 of what follows, a space, and canonical JSON: first the
campaign's settings, then {"cells": [[series, rate as float.hex, trial, right answers by class, predictions or null]]}.
A last line that is cut off is dropped; damage before the end is dropped with all that follows, and said.
One process holds the journal, by an advisory lock that ends with the process. Before the first finished cells the
file is empty, and an empty one is removed: a campaign that could not start leaves nothing behind.
"""

import base64
import hashlib
import json
import logging
import os
import weakref

import numpy as np

from bnnsim.campaign.settings import CampaignDiffers

try:
    import fcntl
except ImportError:                                              # Windows: no advisory locks
    fcntl = None

log = logging.getLogger("bnnsim")
MAX_LINE = 2**28


def journal_path(path):
    """Where the journal of a results file is."""
    return os.fspath(path) + ".journal"


def _line(value):
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]} {text}\n".encode()


def _parse(line):
    """The value of a whole, undamaged line; None for any other."""
    digest, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or hashlib.sha256(text).hexdigest()[:16].encode() != digest:
        return None
    return json.loads(text)


def _write(file, data):
    """All of it; an unbuffered file may take less at a time."""
    while data:
        data = data[file.write(data):]


_open_journals = weakref.WeakSet()


def _close_in_child():
    for journal in list(_open_journals):
        journal._file.close()


if hasattr(os, "register_at_fork"):     # forked workers would go on holding the lock when this process is killed
    os.register_at_fork(after_in_child=_close_in_child)


class Journal:
    """An open, locked journal.

    Parameters
    ----------
    path : path
        Of the results file.
    settings : dict
        The campaign's; a journal of other settings is refused with a ValueError that says what differs.
    compare : function (stored settings) -> None
        Raises where the stored settings are another campaign's.

    Attributes
    ----------
    cells : dict of (series, rate, trial) -> (right int64 (C,), predictions uint8 (N,) or None)
        What was found in it.
    """

    def __init__(self, path, settings, compare):
        self.path, self._settings = journal_path(path), settings
        self._file = self._open_locked()
        _open_journals.add(self)
        try:
            self.cells = self._read(compare)
        except BaseException:
            self.close()
            raise

    def _open_locked(self):
        while True:
            file = open(self.path, "ab", buffering=0)
            try:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(file.fileno()), os.stat(self.path)):
                    return file
            except FileNotFoundError:
                pass
            except OSError as error:
                file.close()
                raise OSError(error.errno, f"{self.path} is in use by another process: wait for it, or write to "
                                           "another file") from error
            file.close()                 # its former holder has just removed it

    def _read(self, compare):
        good, cells, head = 0, {}, None
        with open(self.path, "rb") as file:
            while line := file.readline(MAX_LINE):
                try:
                    value = _parse(line)
                    if value is None:
                        break
                    if head is None:
                        compare(value)
                        head = value
                    else:
                        cells.update(_decoded(value))
                except CampaignDiffers:
                    raise
                except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
                    raise ValueError(f"{self.path} is not a journal of bnnsim: move it away") from error
                good += len(line)
        rest = os.path.getsize(self.path) - good
        if head is None and rest and not self._is_cut_off_head():
            raise ValueError(f"{self.path} is not a journal of bnnsim, or its first line is damaged: move it away; "
                             "what is in it is lost to the campaign")
        if rest:
            log.warning("%s: the last %d bytes are cut off or damaged and are done again", self.path, rest)
            self._file.truncate(good)
        self._empty = good == 0
        return cells

    def _is_cut_off_head(self):
        head = _line(self._settings)
        with open(self.path, "rb") as file:
            return head.startswith(file.read(len(head) + 1))

    def _append(self, value):
        try:
            _write(self._file, _line(value))
        except OSError as error:
            raise OSError(error.errno, f"cannot write {self.path}: {error.strerror}; the cells before are kept: "
                                       "make room and go on with --resume (resume=True)") from error

    def add(self, cells):
        """Append finished cells: (series, rate, trial, right, predictions or None)."""
        if self._empty:
            self._append(self._settings)
            self._empty = False
        self._append({"cells": [[series, float(rate).hex(), int(trial), [int(n) for n in right],
                                 None if predictions is None else base64.b64encode(predictions.tobytes()).decode()]
                                for series, rate, trial, right, predictions in cells]})

    def close(self, remove=False):
        """Release it, and remove it where the results file now has everything, or where it is empty."""
        if self._file.closed:
            return
        remove = remove or os.fstat(self._file.fileno()).st_size == 0
        if fcntl is None:                # Windows removes no open file
            self._file.close()
        if remove:
            os.unlink(self.path)
        self._file.close()


def _decoded(value):
    for series, rate, trial, right, predictions in value["cells"]:
        if predictions is not None:
            predictions = np.frombuffer(base64.b64decode(predictions), np.uint8)
        yield (series, float.fromhex(rate), trial), (np.array(right, np.int64), predictions)
