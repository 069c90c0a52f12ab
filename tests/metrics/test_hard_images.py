"""Which images fail: counted one by one, and the area under the curve by all pairs of images."""

import math

import naive_metrics
import numpy as np
import pytest
from matplotlib.figure import Figure

import bnnsim
from bnnsim import figures, threads
from bnnsim.faults import BitFlips, EachRead
from bnnsim.metrics import HardImages, hard_images

NETWORK = bnnsim.pack(bnnsim.architectures.build("C5 FC20 FC4", (1, 5, 5), rng=0))
IMAGES = np.random.default_rng(0).integers(0, 256, (80, 1, 5, 5), np.uint8)
LABELS = np.where(np.arange(80) % 4, NETWORK.predict(IMAGES), 3)
SPLIT = bnnsim.Split(IMAGES, LABELS, "random", 4)
NOISE = EachRead(BitFlips(0.1))


def test_each_image_counted_by_itself():
    found = hard_images(NETWORK, SPLIT, NOISE, 3, 4, rng=5)
    scores = NETWORK.scores(IMAGES)
    right = [n for n in range(80) if scores[n].argmax() == LABELS[n]]
    lead = [scores[n][LABELS[n]] - max(z for c, z in enumerate(scores[n]) if c != LABELS[n]) for n in right]
    failures = [[sum(NOISE.apply(NETWORK, 5, trial, read).predict(IMAGES[n:n + 1])[0] != LABELS[n] for read in range(4))
                 for n in right] for trial in range(3)]
    np.testing.assert_array_equal(found.failures, failures)
    np.testing.assert_array_equal(found.lead, lead)
    assert found.n_images == 80 > len(right) and found.n_reads == 4 and 0 < found.failures.max() <= 4
    np.testing.assert_allclose(found.share, np.mean(failures, axis=0) / 4)


def test_the_area_is_the_share_of_pairs():
    """Ties count half; leads that know nothing of failures give 1/2, and are told from those that do."""
    found = hard_images(NETWORK, SPLIT, NOISE, 3, 4, rng=5)
    assert found.area == pytest.approx(naive_metrics.area(found.lead, found.share))
    for chip, area in zip(found.failures, found.area_by_chip):
        assert area == pytest.approx(naive_metrics.area(found.lead, chip / 4))
    rng = np.random.default_rng(1)
    ties = HardImages(rng.integers(0, 3, 40).astype(float), rng.integers(0, 3, (2, 40)), 2, 40)
    assert ties.area == pytest.approx(naive_metrics.area(ties.lead, ties.share))
    trained = bnnsim.PackedNetwork.load(bnnsim.datasets.data_file("fashion_fcnn.h5"))
    found = hard_images(trained, bnnsim.load_embedded()[1][:300], BitFlips(0.1), 3, rng=0)
    shuffled = [HardImages(rng.permutation(found.lead), found.failures, 1, 300).area for _ in range(200)]
    assert abs(np.mean(shuffled) - 0.5) < 5 * np.std(shuffled) / math.sqrt(200)
    assert found.area > 0.5 + 5 * np.std(shuffled)
    clear = HardImages(np.arange(6.0), np.array([[1, 1, 0, 0, 0, 0]]), 1, 6)
    assert clear.area == 1 and HardImages(-np.arange(6.0), clear.failures, 1, 6).area == 0
    assert math.isnan(HardImages(np.arange(6.0), np.zeros((1, 6), int), 1, 6).area)


def test_parts_are_equal_and_the_hardest_come_first():
    found = HardImages(np.array([3.0, 1, 2, 0, 5, 4]), np.array([[0, 2, 1, 2, 0, 0]]), 2, 9)
    ends, leads, shares = found.by_part(3)
    assert ends.tolist() == [0, 1 / 3, 2 / 3, 1]
    assert leads.tolist() == [1, 3, 5] and shares.tolist() == [1, 0.25, 0]
    text = found.table()
    assert "6 of 9 images" in text and "100.000" in text and len(text.splitlines()) == 3 + 6


def test_uneven_parts_are_told_as_they_are():
    """Ten of fifteen images fail: the table said 10 % of them in parts that had 13 %."""
    found = HardImages(np.arange(15.0), np.array([[1] * 10 + [0] * 5]), 1, 15)
    rows = [line.split() for line in found.table().splitlines()[3:]]
    assert [(row[0], row[2]) for row in rows[:6]] == [("0", "13"), ("13", "27"), ("27", "40"), ("40", "53"),
                                                      ("53", "67"), ("67", "73")]
    assert [float(row[4]) for row in rows] == [100] * 5 + [0] * 5 and rows[-1][2] == "100"
    few = HardImages(np.arange(21.0), np.ones((1, 21), int), 1, 21)
    np.testing.assert_allclose(few.plot().axes[0].lines[0].get_xdata()[:2], [100 / 21, 250 / 21])


def test_where_nothing_fails_no_pairs_are_told():
    found = hard_images(NETWORK, SPLIT, BitFlips(0.0), 2)
    assert "nan" not in found.table() and "no pair of one that fails and one that stands" in found.table()
    title = found.plot().axes[0].get_title()
    assert title.startswith("none to compare") and "nan" not in title


def test_threads_and_chips_do_not_change_it():
    found = []
    for n in (1, 2):
        with threads(n):
            found.append(hard_images(NETWORK, SPLIT, NOISE, 2, 2, rng=5).failures.tolist())
    assert found[0] == found[1] == hard_images(NETWORK, SPLIT, NOISE, 4, 2, rng=5).failures[:2].tolist()


WRONG = bnnsim.Split(IMAGES, (NETWORK.predict(IMAGES) + 1) % 4, "wrong", 4)
BAD = [
    (lambda: hard_images(NETWORK, SPLIT, BitFlips(0.1), 2, 3), ValueError, "reads must be 1 of a fault .* got 3; its"),
    (lambda: hard_images(NETWORK, SPLIT, 0.1), TypeError, "fault must be a fault"),
    (lambda: hard_images(NETWORK, SPLIT, NOISE, 0), ValueError, "chips must be >= 1, got 0"),
    (lambda: hard_images(NETWORK, SPLIT, NOISE, 1, 0), ValueError, "reads must be >= 1, got 0"),
    (lambda: hard_images(NETWORK, IMAGES, NOISE), TypeError, "plit"),
    (lambda: hard_images(NETWORK, WRONG, NOISE), ValueError, "split must have an image that the network has right"),
    (lambda: hard_images(NETWORK, SPLIT, NOISE, rng=-1), ValueError, "rng must be a seed"),
    (lambda: hard_images(NETWORK, SPLIT, NOISE, 1, rng=0).by_part(0), ValueError, "parts must be in"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[message for _, _, message in BAD])
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_figure_cuts_no_marker_and_says_what_its_percents_are():
    """At 0 % a marker is whole; "pairs" are memory cells elsewhere; a new figure's legend touches no curve."""
    found = hard_images(NETWORK, SPLIT, NOISE, 3, 4, rng=5)
    clear = HardImages(found.lead, 0 * found.failures, 4, 80)
    figure = figures.failing_images({"noisy": found, "clear": clear})
    axes, names = figure.axes[0], [text.get_text() for text in figure.legends[0].get_texts()]
    assert axes.get_ylim()[0] < 0 and axes.get_legend() is None
    assert names == [f"noisy: {100 * found.area:.0f} %", "clear: none to compare"]
    assert "an image that fails" in axes.get_title() and "pair" not in axes.get_title() + "".join(names)
    odd = figures.failing_images({"_a $5$": found, "b": clear})
    assert [text.get_text().strip() for text in odd.legends[0].get_texts()] == [rf"_a \$5\$: {names[0][7:]}",
                                                                                "b: none to compare"]
    drawn = figures.failing_images({"_a $5": found}, ax=Figure(figsize=(6, 5)).subplots())
    assert drawn.get_legend().get_texts()[0].get_text().startswith(r" _a \$5: ")
    alone = figures.failing_images(found)
    assert not alone.legends and alone.axes[0].get_title().startswith(f"{100 * found.area:.0f} %: how often")
    drawn = figures.failing_images({"noisy": found}, ax=Figure(figsize=(6, 5)).subplots())
    assert "an image that fails" in drawn.get_legend().get_title().get_text().replace("\n", " ")
    assert "\n" not in drawn.get_xlabel()
