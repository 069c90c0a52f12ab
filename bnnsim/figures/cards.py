"""Figures of a sweep along an axis of a device card: what it does to accuracy, errors and energy, and what it costs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bnnsim.checks import FilePath
from bnnsim.devices import AXES
from bnnsim.devices.card_schema import place_text, where_text
from bnnsim.devices.energy import unit_of
from bnnsim.devices.marks import doubts, either
from bnnsim.figures.drawn import check_drawn
from bnnsim.figures.published import draw_published, positive, read_along, read_published
from bnnsim.figures.scales import card_axis, log_ticks, name_axis
from bnnsim.figures.style import (BAND, Drawn, Width, chips_in_words, heading, legend_below, line_style, new_panels,
                                  plain, wrapped, written)

if TYPE_CHECKING:
    from bnnsim.campaign import CardSweep


def card_curves(sweep: "CardSweep", path: FilePath | None = None, *, ax: "Drawn | None" = None, width: Width = None,
                published: FilePath | None = None) -> "Drawn":
    """Accuracy, bit error rate and programming energy along the axis, a panel each.

    Parameters
    ----------
    sweep : bnnsim.campaign.CardSweep
    path : path, optional
    ax : sequence of matplotlib.axes.Axes, optional
        Three, drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.
    published : path, optional
        A CSV of points to draw among the accuracies: columns accuracy (a share of 1), citation, which the legend shows,
        and the axis by its key, such as cycles or voltage_volt; not over conditions.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    check_drawn("sweep", sweep, "CardSweep", "bnnsim.sweep_card")
    points = read_along(published, sweep.axis)
    figure, (top, middle, bottom) = new_panels((6.6, 7.2), 3, ax=ax, width=width, sharex=True,
                                               height_ratios=(2, 1.3, 1.3))
    numbered = sweep.axis == "condition"
    places = np.arange(len(sweep.places)) if numbered else np.array(sweep.places, np.float64)
    order, (scale, unit) = np.argsort(places), _energy_unit(sweep)
    for s in range(len(sweep.series)):
        style = line_style(s)
        top.plot(places[order], 100 * _values(sweep, s, "mean")[order], **style)
        _draw_band(top, places[order], _bounds(sweep, s)[:, order], style["color"])
        ber = _values(sweep, s, "ber")[order]
        middle.plot(places[order], np.where(ber > 0, ber, np.nan), **style)
        middle.plot(places[order], _values(sweep, s, "ber_after_code")[order], **{**style, "linestyle": ":"})
        bottom.plot(places[order], scale * _values(sweep, s, "energy_joule")[order], **style)
    top.set_ylabel(_label("test accuracy (%)", sweep, "rate_mark"))
    rates = "bit error rate of cells" + "\n(dotted: after code)" * sweep.has_codes
    middle.set_ylabel(_label(rates, sweep, "rate_mark"))
    middle.set_yscale("log")
    _finish_energy(bottom, sweep, unit)
    for axes in (top, middle, bottom):          # which share their scale only in a figure of one's own
        _name_axis(axes, sweep, places, numbered, named=axes is bottom or ax is not None)
    top.set_title(_title(sweep, "line", "band", ax), fontsize=9)
    _legend(figure, sweep, draw_published(top, points), ax)
    return written(figure, path, ax)


def pareto(sweep: "CardSweep", path: FilePath | None = None, *, ax: "Drawn | None" = None, width: Width = None,
           published: FilePath | None = None) -> "Drawn":
    """Accuracy over programming energy, and over devices a weight: what is above and left of the others is best.

    Energies are joules where the card has them, else parts of its reference.

    Parameters
    ----------
    sweep : bnnsim.campaign.CardSweep
    path : path, optional
    ax : sequence of matplotlib.axes.Axes, optional
        Two, drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.
    published : path, optional
        A CSV of points to draw over energy: columns energy_joule, accuracy (a share of 1) and citation, which the
        legend shows.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`

    Raises
    ------
    ValueError
        Where the card has no energies at all.
    """
    check_drawn("sweep", sweep, "CardSweep", "bnnsim.sweep_card")
    key, mark, (scale, unit) = "energy_joule", "energy_mark", _energy_unit(sweep)
    label = f"energy to program the network ({unit})"
    if all(row["energy_joule"] is None for row in sweep.rows):
        key, mark, scale = "energy_relative", "relative_mark", 1.0
        label = "energy to program the network (of the reference)"
    if all(row["energy_relative"] is None is row["energy_joule"] for row in sweep.rows):
        raise ValueError(f"the card {sweep.card.name!r} has no energies to draw accuracy over")
    if published is not None and key != "energy_joule":
        raise ValueError(f"the card {sweep.card.name!r} has energies as parts of its reference alone: points in joule "
                         "have no place among them")
    points = read_published(published, "energy_joule", check=positive)
    figure, (left, right) = new_panels((9.0, 4.6), 1, 2, ax=ax, width=width, sharey=True, width_ratios=(1.6, 1))
    for s, series in enumerate(sweep.series):
        style = line_style(s)
        mean = 100 * _values(sweep, s, "mean")
        error = np.abs(_bounds(sweep, s) - mean)
        left.errorbar(scale * _values(sweep, s, key), mean, error, **style, elinewidth=0.8)
        shift = (s - (len(sweep.series) - 1) / 2) * 0.04         # that equal numbers of devices do not hide each other
        right.errorbar(np.full(len(mean), series["devices_per_weight"] * 2.0 ** shift), mean, error,
                       **{**style, "linestyle": ""}, elinewidth=0.8)
    left.set_xscale("log")
    left.set_xlabel(_label(label, sweep, mark))
    left.set_ylabel(_label("test accuracy (%)", sweep, "rate_mark"))
    devices = sorted({series["devices_per_weight"] for series in sweep.series})
    right.set_xscale("log", base=2)
    right.set_xticks(devices, [f"{value:.3g}" for value in devices])
    right.set_xlim(devices[0] / 1.5, devices[-1] * 1.5)
    right.set_xlabel("devices a weight")
    right.minorticks_off()
    heading(figure, _title(sweep, "points", "bars", ax), ax)
    _legend(figure, sweep, draw_published(left, points, lambda energies: scale * energies), ax)
    log_ticks(left)
    return written(figure, path, ax)


# ---------------------------------------------------------------- parts

def _rows(sweep: "CardSweep") -> Sequence[Mapping[str, Any]]:
    return sweep.rows


def _values(sweep: "CardSweep", s: int, key: str) -> np.ndarray:
    """A column of the rows of a series; nan for what the card does not know."""
    rows = _rows(sweep)[s * len(sweep.places):(s + 1) * len(sweep.places)]
    return np.array([np.nan if row[key] is None else row[key] for row in rows], np.float64)


def _counts(sweep: "CardSweep") -> np.ndarray:
    """Chips of each series at each place."""
    return sweep.result.n_trials()[:, sweep.columns()]


def _bounds(sweep: "CardSweep", s: int) -> np.ndarray:
    """The interval of each place in percent, (2, P); one chip has none."""
    bounds = 100 * np.stack([_values(sweep, s, key) for key in ("low", "high")])
    return np.where(_counts(sweep)[s] > 1, bounds, np.nan)


def _draw_band(axes: Axes, places: np.ndarray, bounds: np.ndarray, colour: str) -> None:
    """The interval around a line; around one place a bar, since a band without width would not be seen."""
    if len(places) > 1:
        axes.fill_between(places, *bounds, color=colour, **BAND)
    else:
        axes.vlines(places, *bounds, color=colour, alpha=0.4, linewidth=5)


def _shown(series: Mapping[str, Any], key: str) -> str:
    return "no code" if series[key] == "none" else series[key]


def _names(sweep: "CardSweep") -> list[str]:
    """A label for each series: what they have in common is left out."""
    keys = [key for key in ("network", "cell", "code") if len({_shown(series, key) for series in sweep.series}) > 1]
    return [plain(", ".join(_shown(series, key) for key in keys or ["network"])) for series in sweep.series]


def _legend(figure: Figure, sweep: "CardSweep", published: tuple[list[Line2D], list[str]], ax: object) -> None:
    """All series, and what others published."""
    lines, citations = published
    own = [Line2D([], [], **line_style(s)) for s in range(len(sweep.series))]
    legend_below(figure, [*_names(sweep), *citations], ax=ax, lines=own + lines)


def _title(sweep: "CardSweep", mean: str, interval: str, ax: object) -> str:
    """What all series have in common, and how mean and interval are drawn; that stands in captions of axes given."""
    common = [_shown(sweep.series[0], key) for key in ("cell", "code")
              if len({_shown(series, key) for series in sweep.series}) == 1]
    entry, counts = sweep.result.settings["series"][0], _counts(sweep)
    of_interval = f", {interval}: its 95 % confidence interval" if np.any(counts > 1) else ""
    drawn = [f"{mean}: mean over {chips_in_words(counts.ravel())}{of_interval}"] if ax is None else []
    of_card = ", ".join([f"device card {sweep.card.name}", *common, *filter(None, [where_text(sweep.at)])])
    return "\n".join([wrapped(of_card),
                      f"{plain(entry['split'])}, {entry['n_images']:,} images", *drawn, *_known(sweep)])


def _label(text: str, sweep: "CardSweep", key: str) -> str:
    """An axis' label with the marks of what is drawn along it."""
    marks = {row[key] for row in _rows(sweep)} - {None}
    return f"{text}\n[{either(marks)}]" if doubts(marks) else text


def _known(sweep: "CardSweep") -> list[str]:
    """A line on which error rates, and accuracies, and which energies have a mark, where not all have the same."""
    of = {series["cell"]: [row for row in _rows(sweep) if row["cell"] == series["cell"]] for series in sweep.series}
    kinds, found = [(f"errors of {cell}", "rate_mark", rows) for cell, rows in of.items()], []
    for what, key, rows in (*kinds, ("energies", "energy_mark", _rows(sweep))):
        if len({row[key] for row in _rows(sweep)}) > 1:
            found += [f"{what}: {mark} at {_at(sweep, [row['place'] for row in rows if row[key] == mark])}"
                      for mark in doubts(row[key] for row in rows)]
    for cell, rows in of.items():               # that these errors are of this kind of cell is known by itself
        worse = [row for row in rows if row["cell_mark"] not in (None, row["rate_mark"])]
        for mark in doubts(row["cell_mark"] for row in worse):
            places = [row["place"] for row in worse if row["cell_mark"] == mark]
            found.append(f"kind of cell, {cell}: {mark} at {_at(sweep, places)}")
    return [wrapped("; ".join(found))] if found else []


def _at(sweep: "CardSweep", places: Sequence[float | str]) -> str:
    """Places in words; "all places"."""
    some = [place for place in sweep.places if place in places]
    if len(some) == len(sweep.places):
        return "all places"
    return ", ".join(place_text(sweep.axis, place) for place in some)


def _energy_unit(sweep: "CardSweep") -> tuple[float, str]:
    """(factor, unit) of all energies."""
    factor, unit = unit_of(row["energy_joule"] for row in _rows(sweep))
    return factor, unit.replace("u", "µ")


def _finish_energy(axes: Axes, sweep: "CardSweep", unit: str) -> None:
    axes.set_ylabel(_label(f"energy to program\nthe network ({unit})", sweep, "energy_mark"))
    energies = np.concatenate([_values(sweep, s, "energy_joule") for s in range(len(sweep.series))])
    if np.all(np.isnan(energies)):
        axes.text(0.5, 0.5, "the card has no energies", transform=axes.transAxes, ha="center", color="0.4")
        axes.set_yticks([])
    elif np.nanmax(energies) > 3 * np.nanmin(energies):
        axes.set_yscale("log")


def _name_axis(axes: Axes, sweep: "CardSweep", places: np.ndarray, numbered: bool, named: bool) -> None:
    if numbered:
        name_axis(axes, places, [plain(str(place)) for place in sweep.places])
        axes.set_xlim(-0.4, len(places) - 0.6)
    elif AXES[sweep.axis].log and np.all(places > 0):
        axes.set_xscale("log")
    label = card_axis(axes, sweep.axis, places)
    axes.set_xlabel(label if named else "")
