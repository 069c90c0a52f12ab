"""Cases of a test of which some stand for all."""

from collections.abc import Iterable

import pytest


def first(n_always: int, cases: Iterable[object]) -> list[object]:
    """All cases for `parametrize`, tuples where it names several arguments: those behind the first n are slow."""
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)),
                         marks=pytest.mark.slow if i >= n_always else ()) for i, case in enumerate(cases)]
