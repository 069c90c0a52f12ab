"""Each public figure, drawn small: its texts can be read. A new figure has its row here."""

import functools
import inspect

import numpy as np
import pytest
import slow_cases
import small_graphs
from matplotlib.figure import Figure
from matplotlib.text import Text
from readable import check_readable, texts

import bnnsim
import bnnsim.figures as figures
from bnnsim import certificates, devices, metrics, proofs
from bnnsim.faults import ArrayMapping, BitFlips, FaultMap
from bnnsim.training import History

CARD = devices.load_card("teaching")


@functools.cache
def network(seed=0):
    return bnnsim.pack(bnnsim.architectures.build("C8 MP4 FC32 FC10", (1, 28, 28), rng=seed))


@functools.cache
def few():
    return bnnsim.load_embedded()[1][:40]


def answered(one):
    """The images, labelled as a network has it."""
    return bnnsim.Split(few().images, one.predict(few().images), "as it says", 10)


@functools.cache
def swept():
    return bnnsim.sweep({"one": network(), "two": network(1)}, few(), [0, 0.01, 0.1], 3, 0, progress=False)


@functools.cache
def on_card():
    return bnnsim.sweep_card(CARD, {"one": network(), "two": network(1)}, few(), "cycles", [1, 1e3, 1e6], trials=2,
                             rng=0, cells=["1T1R", "2T2R"], at={"condition": "weak"}, progress=False)


def of_two(measure):
    """A measure of two networks, by name."""
    return {"one": measure(network()), "two": measure(network(1))}


def points():
    return [{"values": {"axis": axis, "x": x, "series": series, "exponent": exponent},
             "statistics": {"n": 3, "median": x * 1e-5, "q1": x * 0.9e-5, "q3": x * 1.2e-5}}
            for axis in ("threads", "batch", "width", "depth", "images", "flips", "cells")
            for series, exponent in (("many rates, with table and CSV", 1.02), ("one", None))
            for x in {"threads": (1, 2), "depth": (2, 3, 5, 10, 20, 35, 50)}.get(axis, (1, 10, 1000))]


LINE = np.linspace(-1, 1, 41)
INPUTS = {
    "approximation": lambda: ([LINE], LINE**2, np.round(LINE**2, 1)),
    "array_map": lambda: (FaultMap.record(BitFlips(0.01), network(), 0, 0, ArrayMapping(64, 64)), 0),
    "ber_curve": lambda: (swept(),),
    "card_curves": lambda: (on_card(),),
    "certified_accuracy": lambda: (certificates.certified_flips(network(), few().images), few().labels),
    "chip_histogram": lambda: (swept(), 0.1),
    "class_curves": lambda: (swept(), "two"),
    "confusion_matrix": lambda: (
        metrics.Evaluation("a_network", network(), few(), network().predict(few().images)),),
    "chosen_flips": lambda: (of_two(lambda one: proofs.progressive_flips(one, answered(one), 20, 5)),),
    "failing_images": lambda: (
        of_two(lambda one: metrics.hard_images(one, answered(one), BitFlips(0.2), 3, rng=0)),),
    "critical_histogram": lambda: (metrics.critical_bits(network(), few(), 2),),
    "error_rates": lambda: (CARD, "time"),
    "fault_map": lambda: (network(), BitFlips(0.01).apply(network(), 1), 1),
    "first_layer_weights": lambda: (network(),),
    "fitted_states": lambda: (
        devices.fit(bnnsim.datasets.data_file("devices/sample_measurements.csv"), n_resamples=100),),
    "importance_curves": lambda: (of_two(lambda net: metrics.importance(net, few())),),
    "margin_histograms": lambda: (of_two(lambda net: metrics.margins(net, few().images)),),
    "network_graph": lambda: (small_graphs.packed(),),
    "pareto": lambda: (on_card(),),
    "predicted_curve": lambda: (metrics.predicted_accuracy(network(), few(), swept().rates), swept()),
    "redundancy": lambda: ({"halved, at no cost": lambda p: p / 2},),
    "scaling_curves": lambda: (points(),),
    "tightness": lambda: ({"one": ([1, 2, 30], [2, 9, 40]), "two": ([0, 5], [1, 7])},),
    "tolerance_curves": lambda: (of_two(lambda net: metrics.bit_error_tolerance(net, few().images)),),
    "training_curves": lambda: (History([2.0, 1.0], [0.5, 0.7], [0.4, 0.6], [1e-3, 1e-3]),),
}
OPTIONS = {"approximation": {"title": "a parabola"}, "certified_accuracy": {"title": "a network"},
           "error_rates": {"condition": "weak", "n_points": 9}, "redundancy": {"rates": [1e-3, 1e-2]},
           "tightness": {"title": "bounds"}}
inputs = functools.cache(lambda name: INPUTS[name]())


def draw(name, **options):
    return getattr(figures, name)(*inputs(name), **OPTIONS.get(name, {}), **options)


@pytest.mark.parametrize("name", INPUTS)
def test_all_texts_can_be_read(name):
    figure = draw(name)
    assert len(texts(figure)) > 3
    check_readable(figure)


@pytest.mark.parametrize("width", [pytest.param(width, marks=pytest.mark.slow) for width in ("column", "page")])
@pytest.mark.parametrize("name", INPUTS)
def test_all_texts_can_be_read_in_columns_of_a_paper(name, width):
    figure = draw(name, width=width)
    assert figure.get_figwidth() == pytest.approx({"column": 3.5, "page": 7.16}[width])
    assert width == "page" or max(text.get_fontsize() for text in figure.findobj(Text)) <= 7
    check_readable(figure)


PANELS = {"approximation": 2, "card_curves": 3, "chip_histogram": 2, "fitted_states": 2, "margin_histograms": 2,
          "pareto": 2, "scaling_curves": 7, "tightness": 2, "training_curves": 2}


@pytest.mark.parametrize("name", INPUTS)
def test_axes_that_are_given_are_drawn_on_and_returned(name):
    n = PANELS.get(name, 1)
    figure = Figure(figsize=(4.5 * n, 4), layout="constrained")
    axes = figure.subplots(1, n)
    assert draw(name, ax=axes) is axes and not figure.legends and figure._suptitle is None
    assert all(each.has_data() for each in np.ravel(axes))
    with pytest.raises(ValueError, match=f"ax must be {n} axes, one a panel, got {n + 1}"):
        draw(name, ax=figure.subplots(1, n + 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", INPUTS)
def test_all_texts_can_be_read_on_narrow_axes_among_others(name):
    n = PANELS.get(name, 1)
    figure = Figure(figsize=(2.4 * (n + 1), 3.2), layout="constrained")
    axes = figure.subplots(1, n + 1)
    draw(name, ax=axes[1:])
    assert max(text.get_fontsize() for each in axes[1:] for text in each.findobj(Text) if text.get_text()) <= 7
    check_readable(figure)
    for legend in filter(None, (each.get_legend() for each in axes[1:])):
        box = legend.get_window_extent()
        assert -1 <= box.x0 and box.x1 <= figure.bbox.width + 1 and box.width < 1.2 * legend.axes.bbox.width


@pytest.mark.parametrize("name", slow_cases.first(3, ["ber_curve", "confusion_matrix", "network_graph", "card_curves",
                                                      "scaling_curves"]))
def test_fonts_are_in_the_files(name, tmp_path):
    """Of lines, shares in a table, boxes, and powers on axes: `save_figure` writes them all."""
    figures.save_figure(draw(name), tmp_path / "a.pdf")
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf


def test_ticks_of_scaling_have_room():
    """Less than two decades are labelled where points are, and nothing in between."""
    figure = figures.scaling_curves(points())
    figure.draw_without_rendering()
    depth = next(axes for axes in figure.axes if axes.get_xlabel() == "hidden layers")
    assert [label.get_text() for label in depth.get_xticklabels()] == ["2", "3", "5", "10", "20", "35", "50"]
    assert not any(label.get_text() for axes in figure.axes for label in axes.get_xticklabels(minor=True))


def test_every_public_figure_is_drawn_above_and_need_not_be_written():
    assert set(INPUTS) == set(figures.__all__) - {"save_figure"}
    assert all(inspect.signature(getattr(figures, name)).parameters["path"].default is None for name in INPUTS)


@pytest.mark.parametrize("name", [name for name in INPUTS if name != "approximation"])      # which draws any arrays
@pytest.mark.parametrize("wrong", [[], 3, "sweep.h5", None, [object()]])
def test_what_cannot_be_drawn_is_refused_by_name(name, wrong):
    """A list of results, a path: the argument, what was wanted and what came, not an attribute that a list lacks."""
    if (name, wrong) in (("redundancy", None), ("scaling_curves", [])):         # its default; no point, which it says
        return
    argument = next(iter(inspect.signature(getattr(figures, name)).parameters))
    with pytest.raises(TypeError, match=f"^{argument} must be a .*, got "):
        getattr(figures, name)(wrong, *INPUTS[name]()[1:])
