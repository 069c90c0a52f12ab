"""How large a network is, layer by layer: parameters, bytes, devices and arrays of the memory, operations an image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.stages import Stage

if TYPE_CHECKING:
    from bnnsim.faults.array_mapping import ArrayMapping

ARRAY = (64, 64)                    # rows and columns where no mapping is given
FLOAT_BYTES = 4                     # of a weight that is no bit
ENDING_BYTES = {0: 0, 2: 4 + 1 / 8, 3: 24}      # of a unit's threshold and whether it is inverted; mean, scale, shift


@dataclass(frozen=True)
class Sizes:
    """Of a layer, or of all.

    name, output : str, (H, W, U) or (U,)
    binary, other : 1-bit parameters, which the memory stores; thresholds and the like
    n_bytes : of both, packed
    devices_1t1r, devices_2t2r : that hold the 1-bit parameters, one each or a pair
    arrays, used : arrays that they stand in, and the share of those arrays' cells that hold one
    binary_macs, integer_macs : multiply-accumulates an image, of bits with bits and of bits with pixels
    """

    name: str
    output: tuple[int, ...]
    binary: int
    other: int
    n_bytes: float
    devices_1t1r: int
    devices_2t2r: int
    arrays: int
    used: float
    binary_macs: int
    integer_macs: int

    @property
    def n_parameters(self) -> int:
        """Of all kinds."""
        return self.binary + self.other

    @property
    def macs(self) -> int:
        """Multiply-accumulates an image, of all kinds."""
        return self.binary_macs + self.integer_macs

    def fields(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**vars(self), "output": list(self.output)}


def sizes_of(stages: Sequence[Stage], reads_bits: bool, mapping: "ArrayMapping | None" = None) -> list[Sizes]:
    """Of each layer, and of all behind them."""
    found = [size_of_layer(stage, reads_bits, mapping) for stage in stages]
    return [*found, Sizes("total", (), **totals(found, mapping))]


def totals(sizes: Sequence[Sizes], mapping: "ArrayMapping | None", *more: str) -> dict[str, Any]:
    """What is counted, and more of such fields, of all; the share of all arrays' cells in use."""
    rows, columns = (mapping.rows, mapping.columns) if mapping else ARRAY
    counted = {name: sum(getattr(each, name) for each in sizes) for name in (*Sizes.__annotations__, *more)
               if name not in ("name", "output", "used")}
    return {**counted, "used": counted["binary"] / (counted["arrays"] * rows * columns)}


def size_of_layer(stage: Stage, reads_bits: bool, mapping: "ArrayMapping | None" = None) -> Sizes:
    """Of a layer of bits."""
    layer, (rows, columns) = stage.layer, (mapping.rows, mapping.columns) if mapping else ARRAY
    integer = stage.reads_pixels and not reads_bits
    arrays = math.prod(mapping.tiles(layer) if mapping else _tiles(layer))
    units = stage.output_shape[-1]
    n_bytes = layer.n_bits / 8 + units * ENDING_BYTES[len(layer.ending)]
    return Sizes(f"{stage.index} {layer.kind}", stage.output_shape, layer.n_bits, units * len(layer.ending),
                 n_bytes, layer.n_bits, 2 * layer.n_bits, arrays, layer.n_bits / (arrays * rows * columns),
                 0 if integer else stage.macs, stage.macs if integer else 0)


def _tiles(layer: PackedLayer) -> tuple[int, int]:
    return -(-layer.units // ARRAY[0]), -(-layer.fan_in // ARRAY[1])


def table_of(sizes: Sequence[Sizes], mapping: "ArrayMapping | None" = None) -> str:
    """Text, a line each."""
    return text_of(cells_of(sizes, mapping), left=2)


def cells_of(sizes: Sequence[Sizes], mapping: "ArrayMapping | None" = None) -> list[list[str]]:
    """Words of the table, row by row, the names of its columns first."""
    rows, columns = (mapping.rows, mapping.columns) if mapping else ARRAY
    return [["layer", "output", "binary", "other", "kB", "1T1R", "2T2R", f"{rows} x {columns} arrays", "used",
             "binary MACs", "integer MACs"],
            *([each.name, " x ".join(map(str, each.output)), f"{each.binary:,}", f"{each.other:,}",
               f"{each.n_bytes / 1000:,.1f}", f"{each.devices_1t1r:,}", f"{each.devices_2t2r:,}", f"{each.arrays:,}",
               f"{100 * each.used:.1f} %", f"{each.binary_macs:,}", f"{each.integer_macs:,}"] for each in sizes)]


def text_of(cells: Sequence[Sequence[str]], left: int) -> str:
    """Columns side by side, so many of which stand on the left."""
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(cell.ljust(w) if c < left else cell.rjust(w)
                               for c, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in cells)


def compared(total: Sizes) -> Mapping[str, float]:
    """What being binary saves: bytes as float32 of all parameters, how many times as many, the share of MACs."""
    as_float = FLOAT_BYTES * total.n_parameters
    return {"float32_bytes": as_float, "compression": as_float / total.n_bytes,
            "binary_share": total.binary_macs / total.macs}
