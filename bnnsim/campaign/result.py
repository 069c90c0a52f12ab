"""The result of a campaign: right answers of every cell, and what follows from them.

Its ``rates`` are numbers on its ``axis``: bit error rates, shares of stuck cells, volts (`bnnsim.faults.axis`).

S series (a network on a split under a fault setting), R rates, T trials ("chips"), C classes, N images.
"""

import numbers
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

import bnnsim.campaign.result_file as result_file
import bnnsim.campaign.result_statistics as result_statistics
import bnnsim.campaign.result_tables as result_tables
import bnnsim.files.atomic as atomic
import bnnsim.files.file_format as file_format
from bnnsim.campaign.result_file import NOT_RUN
from bnnsim.campaign.settings import Settings, axis_of
from bnnsim.checks import FilePath
from bnnsim.statistics import Difference, Tolerated

if TYPE_CHECKING:
    import pandas
    import xarray

    from bnnsim.figures.scales import Scale
    from bnnsim.figures.style import Drawn, Width


@dataclass(frozen=True, eq=False, repr=False)
class SweepResult:
    """Right answers over rates and chips.

    Parameters
    ----------
    settings : dict
        What the cells are a function of: see `bnnsim.campaign.settings`.
    rates : float64 (R,)
        Numbers on `axis`.
    right : int64 (S, R, T, C)
        By true class; -1 where sequential stopping asked for no cell.
    class_totals : int64 (S, C)
        Images of each class.
    ber : float64 (S, R, T)
        Bit error rate that each chip really had: the share of its weights' bits that read wrong, after any code.
    predictions : uint8 (S, R, T, N), optional
    provenance : dict
        Versions, CPU, command.
    n_nonfinite : int64 (S, R, T), optional
        Scores of each chip that were no finite numbers, and counted as the lowest; -1 where no cell was asked for. Only
        there where faults broke real numbers of a graph and any came of it.
    """

    settings: Settings
    rates: np.ndarray
    right: np.ndarray
    class_totals: np.ndarray
    ber: np.ndarray
    predictions: np.ndarray | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    n_nonfinite: np.ndarray | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the series."""
        return tuple(series["name"] for series in self.settings["series"])

    @property
    def axis(self) -> str:
        """What `rates` are: "bit_error_rate", "share_of_stuck_cells", "voltage_volt" (`bnnsim.faults.axis`)."""
        return axis_of(self.settings)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of a device card's conditions, of which `rates` are the numbers; none of other sweeps."""
        import bnnsim.campaign.card_file as card_file

        return card_file.conditions_of(self) if self.axis == "condition" else ()

    @property
    def seed(self) -> int:
        """The root seed, an integer."""
        return int(self.settings["seed"])

    @property
    def split(self) -> str:
        """Name of the split, or of all of them."""
        return ", ".join(dict.fromkeys(series["split"] for series in self.settings["series"]))

    @property
    def n_images(self) -> int:
        """Images of each cell, all of the split; the largest number, where several splits differ."""
        return max(series["n_images"] for series in self.settings["series"])

    @property
    def accuracy(self) -> np.ndarray:
        """Shares of 1, float64 (S, R, T), each over all images; nan where sequential stopping asked for no cell."""
        totals = self.class_totals.sum(axis=1)[:, None, None]
        return np.where(self.ran, self.right.sum(axis=3) / totals, np.nan)

    @property
    def per_class(self) -> np.ndarray:
        """Shares of 1, float64 (S, R, T, C); nan where a class has no images or the cell was not asked for."""
        totals = np.where(self.class_totals > 0, self.class_totals, np.nan)[:, None, None, :]
        return np.where(self.right == NOT_RUN, np.nan, self.right / totals)

    @property
    def ran(self) -> np.ndarray:
        """Which cells were asked for, bool (S, R, T): all of them without sequential stopping."""
        return self.right[..., 0] != NOT_RUN

    def n_trials(self) -> np.ndarray:
        """Chips of each mean, int64 (S, R)."""
        return self.ran.sum(axis=2)

    def mean(self) -> np.ndarray:
        """Mean over chips, (S, R)."""
        return np.nanmean(self.accuracy, axis=2)

    def std(self) -> np.ndarray:
        """Standard deviation over chips (ddof 1; 0 with one chip), (S, R)."""
        squares = np.nansum((self.accuracy - self.mean()[:, :, None]) ** 2, axis=2)
        return np.sqrt(squares / np.maximum(self.n_trials() - 1, 1))

    def index(self, name: str | int) -> int:
        """Number of a series by its name (or by its number); ValueError with the names there are."""
        if isinstance(name, str) and name in self.names:
            return self.names.index(name)
        if isinstance(name, numbers.Integral) and not isinstance(name, bool) and 0 <= name < len(self.names):
            return int(name)
        raise ValueError(f"name must be one of {', '.join(self.names)}, or its number, got {name!r}")

    def interval(self, level: float = 0.95, of: Literal["chips", "population"] = "chips") -> np.ndarray:
        """Confidence interval of each mean, (S, R, 2).

        of : "chips" or "population"
            "chips" tells how far the mean over all possible chips may be, on these very images; "population" adds
            that the images are a sample too. See `bnnsim.statistics`; with ``ci_width``, `stein_interval` there.
        """
        return result_statistics.intervals_of_means(self, level, of)

    def tolerated(self, drop: float = 0.01, name: str | int = 0, level: float = 0.95) -> Tolerated:
        """The largest rate at which a series is at most `drop` under its clean accuracy, with an interval.

        It is a number on `axis`, which must be one of probabilities, with 0 among them: `bnnsim.statistics.tolerated`.
        """
        return result_statistics.tolerated_rate(self, self.index(name), drop, level)

    def compare(self, first: str | int, second: str | int, level: float = 0.95,
                labels: npt.ArrayLike | None = None) -> list[Difference]:
        """Difference in accuracy of two series at each rate, on common chips and images.

        Parameters
        ----------
        first, second : str or int
            Series on the same images.
        level : float
        labels : uint8 (N,), optional
            Of the images. Without them: intervals over chips, on these very images
            (`bnnsim.statistics.paired_difference`). With them, and stored predictions: over chips and images, paired
            image by image (`bnnsim.statistics.population_difference`).

        Returns
        -------
        list of Difference, one a rate: paired, unpaired, and which is smaller
        """
        return result_statistics.differences(self, self.index(first), self.index(second), level, labels)

    def rows(self) -> list[result_tables.Row]:
        """One dict a series and rate: network, axis, rate, ber, trials, mean, std, low, high, min, max."""
        return result_tables.rows(self)

    def table(self) -> str:
        """Text: per series and rate the bits that read wrong, the mean, its interval over chips, and the spread."""
        return result_tables.table(self)

    def __repr__(self) -> str:
        n_series, n_rates, n_trials = self.right.shape[:3]
        return f"<SweepResult: {n_series} series, {n_rates} places on {self.axis}, up to {n_trials} chips each>"

    def _repr_html_(self) -> str:
        return result_tables.html(self)

    def csv(self) -> str:
        """A tidy table, a line a cell, of the columns of `bnnsim.campaign.result_tables.SCHEMA`.

        series, split, fault, axis, value, trial, ber_measured, right, n_images, accuracy, seed.
        """
        return result_tables.csv_text(self)

    def to_pandas(self) -> "pandas.DataFrame":
        """The table of `csv` as pandas has it, a row a cell; ``pip install 'bnnsim[pandas]'``.

        Raises
        ------
        ModuleNotFoundError
            Where pandas is not installed.
        """
        return result_tables.data_frame(self)

    def to_xarray(self) -> "xarray.Dataset":
        """accuracy, ber_measured and right over series, value, trial and class; ``pip install 'bnnsim[xarray]'``.

        nan, and -1 right answers, where sequential stopping asked for no cell.

        Raises
        ------
        ModuleNotFoundError
            Where xarray is not installed.
        """
        return result_tables.data_set(self)

    def save(self, path: FilePath) -> None:
        """Write a .csv table, or an HDF5 file, whole or not at all."""
        if os.fsdecode(path).lower().endswith(".csv"):
            with atomic.replaced(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
                file.write(self.csv())
        else:
            result_file.save(path, self)

    @classmethod
    def load(cls, path: FilePath) -> "SweepResult":
        """Read and check an HDF5 file that `save` wrote."""
        return cls(**result_file.load(path))

    def plot(self, path: FilePath | None = None, *, ax: "Drawn | None" = None, width: "Width" = None,
             xscale: "Scale" = "log", published: FilePath | None = None) -> "Drawn":
        """Draw accuracy over the rates: see `bnnsim.plotting.ber_curve`."""
        import bnnsim.figures.sweeps as sweeps

        return sweeps.ber_curve(self, path, ax=ax, width=width, xscale=xscale, published=published)

    @property
    def checksum(self) -> str:
        """SHA-256 of settings and arrays: equal for equal campaigns, however they were run."""
        return result_file.checksum(file_format.to_json("settings", self.settings), self.arrays())

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, as the file holds them."""
        found = {"rates": self.rates, "right": self.right, "class_totals": self.class_totals, "ber": self.ber}
        more = {"predictions": self.predictions, "n_nonfinite": self.n_nonfinite}
        return {**found, **{name: array for name, array in more.items() if array is not None}}
