"""Figures of what is proven: certified accuracy, certificates beside attacks, functions and their networks.

N images, L layers, d inputs.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bnnsim.figures.style import COLOURS, WIDTH, line_style, new_axes, wrapped, written


def certified_accuracy(certificates, labels, path=None, title=""):
    """The share of images that are right and provably stay so, over the number of flipped weights.

    Parameters
    ----------
    certificates : Certificates
    labels : integer (N,)
    path : path, optional
        PNG, SVG or PDF.
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    if not hasattr(certificates, "flips"):
        raise TypeError(f"certificates must be Certificates, as certified_flips gives, got {type(certificates).__name__}")
    figure, axes = new_axes()
    n_layers = certificates.layers.shape[1]
    looks = [(None, "anywhere in the network", {"color": "0.8", "linewidth": 6})]
    looks += [(i, f"in layer {i}" + " (exact)" * (i == n_layers - 1), {**line_style(i), "marker": ""})
              for i in range(n_layers)]
    for layer, name, style in looks:
        known = np.unique(certificates.flips(layer))
        flips = np.unique(np.concatenate([[0], known, known + 1]))
        axes.plot(np.maximum(flips, 0.5), 100 * certificates.accuracy(labels, flips, layer), **style, label=name,
                  drawstyle="steps-post")
    axes.set(xscale="log", xlim=(0.45, None), ylim=(0, 100))
    axes.set_xticks([0.5, *10.0 ** np.arange(np.ceil(np.log10(axes.get_xlim()[1])))])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if x >= 1 else "0"))
    axes.minorticks_off()
    axes.set_xlabel("flipped weights, whichever they are")
    axes.set_ylabel("certified accuracy (%)")
    axes.set_title(wrapped(f"{title}{'; ' * bool(title)}{len(labels):,} images"), fontsize=9)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9, handlelength=3)
    return written(figure, path)


def tightness(pairs, path=None, title=""):
    """Certificates beside the sizes of breaking sets that an attack found: the truth lies between.

    Parameters
    ----------
    pairs : dict of str to (int (N,), int (N,))
        Per panel: flips certified, and the size of the smallest breaking set known.
    path : path, optional
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    if not pairs:
        raise ValueError("pairs must have at least one entry, got an empty dict")
    figure = Figure(figsize=(3.1 * len(pairs) + 0.4, 3.7), layout="constrained")
    row = figure.subplots(1, len(pairs), squeeze=False)[0]
    for axes, (name, (certified, broken)), colour in zip(row, pairs.items(), COLOURS):
        certified, broken = np.asarray(certified), np.asarray(broken)
        end = 1.5 * max(broken.max(), 2)
        axes.plot([0.5, end], [0.5, end], color="0.5", linewidth=1, linestyle="--")
        axes.plot(broken, np.maximum(certified, 0.5), "o", color=colour, markersize=3, alpha=0.3, markeredgewidth=0)
        axes.set(xscale="log", yscale="log", xlim=(0.4, end), ylim=(0.4, end), box_aspect=1)
        ticks = 10.0 ** np.arange(0, np.ceil(np.log10(end)))
        axes.set_xticks(ticks)
        axes.set_yticks([0.5, *ticks])
        axes.minorticks_off()
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if x >= 1 else "0"))
        median = np.median(certified / broken)
        axes.set_title(wrapped(f"{name}: median ratio {median:.2f}"), fontsize=9)
        axes.grid(True, linewidth=0.4, alpha=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    row[0].set_ylabel("flips certified")
    figure.supxlabel("flips of a breaking set that the attack found", fontsize=10)
    if title:
        figure.suptitle(wrapped(title), fontsize=9)
    return written(figure, path)


def approximation(axes, wanted, found, path=None, title=""):
    """A function, what approximates it, and the error: curves for one input, maps for two.

    `bnnsim.universal.draw` makes one of a network.

    Parameters
    ----------
    axes : sequence of one or two float (n,)
        The points along each input.
    wanted, found : float
        The function's and the network's values on the grid of these points, flat, the first input slowest.
    path : path, optional
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = (_draw_curves if len(axes) == 1 else _draw_maps)(axes, wanted, found)
    largest = f"largest error here {np.abs(found - wanted).max():.3g}"
    figure.suptitle(wrapped("; ".join(filter(None, (title, largest)))), fontsize=9)
    return written(figure, path)


def _draw_curves(axes, wanted, found):
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    top.plot(axes[0], wanted, color="0.7", linewidth=4, label="function")
    top.step(axes[0], found, color=COLOURS[0], linewidth=1.2, where="mid", label="network")
    top.set_ylabel("value")
    figure.legend(*top.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    bottom.plot(axes[0], found - wanted, color=COLOURS[1], linewidth=1)
    bottom.set_ylabel("error")
    bottom.set_xlabel("input")
    for one in (top, bottom):
        one.grid(True, linewidth=0.4, alpha=0.6)
        one.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_maps(axes, wanted, found):
    figure = Figure(figsize=(10.0, 3.6), layout="constrained")
    shape, extent = (len(axes[0]), len(axes[1])), (axes[0][0], axes[0][-1], axes[1][0], axes[1][-1])
    least, most = min(wanted.min(), found.min()), max(wanted.max(), found.max())
    error = found - wanted
    panels = (("function", wanted, "viridis", (least, most)), ("network", found, "viridis", (least, most)),
              ("error", error, "RdBu_r", (-np.abs(error).max(), np.abs(error).max())))
    for place, (name, values, colours, (low, high)) in zip(figure.subplots(1, 3, sharey=True), panels):
        image = place.imshow(values.reshape(shape).T, cmap=colours, vmin=low, vmax=high, extent=extent, origin="lower",
                             interpolation="none", aspect="auto")
        place.set_box_aspect(1)
        place.set_title(name, fontsize=9)
        place.set_xlabel("input 0")
        figure.colorbar(image, ax=place, shrink=0.9)
    figure.axes[0].set_ylabel("input 1")
    return figure
