"""Tables of steps: against rational arithmetic, the same numbers whatever the math library, nested in their rate."""

import hashlib
import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.special

import bnnsim
import bnnsim.faults.step_tables as step_tables
from bnnsim.faults import PopcountErrors


def cumulative(steps, row, k):
    """2^32 P(step <= k) as the table has it."""
    at = k - int(steps.least[row])
    return 0 if at < 0 else int(steps.tables[row, min(at, steps.tables.shape[1] - 1)])


def exact_sensed(n, a, p):
    """{k: P(Binomial(n - a, p) - Binomial(a, p) <= k)} in fractions."""
    def pmf(m):
        return [math.comb(m, k) * p**k * (1 - p) ** (m - k) for k in range(m + 1)]

    step = dict.fromkeys(range(-n, n + 1), Fraction(0))
    for gained, up in enumerate(pmf(n - a)):
        for lost, down in enumerate(pmf(a)):
            step[gained - lost] += up * down
    total = Fraction(0)
    return {k: (total := total + value) for k, value in step.items()}


@pytest.mark.parametrize(("n", "p"), [(0, 0.3), (1, 0.25), (9, 0.0625), (20, 0.5), (20, 1.0), (20, 0.0), (9, 2.0**-30)])
def test_sensed_sums_are_the_exact_fractions(n, p):
    steps = step_tables.sensed((n, 3), p)
    for a in range(n + 1):
        for k, share in exact_sensed(n, a, Fraction(p)).items():
            assert abs(cumulative(steps, a, k) - 2**32 * share) <= 1
    assert cumulative(steps, n + 1 + 2, 0) == pytest.approx(2**32 * float(exact_sensed(3, 2, Fraction(p))[0]), abs=1)


def test_normal_steps_are_those_of_the_error_function():
    z = np.concatenate([np.linspace(-9, 9, 2001), [0.0]])
    ref = [0.5 * math.erfc(-x / math.sqrt(2)) for x in z]
    np.testing.assert_allclose(step_tables.normal_below(z), ref, atol=3e-15)
    steps = step_tables.normal((0.4, 3.0))
    for row, sigma in enumerate((0.4, 3.0)):
        for k in range(-10, 11):
            ref = 2**31 * math.erfc(-(k + 0.5) / sigma / math.sqrt(2))
            assert abs(cumulative(steps, row, k) - ref) <= 1


def test_wrong_counts_are_as_likely_either_way_however_rare():
    for p in (0.3, 1e-3, 1e-9, 1e-12):
        low, high, whole = step_tables.off_by(1, p).tables[0].tolist()
        assert whole == 2**32 and low == 2**32 - high == int(2**31 * Fraction(p))
    network = bnnsim.PackedNetwork.load(bnnsim.datasets.data_file("fashion_cnn.h5"))
    images = bnnsim.load_embedded()[1].images[:200]
    np.testing.assert_array_equal(PopcountErrors(1e-12).apply(network, 0).scores(images), network.scores(images))


def test_a_guide_leads_to_the_entries_that_a_draw_is_not_below():
    for steps in (step_tables.sensed((60,), 0.2), step_tables.normal((7.0,)), step_tables.off_by(3, 0.01)):
        for table, guide in zip(steps.tables, steps.guide, strict=True):
            ref = np.searchsorted(table, np.arange(256, dtype=np.uint64) << np.uint64(24), side="right")
            np.testing.assert_array_equal(guide, ref)
            assert table[-1] == 2**32, "no draw leads beyond"


DIGESTS = {"sensed": "0e72d3b5b1896904", "normal": "a4c32a0de467afa5"}


@pytest.mark.parametrize("name", DIGESTS)
def test_tables_are_the_same_on_every_cpu_and_with_every_library(name, monkeypatch):
    """Another math library's last digits are not among them: draws have to be the same bytes everywhere."""
    for function in ("ndtr", "gammaln", "xlogy", "xlog1py"):
        own = getattr(scipy.special, function)
        monkeypatch.setattr(scipy.special, function, lambda *x, own=own: own(*x) * (1 + 1e-9))
    make = {"sensed": lambda p: step_tables.sensed.__wrapped__((400, 576), p)[:2],
            "normal": lambda p: step_tables.normal.__wrapped__((400 * p, 576 * p))[:2]}[name]
    digest = hashlib.sha256()
    for p in (1e-4, 0.01, 0.3):
        for part in make(p):
            digest.update(np.ascontiguousarray(part).tobytes())
    assert digest.hexdigest()[:16] == DIGESTS[name]
