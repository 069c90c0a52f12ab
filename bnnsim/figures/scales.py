"""The horizontal axis of figures: bit error rates, log, linear or split, other numbers of a fault, places of a card."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator, NullLocator

from bnnsim.checks import check_choice
from bnnsim.devices import AXES
from bnnsim.faults.axis import BER, label
from bnnsim.figures.style import BAND, LITTLE, letters_of

Place = Callable[[np.ndarray], np.ndarray]                          # values to where they stand on an axis
Scale = Literal["log", "linear", "split"]
SCALES = ("log", "linear", "split")
NARROWED = 5                        # a decade of the plateau of a split axis is so many times narrower than another
ROOM = 0.4                          # inches from a label of a rate to the next
FALLEN = 0.05                       # a plateau ends before so much of the accuracy that is lost at all is lost


def card_axis(axes: Axes, axis: str, places: npt.ArrayLike) -> str:
    """The label, with the unit, of an axis of device cards; times of less than 0.1 s get ticks with units, as "5 ns".

    `axis` is a key of `bnnsim.devices.AXES`.
    """
    unit = AXES[axis].unit
    if unit == "s" and 0 < np.max(places) < 0.1:
        axes.xaxis.set_major_formatter(EngFormatter(unit))
        unit = ""
    return AXES[axis].label + (f" ({unit})" if unit else "")


def name_axis(axes: Axes, places: npt.ArrayLike, names: Sequence[str]) -> None:
    """Names at places 0, 1, ...: in lines that fit between their neighbours, smaller or, at last, slanted."""
    width = axes.bbox.width / axes.figure.dpi
    for size in (10, 8) if width >= LITTLE else (7,):
        room = letters_of(size, width / len(names), least=1)
        lines = ["\n".join(textwrap.fill(line, room, break_long_words=False, break_on_hyphens=False)
                           for line in name.split("\n")) for name in names]
        if max(len(line) for name in lines for line in name.split("\n")) <= room:
            axes.set_xticks(places, lines, fontsize=size)
            return
    axes.set_xticks(places, names, fontsize=size, rotation=30, ha="right", rotation_mode="anchor")


def device_axis(axes: Axes, places: np.ndarray, name: str) -> Place:
    """Axis of something else than probabilities, log where it spans decades; returns value -> place, the identity."""
    axes.set_xlabel(label(name))
    if np.min(places) > 0 and np.max(places) >= 30 * np.min(places):
        axes.set_xscale("log")
    return lambda places: places


def rate_axis(axes: Axes, rates: npt.ArrayLike, name: str = BER, scale: Scale = "log",
              knee: float | None = None) -> Place:
    """Axis of probabilities; returns rate -> place.

    On a log axis 0 stands a decade left of the least, behind a dotted line. A split one is log, too, but decades left
    of `knee`, on grey, are narrowed.
    """
    check_choice("xscale", scale, SCALES)
    axes.set_xlabel(label(name))
    rates = np.unique(rates)
    positive, zero = rates[rates > 0], np.nan
    if scale == "linear" or len(positive) == 0:
        if len(positive) == 0:
            axes.set_xticks([0.0], ["0"])
        return lambda rates: rates
    knee = knee if scale == "split" and knee is not None and knee > positive[0] else None
    ticks = _rate_ticks(positive) if knee is None else _split_ticks(knee, positive)
    if rates[0] == 0:
        zero = positive[0] / 10
        axes.axvline(zero * np.sqrt(10), linestyle=":", color="0.5", linewidth=1)
        ticks = [zero, *ticks]
    if knee is None:
        axes.set_xscale("log")
    else:
        _split(axes, knee, min(zero, positive[0]) if zero > 0 else positive[0], positive[-1])
    axes.set_xticks(_with_room(axes, ticks, np.array([ticks[0], *positive])))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: "0" if x == zero else _rate_label(x)))
    axes.xaxis.set_minor_locator(NullLocator())
    return lambda rates: np.where(rates > 0, rates, zero)


def log_ticks(axes: Axes) -> None:
    """Ticks of a logarithmic horizontal axis: decades where two or more are in sight, else 1, 2 and 5 of each."""
    low, high = axes.get_xlim()
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    grids = [[m * 10.0 ** k for k in decades for m in digits] for digits in ((1,), (1, 2, 5))]
    shown = [[x for x in grid if low <= x <= high] for grid in (*grids, MaxNLocator(4).tick_values(low, high))]
    ticks = next((each for each in shown if len(each) >= 2), shown[-1])
    axes.set_xticks(_with_room(axes, ticks, np.array([low, high])))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}" if 1e-3 < x < 1e4 else _rate_label(x)))
    axes.xaxis.set_minor_locator(NullLocator())


def plateau_end(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> float | None:
    """The largest rate up to which no curve (rates, accuracies) has lost more than a twentieth of what it loses."""
    ends = []
    for rates, values in curves:
        order = np.argsort(rates)
        rates, values = np.asarray(rates)[order], np.asarray(values)[order]
        fallen = np.flatnonzero(values < values[0] - FALLEN * (values[0] - np.min(values)))
        ends.append(rates[max(int(fallen[0]) - 1, 0)] if len(fallen) else rates[-1])
    return float(min(ends)) if ends and min(ends) > 0 else None


def _split(axes: Axes, knee: float, first: float, last: float) -> None:
    """A log scale whose decades left of the knee are narrowed, on grey."""
    def forward(x: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            decades = np.log10(np.maximum(x, 1e-300) / knee)
        return np.where(decades < 0, decades / NARROWED, decades)

    def inverse(y: np.ndarray) -> np.ndarray:
        return knee * 10.0 ** np.clip(np.where(y < 0, NARROWED * y, y), -300, 300)

    axes.set_xscale("function", functions=(forward, inverse))
    left, right = inverse(forward(np.array([first, last])) + np.array([-0.06, 0.06]))
    axes.set_xlim(left, right)
    axes.axvspan(left, knee, color="0.94", linewidth=0, zorder=0)
    axes.set_xlabel(f"{axes.get_xlabel()}\n(grey: decades narrowed {NARROWED} times)")


def _split_ticks(knee: float, positive: np.ndarray) -> list[float]:
    """On a split axis, what matters most first: decades right of the knee, every third left of it, 2 and 5."""
    low, high, end = (np.log10(x) for x in (positive[0], knee, positive[-1]))
    right = [[m * 10.0 ** k for k in np.arange(np.floor(high), np.ceil(end) + 1)] for m in (1, 2, 5)]
    left = [10.0 ** k for k in np.arange(np.ceil(high) - 1, np.ceil(low - 1e-9) - 1, -3)]
    shown = [[x for x in some if knee * 0.999 <= x <= positive[-1] * 1.001] for some in right]
    return [*shown[0], *left, *shown[1], *shown[2]]


def _with_room(axes: Axes, ticks: Sequence[float], places: np.ndarray) -> list[float]:
    """Those whose labels do not touch others, the first of them before the last."""
    forward = axes.xaxis.get_transform().transform
    width = axes.bbox.width / axes.figure.dpi
    at, ends = forward(np.array(ticks)), forward(places)
    gap = (max(at.max(), ends.max()) - min(at.min(), ends.min())) * ROOM / width
    kept: list[int] = []
    for i, x in enumerate(at):
        if all(abs(x - at[k]) >= gap for k in kept):
            kept.append(i)
    return sorted(ticks[i] for i in kept)


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
