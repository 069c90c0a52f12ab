"""States from measurements: fitted distributions, how well they fit, and what error rates follow, with intervals.

Every number that a fit gives is rounded, to 12 digits of what describes a state and fewer of what follows: NumPy's
logarithms and sums differ in the last of 16 digits between CPUs, and a file is to give the same text and the same card
on each.
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri

import bnnsim.devices.contradictions as contradictions
from bnnsim.checks import check_bool, check_choice, check_int
from bnnsim.devices.cells import DEVICES_PER_BIT, Cell1T1R, make_cell
from bnnsim.devices.column_choice import Columns
from bnnsim.devices.distributions import KINDS, Empirical, LogNormal, NormalConductance
from bnnsim.devices.fitted import DeviceFit, PlaceFit, StateFit
from bnnsim.devices.goodness import akaike, anderson_darling, n_outliers
from bnnsim.devices.measurements import Measurements, Place, Source, read_measurements
from bnnsim.devices.sample_rates import RateInterval, none_seen
from bnnsim.devices.states import KnownState, State, samples_of
from bnnsim.seeding import RandomSource, generator, root_seed
from bnnsim.statistics.intervals import check_level, t_quantile

MIN_SAMPLES = 8
ASIDE = 1e-3                        # chance by which good samples are set aside: some 1 %


def fit(table: Source, model: str = "log-normal", n_resamples: int = 1000, level: float = 0.95,
        rng: RandomSource = 0, drop_invalid: bool = False, columns: Columns | None = None) -> DeviceFit:
    """Fit the states of a memory to measured resistances: see `bnnsim.devices.measurements` for columns and units.

    Parameters
    ----------
    table : path, data frame, dict of {"LRS", "HRS"} to these, or Measurements
        Resistances and states, and optionally ``condition``, ``cycles``, ``time_second``, ``temperature_kelvin``; each
        combination of these is fitted by itself, and must have 8 samples or more of each state. Energies and pulses a
        row go into the card. See `read_measurements`.
    model : {"log-normal", "normal-conductance", "empirical"}
        What the states become. Fitted rates are held against those that the samples show by themselves; where they
        contradict each other, or the samples the model, a UserWarning says what was found, as the table does. Then take
        "empirical". A rate below 1 / n hangs on the shape of a tail that n samples do not show, and says so.
    n_resamples : int
        Of the bootstrap: both states are drawn anew with replacement and fitted again.
    level : float
        Of the intervals of error rates. They hold the spread of the samples, not the doubt about the model.
    rng : None, int, SeedSequence or Generator
        Of the bootstrap; the default gives the same intervals for the same file.
    drop_invalid : bool
        Leave out, and count, readings that are no resistances (overflow codes such as 9.91e37, OVLD, nan, <= 0 ohm).
    columns : dict of str to str, None or dict, optional
        What columns are: ``{"R": "resistance_kohm", "device": None}``; by default what their names say, which is
        logged. See `read_measurements`, which also takes ``decimal``.

    Returns
    -------
    DeviceFit

    Raises
    ------
    MeasurementError
        A ValueError that names line and column.

    Notes
    -----
    An open HRS cell of 1e9 ohm reads right, but would widen a fitted HRS towards the LRS. So HRS samples that lie
    further up than a normal goes whose spread is that of the *lower* half of the samples are set aside before a model
    is fitted, and LRS samples that lie as far down likewise: see `bnnsim.devices.goodness.n_outliers`. Fitted rates are
    those of the other cells; what was set aside reads right, so they are not too low. It stays in what the samples
    show, and in "empirical". Cells of 1e9 ohm, 1 to 40 % of them, beside 50, 200 and 2,000 HRS samples of 3e4 to 1e6
    ohm were all set aside, and raised the 1T1R rate by over 30 % in at most 2.5 % of tables; beside 20 samples in at
    most 15 % (measured). What lies four sigmas away is not always told apart. A normal conductance comes near 0 by
    itself: only what lies nearer than it does is set aside.

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
    root, places, read = root_seed(rng), list[PlaceFit](), _measurements(table, columns, drop_invalid)
    for i, (place, states) in enumerate(read.ohm.items()):
        where = ", ".join(f"{key} {value}" for key, value in place) or "the table"
        dropped = read.n_dropped.get(place, {"LRS": 0, "HRS": 0})
        try:
            lrs, hrs = (_fit_state(name, _enough(name, ohm), kind, dropped[name]) for name, ohm in states.items())
            rates = _intervals(lrs, hrs, kind, n_resamples, level, generator(root, "bootstrap", i))
            reference = Cell1T1R(lrs.fitted, hrs.fitted).r_reference_ohm
        except ValueError as error:
            remedy = _remedy(read, place) if str(error).startswith("must have") else ""
            raise ValueError(f"{where}{' ' if str(error).startswith('must') else ': '}{error}{remedy}") from error
        found = [] if kind is Empirical else contradictions.found(lrs, hrs, model, rates, reference)
        seen = contradictions.seen_rates(lrs, hrs, reference, level)
        places.append(PlaceFit(dict(place), lrs, hrs, rates, seen, tuple(found), read.energy_joule.get(place, {}),
                               read.pulses.get(place, {})))
    _warn(model, [each for each in places if each.contradictions])
    return DeviceFit(tuple(places), model, level, read.read_as)


def _measurements(table: Source, columns: Columns | None, drop_invalid: bool) -> Measurements:
    if not isinstance(table, Measurements):
        return read_measurements(table, columns, drop_invalid)
    if columns is not None or check_bool("drop_invalid", drop_invalid):
        raise ValueError("columns and drop_invalid must be given to read_measurements, where these come from")
    return table


def _remedy(read: Measurements, place: Place) -> str:
    """What to do about too few samples of a state."""
    for state, other in (("LRS", "HRS"), ("HRS", "LRS")):
        if not any(len(states[state]) for states in read.ohm.values()):
            return f"; the table has {other} only: fit({{'LRS': ..., 'HRS': ...}}) takes a table of each state"
    if len(read.ohm) > 1:
        columns = " or ".join(key for key, _ in place)
        return f"; there are {len(read.ohm):,} places: say None in columns= of what need not be told apart ({columns})"
    return ""


def _warn(model: str, places: Sequence[PlaceFit]) -> None:
    """One warning: the first place in full, and how many more there are."""
    if places:
        others = len(places) - 1
        more = f" {others:,} more places have" if others > 1 else " one more place has"
        more = f"{more} such a warning: see table()." if others else ""
        warnings.warn(f"{places[0].name}: {places[0].warning(model)}.{more}", stacklevel=3)


def _enough(name: str, ohm: np.ndarray) -> np.ndarray:
    """Samples of a state, ascending, if there are enough."""
    if len(ohm) < MIN_SAMPLES:
        raise ValueError(f"must have {MIN_SAMPLES} or more samples of {name}, got {len(ohm)}")
    if np.ptp(ohm) == 0:
        raise ValueError(f"samples of {name} must differ, got {ohm[0]:g} ohm {len(ohm)} times")
    return np.sort(ohm)


def _fit_state(name: str, ohm: np.ndarray, kind: type[KnownState], n_dropped: int) -> StateFit:
    """The state of a kind, and what speaks for those that are normal in a variable of their own."""
    kept = ohm if kind is Empirical else _without_harmless(name, ohm, kind)
    x, fitted, p_value, criteria = np.log(kept), _rounded(kind.from_samples(kept)), {}, {}
    for candidate_name, candidate in (("log-normal", LogNormal), ("normal-conductance", NormalConductance)):
        p_value[candidate_name] = _digits(anderson_darling(candidate.normal_variable(kept))[1], 6)
        try:
            criteria[candidate_name] = akaike(candidate.from_samples(kept), x)
        except ValueError:                                      # too much of it lies below 0: no candidate
            continue
    best = min(criteria.values())
    return StateFit(ohm, kept, fitted, p_value, {key: round(value - best, 6) for key, value in criteria.items()},
                    n_dropped)


def _without_harmless(name: str, ohm: np.ndarray, kind: type[KnownState]) -> np.ndarray:
    """Samples without those that lie too far away from the other state."""
    values, low, high = contradictions.rising(kind, ohm)
    if name == "LRS":
        return ohm[n_outliers(-values, ASIDE, -low):]
    return ohm[:len(ohm) - n_outliers(values, ASIDE, high)]


def _digits(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _rounded(state: KnownState) -> KnownState:
    """A fitted state with numbers of 12 digits; samples stay as they are."""
    if samples_of(state) is not None:
        return state
    return type(state)(**{key: _digits(value, 12) for key, value in state.keys().items()
                          if isinstance(value, float)})


def _intervals(lrs: StateFit, hrs: StateFit, kind: type[KnownState], n_resamples: int, level: float,
               rng: np.random.Generator) -> dict[str, RateInterval]:
    """A `RateInterval` for each kind of cell."""
    def rates(low: State, high: State) -> list[float]:
        return [make_cell(cell, low, high).error_rates().mean for cell in DEVICES_PER_BIT]

    found = np.array(rates(lrs.fitted, hrs.fitted))
    drawn, n = np.full((n_resamples, len(found)), 0.5), min(len(lrs.kept_ohm), len(hrs.kept_ohm))
    for b in range(n_resamples):
        low, high = (rng.choice(state.kept_ohm, len(state.kept_ohm)) for state in (lrs, hrs))
        try:
            drawn[b] = rates(kind.from_samples(low), kind.from_samples(high))
        except ValueError:                                      # the states change places: nothing is told apart
            pass
    tails = [(1 - level) / 2, (1 + level) / 2]
    if samples_of(lrs.fitted) is not None:
        low, high = np.quantile(drawn, tails, axis=0)
        high = np.where(found * n >= 1, high, np.maximum(high, none_seen(n, level)))
    else:
        widening = math.sqrt(n / (n - 1)) * t_quantile(level, n - 1) / t_quantile(level, math.inf)
        above, below = np.quantile(_stable(drawn) - _stable(found), tails, axis=0) * widening
        low, high = _rate(_stable(found) - below), _rate(_stable(found) - above)
    return {cell: RateInterval(*(_digits(value, 9) for value in each))
            for cell, *each in zip(DEVICES_PER_BIT, found, low, high)}


def _stable(rates: np.ndarray) -> np.ndarray:
    """A measure of error rates whose spread over samples hardly depends on the rate."""
    return np.arcsinh(ndtri(np.maximum(rates, 1e-300)) / math.sqrt(2))


def _rate(values: np.ndarray) -> np.ndarray:
    """The error rate behind a `_stable` one."""
    return ndtr(math.sqrt(2) * np.sinh(values))
