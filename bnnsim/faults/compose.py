"""Several faults of one memory, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bnnsim.checks import check_int, clean_fields
from bnnsim.faults.axis import moves_of
from bnnsim.faults.protocol import (WHEN, Fault, apply_read, check_fault, check_rated, greatest_rate, inside,
                                    is_clean_at_zero, when_drawn)
from bnnsim.packed.memory import Stored
from bnnsim.seeding import RandomSource, child_root, root_seed


@dataclass(frozen=True)
class Compose:
    """Faults in order: each meets what the one before reads.

    Put what a cell cannot help last: ``Compose([BitFlips(0.01), StuckAt(0.001, 0.001)])`` has stuck cells that no
    flip changes. Parts draw independently of each other, the first one as it does alone.

    Parameters
    ----------
    faults : sequence of fault
    axis : int
        Which of them `at` moves; the others stay as they are, and act at rate 0 too.
    """

    faults: Sequence[Fault]
    axis: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.faults, (list, tuple)) or not self.faults:
            raise TypeError(f"faults must be a sequence of at least one fault, got {self.faults!r}")
        object.__setattr__(self, "faults", tuple(self.faults))
        for i, fault in enumerate(self.faults):
            check_fault(f"faults[{i}]", fault)
        clean_fields(self, check_int, "axis", low=0, high=len(self.faults) - 1)

    @property
    def clean_at_zero(self) -> bool:
        """Whether nothing errs at rate 0: parts that `at` leaves alone do."""
        return len(self.faults) == 1 and is_clean_at_zero(self.faults[0])

    @property
    def when(self) -> str:
        """That of the part that is drawn most often."""
        return max((when_drawn(fault) for fault in self.faults), key=WHEN.index)

    @property
    def moves(self) -> str | None:
        """What the part that `at` moves says."""
        return moves_of(self.faults[self.axis])

    @property
    def greatest_rate(self) -> float:
        """What the part that `at` moves says."""
        return greatest_rate(self.faults[self.axis])

    def at(self, rate: float) -> "Compose":
        """The same with fault number `axis` at this rate."""
        moved = check_rated(f"faults[{self.axis}]", self.faults[self.axis]).at(rate)
        return replace(self, faults=(*self.faults[:self.axis], moved, *self.faults[self.axis + 1:]))

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0, read: int = 0) -> Stored:
        """A memory that all faults have broken, the first one first.

        The root seed of fault number i > 0 is of (root seed, "compose", i), with the number of `Compose` inside the
        first fault behind, if there are any: the first one draws from the root seed itself.
        """
        root, inside = root_seed(rng), _depth(self.faults[0])
        for i, fault in enumerate(self.faults):
            ids = (i, inside) if inside else (i,)
            memory = apply_read(fault, memory, child_root(root, "compose", *ids) if i else root, trial, read)
        return memory


def _depth(fault: Fault | None) -> int:
    """How many `Compose` stand one in the other at the head of a fault, wrapped in others or not."""
    if isinstance(fault, Compose):
        return 1 + _depth(fault.faults[0])
    return 0 if fault is None else _depth(inside(fault))
