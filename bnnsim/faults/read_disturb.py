"""Reading wears at what is stored: cells that were read often since they were last written read wrong from then on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from bnnsim.checks import check_real, clean_fields
from bnnsim.faults.asymmetric_flips import AsymmetricFlips
from bnnsim.faults.by_layer import clean_layers
from bnnsim.packed.memory import MemoryLike, Stored, check_stored
from bnnsim.seeding import RandomSource


@dataclass(frozen=True)
class ReadDisturb:
    """Each read may disturb a cell, which reads wrong until it is written again.

    After n reads that is so of a share p(n) = 1 - exp(-(n / N)^shape) of the cells, N being another for each stored
    bit; docs/frontier/wear.rst [D]. At shape 1 the reads are independent, each disturbing a cell with probability
    1 - exp(-1 / N). A cell that is disturbed stays so as reads go on.

    Parameters
    ----------
    zero_reads, one_reads : float > 0, or None
        N of cells that store 0 (HRS in 1T1R) and 1: reads after which 63 % of them are disturbed. None: never.
    shape : float > 0
    reads : float
        Of every cell since it was last written: what `at` sets.
    layers : sequence of int, optional
        Only these layers are disturbed; all by default.

    Examples
    --------
    >>> import bnnsim
    >>> disturb = bnnsim.faults.ReadDisturb(1e9, 1e11)
    >>> [f"{p:.5f}" for p in disturb.at(1e7).rates()]
    ['0.00995', '0.00010']
    """

    zero_reads: float | None
    one_reads: float | None
    shape: float = 1.0
    reads: float = 0.0
    layers: Sequence[int] | None = None

    moves: ClassVar[str] = "reads"
    when: ClassVar[str] = "write"

    def __post_init__(self) -> None:
        for name in ("zero_reads", "one_reads"):
            if getattr(self, name) is not None:
                clean_fields(self, check_real, name, low=0, open_low=True)
        clean_fields(self, check_real, "shape", low=0, open_low=True)
        clean_fields(self, check_real, "reads", low=0)
        clean_fields(self, clean_layers, "layers")

    def at(self, reads: float) -> "ReadDisturb":
        """The same chips after so many reads: those that were disturbed before are so still."""
        return replace(self, reads=reads)

    def rates(self) -> tuple[float, float]:
        """(p01, p10): shares of the cells that store 0, and 1, that read wrong."""
        return self._share(self.zero_reads), self._share(self.one_reads)

    def _share(self, scale: float | None) -> float:
        if scale is None or self.reads == 0:
            return 0.0
        exponent = self.shape * (math.log(self.reads) - math.log(scale))
        return -math.expm1(-math.exp(min(exponent, 100.0)))

    def expected_wrong_bits(self, memory: MemoryLike) -> float:
        """How many bits of a memory read wrong, in the mean over chips."""
        (p01, p10), wrong = self.rates(), 0.0
        for i, layer in enumerate(check_stored(memory).layers):
            if self.layers is None or i in self.layers:
                ones = int(np.bitwise_count(layer.words).sum(dtype=np.int64))
                wrong += p01 * (layer.n_bits - ones) + p10 * ones
        return wrong

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0) -> Stored:
        """What is read back, drawn as `bnnsim.faults.AsymmetricFlips` draws it: see `Fault.apply`."""
        return AsymmetricFlips(*self.rates(), self.layers).apply(memory, rng, trial)
