"""Flips whose rate hangs on the stored bit: p01 of a stored 0, p10 of a stored 1."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bnnsim.faults.by_layer import PairOfRates, Rates, clean_rate, in_proportion
from bnnsim.faults.errors import Masks, draw
from bnnsim.packed.memory import StoredLayer


@dataclass(frozen=True, repr=False)
class AsymmetricFlips(PairOfRates):
    """A stored 0 reads 1 with probability p01, a stored 1 reads 0 with probability p10, independently.

    Parameters
    ----------
    p01, p10 : float, or a sequence of one float a layer
        Bit 1 is +1. Cells that err under both rates are those that err under the lower one, and more: a cell has one
        draw. With p01 = p10 = p this is ``BitFlips(p)``, bit for bit.
    layers : sequence of int, optional
        Only these layers have errors; all by default.
    rate : float, optional
        What `at` sets: p01 and p10 are scaled so that their mean is `rate`, in the layer where it is largest. The mean
        is the bit error rate of a memory that holds as many zeros as ones.

    Raises
    ------
    ValueError
        Where a rate is no probability, or scaled to `rate` would be none.

    References
    ----------
    p01 and p10 of 1T1R and 2T2R cells: docs/equations.rst 2.2 and 2.3 [D].

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> broken = bnnsim.faults.AsymmetricFlips(0.0, 1.0).apply(network, rng=1)
    >>> int(broken.layers[0].words.max())
    0
    """

    p01: Rates
    p10: Rates
    layers: Sequence[int] | None = None

    RATES: ClassVar[tuple[str, ...]] = ("p01", "p10")
    SUM: ClassVar[float] = 2.0                  # `rate` is their mean
    MOVES: ClassVar[str] = "mean_bit_error_rate_of_0_and_1"
    when: ClassVar[str] = "write"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate is not None:
            for name, value in zip(self.RATES, self.scaled()):
                clean_rate(f"{name} at rate {self.rate}", value)

    @property
    def greatest_rate(self) -> float:
        """The rate at which p01 or p10 is 1, in some layer."""
        most = max(np.ravel(in_proportion(1.0, self.p01, self.p10)).tolist())
        return min(1.0, 1 / (self.SUM * most))                  # x * (1 / x) never rounds above 1

    def errors(self, layer: StoredLayer, rates: tuple[float, ...], key: Callable[[str], np.ndarray]) -> Masks:
        """By one draw a cell, of the stream "bit flips": that of `BitFlips`."""
        p01, p10 = rates
        f01 = draw(layer, p01, key("bit flips"))
        return f01, f01 if p01 == p10 else draw(layer, p10, key("bit flips"))
