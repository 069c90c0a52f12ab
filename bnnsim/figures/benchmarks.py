"""Curves of the benchmark: time and throughput over sizes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from bnnsim.checks import FilePath
from bnnsim.figures.style import COLOURS, LEGEND, line_style, new_panels, plain, written

SCALING_AXES = {"batch": ("images in a batch", "time of an image"),
                "width": ("units of each hidden layer", "time of an image"),
                "flips": ("wrong weight bits", "time of a chip, all test images")}
Point = Mapping[str, Any]           # a measurement of section "scaling", as `bnnsim.bench` stores it


def scaling_curves(points: Sequence[Point], path: FilePath | None = None) -> Figure:
    """Time over batch size, width of layers and number of wrong bits: medians, and bands between the quartiles.

    Parameters
    ----------
    points : sequence of dict
        Those of section "scaling" of `bnnsim.bench`: ``values`` with ``axis``, ``x`` and ``series``, and ``statistics``
        of the time in seconds.
    path : path, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    by_axis = {name: [point for point in points if point["values"]["axis"] == name] for name in SCALING_AXES}
    shown = {name: some for name, some in by_axis.items() if some}
    if not shown:
        raise ValueError("points must have at least one of section 'scaling', got none: run bnnsim.bench --scaling")
    figure, panels = new_panels((3.6 * len(shown), 4.0), 1, len(shown))
    for axes, (name, some) in zip(panels, shown.items()):
        _draw_scaling(axes, some)
        axes.set_xlabel(SCALING_AXES[name][0])
        axes.set_ylabel(SCALING_AXES[name][1])
    figure.suptitle(f"median of {points[0]['statistics']['n']} runs; band: quartiles", fontsize=9)
    return written(figure, path)


def _draw_scaling(axes: Axes, points: Sequence[Point]) -> None:
    """Log-log curves, one a series, with a legend above the axes."""
    for i, series in enumerate(dict.fromkeys(point["values"]["series"] for point in points)):
        rows = sorted((point["values"]["x"], *(point["statistics"][name] for name in ("median", "q1", "q3")))
                      for point in points if point["values"]["series"] == series)
        x, median, low, high = np.array(rows).T
        axes.plot(x, median, label=plain(series), **line_style(i))
        axes.fill_between(x, low, high, color=COLOURS[i], alpha=0.25, linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(EngFormatter("s"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(**{**LEGEND, "loc": "lower center"}, bbox_to_anchor=(0.5, 1.0))
