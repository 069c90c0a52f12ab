"""Kernels work on two slices here, whatever there are of cores."""

import pytest

from bnnsim import threads


@pytest.fixture(scope="module", autouse=True)
def two_slices():
    with threads(2):
        yield
