"""Figures of metrics: margins, tolerance, importance, predicted accuracy and critical bits.

Results of several networks may be given as a dict by name, where a function says so.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from bnnsim.checks import FilePath, check_probability
from bnnsim.faults.axis import BER
from bnnsim.figures.drawn import by_name, check_drawn
from bnnsim.figures.published import draw_published, read_published
from bnnsim.figures.scales import Scale, draw_curve, plateau_end, rate_axis
from bnnsim.figures.style import (COLOURS, LINES, Drawn, Width, chips_in_words, heading, legend_below, line_style,
                                  new_axes, new_panels, plain, wrapped, written)
from bnnsim.packed.kinds import KINDS
from bnnsim.statistics.intervals import t_quantile

if TYPE_CHECKING:
    from bnnsim.campaign import SweepResult
    from bnnsim.metrics import (CriticalBits, HardImages, Importance, LayerImportance, LayerMargins, LayerTolerance,
                                Margins, PredictedAccuracy, Tolerance)

BARS = 60


def margin_histograms(results: "Margins | Mapping[str, Margins]", path: FilePath | None = None,
                      *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """Histograms of |h - s|, a panel a layer; the largest thousandth of the margins is cut off.

    Parameters
    ----------
    results : bnnsim.metrics.Margins, or dict of str to Margins
        Of networks with the same layers.
    path : path, optional
    ax : sequence of matplotlib.axes.Axes, optional
        One a panel, drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    named = by_name("results", results, "Margins", "bnnsim.metrics.margins")
    first = next(iter(named.values()))
    if any(len(margins.layers) != len(first.layers) for margins in named.values()):
        raise ValueError("results must be of networks with the same number of hidden layers")
    n_rows = -(-len(first.layers) // 2)
    figure, panels = new_panels((8.0, 0.8 + 2.6 * n_rows), n_rows, min(2, len(first.layers)),
                                used=len(first.layers), ax=ax, width=width, grid=False)
    for i, (axes, layer) in enumerate(zip(panels, first.layers)):
        for s, margins in enumerate(named.values()):
            edges, shares = _coarse(margins.layers[i].edges, margins.layers[i].counts)
            axes.stairs(100 * shares, edges, color=COLOURS[s % len(COLOURS)], linestyle=LINES[s % len(LINES)],
                        linewidth=1.4, fill=len(named) == 1, alpha=0.8 if len(named) == 1 else 1)
        axes.set_title(_layer_name(layer), fontsize=9)
        axes.set_xlabel("margin |h - s|" + (", pixel levels" if layer.level > 1 else ", summands of size 1"),
                        fontsize=9)
        axes.set_ylabel("share of a bar (%)", fontsize=9)
        axes.set_xlim(left=0)
    heading(figure, f"pre-activation margins, {first.n_images:,} images", ax)
    if len(named) > 1:
        legend_below(figure, named, marked=False, ax=ax)
    return written(figure, path, ax)


def tolerance_curves(results: "Tolerance | Mapping[str, Tolerance]", path: FilePath | None = None,
                     *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """Share of neurons and images that stand a number of flips, a curve a layer.

    Parameters
    ----------
    results : bnnsim.metrics.Tolerance, or dict of str to Tolerance
    path : path, optional
    ax : matplotlib.axes.Axes, optional
        Drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    named = by_name("results", results, "Tolerance", "bnnsim.metrics.bit_error_tolerance")
    figure, axes = new_axes(ax=ax, size=width)
    labels = []
    for label, style, layer in _each_layer(named):
        total = layer.counts.sum() + layer.n_never
        stand = 100 * (1 - np.concatenate([[0], np.cumsum(layer.counts)[:-1]]) / total)
        n_shown = int(np.flatnonzero(layer.counts)[-1]) + 1 if layer.counts.any() else 1
        axes.plot(np.arange(n_shown), stand[:n_shown], **style, drawstyle="steps-post", markevery=0.1)
        labels.append(label + ("" if layer.exact else ", bound"))
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=0)
    axes.set_ylim(0, 102)
    axes.set_xlabel("flips T of the neuron's weights, whichever they are")
    axes.set_ylabel("neurons and images that\nstand T flips or more (%)")
    axes.set_title(f"bit error tolerance, {next(iter(named.values())).n_images:,} images", fontsize=10)
    legend_below(figure, labels, ax=ax)
    return written(figure, path, ax)


def importance_curves(results: "Importance | Mapping[str, Importance]", path: FilePath | None = None,
                      *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """Shares of importance from the largest neuron to the smallest, a curve a layer; equal shares are the line at 1.

    Noise of the images makes curves steeper than the neurons' differences are; the legend says by how much.

    Parameters
    ----------
    results : bnnsim.metrics.Importance, or dict of str to Importance
    path : path, optional
    ax : matplotlib.axes.Axes, optional
        Drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    named = by_name("results", results, "Importance", "bnnsim.metrics.importance")
    figure, axes = new_axes(ax=ax, size=width)
    labels = []
    for label, style, layer in _each_layer(named):
        rank = 100 * (np.arange(layer.units) + 0.5) / layer.units
        axes.plot(rank, layer.units * np.sort(layer.share)[::-1], **style, markevery=max(1, layer.units // 8))
        steady = layer.reliability
        noise = f", variance {layer.variance:.2g}, noise-free {steady.noise_free_variance:.2g}, reliability {steady}"
        labels.append(label + noise * (ax is None))             # a legend on the axes has no room for it
    axes.axhline(1, color="0.4", linewidth=0.8, linestyle=":")
    axes.set_xlabel("neurons of the layer, the most important first (%)")
    axes.set_ylabel("importance over that of equal shares")
    first = next(iter(named.values()))
    axes.set_title(f"importance of neurons (method {first.method}), {first.n_images:,} images", fontsize=10)
    legend_below(figure, labels, ax=ax)
    return written(figure, path, ax)


def predicted_curve(predicted: "PredictedAccuracy", result: "SweepResult | None" = None,
                    path: FilePath | None = None, *, ax: "Drawn | None" = None, width: Width = None,
                    xscale: Scale = "log", published: FilePath | None = None) -> "Drawn":
    """Predicted accuracy over bit error rates with the band of its draws, and a campaign's mean where one is given.

    Parameters
    ----------
    predicted : bnnsim.metrics.PredictedAccuracy
    result : SweepResult, optional
    path : path, optional
    ax : matplotlib.axes.Axes, optional
        Drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.
    xscale : {"log", "linear", "split"}
        "split" is log with the plateau narrowed, where no curve has lost a twentieth of its loss.
    published : path, optional
        A CSV of points to draw as well: columns rate, accuracy (a share of 1) and citation, which the legend shows.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    check_drawn("predicted", predicted, "PredictedAccuracy", "bnnsim.metrics.predicted_accuracy")
    if result is not None:
        check_drawn("result", result, "SweepResult", "bnnsim.sweep")
    figure, axes = new_axes(ax=ax, size=width)
    if result is not None and result.axis != BER:
        raise ValueError(f"result must be over bit error rates, as the prediction is, got the axis {result.axis!r}")
    curves = [(predicted.rates, predicted.accuracy)] + ([] if result is None else [(result.rates, result.mean()[0])])
    points = read_published(published, check=check_probability)
    rates = np.concatenate([*(rates for rates, _ in curves), *(one.x for one in points)])
    place = rate_axis(axes, rates, scale=xscale, knee=plateau_end(curves))
    labels = ["predicted from statistics of flips"]
    text = f"{plain(predicted.split)}, {predicted.right.shape[1]:,} images"
    accuracy, reach = 100 * predicted.accuracy, np.array([t_quantile(0.95, df) for df in predicted.freedom])
    chance = 100 * reach * predicted.standard_error
    band = None if np.isnan(chance).any() else np.clip([accuracy - chance, accuracy + chance], 0, 100)
    draw_curve(axes, place, predicted.rates, accuracy, band, line_style(0))
    if result is not None:
        counts = result.n_trials()[0]
        bounds = 100 * np.where(counts > 1, result.interval()[0].T, np.nan)
        draw_curve(axes, place, np.asarray(result.rates), 100 * result.mean()[0], bounds, line_style(1))
        labels.append(f"injected, mean over {chips_in_words(counts[result.rates > 0])}")
        text += "\nbands: 95 % confidence intervals of the mean, over draws or chips"
    axes.set_ylabel("test accuracy (%)")
    axes.set_title(text, fontsize=10)
    lines, citations = draw_published(axes, points, place)
    lines = [Line2D([], [], **line_style(i)) for i in range(len(labels))] + lines
    legend_below(figure, [*labels, *citations], ax=ax, lines=lines)
    return written(figure, path, ax)


def critical_histogram(critical: "CriticalBits", path: FilePath | None = None,
                       *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """How many bits of a layer have which effect when they alone are wrong.

    Parameters
    ----------
    critical : bnnsim.metrics.CriticalBits
    path : path, optional
    ax : matplotlib.axes.Axes, optional
        Drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    check_drawn("critical", critical, "CriticalBits", "bnnsim.metrics.critical_bits")
    figure, axes = new_axes(height=3.8, ax=ax, size=width)
    values, counts = np.unique(critical.effect, return_counts=True)
    colours = [COLOURS[1] if value < 0 else COLOURS[2] if value > 0 else "0.6" for value in values]
    axes.bar(values, counts / critical.effect.size, width=0.9, color=colours)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.set_xlabel(f"right answers gained by one wrong bit, of {critical.n_images:,} images")
    axes.set_ylabel("share of the layer's bits")
    axes.set_title(f"each of the {critical.effect.size:,} bits of layer {critical.layer}, flipped alone", fontsize=10)
    axes.locator_params(axis="x", integer=True)
    return written(figure, path, ax)


def failing_images(results: "HardImages | Mapping[str, HardImages]", path: FilePath | None = None,
                   *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """How often images fail, over their leads without errors: by twentieths of the images, the hardest on the left.

    Parameters
    ----------
    results : bnnsim.metrics.HardImages, or dict of str to HardImages
    path : path, optional
    ax : matplotlib.axes.Axes, optional
        Drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    named = by_name("results", results, "HardImages", "bnnsim.metrics.hard_images")
    labels: list[str] = []
    figure, axes = new_axes(height=3.8, ax=ax, size=width)
    for s, (name, found) in enumerate(named.items()):
        ends, _, shares = found.by_part(min(20, len(found.lead)))
        tells = "none to compare" if np.isnan(found.area) else f"{100 * found.area:.0f} %"
        labels.append(f"{name}: {tells}" if name else tells)
        axes.plot(50 * (ends[1:] + ends[:-1]), 100 * shares, **line_style(s), label=plain(labels[-1]))
    axes.set_xlim(0, 100)
    axes.set_ylim(bottom=-0.03 * axes.get_ylim()[1])                # markers at 0 are whole
    axes.set_xlabel("images (%), the smallest lead without errors first")
    axes.set_ylabel("wrong reads (%)")
    chance = "how often an image that fails had a smaller lead than one that stands"
    if ax is not None:
        axes.legend(fontsize=8, title=textwrap.fill(chance, 26), title_fontsize=8)
    elif "" in named:
        axes.set_title(f"{labels[0]}: {chance}", fontsize=9)
    else:
        axes.set_title(wrapped(f"%: {chance}"), fontsize=9)
        legend_below(figure, labels)
    return written(figure, path, ax)


# ---------------------------------------------------------------- parts

def _layer_name(layer: "LayerMargins | LayerTolerance | LayerImportance") -> str:
    return f"layer {layer.index}, {layer.kind}, {layer.units:,} {KINDS[layer.kind].unit}s"


def _each_layer(named: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """(label, look of its line, layer) of all layers of all results."""
    layers = [(name, layer) for name, result in named.items() for layer in result.layers]
    for i, (name, layer) in enumerate(layers):
        yield f"{name + ': ' if name else ''}{_layer_name(layer)}", line_style(i), layer


def _coarse(edges: np.ndarray, counts: np.ndarray) -> Sequence[np.ndarray]:
    """About BARS wide bars up to where all but a thousandth of the entries lie: (edges, shares)."""
    most = int(np.searchsorted(np.cumsum(counts), 0.999 * counts.sum())) + 1
    step = max(1, -(-most // BARS))
    n_bars = -(-most // step)
    padded = np.zeros(n_bars * step)
    padded[:min(len(counts), len(padded))] = counts[:len(padded)]
    return edges[0] + np.arange(n_bars + 1) * step * (edges[1] - edges[0]), \
        padded.reshape(n_bars, step).sum(1) / counts.sum()
