"""Curves of the benchmark: time and throughput over sizes."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from bnnsim.figures.style import COLOURS, line_style, plain, written


def scaling_curves(points, path=None):
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
    axes_found = [axis for axis in SCALING_AXES if any(one["values"]["axis"] == axis for one in points)]
    if not axes_found:
        raise ValueError("points must have at least one of section 'scaling', got none: run bnnsim.bench --scaling")
    figure = Figure(figsize=(3.6 * len(axes_found), 4.0), layout="constrained")
    for axes, axis in zip(figure.subplots(1, len(axes_found), squeeze=False)[0], axes_found):
        chosen = [one for one in points if one["values"]["axis"] == axis]
        _draw_scaling(axes, chosen)
        axes.set_xlabel(SCALING_AXES[axis][0])
        axes.set_ylabel(SCALING_AXES[axis][1])
    figure.suptitle(f"median of {points[0]['statistics']['n']} runs; band: quartiles", fontsize=9)
    return written(figure, path)


SCALING_AXES = {"batch": ("images in a batch", "time of an image"),
                "width": ("units of each hidden layer", "time of an image"),
                "flips": ("wrong weight bits", "time of a chip, all test images")}


def _draw_scaling(axes, points):
    """Log-log curves, one a series, with a legend above the axes."""
    for i, series in enumerate(dict.fromkeys(one["values"]["series"] for one in points)):
        rows = sorted((one["values"]["x"], *(one["statistics"][name] for name in ("median", "q1", "q3")))
                      for one in points if one["values"]["series"] == series)
        x, median, low, high = np.array(rows).T
        axes.plot(x, median, label=plain(series), **line_style(i))
        axes.fill_between(x, low, high, color=COLOURS[i], alpha=0.25, linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(EngFormatter("s"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="major", linewidth=0.4, alpha=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=9, handlelength=3)
