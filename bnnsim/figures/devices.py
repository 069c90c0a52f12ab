"""Figures of memory devices: measured and fitted states, error rates along an axis, what redundancy buys."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.special import ndtri

from bnnsim.checks import FilePath, check_choice, check_int, check_probability
from bnnsim.devices import AXES, DeviceCard, DeviceFit, Empirical, converted_rate
from bnnsim.devices.card_schema import where_text
from bnnsim.devices.fitted import PlaceFit, StateFit
from bnnsim.devices.marks import either
from bnnsim.figures.drawn import check_drawn
from bnnsim.figures.published import draw_published, read_along
from bnnsim.figures.scales import card_axis, name_axis
from bnnsim.figures.style import (COLOURS, Drawn, Width, heading, legend_below, line_style, new_axes, new_panels, plain,
                                  wrapped, written)

MAX_POINTS = 2000                   # of a quantile plot: more would hide each other
PROBABILITIES = (1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
STATES = (("LRS", "o"), ("HRS", "s"))


def fitted_states(fitted: DeviceFit, path: FilePath | None = None, place: int = 0,
                  *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """Measured resistances against fitted states: a quantile plot, and both densities with their overlap.

    In the quantile plot a log-normal is a straight line. The overlap (grey) is the smaller of both densities.

    Parameters
    ----------
    fitted : bnnsim.devices.DeviceFit
    path : path, optional
    place : int
        Which of ``fitted.places``.
    ax : sequence of matplotlib.axes.Axes, optional
        Two, drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    check_drawn("fitted", fitted, "DeviceFit", "bnnsim.devices.fit")
    there = fitted.places[check_int("place", place, 0, len(fitted.places) - 1)]
    figure, (left, right) = new_panels((9.0, 4.2), 1, 2, ax=ax, width=width, sharex=True)
    grid = _grid(there)
    for (_, marker), state, colour in zip(STATES, (there.lrs, there.hrs), COLOURS):
        _draw_quantiles(left, state, grid, colour, marker)
        _draw_density(right, state, grid, colour)
    _draw_overlap(right, there, grid)
    left.set_yticks(ndtri(PROBABILITIES), [f"{p:g}" for p in PROBABILITIES])
    left.set_ylim(-4, 4)
    left.set_ylabel("share of devices below")
    right.set_ylabel("density of ln R")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("resistance (Ω)")
    _title(figure, fitted, there, ax)
    return written(figure, path, ax)


def error_rates(card: DeviceCard, axis: str, path: FilePath | None = None, cells: Sequence[str] = ("1T1R", "2T2R"),
                n_points: int = 60, ax: "Drawn | None" = None, width: Width = None,
                published: FilePath | None = None, **place: Any) -> "Drawn":
    """Bit error rate of a device card along one axis, a line a kind of cell.

    Parameters
    ----------
    card : bnnsim.devices.DeviceCard
    axis : {"condition", "cycles", "time", "temperature", "sigma", "voltage", "timing"}
    path : path, optional
    cells : sequence of str
        One line each; those of other memories have one kind: ``cells=("6T",)``.
    n_points : int
    place : as for `DeviceCard.error_rates`
    ax : matplotlib.axes.Axes, optional
        Drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.
    published : path, optional
        A CSV of points to draw as well: columns rate, citation, which the legend shows, and the axis by its key, such
        as cycles or time_second; not over conditions.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    check_drawn("card", card, "DeviceCard", "bnnsim.devices.load_card")
    known = card.axes(place.get("condition"))
    limits = known.get(check_choice("axis", axis, AXES))
    if limits is None:
        raise ValueError(f"axis must be one of the card's, {', '.join(known)}, got {axis!r}")
    numbered = axis == "condition"
    points = read_along(published, axis, "rate")
    figure, axes = new_axes(ax=ax, size=width)
    values, at = _points(axes, axis, limits, n_points)
    marks: list[list[str]] = []
    for i, cell in enumerate(cells):
        marks.append([card.rate_mark(cell, **{**place, AXES[axis].key: value}) for value in values])
        rates = [card.error_rates(cell, **{**place, AXES[axis].key: value}).mean for value in values]
        axes.plot(at, rates, **line_style(i, marked=numbered))
    axes.set_yscale("log")
    axes.set_ylabel("bit error rate")
    axes.set_xlabel(card_axis(axes, axis, [0] if numbered else at))
    where = where_text(place)
    if numbered:
        name_axis(axes, at, [f"{plain(name)}\n({_by_cell(cells, each)})" for name, each in zip(values, zip(*marks))])
    origin = "" if numbered else f"; data {either(sum(marks, []))}"
    axes.set_title(wrapped(f"{card.name}, {card.memory}" + (f"; {where}" if where else "") + origin), fontsize=9)
    more, citations = draw_published(axes, points, factor=1)
    lines = [Line2D([], [], **line_style(i, marked=numbered)) for i in range(len(cells))] + more
    legend_below(figure, [*(_cell_name(card, cell, place.get("condition")) for cell in cells), *citations], ax=ax,
                 lines=lines)
    return written(figure, path, ax)


def _by_cell(cells: Sequence[str], marks: Sequence[str]) -> str:
    """The mark of all cells, or that of each."""
    return marks[0] if len(set(marks)) == 1 else ", ".join(f"{cell} {mark}" for cell, mark in zip(cells, marks))


def _cell_name(card: DeviceCard, cell: str, condition: str | None) -> str:
    """A kind of cell, marked where its rates follow from those of another kind."""
    condition = condition or card.conditions[0]
    if card.under(condition).has_states or cell == card.own_cell(condition):
        return cell
    return f"{cell} (follows from {card.own_cell(condition)}, equal sigmas assumed)"


def redundancy(codes: Mapping[str, Callable[[float], float]] | None = None, path: FilePath | None = None,
               rates: Sequence[float] | None = None, *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """Bit error rate after protection over that of a single device: 2T2R, and codes, at what they store.

    Parameters
    ----------
    codes : dict of str to callable, optional
        Name (say what it stores: "SECDED(8,4), 2 cells a bit") to a function of the bit error rate of a cell, float to
        float.
    path : path, optional
    rates : sequence of float, optional
        Bit error rates of a 1T1R cell; 1e-4 to 0.2 by default.
    ax : matplotlib.axes.Axes, optional
        Drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    if not isinstance(codes, Mapping | None):
        raise TypeError(f"codes must be a dict of names to functions of a bit error rate, got {type(codes).__name__}")
    shown = np.geomspace(1e-4, 0.2, 60) if rates is None else [check_probability("rates", rate) for rate in rates]
    lines: dict[str, Callable[[float], float]] = {
        "one device a bit (1T1R)": lambda p: p,
        "2T2R, two devices a bit (equal sigmas, closed form)": lambda p: converted_rate(p, "1T1R", "2T2R"),
        **(codes or {})}
    figure, axes = new_axes(ax=ax, size=width)
    for i, function in enumerate(lines.values()):
        axes.plot(shown, [function(p) for p in shown], **line_style(i, marked=False))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("bit error rate of a 1T1R cell")
    axes.set_ylabel("bit error rate as read")
    legend_below(figure, lines, marked=False, ax=ax)
    return written(figure, path, ax)


# ---------------------------------------------------------------- parts

def _points(axes: Axes, axis: str, limits: Sequence[Any],
            n_points: int) -> tuple[Sequence[Any] | np.ndarray, Sequence[float] | np.ndarray]:
    """(values, places on the x axis) along an axis of a card; sets its scale."""
    if axis == "condition":
        return limits, range(len(limits))
    low, high = (0.5, 2.0) if axis == "sigma" else limits
    if AXES[axis].log:
        axes.set_xscale("log")
    values = np.geomspace(low or high / 1e9, high, n_points) if AXES[axis].log else np.linspace(low, high, n_points)
    return values, values


def _grid(there: PlaceFit) -> np.ndarray:
    """Points of ln R that hold both states, fitted and measured."""
    ends = [np.log(state.samples_ohm[[0, -1]]) for state in (there.lrs, there.hrs)]
    ends += [state.fitted.quantile(np.array([-3.5, 3.5])) for state in (there.lrs, there.hrs)]
    return np.linspace(np.min(ends), np.max(ends), 800)


def _draw_quantiles(axes: Axes, state: StateFit, grid: np.ndarray, colour: str, marker: str) -> None:
    n = len(state.samples_ohm)
    places = np.unique(np.linspace(0, n - 1, min(n, MAX_POINTS)).astype(int))
    axes.plot(state.samples_ohm[places], ndtri((places + 0.5) / n), marker, color=colour, markersize=3, alpha=0.5)
    if not isinstance(state.fitted, Empirical):
        with np.errstate(divide="ignore"):
            axes.plot(np.exp(grid), ndtri(state.fitted.cdf(grid)), color=colour, linewidth=1.4)


def _density(state: StateFit, grid: np.ndarray) -> np.ndarray:
    """The fitted density of ln R; of samples as they are, a histogram of them."""
    if not isinstance(state.fitted, Empirical):
        return state.fitted.density(grid)
    counts, edges = np.histogram(np.log(state.samples_ohm), "auto", density=True)
    place = np.searchsorted(edges, grid, "right") - 1
    return np.where((place >= 0) & (place < len(counts)), counts[np.clip(place, 0, len(counts) - 1)], 0.0)


def _draw_density(axes: Axes, state: StateFit, grid: np.ndarray, colour: str) -> None:
    counts, edges = np.histogram(np.log(state.samples_ohm), "auto", density=True)
    axes.stairs(counts, np.exp(edges), fill=True, color=colour, alpha=0.25)
    if not isinstance(state.fitted, Empirical):
        axes.plot(np.exp(grid), _density(state, grid), color=colour, linewidth=1.4)


def _draw_overlap(axes: Axes, there: PlaceFit, grid: np.ndarray) -> None:
    overlap = np.minimum(_density(there.lrs, grid), _density(there.hrs, grid))
    axes.fill_between(np.exp(grid), overlap, color="0.2", alpha=0.8, linewidth=0)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _title(figure: Figure, fitted: DeviceFit, there: PlaceFit, ax: object) -> None:
    where = ", ".join(f"{key} {value}" for key, value in there.place.items())
    level = f"{100 * fitted.level:g} % interval"
    rates = "\n".join(f"{cell}: {there.rate_text(cell, 2)}, {level} {each.low:.2g} to {each.high:.2g}"
                      for cell, each in there.rates.items())
    counts = f"{len(there.lrs.samples_ohm):,} LRS, {len(there.hrs.samples_ohm):,} HRS samples"
    title = f"{plain(where)}: {counts}" if where else counts
    against = f"\nthe samples contradict {fitted.model}: see table()" if there.contradictions else ""
    heading(figure, f"{title}\nbit error rates\n{rates}{against}", ax)
    lines = [Line2D([], [], color=colour, marker=marker, markersize=4) for (_, marker), colour in zip(STATES, COLOURS)]
    fit = "measured (points, bars)" + ("" if fitted.model == "empirical" else f", {fitted.model} (lines)")
    legend_below(figure, [*(f"{name}, {fit}" for name, _ in STATES), "overlap of the densities"], ax=ax,
                 lines=[*lines, Line2D([], [], color="0.2", linewidth=6, alpha=0.8)])
