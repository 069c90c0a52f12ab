"""Cells that always read the same, whatever is stored: stuck in HRS or LRS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bnnsim.faults.by_layer import PairOfRates, Rates, check_shares
from bnnsim.faults.errors import Masks, draw
from bnnsim.packed.memory import StoredLayer
from bnnsim.packed.words import full_row


@dataclass(frozen=True, repr=False)
class StuckAt(PairOfRates):
    """A cell always reads 0 with probability p_zero, always reads 1 with probability p_one; no cell is both.

    Parameters
    ----------
    p_zero, p_one : float, or a sequence of one float a layer
        Shares of the cells; one draw a cell decides, so 30 % and 30 % are 30 % and 30 %, not 21 % and 30 %. A bit is
        wrong only where it differs from what its cell is stuck at: half of the stuck cells, where zeros and ones are
        as many.
    layers : sequence of int, optional
        Only these layers have stuck cells; all by default.
    rate : float, optional
        What `at` sets: p_zero and p_one are scaled so that `rate` of the cells are stuck, in the layer with most.

    Raises
    ------
    ValueError
        Where p_zero + p_one is over 1.

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> stuck = bnnsim.faults.StuckAt(0.5, 0.5).apply(network, rng=1)       # what was stored is gone
    >>> int(np.bitwise_count(stuck.layers[0].words ^ network.layers[0].words).sum()), network.layers[0].n_bits
    (2102, 4096)
    """

    p_zero: Rates
    p_one: Rates
    layers: Sequence[int] | None = None

    RATES: ClassVar[tuple[str, ...]] = ("p_zero", "p_one")
    MOVES: ClassVar[str] = "share_of_stuck_cells"
    when: ClassVar[str] = "permanent"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shares(*self.scaled())

    def errors(self, layer: StoredLayer, rates: tuple[float, ...], key: Callable[[str], np.ndarray]) -> Masks:
        """By one draw u a cell, of the stream "stuck at": stuck at 0 iff u < p_zero, at 1 iff u >= 1 - p_one."""
        p_zero, p_one = rates
        at_zero = draw(layer, p_zero, key("stuck at"))
        at_one = full_row(layer.n_in) & ~draw(layer, 1 - p_one, key("stuck at"))
        return at_one & ~at_zero, at_zero
