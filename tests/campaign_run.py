"""A campaign of 2,002 cells; as a script, a warmed process that forks children, has them killed, and looks at files.

    python tests/campaign_run.py

reads a JSON request a line and answers with a JSON line: {"kills", "campaigns", "moments"}, or {"error"}.
A child resumes the campaign. It is killed at an event that it comes to ("events"), or by its parent at any time
("clock"). After each kill every cell on disk must be right, none may be gone, and few batches may be lost.
"""

import contextlib
import functools
import hashlib
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

import bnnsim.campaign.cells as cells
import bnnsim.campaign.engine as engine
import bnnsim.campaign.journal as journal
import bnnsim.campaign.sweeps as sweeps
import bnnsim.files.atomic as atomic
import bnnsim.files.hdf5 as hdf5
from bnnsim import threads
from bnnsim.campaign.result import SweepResult
from bnnsim.campaign.store import Store
from bnnsim.datasets.split import Split
from bnnsim.training.architectures import build
from bnnsim.training.packing import pack

RATES, TRIALS, SEED = [0.0, 0.01, 0.05, 0.1, 0.2, 0.3], 200, 5
N_CELLS = 2 * (1 + 5 * TRIALS)
PER_BATCH = 7


@functools.cache
def networks():
    return {f"net {seed}": pack(build("FC16 FC10", (1, 4, 4), rng=seed)) for seed in range(2)}


@functools.cache
def split(n_images=16, seed=0, name="random"):
    rng = np.random.default_rng(seed)
    return Split(rng.integers(0, 256, (n_images, 1, 4, 4), np.uint8), rng.integers(0, 10, n_images), name)


def run(nets=None, data=None, rates=None, trials=TRIALS, rng=SEED, **settings):
    return sweeps.sweep(networks() if nets is None else nets, split() if data is None else data,
                        RATES if rates is None else rates, trials, rng, progress=False, **settings)


def on_disk(out):
    """Cells of the results file and of the whole lines of its journal."""
    found = {}
    if os.path.exists(out):
        result = SweepResult.load(out)
        for s, name in enumerate(result.names):
            for r, rate in enumerate(result.rates.tolist()):
                for trial in range(1 if rate == 0 else result.right.shape[2]):
                    found[name, rate, trial] = result.right[s, r, trial].tolist()
    if os.path.exists(f"{out}.journal"):
        for line in Path(f"{out}.journal").read_bytes().splitlines(keepends=True):
            digest, _, text = line.partition(b" ")
            if not line.endswith(b"\n") or hashlib.sha256(text[:-1]).hexdigest()[:16].encode() != digest:
                break
            for name, rate, trial, right, *_ in json.loads(text).get("cells", ()):
                found[name, float.fromhex(rate), trial] = right
    return found


# ---------------------------------------------------------------- in a child, which ends without cleaning up

class Events:
    """Kills this process at the event that `fatal(count, name)` picks, and leaves the name of the moment."""

    here = None                                                  # those of this process

    def __init__(self, fatal, note):
        self.fatal, self.note, self.count = fatal, note, 0
        Events.here = self

    def at(self, name, last=None):
        self.count += 1
        if self.fatal(self.count, name):
            if last is not None:
                last()
            os.write(self.note, f"moment {name}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)


def listen(events, rng):
    """Tell `events` of every step that a campaign takes; batches are of PER_BATCH cells, whatever the clock says."""
    whole_batch, whole_write, replace, unlink = cells.run_batch, journal._write, os.replace, os.unlink
    write_array, sync = hdf5.write_array, atomic._sync

    def run_batch(key, batch, context=None):
        os.write(events.note, b"batch\n")
        events.at("a batch begins")
        seconds, results = whole_batch(key, batch, context)
        events.at("a batch ends")
        return engine.BATCH_SECONDS * len(batch) / (PER_BATCH + 0.5), results

    def write(file, data):
        events.at("before a line")
        events.at("half a line", lambda: file.write(data[:rng.integers(1, len(data))]))
        whole_write(file, data)
        os.write(events.note, f"kept {len(json.loads(data.partition(b' ')[2]).get('cells', ()))}\n".encode())
        events.at("after a line")

    def loud(function, name):
        def wrapped(*arguments, **settings):
            events.at(f"before {name}")
            found = function(*arguments, **settings)
            events.at(f"after {name}")
            return found
        return wrapped

    cells.run_batch, journal._write = run_batch, write
    hdf5.write_array, atomic._sync = loud(write_array, "an array"), loud(sync, "sync")
    os.replace, os.unlink = loud(replace, "rename"), loud(unlink, "unlink")


@contextlib.contextmanager
def in_place(path):
    """What a file is written to without care: the target itself, bit by bit."""
    with tempfile.TemporaryDirectory() as folder:
        yield os.path.join(folder, "results.h5")
        content = Path(folder, "results.h5").read_bytes()
    with open(path, "wb", buffering=0) as file:
        file.write(content[:len(content) // 2])
        Events.here.at("half of the results")
        file.write(content[len(content) // 2:])


def journal_removed_first(store):
    store.journal.close(remove=True)
    store.campaign.result().save(store.out)


def append_by_rewriting(self, value):
    lines = vars(self).setdefault("lines", [journal._line(json.loads(line.partition(b" ")[2]))
                                            for line in Path(self.path).read_bytes().splitlines()])
    lines.append(journal._line(value))
    self._file.truncate(0)
    for line in lines:
        journal._write(self._file, line)


VARIANTS = {                                                     # what must be noticed
    "in place": lambda: setattr(atomic, "replaced", in_place),
    "journal removed first": lambda: setattr(Store, "finish", journal_removed_first),
    "journal rewritten": lambda: setattr(journal.Journal, "_append", append_by_rewriting),
}


def child(out, note, variant, fatal, seed):
    try:
        if variant:
            VARIANTS[variant]()
        listen(Events(fatal, note), np.random.default_rng(seed))
        with threads(1):
            result = run(out=out, resume=True)
        os.write(note, f"done {result.checksum}\n".encode())
        os._exit(0)
    except BaseException as error:                               # os._exit: pytest, atexit and buffers are the parent's
        os.write(note, f"error {type(error).__name__}: {error}\n".replace("\n", " ").encode())
        os._exit(1)


# ---------------------------------------------------------------- the parent

def forked(work, *arguments):
    """(pid, file to read what the child notes)."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():                              # NumPy's own threads are idle
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os.close(reader)
        work(*arguments[:1], writer, *arguments[1:])
    os.close(writer)
    return pid, reader


def notes_of(pid, reader):
    """Wait for a child, and read what it left."""
    with open(reader) as file:
        notes = file.read().splitlines()
    os.waitpid(pid, 0)
    return notes


def size(path):
    """Bytes; 0 where there is no file."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.getsize(path)
    return 0


def kill_by_clock(pid, reader, out, rng):
    """SIGKILL at a random time after the journal has grown by some lines; none where the child was faster."""
    path = f"{out}.journal"
    wanted = size(path) + int(rng.integers(0, 8_000))            # of 129 kB: 50 kills make two campaigns
    notes, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([reader], [], [], 0.001)[0]:
            notes += (more := os.read(reader, 2**16))
            if not more:
                break
        if 0 < size(path) >= wanted:
            break
    time.sleep(rng.uniform(0, 0.003))
    os.kill(pid, signal.SIGKILL)
    return (notes.decode() + "\n".join(["", *notes_of(pid, reader)])).split("\n")


class Watch:
    """What must hold between two runs."""

    def __init__(self, reference):
        self.reference, self.wanted = reference, {}
        for s, name in enumerate(reference.names):
            for r, rate in enumerate(reference.rates.tolist()):
                for trial in range(1 if rate == 0 else TRIALS):
                    self.wanted[name, rate, trial] = reference.right[s, r, trial].tolist()

    def check(self, out, before, notes):
        """The cells on disk; AssertionError where one is wrong, or gone, or where more than what flew was lost."""
        assert not any(note.startswith("error") for note in notes), notes[-1]
        found = on_disk(out)
        wrong = [cell for cell in found if found[cell] != self.wanted[cell]]
        assert not wrong, f"{len(wrong)} cells are wrong, such as {wrong[0]}"
        kept = [int(note[5:]) for note in notes if note.startswith("kept") and note != "kept 0"]
        gone = max(len(before.keys() - found.keys()), len(before) + sum(kept) - len(found))
        assert gone <= 0, f"{gone} cells are gone"
        assert notes.count("batch") <= len(kept) + 2, "more was lost than the 2 batches that fly with one thread"
        return found

    def check_end(self, out, notes):
        """A finished campaign is the uninterrupted one."""
        stored = SweepResult.load(out)
        assert f"done {self.reference.checksum}" in notes and stored.checksum == self.reference.checksum
        assert all(np.array_equal(array, stored.arrays()[name]) for name, array in self.reference.arrays().items())
        assert not os.path.exists(f"{out}.journal")


def kill_and_resume(watch, folder, how, seed, kills=50, variant=None, moments=()):
    """Campaigns, resumed after each kill, until there were so many kills; or one, killed at the moments given."""
    rng, met, n_campaigns, moments = np.random.default_rng(seed), [], 0, list(moments)
    while len(met) < kills or moments:
        out, state, done = os.path.join(folder, f"run{n_campaigns}.h5"), {}, False
        while not done:
            name = moments.pop(0) if moments else ""
            last = len(met) >= kills and not name
            at = int(rng.integers(1, 120))
            fatal = {"events": lambda count, _, at=at, last=last: count == at and not last,
                     "moments": lambda _, event, name=name: event == name, "clock": lambda *_: False}[how]
            pid, reader = forked(child, out, variant, fatal, int(rng.integers(2**31)))
            notes = kill_by_clock(pid, reader, out, rng) if how == "clock" and not last else notes_of(pid, reader)
            done = any(note.startswith("done") for note in notes)
            state = watch.check(out, state, notes)
            if not done:
                met += [note for note in notes if note.startswith("moment")] or ["moment by clock"]
        watch.check_end(out, notes)
        n_campaigns += 1
    return {"kills": len(met), "campaigns": n_campaigns, "moments": sorted({note[7:] for note in met})}


def limited(out, note, n_bytes):
    """A child whose files cannot grow beyond n_bytes, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))
    child(out, note, None, lambda *_: False, 0)


def full_disk(watch, folder, n_bytes):
    """A run that meets the limit, and one that goes on without it."""
    out = os.path.join(folder, "full.h5")
    notes = notes_of(*forked(limited, out, n_bytes))
    error = [note for note in notes if note.startswith("error")]
    state = on_disk(out)
    left = sorted(os.listdir(folder))
    notes = notes_of(*forked(child, out, None, lambda *_: False, 0))
    watch.check(out, state, notes)
    watch.check_end(out, notes)
    return {"error": None, "message": error[0] if error else "", "cells": len(state), "left": left}


def main():
    with threads(1):                                             # compiles, without starting a thread
        context = cells.Context("warm", sweeps.make_series(networks(), split(), None)[0], SEED, False)
        cells.run_batch("warm", [(0, 0.1, 0), (1, 0.1, 0)], context)
        watch = Watch(SweepResult.load(sys.argv[1]))
    for line in sys.stdin:
        try:
            request = json.loads(line)
            answer = {"kill": kill_and_resume, "full": full_disk}[request.pop("do")](watch, **request)
        except AssertionError as error:
            answer = {"error": str(error)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
