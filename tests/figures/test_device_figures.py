"""Figures of devices: what they show, that nothing overlaps, and that bad choices are refused."""

import numpy as np
import pytest

import bnnsim.figures.devices as devices
from bnnsim.datasets.shipped import data_file
from bnnsim.devices import fit, load_card
from bnnsim.figures.style import new_panels, written


@pytest.fixture(scope="module")
def fitted():
    return fit(data_file("devices/sample_measurements.csv"), n_resamples=100)


def test_fitted_states_show_samples_densities_and_overlap(tmp_path, fitted):
    figure = devices.fitted_states(fitted, tmp_path / "fit.png", place=1)
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")
    left, right = figure.axes
    assert left.get_xscale() == right.get_xscale() == "log" and "(Ω)" in left.get_xlabel()
    points = left.lines[0].get_xdata()
    np.testing.assert_array_equal(points, fitted.places[1].lrs.samples_ohm)
    for line in right.lines:                            # densities of ln R integrate to 1
        assert np.trapezoid(line.get_ydata(), np.log(line.get_xdata())) == pytest.approx(1, abs=0.02)
    assert "condition weak" in figure.get_suptitle() and "1T1R" in figure.get_suptitle()


@pytest.mark.parametrize("model", ["empirical", "log-normal"])
def test_all_models_are_drawn(tmp_path, model):
    fitted = fit(data_file("devices/sample_measurements.csv"), model, n_resamples=100)
    devices.fitted_states(fitted, tmp_path / "fit.svg")
    assert (tmp_path / "fit.svg").stat().st_size > 5000


def test_error_rates_are_those_of_the_card(tmp_path):
    card = load_card("teaching")
    figure = devices.error_rates(card, "cycles", tmp_path / "rates.pdf", condition="weak")
    axes, = figure.axes
    assert axes.get_yscale() == axes.get_xscale() == "log" and "data synthetic" in axes.get_title()
    for line, cell in zip(axes.lines, ("1T1R", "2T2R")):
        for x, y in list(zip(*line.get_data()))[::20]:
            assert y == pytest.approx(card.error_rates(cell, condition="weak", cycles=x).mean)
    for axis in ("time", "temperature", "sigma"):
        devices.error_rates(card, axis, n_points=5, condition="weak")
    devices.error_rates(load_card("sram_synthetic"), "voltage", cells=("6T",), n_points=5)


def test_what_was_recalled_or_derived_is_marked_in_the_figure():
    figure = devices.error_rates(load_card("hfo2_2t2r"), "condition")
    labels = [" ".join(tick.get_text().split()) for tick in figure.axes[0].get_xticklabels()]
    assert labels == ["reference (recalled)", "low power (recalled)", "ultra-low power (1T1R recalled, 2T2R read)"]
    legend = " ".join(text.get_text() for text in figure.legends[0].get_texts()).replace("\n", " ")
    assert "1T1R (follows from 2T2R, equal sigmas assumed)" in legend


def without_overlap(figure, texts):
    """Whether no two of these texts, each drawn, cover a place of the figure."""
    figure.draw_without_rendering()
    boxes = [text.get_window_extent().frozen() for text in texts if text.get_text()]
    return len(boxes) > 1 and not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


@pytest.mark.parametrize("width", [None, "page"])
def test_long_names_of_conditions_do_not_cover_each_other(width):
    """The card of STT-MRAM has six, such as "28 nm, energy known"."""
    figure = devices.error_rates(load_card("stt_mram"), "condition", cells=("STT-MRAM",), width=width)
    ticks = figure.axes[0].get_xticklabels()
    assert [" ".join(tick.get_text().split()) for tick in ticks][1] == "22 nm, embedded (read)"
    assert all(tick.get_rotation() == 30 for tick in ticks) or without_overlap(figure, ticks)
    small = devices.error_rates(load_card("hfo2_2t2r"), "condition", cells=("2T2R",), width=width)
    assert without_overlap(small, small.axes[0].get_xticklabels())


def test_vertical_labels_end_where_their_panels_end():
    """Of one panel it ran into that of the next."""
    figure, panels = new_panels((3.5, 3.5), 3)
    for panel in panels:
        panel.set_ylabel("bit error rate of cells\n[measured or reconstructed]")
    assert not without_overlap(figure, [panel.yaxis.label for panel in panels])
    written(figure, None)
    assert without_overlap(figure, [panel.yaxis.label for panel in panels])


def test_redundancy_draws_the_codes_given():
    figure = devices.redundancy({"halved": lambda p: p / 2}, rates=[1e-3, 1e-2])
    assert [line.get_ydata()[1] for line in figure.axes[0].lines] == pytest.approx([1e-2, 5.01e-4, 5e-3], rel=1e-2)
    assert len(devices.redundancy().axes[0].lines) == 2


@pytest.mark.parametrize("call, message", [
    (lambda f: devices.fitted_states(f, place=2), "place must be in .0, 1., got 2"),
    (lambda f: devices.fitted_states(f, "fit.gif"), "path must end in .png, .svg or .pdf"),
    (lambda f: devices.error_rates(load_card("hfo2_2t2r"), "cycles"), "one of the card's, condition"),
    (lambda f: devices.error_rates(load_card("teaching"), "cycle"), "did you mean 'cycles'"),
    (lambda f: devices.redundancy(rates=[2.0]), "rates must be a probability"),
])
def test_bad_input(fitted, call, message):
    with pytest.raises(ValueError, match=message):
        call(fitted)
