"""Statistics over chips: 95 % intervals cover a known truth in 93-97 % of simulations, and wrong ones do not.

4,000 simulations each: the share that covers is then known within 0.35 % (one sigma). Seeds are fixed.
"""

import math

import numpy as np
import pytest
from scipy import stats

from bnnsim.statistics.intervals import (mean_interval, paired_difference, population_interval, spread_interval,
                                         t_quantile, wilson)
from bnnsim.statistics.pairs import population_difference
from bnnsim.statistics.stopping import stein_interval, stein_trials, trials_needed
from bnnsim.statistics.tolerated_rate import tolerated

N_SIMULATIONS = 4000
NAN = math.nan


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def coverage(intervals, truth):
    return np.mean([interval.low <= truth <= interval.high for interval in intervals])


def assert_covers(intervals, truth):
    share = coverage(intervals, truth)
    assert 0.93 <= share <= 0.97, f"{100 * share:.1f} % instead of 95 %"


def normal_chips(rng, n, mean=0.9, std=0.01):
    return rng.normal(mean, std, (N_SIMULATIONS, n))


# mean over chips

def z_interval(chips):
    half = 1.96 * chips.std(ddof=1) / math.sqrt(len(chips))
    return mean_interval(chips)._replace(low=chips.mean() - half, high=chips.mean() + half)


@pytest.mark.parametrize("n", [2, 5, 10])
def test_mean_of_normal_chips(rng, n):
    assert_covers(map(mean_interval, normal_chips(rng, n)), 0.9)


def test_mean_of_skewed_chips(rng):
    assert_covers(map(mean_interval, rng.beta(18, 2, (N_SIMULATIONS, 10))), 0.9)


def test_coverage_rejects_normal_quantiles_of_few_chips(rng):
    """1.96 sigma over 5 chips is what a hasty paper does."""
    with pytest.raises(AssertionError, match="8.* % instead of 95"):
        assert_covers(map(z_interval, normal_chips(rng, 5)), 0.9)


@pytest.mark.tiny
def test_mean_against_scipy(rng):
    """Small spreads far from 0 and 1: Student's."""
    chips = rng.normal(0.8, 0.0002, 7)
    low, high = stats.t.interval(0.9, 6, chips.mean(), stats.sem(chips))
    assert mean_interval(np.append(chips, NAN), 0.9) == pytest.approx((low, high, chips.mean(), 7), abs=1e-7)
    assert mean_interval(chips, 0.9).high - chips.mean() == pytest.approx(high - chips.mean(), rel=1e-3)


def test_mean_at_the_edges():
    assert mean_interval([0.7]) == (0, 1, 0.7, 1)                      # not a width of 0
    assert mean_interval([0.75, NAN, 0.75]) == (0.75, 0.75, 0.75, 2)
    low, high, mean, n = mean_interval([0.0, 1.0])
    assert low < 0.01 and high > 0.99 and (mean, n) == (0.5, 2)


@pytest.mark.parametrize("level, df", [(0.95, 1), (0.5, 9), (0.99, 7.3), (0.95, math.inf)])
def test_quantiles_against_scipy(level, df):
    assert t_quantile(level, df) == pytest.approx(stats.t.ppf((1 + level) / 2, df), rel=1e-12)


# mean over chips and images

def right_answers(rng, n_chips, n_images, sure):
    """(T, N) right or wrong: P = an image's share + a chip's shift; `sure`: chips agree on most images."""
    image = rng.beta(9, 1.5, n_images) * 0.8 + 0.1                     # mean 0.8 * 6 / 7 + 0.1
    shift = rng.uniform(-0.06, 0.06, (n_chips, 1))
    return rng.random((1, n_images) if sure else (n_chips, n_images)) < image + shift


TRUTH = 0.8 * 6 / 7 + 0.1


def population_intervals(rng, n_chips, n_images, sure, by_image):
    for _ in range(N_SIMULATIONS):
        right = right_answers(rng, n_chips, n_images, sure)
        yield population_interval(right.mean(axis=1), n_images, 0.95, right.sum(axis=0) if by_image else None)


@pytest.mark.parametrize("n_chips, n_images, sure, by_image", [
    (10, 60, False, True), (3, 200, False, True), (10, 60, True, True), (10, 60, True, False)])
def test_population(rng, n_chips, n_images, sure, by_image):
    assert_covers(population_intervals(rng, n_chips, n_images, sure, by_image), TRUTH)


def test_population_without_counts_by_image_is_never_too_narrow(rng):
    intervals = list(population_intervals(rng, 10, 60, False, False))
    assert coverage(intervals, TRUTH) > 0.96
    answers = right_answers(rng, 10, 60, False)
    low, high, *_ = population_interval(answers.mean(axis=1), 60, 0.95, answers.sum(axis=0))
    wide = population_interval(answers.mean(axis=1), 60)
    assert wide.high - wide.low > high - low


def test_population_coverage_rejects_an_interval_over_chips_alone(rng):
    """More chips do not tell how other images would do."""
    chips = (mean_interval(right_answers(rng, 10, 60, True).mean(axis=1)) for _ in range(N_SIMULATIONS))
    with pytest.raises(AssertionError, match=" % instead of 95"):
        assert_covers(chips, TRUTH)


def test_population_variance_is_that_of_a_two_way_layout(rng):
    """Against mean squares summed cell by cell; wide tests see no error of some percent."""
    right = right_answers(rng, 6, 40, False)
    t, n, mean = 6, 40, right.mean()
    of_image, of_chip = right.mean(axis=0), right.mean(axis=1)
    ms_image = sum((p - mean) ** 2 for p in of_image) / (n - 1)
    ms_chip = sum((p - mean) ** 2 for p in of_chip) / (t - 1)
    ms_both = sum((right[i, j] - of_chip[i] - of_image[j] + mean) ** 2 for i in range(t) for j in range(n))
    ms_both /= (n - 1) * (t - 1)
    parts = ms_image / n, ms_chip / t, ms_both / (n * t)
    variance = parts[0] + parts[1] - parts[2]
    freedom = n - 1, t - 1, (n - 1) * (t - 1)
    df = variance**2 / sum(part**2 / free for part, free in zip(parts, freedom))
    found = population_interval(of_chip, n, 0.95, right.sum(axis=0))
    size, q = mean * (1 - mean) / variance, stats.t.ppf(0.975, df)
    for end in found.low, found.high:              # Wilson's ends solve (p - mean)^2 = q^2 p (1 - p) / size
        assert (end - mean) ** 2 == pytest.approx(q**2 * end * (1 - end) / size, rel=1e-9)


def test_population_at_the_edges():
    assert population_interval([0.7], 100) == (0, 1, 0.7, 1)
    all_right = population_interval([1.0, 1.0, NAN], 100)
    assert all_right[1:] == (1, 1, 2) and 0.95 < all_right.low < 0.97  # not sure of other images
    all_wrong = population_interval([0.0, 0.0], 100, 0.95, np.zeros(100, int))
    assert all_wrong == (0, pytest.approx(1 - all_right.low), 0, 2)


# spread over chips

def test_spread_of_normal_chips(rng):
    assert_covers(map(spread_interval, normal_chips(rng, 10)), 0.01)


def test_spread_against_scipy():
    chips = [0.90, 0.92, 0.91, 0.89]
    low, high = np.sqrt(3 * np.var(chips, ddof=1) / stats.chi2.ppf([0.95, 0.05], 3))
    assert spread_interval(chips, 0.9) == pytest.approx((low, high, np.std(chips, ddof=1), 4))
    single = spread_interval([0.5])
    assert (single.low, single.high, single.n) == (0, 0.5, 1) and math.isnan(single.std)
    assert spread_interval([0.0, 1.0]).high == 0.5


# how many chips

@pytest.mark.parametrize("width", [0.5, 0.05, 0.02, 0.003])
def test_trials_needed_is_the_first_number_that_does(rng, width):
    pilot = rng.normal(0.8, 0.01, 6)

    def reached(n):
        return 2 * stats.t.ppf(0.975, n - 1) * pilot.std(ddof=1) / math.sqrt(n)
    n = trials_needed(pilot, width)
    assert reached(n) <= width and (n == 2 or reached(n - 1) > width)


def test_trials_needed_ends_at_extremes():
    assert trials_needed([0.9, 0.9], 1e-6) == 2
    assert 1e12 < trials_needed([0.0, 1.0], 1e-6) < 1e13


def stein_runs(rng, width, cap):
    for chips in normal_chips(rng, 400, 0.8):
        n = min(stein_trials(chips[:8], width), cap)
        yield chips[:n]


@pytest.mark.parametrize("width, cap", [(0.01, 400), (0.01, 15), (0.05, 400)])
def test_stein_covers_and_keeps_its_width(rng, width, cap):
    intervals = [stein_interval(chips, 8) for chips in stein_runs(rng, width, cap)]
    assert_covers(intervals, 0.8)
    for low, high, _, n in intervals:
        assert n == cap or high - low <= width * (1 + 1e-9)
    assert len({n for *_, n in intervals}) > 4 or width == 0.05         # the pilots do differ


def stopped_early(chips, width):
    """Look after each chip, stop at the first interval that is small enough."""
    for n in range(3, len(chips)):
        interval = mean_interval(chips[:n])
        if interval.high - interval.low <= width:
            return interval


def test_coverage_rejects_stopping_at_the_first_small_interval(rng):
    with pytest.raises(AssertionError, match=" % instead of 95"):
        assert_covers((stopped_early(chips, 0.015) for chips in normal_chips(rng, 100)), 0.9)


def test_stein_against_its_formula():
    pilot = [0.90, 0.92, 0.91, 0.89]
    t = stats.t.ppf(0.975, 3)
    assert stein_trials(pilot, 0.01) == math.ceil((2 * t * np.std(pilot, ddof=1) / 0.01) ** 2)
    assert stein_trials(pilot, 0.5) == 4
    low, high, mean, n = stein_interval([*pilot, 0.1, NAN, 0.2], 4)    # the spread is the pilot's alone
    assert (mean, n) == (pytest.approx(3.92 / 6), 6)
    assert (high - low) / 2 == pytest.approx(t * np.std(pilot, ddof=1) / math.sqrt(6))


# two networks

def two_networks(rng, shared, n=10):
    common = rng.normal(0, 0.01 * shared, (N_SIMULATIONS, n))
    own = rng.normal(0, 0.01 * math.sqrt(1 - shared**2), (2, N_SIMULATIONS, n))
    return 0.9 + common + own[0], 0.895 + common + own[1]


@pytest.mark.parametrize("shared", [0, 0.9])
def test_difference(rng, shared):
    found = [paired_difference(a, b) for a, b in zip(*two_networks(rng, shared))]
    assert_covers([d.paired for d in found], 0.005)
    assert_covers([getattr(d, d.best) for d in found], 0.005)
    assert np.mean([d.best == "paired" for d in found]) > 0.99 or shared == 0
    if shared == 0:
        assert_covers([d.unpaired for d in found], 0.005)


def test_pairing_by_the_wrong_chips_is_wider(rng):
    a, b = two_networks(rng, 0.9, 50)
    right, wrong = paired_difference(a[0], b[0]).paired, paired_difference(a[0], b[1]).paired
    assert wrong.high - wrong.low > 1.5 * (right.high - right.low)


@pytest.mark.tiny
def test_difference_against_scipy(rng):
    a, b = rng.normal(0.9, 0.01, 8), rng.normal(0.8, 0.03, 8)
    found = paired_difference([*a, NAN, 0.5], [*b, 0.5, NAN], 0.9)
    paired = stats.ttest_rel(a, b).confidence_interval(0.9)
    welch = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.9)
    assert found.paired[:2] == pytest.approx(tuple(paired))
    assert found.unpaired[:2] == pytest.approx(tuple(welch))
    assert found.paired.n == found.unpaired.n == 8
    assert found.best == ("paired" if np.diff(paired) < np.diff(welch) else "unpaired")
    assert paired_difference([0.5], [0.7]).paired == (-1, 1, pytest.approx(-0.2), 1)
    assert paired_difference([0.5, 0.5], [0.5, 0.5]).unpaired == (0, 0, 0, 2)


@pytest.mark.parametrize("found", [
    mean_interval(np.array([0.9, 0.8])), mean_interval(np.array([0.9])), population_interval(np.array([0.9, 0.8]), 50),
    population_interval(np.array([0.75, 0.5]), 4, 0.95, np.array([2, 1, 0, 2])), spread_interval(np.array([0.9, 0.8])),
    *paired_difference(np.array([0.9, 0.8]), np.array([0.8, 0.8]))[:2], stein_interval(np.array([0.9, 0.8, 0.7]), 2),
    *population_difference(np.eye(3, 4) > 0, np.eye(3, 4, 1) > 0)[:2], wilson(np.int64(7), np.int64(10)),
    tolerated(np.array([0.1, 0.2]), np.array([[0.9, 0.8], [0.7, 0.6]]), np.float64(0.9), np.float64(0.1)),
    (stein_trials(np.array([0.9, 0.8]), np.float64(0.5)), trials_needed(np.array([0.9, 0.8]), np.float64(0.5)))])
def test_what_comes_out_is_plain_python(found):
    """NumPy's scalars print as np.float64(0.9), and json refuses them."""
    assert {type(value) for value in found} <= {float, int, str}


@pytest.mark.parametrize("call, error, message", [
    (lambda: mean_interval([]), ValueError, "at least one chip, got"),
    (lambda: wilson(11, 10), ValueError, r"n_right must be in \[0, 10\], got 11"),
    (lambda: wilson(0.9, 10), TypeError, "n_right must be an integer, got 0.9"),
    (lambda: wilson(0, -1), ValueError, "n_images must be >= 0, got -1"),
    (lambda: mean_interval([NAN, NAN]), ValueError, "at least one chip that ran, got NaN 2 times"),
    (lambda: mean_interval([[0.9, 0.8]]), ValueError, "accuracies must be 1-dimensional.*got"),
    (lambda: mean_interval([0.9, 91.2]), ValueError, r"shares in \[0, 1\] \(not percent.*got 91.2"),
    (lambda: mean_interval([0.9, -math.inf]), ValueError, "got -inf"),
    (lambda: mean_interval(["0.9"]), TypeError, "accuracies must be numbers"),
    (lambda: mean_interval([0.9, 0.8], 0), ValueError, "level must lie between 0 and 1"),
    (lambda: mean_interval([0.9, 0.8], 1.0), ValueError, "level must lie between 0 and 1"),
    (lambda: mean_interval([0.9, 0.8], 95), ValueError, "level must be a probability"),
    (lambda: spread_interval([0.9, 0.8], NAN), ValueError, "level must be"),
    (lambda: population_interval([0.9], 1), ValueError, "n_images must be >= 2"),
    (lambda: population_interval([0.5], 4, 0.95, [1, 1, 0]), ValueError, r"must have shape \(4,\)"),
    (lambda: population_interval([0.5], 2, 0.95, [2, 0]), ValueError, r"in 0\.\.1, the chips that ran"),
    (lambda: population_interval([0.5], 2, 0.95, [1, 1]), ValueError, "answers as accuracies, 1, got 2"),
    (lambda: population_interval([0.5], 2, 0.95, [1.0, 0.0]), TypeError, "right_by_image must be integers"),
    (lambda: trials_needed([0.9, NAN], 0.01), ValueError, "at least 2 chips"),
    (lambda: trials_needed([0.9, 0.8], 0), ValueError, "width must be >= 1e-06, got 0"),
    (lambda: stein_trials([0.9, 0.8], -0.1), ValueError, "width must be >= 1e-06"),
    (lambda: stein_trials([0.9, NAN, 0.8], 0.1), ValueError, "the pilot's accuracies must be finite"),
    (lambda: stein_trials([0.9], 0.1), ValueError, "at least 2 chips"),
    (lambda: stein_interval([0.9, 0.8], 3), ValueError, r"n_pilot must be in \[2, 2\], got 3"),
    (lambda: stein_interval([0.9, NAN, 0.8], 2), ValueError, "the pilot's accuracies must be finite"),
    (lambda: paired_difference([0.9, 0.8], [0.9]), ValueError, "of the same chips, .* got 2 and 1"),
    (lambda: paired_difference([0.9, NAN], [NAN, 0.8]), ValueError, "at least one chip that ran for both"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
