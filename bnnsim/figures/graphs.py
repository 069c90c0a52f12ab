"""Networks as pictures of their nodes: what reads what, and what goes along each edge.

Lengths are inches; y goes down.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch

from bnnsim.checks import FilePath
from bnnsim.figures.drawn import check_drawn
from bnnsim.figures.graph_layout import Column, Edge, columns_of, depths_of
from bnnsim.figures.style import Drawn, Width, inches, legend_below, new_panels, written
from bnnsim.packed import PackedGraph, PackedLayer, PackedNetwork, Stage
from bnnsim.packed.graph_schema import IMAGES
from bnnsim.packed.operations import Operation, RealConv

BOXES: dict[str, tuple[str, dict[str, Any]]] = {        # of each kind of node: what it is, and its looks
    "bits": ("layer of bits, in the memory", {"facecolor": "#0072B2", "edgecolor": "#0072B2"}),
    "weighted": ("operation, float32 weights", {"facecolor": "#F6D58E", "edgecolor": "#A66F00"}),
    "operation": ("operation", {"facecolor": "white", "edgecolor": "0.45"}),
    "join": ("join", {"facecolor": "#F3D3E4", "edgecolor": "#A8457F"}),
    "end": ("", {"facecolor": "0.88", "edgecolor": "0.45"})}
LINES: dict[str, tuple[str, dict[str, Any]]] = {
    "pixels": ("pixels", {"color": "#000000", "linestyle": ":", "linewidth": 1.3}),
    "bits": ("bits", {"color": "#0072B2", "linestyle": "-", "linewidth": 2.0}),
    "integers": ("integers", {"color": "#D55E00", "linestyle": "--", "linewidth": 1.3}),
    "reals": ("float32", {"color": "0.35", "linestyle": "-", "linewidth": 0.9}),
    "scores": ("scores", {"color": "#000000", "linestyle": "-.", "linewidth": 1.3})}
GHOST: dict[str, Any] = {"facecolor": "white", "linestyle": "--"}
ROUND = {"bits": 0.0, "weighted": 0.04, "operation": 0.04, "join": 0.095, "end": 0.04}
FONT, LETTER = 6.5, 0.055           # points, and inches that a letter takes about
BOX, TALL, GAP = 0.19, 0.31, 0.15   # heights of a box, of one with two lines, and between rows
BESIDE, TRACK, MARGIN = 0.18, 0.11, 0.08        # between lanes; of a track; around all
LEAST_SCALE = 0.8                   # to which a picture shrinks, so that a column more fits the width that is asked for
LEAST_WIDTH, ROOM = 3.6, 0.35       # of a figure, and what it is higher than the picture
MOST_HEIGHT = 8.5                   # of a page with as many columns as it takes


class Entry(NamedTuple):
    """A node of the picture: its texts, its kind in `BOXES`, the kind of its value in `LINES`, what it reads."""

    name: str
    shape: str
    second: str
    box: str
    kind: str
    reads: tuple[int, ...]


def network_graph(network: PackedNetwork, path: FilePath | None = None,
                  *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """The nodes of a network from top to bottom: what each is, reads and gives.

    Layers of bits, whose weights the memory stores, stand out from operations and joins; lines tell bits, integers and
    float32 apart. Each node has its number and the shape of what it gives, layers of bits also the number by which
    faults and sweeps know them. A large graph goes on in further columns, where a dashed box stands for a node that is
    in an earlier one.

    Parameters
    ----------
    network : PackedNetwork
        A `PackedGraph`, or one without branches.
    path : path, optional
        PNG, SVG or PDF.
    ax : matplotlib.axes.Axes, optional
        Drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    check_drawn("network", network, "PackedNetwork", "bnnsim.pack or bnnsim.load_network")
    picture = _Picture(entries_of(network))
    asked = None if width is None else inches(width, (1.0, 1.0))
    columns = picture.columns(asked[0] if asked else None)
    wide, high = picture.size(columns)
    size = max(wide, LEAST_WIDTH), high + ROOM
    if asked and not isinstance(width, tuple):
        width = asked[0], high * min(1.0, asked[0] / wide) + ROOM
    figure, (axes,) = new_panels(size, ax=ax, width=width, grid=False)
    room = axes.bbox if ax is not None else figure.bbox
    scale = min(1.0, room.width / figure.dpi / wide, room.height / figure.dpi / high)
    axes.set_xlim(0, wide)
    axes.set_ylim(high, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_axis_off()
    axes.set_aspect("equal", anchor="N")
    picture.draw(axes, columns, scale)
    labels, artists = picture.legend(any(column.ghosts for column in columns))
    legend_below(figure, labels, ax=ax, lines=artists)
    return written(figure, path, ax)


def entries_of(network: PackedNetwork) -> dict[int, Entry]:
    """What is drawn, by number: the images, nodes or layers, and the scores at the end."""
    channels, height, width = network.input_shape
    found = {IMAGES: Entry("images", _sizes((height, width, channels)), "", "end", "pixels", ())}
    if isinstance(network, PackedGraph):
        for i, (node, place) in enumerate(zip(network.nodes, network.places)):
            found[i] = _entry(i, node.what, place.stage, place.shape, place.kind, node.inputs)
    else:
        for i, stage in enumerate(network.stages):
            kind = "bits" if i + 1 < len(network.stages) else "scores"
            found[i] = _entry(i, stage.layer, stage, stage.output_shape, kind, (i - 1,))
    last = len(found) - 2
    found[last + 1] = Entry("scores", f"{network.n_classes}", "", "end", "scores", (last,))
    return found


def _entry(i: int, what: PackedLayer | Operation, stage: Stage | None, shape: Sequence[int], kind: str,
           reads: tuple[int, ...]) -> Entry:
    if isinstance(what, Operation):
        kernel = what.weight.shape[1:3] if isinstance(what, RealConv) else getattr(what, "size", ())
        box = "join" if what.n_inputs[1] > 1 else "weighted" if "weight" in what.arrays else "operation"
        name = f"{i} {what.word}{_window(kernel, getattr(what, 'stride', ()))}"
        return Entry(name, _sizes(shape), "", box, kind, reads)
    kernel = what.words.shape[1:3] if what.words.ndim == 4 else ()
    number = stage.index if stage is not None else i
    pool = f", pool {what.pool[0]}\N{MULTIPLICATION SIGN}{what.pool[1]}" if what.pools else ""
    return Entry(f"{i} {what.kind}{_window(kernel, what.stride if kernel else ())}", _sizes(shape),
                 f"layer {number}, {what.n_bits:,} bits{pool}", "bits", kind, reads)


def _sizes(shape: Sequence[int]) -> str:
    return "\N{MULTIPLICATION SIGN}".join(map(str, shape))


def _window(kernel: Sequence[int], stride: Sequence[int]) -> str:
    """" 3 x 3 / 2" of a kernel and its stride, where there is one."""
    if not kernel:
        return ""
    steps = f"/{stride[0]}" if len(set(stride)) == 1 else f"/{_sizes(stride)}"
    return f" {_sizes(kernel)}" + steps * (max(stride, default=1) > 1)


class _Picture:
    """Entries at their places."""

    def __init__(self, entries: dict[int, Entry]) -> None:
        self.entries = entries
        self.reads = {i: entry.reads for i, entry in entries.items()}
        longest = max(max(len(entry.name) + len(entry.shape) + 2, len(entry.second)) for entry in entries.values())
        self.box_width = LETTER * longest + 0.12

    # ------------------------------------------------------------ sizes

    def columns(self, width: float | None) -> list[Column]:
        """Of a page that is so wide, or else not too high."""
        n_rows = 1 + max(depths_of(self.reads).values())
        best = columns_of(self.reads, n_rows)
        for n in range(2, n_rows):
            if width is None and self.size(best)[1] <= MOST_HEIGHT:
                break
            even = -(-n_rows // n)
            tried = [columns_of(self.reads, even + slack) for slack in range(1 + even // 3)]
            wider = next((found for found in tried if len(found) <= n), tried[0])
            if width is not None and self.size(wider)[0] * LEAST_SCALE > width:
                break
            best = wider
        return best

    def size(self, columns: Sequence[Column]) -> tuple[float, float]:
        """Inches of what is drawn."""
        return (sum(self._column_width(column) for column in columns) + 2 * MARGIN,
                max(self._tops(column)[-1] for column in columns) + 2 * MARGIN)

    def _column_width(self, column: Column) -> float:
        return column.n_lanes * (self.box_width + BESIDE) + (column.n_tracks + 1) * TRACK

    def _height(self, node: int) -> float:
        return TALL if self.entries[node].second else BOX

    def _tops(self, column: Column) -> list[float]:
        """The top of each row, and of one behind them."""
        heights = [BOX] * column.n_rows
        for node, spot in column.spots.items():
            heights[spot.row] = max(heights[spot.row], self._height(node))
        tops = [0.0]
        for height in heights:
            tops.append(tops[-1] + height + GAP)
        return tops

    # ------------------------------------------------------------ drawing

    def draw(self, axes: Axes, columns: Sequence[Column], scale: float) -> None:
        """All columns side by side."""
        left = MARGIN
        shown = {node: n for n, column in enumerate(columns) for node in column.spots if node not in column.ghosts}
        for n, column in enumerate(columns):
            tops = self._tops(column)
            for edge in column.edges:
                self._draw_edge(axes, column, edge, left, tops, scale)
            for node, spot in column.spots.items():
                box = self._place(column, node, left, tops)
                self._draw_box(axes, node, box, node in column.ghosts, scale)
                later = [other for other, when in shown.items() if node in self.reads[other] and when > n]
                if later and node not in column.ghosts:
                    x, bottom = box[0] + 0.8 * self.box_width, box[1] + self._height(node)
                    axes.plot([x, x, x + TRACK], [bottom, *[bottom + 0.45 * GAP] * 2], **self._line(node, scale))
                    axes.plot(x + TRACK, bottom + 0.45 * GAP, marker=5, **self._head(node, scale))
            left += self._column_width(column)

    def _place(self, column: Column, node: int, left: float, tops: Sequence[float]) -> tuple[float, float]:
        """The left end and top of a node's box."""
        row, lane = column.spots[node]
        return (left + (column.n_tracks + 0.5) * TRACK + lane * (self.box_width + BESIDE), MARGIN + tops[row])

    def _line(self, node: int, scale: float) -> dict[str, Any]:
        looks = LINES[self.entries[node].kind][1]
        return {**looks, "linewidth": looks["linewidth"] * scale}

    def _head(self, node: int, scale: float) -> dict[str, Any]:
        """Looks of an arrow's head."""
        return {"markersize": 4.5 * scale, "color": LINES[self.entries[node].kind][1]["color"], "zorder": 3,
                "markeredgewidth": 0}

    def _draw_edge(self, axes: Axes, column: Column, edge: Edge, left: float, tops: Sequence[float],
                   scale: float) -> None:
        points = list(self._path(column, edge, left, tops))
        axes.plot(*zip(*points), **self._line(edge.source, scale), zorder=1.5, solid_joinstyle="round")
        axes.plot(*points[-1], marker=7, **self._head(edge.source, scale))

    def _path(self, column: Column, edge: Edge, left: float, tops: Sequence[float]) -> Iterator[tuple[float, float]]:
        """From the bottom of one box to the top of another, around what is between."""
        (x0, y0), (x1, y1) = (self._place(column, node, left, tops) for node in (edge.source, edge.target))
        source, target = column.spots[edge.source], column.spots[edge.target]
        bottom, middle = y0 + self._height(edge.source), self.box_width / 2
        leaves, enters = MARGIN + tops[source.row + 1] - 0.6 * GAP, y1 - 0.35 * GAP
        if edge.track is not None:
            x = left + (column.n_tracks - 1 - edge.track + 0.5) * TRACK
            leaves -= 0.22 * GAP
            yield from ((x0 + 0.2 * self.box_width, bottom), (x0 + 0.2 * self.box_width, leaves), (x, leaves),
                        (x, enters), (x1 + 0.2 * self.box_width, enters), (x1 + 0.2 * self.box_width, y1))
        elif source.lane == target.lane:
            yield from ((x0 + middle, bottom), (x1 + middle, y1))
        elif edge.lane == target.lane:                       # sideways at once
            port = 0.8 if target.lane > source.lane else 0.2
            yield from ((x0 + port * self.box_width, bottom), (x0 + port * self.box_width, leaves),
                        (x1 + middle, leaves), (x1 + middle, y1))
        else:                                                # sideways at the end
            port = 0.8 if source.lane > target.lane else 0.2
            yield from ((x0 + middle, bottom), (x0 + middle, enters), (x1 + port * self.box_width, enters),
                        (x1 + port * self.box_width, y1))

    def _draw_box(self, axes: Axes, node: int, place: tuple[float, float], ghost: bool, scale: float) -> None:
        entry, (x, y), height = self.entries[node], place, self._height(node)
        looks = {**BOXES[entry.box][1], **(GHOST if ghost else {})}
        corner = ROUND[entry.box]
        axes.add_patch(FancyBboxPatch((x, y), self.box_width, height, linewidth=0.8 * scale, zorder=2, **looks,
                                      boxstyle=f"round,pad=0,rounding_size={corner}" if corner else "square,pad=0"))
        font: dict[str, Any] = {"fontsize": FONT * scale, "va": "center", "zorder": 4,
                                "color": "white" if entry.box == "bits" and not ghost else "black"}
        first = y + (height / 2 if not entry.second else 0.095)
        axes.text(x + 0.05, first, entry.name, ha="left", **font)
        axes.text(x + self.box_width - 0.05, first, entry.shape, ha="right", **font)
        if entry.second:
            axes.text(x + 0.05, y + 0.225, entry.second, ha="left", **font)

    def legend(self, ghosts: bool) -> tuple[list[str], list[Artist]]:
        """Labels and looks of kinds of nodes and of lines that are there."""
        boxes = [kind for kind in BOXES if BOXES[kind][0] and any(e.box == kind for e in self.entries.values())]
        read = {self.entries[at].kind for entry in self.entries.values() for at in entry.reads}
        lines = [kind for kind in LINES if kind in read]
        labels = [*(BOXES[kind][0] for kind in boxes), *["node of an earlier column"] * ghosts,
                  *(LINES[kind][0] for kind in lines)]
        artists = [*(Patch(**BOXES[kind][1]) for kind in boxes), *[Patch(**GHOST, edgecolor="0.45")] * ghosts,
                   *(Line2D([], [], **LINES[kind][1]) for kind in lines)]
        return labels, artists
