"""A result as rows, as text for people, as CSV, and as tables of pandas and xarray."""

import csv
import importlib
import io
from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np

import bnnsim.files.html_text as html_text
from bnnsim.faults.axis import in_words

if TYPE_CHECKING:
    import pandas
    import xarray

    from bnnsim.campaign.result import SweepResult


# the columns of tidy tables, in CSV and in pandas: a line a cell, a chip of a series at a place
SCHEMA = {"series": "name of the network, of the fault setting where there are several",
          "split": "name of the images",
          "fault": "repr of the fault whose place on the axis is set",
          "axis": "what value is: bit_error_rate, share_of_stuck_cells, voltage_volt ...; unit last",
          "value": "number on the axis",
          "trial": "number of the chip, from 0: the same number is the same chip at every value and in every series",
          "ber_measured": "share of the weights' bits that read wrong on this chip, after any code",
          "right": "images that this chip has right",
          "n_images": "images of the split",
          "accuracy": "right / n_images, a share of 1",
          "seed": "root seed of all chips, an integer of any length"}
NONFINITE = "n_nonfinite"           # a column more where there were any: scores of the chip that were no finite numbers
KEYS: tuple[Literal["name"], Literal["split"], Literal["fault"]] = ("name", "split", "fault")


class Row(TypedDict):
    """A series at a rate, a number on the axis: shares of 1 but for it.

    Of its chips the mean bit error rate that they really had, and the mean accuracy, its spread, 95 % interval, least
    and largest.
    """

    network: str
    axis: str
    rate: float
    ber: float
    trials: int
    mean: float
    std: float
    low: float
    high: float
    min: float
    max: float


def rows(result: "SweepResult") -> list[Row]:
    """One a series and rate."""
    accuracy, mean, std, interval = result.accuracy, result.mean(), result.std(), result.interval()
    n_trials, ber = result.n_trials(), np.nanmean(result.ber, axis=2)
    return [Row(network=name, axis=result.axis, rate=float(rate), ber=float(ber[s, r]), trials=int(n_trials[s, r]),
                mean=float(mean[s, r]), std=float(std[s, r]), low=float(interval[s, r, 0]),
                high=float(interval[s, r, 1]), min=float(np.nanmin(accuracy[s, r])),
                max=float(np.nanmax(accuracy[s, r])))
            for s, name in enumerate(result.names) for r, rate in enumerate(result.rates)]


def places(result: "SweepResult") -> list[float | str]:
    """What people read for each number on the axis: it, or the name of a device card's condition."""
    numbers, names = result.rates.tolist(), result.conditions
    return [names[int(number)] for number in numbers] if names else numbers


def table(result: "SweepResult") -> str:
    """Text: a line a series and rate; accuracies in percent, rates and wrong bits as shares of 1, conditions by name.

    Scores that were no finite numbers, of all chips of a rate, stand in a column of their own, where there were any.
    """
    width, axis = max(len("network"), *(len(name) for name in result.names)), in_words(result.axis)
    texts = [place if isinstance(place, str) else f"{place:.3g}" for place in places(result)]
    wide = max(9, len(axis), *map(len, texts))
    counts = [] if result.n_nonfinite is None else result.n_nonfinite.clip(0).sum(axis=2).reshape(-1).tolist()
    lines = [f"{'network'.ljust(width)}  {axis:>{wide}}  {'wrong bits':>10}  {'chips':>5}  {'mean %':>7}  "
             f"{'95 % interval':>15}  {'std':>5}  {'min %':>6}  {'max %':>6}{'  no numbers' * bool(counts)}"]
    for i, row in enumerate(rows(result)):
        alone = row["trials"] == 1 and row["high"] > row["low"]              # one chip tells nothing of others
        interval = "" if alone else f"{100 * row['low']:.2f}..{100 * row['high']:.2f}"
        lines.append(f"{row['network'].ljust(width)}  {texts[i % len(texts)]:>{wide}}  {row['ber']:10.3g}  "
                     f"{row['trials']:5}  {100 * row['mean']:7.2f}  {interval:>15}  {100 * row['std']:5.2f}  "
                     f"{100 * row['min']:6.2f}  {100 * row['max']:6.2f}" + (f"  {counts[i]:10,}" if counts else ""))
    card = result.provenance.get("card")
    return "\n".join([*lines, "", str(card)] if card else lines)


def html(result: "SweepResult") -> str:
    """What notebooks show: a line a series and place, accuracies in percent."""
    head = ("series", in_words(result.axis), "wrong bits", "chips", "mean %", "95 % interval", "min %", "max %")
    lines = [(row["network"], place, row["ber"], row["trials"], f"{100 * row['mean']:.2f}",
              f"{100 * row['low']:.2f}..{100 * row['high']:.2f}", f"{100 * row['min']:.2f}", f"{100 * row['max']:.2f}")
             for row, place in zip(rows(result), len(result.names) * places(result))]
    caption = f"SweepResult: {result.split}, {result.n_images:,} images, seed {result.seed}"
    return html_text.table(caption, lines, head, str(result.provenance.get("card", "")))


def columns(result: "SweepResult") -> dict[str, np.ndarray]:
    """The columns of `SCHEMA`, a value a cell that ran, series by series, place by place, chip by chip."""
    s, r, t = np.nonzero(result.ran)
    entries = result.settings["series"]
    names, splits, faults = (_each(entry[key] for entry in entries)[s] for key in KEYS)
    return {"series": names, "split": splits, "fault": faults, "axis": np.full(len(s), result.axis, object),
            "value": result.rates[r], "trial": t, "ber_measured": result.ber[s, r, t],
            "right": result.right[s, r, t].sum(axis=1),
            "n_images": np.array([entry["n_images"] for entry in entries])[s], "accuracy": result.accuracy[s, r, t],
            "seed": np.full(len(s), str(result.seed), object),
            **({} if result.n_nonfinite is None else {NONFINITE: result.n_nonfinite[s, r, t]})}


def _each(texts: Iterable[str]) -> np.ndarray:
    """Texts as an array of Python's, as pandas has them."""
    return np.fromiter(texts, np.dtype(object))


def csv_text(result: "SweepResult") -> str:
    """CSV of `SCHEMA`: a line a cell that ran; numbers as Python writes them, so that they are read back the same."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    found = columns(result)
    writer.writerow(found)
    writer.writerows(zip(*(column.tolist() for column in found.values())))
    return text.getvalue()


def data_frame(result: "SweepResult") -> "pandas.DataFrame":
    """`SCHEMA` as a pandas table."""
    return needed("pandas").DataFrame(columns(result))


def data_set(result: "SweepResult") -> "xarray.Dataset":
    """Arrays over series, value, trial and class, with what they are beside them."""
    entries, dims = result.settings["series"], ("series", "value", "trial")
    arrays = {"accuracy": (dims, result.accuracy), "ber_measured": (dims, result.ber),
              "right": ((*dims, "class"), result.right), "class_totals": (("series", "class"), result.class_totals)}
    if result.n_nonfinite is not None:
        arrays[NONFINITE] = (dims, result.n_nonfinite)
    if result.predictions is not None:
        arrays["predictions"] = ((*dims, "image"), result.predictions)
    beside = {"series": list(result.names), "value": result.rates, "trial": np.arange(result.right.shape[2]),
              **{key: ("series", [entry[key] for entry in entries]) for key in ("split", "fault", "n_images")}}
    return needed("xarray").Dataset(arrays, beside, {"axis": result.axis, "seed": str(result.seed),
                                                     "checksum": result.checksum})


def needed(library: str) -> ModuleType:
    """An optional library; an error that names the extra that installs it, where it is not there."""
    try:
        return importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name != library:                                # there, but something that it needs is not
            raise
        message = f"{library} is not installed: pip install 'bnnsim[{library}]'"
        raise ModuleNotFoundError(message, name=library) from None
