"""States from measurements: fitted distributions, how well they fit, and what error rates follow, with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from bnnsim.checks import FilePath, check_choice, check_int
from bnnsim.devices.cards import DeviceCard
from bnnsim.devices.cells import DEVICES_PER_BIT, Cell1T1R, Cell2T2R, make_cell
from bnnsim.devices.distributions import KINDS, LogNormal, NormalConductance
from bnnsim.devices.goodness import akaike, anderson_darling
from bnnsim.devices.measurements import read_measurements
from bnnsim.devices.states import KnownState, State, samples_of
from bnnsim.seeding import RandomSource, generator, root_seed
from bnnsim.statistics.intervals import check_level, t_quantile

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_SAMPLES = 8


class RateInterval(NamedTuple):
    """A bit error rate and the bounds of its interval."""

    rate: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class StateFit:
    """One state of one place.

    Attributes
    ----------
    samples_ohm : float64 (n,)
        Ascending.
    fitted : LogNormal, NormalConductance or Empirical
        By the model asked for.
    p_value : dict of str to float
        Of Anderson-Darling's test of each distribution: below 0.01 the samples contradict it.
    akaike : dict of str to float
        Akaike's criterion of each, over that of the best: 0 is the best, 10 has no support. A normal conductance that
        would be cut too much at 0 is left out.
    """

    samples_ohm: np.ndarray
    fitted: KnownState
    p_value: Mapping[str, float]
    akaike: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class PlaceFit:
    """Both states of one place (condition, cycles, time, temperature), and the error rates of cells made of them.

    `rates` holds a `RateInterval` for "1T1R" (at its equal-error reference) and "2T2R" (an amplifier without offset).
    """

    place: Mapping[str, Any]
    lrs: StateFit
    hrs: StateFit
    rates: Mapping[str, RateInterval]

    def cell(self, kind: str = "2T2R") -> Cell1T1R | Cell2T2R:
        """A `Cell1T1R` or `Cell2T2R` of the fitted states."""
        return make_cell(kind, self.lrs.fitted, self.hrs.fitted)


@dataclass(frozen=True, eq=False)
class DeviceFit:
    """What `fit` found: one `PlaceFit` for each place in the measurements."""

    places: Sequence[PlaceFit]
    model: str
    level: float

    def card(self, name: str, source: str, licence: str = "not stated", memory: str = "RRAM",
             description: str = "") -> DeviceCard:
        """The fitted states as a device card with provenance "measured".

        Parameters
        ----------
        name : str
        source : str
            Who measured, where it is published: it stands in each row.
        licence, memory, description : str

        Raises
        ------
        CardError
            Where more than one of cycles, time and temperature varies under one condition.
        """
        rows = []
        for each in self.places:
            counts = f"{len(each.lrs.samples_ohm)} LRS and {len(each.hrs.samples_ohm)} HRS samples"
            numbers = {f"{name}_{key}": value for name, state in (("lrs", each.lrs), ("hrs", each.hrs))
                       for key, value in state.fitted.keys().items()}
            rows.append({**each.place, **numbers, "note": f"{self.model} fitted to {counts} by bnnsim.devices.fit",
                         "provenance": "measured", "source": source})
        return DeviceCard(name, memory, description, licence, tuple(rows))

    def table(self) -> str:
        """Text: for each place and state samples, median, sigma, p values, and the error rates with intervals."""
        lines = [f"{self.model}; p: Anderson-Darling test of log-normal / of normal conductance; dAIC: normal "
                 "conductance over log-normal"]
        for each in self.places:
            lines.append(", ".join(f"{key} {value}" for key, value in each.place.items()) or "all samples")
            for name, state in (("LRS", each.lrs), ("HRS", each.hrs)):
                x = np.log(state.samples_ohm)
                difference = state.akaike.get("normal-conductance", np.inf) - state.akaike["log-normal"]
                lines.append(f"  {name}  n {len(x):>6,}  median {np.exp(np.median(x)):>9.4g} ohm  sigma_ln "
                             f"{np.std(x, ddof=1):.3f}  p {state.p_value['log-normal']:.2g} / "
                             f"{state.p_value['normal-conductance']:.2g}  dAIC {difference:+.1f}")
            for cell, (rate, low, high) in each.rates.items():
                lines.append(f"  {cell}  bit error rate {rate:.3g}, {100 * self.level:g} % interval {low:.3g} to "
                             f"{high:.3g}")
        return "\n".join(lines)

    def plot(self, path: FilePath | None = None, place: int = 0) -> "Figure":
        """Measured against fitted resistances of a place: see `bnnsim.figures.devices.fitted_states`."""
        import bnnsim.figures.devices as devices

        return devices.fitted_states(self, path, place)


def fit(path: FilePath, model: str = "log-normal", n_resamples: int = 1000, level: float = 0.95,
        rng: RandomSource = 0) -> DeviceFit:
    """Fit the states of a memory to measured resistances: see `bnnsim.devices.measurements` for columns and units.

    Parameters
    ----------
    path : path
        CSV file with columns ``resistance_ohm`` and ``state``, and optionally ``condition``, ``cycles``,
        ``time_second``, ``temperature_kelvin``; each combination of these is fitted by itself, and must have 8 samples
        or more of each state.
    model : {"log-normal", "normal-conductance", "empirical"}
        What the states become. Look at the p values, and at the figure `bnnsim.figures.devices.fitted_states`: a rate
        below about 1 / n hangs on the shape of a tail that n samples do not show.
    n_resamples : int
        Of the bootstrap: both states are drawn anew with replacement and fitted again.
    level : float
        Of the intervals of error rates. They hold the spread of the samples, not the doubt about the model.
    rng : None, int, SeedSequence or Generator
        Of the bootstrap; the default gives the same intervals for the same file.

    Returns
    -------
    DeviceFit

    Raises
    ------
    MeasurementError
        A ValueError that names line and column.

    Notes
    -----
    Intervals of fitted models are basic bootstrap ones (Davison and Hinkley, "Bootstrap methods and their application",
    1997, section 5.2) of asinh(z / sqrt(2)), BER = Phi(-z), whose spread hardly depends on z; deviations are widened
    by sqrt(n / (n - 1)) t[n-1] / z as T. Hesterberg does (The American Statistician 69, 2015). Simulated with
    log-normal states of 10, 30, 100 and 400 samples, intervals meant to hold 90 % held 86-93, 85-90, 89-91 and
    87-90 %; plain percentiles held 73-81 % at 10 samples. Those of the empirical model are plain percentiles; where its
    rate is 0, the upper bound is that of none seen in n.

    Examples
    --------
    >>> from bnnsim.datasets import data_file
    >>> fitted = fit(data_file("devices/sample_measurements.csv"), n_resamples=200)
    >>> [each.place for each in fitted.places]
    [{'condition': 'strong'}, {'condition': 'weak'}]
    >>> print("{:.2g}, {:.2g} to {:.2g}".format(*fitted.places[1].rates["1T1R"]))
    0.046, 0.035 to 0.059
    """
    kind = KINDS[check_choice("model", model, KINDS)]
    n_resamples, level = check_int("n_resamples", n_resamples, 100, 100_000), check_level(level)
    root, places = root_seed(rng), []
    for i, (place, states) in enumerate(read_measurements(path).items()):
        where = ", ".join(f"{key} {value}" for key, value in place) or "the table"
        found = {}
        for name, ohm in states.items():
            if len(ohm) < MIN_SAMPLES:
                raise ValueError(f"{where} must have {MIN_SAMPLES} or more samples of {name}, got {len(ohm)}")
            if np.ptp(ohm) == 0:
                raise ValueError(f"{where}: samples of {name} must differ, got {ohm[0]:g} ohm {len(ohm)} times")
            found[name] = np.sort(ohm)
        try:
            lrs, hrs = (_fit_state(found[name], kind) for name in ("LRS", "HRS"))
            rates = _intervals(lrs, hrs, kind, n_resamples, level, generator(root, "bootstrap", i))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        places.append(PlaceFit(dict(place), lrs, hrs, rates))
    return DeviceFit(tuple(places), model, level)


def _fit_state(ohm: np.ndarray, kind: type[KnownState]) -> StateFit:
    """The state of a kind, and what speaks for those that are normal in a variable of their own."""
    x, fitted, p_value, criteria = np.log(ohm), kind.from_samples(ohm), {}, {}
    for name, candidate in (("log-normal", LogNormal), ("normal-conductance", NormalConductance)):
        p_value[name] = anderson_darling(candidate.normal_variable(ohm))[1]
        try:
            criteria[name] = akaike(candidate.from_samples(ohm), x)
        except ValueError:                                      # too much of it lies below 0: no candidate
            continue
    best = min(criteria.values())
    return StateFit(ohm, fitted, p_value, {name: value - best for name, value in criteria.items()})


def _intervals(lrs: StateFit, hrs: StateFit, kind: type[KnownState], n_resamples: int, level: float,
               rng: np.random.Generator) -> dict[str, RateInterval]:
    """A `RateInterval` for each kind of cell."""
    def rates(low: State, high: State) -> list[float]:
        return [make_cell(cell, low, high).error_rates().mean for cell in DEVICES_PER_BIT]

    found = np.array(rates(lrs.fitted, hrs.fitted))
    drawn, n = np.full((n_resamples, len(found)), 0.5), min(len(lrs.samples_ohm), len(hrs.samples_ohm))
    for b in range(n_resamples):
        low, high = (rng.choice(state.samples_ohm, len(state.samples_ohm)) for state in (lrs, hrs))
        try:
            drawn[b] = rates(kind.from_samples(low), kind.from_samples(high))
        except ValueError:                                      # the states change places: nothing is told apart
            pass
    tails = [(1 - level) / 2, (1 + level) / 2]
    if samples_of(lrs.fitted) is not None:
        low, high = np.quantile(drawn, tails, axis=0)
        high = np.where(found > 0, high, np.maximum(high, 1 - tails[0] ** (1 / n)))
    else:
        widening = math.sqrt(n / (n - 1)) * t_quantile(level, n - 1) / t_quantile(level, math.inf)
        above, below = np.quantile(_stable(drawn) - _stable(found), tails, axis=0) * widening
        low, high = _rate(_stable(found) - below), _rate(_stable(found) - above)
    return {cell: RateInterval(*map(float, each)) for cell, *each in zip(DEVICES_PER_BIT, found, low, high)}


def _stable(rates: np.ndarray) -> np.ndarray:
    """A measure of error rates whose spread over samples hardly depends on the rate."""
    return np.arcsinh(ndtri(np.maximum(rates, 1e-300)) / math.sqrt(2))


def _rate(values: np.ndarray) -> np.ndarray:
    """The error rate behind a `_stable` one."""
    return ndtr(math.sqrt(2) * np.sinh(values))
