"""Figures of metrics: margins, tolerance, importance, predicted accuracy and critical bits.

Each function returns a `matplotlib.figure.Figure`, and writes it where a path is given: PNG, SVG or PDF. Results of
several networks may be given as a dict by name, where a function says so.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bnnsim.figures.style import (COLOURS, LINES, draw_curve, legend_below, line_style, new_axes, plain, rate_axis,
                                  written)
from bnnsim.packed.kinds import KINDS

BARS = 60


def _named(found):
    if isinstance(found, dict):
        if not found:
            raise ValueError("results must be one, or a dict of at least one by name, got an empty dict")
        return found
    return {"": found}


def _layer_name(layer):
    return f"layer {layer.index}, {layer.kind}, {layer.units:,} {KINDS[layer.kind].unit}s"


def _coarse(edges, counts):
    """About BARS wide bars up to where all but a thousandth of the entries lie: (edges, shares)."""
    most = int(np.searchsorted(np.cumsum(counts), 0.999 * counts.sum())) + 1
    step = max(1, -(-most // BARS))
    n_bars = -(-most // step)
    padded = np.zeros(n_bars * step)
    padded[:min(len(counts), len(padded))] = counts[:len(padded)]
    return edges[0] + np.arange(n_bars + 1) * step * (edges[1] - edges[0]), \
        padded.reshape(n_bars, step).sum(1) / counts.sum()


def margin_histograms(found, path=None):
    """Histograms of |h - s|, a panel a layer; the largest thousandth of the margins is cut off.

    Parameters
    ----------
    found : bnnsim.metrics.Margins, or dict of str to Margins
        Of networks with the same layers.
    path : path, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    named = _named(found)
    first = next(iter(named.values()))
    if any(len(one.layers) != len(first.layers) for one in named.values()):
        raise ValueError("results must be of networks with the same number of hidden layers")
    n_rows = -(-len(first.layers) // 2)
    figure = Figure(figsize=(8.0, 0.8 + 2.6 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, min(2, len(first.layers)), squeeze=False).reshape(-1)
    for i, axes in enumerate(panels):
        if i >= len(first.layers):
            figure.delaxes(axes)
            continue
        for s, one in enumerate(named.values()):
            edges, shares = _coarse(one.layers[i].edges, one.layers[i].counts)
            axes.stairs(100 * shares, edges, color=COLOURS[s % len(COLOURS)], linestyle=LINES[s % len(LINES)],
                        linewidth=1.4, fill=len(named) == 1, alpha=0.8 if len(named) == 1 else 1)
        axes.set_title(_layer_name(first.layers[i]), fontsize=9)
        axes.set_xlabel("margin |h - s|" + (", pixel levels" if i == 0 else ", summands of size 1"), fontsize=9)
        axes.set_ylabel("share of a bar (%)", fontsize=9)
        axes.set_xlim(left=0)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"pre-activation margins, {first.n_images:,} images", fontsize=10)
    if len(named) > 1:
        _plain_legend(figure, named)
    return written(figure, path)


def _plain_legend(figure, named):
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=COLOURS[s % len(COLOURS)], linestyle=LINES[s % len(LINES)])
             for s in range(len(named))]
    figure.legend(lines, [plain(name) for name in named], loc="outside lower center", fontsize=9, frameon=False,
                  ncols=min(3, len(named)))


def tolerance_curves(found, path=None):
    """Share of neurons and images that stand a number of flips, a curve a layer.

    Parameters
    ----------
    found : bnnsim.metrics.Tolerance, or dict of str to Tolerance
    path : path, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    named = _named(found)
    figure, axes = new_axes()
    labels = []
    for name, one in named.items():
        for layer in one.layers:
            total = layer.counts.sum() + layer.n_never
            stand = 100 * (1 - np.concatenate([[0], np.cumsum(layer.counts)[:-1]]) / total)
            last = int(np.flatnonzero(layer.counts)[-1]) if layer.counts.any() else 0
            style = {**line_style(len(labels)), "drawstyle": "steps-post"}
            axes.plot(np.arange(last + 1), stand[:last + 1], **style, markevery=max(1, (last + 1) // 8))
            kind = "" if layer.exact else ", bound"
            labels.append(f"{name + ': ' if name else ''}{_layer_name(layer)}{kind}")
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xlim(left=0)
    axes.set_ylim(0, 102)
    axes.set_xlabel("flips T of the neuron's weights, whichever they are")
    axes.set_ylabel("neurons and images that\nstand T flips or more (%)")
    axes.set_title(f"bit error tolerance, {next(iter(named.values())).n_images:,} images", fontsize=10)
    legend_below(figure, labels)
    return written(figure, path)


def importance_curves(found, path=None):
    """Shares of importance from the largest neuron to the smallest, a curve a layer; equal shares are the line at 1.

    Parameters
    ----------
    found : bnnsim.metrics.Importance, or dict of str to Importance
    path : path, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    named = _named(found)
    figure, axes = new_axes()
    labels = []
    for name, one in named.items():
        for layer in one.layers:
            place = 100 * (np.arange(layer.units) + 0.5) / layer.units
            axes.plot(place, layer.units * np.sort(layer.share)[::-1], **line_style(len(labels)),
                      markevery=max(1, layer.units // 8))
            labels.append(f"{name + ': ' if name else ''}{_layer_name(layer)}, variance {layer.variance:.2g}")
    axes.axhline(1, color="0.4", linewidth=0.8, linestyle=":")
    axes.set_xlabel("neurons of the layer, the most important first (%)")
    axes.set_ylabel("importance over that of equal shares")
    first = next(iter(named.values()))
    axes.set_title(f"importance of neurons by {first.method}, {first.n_images:,} images", fontsize=10)
    legend_below(figure, labels)
    return written(figure, path)


def predicted_curve(found, result=None, path=None):
    """Predicted accuracy over bit error rates, and a campaign's mean with its band where one is given.

    Parameters
    ----------
    found : bnnsim.metrics.PredictedAccuracy
    result : SweepResult, optional
    path : path, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = new_axes()
    place = rate_axis(axes, found.rates if result is None else np.concatenate([found.rates, result.rates]))
    labels, text = ["predicted, no error injected"], f"{plain(found.split)}, {found.right.shape[1]:,} images"
    draw_curve(axes, place, found.rates, 100 * found.accuracy, None, line_style(0))
    if result is not None:
        bounds = 100 * result.interval()[0].T
        draw_curve(axes, place, np.asarray(result.rates), 100 * result.mean()[0], bounds, line_style(1))
        labels.append(f"injected, mean over {result.right.shape[2]} chips")
        text += "\nband: 95 % confidence interval of the mean over chips"
    axes.set_ylabel("test accuracy (%)")
    axes.set_title(text, fontsize=10)
    legend_below(figure, labels)
    return written(figure, path)


def critical_histogram(found, path=None):
    """How many bits of a layer have which effect when they alone are wrong.

    Parameters
    ----------
    found : bnnsim.metrics.CriticalBits
    path : path, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = new_axes(height=3.8)
    values, counts = np.unique(found.effect, return_counts=True)
    shares = counts / found.effect.size
    colours = [COLOURS[1] if value < 0 else COLOURS[2] if value > 0 else "0.6" for value in values]
    axes.bar(values, shares, width=0.9, color=colours)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.set_xlabel(f"right answers gained by one wrong bit, of {found.n_images:,} images")
    axes.set_ylabel("share of the layer's bits")
    axes.set_title(f"each of the {found.effect.size:,} bits of layer {found.layer}, flipped alone", fontsize=10)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return written(figure, path)
