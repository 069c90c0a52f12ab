"""Sensing at a low supply: what disturbs a comparison grows as the overdrive falls, and pairs of small margins err.

The equations are those of docs/frontier/supply.rst.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from scipy.special import ndtr

from bnnsim.checks import check_real, clean_fields
from bnnsim.devices.cells import Cell2T2R, ErrorRates
from bnnsim.devices.marks import derived
from bnnsim.devices.monte_carlo import Programmed
from bnnsim.faults.by_layer import chosen
from bnnsim.packed.memory import Stored
from bnnsim.packed.words import joined, unpack_bits
from bnnsim.seeding import RandomSource


@dataclass(frozen=True)
class SupplySensing:
    """2T2R pairs sensed at a supply voltage: a pair's own margin and the supply give its error rate.

    Devices and the offsets of amplifiers are drawn once a chip, so each pair has a margin of its own that stays; noise
    is drawn at each read. Both grow as 1 / (supply - threshold).

    Parameters
    ----------
    cell : Cell2T2R
        At the nominal supply: its offset, offset_sigma and read_sigma are what the supply scales.
    nominal_volt, threshold_volt : float
        The supply at which the cell was described, and the threshold voltage of the amplifiers' transistors.
    volt : float, optional
        The supply, above the threshold; what `at` sets. Nominal by default.
    rows_per_amplifier, layers
        As of `Programmed`.

    References
    ----------
    docs/frontier/supply.rst [D]; that low supply fails on images that are hard: Jebali et al., Nat. Commun. 15:741,
    2024, arXiv:2305.12875 [V].

    Examples
    --------
    >>> from bnnsim.devices import Cell2T2R, LogNormal, SupplySensing
    >>> cell = Cell2T2R(LogNormal(5e3, 0.3), LogNormal(5e4, 0.6), read_sigma=0.1)
    >>> for volt in (1.2, 0.8, 0.65):
    ...     print(f"{volt} V: {SupplySensing(cell, 1.2, 0.6, volt).error_rates().mean:.5f}")
    1.2 V: 0.00034
    0.8 V: 0.00086
    0.65 V: 0.04698
    """

    cell: Cell2T2R
    nominal_volt: float
    threshold_volt: float
    volt: float | None = None
    rows_per_amplifier: int = 1
    layers: Sequence[int] | None = None

    moves: ClassVar[str] = "supply_volt"
    clean_at_zero: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.cell, Cell2T2R):
            raise TypeError("cell must be a Cell2T2R, whose amplifier the supply drives, got "
                            f"{type(self.cell).__name__}")
        clean_fields(self, check_real, "nominal_volt", "threshold_volt", low=0, open_low=True)
        _check_above("nominal_volt", self.nominal_volt, self.threshold_volt)
        if self.volt is not None:
            clean_fields(self, check_real, "volt", low=0)
        object.__setattr__(self, "layers", Programmed(self.cell, self.rows_per_amplifier, self.layers).layers)

    @property
    def factor(self) -> float:
        """By how much offsets and noise are larger than at the nominal supply."""
        volt = self.nominal_volt if self.volt is None else _check_above("volt", self.volt, self.threshold_volt)
        return (self.nominal_volt - self.threshold_volt) / (volt - self.threshold_volt)

    @property
    def supplied(self) -> Cell2T2R:
        """The cell as it is at this supply."""
        cell, factor = self.cell, self.factor
        return cell if factor == 1 else replace(cell, offset=factor * cell.offset, offset_sigma=factor *
                                                cell.offset_sigma, read_sigma=factor * cell.read_sigma,
                                                origin=self.origin)

    @property
    def when(self) -> str:
        """As of `Programmed`: "read" where there is noise, else "write"."""
        return Programmed(self.cell).when

    @property
    def origin(self) -> tuple[str, str] | None:
        """That of the cell, derived at another supply."""
        known = self.cell.origin
        return known if known is None or self.volt in (None, self.nominal_volt) else derived(known)

    def at(self, volt: float) -> "SupplySensing":
        """The same chips at another supply, which is looked at when it is applied: devices stay, and so do draws."""
        return replace(self, volt=volt)

    def programmed(self) -> Programmed:
        """The fault that senses every pair at this supply."""
        return Programmed(self.supplied, self.rows_per_amplifier, self.layers)

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0, read: int = 0) -> Stored:
        """What is read back, as `Programmed.apply`."""
        return self.programmed().apply(memory, rng, trial, read)

    def error_rates(self) -> ErrorRates:
        """(p01, p10), the mean over pairs, chips and reads."""
        return self.supplied.error_rates()

    def pair_error_rates(self, memory: Stored, rng: RandomSource = None, trial: int = 0) -> dict[int, np.ndarray]:
        """With what probability a read of each pair of one chip is wrong.

        Parameters
        ----------
        memory, rng, trial
            As of `apply`.

        Returns
        -------
        dict of int to float64 (units, fan_in)
            Of each layer that can have errors: Phi(-margin / noise); without noise 1 where the pair reads wrong, as
            those of a margin below 0 do, and about half of those of equal samples.
        """
        sigma = self.supplied.read_sigma
        if sigma > 0:
            return {i: ndtr(-margin / sigma) for i, margin in self.programmed().margins(memory, rng, trial).items()}
        read = self.apply(memory, rng, trial)
        wrong = {i: memory.layers[i].words ^ read.layers[i].words for i in chosen(self.layers, len(memory.layers))}
        return {i: unpack_bits(joined(memory.layers[i], words), memory.layers[i].fan_in).astype(np.float64)
                for i, words in wrong.items()}


def _check_above(name: str, volt: float, threshold_volt: float) -> float:
    if volt <= threshold_volt:
        raise ValueError(f"{name} must be above threshold_volt, {threshold_volt:g}, where no amplifier decides, got "
                         f"{volt:g}")
    return volt
