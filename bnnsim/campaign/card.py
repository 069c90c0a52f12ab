"""What a campaign along an axis of a device card found: accuracies, what each place costs, how far the memory can go.

Here a cell is a memory cell ("1T1R", "2T2R"), and a place is where on the card's axes something holds.

S series (a network in a kind of cell, with or without a code), P places on the axis.
"""

import contextlib
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

import bnnsim.files.atomic as atomic
import bnnsim.files.html_text as html_text
from bnnsim.campaign.result import SweepResult
from bnnsim.checks import FilePath
from bnnsim.devices import AXES, DeviceCard
from bnnsim.devices.card_schema import place_text, where_text
from bnnsim.devices.energy import unit_of
from bnnsim.devices.marks import MARKS, explained, weakest
from bnnsim.statistics import tolerated

if TYPE_CHECKING:
    import pandas

    from bnnsim.campaign.yields import Yields
    from bnnsim.figures.style import Drawn, Width

AFTER = "BER after code"


class CardSeries(TypedDict):
    """A network in a kind of cell under a code ("none" without one); stored bits, with check bits, and devices."""

    network: str
    cell: str
    code: str
    bits_per_weight: float
    devices_per_weight: float


class CardPlace(TypedDict):
    """What follows from the card at a place: error rates, and the energy to program a network there, if it knows.

    Each with the weakest mark of what it was made from: see `bnnsim.devices.marks`.
    """

    place: float | str
    ber: float
    p01: float
    p10: float
    ber_after_code: float | None
    energy_joule: float | None
    energy_relative: float | None
    cell_mark: str | None
    rate_mark: str
    energy_mark: str | None
    relative_mark: str | None


class CardRow(CardSeries, CardPlace):
    """A series at a place: see `CardSweep.rows`."""

    clean: float
    mean: float
    low: float
    high: float


class CardTolerated(CardSeries):
    """How far a series can go along an axis: see `CardSweep.tolerated`."""

    ber: float
    place: float | None
    place_low: float | None
    place_high: float | None
    where: str
    mark: str
    step: float


@dataclass(frozen=True, repr=False)
class CardSweep:
    """A campaign along an axis of a device card.

    Attributes
    ----------
    card : DeviceCard
    axis : str
        A key of `bnnsim.devices.AXES`.
    places : list
        Where on it: numbers, or names of conditions.
    at : dict
        Where on the other axes.
    result : SweepResult
        Its ``rates`` are the places, or the numbers of the conditions on the card; those of a resumed file that were
        not asked for are among them.
    series : list of dict
        network, cell and code of each series of the result; bits_per_weight (stored, with check bits) and
        devices_per_weight.
    rows : list of dict
        One a series and place: these, and place, p01, p10, ber (their mean; all three of the cells, before a code
        corrects), ber_after_code (of the weights as they are decoded, computed by
        `bnnsim.faults.decoding_errors.decoded_rate`; None without a code), energy_joule and energy_relative (to program
        the network once; None where the card does not know), clean, mean, low, high (accuracies, shares of 1; the 95 %
        interval of the mean over chips). And the marks of what the card said: rate_mark (of the rates, and of mean,
        low and high), energy_mark, relative_mark, cell_mark (that the rates are of this kind of cell; of
        devices_per_weight; None where cells were made of distributions, or follow from another kind).
    """

    card: DeviceCard
    axis: str
    places: list[float | str]
    at: dict[str, Any]
    result: SweepResult
    series: list[CardSeries]
    rows: list[CardRow]

    def table(self) -> str:
        """Text: a line a series and place; accuracies in percent, energies in one unit and parts of the reference.

        What was neither measured nor read has the sign of its mark behind it, which the last lines explain; they also
        say where on the card's other axes all of it holds.
        """
        head = ("network", "cell", "code", "devices/weight", self.axis, "BER of cells", AFTER, "energy", "of reference",
                "accuracy %", "95 % interval", "drop")
        unit = unit_of(row["energy_joule"] for row in self.rows)
        lines = zip(*([(text, "") for text in head], *(self._line(row, *unit) for row in self.rows)))
        columns = [[text + sign.rjust(max(len(sign) for _, sign in column)) for text, sign in column]
                   for column in lines if any(text for text, _ in column[1:])]     # of what the card knows
        widths = [max(map(len, column)) for column in columns]
        table = ["  ".join(text.ljust(w) if i < 5 else text.rjust(w) for i, (text, w) in
                           enumerate(zip(line, widths))).rstrip() for line in zip(*columns)]
        where = where_text(self.at)
        notes = [*([f"all at {where}"] if where else []), *self._assumed(), *explained(self.marks())]
        return "\n".join(table + [""] * bool(notes) + notes)

    def _assumed(self) -> list[str]:
        """Lines that say what was not looked up on the card but computed, or chosen by whoever asked."""
        condition = self.at.get("condition", self.card.conditions[0])
        own = self.card.own_cell(condition)
        cells = {} if self.card.under(condition).has_states else \
            dict.fromkeys(series["cell"] for series in self.series if series["cell"] != own)
        found = [f"{cell}: rates that follow from those of {own}, if both have equal sigmas" for cell in cells]
        found += [f"sigma: {AXES['sigma'].label}, 1 is that of the card"] * (self.axis == "sigma")
        return found + [f"{AFTER}: of the weights as decoded, computed and not counted on chips"] * self.has_codes

    @property
    def has_codes(self) -> bool:
        """Whether a code corrects some series."""
        return any(series["code"] != "none" for series in self.series)

    def marks(self) -> set[str]:
        """The marks of all that the table has of the card."""
        return {mark for row in self.rows for mark in (row["cell_mark"], row["rate_mark"], row["energy_mark"],
                                                       row["relative_mark"]) if mark}

    def _line(self, row: CardRow, factor: float, unit: str) -> list[tuple[str, str]]:
        """Texts of a line, each with the sign of its mark."""
        after, joule, relative = row["ber_after_code"], row["energy_joule"], row["energy_relative"]
        of_rates = [f"{100 * row['mean']:.2f}", f"{100 * row['low']:.2f}..{100 * row['high']:.2f}",
                    f"{100 * (row['clean'] - row['mean']):z.2f}"]
        known = [(row["network"], None), (row["cell"], row["cell_mark"]), (row["code"], None),
                 (f"{row['devices_per_weight']:.3g}", row["cell_mark"]), (place_text(self.axis, row["place"]), None),
                 (f"{row['ber']:.2g}", row["rate_mark"]),
                 ("", None) if after is None else (f"{after:.2g}", row["rate_mark"]),
                 ("" if joule is None else f"{factor * joule:.3g} {unit}", row["energy_mark"]),
                 ("" if relative is None else f"1/{1 / relative:.3g}" if relative < 1 else f"{relative:.3g}",
                  row["relative_mark"]), *((text, row["rate_mark"]) for text in of_rates)]
        return [(text, "" if mark is None else MARKS[mark]) for text, mark in known]

    def __repr__(self) -> str:
        return (f"<CardSweep of {self.card.name}: {len(self.series)} series at {len(self.places)} places along "
                f"{self.axis}>")

    def _repr_html_(self) -> str:
        return html_text.text(f"CardSweep: {self.card.name} along {self.axis}", self.table())

    def columns(self) -> list[int]:
        """Where the places stand among the rates of the result, which may have more, of a file that was resumed."""
        rates = self.result.rates.tolist()
        return [rates.index(number) for number in place_numbers(self.card, self.axis, self.places)]

    def tolerated(self, drop: float = 0.01, level: float = 0.95) -> list[CardTolerated]:
        """How far each series can go along the axis at a loss of `drop`: the place, with an interval.

        The tolerated bit error rate and its interval are estimated from the accuracies at the rates of the places
        (`bnnsim.statistics.tolerated`, as of `SweepResult.tolerated`), and become places on the axis by way of the
        card's rates; beyond the data and along sigma, which the card cannot be solved for, on a straight line between
        the places run, of logarithms where the axis is logarithmic.

        Returns
        -------
        list of dict
            One a series: its names, ber (of the cells), place, place_low, place_high (ascending; None where the data
            of the card or the places run set no bound, or where rates rise and fall along the axis, so that no one
            place belongs to a rate), where ("inside", "at least", "below": of the rates run), mark, the weakest of
            the rates run, and step, by how much the mean drop grows between the two rates run on both sides (0 unless
            "inside"): where it is larger than `drop`, run more places between.
        """
        if self.axis == "condition":
            raise ValueError("tolerated needs an axis with an order, not conditions")
        return [self._tolerated(s, drop, level) for s in range(len(self.series))]

    def yields(self, drop: float = 0.01, level: float = 0.95) -> "Yields":
        """The share of chips that lose more than `drop` of the clean accuracy, at each place: see `chip_yields`.

        `tolerated` is of the mean over chips, about half of which lose more there.
        """
        import bnnsim.campaign.yields as yields

        return yields.card_yields(self, drop, level)

    def _rows_of(self, s: int) -> list[CardRow]:
        return self.rows[s * len(self.places):(s + 1) * len(self.places)]

    def _tolerated(self, s: int, drop: float, level: float) -> CardTolerated:
        bers = np.array([row["ber"] for row in self._rows_of(s)])
        order = [i for i in np.argsort(bers) if bers[i] > 0]
        order = [i for n, i in enumerate(order) if n == 0 or bers[i] > bers[order[n - 1]]]
        if not order:
            raise ValueError("tolerated needs places with errors, but the rates are 0 at all of them")
        accuracy = self.result.accuracy[s, self.columns()]
        found = tolerated(bers[order], accuracy[order], self._rows_of(s)[0]["clean"], drop, level,
                          self.result.settings["series"][s]["n_images"])
        bounds = [place for place in (self._place(s, found.low), self._place(s, found.high)) if place is not None]
        low, high = sorted(bounds) if len(bounds) == 2 else (None, None)
        return {**self.series[s], "ber": found.rate, "place": self._place(s, found.rate), "where": found.where,
                "place_low": low, "place_high": high, "mark": weakest(row["rate_mark"] for row in self._rows_of(s)),
                "step": found.step}

    def _place(self, s: int, ber: float) -> float | None:
        """Where the card has this bit error rate, between the places run; None where it is not there, or twice."""
        bers, places = (np.array([row[key] for row in self._rows_of(s)]) for key in ("ber", "place"))
        if not (bers > 0).any() or not bers[bers > 0].min() <= ber <= bers.max() or not _one_way(bers, places):
            return None
        with contextlib.suppress(ValueError):                    # no axis to solve for, or extrapolated beyond the card
            place = self.card.solve(self.axis, ber, self.series[s]["cell"], **self.at)
            if abs(place - np.clip(place, places.min(), places.max())) <= 1e-6 * np.ptp(places):
                return place                                     # not elsewhere on the card, where it has the rate too
        order = np.argsort(bers)[np.sort(bers) > 0]
        straight = places[order].astype(np.float64)
        is_log = AXES[self.axis].log and straight.min() > 0
        place = float(np.interp(np.log(ber), np.log(bers[order]), np.log(straight) if is_log else straight))
        return math.exp(place) if is_log else place

    def csv(self) -> str:
        """A line a series and place: the keys of `rows`, axis, trials, n_images, seed and card; nothing for None."""
        import bnnsim.campaign.card_file as card_file

        return card_file.csv_text(self)

    def to_pandas(self) -> "pandas.DataFrame":
        """The table of `csv` as pandas has it; ``pip install 'bnnsim[pandas]'``. ``sweep.result`` has every chip."""
        import bnnsim.campaign.card_file as card_file

        return card_file.data_frame(self)

    def save(self, path: FilePath) -> None:
        """Write a .csv table, or the HDF5 file of the results, which has the card and what the axis means in it.

        ``sweep_card(..., out=path)`` leaves the same file.
        """
        if os.fsdecode(path).lower().endswith(".csv"):
            with atomic.replaced(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
                file.write(self.csv())
        else:
            self.result.save(path)

    @classmethod
    def load(cls, path: FilePath, card: DeviceCard | None = None) -> "CardSweep":
        """Read and check what `save` or ``sweep_card(..., out=path)`` wrote.

        Parameters
        ----------
        path : path
        card : DeviceCard, optional
            Only needed where it was too large for the file (some 700 kB, as with all samples of an "empirical" fit).

        Raises
        ------
        ValueError
            Where the file holds other results, or those of another card.
        """
        import bnnsim.campaign.card_file as card_file

        return card_file.load(path, card)

    def plot(self, path: FilePath | None = None, *, ax: "Drawn | None" = None, width: "Width" = None,
             published: FilePath | None = None) -> "Drawn":
        """Accuracy, bit error rate and energy along the axis: see `bnnsim.figures.cards.card_curves`."""
        import bnnsim.figures.cards as cards

        return cards.card_curves(self, path, ax=ax, width=width, published=published)

    def plot_pareto(self, path: FilePath | None = None, *, ax: "Drawn | None" = None, width: "Width" = None,
                    published: FilePath | None = None) -> "Drawn":
        """Accuracy over energy and over devices: see `bnnsim.figures.cards.pareto`."""
        import bnnsim.figures.cards as cards

        return cards.pareto(self, path, ax=ax, width=width, published=published)


def _one_way(bers: np.ndarray, places: np.ndarray) -> bool:
    """Whether rates only rise or only fall along the places, but for rounding."""
    steps, rounding = np.diff(bers[np.argsort(places)]), 1e-12 * bers.max()
    return bool(np.all(steps >= -rounding) or np.all(steps <= rounding))


def place_numbers(card: DeviceCard, axis: str, places: list[float | str]) -> list[float]:
    """Places as the rates of a campaign: a condition is its number on the card."""
    return [card.conditions.index(place) if axis == "condition" else float(place) for place in places]
