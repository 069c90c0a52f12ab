"""Ensembles of reads: definitions image by image, what is and is not calibrated, seeds and threads."""

import functools
import math

import naive_ensembles as naive
import numpy as np
import pytest

import bnnsim
from bnnsim.faults import ActivationErrors, BitFlips, Compose, EachRead
from bnnsim.metrics import (Ensemble, accuracy_over_coverage, calibration_error, ensemble, fit_temperature, log_loss,
                            softmax, stochastic_images)

NOISE = EachRead(BitFlips(0.1))


@functools.cache
def network():
    model = bnnsim.architectures.build("FC64 FC64 FC10", (1, 28, 28), rng=0)
    bnnsim.fit(model, bnnsim.load_embedded()[0][:2000], 3, rng=0, batch_size=50, progress=False)
    return bnnsim.pack(model)


@functools.cache
def held_out(n=600):
    return bnnsim.load_embedded()[1][:n]


def random_rows(n=300, classes=7, seed=0, digits=2):
    """Probabilities with ties, and labels."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(10**digits, rng.dirichlet(np.ones(classes)), n)
    return counts / 10**digits, rng.integers(0, classes, n)


@pytest.mark.jit_off
@pytest.mark.parametrize("bins", [1, 3, 15, 100])
def test_calibration_error_is_its_definition(bins):
    rows, labels = random_rows(classes=3)
    rows[:5] = [[1, 0, 0], [0, 1, 0], [1 / 3] * 3, [0.5, 0.5, 0], [0.2, 0.4, 0.4]]
    assert calibration_error(rows, labels, bins) == pytest.approx(naive.calibration_error(rows.tolist(), labels, bins))


@pytest.mark.jit_off
def test_a_confidence_at_the_edge_of_bins_is_in_the_lower_one():
    """(0, 1/2] and (1/2, 1]: one image too sure, one not sure enough, which would cancel in one bin."""
    assert calibration_error([[0.5, 0.5], [0.4, 0.6]], [1, 1], bins=2) == pytest.approx((0.5 + 0.4) / 2)


@pytest.mark.jit_off
def test_coverage_is_its_definition():
    rows, labels = random_rows(digits=1)                         # few values, many ties
    coverage, accuracy = accuracy_over_coverage(rows, labels)
    np.testing.assert_allclose(np.stack([coverage, accuracy], 1), naive.coverage(rows.tolist(), labels))
    assert coverage[-1] == 1 and np.all(np.diff(coverage) > 0)
    assert accuracy[-1] == np.mean(rows.argmax(1) == labels)


@pytest.mark.jit_off
def test_softmax_and_log_loss_are_their_definitions():
    scores = np.random.default_rng(1).normal(0, 4, (20, 5))
    rows = [naive.softmax(row, 2.5) for row in scores.tolist()]
    np.testing.assert_allclose(softmax(scores, 2.5), rows)
    labels = np.arange(20) % 5
    assert log_loss(rows, labels) == pytest.approx(naive.log_loss(rows, labels))
    assert np.isfinite(softmax(np.array([[1e4, -1e4]]))).all()
    assert log_loss([[1.0, 0.0]], [1]) == pytest.approx(-math.log(1e-12))


def drawn_from(scores, temperature, seed=0):
    """Labels that have the probabilities of a softmax."""
    p = softmax(scores, temperature)
    u = np.random.default_rng(seed).random((len(p), 1))
    return np.minimum((np.cumsum(p, axis=1) < u).sum(axis=1), p.shape[1] - 1)


@pytest.mark.jit_off
@pytest.mark.parametrize("temperature", [0.3, 1.0, 6.0])
def test_what_is_calibrated_has_no_error_and_another_temperature_has(temperature):
    """Labels drawn with the probabilities that are told; a wrong temperature must show."""
    scores = np.random.default_rng(2).normal(0, 3, (20000, 4))
    labels = drawn_from(scores, temperature)
    assert calibration_error(softmax(scores, temperature), labels) < 0.015
    assert calibration_error(softmax(scores, 3 * temperature), labels) > 0.03
    assert calibration_error(softmax(scores, temperature / 3), labels) > 0.03
    assert fit_temperature(scores, labels) == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize("size", [1e-6, 1e-3, 20, 300, 3000, 1e6])
def test_scores_of_any_size_have_their_temperature(size):
    """It ended at 1,000, or where all wrong answers have the least probability that log_loss knows."""
    scores = np.random.default_rng(3).normal(0, 3, (2000, 10))
    labels = drawn_from(scores, 1.0)
    assert fit_temperature(size * scores, labels) == pytest.approx(size * fit_temperature(scores, labels), rel=1e-3)
    assert fit_temperature(size * scores, labels) == pytest.approx(size, rel=0.1)


def test_scores_that_do_not_differ_have_a_temperature():
    assert np.isfinite(fit_temperature(np.ones((4, 3)), [0, 1, 2, 0]))


def test_reads_are_those_of_the_fault_500_images_each():
    found = ensemble(network(), held_out(), NOISE, 3, 7, trial=2)
    for read in range(3):
        parts = [NOISE.apply(network(), 7, 2, read=2 * read + b).scores(held_out().images[500 * b:500 * (b + 1)])
                 for b in range(2)]
        np.testing.assert_array_equal(found.scores[read], np.concatenate(parts))


def test_probabilities_of_reads_together():
    found = ensemble(network(), held_out(100), NOISE, 4, 1, temperature=3.0)
    own = np.mean([softmax(scores, 3.0) for scores in found.scores[:3]], axis=0)
    np.testing.assert_allclose(found.probabilities(3), own)
    votes = np.array([[np.mean(found.scores[:, n].argmax(1) == c) for c in range(10)] for n in range(100)])
    np.testing.assert_allclose(found.probabilities(by="votes"), votes)
    rows = found.rows()
    assert [row["reads"] for row in rows] == [1, 2, 4] and rows[-1]["accuracy"] == np.mean(
        found.probabilities().argmax(1) == held_out(100).labels)
    assert len(found.table().splitlines()) == 4
    surest = np.argsort(-found.probabilities().max(1), kind="stable")[:90]
    assert abs(rows[-1]["sure_90"] - np.mean(found.probabilities().argmax(1)[surest] == held_out(100).labels[surest])
               ) < 0.02


def test_more_reads_are_better_than_one_and_of_one_chip_no_better_than_it():
    """What a chip keeps, no read mends."""
    together = ensemble(network(), held_out(), EachRead(BitFlips(0.2)), 16, 0)
    assert together.measures()["accuracy"] > together.measures(1)["accuracy"] + 0.05
    kept = Compose([BitFlips(0.2), EachRead(BitFlips(0.0))])
    chip = ensemble(network(), held_out(), kept, 4, 0)
    assert np.array_equal(chip.scores[0], chip.scores[3])
    assert np.array_equal(chip.scores[0], BitFlips(0.2).apply(network(), 0).scores(held_out().images))


def test_a_seed_gives_one_ensemble_in_any_threads_and_more_reads_keep_the_first():
    for options in ({"fault": NOISE}, {"fault": ActivationErrors(0.1)}, {"stochastic": True}):
        with bnnsim.threads(1):
            one = ensemble(network(), held_out(), reads=2, rng=3, **options).scores
        with bnnsim.threads(3):
            more = ensemble(network(), held_out(), reads=3, rng=3, **options).scores
        np.testing.assert_array_equal(one, more[:2])
        assert not np.array_equal(more[0], more[1])
        assert not np.array_equal(one, ensemble(network(), held_out(), reads=2, rng=4, **options).scores)


def test_stochastic_images_are_black_and_white_with_the_mean_of_the_pixels():
    images = np.broadcast_to(np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16), (4000, 1, 16, 16))
    found = stochastic_images(images, np.random.default_rng(0))
    assert found.dtype == np.uint8 and set(np.unique(found)) == {0, 255}
    share, p = (found == 255).mean(axis=0).reshape(-1), np.arange(256) / 255
    assert np.all(np.abs(share - p) <= 5 * np.sqrt(p * (1 - p) / 4000)) and share[0] == 0 and share[-1] == 1
    assert stochastic_images(images[:0], np.random.default_rng(0)).shape == (0, 1, 16, 16)
    np.testing.assert_array_equal(stochastic_images(images[:9], 5), stochastic_images(images[:9], 5))


def test_presentations_of_a_stochastic_input_come_to_the_answers_of_pixels():
    """Of a first layer alone the mean over presentations is what pixels give: sums are linear."""
    linear = bnnsim.PackedNetwork.from_arrays([{"weight": np.random.default_rng(0).choice([-1, 1], (10, 784))}],
                                              (1, 28, 28))
    few = held_out(20)
    found = ensemble(linear, few, reads=200, rng=1, stochastic=True).scores
    error = found.std(axis=0) / math.sqrt(200)
    assert np.all(np.abs(found.mean(axis=0) - linear.scores(few.images)) < 5 * error + 1e-9)


def test_a_class_that_is_out_has_no_probability():
    """Broken real numbers give scores that are no numbers, which networks tell as -inf."""
    found = Ensemble([[[0, -math.inf, 0]], [[1, 1, -math.inf]]], [0])
    np.testing.assert_allclose(found.probabilities(), [[0.5, 0.25, 0.25]])


READS = np.zeros((2, 1, 2))
ROWS = np.array([[0.5, 0.5], [0.1, 0.9]])
BAD = [
    (lambda: softmax(ROWS, 0), ValueError, "temperature must be > 0"),
    (lambda: softmax([[math.nan, 1.0]]), ValueError, "scores must be finite"),
    (lambda: softmax([["a", "b"]]), TypeError, "scores must be numbers, got dtype <U1"),
    (lambda: softmax([[1j, 0]]), TypeError, "scores must be numbers, got dtype complex128"),
    (lambda: softmax(1.0), ValueError, "scores must have shape"),
    (lambda: fit_temperature(ROWS[0], [0, 1]), ValueError, r"shape \(images, classes\), or \(reads, images, classes\)"),
    (lambda: fit_temperature(np.zeros((0, 2, 2)), [0, 1]), ValueError, "of one at least"),
    (lambda: fit_temperature(np.full((2, 2), math.inf), [0, 1]), ValueError, "scores must be finite"),
    (lambda: fit_temperature(ROWS, [0, 2]), ValueError, r"labels must be in 0..1"),
    (lambda: stochastic_images(np.full((1, 1, 2, 2), 0.5), 0), TypeError, "images must be a uint8 array"),
    (lambda: stochastic_images(np.zeros((1, 1, 2, 2), np.uint8), "x"), TypeError, "rng must be None"),
    (lambda: log_loss([[1j, 1 - 1j]], [0]), TypeError, "probabilities must be numbers, got dtype complex128"),
    (lambda: calibration_error(ROWS, [0, 1], 0), ValueError, "bins must be >= 1"),
    (lambda: calibration_error(ROWS[0], [0]), ValueError, r"shape \(images, classes\), got \(2,\)"),
    (lambda: calibration_error(ROWS * 2, [0, 1]), ValueError, "add up to 1 for each image: see softmax"),
    (lambda: log_loss(ROWS, [0]), ValueError, r"labels must have shape \(2,\)"),
    (lambda: accuracy_over_coverage(ROWS, [0, 2]), ValueError, r"labels must be in 0..1"),
    (lambda: ensemble(network(), held_out(), BitFlips(0.1)), ValueError, r"all reads are alike: EachRead\(BitFlips"),
    (lambda: ensemble(network(), held_out()), ValueError, "reads differ by a fault or by stochastic=True"),
    (lambda: ensemble(network(), held_out(), NOISE, 0), ValueError, "reads must be >= 1"),
    (lambda: ensemble(network(), held_out(), NOISE, temperature=0), ValueError, "temperature must be > 0"),
    (lambda: ensemble(network(), held_out(), "noise"), TypeError, "fault must be a fault"),
    (lambda: ensemble("network", held_out(), NOISE), TypeError, "network must be a PackedNetwork"),
    (lambda: ensemble(network(), held_out(), stochastic="yes"), TypeError, "stochastic must be True or False, got 'y"),
    (lambda: Ensemble(READS, [0], -1), ValueError, "temperature must be > 0, got -1"),
    (lambda: Ensemble(READS[0], [0]), ValueError, r"\(reads, images, classes\).*\(1, 2\); for one read pass"),
    (lambda: Ensemble(READS[:0], [0]), ValueError, "of one each at least"),
    (lambda: Ensemble([[["a", "b"]]], [0]), TypeError, "scores must be numbers, got dtype <U1"),
    (lambda: Ensemble([[[0, math.nan]]], [0]), ValueError, r"got \[0.0, nan\] of read 0, image 0: leave out"),
    (lambda: Ensemble([[[-math.inf, -math.inf]]], [0]), ValueError, "not all -inf"),
    (lambda: Ensemble(READS, [0, 1]), ValueError, r"labels must have shape \(1,\)"),
    (lambda: Ensemble(READS, [2]), ValueError, "labels must be in 0..1"),
    (lambda: Ensemble(np.zeros((2, 1, 2)), np.zeros(1, np.uint8)).probabilities(3), ValueError, r"n_reads must be in"),
    (lambda: Ensemble(np.zeros((2, 1, 2)), np.zeros(1, np.uint8)).probabilities(by="mean"), ValueError, "by must be"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
