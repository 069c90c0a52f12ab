"""Accuracy of networks in a memory technology, along an axis of its device card: the campaign that is run for it.

Here a cell is a memory cell ("1T1R", "2T2R"), and a place is where on the card's axes something holds.
"""

import itertools
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np

import bnnsim.campaign.card_file as card_file
from bnnsim.campaign.card import CardPlace, CardSeries, CardSweep, place_numbers
from bnnsim.campaign.sweeps import SweepOptions, named_networks, sweep
from bnnsim.checks import check_choice, check_real, check_sequence
from bnnsim.devices import AXES, CardFault, DeviceCard
from bnnsim.devices.cells import ErrorRates
from bnnsim.devices.energy import check_cell
from bnnsim.devices.marks import either
from bnnsim.faults import Protected
from bnnsim.faults.decoding_errors import decoded_rate
from bnnsim.packed.network import PackedNetwork
from bnnsim.seeding import RandomSource

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages


class CardOptions(SweepOptions, total=False):
    """Keywords of `sweep_card`."""

    cells: str | Sequence[str] | None
    codes: str | Sequence[str]
    at: Mapping[str, Any] | None
    trials: int
    rng: RandomSource
    extrapolate: bool


def sweep_card(card: DeviceCard, networks: PackedNetwork | Mapping[str, PackedNetwork], split: "LabelledImages",
               axis: str, places: float | str | Sequence[float | str] | None = None, *,
               cells: str | Sequence[str] | None = None, codes: str | Sequence[str] = ("none",),
               at: Mapping[str, Any] | None = None, trials: int = 10, rng: RandomSource = None,
               extrapolate: bool = False, **settings: Unpack[SweepOptions]) -> CardSweep:
    """Accuracy of networks whose weights a memory technology holds, along one axis of its device card.

    Parameters
    ----------
    card : DeviceCard
        See `bnnsim.devices.load_card`.
    networks : PackedNetwork, or dict of str to PackedNetwork
    split : Split
    axis : str
        A key of `bnnsim.devices.AXES` that the card knows: ``card.axes()``.
    places : float or a sequence of them, or of str for conditions, optional
        By default all conditions, or nine from end to end of the card's data.
    cells : {"1T1R", "2T2R"} or a sequence of these, optional
        The card's own by default.
    codes : str or a sequence of str
        "none", or codes of `bnnsim.faults.Protected`, such as "secded(72,64)".
    at : dict, optional
        Where on the other axes, such as ``{"condition": "weak", "cycles": 1e4}``.
    trials, rng
        As of `bnnsim.sweep`.
    extrapolate : bool
        Allow places outside the card's data.
    settings
        More for `bnnsim.sweep`: executor, workers, out, resume, progress, provenance.

    Returns
    -------
    CardSweep

    Raises
    ------
    ValueError
        Where the card does not know what is asked for: the message says what it does know.

    References
    ----------
    1T1R against 2T2R and codes: Bocquet et al., IEDM 2018; energy: Hirtzlin et al., AICAS 2019.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 28, 28), rng=0))
    >>> test = bnnsim.load_embedded()[1]
    >>> found = sweep_card(bnnsim.devices.load_card("sram_synthetic"), network, test, "voltage", [0.6, 0.7], trials=2,
    ...                    rng=0, progress=False)
    >>> [f"{row['ber']:.1e}" for row in found.rows]
    ['4.2e-03', '2.4e-05']
    """
    if not isinstance(card, DeviceCard):
        raise TypeError(f"card must be a DeviceCard, as bnnsim.devices.load_card gives, got {type(card).__name__}")
    nets = named_networks(networks)
    asked = _asked(card, axis, places, _checked_at(at), extrapolate)
    own = card.own_cell(asked.where(asked.places[0]).get("condition"))
    kinds = list(dict.fromkeys(itertools.product(
        [check_cell(cell) for cell in ([] if cells is None else _several(
            "cells", cells, "kinds of cells, such as ['1T1R', '2T2R']")) or [own]],
        _several("codes", codes, "codes, such as ['none', 'secded(72,64)']"))))
    for (cell, _), place in itertools.product(kinds, asked.places):
        asked.error_rates(cell, place)                           # what the card does not know is said before the work
    series, costs, clean = asked.known(nets, split, kinds)
    settings["provenance"] = {**(settings.get("provenance") or {}), "card": asked.said([cell for cell, _ in kinds]),
                              **card_file.described(card, axis, asked.places, asked.at, series, costs, clean)}
    result = sweep(nets, split, place_numbers(card, axis, asked.places), trials, rng,
                   faults={f"{cell}, {code}": asked.fault(cell, code) for cell, code in kinds}, **settings)
    rates = result.rates.tolist()
    columns = [rates.index(number) for number in place_numbers(card, axis, asked.places)]
    return CardSweep(card, axis, asked.places, asked.at, result, series,
                     card_file.rows_of(result, columns, series, costs, clean))


@dataclass(frozen=True)
class _Asked:
    """What is asked of a card: places on one axis, where on the others, and whether beyond the data."""

    card: DeviceCard
    axis: str
    places: list[float | str]
    at: dict[str, Any]
    extrapolate: bool

    def where(self, place: float | str) -> dict[str, Any]:
        """A place by keyword, as the card's methods take it."""
        return {**self.at, AXES[self.axis].key: place}

    def fault(self, cell: str, code: str) -> CardFault | Protected:
        """The fault of a kind of cell along the axis."""
        fault = self.card.axis(self.axis, cell, None, self.extrapolate, **self.at)
        return fault if code == "none" else Protected(fault, code)

    def error_rates(self, cell: str, place: float | str) -> ErrorRates:
        """(p01, p10) of a kind of cell."""
        return self.card.error_rates(cell, extrapolate=self.extrapolate, **self.where(place))

    def said(self, cells: Iterable[str]) -> str:
        """How the card's error rates are known, for the results file: at these places, and all others of the card."""
        places = dict.fromkeys(self.places)
        if self.axis == "condition":
            places |= dict.fromkeys(self.card.conditions)
        elif (known := self.card.under(self.at.get("condition"))).axis == AXES[self.axis].key:
            places |= {at: None for column in known.columns.values() for at in column.grid}
        marks = {cell: either(self.card.rate_mark(cell, **self.where(place)) for place in places) for cell in cells}
        text = f"{self.card.name}, error rates " + ", ".join(f"of {cell} {mark}" for cell, mark in marks.items())
        if self.axis == "condition":                             # in the results file, rates are their numbers
            return f"{text}; conditions: " + ", ".join(f"{i} {name!r}" for i, name in enumerate(self.card.conditions))
        return "; at ".join([text, *(f"{key} {value}" for key, value in self.at.items())])

    def series(self, name: str, network: PackedNetwork, cell: str, code: str) -> CardSeries:
        """What a network takes in a kind of cell, with a code."""
        fault = self.fault(cell, code)
        bits = fault.cost(network).cells_per_bit if isinstance(fault, Protected) else 1.0
        n_devices = self.card.n_devices(network, cell, bits, self.at.get("condition", self.card.conditions[0]))
        return {"network": name, "cell": cell, "code": code, "bits_per_weight": bits,
                "devices_per_weight": n_devices / network.n_bits}

    def known(self, networks: Mapping[str, PackedNetwork], split: "LabelledImages", kinds: Sequence[tuple[str, str]]
              ) -> tuple[list[CardSeries], list[list[CardPlace]], list[float]]:
        """What is known before a chip is made: series, what each costs at each place, its accuracy without errors."""
        series, costs, clean = list[CardSeries](), list[list[CardPlace]](), list[float]()
        for name, network in networks.items():
            accuracy = network.accuracy(split)
            for cell, code in kinds:
                series.append(self.series(name, network, cell, code))
                costs.append([self.costs(network, series[-1], place) for place in self.places])
                clean.append(accuracy)
        return series, costs, clean

    def costs(self, network: PackedNetwork, series: CardSeries, place: float | str) -> CardPlace:
        """Error rates and energies of a series at a place."""
        card, where, cell, code = self.card, self.where(place), series["cell"], series["code"]
        rates, condition = self.error_rates(cell, place), where.get("condition")
        known = {key: value for key, value in where.items() if key != "sigma"}
        joule = _if_known(lambda: card.energy_joule(network, cell, series["bits_per_weight"],
                                                    extrapolate=self.extrapolate, **known))
        relative = _if_known(lambda: card.relative_energy(condition))
        if relative is not None:                                 # of the card's own cell without a code
            n_own = card.n_devices(network, card.own_cell(condition), 1.0, where.get("condition", card.conditions[0]))
            relative *= series["devices_per_weight"] * network.n_bits / n_own
        claimed = card.under(condition)
        after = None if code == "none" else decoded_rate(network, code, *rates)
        return {"place": place, "ber": rates.mean, "p01": rates.p01, "p10": rates.p10, "ber_after_code": after,
                "energy_joule": joule, "energy_relative": relative,
                "cell_mark": claimed.cell_mark if cell == claimed.own_cell and not claimed.has_states else None,
                "rate_mark": card.rate_mark(cell, **where),
                "energy_mark": None if joule is None else card.energy_mark(cell, **where),
                "relative_mark": None if relative is None else card.relative_mark(cell, condition)}


def _if_known(ask: Callable[[], float]) -> float | None:
    try:
        return ask()
    except ValueError:
        return None


def _asked(card: DeviceCard, axis: str, places: float | str | Sequence[float | str] | None, at: dict[str, Any],
           extrapolate: bool) -> _Asked:
    known = card.axes(at.get("condition"))
    check_choice("axis", axis, known)
    if AXES[axis].key in at:
        raise ValueError(f"at must be on other axes than {axis!r}, whose places are swept, got {at[AXES[axis].key]!r}")
    if axis != "condition" and "condition" in known and "condition" not in at:
        raise ValueError(f"at must name a condition, one of {', '.join(map(repr, card.conditions))}: "
                         "at={'condition': ...}, or --at condition=...")
    found = _default_places(axis, known[axis]) if places is None else _checked_places(axis, places, card)
    if not found or len(set(found)) < len(found):
        raise ValueError(f"places must be at least one, and differ from each other, got {found}")
    return _Asked(card, axis, found, at, extrapolate)


def _several(name: str, value: object, wanted: str) -> list[Any]:
    """What is asked for, in a list; one string is one of them."""
    return [value] if isinstance(value, str) else check_sequence(name, value, wanted)


def _checked_at(at: object) -> dict[str, Any]:
    if at is not None and not isinstance(at, Mapping):
        raise TypeError(f"at must be a dict of where on the other axes, such as {{'condition': 'weak', 'cycles': 1e4}},"
                        f" got {at!r:.80}")
    return dict(at or {})


def _default_places(axis: str, known: tuple[Any, ...]) -> list[float | str]:
    """All conditions, or nine places from end to end of the data; where the data are of one place, that one."""
    if axis == "condition":
        return list(known)
    low, high = (0.5, 1.5) if axis == "sigma" else known
    if low == high:
        return [low]
    if AXES[axis].log:
        low = max(low, high / 1e12, 1e-9)
        places = [float(f"{place:.4g}") for place in np.geomspace(low, high, 9)]
    else:
        places = [float(f"{place:.6g}") for place in np.linspace(low, high, 9)]
    return [low, *places[1:-1], high]                            # rounded ends might lie outside of the data


def _checked_places(axis: str, places: float | str | Sequence[float | str], card: DeviceCard) -> list[float | str]:
    places = [places] if isinstance(places, (str, numbers.Real)) else check_sequence(
        "places", places, "numbers, or names of conditions")
    if axis == "condition":
        if card.conditions == ("",) != tuple(places):
            raise ValueError(f"places must be left out: {card.name!r} has one condition, and it has no name, got "
                             f"{list(places)}")
        return [check_choice("places", place, card.conditions) for place in places]
    return [check_real(f"places[{i}]", place) for i, place in enumerate(places)]
