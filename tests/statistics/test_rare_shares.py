"""Rare shares against enumeration of every pattern of wrong bits; wrong weights and wrong moves fail."""

import itertools
import math

import numpy as np
import pytest

import bnnsim.statistics.rare_shares as rare_shares
from bnnsim.seeding import generator
from bnnsim.statistics import reweighted_share, split_to

N = 10
WORTH = np.array([1, 1, 2, 3, 3, 4, 5, 6, 8, 9])
PATTERNS = np.array(list(itertools.product([0, 1], repeat=N)))


def fails(patterns):
    """Something that is not monotone in the errors: two of them can make good for each other."""
    damage = patterns @ WORTH - 9 * patterns[..., 0] * patterns[..., 9]
    return damage >= 14


def exact(p, bad=fails):
    k = PATTERNS.sum(axis=1)
    return float((p**k * (1 - p) ** (N - k))[bad(PATTERNS)].sum())


def drawn(rng, rates, n, nested=True):
    """Chips at several rates, which share their random numbers: patterns (R, n, N)."""
    u = rng.random((n, N)) if nested else rng.random((len(rates), n, N))
    return (u < np.asarray(rates)[:, None, None]).astype(np.int64)


def off(found, truth):
    """Distance in standard errors, told from the interval."""
    return abs(found.share - truth) / ((found.high - found.low) / 3.92)


@pytest.mark.parametrize("rates", [[0.1], [0.03, 0.1, 0.3], [0.0, 0.2]])
@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05, 0.2])
def test_reweighted_is_what_enumeration_says(rates, rate):
    """Far below all rates that were run, among them and above."""
    patterns = drawn(np.random.default_rng(1), rates, 200_000)
    found = reweighted_share(fails(patterns), patterns.sum(axis=2), rates, N, rate)
    assert off(found, exact(rate)) < 2.5 and 0.5 < found.weight < 1.5
    if rate >= 0.01:
        assert abs(found.share / exact(rate) - 1) < 0.1


def without_ones(wrong, rates, n_bits, rate):
    """A wrong weight: of the bits that are wrong alone, not of those that are right."""
    log_q = np.log(np.sum([np.asarray(q, float) ** wrong for q in rates], axis=0))
    return np.exp(wrong * math.log(rate) - log_q)


def test_a_weight_of_wrong_bits_alone_fails(monkeypatch):
    patterns = drawn(np.random.default_rng(1), [0.3], 200_000)
    args = fails(patterns), patterns.sum(axis=2), [0.3], N, 0.05
    assert off(reweighted_share(*args), exact(0.05)) < 2.5
    monkeypatch.setattr(rare_shares, "_weights", without_ones)
    assert off(reweighted_share(*args), exact(0.05)) > 8


def test_weights_whose_squares_underflow_are_no_division_by_zero():
    """100 wrong bits where 1e-3 a bit are hardly ever so many: a share of 1e-200, told as next to nothing."""
    found = reweighted_share([[True, False]], [[100, 90]], [0.1], 1000, 1e-3)
    assert 0 <= found.low <= found.share < 1e-150 and found.high <= 1


@pytest.mark.parametrize("n", [20, 100, 1000])
def test_reweighted_covers(n):
    """Of 500 campaigns each with trials that share random numbers; also where they see no failure."""
    rng, truth, rates = np.random.default_rng(2), exact(0.03), [0.05, 0.1, 0.2]
    covered = 0
    for _ in range(500):
        patterns = drawn(rng, rates, n)
        found = reweighted_share(fails(patterns), patterns.sum(axis=2), rates, N, 0.03)
        covered += found.low <= truth <= found.high
    assert covered / 500 > 0.93


def test_at_a_rate_that_was_run_it_counts():
    patterns = drawn(np.random.default_rng(3), [0.2], 5000)
    found = reweighted_share(fails(patterns), patterns.sum(axis=2), [0.2], N, 0.2)
    assert found.share == pytest.approx(fails(patterns).mean()) and found.weight == pytest.approx(1)
    assert found.effective == pytest.approx(fails(patterns).sum())


def test_no_failure_seen_bounds_by_the_rule_of_three():
    found = reweighted_share(np.zeros((1, 1000), bool), np.full((1, 1000), 3), [0.2], N, 0.2)
    assert found.share == found.low == found.effective == 0 and found.high == pytest.approx(3.69 / 1000, rel=0.01)


def test_what_was_hardly_run_is_not_bounded():
    """Of a million bits, 1e-3 run and 1e-5 asked for: no chip speaks, and the weight says so."""
    found = reweighted_share(np.zeros((1, 50), bool), np.full((1, 50), 1000), [1e-3], 10**6, 1e-5)
    assert found.share == 0 and found.high == 1 and found.weight < 1e-6


@pytest.mark.parametrize(("rate", "k"), [(1e-6, 0), (0.01, 2)])
def test_a_share_above_one_is_told_as_one(rate, k):
    """All of few chips happen to have fewer wrong bits than is usual: their weights add up to more than they are."""
    found = reweighted_share(np.ones((1, 20), bool), np.full((1, 20), k), [0.05], 100, rate)
    assert found.weight > 1 and 0 < found.low <= found.share <= found.high == 1


# ---------------------------------------------------------------- splitting

class Toy:
    """Chips of N bits that are wrong with probability p; good ones have a high value."""

    def __init__(self, p, root, fair=True):
        self.p, self.root, self.fair = p, root, fair

    def draw(self, *ids):
        return (generator(self.root, "toy", *ids).random(N) < self.p).astype(int)

    def moved(self, chip, share, *ids):
        rng = generator(self.root, "toy move", *ids)
        chosen, p = rng.random(N) < share, self.p if self.fair else 2 * self.p
        return np.where(chosen, rng.random(N) < p, chip).astype(int)

    def value(self, chip):
        return int(40 - (chip @ WORTH - 9 * chip[0] * chip[9]))


def splitting(p, root=0, fair=True, n=50, repetitions=20, **options):
    return split_to(Toy(p, root, fair), 40 - 14, n, repetitions, root, **options)


def test_splitting_is_what_enumeration_says():
    found, truth = splitting(0.02, n=50, repetitions=20), exact(0.02)
    assert 2e-4 < truth < 2e-3 and len(found.levels) > 3
    assert off(found.share, truth) < 2.5 and abs(found.share.share / truth - 1) < 0.3
    assert found.levels[-1].value == 26 and np.all(np.diff([level.value for level in found.levels]) < 0)


def test_moves_of_another_law_fail():
    found = splitting(0.02, fair=False, n=50, repetitions=20)
    assert off(found.share, exact(0.02)) > 4


@pytest.mark.slow
def test_splitting_covers():
    """Of 100 roots 93 at 16 chips and 8 repetitions, 95 at 24, and 91 at 30 chips and 20 repetitions."""
    truth = exact(0.02)
    found = [splitting(0.02, root, n=16, repetitions=8).share for root in range(20)]
    assert np.mean([one.low <= truth <= one.high for one in found]) > 0.83
    mean, error = np.mean([one.share for one in found]), np.std([one.share for one in found]) / math.sqrt(20)
    assert abs(mean - truth) < 4 * error, "no bias"


def test_a_seed_gives_one_splitting_and_more_repetitions_keep_the_first():
    one, again, more = splitting(0.05, repetitions=4), splitting(0.05, repetitions=4), splitting(0.05, repetitions=6)
    assert one.share == again.share and np.array_equal(one.passed, more.passed[:4])
    assert one.share != splitting(0.05, root=1, repetitions=4).share


class Coins:
    """Chips that fail with probability 0.3."""

    def __init__(self, root):
        self.root = root

    def draw(self, *ids):
        return int(generator(self.root, "coins", *ids).random() > 0.3)

    def moved(self, chip, share, *ids):
        return self.draw(*ids)

    def value(self, chip):
        return chip


def test_repetitions_that_agree_by_chance_cover():
    """Two of 30 chips have the same share in one case of nine: a fifth of their intervals missed, with effective 0."""
    found = [split_to(Coins(root), 0, 30, 2, root) for root in range(300)]
    agree = [one.share for one in found if np.ptp(one.passed.prod(axis=1)) == 0]
    assert len(agree) > 20 and np.mean([one.low <= 0.3 <= one.high for one in agree]) > 0.94
    assert all(one.effective == pytest.approx(2 * 30 * one.share / (1 - one.share)) for one in agree)


def test_what_never_fails_is_bounded():
    found = split_to(Toy(0.02, 0), -100, 10, 4, 0)                                  # no pattern is so bad
    assert found.share.share == found.share.low == found.share.effective == 0 < found.share.high < 1


def test_what_always_fails_is_one():
    assert split_to(Toy(0.02, 0), 40, 10, 4, 0).share[:3] == (pytest.approx(1 - 3.69 / 40, rel=0.01), 1, 1)


GOOD = {"failed": np.zeros((1, 2), bool), "n_wrong": np.ones((1, 2), int), "drawn_at": [0.1], "n_bits": 3, "rate": 0.1}
BAD = [
    ({"failed": np.zeros((1, 2))}, TypeError, "failed must be bool and n_wrong integers, got dtypes float64"),
    ({"failed": np.zeros(2, bool)}, ValueError, r"must have shape \(1 rates, trials\), got \(2,\)"),
    ({"drawn_at": [0.1, 0.2]}, ValueError, r"must have shape \(2 rates, trials\)"),
    ({"drawn_at": [0.0]}, ValueError, r"drawn_at must have a rate between 0 and 1, .* got \[0.0\]"),
    ({"drawn_at": [1]}, ValueError, "drawn_at must have a rate between 0 and 1"),
    ({"drawn_at": [1.5]}, ValueError, r"drawn_at\[0\] must be a probability"),
    ({"n_wrong": np.full((1, 2), 4)}, ValueError, r"n_wrong must be in 0..3, got 4..4"),
    ({"n_bits": 0}, ValueError, "n_bits must be >= 1"),
    ({"rate": -1}, ValueError, "rate must be a probability"),
    ({"level": 0}, ValueError, "level must lie between"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_what_reweighting_refuses(change, error, message):
    with pytest.raises(error, match=message):
        reweighted_share(**{**GOOD, **change})


@pytest.mark.parametrize(("options", "message"), [
    ({"n": 3}, "n_chips must be >= 4"), ({"repetitions": 1}, "repetitions must be >= 2"),
    ({"keep": 1.0}, "keep must lie between 0 and 1"), ({"moves": 0}, "moves must be >= 1")])
def test_what_splitting_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        splitting(0.05, **options)
