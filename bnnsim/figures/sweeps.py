"""Figures of results and of training; matplotlib without pyplot: no global state, no window.

Each function returns a `matplotlib.figure.Figure`, and writes it where a path is given: PNG, SVG or PDF. Figures of
networks themselves are in `bnnsim.figures.networks`.

S series, R bit error rates, T trials ("chips"), C classes.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bnnsim.checks import check_choice, check_probability
from bnnsim.datasets.class_names import of_split
from bnnsim.figures.style import (COLOURS, WIDTH, device_axis, draw_curve, legend_below, line_style, new_axes, plain,
                                  rate_axis, wrapped, written)

MAX_STRIP = 30                      # up to so many chips are drawn as points, more as a histogram


def ber_curve(result, path=None, band="interval"):
    """Accuracy over bit error rate, or another axis of a fault: the mean over chips of each series, and a band.

    Parameters
    ----------
    result : SweepResult, or dict of str to SweepResult
        Series of several results go into one figure, named "key: name".
    path : path, optional
    band : {"interval", "range"}
        The 95 % confidence interval of the mean over chips, or from the least to the largest chip.

    Returns
    -------
    matplotlib.figure.Figure
    """
    check_choice("band", band, ("interval", "range"))
    series = _all_series(result)
    figure, axes = new_axes()
    place = _axis_of(axes, series)
    for i, (_, one, s) in enumerate(series):
        low, high = (one.interval()[s].T if band == "interval" else
                     (np.nanmin(one.accuracy[s], axis=1), np.nanmax(one.accuracy[s], axis=1)))
        several = one.n_trials()[s] > 1                                 # one chip has no interval, and no range
        bounds = 100 * np.where(several, [low, high], np.nan)
        draw_curve(axes, place, one.rates, 100 * one.mean()[s], bounds, line_style(i))
    axes.set_ylabel("test accuracy (%)")
    kind = "95 % confidence interval of the mean" if band == "interval" else "from least to largest chip"
    counts = np.concatenate([_counts(one, s) for _, one, s in series])
    chips = _chips(counts)
    title = f"{_images(series)}; line: mean over {chips}"
    axes.set_title(title + (f"\nband: {kind}" if np.any(counts > 1) else ""), fontsize=9)
    legend_below(figure, [label for label, _, _ in series])
    return written(figure, path)


def class_curves(result, name=0, path=None, class_names=None):
    """Accuracy of each class over bit error rate, the mean over chips, for one series.

    Parameters
    ----------
    result : SweepResult
    name : str or int
        Which series, by name or number.
    path : path, optional
    class_names : sequence of str (C,), optional
        By default those of Fashion-MNIST and CIFAR-10 where the split is one of them, else "class 0" and so on.

    Returns
    -------
    matplotlib.figure.Figure
    """
    s = result.index(name)
    n_classes = result.per_class.shape[3]
    names = _class_names(class_names, result.settings["series"][s]["split"], n_classes)
    figure, axes = new_axes(WIDTH + 1.2)
    place = _axis_of(axes, [("", result, s)])
    every = {"color": "0.8", "linewidth": 6, "linestyle": "-", "zorder": 1}
    draw_curve(axes, place, result.rates, 100 * result.mean()[s], None, every)
    drawn = np.flatnonzero(result.class_totals[s] > 0)
    for c in drawn:
        mean = 100 * np.nanmean(result.per_class[s, :, :, c], axis=1)
        draw_curve(axes, place, result.rates, mean, None, line_style(c))
    axes.set_ylabel("test accuracy of the class (%)")
    chips = _chips(_counts(result, s))
    axes.set_title(f"{plain(result.names[s])}\n{_images([('', result, s)])}; lines: mean over {chips}", fontsize=9)
    lines = [Line2D([], [], **style) for style in (every, *map(line_style, drawn))]
    figure.legend(lines, ["all classes", *(plain(names[c]) for c in drawn)], loc="outside right upper", fontsize=9,
                  frameon=False, handlelength=3)
    return written(figure, path)


def chip_histogram(result, rate, path=None):
    """How accuracy spreads over chips at one bit error rate: up to 30 chips as points, more as a histogram; the median.

    Parameters
    ----------
    result : SweepResult, or dict of str to SweepResult
    rate : float
        One of the result's rates; three digits are enough, as tables print them.
    path : path, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Where the rate is not among those of a result: the message lists them.
    """
    series = _all_series(result)
    places = [_rate_index(one.rates, rate) for _, one, _ in series]
    chips = [one.accuracy[s, r] for (_, one, s), r in zip(series, places)]
    chips = [100 * trials[~np.isnan(trials)] for trials in chips]
    figure = Figure(figsize=(WIDTH, 1.4 + 0.9 * len(series)), layout="constrained")
    rows = figure.subplots(len(series), 1, sharex=True, squeeze=False)[:, 0]
    points = max(map(len, chips)) <= MAX_STRIP
    edges = _edges(np.concatenate(chips), max(one.n_images for _, one, _ in series))
    for i, (axes, (label, _, _), trials) in enumerate(zip(rows, series, chips)):
        (_draw_points if points else _draw_bars)(axes, trials, edges, COLOURS[i % len(COLOURS)])
        median = float(np.median(trials))
        axes.axvline(median, color="black", linestyle="--", linewidth=1.2)
        axes.set_title(f"{wrapped(label)}: median {median:.2f} % of {_chips([len(trials)])}", fontsize=9, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(True, axis="x", linewidth=0.4, alpha=0.6)
    rows[-1].set_xlabel("test accuracy of a chip (%)")
    rows[-1].ticklabel_format(axis="x", useOffset=False)
    figure.suptitle(f"{_images(series)}, bit error rate {series[0][1].rates[places[0]]:.4g}", fontsize=9)
    if not points:
        figure.supylabel("chips", fontsize=10)
    return written(figure, path)


def _all_series(result):
    """(label, result, its number there) of all series of a result or a dict of results."""
    named = result if isinstance(result, dict) else {"": result}
    if not named:
        raise ValueError("result must be a SweepResult or a dict with at least one, got an empty dict")
    return [(f"{key}: {name}" if len(named) > 1 else name, one, s)
            for key, one in named.items() for s, name in enumerate(one.names)]


def _images(series):
    """Which images: each split, and how many."""
    entries = [one.settings["series"][s] for _, one, s in series]
    return wrapped(", ".join(dict.fromkeys(f"{entry['split']} ({entry['n_images']:,} images)" for entry in entries)))


def _chips(counts):
    least, most = (int(min(counts)), int(max(counts))) if len(counts) else (1, 1)
    return f"{most} chip{'s' * (most > 1)}" if least == most else f"{least} to {most} chips"


def _class_names(names, split, n_classes):
    if names is None:
        return of_split(split, n_classes)
    if isinstance(names, str) or len(names) != n_classes:
        raise ValueError(f"class_names must be {n_classes} strings, one a class, got {names!r}")
    return [str(name) for name in names]


def _axis_of(axes, series):
    """Name and scale the horizontal axis of results, which must be of one kind; returns value -> place."""
    kinds = {one.axis for _, one, _ in series}
    if len(kinds) > 1:
        raise ValueError(f"results must be over one axis, got {', '.join(kind or 'BER' for kind in kinds)}")
    places, kind = np.concatenate([one.rates for _, one, _ in series]), kinds.pop()
    return rate_axis(axes, places) if kind is None else device_axis(axes, places, kind)


def _counts(one, s):
    """Chips of a series at each place but a bit error rate of 0."""
    return one.n_trials()[s] if one.axis else one.n_trials()[s][one.rates > 0]


def _rate_index(rates, rate):
    """Place of a rate in a grid: itself, or the one that looks like it at three digits."""
    rate = check_probability("rate", rate)
    near = np.flatnonzero(np.isclose(rates, rate, rtol=5e-3, atol=0))
    if len(near) > 1:
        near = np.flatnonzero(rates == rate)
    if len(near) != 1:
        known = ", ".join(f"{p:.4g}" for p in np.sort(rates))
        raise ValueError(f"rate must be one of the result's, {known}; got {rate:g}")
    return int(near[0])


def _edges(values, n_images):
    """Edges of some 25 bins, each as wide as the same number of images: bins of uneven numbers look like a comb."""
    low, high = np.round(np.array([values.min(), values.max()]) * n_images / 100)
    step = max(1, int(np.ceil((high - low + 1) / 25)))
    return 100 / n_images * (np.arange(low, high + step + 1, step) - 0.5)


def _draw_bars(axes, trials, edges, colour):
    axes.hist(trials, edges, color=colour, alpha=0.7, edgecolor="white", linewidth=0.4)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def _draw_points(axes, trials, edges, colour):
    """Points; those of one bin are stacked."""
    bins = np.digitize(trials, edges)
    heights = [np.count_nonzero(bins[:t] == bins[t]) for t in range(len(trials))]
    axes.plot(trials, heights, "o", color=colour, markeredgecolor="white", markersize=6)
    axes.set_ylim(-0.7, max(3, max(heights) + 0.7))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
