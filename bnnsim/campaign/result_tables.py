"""A result as rows, as text for people, and as CSV."""

import csv
import io
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from bnnsim.faults.axis import in_words

if TYPE_CHECKING:
    from bnnsim.campaign.result import SweepResult


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


def table(result: "SweepResult") -> str:
    """Text: a line a series and rate; accuracies in percent, rates and wrong bits as shares of 1."""
    width, axis = max(len("network"), *(len(name) for name in result.names)), in_words(result.axis)
    wide = max(9, len(axis))
    lines = [f"{'network'.ljust(width)}  {axis:>{wide}}  {'wrong bits':>10}  {'chips':>5}  {'mean %':>7}  "
             f"{'95 % interval':>15}  {'std':>5}  {'min %':>6}  {'max %':>6}"]
    for row in rows(result):
        alone = row["trials"] == 1 and row["high"] > row["low"]              # one chip tells nothing of others
        interval = "" if alone else f"{100 * row['low']:.2f}..{100 * row['high']:.2f}"
        lines.append(f"{row['network'].ljust(width)}  {row['rate']:{wide}.3g}  {row['ber']:10.3g}  {row['trials']:5}  "
                     f"{100 * row['mean']:7.2f}  {interval:>15}  {100 * row['std']:5.2f}  {100 * row['min']:6.2f}  "
                     f"{100 * row['max']:6.2f}")
    card = result.provenance.get("card")
    return "\n".join([*lines, "", str(card)] if card else lines)


def csv_text(result: "SweepResult") -> str:
    """CSV: a line a cell that ran."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["network", "split", "fault", "axis", "rate", "trial", "ber", "accuracy", "n_images", "seed"])
    for series, by_rate, bers in zip(result.settings["series"], result.accuracy, result.ber):
        for rate, trials, of_rate in zip(result.rates, by_rate, bers):
            for trial in np.flatnonzero(~np.isnan(trials)):
                writer.writerow([series["name"], series["split"], series["fault"], result.axis, repr(float(rate)),
                                 trial, repr(float(of_rate[trial])), repr(float(trials[trial])), series["n_images"],
                                 result.seed])
    return text.getvalue()
