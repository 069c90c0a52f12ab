"""Points that others published, from a CSV, drawn over curves of one's own with the citation in the legend.

A table has a column for each axis, by the name that it has everywhere in bnnsim (rate, accuracy, energy_joule,
cycles ...), and one for the citation: one table serves all figures that have its columns.
"""

import csv
import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bnnsim.checks import FilePath, check_real, nearest, real_of
from bnnsim.devices import AXES

GREYS = ("0.0", "0.35", "0.55")
MARKERS = "x+1234|_"                # none of those of lines


class Published(NamedTuple):
    """The points of one citation: where they stand along the horizontal axis, and up, as shares of 1."""

    citation: str
    x: np.ndarray
    y: np.ndarray


def positive(name: str, value: float) -> float:
    """A number that can stand on a logarithmic axis."""
    return check_real(name, value, 0, open_low=True)


def read_published(path: FilePath | None, x: str = "rate", y: str = "accuracy",
                   check: Callable[[str, float], float] = check_real) -> list[Published]:
    """Points of a CSV, by citation, in the order of the file; none without a path.

    Parameters
    ----------
    path : path or None
        UTF-8, with a head that has the columns `x`, `y` and citation (as the legend is to show it); other columns are
        for its author. Lines that begin with # are left out.
    x : str
        The column of numbers on the horizontal axis: "rate" of bit error rates, "energy_joule", "cycles".
    y : {"accuracy", "rate"}
        The column of shares of 1.
    check : function (name, value) -> value
        Refuses numbers that have no place on the horizontal axis.

    Returns
    -------
    list of Published

    Raises
    ------
    ValueError
        Where a column is missing, or a line has something else in it: the message has the line.
    """
    if path is None:
        return []
    name, columns = os.fspath(path), (x, y, "citation")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = [(n, line) for n, line in enumerate(file, 1) if line.strip() and not line.startswith("#")]
        rows = list(csv.reader([line for _, line in lines]))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{name}: wanted CSV in UTF-8, got other text ({error})") from error
    head = [word.strip().lower() for word in rows[0]] if rows else []
    for column in columns:
        if column not in head:
            near = nearest(column, head) if head else ""
            raise ValueError(f"{name} must have the columns {', '.join(columns)}, got {', '.join(head) or 'nothing'}"
                             f"{near and f': is {near!r} {column}?'}")
    found: dict[str, list[tuple[float, float]]] = {}
    for (n, _), row in zip(lines[1:], rows[1:]):
        where = f"{name}, line {n}:"
        if len(row) != len(head):
            raise ValueError(f"{where} must have {len(head)} values, as its head, got {len(row)}")
        texts = {column: row[head.index(column)].strip() for column in columns}
        if not texts["citation"]:
            raise ValueError(f"{where} citation must say who published the point, got nothing")
        share = _number(texts[y], f"{where} {y}")
        if not 0 <= share <= 1:
            raise ValueError(f"{where} {y} must be a share of 1, got {share:g}"
                             + (": divide percent by 100" if 1 < share <= 100 else ""))
        at = check(f"{where} {x}", _number(texts[x], f"{where} {x}"))
        found.setdefault(texts["citation"], []).append((at, share))
    if not found:
        raise ValueError(f"{name} must have at least one point, got a head only")
    return [Published(citation, *np.array(points).T) for citation, points in found.items()]


def read_along(path: FilePath | None, axis: str, y: str = "accuracy") -> list[Published]:
    """Points along an axis of device cards, whose column is named by its key: cycles, time_second, voltage_volt."""
    if path is not None and axis == "condition":
        raise ValueError(f"{os.fspath(path)}: points of others need an axis of numbers, and conditions have names")
    found = read_published(path, AXES[axis].key, y, positive if AXES[axis].log else check_real)
    if y == "rate" and not all(np.all(one.y > 0) for one in found):
        raise ValueError(f"{os.fspath(path or '')}: a rate of 0 has no place on the logarithmic axis of rates")
    return found


def draw_published(axes: Axes, points: list[Published], place: Callable[[np.ndarray], np.ndarray] = np.asarray,
                   factor: float = 100) -> tuple[list[Line2D], list[str]]:
    """Draw them where `place` puts them, by default in percent; returns lines and labels for a legend."""
    lines = [axes.plot(place(one.x), factor * one.y, linestyle="", marker=MARKERS[i % len(MARKERS)],
                       color=GREYS[i % len(GREYS)], markersize=8, markeredgewidth=1.5, zorder=5)[0]
             for i, one in enumerate(points)]
    return lines, [one.citation for one in points]


def _number(text: str, what: str) -> float:
    try:
        value = real_of(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"{what} must be a finite number, got {text!r}")
    return value
