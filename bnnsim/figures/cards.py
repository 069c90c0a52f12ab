"""Figures of a sweep along an axis of a device card: what it does to accuracy, errors and energy, and what it costs.

Each function returns a `matplotlib.figure.Figure`, and writes it where a path is given: PNG, SVG or PDF.
"""

import numpy as np
from matplotlib.figure import Figure

from bnnsim.devices import AXES
from bnnsim.figures.style import legend_below, line_style, plain, written


def _names(found):
    """A label for each series: what they have in common is left out."""
    keys = [key for key in ("network", "cell", "code") if len({series[key] for series in found.series}) > 1]
    keys = keys or ["network"]
    return [plain(", ".join("no code" if series[key] == "none" else series[key] for key in keys))
            for series in found.series]


def _title(found):
    common = [("no code" if found.series[0][key] == "none" else found.series[0][key]) for key in ("cell", "code")
              if len({series[key] for series in found.series}) == 1]
    entry, trials = found.result.settings["series"][0], found.result.right.shape[2]
    return (f"device card {plain(found.card.name)}, {', '.join(common)}".rstrip(", ") +
            f"\n{plain(entry['split'])}, {entry['n_images']:,} images"
            f"\nline: mean over {trials} chips, band: its 95 % confidence interval")


def _values(found, s, key):
    rows = found.rows[s * len(found.places):(s + 1) * len(found.places)]
    return np.array([np.nan if row[key] is None else row[key] for row in rows], np.float64)


def card_curves(found, path=None):
    """Accuracy, bit error rate and programming energy along the axis, a panel each.

    Parameters
    ----------
    found : bnnsim.campaign.card.CardSweep
    path : path, optional

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.6, 7.2), layout="constrained")
    top, middle, bottom = panels = figure.subplots(3, 1, sharex=True, height_ratios=(2, 1.3, 1.3))
    numbered = found.axis == "condition"
    places = np.arange(len(found.places)) if numbered else np.array(found.places, np.float64)
    order = np.argsort(places)
    for s in range(len(found.series)):
        style = line_style(s)
        mean, low, high = (100 * _values(found, s, key)[order] for key in ("mean", "low", "high"))
        top.plot(places[order], mean, **style)
        top.fill_between(places[order], low, high, color=style["color"], alpha=0.2, linewidth=0)
        ber = _values(found, s, "ber")[order]
        middle.plot(places[order], np.where(ber > 0, ber, np.nan), **style)
        bottom.plot(places[order], 1e6 * _values(found, s, "energy_joule")[order], **style)
    for axes, label in zip(panels, ("test accuracy (%)", "bit error rate\nbefore a code corrects",
                                    "energy to program\nthe network (uJ)")):
        axes.set_ylabel(label)
        axes.grid(True, linewidth=0.4, alpha=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    middle.set_yscale("log")
    energies = np.concatenate([_values(found, s, "energy_joule") for s in range(len(found.series))])
    if np.all(np.isnan(energies)):
        bottom.text(0.5, 0.5, "the card has no energies", transform=bottom.transAxes, ha="center", color="0.4")
        bottom.set_yticks([])
    elif np.nanmax(energies) > 3 * np.nanmin(energies):
        bottom.set_yscale("log")
    _name_axis(bottom, found, places, numbered)
    top.set_title(_title(found), fontsize=9)
    legend_below(figure, _names(found))
    return written(figure, path)


def _name_axis(axes, found, places, numbered):
    axis = AXES[found.axis]
    axes.set_xlabel(axis.label + (f" ({axis.unit})" if axis.unit else ""))
    if numbered:
        axes.set_xticks(places, [plain(place) for place in found.places])
        axes.set_xlim(-0.4, len(places) - 0.6)
    elif axis.log and np.all(places > 0):
        axes.set_xscale("log")


def pareto(found, path=None):
    """Accuracy over programming energy, and over devices a weight: what is above and left of the others is best.

    Energies are joules where the card has them, else parts of its reference.

    Parameters
    ----------
    found : bnnsim.campaign.card.CardSweep
    path : path, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        Where the card has no energies at all.
    """
    figure = Figure(figsize=(9.0, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.6, 1))
    key, scale, label = "energy_joule", 1e6, "energy to program the network (uJ)"
    if all(row[key] is None for row in found.rows):
        key, scale, label = "energy_relative", 1.0, "energy to program the network (of the reference)"
    if all(row[key] is None for row in found.rows):
        raise ValueError(f"the card {found.card.name!r} has no energies to draw accuracy over")
    devices = sorted({series["devices_per_weight"] for series in found.series})
    for s, series in enumerate(found.series):
        style = line_style(s)
        energy, mean = scale * _values(found, s, key), 100 * _values(found, s, "mean")
        bounds = 100 * np.stack([_values(found, s, name) for name in ("low", "high")])
        error = np.abs(bounds - mean)
        left.errorbar(energy, mean, error, **style, elinewidth=0.8)
        shift = (s - (len(found.series) - 1) / 2) * 0.04
        right.errorbar(np.full(len(mean), series["devices_per_weight"] * 2.0 ** shift), mean, error,
                       **{**style, "linestyle": ""}, elinewidth=0.8)
    left.set_xscale("log")
    left.set_xlabel(label)
    left.set_ylabel("test accuracy (%)")
    right.set_xscale("log", base=2)
    right.set_xticks(devices, [f"{value:.3g}" for value in devices])
    right.set_xlim(devices[0] / 1.5, devices[-1] * 1.5)
    right.set_xlabel("devices a weight")
    for axes in (left, right):
        axes.grid(True, linewidth=0.4, alpha=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.minorticks_off()
    figure.suptitle(_title(found).replace("line: mean over", "points: mean over").replace("band", "bars"), fontsize=9)
    legend_below(figure, _names(found))
    return written(figure, path)
