"""The largest tolerated error rate: coverage of a known truth, edges, the isotonic fit against pooling."""

import math

import numpy as np
import pytest
import slow_cases
import scipy.special

import bnnsim.statistics.tolerated_rate as tolerated_rate
from bnnsim.statistics.tolerated_rate import tolerated

N_SIMULATIONS = 500         # sigma of a share of 95 %: 1 %
NAN = math.nan
RATES = np.logspace(-4, -1, 16)
CLEAN, DROP, SHIFT = 0.9, 0.05, 0.08


@pytest.fixture
def rng():
    return np.random.default_rng(11)


# coverage

def curves(rng, n_chips, rates=RATES):
    """Logistic in log10(rate), each chip's shifted by a share of a decade, and noise of each cell: (R, T)."""
    shift = rng.normal(0, SHIFT, n_chips)
    steep = 4 * (np.log10(rates)[:, None] - shift + 2)
    return CLEAN - 0.8 / (1 + np.exp(-steep)) + rng.normal(0, 0.004, (len(rates), n_chips))


def true_rate():
    """Where the mean over all shifts, known at RATES and straight between them, is DROP below CLEAN."""
    z = np.linspace(-6, 6, 2001)
    weight = np.exp(-z**2 / 2) / np.exp(-z**2 / 2).sum()
    drops = [(weight * 0.8 / (1 + np.exp(-4 * (log - SHIFT * z + 2)))).sum() for log in np.log10(RATES)]
    return 10 ** np.interp(DROP, drops, np.log10(RATES))


def covered(rng, n_chips, n_simulations=N_SIMULATIONS):
    truth, found = true_rate(), 0
    for _ in range(n_simulations):
        result = tolerated(RATES, curves(rng, n_chips), CLEAN, DROP)
        found += result.low <= truth <= result.high
    return found / n_simulations


@pytest.mark.parametrize("n_chips", slow_cases.first(1, [3, 2, 30]))
def test_coverage(rng, n_chips):
    assert 0.93 <= covered(rng, n_chips) <= (0.97 if n_chips > 2 else 1)


def test_coverage_rejects_normal_quantiles(rng, monkeypatch):
    """Three chips with z in place of t, as a percentile bootstrap of them has it."""
    monkeypatch.setattr(scipy.special, "stdtrit", lambda df, p: scipy.special.ndtri(p) + 0 * df)
    assert covered(rng, 3) < 0.9


def test_estimate_is_near_the_truth(rng):
    many = tolerated(RATES, curves(rng, 3000), CLEAN, DROP)
    assert many.rate == pytest.approx(true_rate(), rel=0.03) and many.n == 3000
    assert many.low < many.rate < many.high < 1.1 * many.low and many.where == "inside"


# the estimate

def test_reads_a_line_in_log_rate():
    """From a drop of 0.02 at 0.001 to 0.06 at 0.01, 0.03 is a quarter of a decade on."""
    two_chips = np.repeat([[0.89], [0.88], [0.84]], 2, axis=1)
    found = tolerated([1e-4, 1e-3, 1e-2], two_chips, 0.9, 0.03)
    rate = pytest.approx(10**-2.75)
    assert found[2:5] == (rate, 2, "inside") and found.step == pytest.approx(0.04)
    step = 10 ** (1 / tolerated_rate.POINTS)
    assert found.rate / step <= found.low <= found.high <= found.rate * step * (1 + 1e-9)       # chips that agree


def test_a_drop_met_exactly_is_tolerated():
    """In float64 0.9 - 0.89 is more than 0.01."""
    found = tolerated([1e-3, 1e-2], [[0.89], [0.8]], 0.9, 0.01)
    assert found.rate == pytest.approx(1e-3) and found.step == pytest.approx(0.09), "to the rate behind it"
    assert tolerated([1e-3, 1e-2], [[0.9], [0.89]], 0.9, 0.01).where == "at least"


def test_a_dip_by_chance_does_not_end_the_tolerated_range():
    """The pool of 0.86 and 0.90 is 0.88: not yet 0.03 below; a first crossing would stop at the dip."""
    accuracies = np.repeat([[0.90], [0.86], [0.90], [0.80]], 3, axis=1)
    found = tolerated([1e-4, 1e-3, 1e-2, 1e-1], accuracies, 0.9, 0.03)
    assert found.rate == pytest.approx(10 ** (-2 + 0.01 / 0.08))


def test_edges(rng):
    noise = rng.normal(0, 0.002, (2, 8))
    never = tolerated([1e-3, 1e-2], 0.89 + noise, 0.9, 0.05)
    assert never[:5] == (1e-2, math.inf, 1e-2, 8, "at least") and never.step == 0
    below = tolerated([1e-3, 1e-2], 0.7 + noise, 0.9, 0.05)
    assert below[:5] == (0, 1e-3, 1e-3, 8, "below") and below.step == 0
    unsure = tolerated([1e-3, 1e-2], 0.85 + 0 * noise + np.array([[0.03], [-0.001]]) + 10 * noise, 0.9, 0.05)
    assert 0 <= unsure.low < 1e-2 and unsure.high == math.inf
    assert tolerated([1e-3, 1e-2], [[0.89], [0.8]], 0.9, 0.05)[:2] == (0, math.inf)        # one chip


def test_rate_zero_is_passed_over(rng):
    accuracies = curves(rng, 6)
    with_zero = tolerated([0, *RATES], np.vstack([np.full(6, CLEAN), accuracies]), CLEAN, DROP)
    assert with_zero == tolerated(RATES, accuracies, CLEAN, DROP)


def test_chips_missing_at_some_rates(rng):
    """A stopping rule runs more chips where they spread more; they all count."""
    accuracies = curves(rng, 40)
    accuracies[:5, 10:] = NAN
    found = tolerated(RATES, accuracies, CLEAN, DROP)
    ten = tolerated(RATES, accuracies[:, :10], CLEAN, DROP)
    assert found.n == 40 and found.high / found.low < ten.high / ten.low
    no_chips = np.hstack([accuracies, np.full((len(RATES), 1), NAN)])
    assert tolerated(RATES, no_chips, CLEAN, DROP).n == 40
    apart = np.where(np.eye(20, dtype=bool).repeat(2, axis=1), 0.89, NAN)     # two chips for each rate alone
    assert tolerated(np.logspace(-3, -1, 20), apart, 0.9, 0.05)[:2] == (0, math.inf)


def test_a_higher_level_is_wider(rng):
    accuracies = curves(rng, 10)
    first = tolerated(RATES, accuracies, CLEAN, DROP)
    wider = tolerated(RATES, accuracies, CLEAN, DROP, level=0.99)
    assert wider.low < first.low < first.high < wider.high


def pooled(values):
    """Pool adjacent violators, as on paper."""
    blocks = []
    for value in values:
        blocks.append([value])
        while len(blocks) > 1 and np.mean(blocks[-2]) >= np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    return [np.mean(block) for block in blocks for _ in block]


@pytest.mark.parametrize("n_rates", [1, 2, 7])
def test_isotonic_fit_against_pooling(rng, n_rates):
    rows = rng.normal(0, 1, (50, n_rates)) + 0.3 * np.arange(n_rates)
    np.testing.assert_allclose(tolerated_rate._isotonic(rows), [pooled(row) for row in rows], atol=1e-12)


ROWS = [[0.9, 0.9], [0.8, 0.8]]


@pytest.mark.parametrize("call, error, message", [
    (lambda: tolerated([1e-2, 1e-3], ROWS, 0.9), ValueError, "rates must be ascending"),
    (lambda: tolerated([1e-2, 1e-2], ROWS, 0.9), ValueError, "rates must be ascending"),
    (lambda: tolerated([1e-2, 1.5], ROWS, 0.9), ValueError, r"rates\[1\] must be a probability"),
    (lambda: tolerated([1e-2], ROWS, 0.9), ValueError, r"must have shape \(1 rates, chips\), got \(2, 2\)"),
    (lambda: tolerated([1e-3, 1e-2], [0.9, 0.8], 0.9), ValueError, "accuracies must be 2-dimensional"),
    (lambda: tolerated([1e-3, 1e-2], [[], []], 0.9), ValueError, "at least one chip"),
    (lambda: tolerated([1e-3, 1e-2], [[0.9], [NAN]], 0.9), ValueError, "ran at each rate, got none at 0.01"),
    (lambda: tolerated([0], [[0.9]], 0.9), ValueError, "at least one above 0"),
    (lambda: tolerated([1e-3, 1e-2], ROWS, 90), ValueError, "clean must be a probability"),
    (lambda: tolerated([1e-3, 1e-2], ROWS, 0.9, -0.01), ValueError, "drop must be a probability"),
    (lambda: tolerated([1e-3, 1e-2], ROWS, 0.9, 0.01, 1), ValueError, "level must lie between"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
