"""The fault of a device card: bit errors at a place, moved along an axis."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from bnnsim.checks import check_bool, check_int, clean_fields
from bnnsim.devices.card_schema import AXES
from bnnsim.faults import AsymmetricFlips
from bnnsim.faults.by_layer import clean_layers
from bnnsim.packed.memory import Stored
from bnnsim.seeding import RandomSource

if TYPE_CHECKING:
    from bnnsim.devices.cards import DeviceCard
    from bnnsim.devices.cells import ErrorRates
    from bnnsim.devices.monte_carlo import Programmed


@dataclass(frozen=True)
class CardFault:
    """The bit errors of a device card at a place, moved along one axis by ``at``; made by `DeviceCard.fault`.

    One chip keeps its draws along an axis: where rates grow, as with cycles and time, its errors are nested.

    Attributes
    ----------
    card : DeviceCard
    axis : str
        A key of `bnnsim.devices.AXES`.
    value : float or str, or None
        The place on it.
    """

    card: "DeviceCard"
    axis: str
    value: float | str | None = None
    cell: str | None = None
    fixed: tuple[tuple[str, float | str], ...] = ()
    layers: Sequence[int] | None = None
    extrapolate: bool = False

    clean_at_zero: ClassVar[bool] = False

    def __post_init__(self) -> None:
        clean_fields(self, clean_layers, "layers")
        clean_fields(self, check_bool, "extrapolate")
        object.__setattr__(self, "fixed", tuple(sorted(self.fixed)))     # one text, in whatever order they were given

    @property
    def when(self) -> str:
        """"growing" along cycles and time; else "write", once a chip."""
        return "growing" if self.axis in ("cycles", "time") else "write"

    @property
    def moves(self) -> str:
        """The axis as campaigns and their files name it, with its unit."""
        return "sigma_factor" if self.axis == "sigma" else AXES[self.axis].key

    @property
    def origin(self) -> tuple[str, str] | None:
        """The card's error rates, and how well they are known here; None without a place."""
        if self.value is None:
            return None
        place = self.place()
        cell = self.cell or self.card.own_cell(place.get("condition"))
        return f"{self.card.name}, error rates of {cell}", self.card.rate_mark(cell, **place)

    def at(self, value: float | str) -> "CardFault":
        """The same fault at another place on its axis; the card is asked when it is applied.

        A condition may be given by its number on the card.
        """
        if self.axis == "condition" and not isinstance(value, str):
            number = int(value) if float(value).is_integer() else value
            value = self.card.conditions[check_int("condition", number, 0, len(self.card.conditions) - 1)]
        return replace(self, value=value)

    def place(self) -> dict[str, Any]:
        """The place as keywords for `DeviceCard.error_rates`."""
        if self.value is None:
            raise ValueError(f"{self.axis} must be given: take fault.at(value)")
        return {**dict(self.fixed), AXES[self.axis].key: self.value}

    def error_rates(self) -> "ErrorRates":
        """(p01, p10) here."""
        return self.card.error_rates(self.cell, extrapolate=self.extrapolate, **self.place())

    def programmed(self, rows_per_amplifier: int = 1) -> "Programmed":
        """The fault that programs and senses every device here: `Programmed`; needs a card with distributions."""
        cell = self.card.cell(self.cell or self.card.own_cell(self.place().get("condition")),
                              extrapolate=self.extrapolate, **self.place())
        return cell.programmed(rows_per_amplifier, self.layers)

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0) -> Stored:
        """A memory with these errors, independent ones, drawn as `bnnsim.faults.AsymmetricFlips` draws them."""
        p01, p10 = self.error_rates()
        return AsymmetricFlips(p01, p10, self.layers).apply(memory, rng, trial)
