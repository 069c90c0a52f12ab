"""Networks as images: the weights of the first layer, and where bits are wrong.

U units (K output channels), F weights of a unit, H, W, C an image or a kernel.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bnnsim.checks import FilePath, check_int
from bnnsim.faults import FaultMap
from bnnsim.faults.fault_map import KINDS
from bnnsim.figures.drawn import check_drawn
from bnnsim.figures.style import WIDTH, Drawn, Width, inches, legend_below, new_panels, written
from bnnsim.packed import PackedLayer, PackedNetwork, Stage
from bnnsim.packed.words import unpack_signs

MAX_SIDE = 600                      # cells along a side of a fault map: each is then more than one dot of a figure
LINE = 0.6                          # grey between images
CELLS = ("white", "#0072B2", "#D55E00", "#000000")     # sound, and the kinds of `faults.fault_map.KINDS`
GREY = LinearSegmentedColormap.from_list("one flip is seen", ["0.55", "0.0"])


def first_layer_weights(network: PackedNetwork, path: FilePath | None = None, n_units: int = 64,
                        *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """The +-1 weights of the first layer's first units: as images where it is dense, else as kernels.

    Several input channels stand side by side, the first on the left.

    Parameters
    ----------
    network : PackedNetwork
    path : path, optional
        PNG, SVG or PDF.
    n_units : int
        At most so many.
    ax : matplotlib.axes.Axes, optional
        Drawn on and returned, instead of a new figure.
    width : {"column", "page"}, float or (float, float), optional
        Of a new figure: one or two columns of a paper, inches, or inches of both sides.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`
    """
    check_drawn("network", network, "PackedNetwork", "bnnsim.pack or bnnsim.load_network")
    layer = network.layers[0]
    n = min(check_int("n_units", n_units, 1), layer.units)
    rows, columns = network.stages[0].patch_shape[:2]
    channels = layer.fan_in // (rows * columns)
    tiles = _side_by_side(_bits(layer, layer.words[:n]).reshape(n, rows, columns, channels))
    gap = 1 if channels == 1 else 2                                 # between units; 1 between channels
    n_columns = min(n, int(np.ceil(np.sqrt(n * tiles.shape[1] / tiles.shape[2]))))
    image = _mosaic(tiles, n_columns, gap)
    figure, axes = _image_axes(_size(image.shape), ax, width)
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="none")
    axes.set_xticks([])
    axes.set_yticks((tiles.shape[1] + gap) * np.arange(-(-n // n_columns)) + gap + tiles.shape[1] / 2 - 0.5,
                    map(str, range(0, n, n_columns)))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("first unit of the row")
    shape = f"{rows} x {columns} weights each" + f" of {channels} channels side by side" * (channels > 1)
    axes.set_title(f"layer 0, {layer.kind}, units 0 to {n - 1} of {layer.units:,}\n{shape}; white +1, black "
                   "\N{MINUS SIGN}1", fontsize=9)
    return written(figure, path, ax)


def fault_map(network: PackedNetwork, broken: PackedNetwork, layer: int, path: FilePath | None = None,
              *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """Where the stored bits of one layer differ between a network and a broken copy: rows are units.

    A layer with more than 600 units or weights a unit is drawn in blocks, each as dark as it has flipped bits, the
    lightest grey for one: every flip is seen.

    Parameters
    ----------
    network, broken : PackedNetwork
        As from ``fault.apply(network)``.
    layer : int
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
    check_drawn("broken", broken, "PackedNetwork", "bnnsim.pack or bnnsim.load_network")
    i = check_int("layer", layer, 0, len(network.layers) - 1)
    flipped = _flipped(network, broken, i)
    counts, block = _counted(flipped)
    figure, axes = _image_axes((WIDTH, 6.4 if len(counts) > 100 else 3.6), ax, width)
    _draw_counts(figure, axes, counts, block)
    n_units, n_weights = flipped.shape
    axes.set_xlim(-0.5, n_weights - 0.5)
    axes.set_ylim(n_units - 0.5, -0.5)
    _label(axes, network.stages[i])
    n_flipped = int(flipped.sum())
    axes.set_title(f"layer {i}, {network.layers[i].kind}, {n_units:,} units x {n_weights:,} weights\n{n_flipped:,} of "
                   f"{flipped.size:,} bits flipped, a bit error rate of {n_flipped / flipped.size:.3g}", fontsize=9)
    return written(figure, path, ax)


def array_map(chip: FaultMap, array: int, path: FilePath | None = None,
              *, ax: "Drawn | None" = None, width: Width = None) -> "Drawn":
    """The broken cells of one array of a fault map: flipped, stuck at 0, stuck at 1.

    Parameters
    ----------
    chip : FaultMap
        With a mapping.
    array : int
        As its mapping numbers them; up to 600 cells a side are drawn, of larger arrays the first rows and columns.
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
    check_drawn("chip", chip, "FaultMap", "bnnsim.faults.FaultMap.record")
    cells, mapping = chip.array(array), chip.mapping
    assert mapping is not None                                      # array() refuses a map without one
    layer, _ = mapping.layer_of(chip.memory, array)
    shown = cells[:MAX_SIDE, :MAX_SIDE]
    height = float(np.clip(1.6 + 5 * shown.shape[0] / shown.shape[1], 3.0, 8.0))
    figure, axes = _image_axes((WIDTH, height), ax, width)
    axes.imshow(shown, cmap=ListedColormap(CELLS), vmin=-0.5, vmax=3.5, interpolation="none")
    row, column = "one unit", "one weight of each unit"
    if mapping.units_on != "rows":
        row, column = column, row
    axes.set_xlabel(f"column (sense amplifier): {column}")
    axes.set_ylabel(f"row: {row}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(7, integer=True, min_n_ticks=1))
    counts = [int((cells == kind).sum()) for kind in (1, 2, 3)]
    patches = [Patch(facecolor=colour, edgecolor="0.5") for colour in CELLS[1:]]
    legend_below(figure, [f"{kind} ({count:,})" for kind, count in zip(KINDS, counts)], ax=ax, lines=patches)
    part = f", the first {shown.shape[0]} x {shown.shape[1]} shown" if shown.size < cells.size else ""
    axes.set_title(f"array {array}, layer {layer}: {cells.shape[0]:,} x {cells.shape[1]:,} cells in use of "
                   f"{mapping.rows:,} x {mapping.columns:,}{part}\n{sum(counts):,} broken, "
                   f"{100 * sum(counts) / cells.size:.3g} %", fontsize=9)
    return written(figure, path, ax)


def _image_axes(size: tuple[float, float], ax: object, width: Width) -> tuple[Figure, Axes]:
    """A figure with axes for an image, framed and without a grid, or the axes that are given."""
    if width is not None and ax is None:
        size = inches(width, (size[0], 0.9 * size[1]))
    figure, (axes,) = new_panels(size, ax=ax, grid=False)
    axes.spines[:].set_visible(True)
    return figure, axes


def _draw_counts(figure: Figure, axes: Axes, counts: np.ndarray, block: Sequence[int]) -> None:
    """Flips in blocks: white for none, from grey for one to black for the most; with a bar where blocks are large."""
    most = max(int(counts.max()), 1)
    colours = ListedColormap([(1, 1, 1, 1), *GREY(np.linspace(0, 1, most) if most > 1 else [1.0])])
    image = axes.imshow(counts, cmap=colours, vmin=-0.5, vmax=most + 0.5, interpolation="none", aspect="auto",
                        extent=(-0.5, block[1] * counts.shape[1] - 0.5, block[0] * counts.shape[0] - 0.5, -0.5))
    if max(block) > 1:
        bar = figure.colorbar(image, ax=axes, ticks=MaxNLocator(8, integer=True, min_n_ticks=1), fraction=0.05)
        bar.set_label(f"density: flipped bits in a block of\n{block[0]} unit{'s' * (block[0] > 1)} x {block[1]} "
                      f"weight{'s' * (block[1] > 1)}")


def _label(axes: Axes, stage: Stage) -> None:
    if stage.shares_weights:
        sizes = " x ".join(map(str, (*stage.patch_shape[:2], stage.layer.n_in)))
        axes.set_xlabel(f"weight (height, width, channel of a {sizes} kernel)")
        axes.set_ylabel("unit (output channel)")
    else:
        axes.set_xlabel("weight")
        axes.set_ylabel("unit")
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(9, integer=True))


def _bits(layer: PackedLayer, words: np.ndarray) -> np.ndarray:
    """Bits of words (U, ..., W) of a layer, bool (U, F)."""
    return unpack_signs(words.reshape(-1, words.shape[-1]), layer.n_in).reshape(len(words), -1) > 0


def _flipped(network: PackedNetwork, broken: PackedNetwork, i: int) -> np.ndarray:
    """Bits of layer i that differ, bool (U, F)."""
    layers = [getattr(thing, "layers", ()) for thing in (network, broken)]
    shapes = [[(layer.kind, layer.n_in, layer.words.shape) for layer in some] for some in layers]
    if shapes[0] != shapes[1]:
        raise ValueError(f"broken must have the layers of network, {shapes[0]}, got {shapes[1]}")
    return _bits(layers[0][i], layers[0][i].words ^ layers[1][i].words)


def _counted(flipped: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Flips in blocks that leave at most MAX_SIDE a side, and the shape of a block; the last ones may be smaller."""
    block = [-(-size // MAX_SIDE) for size in flipped.shape]
    counts = flipped.astype(np.int64)
    for axis, size in enumerate(block):
        counts = np.add.reduceat(counts, np.arange(0, counts.shape[axis], size), axis=axis)
    return counts, block


def _side_by_side(tiles: np.ndarray) -> np.ndarray:
    """(U, H, W, C) -> (U, H, C W + C - 1), channels next to each other with a grey line between."""
    n, height, width, channels = tiles.shape
    out = np.full((n, height, channels, width + 1), LINE)
    out[..., :width] = tiles.transpose(0, 1, 3, 2)
    return out.reshape(n, height, -1)[..., :-1]


def _mosaic(tiles: np.ndarray, n_columns: int, gap: int) -> np.ndarray:
    """Tiles (U, H, W) row by row with grey lines between them."""
    n, height, width = tiles.shape
    down, right = height + gap, width + gap
    image = np.full((-(-n // n_columns) * down + gap, n_columns * right + gap), LINE)
    for u, tile in enumerate(tiles):
        top, left = u // n_columns * down + gap, u % n_columns * right + gap
        image[top:top + height, left:left + width] = tile
    return image


def _size(shape: Sequence[int]) -> tuple[float, float]:
    """Inches of a figure for an image of rows x columns, with its title and labels."""
    return WIDTH, float(np.clip((WIDTH - 0.6) * shape[0] / shape[1] + 0.6, 1.6, 8.0))
