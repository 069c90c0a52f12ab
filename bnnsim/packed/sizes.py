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

    def fields(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**vars(self), "output": list(self.output)}


def sizes_of(stages: Sequence[Stage], reads_bits: bool, mapping: "ArrayMapping | None" = None) -> list[Sizes]:
    """Of each layer, and of all behind them."""
    rows, columns = (mapping.rows, mapping.columns) if mapping else ARRAY
    found = [_of_layer(stage, reads_bits, mapping, rows * columns) for stage in stages]
    counted = {name: sum(getattr(layer, name) for layer in found) for name in Sizes.__annotations__
               if name not in ("name", "output", "used")}
    used = counted["binary"] / (counted["arrays"] * rows * columns)
    return [*found, Sizes("total", (), used=used, **counted)]


def _of_layer(stage: Stage, reads_bits: bool, mapping: "ArrayMapping | None", n_cells: int) -> Sizes:
    layer, last = stage.layer, stage.layer.threshold is None
    integer = stage.reads_pixels and not reads_bits
    arrays = math.prod(mapping.tiles(layer) if mapping else _tiles(layer))
    n_bytes = layer.n_bits / 8 + layer.units * (24 if last else 4 + 1 / 8)
    return Sizes(f"{stage.index} {layer.kind}", stage.output_shape, layer.n_bits, layer.units * (3 if last else 2),
                 n_bytes, layer.n_bits, 2 * layer.n_bits, arrays, layer.n_bits / (arrays * n_cells),
                 0 if integer else stage.macs, stage.macs if integer else 0)


def _tiles(layer: PackedLayer) -> tuple[int, int]:
    return -(-layer.units // ARRAY[0]), -(-layer.fan_in // ARRAY[1])


def table_of(sizes: Sequence[Sizes], mapping: "ArrayMapping | None" = None) -> str:
    """Text, a line each."""
    rows, columns = (mapping.rows, mapping.columns) if mapping else ARRAY
    cells = [("layer", "output", "binary", "other", "kB", "1T1R", "2T2R", f"{rows} x {columns} arrays", "used",
              "binary MACs", "integer MACs")]
    cells += [(each.name, " x ".join(map(str, each.output)), f"{each.binary:,}", f"{each.other:,}",
               f"{each.n_bytes / 1000:,.1f}", f"{each.devices_1t1r:,}", f"{each.devices_2t2r:,}", f"{each.arrays:,}",
               f"{100 * each.used:.1f} %", f"{each.binary_macs:,}", f"{each.integer_macs:,}") for each in sizes]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join("  ".join(cell.ljust(w) if c < 2 else cell.rjust(w)
                               for c, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in cells)


def compared(total: Sizes) -> Mapping[str, float]:
    """What being binary saves: bytes as float32 of all parameters, how many times as many, the share of MACs."""
    as_float = FLOAT_BYTES * (total.binary + total.other)
    return {"float32_bytes": as_float, "compression": as_float / total.n_bytes,
            "binary_share": total.binary_macs / (total.binary_macs + total.integer_macs)}
