"""Figures of memory devices: measured and fitted states, error rates along an axis, what redundancy buys.

Each function returns a `matplotlib.figure.Figure`, and writes it where a path is given: PNG, SVG or PDF.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.special import ndtri

from bnnsim.checks import check_choice, check_int, check_probability
from bnnsim.devices import AXES, Empirical, converted_rate
from bnnsim.figures.style import COLOURS, legend_below, line_style, new_axes, plain, wrapped, written

MAX_POINTS = 2000                   # of a quantile plot: more would hide each other
PROBABILITIES = (1e-4, 1e-3, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
STATES = (("LRS", "lrs", "o"), ("HRS", "hrs", "s"))


def fitted_states(fitted, path=None, place=0):
    """Measured resistances against fitted states: a quantile plot, and both densities with their overlap.

    In the quantile plot a log-normal is a straight line. The overlap (grey) is the smaller of both densities.

    Parameters
    ----------
    fitted : bnnsim.devices.DeviceFit
    path : path, optional
    place : int
        Which of ``fitted.places``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    each = fitted.places[check_int("place", place, 0, len(fitted.places) - 1)]
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True)
    grid = _grid(each)
    for (name, key, marker), colour in zip(STATES, COLOURS):
        _draw_quantiles(left, getattr(each, key), grid, colour, marker)
        _draw_density(right, getattr(each, key), grid, colour)
    _draw_overlap(right, each, grid)
    left.set_yticks(ndtri(PROBABILITIES), [f"{p:g}" for p in PROBABILITIES])
    left.set_ylim(-4, 4)
    left.set_ylabel("share of devices below")
    right.set_ylabel("density of ln R")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel("resistance (ohm)")
        axes.grid(True, linewidth=0.4, alpha=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    _title(figure, fitted, each)
    return written(figure, path)


def error_rates(card, axis, path=None, cells=("1T1R", "2T2R"), n_points=60, **place):
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

    Returns
    -------
    matplotlib.figure.Figure
    """
    known = card.axes(place.get("condition"))
    limits = known.get(check_choice("axis", axis, AXES))
    if limits is None:
        raise ValueError(f"axis must be one of the card's, {', '.join(known)}, got {axis!r}")
    figure, axes = new_axes()
    values, at = _points(axes, card, axis, limits, n_points)
    for i, cell in enumerate(cells):
        rates = [card.error_rates(cell, **{**place, AXES[axis].key: value}).mean for value in values]
        axes.plot(at, rates, **{**line_style(i), "marker": line_style(i)["marker"] if axis == "condition" else ""})
    axes.set_yscale("log")
    axes.set_ylabel("bit error rate")
    unit = f" ({AXES[axis].unit})" if AXES[axis].unit else ""
    axes.set_xlabel(AXES[axis].label + unit)
    where = ", ".join(f"{key} {value}" for key, value in place.items())
    origin = "" if axis == "condition" else f"; data {', '.join(card.rate_provenance(place.get('condition')))}"
    axes.set_title(wrapped(f"{card.name}, {card.memory}" + (f"; {where}" if where else "") + origin), fontsize=9)
    condition = place.get("condition") or card.conditions[0]
    derived = f" (follows from {card.own_cell(condition)}, equal sigmas assumed)"
    known = [cell if card.under(condition).has_states or cell == card.own_cell(condition) else cell + derived
             for cell in cells]
    _legend(figure, known, markers=axis == "condition")
    return written(figure, path)


def redundancy(codes=None, path=None, rates=None):
    """Bit error rate after protection over that of a single device: 2T2R, and codes, at what they store.

    Parameters
    ----------
    codes : dict of str to callable, optional
        Name (say what it stores: "SECDED(8,4), 2 cells a bit") to a function of the bit error rate of a cell, float to
        float.
    path : path, optional
    rates : sequence of float, optional
        Bit error rates of a 1T1R cell; 1e-4 to 0.2 by default.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rates = np.geomspace(1e-4, 0.2, 60) if rates is None else [check_probability("rates", rate) for rate in rates]
    lines = {"one device a bit (1T1R)": lambda p: p,
             "2T2R, two devices a bit (equal sigmas, closed form)": lambda p: converted_rate(p, "1T1R", "2T2R"),
             **(codes or {})}
    figure, axes = new_axes()
    for i, function in enumerate(lines.values()):
        axes.plot(rates, [function(p) for p in rates], **{**line_style(i), "marker": ""})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("bit error rate of a 1T1R cell")
    axes.set_ylabel("bit error rate as read")
    _legend(figure, lines, markers=False)
    return written(figure, path)


# ---------------------------------------------------------------- parts

def _legend(figure, labels, markers=True):
    """As `legend_below`, without the markers of lines that have none."""
    legend_below(figure, labels)
    for handle in figure.legends[-1].get_lines():
        if not markers:
            handle.set_marker("")


def _points(axes, card, axis, limits, n_points):
    """(values, places on the x axis) along an axis of a card; sets its scale."""
    if axis == "condition":
        labels = [f"{plain(name)}\n({', '.join(card.rate_provenance(name))})" for name in limits]
        axes.set_xticks(range(len(limits)), labels)
        return limits, range(len(limits))
    low, high = limits
    if axis == "sigma":
        low, high = 0.5, 2.0
    if AXES[axis].log:
        axes.set_xscale("log")
        return (values := np.geomspace(low or high / 1e9, high, n_points)), values
    return (values := np.linspace(low, high, n_points)), values


def _grid(each):
    """Points of ln R that hold both states, fitted and measured."""
    ends = [np.log(getattr(each, key).samples_ohm[[0, -1]]) for _, key, _ in STATES]
    ends += [getattr(each, key).fitted.quantile(np.array([-3.5, 3.5])) for _, key, _ in STATES]
    return np.linspace(np.min(ends), np.max(ends), 800)


def _draw_quantiles(axes, state, grid, colour, marker):
    n = len(state.samples_ohm)
    places = np.unique(np.linspace(0, n - 1, min(n, MAX_POINTS)).astype(int))
    axes.plot(state.samples_ohm[places], ndtri((places + 0.5) / n), marker, color=colour, markersize=3, alpha=0.5)
    if not isinstance(state.fitted, Empirical):
        with np.errstate(divide="ignore"):
            axes.plot(np.exp(grid), ndtri(state.fitted.cdf(grid)), color=colour, linewidth=1.4)


def _density(state, grid):
    """The fitted density of ln R; of samples as they are, a histogram of them."""
    if not isinstance(state.fitted, Empirical):
        return state.fitted.density(grid)
    counts, edges = np.histogram(np.log(state.samples_ohm), "auto", density=True)
    place = np.searchsorted(edges, grid, "right") - 1
    return np.where((place >= 0) & (place < len(counts)), counts[np.clip(place, 0, len(counts) - 1)], 0.0)


def _draw_density(axes, state, grid, colour):
    counts, edges = np.histogram(np.log(state.samples_ohm), "auto", density=True)
    axes.stairs(counts, np.exp(edges), fill=True, color=colour, alpha=0.25)
    if not isinstance(state.fitted, Empirical):
        axes.plot(np.exp(grid), _density(state, grid), color=colour, linewidth=1.4)


def _draw_overlap(axes, each, grid):
    overlap = np.minimum(_density(each.lrs, grid), _density(each.hrs, grid))
    axes.fill_between(np.exp(grid), overlap, color="0.2", alpha=0.8, linewidth=0)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _title(figure, fitted, each):
    where = ", ".join(f"{key} {value}" for key, value in each.place.items())
    rates = "; ".join(f"{cell}: {r.rate:.2g} ({r.low:.2g} to {r.high:.2g})" for cell, r in each.rates.items())
    counts = f"{len(each.lrs.samples_ohm):,} LRS, {len(each.hrs.samples_ohm):,} HRS samples"
    title = f"{plain(where)}: {counts}" if where else counts
    figure.suptitle(f"{title}\nbit error rate and {100 * fitted.level:g} % interval of {rates}", fontsize=9)
    lines = [Line2D([], [], color=colour, marker=marker, markersize=4) for (_, _, marker), colour in
             zip(STATES, COLOURS)]
    fit = "measured (points, bars)" + ("" if fitted.model == "empirical" else f", {fitted.model} (lines)")
    figure.legend([*lines, Line2D([], [], color="0.2", linewidth=6, alpha=0.8)],
                  [f"LRS, {fit}", f"HRS, {fit}", "overlap of the densities"], loc="outside lower center", fontsize=9,
                  frameon=False, ncols=3 if fitted.model == "empirical" else 2)
