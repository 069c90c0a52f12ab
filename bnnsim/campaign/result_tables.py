"""A result as rows, as text for people, and as CSV."""

import csv
import io
from typing import TYPE_CHECKING, TypedDict

import numpy as np

if TYPE_CHECKING:
    from bnnsim.campaign.result import SweepResult


class Row(TypedDict):
    """A series at a rate: chips, their mean, spread, 95 % interval of the mean, least and largest; shares of 1."""

    network: str
    rate: float
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
    n_trials = result.n_trials()
    return [Row(network=name, rate=float(rate), trials=int(n_trials[s, r]), mean=float(mean[s, r]),
                std=float(std[s, r]), low=float(interval[s, r, 0]), high=float(interval[s, r, 1]),
                min=float(np.nanmin(accuracy[s, r])), max=float(np.nanmax(accuracy[s, r])))
            for s, name in enumerate(result.names) for r, rate in enumerate(result.rates)]


def table(result: "SweepResult") -> str:
    """Text: a line a series and rate, in percent."""
    width, axis = max(len("network"), *(len(name) for name in result.names)), result.axis or "BER"
    wide = max(9, len(axis))
    lines = [f"{'network'.ljust(width)}  {axis:>{wide}}  {'chips':>5}  {'mean %':>7}  {'95 % interval':>15}  "
             f"{'std':>5}  {'min %':>6}  {'max %':>6}"]
    for row in rows(result):
        interval = f"{100 * row['low']:.2f}..{100 * row['high']:.2f}"
        lines.append(f"{row['network'].ljust(width)}  {row['rate']:{wide}.3g}  {row['trials']:5}  "
                     f"{100 * row['mean']:7.2f}  {interval:>15}  {100 * row['std']:5.2f}  {100 * row['min']:6.2f}  "
                     f"{100 * row['max']:6.2f}")
    return "\n".join(lines)


def csv_text(result: "SweepResult") -> str:
    """CSV: a line a cell that ran."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["network", "split", "fault", "rate", "trial", "accuracy", "n_images", "seed"])
    for series, by_rate in zip(result.settings["series"], result.accuracy):
        for rate, trials in zip(result.rates, by_rate):
            for trial in np.flatnonzero(~np.isnan(trials)):
                writer.writerow([series["name"], series["split"], series["fault"], repr(float(rate)), trial,
                                 repr(float(trials[trial])), series["n_images"], result.seed])
    return text.getvalue()
