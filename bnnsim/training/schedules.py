"""Learning rates over epochs: a schedule of your own is any `Schedule`."""

import math
from dataclasses import dataclass
from typing import Protocol

from bnnsim.checks import check_int, check_real
from bnnsim.training.elementary import cos, power
from bnnsim.training.plug_ins import check_plug_in


class Schedule(Protocol):
    """What the learning rate is multiplied by."""

    def factor(self, epoch: float, n_epochs: int) -> float:
        """The factor at a fractional epoch, from 0 to `n_epochs`; asked once a step, and once more as an epoch ends."""


@dataclass(frozen=True)
class Constant:
    """No decay."""

    def factor(self, epoch: float, n_epochs: int) -> float:
        """1."""
        return 1.0


@dataclass(frozen=True)
class Cosine:
    """From 1 at the start to 0 at the end: (1 + cos(pi * epoch / n_epochs)) / 2."""

    def factor(self, epoch: float, n_epochs: int) -> float:
        """Half a period of the cosine."""
        return 0.5 * (1.0 + cos(math.pi * min(epoch / n_epochs, 1.0)))


@dataclass(frozen=True)
class Step:
    """Multiplied by `gamma` every `every` epochs: 0.5 every 25 in Buschjaeger et al. 2020 [C]."""

    every: int = 25
    gamma: float = 0.5

    def __post_init__(self) -> None:
        check_int("every", self.every, 1)
        check_real("gamma", self.gamma, 0, 1, open_low=True)

    def factor(self, epoch: float, n_epochs: int) -> float:
        """gamma ** (whole multiples of `every`)."""
        return power(self.gamma, epoch // self.every)


@dataclass(frozen=True)
class Exponential:
    """Multiplied by `gamma` every epoch, smoothly: gamma ** epoch."""

    gamma: float = 0.9

    def __post_init__(self) -> None:
        check_real("gamma", self.gamma, 0, 1, open_low=True)

    def factor(self, epoch: float, n_epochs: int) -> float:
        """gamma ** epoch."""
        return power(self.gamma, epoch)


def check_schedule(schedule: Schedule | None) -> Schedule:
    """A schedule; Cosine where none is given."""
    schedule = Cosine() if schedule is None else schedule
    check_plug_in("schedule", schedule, ("factor",), "bnnsim.schedules.Cosine()")
    return schedule
