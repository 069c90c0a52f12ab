"""Differences of two networks on common images: the interval must cover, and pairing must be worth something."""

import numpy as np
import pytest
import slow_cases
from scipy import stats

from bnnsim.statistics.pairs import population_difference
from bnnsim.statistics.two_way import table_variance, two_way_variance

N_SIMULATIONS = 2000


def simulated(rng, n_chips=10, n_images=200, shared=1.0):
    """Two networks that find the same images hard (shared = 1) or different ones (0); true difference 0.04."""
    common, own = rng.normal(size=n_images), rng.normal(size=(2, n_images))
    right = []
    for network, level in enumerate((1.6, 1.45)):
        hard = np.sqrt(shared) * common + np.sqrt(1 - shared) * own[network]
        chips = 0.1 * rng.normal(size=(n_chips, 1))
        right.append(level + hard + chips + 0.5 * rng.normal(size=(n_chips, n_images)) > 0)
    return right


def truth():
    """P(level + N(0, 1 + 0.1^2 + 0.5^2) > 0) of each network, subtracted."""
    from scipy.special import ndtr
    scale = np.sqrt(1 + 0.01 + 0.25)
    return ndtr(1.6 / scale) - ndtr(1.45 / scale)


@pytest.mark.parametrize("shared", slow_cases.first(1, [0.0, 1.0]))
def test_coverage(shared):
    rng, hits = np.random.default_rng(1), {"paired": 0, "unpaired": 0}
    for _ in range(N_SIMULATIONS):
        found = population_difference(*simulated(rng, shared=shared))
        for kind in hits:
            interval = getattr(found, kind)
            hits[kind] += interval.low <= truth() <= interval.high
    assert 0.93 <= hits["paired"] / N_SIMULATIONS <= 0.975            # few images differ: more of them may be unseen
    if shared == 0:
        assert 0.93 <= hits["unpaired"] / N_SIMULATIONS <= 0.97
    else:
        assert hits["unpaired"] / N_SIMULATIONS > 0.985            # far too wide: what pairing is for


def test_chips_alone_would_cover_too_seldom():
    """The wrong model fails the same test: images are a sample too."""
    rng, hits = np.random.default_rng(2), 0
    for _ in range(N_SIMULATIONS):
        a, b = simulated(rng, shared=0.0)
        chips = a.mean(axis=1) - b.mean(axis=1)
        half = 2.262 * chips.std(ddof=1) / np.sqrt(len(chips))
        hits += abs(chips.mean() - truth()) <= half
    assert hits / N_SIMULATIONS < 0.93


def test_common_images_make_the_interval_smaller():
    found = population_difference(*simulated(np.random.default_rng(3)))
    assert found.best == "paired"
    assert found.paired.high - found.paired.low < 0.8 * (found.unpaired.high - found.unpaired.low)
    assert found.paired.mean == pytest.approx(found.unpaired.mean)


def two_way_by_hand(values):
    """Variance of the mean and degrees of freedom, from mean squares summed place by place."""
    (t, n), mean = values.shape, values.mean()
    of_chip, of_image = values.mean(axis=1), values.mean(axis=0)
    left = sum((values[i, j] - of_chip[i] - of_image[j] + mean) ** 2 for i in range(t) for j in range(n))
    parts = (sum((of_chip - mean) ** 2) / (t - 1) / t, sum((of_image - mean) ** 2) / (n - 1) / n,
             left / ((t - 1) * (n - 1)) / (t * n))
    variance = max(parts[0] + parts[1] - parts[2], *parts)
    return variance, variance**2 / sum(part**2 / df for part, df in zip(parts, (t - 1, n - 1, (t - 1) * (n - 1))))


@pytest.mark.parametrize("shape", [(3, 6), (5, 60)])
def test_the_variance_is_that_of_a_two_way_layout(shape):
    """All three mean squares count for the degrees of freedom: two of them alone would claim more."""
    values = np.random.default_rng(1).integers(-1, 2, shape).astype(float)
    found = table_variance(values.mean(axis=1), values.mean(axis=0), ((values - values.mean()) ** 2).sum())
    assert found == pytest.approx(two_way_by_hand(values), rel=1e-9)


def test_the_interval_has_this_variance():
    """Of so many images that differ, that more of them may be unseen does not matter."""
    a, b = (0.0 + (np.random.default_rng(1).random((2, 4, 2000)) < 0.7))
    found, (va, dfa), (vb, dfb) = population_difference(a > 0, b > 0), two_way_by_hand(a), two_way_by_hand(b)
    welch = va + vb, (va + vb) ** 2 / (va**2 / dfa + vb**2 / dfb)
    for interval, (variance, df) in zip(found, (two_way_by_hand(a - b), welch)):
        mean, half = a.mean() - b.mean(), stats.t.ppf(0.975, df) * np.sqrt(variance)
        assert interval == pytest.approx((mean - half, mean + half, mean, 4), abs=0.02 * half)


def test_a_difference_of_accuracies_is_within_1():
    """Two chips and two images say next to nothing; they did say [-6.50, 8.16]."""
    a, b = np.array([[True, True], [True, False]]), np.array([[False, True], [False, False]])
    for interval in population_difference(a, b)[:2]:
        assert -1 <= interval.low < interval.mean == 0.5 < interval.high <= 1
    assert population_difference(a, b).paired[:2] == (-1, 1)


def test_networks_with_the_same_answers_may_differ_on_other_images():
    """[0, 0] was said of them, of however few images."""
    right = np.random.default_rng(0).random((3, 500)) < 0.9
    same = population_difference(right, right)
    assert same.paired == (pytest.approx(-7 / 500), pytest.approx(7 / 500), 0, 3) and same.best == "paired"


def test_a_mean_square_that_is_subtracted_is_uncertain_too():
    """No component of variance is below 0, and each mean square costs degrees of freedom."""
    value, df = two_way_variance(3.0, 2.0, 1.0, 5, 11)
    assert (value, df) == (4.0, pytest.approx(16 / (9 / 4 + 4 / 10 + 1 / 40)))
    assert two_way_variance(1.0, 1.0, 5.0, 3, 4).value == 5.0
    assert two_way_variance(0.0, 0.0, 0.0, 3, 4) == (0.0, np.inf)


BAD = [
    (np.ones((3, 4)), np.ones((3, 4), bool), "right_a must be bool"),
    (np.ones((1, 4), bool), np.ones((1, 4), bool), "at least 2"),
    (np.ones((3, 4), bool), np.ones((3, 5), bool), "same chips and images"),
]


@pytest.mark.parametrize("a, b, message", BAD)
def test_bad_input(a, b, message):
    with pytest.raises(ValueError, match=message):
        population_difference(a, b)


def test_a_campaign_with_predictions_compares_image_by_image():
    """The interval is of the difference that the accuracies show, and pairing by image makes it smaller."""
    import bnnsim
    from bnnsim.datasets.shipped import data_file
    from bnnsim.datasets.find import load_embedded

    test = load_embedded()[1][:200]
    networks = {name: bnnsim.PackedNetwork.load(data_file(f"{name}.h5"))
                for name in ("fashion_fcnn", "fashion_fcnn_flip")}
    result = bnnsim.sweep(networks, test, [0.0, 0.05], 3, 0, predictions=True, progress=False)
    found = result.compare("fashion_fcnn", "fashion_fcnn_flip", labels=test.labels)
    assert np.allclose([d.paired.mean for d in found], result.mean()[0] - result.mean()[1])
    assert all(d.best == "paired" for d in found)
    for labels, message in ((test.labels[:10], r"labels must have shape \(200,\)"),
                            (np.tile(test.labels, 2), r"labels must have shape \(200,\)"),
                            (test.labels[::-1], "labels must be those of .*, in its order: with these, the stored"),
                            (test.labels + 0.5, "labels must be integers")):
        with pytest.raises((ValueError, TypeError), match=message):
            result.compare(0, 1, labels=labels)
    with pytest.raises(ValueError, match="predictions=True"):
        bnnsim.sweep(networks, test, [0.05], 2, 0, progress=False).compare(0, 1, labels=test.labels)
