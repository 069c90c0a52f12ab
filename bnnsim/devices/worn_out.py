"""What a training in the memory does to its cells: those that were written often wear, and some can be written no more.

Both faults take the writes of each stored bit, as `bnnsim.training.WriteCounts.layers` has them, and how many such
trainings the chip sees, the axis of sweeps. Equations: docs/frontier/wear.rst.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np

from bnnsim.checks import check_choice, check_int, check_real, check_sequence, clean_fields
from bnnsim.devices.ageing import Weibull
from bnnsim.devices.card_fault import CardFault
from bnnsim.devices.marks import derived
from bnnsim.faults.by_layer import streams
from bnnsim.faults.errors import Masks, with_errors
from bnnsim.packed.memory import MemoryLike, Stored, StoredLayer
from bnnsim.packed.words import pack_bits
from bnnsim.seeding import RandomSource


@dataclass(frozen=True, eq=False, repr=False)
class _Written:
    """What both have: writes by bit, the number of trainings, and layers that are asked one by one."""

    writes: Sequence[np.ndarray]
    trainings: float = 1.0
    cycles_per_write: float = 1.0

    moves: ClassVar[str] = "trainings"
    when: ClassVar[str] = "growing"

    def __post_init__(self) -> None:
        clean = []
        for i, counts in enumerate(check_sequence("writes", self.writes, "arrays of counts, one a layer, as "
                                                  "WriteCounts.layers has them")):
            each = np.asarray(counts)
            if each.dtype.kind not in "iu" or each.ndim < 2 or (each.size and int(each.min()) < 0):
                raise TypeError(f"writes[{i}] must be integers (U, ..., F) >= 0, as WriteCounts.layers has them, got "
                                f"{each.dtype} {each.shape}")
            each = each.astype(np.int64)
            each.flags.writeable = False
            clean.append(each)
        object.__setattr__(self, "writes", tuple(clean))
        clean_fields(self, check_real, "trainings", low=0)
        clean_fields(self, check_real, "cycles_per_write", low=0, open_low=True)

    def __repr__(self) -> str:
        """As dataclasses have it, with a checksum of the counts."""
        digest = hashlib.sha256(repr([each.shape for each in self.writes]).encode())
        for each in self.writes:
            digest.update(np.ascontiguousarray(each))
        rest = {name: value for name, value in vars(self).items() if name != "writes"}
        return f"{type(self).__name__}(writes=SHA-256 {digest.hexdigest()[:16]}, " + \
            ", ".join(f"{name}={value!r}" for name, value in rest.items()) + ")"

    def at(self, trainings: float) -> Self:
        """The same chips after so many trainings."""
        return replace(self, trainings=trainings)

    def planned(self, counts: np.ndarray) -> np.ndarray:
        """Writes of each bit in all trainings, whole numbers as float64."""
        return np.floor(counts * self.trainings)

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0) -> Stored:
        """What is read back: see `bnnsim.faults.Fault.apply`. Draws do not depend on writes or trainings."""
        stream = streams(memory, rng, trial)
        self._check_fits(memory)
        return with_errors(memory, {
            i: self.errors(layer, self.planned(counts), [np.random.Generator(np.random.Philox(key=stream(name, i)))
                                                         for name in ("endurance", "dead cells")])
            for i, (layer, counts) in enumerate(zip(memory.layers, self.writes))})

    def errors(self, layer: StoredLayer, planned: np.ndarray, draws: Sequence[np.random.Generator]) -> Masks:
        """(f01, f10) of a layer whose bits were written so often."""
        raise NotImplementedError

    def _check_fits(self, memory: MemoryLike) -> None:
        wanted = [(*layer.words.shape[:-1], layer.n_in) for layer in memory.layers]
        if wanted != [each.shape for each in self.writes]:
            raise ValueError(f"writes must be counts of the bits of this memory, of shapes {wanted}, got "
                             f"{[each.shape for each in self.writes]}")


@dataclass(frozen=True, eq=False, repr=False)
class WornOut(_Written):
    """Cells that were written more often than they stand, each with an endurance of its own: they switch no more.

    Parameters
    ----------
    writes : sequence of integer arrays
        Of each stored bit in a training: ``WriteCounts.layers``. The first programming is not counted.
    trainings : float
        Trainings of so many writes, or one that goes on so much longer; what `at` sets.
    cycles_per_write : float
        As of `bnnsim.training.WriteCounts.share_beyond`.
    weibull : Weibull
        The endurance of a device: N = scale (-ln(1 - u))^(1 / shape) cycles, u uniform, drawn once a chip.
    devices : int
        Of a bit: the first to fail ends it; 2 in a 2T2R pair.
    stuck : "last" or "share"
        A dead cell keeps its last value: a bit toggles at each write, so it is wrong where an odd number of writes
        came too late [D]. Or it is stuck by ``weibull.share_lrs``, LRS being 1, whatever was stored.

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> from bnnsim.devices import Weibull, WornOut
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> writes = [np.full((64, 64), 20), np.full((10, 64), 20)]
    >>> worn = WornOut(writes, weibull=Weibull(1e5, 1.5))
    >>> for trainings in (10, 100, 1000):
    ...     broken = worn.at(trainings).apply(network, rng=0)
    ...     wrong = sum(int(np.bitwise_count(a.words ^ b.words).sum()) for a, b in zip(broken.layers, network.layers))
    ...     print(f"{worn.at(trainings).share_dead():.5f} dead, {wrong} of {network.n_bits} wrong")
    0.00009 dead, 0 of 4736 wrong
    0.00282 dead, 7 of 4736 wrong
    0.08556 dead, 206 of 4736 wrong
    """

    weibull: Weibull = field(kw_only=True)
    devices: int = 1
    stuck: str = "last"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.weibull, Weibull):
            raise TypeError(f"weibull must be a Weibull, got {type(self.weibull).__name__}")
        clean_fields(self, check_int, "devices", low=1)
        check_choice("stuck", self.stuck, ("last", "share"))

    @property
    def endurance(self) -> Weibull:
        """That of a bit: the least of its devices' is a Weibull at scale / devices^(1 / shape) [D]."""
        return replace(self.weibull, scale_cycles=self.weibull.scale_cycles / self.devices ** (1 / self.weibull.shape))

    def share_dead(self) -> float:
        """Expected share of the bits that can be written no more."""
        planned, bits = np.unique(np.concatenate([self.planned(each).ravel() for each in self.writes]),
                                  return_counts=True)
        return float(sum(n * self.endurance.failures(writes * self.cycles_per_write).p_failed
                         for writes, n in zip(planned.tolist(), bits.tolist())) / bits.sum())

    def errors(self, layer: StoredLayer, planned: np.ndarray, draws: Sequence[np.random.Generator]) -> Masks:
        """By one draw a cell, its endurance; where it is dead, by the parity of lost writes, or by another draw."""
        endurance = self.endurance
        most = endurance.failures(float(planned.max(initial=0)) * self.cycles_per_write).p_failed
        u = draws[0].random(planned.shape)
        where = np.nonzero(u < most * (1 + 1e-9))                # the others live
        with np.errstate(over="ignore"):
            lasted = endurance.scale_cycles * (-np.log1p(-u[where])) ** (1 / endurance.shape)
        lost = planned[where] - np.floor(lasted / self.cycles_per_write)
        dead, wrong, ones = lost > 0, np.zeros(planned.shape, bool), np.zeros(planned.shape, bool)
        if self.stuck == "last":
            wrong[where] = dead & (lost % 2 == 1)
            mask = pack_bits(wrong)
            return mask, mask
        at_one = (draws[1].random(planned.shape) < endurance.share_lrs)[where]
        wrong[where], ones[where] = dead & ~at_one, dead & at_one
        return pack_bits(ones), pack_bits(wrong)


@dataclass(frozen=True, eq=False, repr=False)
class AgedCells(_Written):
    """Cells that err as a device card says of cells of so many cycles, each by its own writes.

    Parameters
    ----------
    writes, trainings, cycles_per_write
        As of `WornOut`; the first programming is the first cycle.
    ageing : CardFault
        Along cycles: ``card.axis("cycles", condition=...)``. What the card says of dead devices is in its rates.

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> from bnnsim.devices import AgedCells, load_card
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> aged = AgedCells([np.full((64, 64), 20), np.full((10, 64), 20)],
    ...                  ageing=load_card("teaching").axis("cycles", "1T1R", condition="strong"))
    >>> for trainings in (1, 4e4):
    ...     broken = aged.at(trainings).apply(network, rng=0)
    ...     print(sum(int(np.bitwise_count(a.words ^ b.words).sum()) for a, b in zip(broken.layers, network.layers)))
    0
    37
    """

    ageing: CardFault = field(kw_only=True)

    clean_at_zero: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.ageing, CardFault) or self.ageing.axis != "cycles":
            raise TypeError("ageing must be a fault of a device card along its cycles, as card.axis('cycles') gives "
                            f"it, got {self.ageing!r:.200}")

    @property
    def origin(self) -> tuple[str, str] | None:
        """That of the card's rates, derived: they are applied cell by cell."""
        known = self.ageing.at(1.0).origin
        return None if known is None else derived(known)

    def errors(self, layer: StoredLayer, planned: np.ndarray, draws: Sequence[np.random.Generator]) -> Masks:
        """By one draw a cell against the rates at its number of cycles."""
        writes, which = np.unique(planned, return_inverse=True)
        rates = [self.ageing.at(1 + n * self.cycles_per_write).error_rates() for n in writes.tolist()]
        u, which = draws[0].random(planned.shape), which.reshape(planned.shape)
        p01, p10 = (np.array(each)[which] for each in zip(*rates))
        return pack_bits(u < p01), pack_bits(u < p10)
