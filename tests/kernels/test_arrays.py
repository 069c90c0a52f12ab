"""One array's memory as another, in kernels: NumPy's views, of the arrays that they are for."""

import numba
import numpy as np
import pytest

import bnnsim.kernels._arrays as arrays
from bnnsim.kernels import are_compiled
from bnnsim.kernels._jit import kernel

COMPILED = pytest.mark.skipif(not are_compiled(), reason="NUMBA_DISABLE_JIT=1: NumPy's own")


@kernel
def one_row(array):
    return arrays.flattened(array)


@kernel
def some_rows(array, n_columns):
    return arrays.in_rows(array, n_columns)


@kernel
def as_int32(array):
    return arrays.as_type(array, np.int32)


@kernel
def of_a_part(array, i, value):
    arrays.flattened(array[i])[0] = value


@pytest.mark.parametrize("shape", [(7,), (2, 3), (4, 1, 5), (0, 3)])
def test_a_view_has_numpys_items_of_the_same_memory(shape):
    array = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    for found, wanted in ((one_row(array), array.reshape(-1)), (as_int32(array), array.view(np.int32)),
                          (some_rows(array, shape[-1]), array.reshape(-1, shape[-1]))):
        assert found.dtype == wanted.dtype and (found.strides == wanted.strides or array.size == 0)
        np.testing.assert_array_equal(found, wanted)
        assert np.shares_memory(found, array) == (array.size > 0)


def test_a_view_keeps_its_array_alive():
    wanted = np.random.default_rng(4).normal(size=(50, 20))
    found = one_row(wanted.copy())
    np.testing.assert_array_equal(found, wanted.reshape(-1))


def test_a_part_of_an_array_is_written_in_place():
    array = np.zeros((3, 2, 2))
    of_a_part(array, 1, 5.0)
    assert array[1, 0, 0] == 5.0 and array.sum() == 5.0


@COMPILED
@pytest.mark.parametrize("call, array", [(one_row, np.zeros((4, 6), np.float32)[:, ::2]), (as_int32, np.zeros(4))],
                         ids=["strided", "of another size"])
def test_a_view_refuses_an_array_that_it_would_misread(call, array):
    with pytest.raises(numba.core.errors.NumbaError, match="only a C-contiguous array of items of the same size"):
        call(array)
