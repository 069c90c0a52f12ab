"""Where weights live: layers in arrays of rows x columns cells.

A cell holds one bit: of a 2T2R memory it is a pair of devices. A layer is a matrix of units x weights of a unit
(features, or the taps of a kernel in height, width, channel order), which is cut into tiles of rows x columns, one an
array; tiles are numbered along the rows of the matrix, arrays through all layers. No array holds two layers.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import bnnsim.kernels.words.bit_fields as bit_fields
from bnnsim.checks import check_choice, check_int, clean_fields
from bnnsim.kernels import split
from bnnsim.packed.memory import MemoryLike, StoredLayer
from bnnsim.packed.words import joined, n_words, parted, transposed

MAX_LINES = 2**16               # of an array: more than any memory has, and few enough for tables


@dataclass(frozen=True)
class ArrayMapping:
    """Layers in arrays of rows x columns cells, a cell a bit.

    Parameters
    ----------
    rows, columns : int
        Cells of an array, 1 to 65536. Columns are what sense amplifiers stand at.
    units_on : {"rows", "columns"}
        Whether a row of an array holds weights of one unit, or a column does: the broken column of an array then takes
        one weight of each unit, or the weights of one unit.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC100 FC10", (1, 8, 8), rng=0))
    >>> mapping = bnnsim.faults.ArrayMapping(64, 32)
    >>> mapping.n_arrays(network), round(mapping.utilisation(network), 4)
    (8, 0.4517)
    >>> [int(part) for part in mapping.address(network, layer=1, unit=3, weight=40)]    # array, row, column
    [5, 3, 8]
    >>> [int(part) for part in mapping.weight(network, 5, 3, 8)]                        # layer, unit, weight
    [1, 3, 40]
    """

    rows: int
    columns: int
    units_on: str = "rows"

    def __post_init__(self) -> None:
        clean_fields(self, check_int, "rows", "columns", low=1, high=MAX_LINES)
        check_choice("units_on", self.units_on, ("rows", "columns"))

    # -------------------------------------------------------- sizes

    def n_lines(self, axis: str) -> int:
        """Lines of an array: "row" or "column"."""
        return self.rows if axis == "row" else self.columns

    def matrix_shape(self, layer: StoredLayer) -> tuple[int, int]:
        """(rows, columns) of a layer's matrix."""
        return (layer.units, layer.fan_in) if self.units_on == "rows" else (layer.fan_in, layer.units)

    def tiles(self, layer: StoredLayer) -> tuple[int, int]:
        """(down, across): arrays that a layer takes."""
        height, width = self.matrix_shape(layer)
        return -(-height // self.rows), -(-width // self.columns)

    def first_arrays(self, memory: MemoryLike) -> list[int]:
        """Number of the first array of each layer, and behind them the number of all arrays."""
        return [0, *np.cumsum([down * across for down, across in map(self.tiles, memory.layers)]).tolist()]

    def n_arrays(self, memory: MemoryLike) -> int:
        """Arrays that a memory takes."""
        return self.first_arrays(memory)[-1]

    def used(self, layer: StoredLayer) -> tuple[np.ndarray, np.ndarray]:
        """(rows, columns) in use of each array of a layer: int64 (A,) each."""
        (height, width), (down, across) = self.matrix_shape(layer), self.tiles(layer)
        n_rows = np.minimum(self.rows, height - self.rows * np.arange(down))
        n_columns = np.minimum(self.columns, width - self.columns * np.arange(across))
        return np.repeat(n_rows, across), np.tile(n_columns, down)

    def utilisation(self, memory: MemoryLike) -> float:
        """Share of the cells of all arrays that hold a weight."""
        n_cells = self.n_arrays(memory) * self.rows * self.columns
        return sum(layer.n_bits for layer in memory.layers) / n_cells

    # -------------------------------------------------------- addresses

    def address(self, memory: MemoryLike, layer: int, unit: npt.ArrayLike,
                weight: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The cell of a weight.

        Parameters
        ----------
        memory : PackedNetwork or Memory
        layer : int
        unit, weight : int, or arrays of them
            Unit, or output channel; and which of its weights, 0 to fan_in - 1.

        Returns
        -------
        array, row, column : int64

        Raises
        ------
        ValueError
            Where there is no such weight.
        """
        i = check_int("layer", layer, 0, len(memory.layers) - 1)
        stored = memory.layers[i]
        at = _inside("unit", unit, stored.units), _inside("weight", weight, stored.fan_in)
        y, x = at if self.units_on == "rows" else at[::-1]
        tile = y // self.rows * self.tiles(stored)[1] + x // self.columns
        return self.first_arrays(memory)[i] + tile, y % self.rows, x % self.columns

    def weight(self, memory: MemoryLike, array: npt.ArrayLike, row: npt.ArrayLike,
               column: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The weight in a cell: `address` back.

        Returns
        -------
        layer, unit, weight : int64
            -1 each where the cell holds none.

        Raises
        ------
        ValueError
            Where there is no such cell.
        """
        firsts = np.array(self.first_arrays(memory))
        place = _inside("array", array, firsts[-1])
        layer = np.searchsorted(firsts, place, side="right") - 1
        across = np.array([self.tiles(stored)[1] for stored in memory.layers])[layer]
        shapes = np.array([self.matrix_shape(stored) for stored in memory.layers])[layer]
        tile = place - firsts[layer]
        y = tile // across * self.rows + _inside("row", row, self.rows)
        x = tile % across * self.columns + _inside("column", column, self.columns)
        held = (y < shapes[..., 0]) & (x < shapes[..., 1])
        unit, weight = (y, x) if self.units_on == "rows" else (x, y)
        return np.where(held, layer, -1), np.where(held, unit, -1), np.where(held, weight, -1)

    def layer_of(self, memory: MemoryLike, array: int) -> tuple[int, int]:
        """(layer, number of the array among the layer's) of an array."""
        firsts = self.first_arrays(memory)
        array = check_int("array", array, 0, firsts[-1] - 1)
        layer = int(np.searchsorted(firsts, array, side="right")) - 1
        return layer, array - firsts[layer]

    # -------------------------------------------------------- bits

    def arrays(self, layer: StoredLayer, words: np.ndarray | None = None) -> np.ndarray:
        """The bits of a layer as its arrays hold them.

        Parameters
        ----------
        layer : PackedLayer or StoredBits
        words : uint64, optional
            Of the shape of the layer's, in place of its own.

        Returns
        -------
        uint64 (A, R, ceil(C / 64))
            R and C are rows and columns, or those of the layer's matrix where it is smaller; unused cells are 0.
        """
        height, width = self.matrix_shape(layer)
        matrix = joined(layer, words)
        matrix = matrix if self.units_on == "rows" else transposed(matrix, height)
        down, across = self.tiles(layer)
        columns = min(self.columns, width)
        out = np.zeros((down * across, min(self.rows, height), n_words(columns)), np.uint64)
        split(bit_fields.matrix_to_arrays, height, matrix, width, columns, out)
        return out

    def words(self, layer: StoredLayer, arrays: np.ndarray) -> np.ndarray:
        """What `arrays` gave, in the shape of the layer's words; bits of unused cells are dropped."""
        height, width = self.matrix_shape(layer)
        matrix = np.empty((height, n_words(width)), np.uint64)
        split(bit_fields.arrays_to_matrix, height, arrays, width, min(self.columns, width), matrix)
        return parted(layer, matrix if self.units_on == "rows" else transposed(matrix, width))


def _inside(name: str, value: npt.ArrayLike, size: int) -> np.ndarray:
    found = np.asarray(value)
    if found.dtype.kind not in "iu":
        raise TypeError(f"{name} must be an integer or integers, got dtype {found.dtype}")
    if found.size and (found.min() < 0 or found.max() >= size):
        raise ValueError(f"{name} must be in [0, {size - 1}], got {found.min()} to {found.max()}")
    return found.astype(np.int64)


def check_mapping(mapping: object) -> ArrayMapping:
    """An ArrayMapping."""
    if not isinstance(mapping, ArrayMapping):
        raise TypeError(f"mapping must be a bnnsim.faults.ArrayMapping(rows, columns), got {mapping!r}")
    return mapping
