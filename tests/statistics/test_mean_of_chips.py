"""Coverage of the mean's interval where few answers are wrong: simulated, with chips of two kinds of spread."""

import math

import numpy as np
import pytest
from scipy import stats

from bnnsim.statistics import mean_interval
from bnnsim.statistics.mean_of_chips import limits_of_mean

N_IMAGES, N_SIMULATIONS = 10_000, 4000
WRONG = np.geomspace(0.01, 500, 15)                             # answers a chip
SIGMAS = 3 * math.sqrt(0.95 * 0.05 / N_SIMULATIONS)
COARSE = 10                                                      # up to so many in sum, counts are too coarse for 0.97


def binomial(rng, n, wrong):
    return rng.binomial(N_IMAGES, wrong / N_IMAGES, (N_SIMULATIONS, n))


def clumped(rng, n, wrong):
    """Twice the binomial's spread: each chip's chance is drawn from a gamma distribution."""
    return rng.poisson(rng.gamma(wrong / 3, 3.0, (N_SIMULATIONS, n)))


def share_covered(accuracies, truth, limits):
    low, high = limits(accuracies)
    return np.mean((low <= truth + 1e-12) & (truth <= high + 1e-12))


def ours(accuracies):
    return limits_of_mean(accuracies, N_IMAGES, 0.95)


def students(accuracies):
    n = accuracies.shape[1]
    half = stats.t.ppf(0.975, n - 1) * accuracies.std(axis=1, ddof=1) / math.sqrt(n)
    return accuracies.mean(axis=1) - half, accuracies.mean(axis=1) + half


@pytest.mark.parametrize("counts", [binomial, clumped])
@pytest.mark.parametrize("n", [2, 3, 5, 10, 20, 50])
def test_coverage(counts, n):
    rng = np.random.default_rng(n)
    for wrong in WRONG:
        share = share_covered(1 - counts(rng, n, wrong) / N_IMAGES, 1 - wrong / N_IMAGES, ours)
        assert share >= 0.93 - SIGMAS / 2, (wrong, share)
        most = 0.97 if n > 2 else 0.985                          # pairs that are equal by chance, or have all in common
        assert share <= most + SIGMAS / 2 or n * wrong < COARSE, (wrong, share)


def test_coverage_rejects_students_interval():
    """It has no width where chips agree by chance."""
    rng = np.random.default_rng(0)
    shares = [share_covered(1 - binomial(rng, 10, wrong) / N_IMAGES, 1 - wrong / N_IMAGES, students)
              for wrong in (0.05, 0.2)]
    assert min(shares) < 0.5 and max(shares) < 0.9


def test_right_and_wrong_change_places():
    rng = np.random.default_rng(3)
    few = binomial(rng, 5, 0.7) / N_IMAGES
    np.testing.assert_allclose(ours(few)[0], 1 - ours(1 - few)[1], atol=1e-15)


@pytest.mark.parametrize(("accuracies", "low", "high"), [
    ([1.0] * 5, 1 - 6.2 / (5 * 2000), 1), ([0.0] * 2, 0, 6.2 / 4000)])
def test_chips_that_are_all_right_or_all_wrong_say_how_sure_that_is(accuracies, low, high):
    assert mean_interval(accuracies, n_images=2000)[:2] == pytest.approx((low, high))


def test_equal_chips_have_a_width():
    """89.35..89.35 was printed of ten chips."""
    low, high, *_ = mean_interval([0.8935, 0.8935], n_images=2000)
    assert 0.0001 < high - low < 0.01
