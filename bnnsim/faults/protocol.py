"""What a fault is, and what it may say of itself: here, and nowhere else. What asks a fault for it asks here, too.

Needed is one method, `Fault.apply`. A fault can have more, and without it the defaults hold:

=================  =============================================================================================
``at(rate)``       `RatedFault`: the same fault elsewhere on the axis that a sweep moves; without, no sweep takes it
``moves``          the name of that axis, such as "bit_error_rate": `bnnsim.faults.axis`. Without, sweeps need it said
``when``           when its errors are drawn, one of `WHEN`; "write" without. At "read", `apply` takes ``read=``
``clean_at_zero``  False where it errs at rate 0, too; True without
``greatest_rate``  the largest rate that ``at`` takes, where that is below the axis' own end
``apply_each``     `FaultOfManyRates`: many rates of one chip from one pass over its random numbers
``fault``          the fault that this one is around, which answers what this one does not
                   (`clean_at_zero`, `greatest_rate`)
``origin``         (what, mark): what its numbers were taken from, such as a device card, and how well they are known,
                   a mark of `bnnsim.devices.marks`; results tell it. Without, they are the user's own
``mapping``        the `ArrayMapping` of its cells, which a recorded `FaultMap` takes over
=================  =============================================================================================

Its ``repr`` names it in results, checkpoints and fault maps: two that differ must differ there, at rate 0 too.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol, Self, TypeVar

from bnnsim.packed.memory import Stored
from bnnsim.seeding import RandomSource

WHEN = ("permanent", "growing", "write", "read")                # from the rarest draw to the most frequent
READ_IMAGES = 500                   # an inference batch: images that one read of a memory serves


class Fault(Protocol):
    """Something that makes stored bits read wrong."""

    def apply(self, memory: Stored, /, rng: RandomSource = None, trial: int = 0) -> Stored:
        """What is read from a chip that has this fault.

        Parameters
        ----------
        memory : PackedNetwork or Memory
            Anything that stores bits: a network, the weights of a model in training, code words with their check bits,
            one array of cells. It stays as it is. Padding bits do not exist in the memory and are not touched.
        rng : None, int, SeedSequence or Generator
            The root seed. Draws depend on it, on the trial and on the place of a bit, and on nothing else: not on the
            rate, so that a chip's errors at a lower rate are among those at a higher one.
        trial : int
            Which chip.

        Returns
        -------
        PackedNetwork or Memory
            A copy with what is read, which shares the layers that read right: ``memory.with_words({1: words})``, of
            what is read in layer 1.
        """
        ...


class RatedFault(Fault, Protocol):
    """A fault that a sweep can move along an axis."""

    def at(self, rate: float, /) -> Self:
        """The same fault at another value of the axis, of a bit error rate mostly; all else stays."""
        ...


class ReadFault(Protocol):
    """A fault whose ``when`` is "read": drawn anew each time that the memory is read, as noise is."""

    def apply(self, memory: Stored, /, rng: RandomSource = None, trial: int = 0, read: int = 0) -> Stored:
        """As `Fault.apply`; read is the number of the inference batch that reads the chip."""
        ...


class FaultOfManyRates(RatedFault, Protocol):
    """A fault that draws many rates of one chip faster together than one by one."""

    def apply_each(self, rates: Sequence[float], memory: Stored, /, rng: RandomSource = None,
                   trial: int = 0) -> Iterator[Stored]:
        """``self.at(rate).apply(memory, rng, trial)`` of each rate, in order."""
        ...


AnyFault = TypeVar("AnyFault", bound=Fault)


def check_fault(name: str, value: AnyFault) -> AnyFault:
    """Something with a method `apply`."""
    if isinstance(value, type) or not callable(getattr(value, "apply", None)):
        raise TypeError(f"{name} must be a fault such as bnnsim.faults.BitFlips(0.01), got {value!r}")
    return value


def check_rated(name: str, value: Fault) -> RatedFault:
    """A fault with a method `at`."""
    if not callable(getattr(check_fault(name, value), "at", None)):
        raise TypeError(f"{name} must have a method `at` that sets its rate, got {value!r}")
    return value                                                # type: ignore[return-value]  # just looked


def when_drawn(fault: Fault) -> str:
    """When a fault is drawn; "write" where it does not say."""
    return getattr(fault, "when", "write")


def apply_read(fault: Fault, memory: Stored, root: RandomSource, trial: int, read: int) -> Stored:
    """Apply a fault, which is told the read where it is drawn at each."""
    if when_drawn(fault) == "read":
        return fault.apply(memory, root, trial, read=read)      # type: ignore[call-arg]  # it is a `ReadFault`
    return fault.apply(memory, root, trial)


def inside(fault: Fault) -> Fault | None:
    """The fault that a fault is around; None where it is around none."""
    return getattr(fault, "fault", None)


def is_clean_at_zero(fault: Fault) -> bool:
    """Whether a fault at rate 0 leaves the memory as it is: as it says, or as what is inside of it says."""
    inner = inside(fault)
    return getattr(fault, "clean_at_zero", True if inner is None else is_clean_at_zero(inner))


def greatest_rate(fault: Fault) -> float:
    """The largest rate that a fault's `at` takes: as it says, or as what is inside of it says; infinite without."""
    inner = inside(fault)
    return getattr(fault, "greatest_rate", math.inf if inner is None else greatest_rate(inner))


def origins(fault: Fault) -> list[tuple[str, str]]:
    """The ``origin`` of a fault and of all that are inside of it, of those that have one."""
    own, inner = getattr(fault, "origin", None), inside(fault)
    parts = getattr(fault, "faults", ()) if inner is None else (inner,)
    return ([] if own is None else [own]) + [found for part in parts for found in origins(part)]
