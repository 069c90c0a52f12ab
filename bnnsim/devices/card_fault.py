"""The fault of a device card: bit errors at a place, moved along an axis."""

from dataclasses import dataclass, replace
from typing import ClassVar

from bnnsim.checks import check_int
from bnnsim.devices.card_schema import AXES
from bnnsim.faults import AsymmetricFlips


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

    card: object
    axis: str
    value: object = None
    cell: str | None = None
    fixed: tuple = ()
    layers: tuple | None = None
    extrapolate: bool = False

    clean_at_zero: ClassVar[bool] = False

    def __post_init__(self):
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(check_int("layers", i, 0) for i in self.layers))

    @property
    def when(self):
        """"growing" along cycles and time; else "write", once a chip."""
        return "growing" if self.axis in ("cycles", "time") else "write"

    def at(self, value):
        """The same fault at another place on its axis; the card is asked when it is applied.

        A condition may be given by its number on the card.
        """
        if self.axis == "condition" and not isinstance(value, str):
            value = self.card.conditions[check_int("condition", int(value), 0, len(self.card.conditions) - 1)]
        return replace(self, value=value)

    def place(self):
        """The place as keywords for `DeviceCard.error_rates`."""
        if self.value is None:
            raise ValueError(f"{self.axis} must be given: take fault.at(value)")
        return {**dict(self.fixed), AXES[self.axis].key: self.value}

    def error_rates(self):
        """(p01, p10) here."""
        return self.card.error_rates(self.cell, extrapolate=self.extrapolate, **self.place())

    def programmed(self, rows_per_amplifier=1):
        """The fault that programs and senses every device here: `Programmed`; needs a card with distributions."""
        cell = self.card.cell(self.cell or self.card.own_cell(self.place().get("condition")),
                              extrapolate=self.extrapolate, **self.place())
        return cell.programmed(rows_per_amplifier, self.layers)

    def apply(self, network, rng=None, trial=0):
        """A network with these errors, independent ones, drawn as `bnnsim.faults.AsymmetricFlips` draws them."""
        return AsymmetricFlips(*self.error_rates(), layers=self.layers).apply(network, rng, trial)
