"""Kernels and tasks in threads: every row once, no error lost, no task that waits for itself."""

import threading

import numpy as np
import pytest

from bnnsim.kernels import (Abandoned, check_wanted, local_executor, slices, split, thread_count, threads,
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


def test_work_that_nobody_waits_for_ends_at_its_next_check():
    done = []

    def work(start, stop):
        for i in range(start, stop):
            check_wanted()
            done.append(i)

    with pytest.raises(Abandoned), while_wanted(lambda: len(done) < 3):
        with threads(1):
            split(work, 1000)
    assert done == [0, 1, 2]
    split(work, 5)
    assert len(done) == 8, "and only inside of the block"


def test_a_part_that_fails_ends_the_others():
    """As Ctrl-C does in the thread that waits."""
    waits, ended = threading.Event(), []

    def work(start, stop):
        if start == 0:
            waits.wait(60)
            raise KeyboardInterrupt
        waits.set()
        try:
            while True:
                check_wanted()
        except Abandoned:
            ended.append(start)
            raise

    with threads(3), pytest.raises(KeyboardInterrupt):
        split(work, 3)
    assert sorted(ended) == [1, 2]
