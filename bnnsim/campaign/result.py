"""Results of a campaign: right answers of every cell, what follows from them, and the HDF5 file that holds them.

S series (a network on a split under a fault setting), R bit error rates, T trials ("chips"), C classes, N images.

The file has the root attributes of `bnnsim.files.file_format` with format "bnnsim-results", format_version 1, and

    /settings            string   JSON: {"series": [{"name", "network", "split", "split_sha256", "n_images", "fault"}],
                                  "seed", "stopping", "predictions"}: what the cells are a function of
    /provenance          string   JSON: versions, CPU, command, source of the seed; not part of the checksum
    /rates               float64  (R,)
    /right               int64    (S, R, T, C), right answers by true class; -1 where a cell was not asked for
    /class_totals        int64    (S, C), images of each class
    /predictions         uint8    (S, R, T, N), only where settings say so; 255 where a cell was not asked for

and the attribute provenance_checksum, against damage. Everything is checked before it is allocated.
"""

import csv
import io
import os
from dataclasses import dataclass, field

import numpy as np

import bnnsim.campaign.result_file as result_file
import bnnsim.files.atomic as atomic
import bnnsim.files.file_format as file_format
import bnnsim.statistics.intervals as intervals
import bnnsim.statistics.pairs as pairs
import bnnsim.statistics.stopping as stopping
import bnnsim.statistics.tolerated_rate as tolerated_rate
from bnnsim.campaign.result_file import NOT_RUN


@dataclass(frozen=True, eq=False)
class SweepResult:
    """Right answers over bit error rates and chips.

    Parameters
    ----------
    settings, provenance : dict
        See the module.
    rates : float64 (R,)
    right : int64 (S, R, T, C)
    class_totals : int64 (S, C)
    predictions : uint8 (S, R, T, N), optional
    """

    settings: dict
    rates: np.ndarray
    right: np.ndarray
    class_totals: np.ndarray
    predictions: np.ndarray | None = None
    provenance: dict = field(default_factory=dict)

    @property
    def names(self):
        """Names of the series."""
        return tuple(series["name"] for series in self.settings["series"])

    @property
    def seed(self):
        """The root seed, an integer."""
        return int(self.settings["seed"])

    @property
    def split(self):
        """Name of the split, or of all of them."""
        return ", ".join(dict.fromkeys(series["split"] for series in self.settings["series"]))

    @property
    def n_images(self):
        """Images of each cell, all of the split; the largest number, where several splits differ."""
        return max(series["n_images"] for series in self.settings["series"])

    @property
    def accuracy(self):
        """Shares of 1, float64 (S, R, T), each over all images; nan where sequential stopping asked for no cell."""
        right = self.right.sum(axis=3)
        totals = self.class_totals.sum(axis=1)[:, None, None]
        return np.where(self.right[..., 0] == NOT_RUN, np.nan, right / totals)

    @property
    def per_class(self):
        """Shares of 1, float64 (S, R, T, C); nan where a class has no images or the cell was not asked for."""
        totals = np.where(self.class_totals > 0, self.class_totals, np.nan)[:, None, None, :]
        return np.where(self.right == NOT_RUN, np.nan, self.right / totals)

    def mean(self):
        """Mean over chips, (S, R)."""
        return np.nanmean(self.accuracy, axis=2)

    def n_trials(self):
        """Chips of each mean, int64 (S, R)."""
        return np.sum(self.right[..., 0] != NOT_RUN, axis=2)

    def std(self):
        """Standard deviation over chips (ddof 1; 0 with one chip), (S, R)."""
        accuracy, n_trials = self.accuracy, self.n_trials()
        squares = np.nansum((accuracy - self.mean()[:, :, None]) ** 2, axis=2)
        return np.sqrt(squares / np.maximum(n_trials - 1, 1))

    def interval(self, level=0.95, of="chips"):
        """Confidence interval of each mean, (S, R, 2).

        of : "chips" or "population"
            "chips" tells how far the mean over all possible chips may be, on these very images; "population" adds
            that the images are a sample too. See `bnnsim.statistics`, and `bnnsim.statistics.stopping` for ``ci_width``.
        """
        if of not in ("chips", "population"):
            raise ValueError(f"of must be 'chips' or 'population', got {of!r}")
        return np.array([[self._interval(s, r, level, of) for r in range(len(self.rates))]
                         for s in range(len(self.names))])

    @property
    def axis(self):
        """What `rates` are places on, such as "voltage_volt"; None for bit error rates."""
        return self.settings.get("axis")

    def _interval(self, s, r, level, of):
        trials, rule = self.accuracy[s, r], self.settings["stopping"]
        n_images = self.settings["series"][s]["n_images"]
        is_clean = self.axis is None and self.rates[r] == 0 and np.all(self.right[s, r] == self.right[s, r, 0])
        if is_clean:
            trials = trials[:1].repeat(2)                        # chips without errors are all alike
        if of == "population":
            found = intervals.population_interval(trials, n_images, level)
        elif rule is None or is_clean:
            found = intervals.mean_interval(trials, level)
        else:
            found = stopping.stein_interval(trials[~np.isnan(trials)], rule["pilot"], level)
        return found.low, found.high

    def index(self, name):
        """Place of a series by name (or its number); ValueError with the names there are."""
        if name in self.names:
            return self.names.index(name)
        if isinstance(name, int) and 0 <= name < len(self.names):
            return name
        raise ValueError(f"name must be one of {', '.join(self.names)}, or its number, got {name!r}")

    def tolerated(self, drop=0.01, name=0, level=0.95):
        """The largest bit error rate at which a series is at most `drop` under its clean accuracy, with an interval.

        Needs rate 0 among the rates: see `bnnsim.statistics.tolerated`.
        """
        s = self.index(name)
        if self.axis is not None:
            raise ValueError(f"tolerated needs bit error rates, but these are places on {self.axis}")
        order = np.argsort(self.rates)
        if self.rates[order[0]] != 0:
            raise ValueError("tolerated needs rate 0 among the rates, to know the clean accuracy")
        positive = order[1:]
        return tolerated_rate.tolerated(self.rates[positive], self.accuracy[s, positive], self.accuracy[s, order[0], 0],
                                   drop, level=level, rng=self.seed)

    def compare(self, first, second, level=0.95, labels=None):
        """Difference in accuracy of two series at each rate, on common chips and images.

        Parameters
        ----------
        first, second : str or int
            Series on the same images.
        level : float
        labels : uint8 (N,), optional
            Of the images. Without them: intervals over chips, on these very images (`statistics.paired_difference`).
            With them, and stored predictions: over chips and images, paired image by image
            (`comparison.population_difference`).

        Returns
        -------
        list of Difference, one a rate: paired, unpaired, and which is smaller
        """
        s, t = self.index(first), self.index(second)
        if self.settings["series"][s]["split_sha256"] != self.settings["series"][t]["split_sha256"]:
            raise ValueError(f"{first!r} and {second!r} must be of the same images to be compared")
        if labels is None:
            return [intervals.paired_difference(x, y, level) for x, y in zip(self.accuracy[s], self.accuracy[t])]
        if self.predictions is None:
            raise ValueError("labels need stored predictions: sweep(..., predictions=True)")
        labels, found = np.asarray(labels), []
        for a, b, ran in zip(self.predictions[s], self.predictions[t], self._both_ran(s, t)):
            right = (predicted[ran, :len(labels)] == labels for predicted in (a, b))
            found.append(pairs.population_difference(*right, level))
        return found

    def _both_ran(self, s, t):
        return (self.right[s, :, :, 0] != NOT_RUN) & (self.right[t, :, :, 0] != NOT_RUN)

    def rows(self):
        """One dict a series and rate: network, rate, trials, mean, std, low, high, min, max (shares of 1)."""
        accuracy, mean, std, interval, n = self.accuracy, self.mean(), self.std(), self.interval(), self.n_trials()
        return [{"network": name, "rate": float(rate), "trials": int(n[s, r]), "mean": float(mean[s, r]),
                 "std": float(std[s, r]), "low": float(interval[s, r, 0]), "high": float(interval[s, r, 1]),
                 "min": float(np.nanmin(accuracy[s, r])), "max": float(np.nanmax(accuracy[s, r]))}
                for s, name in enumerate(self.names) for r, rate in enumerate(self.rates)]

    def table(self):
        """Text: per series and rate the mean, its 95 % interval over chips, and the spread, in percent."""
        width, place = max(len("network"), *(len(name) for name in self.names)), self.axis or "BER"
        wide = max(9, len(place))
        lines = [f"{'network'.ljust(width)}  {place:>{wide}}  {'chips':>5}  {'mean %':>7}  {'95 % interval':>15}  "
                 f"{'std':>5}  {'min %':>6}  {'max %':>6}"]
        for row in self.rows():
            low, mean, high, least, most, std = (100 * row[key] for key in ("low", "mean", "high", "min", "max", "std"))
            lines.append(f"{row['network'].ljust(width)}  {row['rate']:{wide}.3g}  {row['trials']:5}  {mean:7.2f}  "
                         f"{f'{low:.2f}..{high:.2f}':>15}  {std:5.2f}  {least:6.2f}  {most:6.2f}")
        return "\n".join(lines)

    def csv(self):
        """One line a cell: network, split, fault, rate, trial, accuracy, n_images, seed."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["network", "split", "fault", "rate", "trial", "accuracy", "n_images", "seed"])
        for series, by_rate in zip(self.settings["series"], self.accuracy):
            for rate, trials in zip(self.rates, by_rate):
                for trial in np.flatnonzero(~np.isnan(trials)):
                    writer.writerow([series["name"], series["split"], series["fault"], repr(float(rate)), trial,
                                     repr(float(trials[trial])), series["n_images"], self.seed])
        return text.getvalue()

    def save(self, path):
        """Write a .csv table, or an HDF5 file, whole or not at all."""
        if os.fspath(path).lower().endswith(".csv"):
            with atomic.replaced(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
                file.write(self.csv())
        else:
            result_file.save(path, self)

    @classmethod
    def load(cls, path):
        """Read and check an HDF5 file that `save` wrote."""
        return cls(**result_file.load(path))

    def plot(self, path=None):
        """Draw accuracy over BER: see `bnnsim.plotting.ber_curve`."""
        import bnnsim.figures.sweeps as sweeps

        return sweeps.ber_curve(self, path)

    @property
    def checksum(self):
        """SHA-256 of settings and arrays: equal for equal campaigns, however they were run."""
        return result_file.checksum(file_format.to_json("settings", self.settings), self.arrays())

    def arrays(self):
        """The arrays by name, as the file holds them."""
        found = {"rates": self.rates, "right": self.right, "class_totals": self.class_totals}
        return found if self.predictions is None else {**found, "predictions": self.predictions}
