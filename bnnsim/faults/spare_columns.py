"""Spare columns: arrays are tested, and their worst columns are replaced."""

from dataclasses import dataclass

import numpy as np

from bnnsim.checks import check_int, check_real, clean_fields
from bnnsim.faults.around import Around
from bnnsim.faults.array_mapping import ArrayMapping, check_mapping
from bnnsim.faults.cost import Cost
from bnnsim.faults.errors import Masks, cell_errors, with_errors
from bnnsim.faults.protocol import when_drawn
from bnnsim.packed.memory import Memory, MemoryLike, Stored, StoredBits, StoredLayer, check_stored
from bnnsim.packed.words import full_row, pack_bits, unpack_bits
from bnnsim.seeding import RandomSource, root_seed


@dataclass(frozen=True)
class SpareColumns(Around):
    """The last columns of each array are spares, which stand in for columns that a test finds broken.

    The test writes and reads zeros and ones; a column with at least `bad_share` of its cells broken is replaced, the
    worst first, by the soundest spare that is left, if that has fewer broken cells. Spares break as other columns do.

    Parameters
    ----------
    fault : fault
        One that hits cells one by one, at addresses of `mapping`; an error-correcting code goes around the spares. It
        is drawn once for the test and the use: put read noise outside, in a `Compose`.
    mapping : ArrayMapping
        Of the whole arrays, spares included: give the fault the same one.
    n_spare : int
        Spare columns an array, fewer than its columns.
    bad_share : float
        In (0, 1].

    Examples
    --------
    >>> import bnnsim
    >>> from bnnsim.faults import ArrayMapping, SpareColumns, StuckLine
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> mapping = ArrayMapping(32, 34)
    >>> line = StuckLine(mapping, "column", array=0, line=5, value=0)
    >>> line.apply(network) is network, SpareColumns(line, mapping, n_spare=2).apply(network) is network
    (False, True)
    """

    mapping: ArrayMapping
    n_spare: int = 2
    bad_share: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if when_drawn(self.fault) == "read":
            raise ValueError("fault must not be drawn at each read: what a test finds must last; put read noise "
                             "outside, as Compose([SpareColumns(...), EachRead(...)])")
        check_mapping(self.mapping)
        clean_fields(self, check_int, "n_spare", low=1)
        if self.n_spare >= self.mapping.columns:
            raise ValueError(f"n_spare must be below the {self.mapping.columns} columns of an array, got "
                             f"{self.n_spare}")
        clean_fields(self, check_real, "bad_share", low=0, high=1, open_low=True)

    @property
    def data_mapping(self) -> ArrayMapping:
        """How weights stand in the columns that are no spares."""
        return ArrayMapping(self.mapping.rows, self.mapping.columns - self.n_spare, self.mapping.units_on)

    def memory(self, network: MemoryLike) -> Memory:
        """Cells of the shape that the arrays have, spares included, with a checkerboard in them: what is tested."""
        layers = []
        for layer in check_stored(network).layers:
            height, width = self.data_mapping.matrix_shape(layer)
            width += self.n_spare * self.data_mapping.tiles(layer)[1]
            units, n_in = (height, width) if self.mapping.units_on == "rows" else (width, height)
            layers.append(StoredBits(np.tile(full_row(n_in) & np.uint64(0xAAAAAAAAAAAAAAAA), (units, 1)), n_in))
        return Memory(tuple(layers))

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0) -> Stored:
        """A memory read from repaired arrays."""
        cells = self.memory(memory)
        masks = cell_errors(self.fault, cells, root_seed(rng), trial)
        return with_errors(memory, {
            i: self._repaired(layer, stored, *pair)
            for i, (layer, stored, pair) in enumerate(zip(memory.layers, cells.layers, masks))
            if pair[0].any() or pair[1].any()})

    def _repaired(self, layer: StoredLayer, stored: StoredLayer, f01: np.ndarray, f10: np.ndarray) -> Masks:
        """(f01, f10) of a layer's weights, from those of all cells `stored`."""
        n_rows, n_columns = self.mapping.used(stored)
        width = int(n_columns.max())
        cells = [unpack_bits(self.mapping.arrays(stored, mask), width) for mask in (f01, f10)]
        broken = (cells[0] | cells[1]).sum(axis=1, dtype=np.int64)             # (A, columns)
        array, column, spare = _replacements(broken, n_rows, n_columns, self.n_spare, self.bad_share)
        room = min(self.data_mapping.columns, self.data_mapping.matrix_shape(layer)[1])
        for each in cells:
            each[array, :, column] = each[array, :, spare]
        f01, f10 = (self.data_mapping.words(layer, pack_bits(each[:, :, :room])) for each in cells)
        return f01, f10

    def cost(self, network: MemoryLike, energy_per_cell_joule: float | None = None) -> Cost:
        """Cells, and energy if that of one cell is given, in joule: `Cost`."""
        return Cost.of(sum(layer.n_bits for layer in check_stored(network).layers),
                       sum(layer.n_bits for layer in self.memory(network).layers), energy_per_cell_joule)


def _replacements(broken: np.ndarray, n_rows: np.ndarray, n_columns: np.ndarray, n_spare: int,
                  bad_share: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(array, column, spare) of all columns that are replaced; broken (A, C) are counts of broken cells."""
    place = np.arange(broken.shape[1])
    is_data = place < (n_columns - n_spare)[:, None]
    bad = np.where(is_data & (broken >= bad_share * n_rows[:, None]), broken, 0)
    columns = np.argsort(-bad, axis=1, kind="stable")[:, :n_spare]             # the worst first
    spares = (n_columns - n_spare)[:, None] + np.arange(n_spare)
    order = np.argsort(np.take_along_axis(broken, spares, 1), axis=1, kind="stable")
    spares = np.take_along_axis(spares, order, 1)[:, :columns.shape[1]]        # the soundest first
    better = np.take_along_axis(broken, spares, 1) < np.take_along_axis(bad, columns, 1)
    array, rank = np.nonzero(better)
    return array, columns[array, rank], spares[array, rank]
