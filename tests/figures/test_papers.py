"""Figures for papers: sizes, fonts, axes that give the interesting decades room, points of others."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from readable import check_readable
from test_plotting import swept

import bnnsim
import bnnsim.figures.scales as scales
import bnnsim.figures.sweeps as sweeps

RATES = np.array([0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.05, 0.2])


def falling():
    """Two series on a plateau of 80 % up to 1e-3."""
    result = swept(RATES)
    shares = np.where(RATES <= 1e-3, 0.8, 0.8 - 0.6 * RATES / 0.2)
    result.right[:] = np.round(shares[None, :, None, None] * [250, 150, 400])
    return result


def test_fonts_are_in_the_files_and_the_settings_of_the_user_stay(tmp_path):
    names = ("pdf.fonttype", "ps.fonttype", "svg.fonttype")
    before = [matplotlib.rcParams[name] for name in names]
    figure = sweeps.ber_curve(swept(), tmp_path / "a.pdf")
    bnnsim.plotting.save_figure(figure, tmp_path / "a.svg")
    assert [matplotlib.rcParams[name] for name in names] == before
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf                # TrueType, embedded
    assert "test accuracy (%)</text>" in (tmp_path / "a.svg").read_text()


def test_a_figure_shows_itself_in_a_notebook():
    assert sweeps.ber_curve(swept())._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(("width", "inches"), [("column", (3.5, None)), ("page", (7.16, None)), (5, (5, None)),
                                               ((4.2, 3.1), (4.2, 3.1))])
def test_width_is_that_of_the_figure(width, inches):
    found = sweeps.ber_curve(swept(n_series=1), width=width).get_size_inches()
    assert found[0] == pytest.approx(inches[0]) and (inches[1] is None or found[1] == pytest.approx(inches[1]))


@pytest.mark.parametrize("width", [None, "column", "page"])
def test_many_series_are_legible(width):
    figure = sweeps.ber_curve(swept(n_series=24), width=width, xscale="split")
    check_readable(figure)
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle(), line.get_markerfacecolor())
             for line in figure.legends[0].get_lines()}
    assert len(looks) == 24


@pytest.mark.parametrize("width", [0, "half", (1, 2, 3), 50])
def test_another_width_is_refused(width):
    with pytest.raises(ValueError, match="width must be"):
        sweeps.ber_curve(swept(), width=width)


def share_right_of(axes, rate):
    """How much of the axis lies right of a rate."""
    left, right = axes.transAxes.inverted().transform(axes.transData.transform([(rate, 50), (RATES[-1], 50)]))[:, 0]
    return right - left


@pytest.mark.parametrize("draw", [sweeps.ber_curve, sweeps.class_curves])
def test_split_and_linear_axes_give_the_fall_room(draw):
    shares = {}
    for scale in ("log", "split", "linear"):
        figure = draw(falling(), xscale=scale)
        check_readable(figure)
        shares[scale] = share_right_of(figure.axes[0], 1e-3)
    assert shares["log"] < 0.35 and shares["split"] > 0.55 and shares["linear"] > 0.85
    split = draw(falling(), xscale="split").axes[0]
    assert "narrowed" in split.get_xlabel()
    shown = [split.xaxis.get_major_formatter()(x, 0) for x in split.get_xticks()]
    assert shown[0] == "0" and {"$10^{-2}$", "$10^{-1}$"} <= set(shown)
    assert draw(falling(), xscale="linear").axes[0].get_xscale() == "linear"


def test_a_plateau_ends_where_the_first_curve_falls():
    accuracies = falling().mean()[0]
    assert scales.plateau_end([(RATES, accuracies)]) == 1e-3
    early = np.where(RATES <= 1e-5, 0.8, 0.1)
    assert scales.plateau_end([(RATES, accuracies), (RATES[::-1], early[::-1])]) == 1e-5
    assert scales.plateau_end([(RATES, np.where(RATES > 0, 0.1, 0.8))]) is None
    axes = sweeps.ber_curve(swept([0.0]), xscale="split").axes[0]                       # nothing to split
    assert "narrowed" not in axes.get_xlabel()


def test_another_scale_is_refused():
    with pytest.raises(ValueError, match="xscale must be one of 'log', 'linear', 'split'|xscale must be"):
        sweeps.ber_curve(swept(), xscale="cubic")
    result = swept([0.5, 0.6])
    for series in result.settings["series"]:
        series["axis"] = "voltage_volt"
    if result.axis == "voltage_volt":
        with pytest.raises(ValueError, match="is for axes of probabilities"):
            sweeps.ber_curve(result, xscale="split")


@pytest.mark.parametrize("measure", [lambda net, test: bnnsim.metrics.bit_error_tolerance(net, test.images),
                                     lambda net, test: bnnsim.metrics.importance(net, test),
                                     lambda net, test: bnnsim.metrics.critical_bits(net, test, 1),
                                     lambda net, test: bnnsim.metrics.predicted_accuracy(net, test, [0.01, 0.1]),
                                     lambda net, test: swept()])
def test_plot_of_a_result_takes_axes_too(measure):
    network = bnnsim.pack(bnnsim.architectures.build("FC16 FC12 FC10", (1, 28, 28), rng=0))
    axes = Figure().subplots()
    assert measure(network, bnnsim.load_embedded()[1][:40]).plot(ax=axes) is axes and axes.has_data()
