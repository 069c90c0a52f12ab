"""Curves of the benchmark: time over sizes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from bnnsim.checks import FilePath
from bnnsim.figures.style import COLOURS, LEGEND, Drawn, Width, heading, line_style, new_panels, wrapped, written

SCALING_AXES = {"threads": ("threads", "time of the same work"),
                "batch": ("images in a batch", "time of a batch"),
                "width": ("units of each hidden layer", "time of all images"),
                "depth": ("hidden layers", "time of all images"),
                "images": ("images in a memory-mapped file", "time of all images"),
                "flips": ("wrong weight bits", "time of a sweep"),
                "cells": ("cells of a campaign", "time of all but the cells")}
MOST_COLUMNS = 4
Point = Mapping[str, Any]           # a measurement of section "scaling", as `bnnsim.bench` stores it


def scaling_curves(points: Sequence[Point], path: FilePath | None = None,
                   *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """Time over threads, batch, width, depth, images, wrong bits and cells: medians, and bands between the quartiles.

    Legends say how time grows with x in the last decade of x, where it was told: x^1.02.

    Parameters
    ----------
    points : sequence of dict
        Those of section "scaling" of `bnnsim.bench`: ``values`` with ``axis``, ``x``, ``series`` and, where there is
        one, ``exponent``, and ``statistics`` of the time in seconds.
    path : path, optional
    ax : sequence of matplotlib.axes.Axes, optional
        One a panel, drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    if not isinstance(points, Sequence) or not all(isinstance(point, Mapping) for point in points):
        raise TypeError("points must be a list of dicts, those of section 'scaling' of bnnsim.bench, got "
                        f"{points!r:.200}")
    by_axis = {name: [point for point in points if point["values"]["axis"] == name] for name in SCALING_AXES}
    shown = {name: some for name, some in by_axis.items() if some}
    if not shown:
        raise ValueError("points must have at least one of section 'scaling', got none: run bnnsim.bench --scaling")
    columns = min(MOST_COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure, panels = new_panels((3.9 * columns, 4.4 * rows), rows, columns, used=len(shown), ax=ax,
                                width=width)
    for axes, (name, some) in zip(panels, shown.items()):
        _draw_scaling(axes, some)
        axes.set_xlabel(SCALING_AXES[name][0])
        axes.set_ylabel(SCALING_AXES[name][1])
    runs = sorted({point["statistics"]["n"] for point in points})
    heading(figure, f"median of {' or '.join(map(str, runs))} runs; band: quartiles", ax)
    return written(figure, path, ax)


def _draw_scaling(axes: Axes, points: Sequence[Point]) -> None:
    """Log-log curves, one a series, with a legend above the axes."""
    grown = {point["values"]["series"]: point["values"].get("exponent") for point in points}
    for i, (series, exponent) in enumerate(grown.items()):
        rows = sorted((point["values"]["x"], *(point["statistics"][name] for name in ("median", "q1", "q3")))
                      for point in points if point["values"]["series"] == series)
        x, median, low, high = np.array(rows).T
        label = series if exponent is None else f"{series}: x^{exponent:.2f}"
        axes.plot(x, median, label=wrapped(label, axes.bbox.width / axes.figure.dpi), **line_style(i))
        axes.fill_between(x, low, high, color=COLOURS[i % len(COLOURS)], alpha=0.25, linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    places = sorted({point["values"]["x"] for point in points})
    if places[-1] < 100 * places[0]:                             # else ticks at powers of ten do
        axes.set_xticks(places, [f"{x:g}" for x in places])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(EngFormatter("s"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(**{**LEGEND, "loc": "lower center"}, bbox_to_anchor=(0.5, 1.0))
