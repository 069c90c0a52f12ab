"""Figures of a campaign's results: accuracy over bit error rates, by class, and how it spreads over chips.

S series, R bit error rates, T trials ("chips"), C classes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bnnsim.checks import FilePath, check_choice, check_probability, check_real
from bnnsim.datasets.class_names import of_split
from bnnsim.devices.card_schema import AXES, MOVED, place_text
from bnnsim.faults.axis import in_words, is_probability
from bnnsim.figures.drawn import by_name, check_drawn
from bnnsim.figures.published import draw_published, read_along, read_published
from bnnsim.figures.scales import (Place, Scale, card_axis, device_axis, draw_curve, name_axis, plateau_end,
                                   rate_axis)
from bnnsim.figures.style import (COLOURS, LEGEND, NARROW, WIDTH, Drawn, Width, chips_in_words, heading, legend_below,
                                  line_style, new_axes, new_panels, plain, wrapped, written)

if TYPE_CHECKING:
    from bnnsim.campaign import SweepResult

MAX_STRIP = 30                      # up to so many chips are drawn as points, more as a histogram


class _Series(NamedTuple):
    """One series of a result: what it is called in the figure, and its number in the result."""

    label: str
    result: "SweepResult"
    s: int

    def counts(self) -> np.ndarray:
        """Chips at each place but a probability of 0."""
        counts = self.result.n_trials()[self.s]
        return counts[self.result.rates > 0] if is_probability(self.result.axis) else counts


def ber_curve(result: "SweepResult | Mapping[str, SweepResult]", path: FilePath | None = None,
              band: str = "interval", *, ax: "Drawn | None" = None, width: Width = None, xscale: Scale = "log",
              published: FilePath | None = None) -> "Drawn":
    """Accuracy over bit error rate, or another axis of a fault: the mean over chips of each series, and a band.

    Parameters
    ----------
    result : SweepResult, or dict of str to SweepResult
        Series of several results go into one figure, named "key: name".
    path : path, optional
    band : {"interval", "range"}
        The 95 % confidence interval of the mean over chips, or from the least to the largest chip.
    ax : matplotlib.axes.Axes, optional
        Drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.
    xscale : {"log", "linear", "split"}
        Of probabilities; "split" is log with the plateau narrowed, where no curve has lost a twentieth of its loss.
    published : path, optional
        A CSV of points to draw as well: columns rate, accuracy (a share of 1) and citation, which the legend shows.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    check_choice("band", band, ("interval", "range"))
    series = _all_series(result)
    axis = series[0].result.axis
    limits = check_probability if is_probability(axis) else check_real
    points = read_along(published, axis) if axis == "condition" else read_published(published, check=limits)
    figure, axes = new_axes(ax=ax, size=width)
    place = _axis_of(axes, series, xscale, [one.x for one in points])
    for i, (_, swept, s) in enumerate(series):
        low, high = (swept.interval()[s].T if band == "interval" else
                     (np.nanmin(swept.accuracy[s], axis=1), np.nanmax(swept.accuracy[s], axis=1)))
        several = swept.n_trials()[s] > 1                                # one chip has no interval, and no range
        bounds = 100 * np.where(several, [low, high], np.nan)
        draw_curve(axes, place, swept.rates, 100 * swept.mean()[s], bounds, line_style(i))
    axes.set_ylabel("test accuracy (%)")
    kind = "95 % confidence interval of the mean" if band == "interval" else "from least to largest chip"
    counts = np.concatenate([line.counts() for line in series])
    title, line, band = _images(series), f"; line: mean over {chips_in_words(counts)}", f"\nband: {kind}"
    if ax is None:                              # on axes given a caption tells what line and band are
        title += line
    axes.set_title(title + _card_marks(series) + (band if ax is None and np.any(counts > 1) else ""), fontsize=9)
    lines, citations = draw_published(axes, points, place)
    lines = [Line2D([], [], **line_style(i)) for i in range(len(series))] + lines
    legend_below(figure, [*(label for label, _, _ in series), *citations], ax=ax, lines=lines)
    return written(figure, path, ax)


def class_curves(result: "SweepResult", name: str | int = 0, path: FilePath | None = None,
                 class_names: Sequence[str] | None = None, *, ax: "Drawn | None" = None, width: Width = None,
                 xscale: Scale = "log") -> "Drawn":
    """Accuracy of each class over bit error rate, the mean over chips, for one series.

    Parameters
    ----------
    result : SweepResult
    name : str or int
        Which series, by name or number.
    path : path, optional
    class_names : sequence of str (C,), optional
        By default those of Fashion-MNIST and CIFAR-10 where the split is one of them, else "class 0" and so on.
    ax : matplotlib.axes.Axes, optional
        Drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.
    xscale : {"log", "linear", "split"}
        Of probabilities; "split" is log with the plateau narrowed, where no curve has lost a twentieth of its loss.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    check_drawn("result", result, "SweepResult", "bnnsim.sweep")
    s = result.index(name)
    series = _Series(_name(result, s), result, s)
    names = _class_names(class_names, result.settings["series"][s]["split"], result.per_class.shape[3])
    figure, axes = new_axes(WIDTH + 1.2, ax=ax, size=width)
    place = _axis_of(axes, [series], xscale)
    every = {"color": "0.8", "linewidth": 6, "linestyle": "-", "zorder": 1}
    draw_curve(axes, place, result.rates, 100 * result.mean()[s], None, every)
    drawn = np.flatnonzero(result.class_totals[s] > 0).tolist()
    for c in drawn:
        mean = 100 * np.nanmean(result.per_class[s, :, :, c], axis=1)
        draw_curve(axes, place, result.rates, mean, None, line_style(c))
    axes.set_ylabel("test accuracy of the class (%)")
    chips = chips_in_words(series.counts())
    axes.set_title(f"{plain(series.label)}\n{_images([series])}; lines: mean over {chips}", fontsize=9)
    lines = [Line2D([], [], **style) for style in (every, *map(line_style, drawn))]
    labels = ["all classes", *(names[c] for c in drawn)]
    if ax is not None or figure.get_figwidth() < NARROW:
        legend_below(figure, labels, ax=ax, lines=lines)
    else:
        figure.legend(lines, [plain(label) for label in labels], **{**LEGEND, "loc": "outside right upper"})
    return written(figure, path, ax)


def chip_histogram(result: "SweepResult | Mapping[str, SweepResult]", rate: float | str,
                   path: FilePath | None = None, *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """How accuracy spreads over chips at one bit error rate, or another place: points, or a histogram; the median.

    Parameters
    ----------
    result : SweepResult, or dict of str to SweepResult
    rate : float or str
        One of the result's rates; three digits are enough, as tables print them. Of a sweep over the conditions of a
        device card, the name of one.
    path : path, optional
    ax : sequence of matplotlib.axes.Axes, optional
        One a series, drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`

    Raises
    ------
    ValueError
        Where the rate is not among those of a result: the message lists them.
    """
    series = _all_series(result)
    places = [_rate_index(swept, rate) for _, swept, _ in series]
    chips = [swept.accuracy[s, r] for (_, swept, s), r in zip(series, places)]
    chips = [100 * trials[~np.isnan(trials)] for trials in chips]
    figure, rows = new_panels((WIDTH, 1.4 + 0.9 * len(series)), len(series), ax=ax, width=width, sharex=True)
    points = max(map(len, chips)) <= MAX_STRIP
    edges = _edges(np.concatenate(chips), max(swept.n_images for _, swept, _ in series))
    for i, (axes, (label, _, _), trials) in enumerate(zip(rows, series, chips)):
        (_draw_points if points else _draw_bars)(axes, trials, edges, COLOURS[i % len(COLOURS)])
        median = float(np.median(trials))
        axes.axvline(median, color="black", linestyle="--", linewidth=1.2)
        axes.set_title(f"{wrapped(label)}: median {median:.2f} % of {chips_in_words([len(trials)])}", fontsize=9,
                       loc="left")
        axes.grid(False, axis="y")
    rows[-1].set_xlabel("test accuracy of a chip (%)")
    rows[-1].ticklabel_format(axis="x", useOffset=False)
    at = ", ".join(dict.fromkeys(_place_text(swept, r) for (_, swept, _), r in zip(series, places)))
    if ax is None:                              # on axes given: their titles tell the series, a caption the rest
        heading(figure, f"{_images(series)}, {at}")
    if not points and ax is None:
        figure.supylabel("chips", fontsize=10)
    return written(figure, path, ax)


def _all_series(result: "SweepResult | Mapping[str, SweepResult]") -> list[_Series]:
    """All series of a result or a dict of results."""
    named = by_name("result", result, "SweepResult", "bnnsim.sweep")
    return [_Series(f"{key}: {_name(swept, s)}" if len(named) > 1 else _name(swept, s), swept, s)
            for key, swept in named.items() for s in range(len(swept.names))]


def _name(result: "SweepResult", s: int) -> str:
    """Name of a series; in device sweeps "none" at its end is no code."""
    name = result.names[s]
    return f"{name.removesuffix('none')}no code" if _of_card(result) and name.endswith(", none") else name


def _of_card(result: "SweepResult") -> bool:
    """Whether a result is a sweep along an axis of a device card."""
    return "card" in result.provenance and result.axis in MOVED


def _images(series: Iterable[_Series]) -> str:
    """Which images: each split, and how many."""
    entries = [swept.settings["series"][s] for _, swept, s in series]
    return wrapped(", ".join(dict.fromkeys(f"{entry['split']} ({entry['n_images']:,} images)" for entry in entries)))


def _card_marks(series: Iterable[_Series]) -> str:
    """How the error rates of device cards are known, a line each; nothing of other sweeps."""
    found = dict.fromkeys(str(swept.provenance["card"]).partition("; conditions: ")[0]
                          if swept.conditions else str(swept.provenance["card"])
                          for _, swept, _ in series if "card" in swept.provenance)
    return "".join(f"\n{wrapped(text)}" for text in found)


def _class_names(names: Sequence[str] | None, split: str, n_classes: int) -> Sequence[str]:
    if names is None:
        return of_split(split, n_classes)
    if isinstance(names, str) or len(names) != n_classes:
        raise ValueError(f"class_names must be {n_classes} strings, one a class, got {names!r}")
    return [str(name) for name in names]


def _axis_of(axes: Axes, series: Sequence[_Series], xscale: Scale = "log",
             more: Sequence[np.ndarray] = ()) -> Place:
    """Name and scale the horizontal axis of results, which must be of one kind; returns value -> place."""
    kinds = {swept.axis for _, swept, _ in series}
    if len(kinds) > 1:
        raise ValueError(f"results must be over one axis, got {', '.join(sorted(kinds))}")
    places, kind = np.concatenate([*(swept.rates for _, swept, _ in series), *more]), kinds.pop()
    if is_probability(kind):
        knee = plateau_end([(swept.rates, swept.mean()[s]) for _, swept, s in series]) if xscale == "split" else None
        return rate_axis(axes, places, kind, xscale, knee)
    if xscale != "log":
        raise ValueError(f"xscale {xscale!r} is for axes of probabilities, and these results are over {kind}")
    named = {swept.conditions for _, swept, _ in series}
    if named != {()}:
        return _condition_axis(axes, places, named)
    place = device_axis(axes, places, kind)
    if all(_of_card(swept) for _, swept, _ in series):
        axes.set_xlabel(card_axis(axes, MOVED[kind], places))
    return place


def _condition_axis(axes: Axes, numbers: np.ndarray, named: set[tuple[str, ...]]) -> Place:
    """Axis of the conditions of a card, by their names; returns number on the card -> place."""
    if len(named) > 1:
        raise ValueError("results over conditions must be of one device card, whose file has their names, got "
                         f"{len(named)}: draw each in a figure of its own")
    (names,), present = named, np.unique(numbers)
    name_axis(axes, range(len(present)), [plain(names[int(number)]) for number in present])
    axes.set_xlabel(AXES["condition"].label)
    return lambda numbers: np.searchsorted(present, numbers)


def _place_text(result: "SweepResult", r: int) -> str:
    """A place, and of what: "BER 0.1", "cycles 1e+04", "condition weak"."""
    rate, names = result.rates[r], result.conditions
    if not _of_card(result):
        return f"{in_words(result.axis)} {rate:.4g}"
    return f"{MOVED[result.axis]} {names[int(rate)] if names else place_text(MOVED[result.axis], rate, 4)}"


def _rate_index(result: "SweepResult", rate: float | str) -> int:
    """Place of a rate among a result's: itself, the one that looks like it at three digits, or a condition by name."""
    rates, names = result.rates, result.conditions
    if names:
        here = [names[int(number)] for number in rates]
        return here.index(check_choice("rate", rate if isinstance(rate, str) else f"{rate:g}", here))
    if isinstance(rate, str):
        raise ValueError(f"rate must be one of the result's, which are numbers ({in_words(result.axis)}), got {rate!r}")
    rate = check_real("rate", rate)
    near = np.flatnonzero(np.isclose(rates, rate, rtol=5e-3, atol=0))
    if len(near) > 1:
        near = np.flatnonzero(rates == rate)
    if len(near) != 1:
        known = ", ".join(f"{p:.4g}" for p in np.sort(rates))
        raise ValueError(f"rate must be one of the result's, {known}; got {rate:g}")
    return int(near[0])


def _edges(values: np.ndarray, n_images: int) -> np.ndarray:
    """Edges of some 25 bins, each as wide as the same number of images: bins of uneven numbers look like a comb."""
    low, high = np.round(np.array([values.min(), values.max()]) * n_images / 100)
    step = max(1, int(np.ceil((high - low + 1) / 25)))
    return 100 / n_images * (np.arange(low, high + step + 1, step) - 0.5)


def _draw_bars(axes: Axes, trials: np.ndarray, edges: np.ndarray, colour: str) -> None:
    axes.hist(trials, edges.tolist(), color=colour, alpha=0.7, edgecolor="white", linewidth=0.4)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def _draw_points(axes: Axes, trials: np.ndarray, edges: np.ndarray, colour: str) -> None:
    """Points; those of one bin are stacked."""
    bins = np.digitize(trials, edges)
    heights = [np.count_nonzero(bins[:t] == bins[t]) for t in range(len(trials))]
    axes.plot(trials, heights, "o", color=colour, markeredgecolor="white", markersize=6)
    axes.set_ylim(-0.7, max(3, max(heights) + 0.7))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
