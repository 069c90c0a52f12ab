"""Several faults of one memory, one after the other."""

from dataclasses import dataclass, replace

from bnnsim.checks import check_int
from bnnsim.faults.protocol import WHEN, apply_read, check_fault, is_clean_at_zero, when_drawn
from bnnsim.seeding import child_root, root_seed


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

    Attributes
    ----------
    when : str
        That of the part that is drawn most often: permanent, growing, write, read.
    """

    faults: tuple
    axis: int = 0

    def __post_init__(self):
        if not isinstance(self.faults, (list, tuple)) or not self.faults:
            raise TypeError(f"faults must be a sequence of at least one fault, got {self.faults!r}")
        object.__setattr__(self, "faults", tuple(self.faults))
        for i, fault in enumerate(self.faults):
            check_fault(f"faults[{i}]", fault)
        check_int("axis", self.axis, 0, len(self.faults) - 1)

    @property
    def clean_at_zero(self):
        """Whether nothing errs at rate 0: parts that `at` leaves alone do."""
        return len(self.faults) == 1 and is_clean_at_zero(self.faults[0])

    @property
    def when(self):
        return max((when_drawn(fault) for fault in self.faults), key=WHEN.index)

    def at(self, rate):
        """The same with fault number `axis` at this rate."""
        return replace(self, faults=tuple(fault.at(rate) if i == self.axis else fault
                                          for i, fault in enumerate(self.faults)))

    def apply(self, network, rng=None, trial=0, read=0):
        """A network that all faults have broken, the first one first.

        The root seed of fault number i > 0 is of (root seed, "compose", i), with the number of `Compose` inside the
        first fault behind, if there are any: the first one draws from the root seed itself.
        """
        root, inside = root_seed(rng), _depth(self.faults[0])
        for i, fault in enumerate(self.faults):
            ids = (i, inside) if inside else (i,)
            network = apply_read(fault, network, child_root(root, "compose", *ids) if i else root, trial, read)
        return network


def _depth(fault):
    """How many `Compose` stand one in the other at the head of a fault, wrapped in others or not."""
    if isinstance(fault, Compose):
        return 1 + _depth(fault.faults[0])
    return _depth(fault.fault) if hasattr(fault, "fault") else 0
