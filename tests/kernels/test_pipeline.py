"""Compiling leaves the process as it was, and rules are the same in kernels as in Python."""

import gc

import numba
import numpy as np
import pytest

import bnnsim.kernels._jit as _jit
import bnnsim.kernels.gradients.lookup_tile as lookup_tile

pytestmark = pytest.mark.skipif(_jit.JIT_OFF, reason="NUMBA_DISABLE_JIT=1: nothing is compiled")


@_jit.inline
def no_code_for_it(x):
    return x.no_such_attribute


def fails(x, start, stop):
    no_code_for_it(x)


def fills(x, start, stop):
    for i in range(start, stop):
        x[i] = i


@pytest.mark.parametrize("was_on", [True, False])
def test_garbage_is_searched_for_as_before(was_on):
    """Behind a kernel that was compiled, and one that could not be."""
    try:
        gc.enable() if was_on else gc.disable()
        numba.njit(pipeline_class=_jit.KernelCompiler)(fills)(np.zeros(3), 0, 3)
        assert gc.isenabled() == was_on
        with pytest.raises(numba.core.errors.TypingError, match="no_such_attribute"):
            _jit.kernel(fails)(np.zeros(3), 0, 3)
        assert gc.isenabled() == was_on
    finally:
        gc.enable()


@_jit.kernel
def sizes(table, panel, n_items):
    return (lookup_tile.step(table), lookup_tile.entry_rows(panel), lookup_tile.entry_size(panel),
            lookup_tile.whole(n_items, table), lookup_tile.table_size(n_items, table))


@pytest.mark.parametrize("kinds", [lookup_tile.FOURS, lookup_tile.FIVES, lookup_tile.FLOAT], ids=["4", "5", "float"])
def test_a_rule_of_types_is_the_same_in_kernels(kinds):
    assert sizes(kinds.table, kinds.panel, 77) == sizes.py_func(kinds.table, kinds.panel, 77)
