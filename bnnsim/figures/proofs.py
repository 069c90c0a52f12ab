"""Figures of what is proven: certified accuracy, certificates beside attacks, functions and their networks.

N images, L layers, d inputs.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bnnsim.checks import FilePath
from bnnsim.figures.drawn import by_name, check_drawn
from bnnsim.figures.style import (COLOURS, WIDTH, Drawn, Width, heading, legend_below, line_style, new_axes, new_panels,
                                  wrapped, written)

if TYPE_CHECKING:
    from bnnsim.proofs import Certificates, ProgressiveFlips


def certified_accuracy(certificates: "Certificates", labels: npt.ArrayLike, path: FilePath | None = None,
                       title: str = "", *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """The share of images that are right and provably stay so, over the number of flipped weights.

    Parameters
    ----------
    certificates : Certificates
    labels : integer (N,)
    path : path, optional
        PNG, SVG or PDF.
    title : str
    ax : matplotlib.axes.Axes, optional
        Drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    check_drawn("certificates", certificates, "Certificates", "bnnsim.proofs.certified_flips")
    figure, axes = new_axes(ax=ax, size=width)
    n_layers = certificates.layers.shape[1]
    for layer in (None, *range(n_layers)):
        name = "anywhere in the network"
        style: dict[str, Any] = {"color": "0.8", "linewidth": 6}
        if layer is not None:
            name, style = f"in layer {layer}{' (exact)' * (layer == n_layers - 1)}", line_style(layer, marked=False)
        known = np.unique(certificates.flips(layer))
        flips = np.unique(np.concatenate([[0], known, known + 1]))
        stay = 100 * certificates.accuracy(labels, flips.tolist(), layer)
        axes.plot(np.maximum(flips, 0.5), stay, **style, label=name, drawstyle="steps-post")
    axes.set(xscale="log", xlim=(0.45, None), ylim=(0, 100))
    axes.set_xticks([0.5, *10.0 ** np.arange(np.ceil(np.log10(axes.get_xlim()[1])))])
    _whole_numbers(axes.xaxis)
    axes.set_xlabel("flipped weights, whichever they are")
    axes.set_ylabel("certified accuracy (%)")
    axes.set_title(wrapped(f"{title}{'; ' * bool(title)}{len(certificates.predictions):,} images"), fontsize=9)
    lines, names = axes.get_legend_handles_labels()
    legend_below(figure, names, ax=ax, lines=lines)
    return written(figure, path, ax)


def chosen_flips(results: "ProgressiveFlips | Mapping[str, ProgressiveFlips]", path: FilePath | None = None,
                 *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """Accuracy on the attacked images over the number of chosen flips.

    Parameters
    ----------
    results : bnnsim.proofs.ProgressiveFlips, or dict of str to ProgressiveFlips
    path : path, optional
    ax : matplotlib.axes.Axes, optional
        Drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    named = by_name("results", results, "ProgressiveFlips", "bnnsim.proofs.progressive_flips")
    figure, axes = new_axes(ax=ax, size=width)
    for s, found in enumerate(named.values()):
        axes.plot(found.flips, 100 * found.accuracy, **line_style(s, marked=False))
    axes.set(xlim=(0, None), ylim=(0, 100), xlabel="flips chosen by a progressive bit search",
             ylabel="accuracy on the attacked images (%)")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    if len(named) > 1:
        legend_below(figure, named, marked=False, ax=ax)
    return written(figure, path, ax)


def _whole_numbers(axis: Axis) -> None:
    """Label a log axis of numbers on which 0 stands at 0.5."""
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}" if x >= 1 else "0"))
    axis.axes.minorticks_off()


def tightness(pairs: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]], path: FilePath | None = None,
              title: str = "", *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """Certificates beside the sizes of breaking sets that an attack found: the truth lies between.

    Parameters
    ----------
    pairs : dict of str to (int (N,), int (N,))
        Per panel: flips certified, and the size of the smallest breaking set known.
    path : path, optional
    title : str
    ax : sequence of matplotlib.axes.Axes, optional
        One a panel, drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    if not isinstance(pairs, Mapping):
        raise TypeError(f"pairs must be a dict of names to (flips certified, flips known), got {type(pairs).__name__}")
    if not pairs:
        raise ValueError("pairs must have at least one entry, got an empty dict")
    figure, panels = new_panels((3.1 * len(pairs) + 0.4, 3.7), 1, len(pairs), ax=ax, width=width)
    for i, (axes, (name, pair)) in enumerate(zip(panels, pairs.items())):
        certified, broken = map(np.asarray, pair)
        end = 1.5 * max(broken.max(), 2)
        axes.plot([0.5, end], [0.5, end], color="0.5", linewidth=1, linestyle="--")
        axes.plot(broken, np.maximum(certified, 0.5), "o", color=COLOURS[i % len(COLOURS)], markersize=3, alpha=0.3,
                  markeredgewidth=0)
        axes.set(xscale="log", yscale="log", xlim=(0.4, end), ylim=(0.4, end), box_aspect=1)
        ticks = 10.0 ** np.arange(0, np.ceil(np.log10(end)))
        axes.set_xticks(ticks)
        axes.set_yticks([0.5, *ticks])
        for axis in (axes.xaxis, axes.yaxis):
            _whole_numbers(axis)
        median = np.median(certified / broken)
        axes.set_title(wrapped(f"{name}: median ratio {median:.2f}"), fontsize=9)
    panels[0].set_ylabel("flips certified")
    if ax is None:
        figure.supxlabel("flips of a breaking set that the attack found", fontsize=10)
    else:
        for axes in panels:
            axes.set_xlabel("flips of a breaking set")
    if title:
        heading(figure, wrapped(title), ax)
    return written(figure, path, ax)


def approximation(points: Sequence[np.ndarray], wanted: np.ndarray, given: np.ndarray, path: FilePath | None = None,
                  title: str = "", *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """A function, what approximates it, and the error: curves for one input, maps for two.

    `bnnsim.universal.draw` makes one of a network.

    Parameters
    ----------
    points : sequence of one or two float (n,)
        Along each input.
    wanted, given : float
        The function's and the network's values on the grid of these points, flat, the first input slowest.
    path : path, optional
    title : str
    ax : sequence of matplotlib.axes.Axes, optional
        Two for one input, three for two: drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    figure = (_draw_curves if len(points) == 1 else _draw_maps)(points, wanted, given, ax, width)
    largest = f"largest error here {np.abs(given - wanted).max():.3g}"
    heading(figure, wrapped("; ".join(filter(None, (title, largest)))), ax)
    return written(figure, path, ax)


def _draw_curves(points: Sequence[np.ndarray], wanted: np.ndarray, given: np.ndarray, ax: object,
                 width: Width) -> Figure:
    figure, (top, bottom) = new_panels((WIDTH, 4.4), 2, 1, ax=ax, width=width, sharex=True, height_ratios=(2, 1))
    top.plot(points[0], wanted, color="0.7", linewidth=4, label="function")
    top.step(points[0], given, color=COLOURS[0], linewidth=1.2, where="mid", label="network")
    top.set_ylabel("value")
    lines, names = top.get_legend_handles_labels()
    legend_below(figure, names, ax=ax, lines=lines)
    bottom.plot(points[0], given - wanted, color=COLOURS[1], linewidth=1)
    bottom.set_ylabel("error")
    bottom.set_xlabel("input")
    return figure


def _draw_maps(points: Sequence[np.ndarray], wanted: np.ndarray, given: np.ndarray, ax: object,
               width: Width) -> Figure:
    figure, panels = new_panels((10.0, 3.6), 1, 3, ax=ax, width=width, grid=False, sharey=True)
    shape, extent = tuple(map(len, points)), (points[0][0], points[0][-1], points[1][0], points[1][-1])
    least, most = min(wanted.min(), given.min()), max(wanted.max(), given.max())
    error = given - wanted
    maps = (("function", wanted, "viridis", (least, most)), ("network", given, "viridis", (least, most)),
            ("error", error, "RdBu_r", (-np.abs(error).max(), np.abs(error).max())))
    for axes, (name, values, colours, (low, high)) in zip(panels, maps):
        image = axes.imshow(values.reshape(shape).T, cmap=colours, vmin=low, vmax=high, extent=extent, origin="lower",
                            interpolation="none", aspect="auto")
        axes.set_box_aspect(1)
        axes.spines[:].set_visible(True)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("input 0")
        figure.colorbar(image, ax=axes, shrink=0.9)
    panels[0].set_ylabel("input 1")
    return figure
