"""A sweep along an axis of a device card in a results file: what its axis means, and all that the card said.

The file is that of `bnnsim.campaign.result_file`; its provenance has the key "card_sweep", which is not part of the
checksum::

    {"card": {...}, "axis": "cycles", "places": [1, 1e4], "at": {"condition": "weak"},
     "series": [CardSeries, ...], "costs": [[CardPlace, ...], ...], "clean": [0.92, ...]}

with one list of costs, a dict a place, and one clean accuracy for each series. `sweep_card` puts it there before the
campaign begins, so that a file that was interrupted or resumed has it, too.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from bnnsim.campaign.card import CardPlace, CardRow, CardSeries, CardSweep, place_numbers
from bnnsim.campaign.result import SweepResult
from bnnsim.campaign.result_tables import needed
from bnnsim.checks import FilePath
from bnnsim.devices import AXES, CardError, DeviceCard
from bnnsim.devices.card_schema import check_card
from bnnsim.devices.marks import MARKS
from bnnsim.files.file_format import MAX_JSON_BYTES

if TYPE_CHECKING:
    import pandas

KEY = "card_sweep"
_MOST = MAX_JSON_BYTES * 3 // 4                 # the rest of the provenance needs some room, too
_TEXTS = ("network", "cell", "code", "rate_mark")
_NUMBERS = ("bits_per_weight", "devices_per_weight", "ber", "p01", "p10")
_OPTIONAL = {"ber_after_code": float, "energy_joule": float, "energy_relative": float, "cell_mark": str,
             "energy_mark": str, "relative_mark": str}


class NotACardSweep(ValueError):
    """A results file that does not say what a card's axis was, and why."""


def described(card: DeviceCard, axis: str, places: Sequence[float | str], at: Mapping[str, Any],
              series: Sequence[CardSeries], costs: Sequence[Sequence[CardPlace]],
              clean: Sequence[float]) -> dict[str, Any]:
    """What a results file has in addition; without the card where that is too large, such as with all its samples."""
    found = json.loads(json.dumps({"card": card.fields(), "axis": axis, "places": list(places),
                                   "at": {key: x if isinstance(x, str) else float(x) for key, x in at.items()},
                                   "series": series, "costs": costs, "clean": list(clean)}))
    if len(json.dumps(found)) > _MOST:
        found["card"] = None
    return {} if len(json.dumps(found)) > _MOST else {KEY: found}


def rows_of(result: SweepResult, columns: Sequence[int], series: Sequence[CardSeries],
            costs: Sequence[Sequence[CardPlace]], clean: Sequence[float]) -> list[CardRow]:
    """The rows of a `CardSweep`: what the card says, and what the campaign found at the columns of its places."""
    mean, interval, rows = result.mean(), result.interval(), list[CardRow]()
    for s, (one, places) in enumerate(zip(series, costs)):
        for place, r in zip(places, columns):
            low, high = interval[s, r].tolist()
            rows.append({**one, **place, "clean": clean[s], "mean": float(mean[s, r]), "low": low, "high": high})
    return rows


def load(path: FilePath, card: DeviceCard | None = None) -> CardSweep:
    """The `CardSweep` of a results file: see `CardSweep.load`."""
    result = SweepResult.load(path)
    found = result.provenance.get(KEY)
    if found is None:
        raise NotACardSweep(f"{path}: holds no sweep of a device card; SweepResult.load opens other results")
    try:
        return _checked(result, found, card)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise NotACardSweep(f"{path}: what it says of its device card is damaged: {error!r}") from error
    except ValueError as error:
        raise NotACardSweep(f"{path}: {error}") from error


def conditions_of(result: SweepResult) -> tuple[str, ...]:
    """Names of a card's conditions by number, which a sweep over them has as rates; none where they are not stored."""
    try:
        found = _checked(result, result.provenance[KEY], None)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError):
        return ()
    names = found.card.conditions if found.axis == "condition" else ()
    return names if all(names) and set(result.rates.tolist()) <= set(range(len(names))) else ()


def _checked(result: SweepResult, found: Mapping[str, Any], card: DeviceCard | None) -> CardSweep:
    if card is None and found["card"] is None:
        raise NotACardSweep("the card was too large to be stored here: give it, CardSweep.load(path, card)")
    if card is None:
        fields = check_card(found["card"])
        card = DeviceCard(**{key: fields[key] for key in ("name", "memory", "description", "licence", "rows",
                                                          "assume_equal_sigmas")})
    if not all(f"SHA-256 {card.checksum[:12]}" in series["fault"] for series in result.settings["series"]):
        raise CardError(f"the results are of another card than {card!r}")
    axis, places, at = found["axis"], list(found["places"]), dict(found["at"])
    if axis not in AXES or not places or len(set(places)) < len(places) or \
            set(at) - {each.key for each in AXES.values()}:
        raise NotACardSweep("its axis and places must be those of a device card")
    series, costs, clean = found["series"], found["costs"], [float(value) for value in found["clean"]]
    if not len(series) == len(costs) == len(clean) == len(result.names) or \
            any([cost["place"] for cost in each] != places for each in costs):
        raise NotACardSweep("its series and places must be as many as there are results")
    for one, each in zip(series, costs):
        for cost in each:
            _check_row({**one, **cost})
    rates = result.rates.tolist()
    columns = [rates.index(number) for number in place_numbers(card, axis, places)]
    rows = rows_of(result, columns, cast(list[CardSeries], series), cast(list[list[CardPlace]], costs), clean)
    return CardSweep(card, axis, places, at, result, series, rows)


def _check_row(row: Mapping[str, Any]) -> None:
    good = all(isinstance(row[key], str) for key in _TEXTS) and \
        all(isinstance(row[key], (int, float)) for key in _NUMBERS) and \
        all(row[key] is None or isinstance(row[key], (kind, int) if kind is float else kind)
            for key, kind in _OPTIONAL.items()) and \
        all(row[key] is None or row[key] in MARKS for key in row if key.endswith("_mark"))
    if not good or row.keys() != CardRow.__annotations__.keys() - {"clean", "mean", "low", "high"}:
        raise NotACardSweep(f"a row cannot be {str(dict(row))[:200]}")


COLUMNS = ("network", "cell", "code", "axis", "place", "ber", "p01", "p10", "ber_after_code", "rate_mark", "mean",
           "low", "high", "clean", "bits_per_weight", "devices_per_weight", "cell_mark", "energy_joule", "energy_mark",
           "energy_relative", "relative_mark", "trials", "n_images", "seed", "card")


def lines(found: CardSweep) -> Iterator[dict[str, Any]]:
    """`COLUMNS` of each series and place; None for what the card does not know."""
    trials, columns, n = found.result.n_trials(), found.columns(), len(found.places)
    for i, row in enumerate(found.rows):
        line = {**row, "axis": AXES[found.axis].key, "trials": int(trials[i // n, columns[i % n]]),
                "n_images": found.result.settings["series"][i // n]["n_images"], "seed": found.result.seed,
                "card": found.card.name}
        yield {key: line[key] for key in COLUMNS}


def csv_text(found: CardSweep) -> str:
    """CSV: a line a series and place."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(["" if value is None else repr(value) if isinstance(value, float) else value
                      for value in line.values()] for line in lines(found))
    return text.getvalue()


def data_frame(found: CardSweep) -> "pandas.DataFrame":
    """The same as a pandas table; the seed is text, as it may be of any length."""
    return needed("pandas").DataFrame([{**line, "seed": str(line["seed"])} for line in lines(found)])
