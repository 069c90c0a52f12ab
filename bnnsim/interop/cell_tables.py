"""The chip tester's table: each weight of a memory beside the cell that holds it, as CSV, both ways.

    # cells of 64 x 64 arrays, units on rows
    layer,unit,tap,feature,array,row,column,bit,fault
    0,0,0,0,0,0,0,1,0

A weight is number tap * (features of a tap) + feature of its unit; taps of a kernel are counted along its rows, a dense
layer has one tap, whose features stand in H, W, C order; of a convolution in groups they are those of the unit's own
group. bit is what is stored, 1 for +1; fault, where there is a fault
map, is 0 for a sound cell, 1 where it flips, 2 where it is stuck at 0, 3 where it is stuck at 1. Arrays, rows, columns
count from 0, as `ArrayMapping` has them; a table goes through arrays one by one, and through a row at a time.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic

import numpy as np

from bnnsim.checks import FilePath
from bnnsim.faults.array_mapping import ArrayMapping, check_mapping
from bnnsim.faults.fault_map import FaultMap, LayerErrors
from bnnsim.interop.bounded import check_plain
from bnnsim.packed.memory import MemoryLike, Stored, StoredLayer, check_stored
from bnnsim.packed.words import joined, pack_bits, parted, unpack_bits

WEIGHT = ("layer", "unit", "tap", "feature")
CELL = ("array", "row", "column")
COLUMNS = (*WEIGHT, *CELL, "bit", "fault")
MAX_HEAD = 2**16                    # bytes of comments and of the names of columns
_ARRAYS = re.compile(r"# cells of (\d{1,5}) x (\d{1,5}) arrays, units on (rows|columns)(, faults without arrays)?")


@dataclass(frozen=True)
class Cells(Generic[Stored]):
    """What a table says of a memory.

    memory : what was given, with the bits of the table
    mapping : ArrayMapping
    faults : FaultMap, or None where the table has none
    """

    memory: Stored
    mapping: ArrayMapping
    faults: FaultMap | None


# ---------------------------------------------------------------- out

def cell_lines(memory: MemoryLike, mapping: ArrayMapping, faults: FaultMap | None = None) -> Iterator[bytes]:
    """The parts of the file."""
    check_stored(memory)
    check_mapping(mapping)
    if faults is not None:
        faults.check_fits([(layer.n_in, layer.words.shape) for layer in memory.layers], "the network")
        if faults.mapping not in (None, mapping):
            raise ValueError(f"the fault map has {faults.mapping}, the table {mapping}: they must be one")
    without = ", faults without arrays" if faults is not None and faults.mapping is None else ""
    columns = COLUMNS if faults is not None else COLUMNS[:-1]
    yield (f"# cells of {mapping.rows} x {mapping.columns} arrays, units on {mapping.units_on}{without}\n"
           f"{','.join(columns)}\n").encode()
    line = ",".join(["%d"] * len(columns)) + "\n"
    for i, layer in enumerate(memory.layers):
        matrices = [joined(layer)]
        if faults is not None:
            matrices += [joined(layer, mask) for mask in (faults.layers[i].f01, faults.layers[i].f10)]
        down, across = mapping.tiles(layer)
        for tile in range(down * across):
            numbers = _array(layer, matrices, mapping, tile)
            before = np.tile([i, mapping.first_arrays(memory)[i] + tile], (len(numbers), 1))
            numbers = np.hstack([before[:, :1], numbers[:, :3], before[:, 1:], numbers[:, 3:]])
            yield (line * len(numbers) % tuple(numbers.ravel().tolist())).encode()


def _array(layer: StoredLayer, matrices: list[np.ndarray], mapping: ArrayMapping, tile: int) -> np.ndarray:
    """Lines of an array, int64 (cells, ...): unit, tap, feature, row, column, bit; and fault, if there are masks."""
    n_rows, n_columns = (int(used[tile]) for used in mapping.used(layer))
    row, column = (place.ravel() for place in np.indices((n_rows, n_columns)))
    down, across = divmod(tile, mapping.tiles(layer)[1])
    y, x = down * mapping.rows + row, across * mapping.columns + column
    unit, weight = (y, x) if mapping.units_on == "rows" else (x, y)
    units, weights = slice(unit.min(), unit.max() + 1), slice(weight.min(), weight.max() + 1)
    some = [unpack_bits(words[units], layer.fan_in)[:, weights] for words in matrices]
    bit, *masks = (bits.ravel() if mapping.units_on == "rows" else bits.T.ravel() for bits in some)
    fault = [np.choose(masks[0] + 2 * masks[1], (0, 3, 2, 1))] if masks else []
    return np.stack([unit, *np.divmod(weight, layer.n_in), row, column, bit, *fault], axis=1)


# ---------------------------------------------------------------- and back

def read_cells(path: FilePath, memory: Stored, mapping: ArrayMapping | None = None) -> Cells[Stored]:
    """Read a chip tester's table: the bits that a chip holds, its faults, or both.

    Parameters
    ----------
    path : str or os.PathLike
        A CSV file of the columns layer, unit, tap, feature, or array, row, column, or both, which must agree then; and
        bit, fault, or both; in any order. Lines too: cells that have no line keep their bits, and are sound.
    memory : PackedNetwork or Memory
        What the chip was to hold.
    mapping : ArrayMapping, optional
        Where the file does not tell it.

    Returns
    -------
    Cells

    Raises
    ------
    ValueError
        Where a line is no line of integers, or names a cell that holds no weight, or one a second time.
    """
    check_stored(memory)
    columns, numbers, found, has_arrays = _read(path, memory.n_bits)
    if found is not None and mapping is not None and found != check_mapping(mapping):
        raise ValueError(f"{path} has {found}, got {mapping}")
    mapping = mapping or found
    if mapping is None:
        raise ValueError(f"{path} does not tell the sizes of its arrays: give mapping=ArrayMapping(rows, columns)")
    given = dict(zip(columns, numbers.T))
    layer, unit, weight = _places(given, memory, mapping)
    _check_once(memory, layer, unit, weight)
    read, errors = {}, []
    for i, stored in enumerate(memory.layers):
        here = layer == i
        at = unit[here], weight[here]
        bits = unpack_bits(joined(stored), stored.fan_in)
        if "bit" in given:
            bits[at] = given["bit"][here]
            read[i] = parted(stored, pack_bits(bits))
        if "fault" in given:
            kinds = np.zeros(bits.shape, np.int64)
            kinds[at] = given["fault"][here]
            masks = (parted(stored, pack_bits(np.isin(kinds, which))) for which in ((1, 3), (1, 2)))
            errors.append(LayerErrors(stored.n_in, *masks))
    faults = FaultMap(errors, mapping if has_arrays else None) if errors else None
    return Cells(memory.with_words(read) if read else memory, mapping, faults)


def _read(path: FilePath, most: int) -> tuple[list[str], np.ndarray, ArrayMapping | None, bool]:
    """(names of columns, lines int64, the mapping if it is told, whether a fault map has it)."""
    mapping, has_arrays = None, True
    try:
        check_plain(path)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        while (line := file.readline(MAX_HEAD)).startswith("#"):
            if told := _ARRAYS.match(line):
                mapping, has_arrays = ArrayMapping(int(told[1]), int(told[2]), told[3]), told[4] is None
        columns = [name.strip().lower() for name in line.split(",")]
        unknown = [name for name in columns if name not in COLUMNS]
        by_weight, by_cell = (set(names) <= set(columns) for names in (WEIGHT, CELL))
        if unknown or len(set(columns)) < len(columns) or not (by_weight or by_cell) or \
                not {"bit", "fault"} & set(columns):
            raise ValueError(f"{os.fspath(path)}: the first line must name columns: {', '.join(WEIGHT)}, or "
                             f"{', '.join(CELL)}, and bit or fault; got {line[:100]!r}")
        try:
            numbers = _numbers(file, len(columns), most)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}, lines below the names of columns: {str(error)[:300]}") from None
    for name, high in (("bit", 1), ("fault", 3)):
        values = numbers[:, columns.index(name)] if name in columns else np.zeros(1, np.int64)
        if values.size and not 0 <= values.min() <= values.max() <= high:
            raise ValueError(f"{os.fspath(path)}: {name} must be in [0, {high}], got {values.min()} to {values.max()}")
    return columns, numbers, mapping, has_arrays


def _numbers(file: Iterator[str], n_columns: int, most: int) -> np.ndarray:
    """Lines of integers, of which there are not more than cells."""
    first = next((line for line in file if line.strip()), None)
    if first is None:
        return np.zeros((0, n_columns), np.int64)

    def lines() -> Iterator[str]:
        yield first
        yield from file

    found = np.loadtxt(lines(), np.int64, delimiter=",", ndmin=2, max_rows=most + 1)
    if len(found) > most or found.shape[1] != n_columns:
        raise ValueError(f"wanted at most {most:,} lines of {n_columns} numbers, got {len(found):,} of "
                         f"{found.shape[1]}")
    return found


def _places(given: dict[str, np.ndarray], memory: MemoryLike,
            mapping: ArrayMapping) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(layer, unit, weight) of each line."""
    by_cell = set(CELL) <= set(given)
    if by_cell:
        layer, unit, weight = mapping.weight(memory, *(given[name] for name in CELL))
        if np.any(layer < 0):
            n = int(np.argmax(layer < 0))
            raise ValueError(f"array {given['array'][n]} holds no weight at row {given['row'][n]}, column "
                             f"{given['column'][n]}")
    if not set(WEIGHT) <= set(given):
        return layer, unit, weight
    sizes = np.array([(stored.units, stored.fan_in // stored.n_in, stored.n_in) for stored in memory.layers])
    number = given["layer"]
    if number.size and not 0 <= number.min() <= number.max() < len(sizes):
        raise ValueError(f"layer must be in [0, {len(sizes) - 1}], got {number.min()} to {number.max()}")
    for name, size in zip(WEIGHT[1:], sizes[number].T):
        wrong = (given[name] < 0) | (given[name] >= size)
        if wrong.any():
            n = int(np.argmax(wrong))
            raise ValueError(f"{name} of layer {number[n]} must be in [0, {size[n] - 1}], got {given[name][n]}")
    found = number, given["unit"], given["tap"] * sizes[number, 2] + given["feature"]
    if by_cell:
        differ = np.any([a != b for a, b in zip(found, (layer, unit, weight))], axis=0)
        if differ.any():
            n = int(np.argmax(differ))
            raise ValueError(f"line {n} names two weights: its cell holds number {weight[n]} of unit {unit[n]} in "
                             f"layer {layer[n]}: are the arrays others?")
    return found


def _check_once(memory: MemoryLike, layer: np.ndarray, unit: np.ndarray, weight: np.ndarray) -> None:
    for i, stored in enumerate(memory.layers):
        here = layer == i
        counts = np.bincount(unit[here] * stored.fan_in + weight[here], minlength=1)
        if counts.max() > 1:
            u, w = divmod(int(counts.argmax()), stored.fan_in)
            raise ValueError(f"weight {w} of unit {u} in layer {i} has {counts.max()} lines: one is wanted")
