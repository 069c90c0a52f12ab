"""Device cards: what is known of a memory technology, as a file that users edit, and the faults that follow from it."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import bnnsim.datasets.shipped as shipped
import bnnsim.devices.card_schema as card_schema
import bnnsim.devices.energy as energy
import bnnsim.files.atomic as atomic
import bnnsim.files.html_text as html_text
from bnnsim.checks import FilePath, check_choice, check_probability, check_real, nearest
from bnnsim.devices.card_fault import CardFault
from bnnsim.devices.card_schema import AXES, CardError, where_text
from bnnsim.devices.cells import (DEVICES_PER_BIT, Cell1T1R, Cell2T2R, ErrorRates, Failures, converted_rate,
                                  make_cell)
from bnnsim.devices.conditions import Condition, make_conditions
from bnnsim.devices.marks import weakest
from bnnsim.packed.memory import MemoryLike

if TYPE_CHECKING:
    from bnnsim.figures.style import Drawn, Width

SHIPPED = ("ddr3_temperature", "ddr3_trcd", "dram_synthetic", "fefet", "fpga_bram", "hfo2_2t2r", "pcm_drift",
           "rram_macros", "rram_relaxation", "rram_unverified", "sram_synthetic", "stt_mram", "teaching")


@dataclass(frozen=True, eq=False, repr=False)
class DeviceCard:
    """A memory technology: rows of values, each with the place where it holds, its provenance and its source.

    See `bnnsim.devices.card_schema` for the keys. Rates, energies, medians are interpolated in their logarithm, sigmas
    straight, over the logarithm of cycles and time, and over voltage, timing and temperature themselves.

    Methods take a place by keyword: ``condition`` (needed where there are several), ``cycles``, ``time_second``,
    ``temperature_kelvin``, ``voltage_volt``, ``timing_second``; ``sigma``, a factor on the spread of both states; and
    ``extrapolate=True``, without which a place outside the data is refused.

    Examples
    --------
    >>> card = load_card("hfo2_2t2r")
    >>> card.conditions
    ('reference', 'low power', 'ultra-low power')
    >>> card.error_rates(condition="ultra-low power").mean, card.rate_mark(condition="ultra-low power")
    (0.033, 'read')
    >>> card.error_rates(condition="low power").mean, card.rate_mark(condition="low power")
    (9.7e-05, 'recalled')
    """

    name: str
    memory: str
    description: str
    licence: str
    rows: Sequence[dict[str, Any]]
    assume_equal_sigmas: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", card_schema.check_card(self.fields())["rows"])
        self._conditions                                        # rows that contradict each other are refused here

    def fields(self) -> dict[str, Any]:
        """The card as the JSON object that files hold."""
        return {"format": card_schema.FORMAT, "format_version": card_schema.VERSION, "name": self.name,
                "memory": self.memory, "description": self.description, "licence": self.licence,
                "assume_equal_sigmas": self.assume_equal_sigmas, "rows": list(self.rows)}

    @cached_property
    def _conditions(self) -> dict[str, Condition]:
        return make_conditions(self.rows)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(json.dumps(self.fields(), sort_keys=True).encode()).hexdigest()

    def _repr_html_(self) -> str:
        ranges = {name: limits for name, limits in self.axes().items() if name not in ("condition", "sigma")}
        rows = [("memory", self.memory), ("conditions", ", ".join(filter(None, self.conditions))),
                *((AXES[name].label, f"{limits[0]:g} to {limits[-1]:g} {AXES[name].unit}")
                  for name, limits in ranges.items()),
                ("rows", len(self.rows)), ("licence", self.licence), ("SHA-256", self.checksum[:12])]
        return html_text.table(f"DeviceCard {self.name}", rows, note=self.description)

    def __repr__(self) -> str:
        return f"<DeviceCard {self.name!r}, {len(self.rows)} rows, SHA-256 {self.checksum[:12]}>"

    def save(self, path: FilePath) -> None:
        """Write JSON, atomically: the path ends in .json."""
        if not os.fsdecode(path).lower().endswith(".json"):
            raise ValueError(f"path of a device card must end in .json, got {os.fsdecode(path)!r}")
        text = json.dumps(self.fields(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        if len(text.encode()) > card_schema.MAX_BYTES:
            raise CardError(f"a device card must have at most {card_schema.MAX_BYTES:,} bytes; thin its samples out")
        with atomic.replaced(path) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")

    # ------------------------------------------------------------ what there is

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the programming conditions, in the order of the card; ("",) where it has none."""
        return tuple(self._conditions)

    def under(self, condition: str | None = None) -> Condition:
        """What is known under a condition, which must be named where there are several."""
        if condition is None and len(self.conditions) > 1:
            raise ValueError(f"condition must be one of {', '.join(map(repr, self.conditions))}, got none")
        return self._conditions[self.conditions[0] if condition is None else
                                check_choice("condition", condition, self.conditions)]

    def axes(self, condition: str | None = None) -> dict[str, Any]:
        """What values can depend on: axis name to the conditions, or to the (least, greatest) place of the data.

        Never empty: of a card of one place it is its one condition, which has no name where rows name none.
        """
        known, found = self.under(condition or self.conditions[0]), dict[str, Any]()
        if len(self.conditions) > 1:
            found["condition"] = self.conditions
        names = {axis.key: name for name, axis in AXES.items()}
        if known.axis is not None:
            found[names[known.axis]] = known.limits()
        kept = known.retention()
        if kept is not None and known.has_states:
            found["time"], found["temperature"] = (0.0, kept.time_max_second), kept.temperatures
        if known.has_states:
            found["sigma"] = (0.0, float("inf"))
        return found or {"condition": self.conditions}

    def provenance(self, key: str, condition: str | None = None) -> tuple[str, ...]:
        """How the values of a key are known, such as ("read",): each kind once."""
        columns = self.under(condition).columns
        column = columns.get(key)
        if column is None:
            raise ValueError(f"key must be one of {', '.join(columns)}, got {key!r}")
        return tuple(dict.fromkeys(column.provenance))

    def cell_mark(self, condition: str | None = None) -> str:
        """How it is known that the card's rates are of its own kind of cell."""
        known = self.under(condition)
        return "measured" if known.has_states else known.cell_mark

    def notes(self, condition: str | None = None) -> list[str]:
        """What rows say besides numbers, each note once, behind where it holds: of all conditions, or of one.

        Examples
        --------
        >>> load_card("rram_macros").notes("40 nm")
        ['condition 40 nm: 11 Mb; under 1,000 cycles.']
        """
        places = dict[str, list[str]]()
        for row in self.rows:
            if row.get("note") and (condition is None or row.get("condition", condition) == condition):
                places.setdefault(row["note"], []).append(where_text(row))
        return [f"{_listed(where)}: {note}" if all(where) else note for note, where in places.items()]

    def rate_mark(self, cell: str | None = None, condition: str | None = None, **place: float) -> str:
        """The weakest mark of what `error_rates` at a place come from: see `bnnsim.devices.marks`.

        That rates are of the card's own kind of cell is `cell_mark`; those of another kind hang on it, too. Rates at
        another spread than the card's, a sigma factor, are derived.
        """
        known = self.under(condition)
        found = known.rate_mark(cell or self.own_cell(condition), known.place(**_without_sigma(place)))
        return weakest((found, "derived")) if place.get("sigma", 1) != 1 else found

    def energy_mark(self, cell: str | None = None, condition: str | None = None, **place: float) -> str:
        """The weakest mark of what `energy_joule` at a place comes from."""
        known, own = self.under(condition), self.own_cell(condition)
        found = known.mark(energy.keys_of(cell or own), known.place(**_without_sigma(place)))
        return weakest((found, self.cell_mark(condition))) if cell in (None, own) else found

    def relative_mark(self, cell: str | None = None, condition: str | None = None) -> str:
        """The weakest mark of `relative_energy`, which is of the card's own cell, for that or another kind of cell."""
        known = self.under(condition)
        found = known.mark(("energy_relative",), known.place())
        return found if cell in (None, self.own_cell(condition)) else weakest((found, self.cell_mark(condition)))

    def value(self, key: str, condition: str | None = None, extrapolate: bool = False, **place: float) -> Any:
        """One value of a row, interpolated; ValueError where the card does not have it."""
        known = self.under(condition)
        found = known.value(key, known.place(**place), extrapolate)
        if found is None:
            raise ValueError(f"condition {known.name!r} of {self.name!r} has no {key}; it has "
                             f"{', '.join(known.columns)}")
        return found

    # ------------------------------------------------------------ errors

    def cell(self, kind: str = "2T2R", condition: str | None = None, sigma: float = 1.0, extrapolate: bool = False,
             **place: float) -> Cell1T1R | Cell2T2R:
        """The memory cell at a place: `Cell1T1R` or `Cell2T2R`, with drift and dead devices; needs distributions.

        A 1T1R cell has the card's ``reference_ohm``, else one that is tuned anew, at each place, to equal errors.
        """
        known = self.under(condition)
        place = known.place(**place)
        states = known.states(place, extrapolate)
        if states is None:
            raise ValueError(f"condition {known.name!r} of {self.name!r} must have distributions of LRS and HRS "
                             "for this, but has error rates only")
        failures, retention, weibull = Failures(), known.retention(), known.weibull()
        shifts = (0.0, 0.0)
        if retention is not None:
            shifts = retention.shifts(place.get("time_second", 0.0), place.get("temperature_kelvin"), extrapolate)
        if weibull is not None:
            failures = weibull.failures(place.get("cycles", 0.0))
        reference = known.value("reference_ohm", place, extrapolate)
        try:
            lrs, hrs = (state.shifted(shift) if shift else state for state, shift in zip(states, shifts))
            made = make_cell(kind, lrs, hrs, reference, failures)
        except (ValueError, OverflowError) as error:             # a resistance out of the range of floats, too
            where = ", ".join(f"{key} {value:g}" for key, value in place.items())
            raise ValueError(f"{self.name!r}, condition {known.name!r}, {where}: {error}") from error
        made = replace(made, origin=(f"{self.name}, devices of {kind}", self.rate_mark(kind, condition, **place)))
        return made if sigma == 1.0 else made.scaled(sigma)

    def own_cell(self, condition: str | None = None) -> str:
        """The kind of cell that the card's rates are of; "2T2R" where it has distributions, which make any."""
        known = self.under(condition)
        return known.own_cell or ("2T2R" if known.has_states else self.memory)

    def error_rates(self, cell: str | None = None, condition: str | None = None, sigma: float = 1.0,
                    extrapolate: bool = False, **place: float) -> ErrorRates:
        """(p01, p10) of a kind of cell at a place; the card's own cell by default.

        Rates of another kind of cell than the card's follow from distributions; from rates alone only where the card
        says ``assume_equal_sigmas`` (see `converted_rate`).

        Raises
        ------
        ValueError
            Where the card does not know: the message says what it does know.
        """
        known, own = self.under(condition), self.own_cell(condition)
        if known.has_states:
            return self.cell(cell or own, condition, sigma, extrapolate, **place).error_rates()
        if sigma != 1.0:
            raise ValueError(f"sigma needs distributions, but condition {known.name!r} has error rates only")
        rates = known.rates(known.place(**place), extrapolate)
        if rates is None:
            raise ValueError(f"condition {known.name!r} of {self.name!r} has neither distributions nor error "
                             "rates")
        if cell in (None, own):
            return ErrorRates(*rates)
        if not self.assume_equal_sigmas or own not in DEVICES_PER_BIT or cell not in DEVICES_PER_BIT:
            raise ValueError(f"cell must be {own!r}, of which the rates of {self.name!r} are, got {cell!r}; a card "
                             "that sets assume_equal_sigmas lets 1T1R and 2T2R follow from each other")
        return ErrorRates(*(converted_rate(p, own, cell) for p in rates))

    def fault(self, cell: str | None = None, layers: Sequence[int] | None = None, extrapolate: bool = False,
              **place: float | str) -> CardFault:
        """The bit errors at a place, as a fault that can be moved along an axis.

        Parameters
        ----------
        cell : {"1T1R", "2T2R"}, optional
        layers : sequence of int, optional
        place : see `DeviceCard`
            The last one given is the axis of ``at``; none is needed where the card has one condition and no axis.

        Returns
        -------
        CardFault
        """
        if not place:
            if len(self.conditions) > 1:
                raise ValueError(f"a place must be given by keyword, such as condition={self.conditions[0]!r}")
            place = {"condition": self.conditions[0]}
        names = {axis.key: name for name, axis in AXES.items()}
        for key in place:
            check_choice("place", key, names)
        *fixed, (key, value) = place.items()
        fault = CardFault(self, names[key], value, cell, tuple(fixed), layers, extrapolate)
        fault.error_rates()
        return fault

    def axis(self, name: str, cell: str | None = None, layers: Sequence[int] | None = None, extrapolate: bool = False,
             **place: float | str) -> CardFault:
        """A fault without a value on an axis yet, for a sweep: ``card.axis("cycles", condition="weak").at(1e4)``."""
        return CardFault(self, check_choice("axis", name, AXES), None, cell, tuple(place.items()), layers, extrapolate)

    def solve(self, axis: str, ber: float, cell: str | None = None, condition: str | None = None,
              **place: float) -> float:
        """Where on an axis the mean bit error rate is `ber`: the least voltage, or the most cycles, that is tolerated.

        Parameters
        ----------
        axis : {"cycles", "time", "temperature", "voltage", "timing"}
        ber : float in (0, 0.5]
        cell, condition, place
            As for `error_rates`.

        Returns
        -------
        float
            In the unit of the axis; from the ends inwards to a relative 1e-9.

        Raises
        ------
        ValueError
            Where the card's data do not reach that rate; the message says which they reach.
        """
        from scipy.optimize import brentq

        numbered = [name for name in AXES if name not in ("condition", "sigma")]
        check_choice("axis", axis, numbered)
        ber, limits = check_probability("ber", ber), self.axes(condition).get(axis)
        if limits is None:
            known = ", ".join(name for name in self.axes(condition) if name in numbered) or "which has none"
            raise ValueError(f"axis must be one of the card's, {known}, got {axis!r}")

        def excess(at: float) -> float:
            rates = self.error_rates(cell, condition, extrapolate=False, **{**place, AXES[axis].key: at})
            return float(np.log(max(rates.mean, 1e-300)) - np.log(max(ber, 1e-300)))

        low, high = (excess(at) for at in limits)
        if low * high > 0:
            reached = [ber * float(np.exp(each)) for each in (low, high)]
            raise ValueError(f"ber must be one that the card reaches along {axis}, {min(reached):.3g} to "
                             f"{max(reached):.3g} over {limits[0]:g} to {limits[1]:g}, got {ber:.3g}")
        return float(brentq(excess, *limits, xtol=1e-300, rtol=1e-9, maxiter=2000))     # near 0 as near the far end

    # ------------------------------------------------------------ energy and endurance

    def energy_joule(self, network: MemoryLike, cell: str | None = None, bits_per_weight: float = 1.0,
                     condition: str | None = None, extrapolate: bool = False, **place: float) -> float:
        """Energy to program a network once: see `bnnsim.devices.energy.programming_energy_joule`."""
        def get(key: str) -> float | None:
            return known.value(key, at, extrapolate)

        known = self.under(condition)
        at = known.place(**place)
        per_bit = energy.bit_energy_joule(get("energy_set_joule"), get("energy_reset_joule"), get("energy_write_joule"),
                                          self.own_cell(condition) if cell is None else cell)
        return energy.programming_energy_joule(network, per_bit, bits_per_weight)

    def read_energy_joule(self, network: MemoryLike, bits_per_weight: float = 1.0, condition: str | None = None,
                          extrapolate: bool = False, **place: float) -> float:
        """Energy to read all stored bits once: see `bnnsim.devices.energy.read_energy_joule`."""
        return energy.read_energy_joule(network, self.value("energy_read_joule", condition, extrapolate, **place),
                                        bits_per_weight)

    def relative_energy(self, condition: str | None = None) -> float:
        """Programming energy over that of the card's reference condition, which has 1."""
        return self.value("energy_relative", condition)

    def n_devices(self, network: MemoryLike, cell: str | None = None, bits_per_weight: float = 1.0,
                  condition: str | None = None) -> int:
        """Memory devices used: see `bnnsim.devices.energy.n_devices`."""
        return energy.n_devices(network, self.own_cell(condition) if cell is None else cell, bits_per_weight)

    def lifetime_cycles(self, p_failed: float | None = None, condition: str | None = None) -> float:
        """Cycles that devices last: until a share p_failed is dead (Weibull), else the card's ``endurance_cycles``."""
        if p_failed is None:
            return self.value("endurance_cycles", condition)
        weibull = self.under(condition).weibull()
        if weibull is None:
            raise ValueError(f"{self.name!r} must have weibull_scale_cycles and weibull_shape for a p_failed")
        return weibull.lifetime_cycles(p_failed)

    def lifetime_second(self, write_interval_second: float, p_failed: float | None = None,
                        condition: str | None = None) -> float:
        """How long devices last when the network is programmed anew every so many seconds."""
        interval = check_real("write_interval_second", write_interval_second, 0, open_low=True)
        return interval * self.lifetime_cycles(p_failed, condition)

    def plot(self, path: FilePath | None = None, axis: str | None = None, cells: Sequence[str] | None = None,
             condition: str | None = None, *, ax: "Drawn | None" = None, width: "Width" = None,
             published: FilePath | None = None, **place: float) -> "Drawn":
        """Bit error rates along an axis, the card's first by default: see `bnnsim.figures.devices.error_rates`."""
        import bnnsim.figures.devices as devices

        known = self.under(condition or self.conditions[0])
        fixed: dict[str, Any] = {**place, **({} if condition is None else {"condition": condition})}
        axis = axis or next((name for name in self.axes(known.name) if AXES[name].key not in fixed), "condition")
        if cells is None:
            cells = tuple(DEVICES_PER_BIT) if known.has_states else (self.own_cell(known.name),)
        return devices.error_rates(self, axis, path, cells, ax=ax, width=width, published=published, **fixed)


def _listed(places: Sequence[str]) -> str:
    """Places in words, each once: the first, the last and how many where there are more than four."""
    found = list(dict.fromkeys(places))
    return "; ".join(found) if len(found) <= 4 else f"{found[0]}; ... {found[-1]} ({len(found)} places)"


def _without_sigma(place: dict[str, float]) -> dict[str, float]:
    """A place without the factor on spreads, which is the asker's and not the card's."""
    return {key: value for key, value in place.items() if key != "sigma"}


def load_card(path: FilePath) -> DeviceCard:
    """A device card from a JSON file, or one that comes with bnnsim by its name.

    Parameters
    ----------
    path : path, or the name of one that `bnnsim.devices.library` lists, such as "hfo2_2t2r"

    Raises
    ------
    CardError
        A ValueError that names the row and the key, what was wanted and what came.
    """
    name = os.fspath(path)
    if name in SHIPPED and not os.path.isfile(name):             # a folder of that name is no card
        name = os.fspath(shipped.data_file(f"devices/{name}.json"))
    elif os.sep not in name and not name.endswith(".json") and not os.path.exists(name):
        near = nearest(name, SHIPPED)
        raise FileNotFoundError(f"{name}: no such file; wanted a device card (JSON), or {', '.join(SHIPPED)}, which "
                                f"come with bnnsim{f'; did you mean {near!r}?' if near else ''}")
    fields = card_schema.read_json(name)
    try:
        clean = card_schema.check_card(fields)
        return DeviceCard(**{key: clean[key] for key in ("name", "memory", "description", "licence", "rows",
                                                         "assume_equal_sigmas")})
    except CardError as error:
        raise CardError(f"{name}: {error}") from error
