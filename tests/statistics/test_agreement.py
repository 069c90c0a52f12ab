"""Chips that agree by chance: coverage where many answers are wrong on every chip, and few differ between chips."""

import math

import numpy as np
import pytest
from scipy import stats
import slow_cases

from bnnsim.statistics import (mean_interval, paired_difference, population_difference, population_interval,
                               stein_interval, stein_trials, tolerated)
from bnnsim.statistics.agreement import reach_of_mean
from bnnsim.statistics.intervals import reach_of_difference
from bnnsim.statistics.mean_of_chips import limits_of_mean

N_IMAGES, N_SIMULATIONS = 10_000, 4000
SIGMAS = 3 * math.sqrt(0.95 * 0.05 / N_SIMULATIONS)
MOVES = np.geomspace(0.001, 500, 14)                            # answers that change, a chip
MANY = [(100, 0.975), (50, 0.98)]                               # in sum over chips: most that may be covered
N_CHIPS = [2, 3, 5, 10, 20, 50]


def independent(rng, n, moves):
    return rng.poisson(moves, (N_SIMULATIONS, n))


def clumped(rng, n, moves):
    """Twice that spread: each chip's mean is drawn from a gamma distribution."""
    return rng.poisson(rng.gamma(moves / 3, 3.0, (N_SIMULATIONS, n)))


def moved(counts, rng, n, moves, share_up):
    """Counts that move up and down, and their mean."""
    up, down = counts(rng, n, moves * share_up), counts(rng, n, moves * (1 - share_up))
    return up - down, (2 * share_up - 1) * moves


def covered(low, high, truth):
    return np.mean((low <= truth + 1e-12) & (truth <= high + 1e-12))


def assert_covers(share, n, moves):
    assert share >= 0.93 - SIGMAS / 2, (moves, share)
    assert share <= next((most for least, most in MANY if n * moves >= least), 1) + SIGMAS / 2, (moves, share)


def students(accuracies):
    n = accuracies.shape[1]
    half = stats.t.ppf(0.975, n - 1) * accuracies.std(axis=1, ddof=1) / math.sqrt(n)
    return accuracies.mean(axis=1) - half, accuracies.mean(axis=1) + half


@pytest.mark.parametrize("counts", [independent, clumped])
@pytest.mark.parametrize("n", N_CHIPS)
def test_mean_with_wrong_answers_that_all_chips_have_in_common(counts, n):
    rng = np.random.default_rng(n)
    for moves in MOVES:
        for share_up in (0.0, 0.5):
            x, mean = moved(counts, rng, n, moves, share_up)
            low, high = limits_of_mean((9000 + x) / N_IMAGES, N_IMAGES, 0.95)
            assert_covers(covered(low, high, (9000 + mean) / N_IMAGES), n, moves)


@pytest.mark.parametrize(("common", "least"), [(1, 0.91), (10, 0.91), (100, 0.93)])
def test_mean_with_few_wrong_answers_in_common(common, least):
    """A few in common cannot be told from independent ones that came out alike."""
    rng = np.random.default_rng(common)
    for n in (2, 5, 20):
        for moves in MOVES[::2]:
            low, high = limits_of_mean(1 - (common + clumped(rng, n, moves)) / N_IMAGES, N_IMAGES, 0.95)
            assert covered(low, high, 1 - (common + moves) / N_IMAGES) >= least - SIGMAS / 2, (n, moves)


def test_coverage_rejects_students_interval():
    rng = np.random.default_rng(0)
    for moves, most in ((0.05, 0.5), (0.2, 0.9)):
        x, mean = moved(independent, rng, 10, moves, 0.0)
        assert covered(*students((9000 + x) / N_IMAGES), (9000 + mean) / N_IMAGES) < most


@pytest.mark.parametrize("counts", [independent, clumped])
@pytest.mark.parametrize("n", [2, 5, 20])
def test_differences(counts, n):
    """Of counts that move both on both networks: paired, and unpaired from the two networks' own."""
    rng = np.random.default_rng(n)
    for moves in MOVES[::2]:
        (x, of_x), (y, of_y) = moved(counts, rng, n, moves, 0.0), moved(counts, rng, n, 3 * moves, 0.0)
        truth, mean = of_x - of_y, (x - y).mean(axis=1)
        low, high = students(x - y)
        below, above = reach_of_mean(x - y, 0.95)
        assert_covers(covered(np.minimum(low, mean - below), np.maximum(high, mean + above), truth), n, 4 * moves)
        below, above = zip(reach_of_mean(x, 0.95), reach_of_mean(y, 0.95))
        low, high = mean - np.hypot(below[0], above[1]), mean + np.hypot(above[0], below[1])
        se = np.sqrt((x.var(axis=1, ddof=1) + y.var(axis=1, ddof=1)) / n)
        half = stats.t.ppf(0.975, 2 * n - 2) * se                              # no less than Welch's
        assert covered(np.minimum(low, mean - half), np.maximum(high, mean + half), truth) >= 0.93 - SIGMAS / 2


def test_difference_in_its_own_words():
    a, b = np.full(10, 0.9), np.full(10, 0.89)
    assert paired_difference(a, b).paired[:2] == pytest.approx((0.01, 0.01))           # N is not known
    found = paired_difference(a, b, n_images=1000)
    assert found.paired == (pytest.approx(0.01 - 7e-4), pytest.approx(0.01 + 7e-4), pytest.approx(0.01), 10)
    assert found.unpaired[:2] == pytest.approx((0.01 - 7e-4 * math.sqrt(2), 0.01 + 7e-4 * math.sqrt(2)))
    assert found.best == "paired"
    assert reach_of_difference((3, 1), (2, 4)) == (5, pytest.approx(math.sqrt(5)))
    assert paired_difference([1.0] * 3, [0.0] * 3, n_images=5).paired[1] == 1          # within [-1, 1]
    wide, known = (paired_difference([0.5, 0.7, 0.9], [0.4, 0.8, 0.1], n_images=n) for n in (None, 10**6))
    assert known.paired[:2] == pytest.approx(wide.paired[:2], abs=1e-4)
    assert paired_difference([0.5], [0.7], n_images=10).paired[:2] == (-1, 1)


@pytest.mark.parametrize("share_up", slow_cases.first(1, [0.0, 0.5]))
def test_stein_after_a_pilot_that_agrees_by_chance(share_up):
    rng, width, cap = np.random.default_rng(4), 2e-4, 80
    for moves in (0.02, 0.2, 1.0):
        x, mean = moved(independent, rng, cap, moves, share_up)
        chips, found, naive = (9000 + x[:800]) / N_IMAGES, [], []
        for row in chips:
            n = min(stein_trials(row[:8], width, n_images=N_IMAGES), cap)
            found.append(stein_interval(row[:n], 8, n_images=N_IMAGES))
            assert 0 < found[-1].high - found[-1].low <= width * (1 + 1e-9) or n == cap
            naive.append(stein_interval(row[:min(stein_trials(row[:8], width), cap)], 8))
        shares = [np.mean([low <= (9000 + mean) / N_IMAGES <= high for low, high, *_ in kind])
                  for kind in (found, naive)]
        assert shares[0] >= 0.93 - SIGMAS, (moves, shares)
        assert shares[1] < 0.93 or share_up == 0.5 or moves == 1.0, (moves, shares)     # what it did before


def test_stein_without_counts_is_as_it_was():
    assert stein_trials([0.9] * 8, 1e-6) == 8 and stein_interval([0.9] * 8, 8)[:2] == (0.9, 0.9)
    assert stein_trials([0.9] * 8, 1e-3, n_images=1000) == math.ceil(8 * (2 * 7 / 8) ** 2)
    assert stein_trials([0.9, 0.8], 0.5, n_images=10**6) == stein_trials([0.9, 0.8], 0.5)


def test_images_that_agree_by_chance():
    """Two networks that differ on few images drawn of many: both, and t from the images alone, which is too sure."""
    rng, n_images, share, hits, naive = np.random.default_rng(5), 1000, 1 / 1000, 0, 0
    for _ in range(1000):
        a = np.repeat(rng.random((1, n_images)) < 0.9, 3, axis=0)
        b = a ^ (a & (rng.random(n_images) < share))
        found, d = population_difference(a, b).paired, (a[0] * 1.0 - b[0])
        half = 1.96 * d.std(ddof=1) / math.sqrt(n_images)
        hits += found.low <= 0.9 * share <= found.high
        naive += abs(d.mean() - 0.9 * share) <= half
    assert hits >= 970 and naive < 700                                          # one image: coarse, and wide


def test_population_interval_has_not_this_fault():
    """The images' part of its variance is mean (1 - mean) / N, however the chips agree."""
    rng, truth, hits = np.random.default_rng(6), 0.9 - 0.2 / 500, 0
    for _ in range(1000):
        common = rng.random((1, 500)) < 0.9
        right = common & ~(rng.random((5, 500)) < 0.2 / 500 / 0.9)
        low, high, *_ = population_interval(right.mean(axis=1), 500, 0.95, right.sum(axis=0))
        hits += low <= truth <= high
    assert 0.93 <= hits / 1000 <= 0.97


def test_tolerated_rates_of_chips_that_agree():
    """A drop of one answer in ten thousand, which ten chips do not show: it was said to be tolerated for sure."""
    chips = np.full((2, 10), 0.9)
    assert tolerated([1e-8, 1e-7], chips, 0.9, 5e-5)[:2] == (1e-7, math.inf)
    assert tolerated([1e-8, 1e-7], chips, 0.9, 5e-5, n_images=N_IMAGES)[:2] == (0, math.inf)
    assert tolerated([1e-8, 1e-7], chips, 0.9, 1e-4, n_images=N_IMAGES)[:2] == (1e-7, math.inf)


def test_right_and_wrong_up_and_down_change_places():
    x = np.random.default_rng(3).poisson(0.7, (50, 6)).astype(float)
    below, above = reach_of_mean(x, 0.95)
    np.testing.assert_allclose(reach_of_mean(-x, 0.95), (above, below), atol=1e-12)
    np.testing.assert_allclose(reach_of_mean(x + 9000, 0.95), (below, above), atol=1e-9)


def test_far_more_moves_than_chips_are_students():
    chips = np.random.default_rng(2).normal(9000, 100, (1, 10)) / N_IMAGES
    low, high, *_ = mean_interval(chips[0], n_images=N_IMAGES)
    np.testing.assert_allclose([low, high], np.ravel(students(chips)), atol=5e-4)


def test_a_campaign_says_so():
    """At 1e-9 no bit flips and all chips agree by chance; at 0 they are all alike, and are known to be."""
    import bnnsim
    from bnnsim.datasets.find import load_embedded
    from bnnsim.datasets.shipped import data_file

    networks = {name: bnnsim.PackedNetwork.load(data_file(f"{name}.h5"))
                for name in ("fashion_fcnn", "fashion_fcnn_flip")}
    sweep = dict(rates=[0.0, 1e-9], trials=3, rng=0, progress=False)
    for stopping in ({}, {"ci_width": 0.04, "max_trials": 9}):
        found = bnnsim.sweep(networks, load_embedded()[1][:200], **sweep, **stopping)
        assert np.all(np.ptp(found.accuracy[:, :, :3], axis=2) == 0)
        clean, agreeing = np.ptp(found.interval(), axis=2).T
        assert np.all(clean == 0) and np.all(agreeing > 0.005)
        clean, agreeing = ([d.paired.high - d.paired.low, d.unpaired.high - d.unpaired.low]
                           for d in found.compare(0, 1))
        assert clean == [0, 0] and min(agreeing) > 0.005
