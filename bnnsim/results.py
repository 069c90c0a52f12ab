"""Results of a campaign: right answers of every cell, what follows from them, and the HDF5 file that holds them.

S series (a network on a split under a fault setting), R bit error rates, T trials ("chips"), C classes, N images.

The file has the root attributes of `bnnsim.file_format` with format "bnnsim-results", format_version 1, and

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

import bnnsim.comparison as comparison
import bnnsim.file_format as file_format
import bnnsim.files as files
import bnnsim.hdf5 as hdf5
import bnnsim.statistics as statistics
import bnnsim.stopping as stopping
import bnnsim.tolerance as tolerance

RESULTS, FORMAT_VERSION = "bnnsim-results", 1
MAX_BYTES = 2**36
SERIES = {"name": str, "network": str, "split": str, "split_sha256": str, "n_images": int, "fault": str}
STOPPING = {"ci_width": float, "pilot": int, "level": float, "max_trials": int}
AXES = {"rates": (np.float64, 1), "right": (np.int64, 4), "class_totals": (np.int64, 2), "predictions": (np.uint8, 4)}
NOT_RUN = -1


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
            that the images are a sample too. See `bnnsim.statistics`, and `bnnsim.stopping` for ``ci_width``.
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
            found = statistics.population_interval(trials, n_images, level)
        elif rule is None or is_clean:
            found = statistics.mean_interval(trials, level)
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

        Needs rate 0 among the rates: see `bnnsim.tolerance.tolerated`.
        """
        s = self.index(name)
        if self.axis is not None:
            raise ValueError(f"tolerated needs bit error rates, but these are places on {self.axis}")
        order = np.argsort(self.rates)
        if self.rates[order[0]] != 0:
            raise ValueError("tolerated needs rate 0 among the rates, to know the clean accuracy")
        positive = order[1:]
        return tolerance.tolerated(self.rates[positive], self.accuracy[s, positive], self.accuracy[s, order[0], 0],
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
            return [statistics.paired_difference(x, y, level) for x, y in zip(self.accuracy[s], self.accuracy[t])]
        if self.predictions is None:
            raise ValueError("labels need stored predictions: sweep(..., predictions=True)")
        labels, found = np.asarray(labels), []
        for a, b, ran in zip(self.predictions[s], self.predictions[t], self._both_ran(s, t)):
            right = (predicted[ran, :len(labels)] == labels for predicted in (a, b))
            found.append(comparison.population_difference(*right, level))
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
            with files.replaced(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
                file.write(self.csv())
        else:
            _save(path, self)

    @classmethod
    def load(cls, path):
        """Read and check an HDF5 file that `save` wrote."""
        return _load(path)

    def plot(self, path=None):
        """Draw accuracy over BER: see `bnnsim.plotting.ber_curve`."""
        import bnnsim.plotting as plotting

        return plotting.ber_curve(self, path)

    @property
    def checksum(self):
        """SHA-256 of settings and arrays: equal for equal campaigns, however they were run."""
        return _checksum(file_format.to_json("settings", self.settings), self.arrays())

    def arrays(self):
        """The arrays by name, as the file holds them."""
        found = {"rates": self.rates, "right": self.right, "class_totals": self.class_totals}
        return found if self.predictions is None else {**found, "predictions": self.predictions}


# ---------------------------------------------------------------- files

def _checksum(text, arrays):
    return file_format.content_checksum({"format": RESULTS, "format_version": FORMAT_VERSION, "settings": text}, arrays)


def _save(path, result):
    texts = {name: file_format.to_json(name, getattr(result, name)) for name in ("settings", "provenance")}
    arrays = result.arrays()
    root = file_format.root_attributes(RESULTS, FORMAT_VERSION, _checksum(texts["settings"], arrays))
    with hdf5.new_file(path) as file:
        hdf5.write_attributes(file, {**root, "provenance_checksum": file_format.text_checksum(texts["provenance"])})
        for name, text in texts.items():
            hdf5.write_array(file, name, np.bytes_(text))
        for name, array in arrays.items():
            hdf5.write_array(file, name, array)


def _load(path):
    with hdf5.open_file(path) as file:
        root = file_format.read_root(file, RESULTS, FORMAT_VERSION,
                                     {**file_format.ROOT, "provenance_checksum": str})
        names = [name for name in AXES if name != "predictions" or name in file]
        hdf5.check_members(file, datasets=("settings", "provenance", *names))
        texts = {name: hdf5.announce_text(file[name], file_format.MAX_JSON_BYTES)
                 for name in ("settings", "provenance")}
        announced = {name: hdf5.announce(file[name]) for name in names}
        hdf5.check_total(file, [*texts.values(), *announced.values()], MAX_BYTES)
        _check_axes(announced)
        texts = {name: hdf5.read_text(file[name], value) for name, value in texts.items()}
        settings, provenance = (file_format.from_json(name, text) for name, text in texts.items())
        _check_settings(settings, announced)
        arrays = {name: hdf5.read_array(file[name], value) for name, value in announced.items()}
        file_format.check_checksum("the results", root["checksum"], _checksum(texts["settings"], arrays))
        file_format.check_checksum("the provenance", root["provenance_checksum"],
                                   file_format.text_checksum(texts["provenance"]))
        _check_values(settings, arrays)
    return SweepResult(settings, **arrays, provenance=provenance)


def _check_axes(announced):
    for name, came in announced.items():
        dtype, n_axes = AXES[name]
        if came.dtype != np.dtype(dtype) or len(came.shape) != n_axes or 0 in came.shape:
            raise hdf5.Refused(f"{name} must be {np.dtype(dtype)} with {n_axes} axes, got {came.dtype} {came.shape}")
    right = announced["right"].shape
    wanted = {"rates": right[1:2], "class_totals": (right[0], right[3])}
    for name, shape in wanted.items():
        if announced[name].shape != shape:
            raise hdf5.Refused(f"{name} must have shape {shape}, as right has, got {announced[name].shape}")
    if "predictions" in announced and announced["predictions"].shape[:3] != right[:3]:
        raise hdf5.Refused(f"predictions must be {right[:3]} and images, got {announced['predictions'].shape}")


def _check_settings(settings, announced):
    if set(settings) - {"axis"} != {"series", "seed", "stopping", "predictions"} or \
            not isinstance(settings["series"], list):
        raise hdf5.Refused("settings must have series, seed, stopping and predictions")
    if "axis" in settings and not (isinstance(settings["axis"], str) and 0 < len(settings["axis"]) <= 100):
        raise hdf5.Refused(f"the axis must be a short name, got {settings['axis']!r}")
    seed = settings["seed"]
    if not isinstance(seed, str) or not (seed.isascii() and seed.isdigit() and len(seed) <= 4300):
        raise hdf5.Refused(f"the seed must be a string of digits, got {settings['seed']!r}")
    if len(settings["series"]) != announced["right"].shape[0]:
        raise hdf5.Refused(f"there must be one series for each row of right, got {len(settings['series'])}")
    for series in settings["series"]:
        if not isinstance(series, dict) or {key: type(value) for key, value in series.items()} != SERIES:
            raise hdf5.Refused(f"a series must have {', '.join(SERIES)}, got {series!r}")
    names, sizes = ([series[key] for series in settings["series"]] for key in ("name", "n_images"))
    if len(set(names)) < len(names) or not all(0 < size < 2**40 for size in sizes):
        raise hdf5.Refused(f"series must have names that differ, and some images each, got {names} with {sizes}")
    if settings["predictions"] is not ("predictions" in announced):
        raise hdf5.Refused("predictions must be there if the settings say so, and only then")
    if settings["predictions"] and announced["predictions"].shape[3] != max(sizes):
        raise hdf5.Refused(f"predictions must be of {max(sizes)} images, got {announced['predictions'].shape[3]}")
    _check_stopping(settings["stopping"], announced["right"].shape[2])


def _check_stopping(rule, n_trials):
    if rule is None:
        return
    if not isinstance(rule, dict) or {key: type(value) for key, value in rule.items()} != STOPPING:
        raise hdf5.Refused(f"stopping must be null, or have {', '.join(STOPPING)}, got {rule!r}")
    if not (0 < rule["ci_width"] <= 1 and 0 < rule["level"] < 1 and 2 <= rule["pilot"] <= rule["max_trials"]
            and rule["pilot"] <= n_trials <= rule["max_trials"]):
        raise hdf5.Refused(f"stopping cannot be {rule!r} with {n_trials} chips")


def _check_values(settings, arrays):
    right, totals = arrays["right"], arrays["class_totals"]
    rates = arrays["rates"]
    wanted = "finite" if "axis" in settings else "probabilities in [0, 1]"
    good = np.isfinite(rates) if "axis" in settings else (rates >= 0) & (rates <= 1)
    if not np.all(good) or len(set(rates)) < len(rates):
        raise hdf5.Refused(f"rates must be {wanted}, none twice")
    sizes = np.array([series["n_images"] for series in settings["series"]])
    if np.any((totals < 0) | (totals > sizes[:, None])) or np.any(totals.sum(axis=1) != sizes):
        raise hdf5.Refused("class_totals must be >= 0 and add up to the images of each series")
    run = right[..., :1] != NOT_RUN
    if np.any(np.where(run, (right < 0) | (right > totals[:, None, None, :]), right != NOT_RUN)):
        raise hdf5.Refused("right must be in 0..class_totals, or -1 in all classes")
    always = right.shape[2] if settings["stopping"] is None else settings["stopping"]["pilot"]
    if not np.all(run[:, :, :always]):
        raise hdf5.Refused(f"right must be there for the first {always} chips of each rate")
    if "predictions" in arrays:
        _check_predictions(arrays["predictions"], right, sizes)


def _check_predictions(predictions, right, sizes):
    asked = (right[..., :1] != NOT_RUN) & (np.arange(predictions.shape[3]) < sizes[:, None, None, None])
    if np.any(np.where(asked, predictions >= right.shape[3], predictions != 255)):
        raise hdf5.Refused("predictions must be classes, or 255 where there is no cell or no image")
    for c in np.flatnonzero(right.max(axis=(0, 1, 2)) > 0):
        if np.any((predictions == c).sum(axis=3) < right[..., c]):
            raise hdf5.Refused(f"predictions must be of class {c} as often at least as right answers are")
