"""Figures: what a reader must be able to see on them."""

import numpy as np
import pytest

from bnnsim import plotting
from bnnsim.campaign import SweepResult
from bnnsim.training import History

RATES = np.array([0, 1e-4, 1e-3, 1e-2, 0.3])


def result(rates=RATES, n_networks=2, n_trials=3):
    rng = np.random.default_rng(0)
    accuracy = rng.random((n_networks, len(rates), n_trials))
    names = tuple(f"net {i}" for i in range(n_networks))
    return SweepResult(names, np.asarray(rates, float), accuracy, 2000, "fashion-test", 0, ("a",) * n_networks)


def test_ber_curve_shows_the_means_in_percent_and_names_everything():
    swept = result()
    axes = plotting.ber_curve(swept).axes[0]
    lines = [line for line in axes.lines if line.get_label() in swept.names]
    assert [line.get_label() for line in lines] == list(swept.names)
    for line, mean in zip(lines, swept.mean()):
        assert np.allclose(line.get_ydata(), 100 * mean[1:])
    assert "bit error rate" in axes.get_xlabel() and "%" in axes.get_ylabel()
    assert "2,000 images" in axes.get_title() and "3 trials" in axes.get_title()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(swept.names)


def test_rate_0_has_a_place_of_its_own_on_the_log_axis():
    axes = plotting.ber_curve(result()).axes[0]
    assert axes.get_xscale() == "log"
    curve, at_zero = axes.lines[1:3]
    assert np.allclose(curve.get_xdata(), RATES[1:]) and at_zero.get_xdata() == pytest.approx([1e-5])
    assert at_zero.get_linestyle() == "None" and at_zero.get_color() == curve.get_color()
    label = axes.xaxis.get_major_formatter()
    assert label(1e-5, 0) == "0" and label(1e-3, 0) == "$10^{-3}$"
    assert 1e-5 in axes.get_xticks()


def test_the_band_reaches_from_the_least_to_the_largest_trial():
    swept = result(n_networks=1)
    corners = plotting.ber_curve(swept).axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert corners.min() == pytest.approx(100 * swept.accuracy[0, 1:].min())
    assert corners.max() == pytest.approx(100 * swept.accuracy[0, 1:].max())


def test_rates_out_of_order_are_drawn_in_order():
    shuffled = RATES[[3, 0, 4, 1, 2]]
    places = plotting.ber_curve(result(shuffled)).axes[0].lines[1].get_xdata()
    assert np.all(np.diff(places) > 0)


@pytest.mark.parametrize("rates", [[0.0], [0.1], [1e-3, 0.1], [0.0, 0.05], [0.02, 0.03]])
def test_few_rates_can_be_drawn_and_written(rates, tmp_path):
    plotting.ber_curve(result(rates), tmp_path / "few.png")
    assert (tmp_path / "few.png").read_bytes().startswith(b"\x89PNG")


def history(validation):
    return History([1.0, 0.5], [0.6, 0.8], validation, [1e-3, 0.0])


def test_training_curves_show_loss_and_both_accuracies():
    left, right = plotting.training_curves(history([0.55, 0.7])).axes
    assert left.lines[0].get_ydata().tolist() == [1.0, 0.5]
    assert [line.get_ydata().tolist() for line in right.lines] == [[60, 80], [pytest.approx(55), 70]]
    assert "loss" in left.get_ylabel() and "%" in right.get_ylabel()


def test_training_without_validation_has_one_line():
    assert len(plotting.training_curves(history([None, None])).axes[1].lines) == 1


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_the_ending_chooses_the_format(ending, start, tmp_path):
    path = tmp_path / f"curve.{ending}"
    plotting.training_curves(history([0.5, 0.6]), path)
    assert path.read_bytes().startswith(start)


def test_an_unknown_ending_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"\.png, \.svg or \.pdf"):
        plotting.training_curves(history([0.5, 0.6]), tmp_path / "curve.jpg")
    assert not list(tmp_path.iterdir())
