"""Faults around another fault, which is drawn when that is and moved as that is."""

from dataclasses import dataclass, replace
from typing import Self

from bnnsim.faults.protocol import Fault, check_fault, check_rated, when_drawn


@dataclass(frozen=True)
class Around:
    """What faults around a fault share: the field, and what that says of itself."""

    fault: Fault

    def __post_init__(self) -> None:
        check_fault("fault", self.fault)

    @property
    def when(self) -> str:
        """When the fault inside is drawn."""
        return when_drawn(self.fault)

    def at(self, rate: float) -> Self:
        """The same with ``fault.at(rate)``."""
        return replace(self, fault=check_rated("fault", self.fault).at(rate))
