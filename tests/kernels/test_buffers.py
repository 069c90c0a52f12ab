"""Memory that is used again: never while an array of it is alive, which would silently change results."""

import threading

import numpy as np
import pytest

from bnnsim.kernels import empty, recycling
from bnnsim.kernels._buffers import LEAST_BYTES

pytestmark = pytest.mark.jit_off
SHAPE = (2, LEAST_BYTES // 4)


def address(array):
    return array.ctypes.data


def test_freed_memory_is_used_again_and_live_memory_is_not():
    with recycling():
        first, second = empty(SHAPE, np.float32), empty(SHAPE, np.float32)
        used = address(first), address(second)
        view = first.reshape(-1)[5:].view(np.int32)
        del first
        third = empty(SHAPE, np.int32)
        assert len({*used, address(third)}) == 3, "a view of the first is alive"
        del view
        assert address(empty(SHAPE, np.uint64)[:1]) not in used, "twice the bytes"
        assert address(empty(SHAPE, np.int32)) == used[0]
        assert third.shape == SHAPE and third.dtype == np.int32 and address(third) % 64 == 0


def test_outside_and_for_small_arrays_it_is_numpy_s_empty():
    assert empty(SHAPE, np.float32).base is None
    with recycling():
        assert empty((3, 4), np.int8).base is None and empty((0,), np.float64).shape == (0,)
        kept = empty(SHAPE, np.float32)
    kept[:] = 7
    with recycling():
        assert address(empty(SHAPE, np.float32)) != address(kept)
    assert (kept == 7).all()


def test_threads_do_not_get_the_same_memory():
    """Each may train a network of its own."""
    found = []

    def work(value):
        with recycling():
            for _ in range(50):
                array = empty(SHAPE, np.float32)
                array[:] = value
                found.append((array == value).all())

    workers = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(found) == 200 and all(found)
