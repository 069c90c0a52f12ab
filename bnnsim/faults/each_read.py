"""Errors that are drawn anew at each read of the memory."""

from dataclasses import dataclass

from bnnsim.checks import check_int
from bnnsim.faults.around import Around
from bnnsim.packed.memory import Stored
from bnnsim.seeding import RandomSource, child_root, root_seed


@dataclass(frozen=True)
class EachRead(Around):
    """A fault drawn anew for each inference batch, as read noise is, instead of once a chip.

    The mean accuracy over chips stays, its spread becomes smaller: this is how the code of Hirtzlin et al. 2019 draws
    programming errors, which in hardware stay until the next write (docs/equations.rst 2.6).

    Parameters
    ----------
    fault : fault

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> noise = bnnsim.faults.EachRead(bnnsim.faults.BitFlips(0.1))
    >>> first, second = (noise.apply(network, rng=1, trial=0, read=b) for b in (0, 1))
    >>> bool((first.layers[0].words == second.layers[0].words).all())
    False
    """

    @property
    def when(self) -> str:
        """Whatever is inside: "read"."""
        return "read"

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0, read: int = 0) -> Stored:
        """A memory as the batch number `read` reads it; its root seed is of (root seed, "each read", trial, read)."""
        ids = check_int("trial", trial, 0), check_int("read", read, 0)
        return self.fault.apply(memory, child_root(root_seed(rng), "each read", *ids), trial)
