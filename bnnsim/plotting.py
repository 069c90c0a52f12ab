"""Figures; the only module that imports matplotlib, and never pyplot: no global state, no window.

Each function returns a `matplotlib.figure.Figure`, and writes it where a path is given: PNG, SVG or PDF.
"""

import os

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

import bnnsim.files as files

# Okabe and Ito's colours, which differ for colour-blind readers; markers differ as well, for grey prints
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*"


def save_figure(figure, path):
    """Write a figure; the ending chooses the format: .png, .svg or .pdf."""
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending not in (".png", ".svg", ".pdf"):
        raise ValueError(f"path must end in .png, .svg or .pdf, got {os.fspath(path)!r}")
    with files.replaced(path) as temporary:
        figure.savefig(temporary, dpi=150)


def _new_axes(width=6.4, height=4.2):
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(True, linewidth=0.4, alpha=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _place_zero(axes, rates):
    """Put rate 0 one decade left of the smallest positive rate, behind a dotted line; return the places to draw at."""
    positive = rates[rates > 0]
    if len(positive) == 0:
        axes.set_xticks([0.0], ["0"])
        return rates
    axes.set_xscale("log")
    if len(positive) == len(rates):
        return rates
    zero = positive.min() / 10
    decades = 10.0 ** np.arange(np.ceil(np.log10(positive.min()) - 1e-9), np.floor(np.log10(positive.max())) + 1)
    axes.set_xticks([zero, *decades])
    axes.xaxis.set_major_formatter(FuncFormatter(
        lambda x, _: "0" if x <= zero * 1.001 else f"$10^{{{round(np.log10(x))}}}$"))
    axes.minorticks_off()
    axes.axvline(zero * np.sqrt(10), linestyle=":", color="0.5", linewidth=1)
    return np.where(rates > 0, rates, zero)


def ber_curve(result, path=None):
    """Accuracy over bit error rate: mean over trials, and a band from the least to the largest trial.

    Parameters
    ----------
    result : SweepResult
    path : path, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = _new_axes()
    order = np.argsort(result.rates)
    places = _place_zero(axes, result.rates[order])
    drawn = result.rates[order] > 0
    for i, name in enumerate(result.names):
        trials = 100 * result.accuracy[i][order]
        style = dict(color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], markersize=4)
        axes.plot(places[drawn], trials.mean(axis=1)[drawn], label=name, **style)
        axes.plot(places[~drawn], trials.mean(axis=1)[~drawn], linestyle="", **style)       # 0 is not on the log axis
        axes.fill_between(places[drawn], trials.min(axis=1)[drawn], trials.max(axis=1)[drawn], color=style["color"],
                          alpha=0.2, linewidth=0)
    axes.set_xlabel("bit error rate of the stored weights")
    axes.set_ylabel("test accuracy (%)")
    n_trials = result.accuracy.shape[2]
    axes.set_title(f"{result.split}, {result.n_images:,} images; line: mean, band: range of {n_trials} "
                   f"trial{'s' * (n_trials > 1)}",
                   fontsize=9)
    axes.legend(loc="lower left", framealpha=1, edgecolor="none")
    if path is not None:
        save_figure(figure, path)
    return figure


def training_curves(history, path=None):
    """Loss and accuracy over epochs.

    Parameters
    ----------
    history : History
    path : path, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(8.0, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = np.arange(1, len(history.loss) + 1)
    left.plot(epochs, history.loss, color=COLOURS[0], marker="o", markersize=3)
    left.set_ylabel("training loss (nats)")
    right.plot(epochs, 100 * np.array(history.accuracy), color=COLOURS[0], marker="o", markersize=3, label="training")
    if history.validation_accuracy and history.validation_accuracy[0] is not None:
        right.plot(epochs, 100 * np.array(history.validation_accuracy), color=COLOURS[1], marker="s", markersize=3,
                   label="validation")
    right.set_ylabel("accuracy (%)")
    right.legend(loc="lower right", frameon=False)
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.grid(True, linewidth=0.4, alpha=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    if path is not None:
        save_figure(figure, path)
    return figure
