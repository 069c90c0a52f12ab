"""Fault-aware mapping: units are stored where, and the way round, in which known broken cells read them right."""

import math
from dataclasses import dataclass

import numpy as np

from bnnsim.checks import check_bool, check_choice, check_int, clean_fields
from bnnsim.faults.around import Around
from bnnsim.faults.cost import Cost
from bnnsim.faults.errors import Masks, cell_errors, with_errors
from bnnsim.faults.placement import Placement, place
from bnnsim.faults.protocol import when_drawn
from bnnsim.packed.memory import Memory, MemoryLike, Stored, StoredBits, StoredLayer, check_stored
from bnnsim.packed.words import joined, pack_bits, parted, unpack_bits
from bnnsim.seeding import RandomSource, root_seed

PERMUTE, METHODS = ("units", "weights"), ("exact", "greedy")


@dataclass(frozen=True)
class Remapped(Around):
    """A test finds what each cell is stuck at; units are then stored so that few of their bits read wrong.

    A cell that is stuck at 1 reads a stored 1 right. A unit's bits can be stored inverted, which is free in a binarized
    network: its pre-activation only changes its sign. They can be stored in another row, or its weights in other
    columns, where what reads them knows the order.

    Parameters
    ----------
    fault : fault
        One that hits cells one by one and stays where it is over writes: its ``when`` is "permanent" or "growing".
        Errors of writing and reading go outside, as Compose([Remapped(...), BitFlips(...)]).
    invert : bool
        Whether bits may be stored inverted.
    segment : int, optional
        So many weights of a unit are inverted together, such as the columns of an array; by default the whole unit.
    permute : {"units", "weights"}, optional
        Units may change rows, or weights, of all units alike, columns. By default nothing moves.
    method : {"exact", "greedy"}
        How places are assigned: at the fewest wrong bits of all assignments, or one unit (or weight) after the other.
    n_spare : int
        Further rows a layer, which break as the others do; of all rows the best are taken. Needs permute="units".

    References
    ----------
    docs/frontier/mapping.rst: inversion of a unit [D]; the assignment is that of `scipy.optimize`. Polarity for other
    networks: arXiv:2506.01140; transformations of weights: arXiv:2512.18459.

    Examples
    --------
    >>> import bnnsim
    >>> from bnnsim.faults import Remapped, StuckAt
    >>> from bnnsim.packed.memory import wrong_bits
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> stuck = StuckAt(0.1, 0.1)
    >>> for fault in (stuck, Remapped(stuck), Remapped(stuck, permute="units"), Remapped(stuck, segment=16)):
    ...     broken = fault.apply(network, rng=1)
    ...     print(wrong_bits(network, broken))
    463
    346
    154
    264
    """

    invert: bool = True
    segment: int | None = None
    permute: str | None = None
    method: str = "exact"
    n_spare: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if when_drawn(self.fault) not in ("permanent", "growing"):
            raise ValueError("fault must stay where it is when a unit is written elsewhere: its when must be "
                             f"'permanent' or 'growing', got {when_drawn(self.fault)!r} of {self.fault!r}; put errors "
                             "of writing and reading outside, as Compose([Remapped(StuckAt(...)), BitFlips(...)])")
        clean_fields(self, check_bool, "invert")
        if self.segment is not None:
            clean_fields(self, check_int, "segment", low=1)
            if not self.invert:
                raise ValueError(f"segment must be left out where invert is False, got {self.segment}")
        if self.permute is not None:
            check_choice("permute", self.permute, PERMUTE)
        check_choice("method", self.method, METHODS)
        clean_fields(self, check_int, "n_spare", low=0)
        if self.n_spare and self.permute != "units":
            raise ValueError(f"n_spare must be 0 where units keep their rows, got {self.n_spare}; give permute='units'")

    def memory(self, network: MemoryLike) -> Memory:
        """The cells that there are, spare rows included: what is tested. Those of the network come first."""
        layers = []
        for layer in check_stored(network).layers:
            spare = np.zeros((self.n_spare, *layer.words.shape[1:]), np.uint64)
            layers.append(StoredBits(np.concatenate([layer.words, spare]), layer.n_in))
        return Memory(tuple(layers))

    def placements(self, memory: MemoryLike, rng: RandomSource = None, trial: int = 0) -> list[Placement]:
        """How each layer is stored on one chip: see `bnnsim.faults.placement.Placement`; arguments as of `apply`."""
        masks = cell_errors(self.fault, self.memory(memory), root_seed(rng), trial)
        return [self._placed(layer, *_of_bits(layer, pair)) for layer, pair in zip(memory.layers, masks)]

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0) -> Stored:
        """A memory read from cells that hold it so; the chip is that of ``fault.apply(memory, rng, trial)``."""
        masks = cell_errors(self.fault, self.memory(memory), root_seed(rng), trial)
        return with_errors(memory, {i: self._seen(layer, pair) for i, (layer, pair) in
                                    enumerate(zip(memory.layers, masks)) if pair[0].any() or pair[1].any()})

    def cost(self, network: MemoryLike, energy_per_cell_joule: float | None = None) -> Cost:
        """Cells, spare rows and tables included, and energy if that of one cell is given, in joule: `Cost`.

        A table holds a bit for each segment, where these are no whole units, and the place of each unit or weight that
        may move; its cells are sound.
        """
        layers = check_stored(network).layers
        n_cells = sum((layer.units + self.n_spare) * layer.fan_in + self._table(layer) for layer in layers)
        return Cost.of(sum(layer.n_bits for layer in layers), n_cells, energy_per_cell_joule)

    def _table(self, layer: StoredLayer) -> int:
        """Bits of a layer's table."""
        segment = min(self.segment or layer.fan_in, layer.fan_in)
        n_flags = layer.units * -(-layer.fan_in // segment) if segment < layer.fan_in else 0
        n_things = {"units": layer.units, "weights": layer.fan_in}.get(self.permute or "", 0)
        n_places = n_things + self.n_spare
        return n_flags + n_things * (math.ceil(math.log2(n_places)) if n_things else 0)

    def _placed(self, layer: StoredLayer, f01: np.ndarray, f10: np.ndarray) -> Placement:
        bits = unpack_bits(joined(layer), layer.fan_in)
        return place(bits, f01, f10, self.permute, self.method == "exact",
                     min(self.segment or layer.fan_in, layer.fan_in) if self.invert else 0)

    def _seen(self, layer: StoredLayer, masks: Masks) -> Masks:
        """(f01, f10) of a layer's weights, from those of its cells."""
        f01, f10 = _of_bits(layer, masks)
        seen = self._placed(layer, f01, f10).seen(f01, f10)
        f01, f10 = (parted(layer, pack_bits(each)) for each in seen)
        return f01, f10


def _of_bits(layer: StoredLayer, masks: Masks) -> Masks:
    """Masks of a layer's cells as bits uint8 (R, F)."""
    f01, f10 = (unpack_bits(joined(layer, mask), layer.fan_in) for mask in masks)
    return f01, f10
