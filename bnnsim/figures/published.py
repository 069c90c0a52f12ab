"""Points that others published, from a CSV, drawn over curves of one's own with the citation in the legend."""

import csv
import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bnnsim.checks import FilePath, nearest

COLUMNS = ("rate", "accuracy", "citation")
GREYS = ("0.0", "0.35", "0.55")
MARKERS = "x+1234|_"                # none of those of lines


class Published(NamedTuple):
    """The points of one citation: rates, and accuracies as shares of 1."""

    citation: str
    rates: np.ndarray
    accuracies: np.ndarray


def read_published(path: FilePath) -> list[Published]:
    """Points of a CSV, by citation, in the order of the file.

    Parameters
    ----------
    path : path
        UTF-8, with a head that has rate (a number on the axis, as a bit error rate), accuracy (a share of 1) and
        citation (as the legend is to show it); other columns are for its author. Lines that begin with # are left out.

    Returns
    -------
    list of Published

    Raises
    ------
    ValueError
        Where a column is missing, or a line has something else in it: the message has the line.
    """
    name = os.fspath(path)
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = [(n, line) for n, line in enumerate(file, 1) if line.strip() and not line.startswith("#")]
    rows = list(csv.reader([line for _, line in lines]))
    head = [word.strip().lower() for word in rows[0]] if rows else []
    for column in COLUMNS:
        if column not in head:
            near = nearest(column, head) if head else ""
            raise ValueError(f"{name} must have the columns {', '.join(COLUMNS)}, got {', '.join(head) or 'nothing'}"
                             f"{near and f': is {near!r} {column}?'}")
    found: dict[str, list[tuple[float, float]]] = {}
    for (n, _), row in zip(lines[1:], rows[1:]):
        if len(row) != len(head):
            raise ValueError(f"{name}, line {n}: must have {len(head)} values, as its head, got {len(row)}")
        texts = {column: row[head.index(column)].strip() for column in COLUMNS}
        if not texts["citation"]:
            raise ValueError(f"{name}, line {n}: citation must say who published the point, got nothing")
        accuracy = _number(texts["accuracy"], f"{name}, line {n}: accuracy")
        if not 0 <= accuracy <= 1:
            raise ValueError(f"{name}, line {n}: accuracy must be a share of 1, got {accuracy:g}"
                             + (": divide percent by 100" if 1 < accuracy <= 100 else ""))
        rate = _number(texts["rate"], f"{name}, line {n}: rate")
        found.setdefault(texts["citation"], []).append((rate, accuracy))
    if not found:
        raise ValueError(f"{name} must have at least one point, got a head only")
    return [Published(citation, *np.array(points).T) for citation, points in found.items()]


def draw_published(axes: Axes, place: Callable[[np.ndarray], np.ndarray],
                   points: list[Published]) -> tuple[list[Line2D], list[str]]:
    """Draw them, in percent; returns lines and labels for a legend."""
    lines = [axes.plot(place(one.rates), 100 * one.accuracies, linestyle="", marker=MARKERS[i % len(MARKERS)],
                       color=GREYS[i % len(GREYS)], markersize=8, markeredgewidth=1.5, zorder=5)[0]
             for i, one in enumerate(points)]
    return lines, [one.citation for one in points]


def _number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ValueError(f"{what} must be a finite number, got {text!r}")
    return value
