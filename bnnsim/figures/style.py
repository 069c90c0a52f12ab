"""What all figures share: how they are written, the looks of axes and lines, the axis of bit error rates, and legends.

Legends stand below or beside the axes, never on them.
"""

import os
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

import bnnsim.files.atomic as atomic
from bnnsim.checks import FilePath
from bnnsim.devices import AXES
from bnnsim.faults.axis import BER, label

# Okabe and Ito's colours but yellow, which differ for colour-blind readers. For grey prints markers and line styles
# differ too, and every second marker is hollow; 7, 10 and 3 have no common factor: no two of 210 lines look the same.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*X<>"
LINES = ("-", "--", "-.")
WIDTH = 6.4                         # inches
BAND: dict[str, Any] = {"alpha": 0.2, "linewidth": 0}               # of what is filled around a line
LEGEND: dict[str, Any] = {"loc": "outside lower center", "fontsize": 9, "frameon": False, "handlelength": 3}

Place = Callable[[np.ndarray], np.ndarray]                          # values to where they stand on an axis


# ---------------------------------------------------------------- files, axes

def save_figure(figure: Figure, path: FilePath) -> None:
    """Write a figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path
        The ending chooses the format: .png, .svg or .pdf.
    """
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending not in (".png", ".svg", ".pdf"):
        raise ValueError(f"path must end in .png, .svg or .pdf, got {os.fspath(path)!r}")
    with atomic.replaced(path) as temporary:
        figure.savefig(temporary, dpi=150)


def written(figure: Figure, path: FilePath | None) -> Figure:
    """The figure, stored where a path is given."""
    if path is not None:
        save_figure(figure, path)
    return figure


def new_axes(width: float = WIDTH, height: float = 4.4) -> tuple[Figure, Axes]:
    """A figure with one pair of axes: (figure, axes)."""
    figure, (axes,) = new_panels((width, height))
    return figure, axes


def new_panels(size: tuple[float, float], rows: int = 1, columns: int = 1, *, grid: bool = True,
               **layout: Any) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches with several axes, row by row: (figure, list of axes).

    `layout` is for `matplotlib.figure.Figure.subplots`, such as ``sharex=True``.
    """
    figure = Figure(figsize=size, layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False, **layout).reshape(-1))
    for axes in panels:
        if grid:
            axes.grid(True, linewidth=0.4, alpha=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels


# ---------------------------------------------------------------- lines, texts, legends

def line_style(i: int, marked: bool = True) -> dict[str, Any]:
    """Look of the i-th line, with markers or without."""
    colour = COLOURS[i % len(COLOURS)]
    return {"color": colour, "marker": MARKERS[i % len(MARKERS)] if marked else "", "linestyle": LINES[i % len(LINES)],
            "markersize": 5, "markerfacecolor": "white" if i % 2 else colour, "linewidth": 1.4}


def plain(text: str) -> str:
    """Text as matplotlib shows it verbatim: no mathematics, and not hidden for its underscore."""
    text = text.replace("$", r"\$")
    return " " + text if text.startswith("_") else text


def wrapped(text: str) -> str:
    """`plain` text in lines that fit a figure."""
    return textwrap.fill(plain(text), 75)


def legend_below(figure: Figure, labels: Iterable[str], marked: bool = True) -> None:
    """A legend of lines 0, 1, ... under the axes, in as many columns as fit; the figure grows by its rows."""
    texts = [wrapped(label) for label in labels]
    longest = max(len(line) for text in texts for line in text.split("\n"))
    n_columns = max(1, min(len(texts), int(WIDTH / (0.7 + 0.08 * longest))))
    n_lines = sum(text.count("\n") + 1 for text in texts) / n_columns
    figure.set_figheight(figure.get_figheight() + 0.19 * (np.ceil(n_lines) - 1))
    lines = [Line2D([], [], **line_style(i, marked)) for i in range(len(texts))]
    figure.legend(lines, texts, **LEGEND, ncols=n_columns)


# ---------------------------------------------------------------- axes of rates and of devices

def axis_label(axis: str) -> str:
    """An axis of device cards, a key of `bnnsim.devices.AXES`, with its unit."""
    unit = AXES[axis].unit
    return AXES[axis].label + (f" ({unit})" if unit else "")


def device_axis(axes: Axes, places: np.ndarray, name: str) -> Place:
    """Axis of something else than probabilities, log where it spans decades; returns value -> place, the identity."""
    axes.set_xlabel(label(name))
    if np.min(places) > 0 and np.max(places) >= 30 * np.min(places):
        axes.set_xscale("log")
    return lambda places: places


def rate_axis(axes: Axes, rates: npt.ArrayLike, name: str = BER) -> Place:
    """Log axis of probabilities; 0 stands a decade left of the least, behind a dotted line. Returns rate -> place."""
    axes.set_xlabel(label(name))
    rates = np.unique(rates)
    positive, zero = rates[rates > 0], np.nan
    if len(positive) == 0:
        axes.set_xticks([0.0], ["0"])
        return lambda rates: rates
    axes.set_xscale("log")
    ticks = _rate_ticks(positive)
    if rates[0] == 0:
        zero = positive[0] / 10
        axes.axvline(zero * np.sqrt(10), linestyle=":", color="0.5", linewidth=1)
        ticks = [zero, *ticks]
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: "0" if x == zero else _rate_label(x)))
    axes.xaxis.set_minor_locator(NullLocator())
    return lambda rates: np.where(rates > 0, rates, zero)


def _rate_ticks(positive: np.ndarray) -> list[float]:
    """Decades; where fewer than two lie among the rates, the rates themselves, as far apart as labels need."""
    log = np.log10(positive)
    decades = 10.0 ** np.arange(np.ceil(log[0] - 1e-9), np.floor(log[-1] + 1e-9) + 1)
    if len(decades) >= 2:
        return decades.tolist()
    ticks, gap = [positive[0]], (log[-1] - log[0] + 1) / 8
    for rate in positive[1:]:
        if np.log10(rate / ticks[-1]) >= gap:
            ticks.append(rate)
    return ticks


def _rate_label(rate: float) -> str:
    exponent = round(np.log10(rate))
    return f"$10^{{{exponent}}}$" if np.isclose(rate, 10.0**exponent, rtol=1e-6) else f"{rate:.3g}"


def draw_curve(axes: Axes, place: Place, rates: np.ndarray, values: np.ndarray, bounds: np.ndarray | None,
               style: Mapping[str, Any]) -> None:
    """One curve in ascending order; rate 0 is a point of its own, without a band: there all chips are alike."""
    order, places = np.argsort(rates), place(rates)
    is_zero = (rates[order] == 0) & (places[order] != 0)                    # a rate of 0 on a log axis
    positive, zero = order[~is_zero], order[is_zero]
    alone = {"marker": "s", **style, "linestyle": ""}
    axes.plot(places[positive], values[positive], **style)
    axes.plot(places[zero], values[zero], **alone)
    if bounds is not None:
        axes.fill_between(places[positive], *bounds[:, positive], color=style["color"], **BAND)
    if bounds is not None and len(positive) == 1:                       # a band without width would not be seen
        axes.vlines(places[positive], *bounds[:, positive], color=style["color"], alpha=0.4, linewidth=5)
