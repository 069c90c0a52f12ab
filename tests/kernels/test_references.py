"""Kernels and what they call count no references to what they are given, and leave none behind nor take one away."""

import sys

import numpy as np
import pytest

from bnnsim.kernels._jit import inline, kernel


@inline
def _walk(rows, steps):
    """The argument under a second name across branches of a loop, and its own name for another array."""
    total = 0.0
    for i in range(steps):
        here = rows.reshape(-1, 2)
        if i % 2:
            here = rows
            total += here[0, 0]
        total += here[1, 0]
    rows = rows[1:]
    for i in range(len(rows)):
        total += rows[i].reshape(-1)[0]
    return total


@inline
def _longer(first, second):
    """One of the arguments, given back."""
    return first if len(first) > len(second) else second


@kernel
def _both(pair, out, start, stop):
    """A tuple's arrays, and one that is given back."""
    for i in range(start, stop):
        longer = _longer(pair[0], pair[1])
        out[i] = _walk(longer, 4) + _walk(pair[0], 2)


@pytest.mark.jit_off
def test_arguments_keep_their_references():
    first, second, out = np.arange(6.0).reshape(3, 2), np.arange(4.0).reshape(2, 2), np.zeros(1000)
    before = [sys.getrefcount(array) for array in (first, second, out)]
    _both((first, second), out, 0, len(out))
    assert [sys.getrefcount(array) for array in (first, second, out)] == before
    np.testing.assert_array_equal(out, (4 * 2 + 0 + 6) + (2 * 2 + 0 + 6))
