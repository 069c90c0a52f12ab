"""What all figures share: how they are written, their sizes, the looks of axes and lines, and legends.

Legends stand below or beside the axes, never on them, but where a function is given the user's own axes.
"""

import io
import os
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

import bnnsim.files.atomic as atomic
from bnnsim.checks import FilePath, check_choice

if TYPE_CHECKING:
    from typing_extensions import TypeVar       # known to type checkers everywhere; at run time it is in Python 3.13

    Drawn = TypeVar("Drawn", bound=Figure | Axes | Sequence[Axes] | np.ndarray, default=Figure)
else:
    from typing import TypeVar

    Drawn = TypeVar("Drawn")                    # what is drawn on and returned: a new figure, or the axes given

# Okabe and Ito's colours but yellow, which differ for colour-blind readers. For grey prints markers and line styles
# differ too, and every second marker is hollow; 7, 10 and 3 have no common factor: no two of 210 lines look the same.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*X<>"
LINES = ("-", "--", "-.")
WIDTH = 6.4                         # inches
WIDTHS = {"column": 3.5, "page": 7.16}          # inches of one and of two columns of a paper
NARROW = 5.0                        # inches: texts are small below
LEAST = 0.7                         # a panel is at least so much of its default width
LITTLE = 3.0                        # inches: texts are small in axes that are given and narrower
LETTER = 0.58                       # the width of a letter, in heights of its font
BAND: dict[str, Any] = {"alpha": 0.2, "linewidth": 0}               # of what is filled around a line
LEGEND: dict[str, Any] = {"loc": "outside lower center", "fontsize": 9, "frameon": False, "handlelength": 3}

Width = Literal["column", "page"] | float | tuple[float, float] | None


class Picture(Figure):
    """A figure that notebooks show without a magic word before, and without pyplot."""

    def _repr_png_(self) -> bytes:
        data = io.BytesIO()
        self.savefig(data, format="png", dpi=110)
        return data.getvalue()


# ---------------------------------------------------------------- files, axes

def save_figure(figure: Figure, path: FilePath) -> None:
    """Write a figure, its fonts in it: TrueType in PDF, texts as texts in SVG.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : path
        The ending chooses the format: .png, .svg or .pdf.
    """
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending not in (".png", ".svg", ".pdf"):
        raise ValueError(f"path must end in .png, .svg or .pdf, got {os.fspath(path)!r}")
    fonts = matplotlib.rc_context({"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"})
    with atomic.replaced(path) as temporary, fonts:
        figure.savefig(temporary, dpi=300 if figure.get_figwidth() < NARROW else 150)


def written(figure: Figure, path: FilePath | None, ax: "Drawn | None" = None) -> "Drawn":
    """The figure, or the axes that were given, stored where a path is given."""
    if ax is not None:
        for axes in np.ravel(np.asarray(ax, object)):
            _fit(axes, axes.bbox.width / figure.dpi, axes.bbox.height / figure.dpi)
    else:
        if figure.get_figwidth() < NARROW:
            _make_small(figure)
        if len(figure.axes) > 1:
            _fit_upright(figure)
    if path is not None:
        save_figure(figure, path)
    return cast("Drawn", figure if ax is None else ax)


def inches(width: Width, size: tuple[float, float]) -> tuple[float, float]:
    """The size of a figure that has `size` by default: a name of `WIDTHS`, inches of its width, or of both."""
    if width is None:
        return size
    if isinstance(width, str):
        width = WIDTHS[check_choice("width", width, WIDTHS)]
    both = np.array(width, np.float64, ndmin=1).tolist()
    if len(both) > 2 or not all(1 <= side <= 40 for side in both):
        raise ValueError(f"width must be 'column', 'page', inches from 1 to 40, or (width, height), got {width!r}")
    return both[0], both[1] if len(both) == 2 else size[1] * float(np.sqrt(both[0] / size[0]))


def new_axes(width: float = WIDTH, height: float = 4.4, *, ax: object = None,
             size: Width = None) -> tuple[Figure, Axes]:
    """A figure with one pair of axes, or the axes that are given and theirs: (figure, axes)."""
    figure, (axes,) = new_panels((width, height), ax=ax, width=size)
    return figure, axes


def new_panels(size: tuple[float, float], rows: int = 1, columns: int = 1, *, used: int | None = None,
               ax: object = None, width: Width = None, grid: bool = True, **layout: Any) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches with several axes, row by row: (figure, list of axes).

    Those of a row stand under one another where the width asked for leaves them too little room.

    Parameters
    ----------
    size : (float, float)
    rows, columns : int
    used : int, optional
        Panels that are needed; those behind them are left out.
    ax : Axes, or a sequence of them, optional
        Drawn on instead, as they are.
    width : as for `inches`
    grid : bool
    layout
        For `matplotlib.figure.Figure.subplots`, such as ``sharex=True``.
    """
    used = used or rows * columns
    if ax is not None:
        return _given(ax, used)
    size, wanted = inches(width, size), size
    fit = max(1, int(size[0] / (LEAST * wanted[0] / columns)))
    if width is not None and fit < columns:
        of_panel = wanted[0] / columns, wanted[1] / rows
        rows, columns = -(-used // fit), fit
        if isinstance(width, (str, float, int)):
            size = size[0], LEAST * rows * inches(size[0] / fit, of_panel)[1]
        layout = {name: value for name, value in layout.items() if not name.endswith("_ratios")}
    figure = Picture(figsize=size, layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False, **layout).reshape(-1))
    for axes in panels[used:]:
        axes.remove()
    for axes in panels[:used]:
        if grid:
            axes.grid(True, linewidth=0.4, alpha=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, panels[:used]


def _given(ax: object, n: int) -> tuple[Figure, list[Axes]]:
    panels = list(np.ravel(np.asarray(ax, object)))
    if not all(isinstance(axes, Axes) for axes in panels):
        raise TypeError(f"ax must be matplotlib axes, got {type(ax).__name__}")
    if len(panels) != n:
        raise ValueError(f"ax must be {n} axes, one a panel, got {len(panels)}")
    figure = panels[0].get_figure(root=True)
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


def wrapped(text: str, width: float = WIDTH) -> str:
    """`plain` text in lines that fit a figure of so many inches."""
    return textwrap.fill(plain(text), _letters(width))


def chips_in_words(counts: Sequence[int] | np.ndarray) -> str:
    """How many chips there are, where places may have different numbers of them."""
    least, most = (int(min(counts)), int(max(counts))) if len(counts) else (1, 1)
    return f"{most} chip{'s' * (most > 1)}" if least == most else f"{least} to {most} chips"


def _letters(width: float) -> int:
    """How many of them fit a line of a title or a legend."""
    return max(16, int(75 * width / WIDTH * (9 / 7 if width < NARROW else 1)))


def heading(figure: Figure, text: str, ax: object = None) -> None:
    """What stands above all panels: above the first of the axes that are given."""
    if ax is None:
        figure.suptitle(text, fontsize=9)
    else:
        first = np.ravel(np.asarray(ax, object))[0]
        first.set_title("\n".join(filter(None, (text, first.get_title()))), fontsize=9)


def legend_below(figure: Figure, labels: Iterable[str], marked: bool = True, ax: object = None,
                 lines: Sequence[Artist] | None = None) -> None:
    """A legend under the axes, in as many columns as fit, by which the figure grows; on the first of the axes given.

    `lines` are those of `line_style` by default, 0, 1, ... with markers or without.
    """
    width = min(figure.get_figwidth(), WIDTH)
    texts = [wrapped(label, width) for label in labels]
    letter, line = (0.06, 0.14) if width < NARROW else (0.08, 0.19)             # inches
    lines = lines or [Line2D([], [], **line_style(i, marked)) for i in range(len(texts))]
    if ax is not None:
        axes = np.ravel(np.asarray(ax, object))[0]
        inside = axes.bbox.width / figure.dpi
        short = [textwrap.fill(text, letters_of(7, inside - 0.6)) for text in texts]
        axes.legend(lines, short, fontsize=7, handlelength=2 if inside < LITTLE else 3, framealpha=0.8)
        return
    longest = max(len(part) for text in texts for part in text.split("\n"))
    n_columns = max(1, min(len(texts), int(width / (0.7 + letter * longest))))
    n_lines = sum(text.count("\n") + 1 for text in texts) / n_columns
    figure.set_figheight(figure.get_figheight() + line * (np.ceil(n_lines) - 1))
    figure.legend(lines, texts, **LEGEND, ncols=n_columns)


def _fit(axes: Axes, width: float, height: float) -> None:
    """Texts for axes of so many inches, which stand among others: small where they are, in lines that fit."""
    if width < LITTLE:
        axes.tick_params(labelsize=7)
        for text in axes.findobj(Text):
            text.set_fontsize(min(7.0, float(text.get_fontsize())))
        for line in axes.lines:
            line.set_markersize(0.7 * line.get_markersize())
    _fit_titles(axes, width)
    for label, room in ((axes.xaxis.label, width), (axes.yaxis.label, height)):
        n_letters = letters_of(float(label.get_fontsize()), 1.1 * room)
        label.set_text("\n".join(textwrap.fill(line, n_letters) for line in label.get_text().split("\n")))


def _fit_upright(figure: Figure) -> None:
    """Break vertical labels that reach beside other panels: how high panels are, only a layout tells."""
    labels = [(axes, axes.yaxis.label) for axes in figure.axes]
    if all(len(line) < letters_of(float(label.get_fontsize()), 0.6 * axes.bbox.height / figure.dpi)
           for axes, label in labels for line in label.get_text().split("\n")):
        return
    figure.draw_without_rendering()
    for axes, label in labels:
        lines, share = label.get_text().split("\n"), axes.bbox.height / max(1, label.get_window_extent().height)
        if share < 0.95:
            n_letters = max(12, int(share * max(map(len, lines))))
            label.set_text("\n".join(textwrap.fill(line, n_letters) for line in lines))


def letters_of(size: float, width: float, least: int = 12) -> int:
    """How many letters of a font's size in points fit so many inches; at least so many."""
    return max(least, int(width * 72 / (LETTER * size)))


def _fit_titles(axes: Axes, width: float) -> None:
    """Break the lines of titles that are wider than so many inches."""
    for place in ("left", "center", "right"):
        lines = axes.get_title(place).split("\n")
        if max(map(len, lines)) > _letters(width):
            axes.set_title("\n".join(textwrap.fill(line, _letters(width)) for line in lines), loc=place, fontsize=7)


def _make_small(figure: Figure) -> None:
    """Texts and markers for one column: 7 points, titles in lines that fit."""
    size = figure.get_figwidth()
    for axes in figure.axes:
        _fit_titles(axes, 0.95 * size)
        axes.tick_params(labelsize=7)
        for line in axes.lines:
            line.set_markersize(0.7 * line.get_markersize())
    if above := figure.get_suptitle():
        figure.suptitle("\n".join(textwrap.fill(line, _letters(size)) for line in above.split("\n")), fontsize=7)
    for text in figure.findobj(Text):
        text.set_fontsize(min(7.0, float(text.get_fontsize())))
