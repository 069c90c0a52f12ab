"""Kernels and tasks in threads: every row once, no error lost, no task that waits for itself."""

import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from bnnsim.kernels import (Abandoned, local_executor, slices, split, thread_count, threads, uninterrupted,
                            while_wanted)

pytestmark = pytest.mark.jit_off


@pytest.mark.parametrize("n_items, n_slices", [(0, 3), (1, 3), (2, 3), (7, 3), (3, 1)])
def test_slices_cover_every_row_once(n_items, n_slices):
    parts = slices(n_items, n_slices)
    np.testing.assert_array_equal([n for start, stop in parts for n in range(start, stop)], np.arange(n_items))
    assert len(parts) <= n_slices and (n_items == 0 or all(start < stop for start, stop in parts))


def test_thread_count_is_restored_even_after_an_error():
    before = thread_count()
    with pytest.raises(RuntimeError, match="inside"), threads(before + 3):
        assert thread_count() == before + 3
        raise RuntimeError("inside")
    assert thread_count() == before


def test_an_error_in_any_thread_reaches_the_caller():
    """Otherwise part of an output array would silently be garbage."""
    def third_row_fails(start, stop):
        if start <= 2 < stop:
            raise ValueError("row 2")

    with threads(3), pytest.raises(ValueError, match="row 2"):
        split(third_row_fails, 3)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_tasks_may_run_kernels_themselves(n_threads):
    """A task that split its kernel over the pool that runs it would wait for itself for ever."""
    def negated(n):
        out = np.zeros(5, int)
        split(lambda start, stop: out.__setitem__(slice(start, stop), -n), 5)
        return out

    with threads(n_threads):
        futures = [local_executor().submit(negated, n) for n in range(20)]
        found = [future.result() for future in futures]
        np.testing.assert_array_equal(found, -np.arange(20)[:, None] * np.ones(5, int))


def test_an_error_in_a_task_reaches_the_caller():
    with threads(2), pytest.raises(ZeroDivisionError):
        local_executor().submit(lambda n: 1 // n, 0).result()


def nothing(start, stop):
    pass


def test_work_that_nobody_waits_for_ends_at_its_next_split():
    done = []

    def work(start, stop):
        for i in range(start, stop):
            split(nothing, 1)
            done.append(i)

    with pytest.raises(Abandoned), while_wanted(lambda: len(done) < 3):
        with threads(1):
            split(work, 1000)
    assert done == [0, 1, 2]
    split(work, 5)
    assert len(done) == 8, "and only inside of the block"


def go_on_until_abandoned(start, ended):
    """A part with work for a minute; noted in `ended` where it is told to end."""
    end = time.monotonic() + 60
    try:
        while time.monotonic() < end:
            split(nothing, 1)
    except Abandoned:
        ended.append(start)
        raise


def test_a_part_that_fails_ends_the_others():
    """As Ctrl-C does in the thread that waits."""
    waits, ended = threading.Event(), []

    def work(start, stop):
        if start == 0:
            waits.wait(60)
            raise KeyboardInterrupt
        waits.set()
        go_on_until_abandoned(start, ended)

    with threads(3), pytest.raises(KeyboardInterrupt):
        split(work, 3)
    assert sorted(ended) == [1, 2]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="this system cannot send a signal to a thread")
def test_ctrl_c_while_other_parts_go_on_ends_them():
    ended = []

    def work(start, stop):
        if start == 0:
            return
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        go_on_until_abandoned(start, ended)

    with threads(2), pytest.raises(KeyboardInterrupt):
        split(work, 2)
    assert ended == [1]


INTERRUPTED = """
import threading
start = threading.Thread.start

def start_and_interrupt(thread):
    start(thread)
    if threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt

from bnnsim.commands.executors import chosen_executor
from bnnsim.kernels import split, threads

if __name__ == "__main__":
    threading.Thread.start = start_and_interrupt
    for work in (lambda: split(lambda start, stop: None, 3), lambda: chosen_executor(workers=1).__enter__()):
        try:
            with threads(3):
                work()
            raise SystemExit("nothing was interrupted")
        except KeyboardInterrupt:
            pass
"""


def test_a_signal_while_threads_start_does_not_keep_the_process_from_ending(tmp_path):
    """A pool's thread that was started, but not yet noted by it, is never told to end: the process waited for ever."""
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    done = subprocess.run([sys.executable, tmp_path / "interrupted.py"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_what_is_uninterrupted_ends_before_an_interruption_is_raised(monkeypatch):
    done, wait = [], threading.Event().wait
    calls = iter([KeyboardInterrupt, None])

    def interrupted(futures):
        error = next(calls, None)
        if error is not None:
            raise error
        while not futures[0].done():
            wait(0.001)

    monkeypatch.setattr("bnnsim.kernels._parallel.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        uninterrupted(lambda: done.append(wait(0.01)))
    assert done == [False]
    with pytest.raises(ZeroDivisionError):
        uninterrupted(lambda: 1 // 0)
