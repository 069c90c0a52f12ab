"""Cells that always read the same, whatever is stored: stuck in HRS or LRS."""

from dataclasses import dataclass, replace
from typing import ClassVar

from bnnsim.checks import check_int, check_probability
from bnnsim.faults.by_layer import check_shares, clean_layers, clean_rate, in_proportion, spread_rate
from bnnsim.faults.errors import draw, with_errors
from bnnsim.packed.memory import check_stored
from bnnsim.packed.words import full_row
from bnnsim.seeding import root_seed, stream_key


@dataclass(frozen=True)
class StuckAt:
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

    p_zero: float | tuple
    p_one: float | tuple
    layers: tuple | None = None
    rate: float | None = None

    when: ClassVar[str] = "permanent"

    def __post_init__(self):
        for name in ("p_zero", "p_one"):
            object.__setattr__(self, name, clean_rate(name, getattr(self, name)))
        object.__setattr__(self, "layers", clean_layers(self.layers))
        if self.rate is not None:
            object.__setattr__(self, "rate", check_probability("rate", self.rate))
        check_shares(*self.scaled())

    def at(self, rate):
        """The same fault with another share of stuck cells, zeros and ones in proportion."""
        return replace(self, rate=rate)

    def scaled(self):
        """(p_zero, p_one) that hold, one number or one a layer."""
        return (self.p_zero, self.p_one) if self.rate is None else in_proportion(self.rate, self.p_zero, self.p_one)

    def apply(self, network, rng=None, trial=0):
        """A network read from memory with stuck cells; `network` is untouched, layers without an error are shared.

        Parameters
        ----------
        network : PackedNetwork
        rng : None, int, SeedSequence or Generator
            The root seed. A draw's key is (root seed, "stuck at", trial, layer, array 0), its counter the bit's place:
            a cell that is stuck is stuck in the same way at any higher rate.
        trial : int
            Which chip.

        Returns
        -------
        PackedNetwork
        """
        layers = check_stored(network).layers
        root, trial = root_seed(rng), check_int("trial", trial, 0)
        rates = [spread_rate(name, p, self.layers, len(layers))
                 for name, p in zip(("p_zero", "p_one"), self.scaled())]
        return with_errors(network, {
            i: stuck_cells(layer, p_zero, p_one, stream_key(root, "stuck at", trial, i, 0))
            for i, (layer, p_zero, p_one) in enumerate(zip(layers, *rates)) if p_zero or p_one})


def stuck_cells(layer, p_zero, p_one, key):
    """(f01, f10) by one draw u a cell: stuck at 0 iff u < p_zero, at 1 iff u >= 1 - p_one."""
    at_zero = draw(layer, p_zero, key)
    at_one = full_row(layer.n_in) & ~draw(layer, 1 - p_one, key)
    return at_one & ~at_zero, at_zero
