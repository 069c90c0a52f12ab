"""The figure of what explains what: input codes, overfitting, length and margins."""

from itertools import product
from pathlib import Path

import numpy as np
from explain_rows import ARMS, OVERFITS, RATES, STANDARD, WAYS, Group, groups, settings
from explain_words import with_seeds
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from plan import CODES

from bnnsim.figures.style import COLOURS, new_panels, save_figure


FAR = 1.5


def draw_codes(axes: Axes, group: Group) -> None:
    """Standard networks of both codes as trained and rescaled; markers of code 0 are larger and lie below."""
    rates = np.array(group.rows[STANDARD[0]][0]["rates"])
    for key, colour, size, width in zip(STANDARD, COLOURS, (9, 5), (3.0, 1.2)):
        for way, line, fill in ((0, "-", colour), (1, "--", "white")):
            axes.plot(rates, group.mean(key, *rates)[way], line, color=colour, marker="os"[key[1] > 0], markersize=size,
                      markerfacecolor=fill, linewidth=width,
                      label=f"code {key[1]}, {('as trained', 'thresholds rescaled')[way]}")
    axes.set(xlabel="bit error rate of the memory cells", ylabel="test accuracy (%)", ylim=(0, 101))
    axes.set_title(f"standard {group.name}", fontsize=9)
    axes.legend(fontsize=7, loc="lower left", handlelength=1.5)


def draw_overfitting(axes: Axes, of: list[Group]) -> None:
    """Points at half the rate of training, minus those without errors: of each seed of a network, and their mean."""
    keys = [key for group in of for key in group.rows]
    for way, (label, marker) in enumerate((("as trained", "o"), ("rescaled", "s"), ("re-estimated", "D"))):
        points = [group.right(key, float(key[0].split()[1]) / 2, WAYS[way]) - group.right(key, 0.0, WAYS[way])
                  for key, group in zip(keys, of)]
        y = np.arange(len(keys)) + 0.22 * (way - 1)
        axes.plot([each.mean() for each in points], y, marker, color=COLOURS[way + 2], label=label)
        axes.plot(np.concatenate(points), np.repeat(y, [group.n for group in of]), "|", color="0.2", markersize=4,
                  label="seeds" if way == 2 else None)
    axes.axvline(OVERFITS, color="0.3", linewidth=0.9, linestyle=":")
    axes.set_yticks(range(len(keys)), [f"{arm.replace('flips', 'straight-thr.')}, code {code}" for arm, code in keys])
    axes.tick_params(axis="y", labelsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("points at half the rate of training,\nminus without errors (dotted: criterion)")
    axes.set_title(f"overfitting to the rate,\n{with_seeds(of[0].setting, *(group.n for group in of))}", fontsize=9)
    axes.legend(fontsize=8)


def draw_margins(axes: Axes, beside: bool, rate: float = 0.1) -> None:
    """Points lost over the first layer's margin: of standard networks from as trained (filled) to rescaled (open).

    Those with a margin above FAR would push the others together; the legend names them. `beside`: there is room for it.
    """
    far: list[str] = []
    marks = {(one, "standard"): "oDvP*XdH<>8p"[k] for k, one in enumerate(settings())}
    marks |= {(settings("FCNN")[0], arm): mark for arm, mark in ((f"native {rate:g}", "^"), (f"flips {rate:g}", "s"))}
    for (one, arm), mark in marks.items():
        found = [group for code in CODES if (group := Group(one, (arm, code))).n]
        for group in found:
            (key,) = group.rows
            if group.margin(key) > FAR:
                far.append(f"{group.name}, {arm}, code {key[1]}: {group.margin(key):.1f}")
                continue
            points, x, colour = group.lost(key)[:2, RATES.index(rate)], group.margin(key), COLOURS[CODES.index(key[1])]
            if arm == "standard":
                axes.plot([x, x], points, f":{mark}", color=colour, markevery=[0], markersize=5, zorder=4)
            axes.plot(x, points[1], mark, color=colour, markerfacecolor="white", markersize=9 - 4 * (key[1] > 0))
        if found:
            name = with_seeds(one, *(group.n for group in found))
            axes.plot([], [], mark, color="0.3", label=f"{name}, {arm.replace('flips', 'straight-through')}")
    for colour, code in zip(COLOURS, CODES):
        axes.plot([], [], "o", color=colour, markersize=5, label=f"in this colour: code {code}")
    handles = {label: handle for handle, label in zip(*axes.get_legend_handles_labels())}
    left_out = "\n".join(["not drawn, for its margin:", *far] if far else [])
    axes.legend(handles.values(), handles, fontsize=7, title_fontsize=7, title=left_out,
                loc="center left" if beside else "upper center",
                bbox_to_anchor=(1.05, 0.5) if beside else (0.5, -0.26)).set_in_layout(not beside)
    axes.set(xscale="log", yscale="log",
             xlabel="margin of the first layer,\nmean |h - s| / (2 sqrt(sum of squared pixels))",
             ylabel=f"points lost at BER {rate:g}")
    axes.set_yticks((1, 2, 5, 10, 20, 50), ("1", "2", "5", "10", "20", "50"))
    low, high = axes.get_xlim()
    shown = [x for x in (0.3, 0.4, 0.5, 0.7, 1, 2, 3, 5, 10) if low <= x <= high]
    axes.set_xticks(shown, [f"{x:g}" for x in shown])
    axes.minorticks_off()
    axes.set_title("margins; filled: as trained (standard only), open: rescaled", fontsize=9)


def draw(path: Path) -> Figure:
    """All panels: codes, and overfitting, of every setting that has what they need."""
    codes = groups(*STANDARD)
    trained = [found for one in settings()
               if len(found := [group for key in product(ARMS[1:], CODES) if (group := Group(one, key)).n]) > 2]
    used = len(codes) + len(trained) + 1
    n_rows = -(-used // 2)
    figure, panels = new_panels((9.6, 4.0 * n_rows), n_rows, 2, used=used)
    for axes, group in zip(panels, codes):
        draw_codes(axes, group)
    for axes, found in zip(panels[len(codes):], trained):
        draw_overfitting(axes, found)
    draw_margins(panels[-1], beside=used % 2 == 1)
    save_figure(figure, path)
    return figure
