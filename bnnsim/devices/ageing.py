"""What cycling and time do to devices: states over cycles, retention, and devices that die.

Nothing is said outside the data, unless ``extrapolate=True`` asks for it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from bnnsim.checks import check_bool, check_probability, check_real, check_sequence, clean_fields
from bnnsim.devices.cells import Failures
from bnnsim.devices.states import KnownState, State, check_states

BOLTZMANN_ELECTRONVOLT = 8.617333262e-5         # eV per kelvin, CODATA 2018
LARGEST = 600.0                                 # exponent whose exp, times a time, is a float


def interpolated(name: str, at: float, grid: Sequence[float], values: Sequence[float], log: bool = False,
                 extrapolate: bool = False) -> float:
    """A value between the points of a table: straight lines over the grid, or over its logarithm.

    Parameters
    ----------
    name : str
        What the grid counts, with its unit; for messages.
    at : float
    grid, values : sequence of float
        The grid ascends; > 0 with `log`.
    log : bool
    extrapolate : bool
        Outside the grid, go on along the first or last line.

    Raises
    ------
    ValueError
        Outside the grid.
    """
    low, high = grid[0], grid[-1]
    if low <= at <= high and len(grid) == 1:
        return float(values[0])
    if not low <= at <= high and (not extrapolate or len(grid) == 1):
        known = f"only {low:g}" if len(grid) == 1 else f"{low:g} to {high:g}"
        remedy = "" if len(grid) == 1 else ", or extrapolate=True (--extrapolate), which trusts the last two points"
        raise ValueError(f"{name} must be within the data, {known}, got {at:g}; add rows to the table{remedy}")
    if log and at <= 0:
        raise ValueError(f"{name} must be > 0, got {at:g}")
    x, points = (math.log(at), np.log(np.asarray(grid))) if log else (at, np.asarray(grid, np.float64))
    i = int(np.clip(np.searchsorted(points, x, "right"), 1, len(grid) - 1))
    share = (x - points[i - 1]) / (points[i] - points[i - 1])
    return float(values[i - 1] + share * (values[i] - values[i - 1]))


@dataclass(frozen=True)
class Wear:
    """The two states over programming cycles.

    Parameters
    ----------
    cycles : sequence of float >= 1
        Ascending. With a callable: the first and last cycle that it holds for.
    states : sequence of (lrs, hrs), or callable
        States at these cycles, of one kind each for LRS and HRS, which is described by numbers (LogNormal,
        NormalConductance, or a `KnownState` of your own): ln of the median (mean) and sigma are interpolated in log N.
        A callable takes N and returns (lrs, hrs), of any kind.

    Examples
    --------
    >>> from bnnsim.devices import LogNormal
    >>> wear = Wear((1, 1e6), [(LogNormal(5e3, 0.2), LogNormal(2e5, 0.4)), (LogNormal(5e3, 0.3), LogNormal(5e4, 0.8))])
    >>> lrs, hrs = wear.at(1e3)
    >>> print(f"{hrs.median_ohm:.0f} ohm, {hrs.sigma_ln:.2f}")
    100000 ohm, 0.60
    """

    cycles: Sequence[float]
    states: Sequence[tuple[State, State]] | Callable[[float], tuple[State, State]]

    def __post_init__(self) -> None:
        cycles = tuple(check_real(f"cycles[{i}]", n, 1) for i, n in enumerate(
            check_sequence("cycles", self.cycles, "numbers of cycles, such as [1, 1e6]")))
        if len(cycles) < 2 or any(b <= a for a, b in zip(cycles[:-1], cycles[1:])):
            raise ValueError(f"cycles must be two or more ascending numbers, got {cycles}")
        object.__setattr__(self, "cycles", cycles)
        if callable(self.states):
            return
        states = tuple(tuple(check_sequence("a pair of states", pair, "two, (lrs, hrs)"))
                       for pair in check_sequence("states", self.states, "pairs (lrs, hrs)"))
        if len(states) != len(cycles) or any(len(pair) != 2 for pair in states):
            raise ValueError(f"states must be {len(cycles)} pairs (lrs, hrs), one for each of cycles, got "
                             f"{len(states)}")
        for pair in states:
            check_states(*pair)
        for which in zip(*states):
            kinds = {type(state) for state in which}
            if len(kinds) > 1 or "nothing" in getattr(which[0], "KEYS", {"": "nothing"}).values():
                names = ", ".join(sorted(kind.__name__ for kind in kinds))
                raise TypeError("states must be all LogNormal or all NormalConductance, which can be interpolated, or "
                                f"of another kind with KEYS, got {names}; or pass a function of the cycles")
        object.__setattr__(self, "states", states)

    def at(self, cycles: float, extrapolate: bool = False) -> tuple[State, State]:
        """(lrs, hrs) after so many cycles."""
        check_bool("extrapolate", extrapolate)
        if callable(self.states):
            low, high = self.cycles[0], self.cycles[-1]
            if not extrapolate and not low <= cycles <= high:
                raise ValueError(f"cycles must be within {low:g} to {high:g}, got {cycles:g}; extrapolate=True calls "
                                 "the function outside all the same")
            lrs, hrs = self.states(cycles)
            check_states(lrs, hrs)
            return lrs, hrs
        lrs, hrs = (_between(cycles, self.cycles, cast(Sequence[KnownState], which), extrapolate)
                    for which in zip(*self.states))
        return lrs, hrs


def _between(cycles: float, grid: Sequence[float], states: Sequence[KnownState], extrapolate: bool) -> State:
    """A state between others of its kind: the logarithm of its middle, and its spread, lie on straight lines."""
    middle, *others = ([getattr(state, key) for state in states] for key in states[0].KEYS)
    columns = [[math.log(value) for value in middle], *others]
    ln_middle, *rest = (interpolated("cycles", cycles, grid, values, True, extrapolate) for values in columns)
    return type(states[0])(**dict(zip(states[0].KEYS, (math.exp(ln_middle), *rest))))


@dataclass(frozen=True)
class Retention:
    """Drift of ln R with the logarithm of time, sped up by temperature (Arrhenius).

    ln R moves by drift * log10(1 + t' / t0), t' = t exp(Ea / k (1 / T0 - 1 / T)): a model commonly used for
    filamentary cells, not a law; the card says where its numbers are from.

    Parameters
    ----------
    lrs_drift, hrs_drift : float
        Change of ln R of all devices in a state per decade of time at T0; negative towards lower resistance.
    time0_second : float > 0
        t0, when drift sets in; usually the delay between programming and the first read.
    temperature0_kelvin : float > 0
        T0, at which the drifts were taken.
    activation_electronvolt : float >= 0
        Ea. 0: the same at each temperature.
    time_max_second : float
        Longest time of the data, at T0 (hot bakes count at their equivalent t').
    temperature_min_kelvin, temperature_max_kelvin : float, optional
        Range of temperatures of the data; T0 alone by default.

    Examples
    --------
    >>> kept = Retention(0.0, -0.1, 1.0, 300.0, 1.0, 1e8, 300.0, 400.0)
    >>> [round(shift, 3) for shift in kept.shifts(999.0, 300.0)]
    [0.0, -0.3]
    """

    lrs_drift: float
    hrs_drift: float
    time0_second: float
    temperature0_kelvin: float
    activation_electronvolt: float
    time_max_second: float
    temperature_min_kelvin: float | None = None
    temperature_max_kelvin: float | None = None

    def __post_init__(self) -> None:
        clean_fields(self, check_real, "lrs_drift", "hrs_drift")
        clean_fields(self, check_real, "time0_second", "temperature0_kelvin", "time_max_second", low=0, open_low=True)
        clean_fields(self, check_real, "activation_electronvolt", low=0, high=10)
        for name in ("temperature_min_kelvin", "temperature_max_kelvin"):
            if getattr(self, name) is not None:
                clean_fields(self, check_real, name, low=0, open_low=True)
        low, high = self.temperatures
        if not low <= self.temperature0_kelvin <= high:
            raise ValueError("temperature0_kelvin must lie in temperature_min_kelvin to temperature_max_kelvin, got "
                             f"{self.temperature0_kelvin:g} of {low:g} to {high:g}")

    @property
    def temperatures(self) -> tuple[float, float]:
        """(least, greatest) temperature of the data, in kelvin."""
        low, high = self.temperature_min_kelvin, self.temperature_max_kelvin
        return self.temperature0_kelvin if low is None else low, self.temperature0_kelvin if high is None else high

    def shifts(self, time_second: float, temperature_kelvin: float | None = None,
               extrapolate: bool = False) -> tuple[float, float]:
        """(shift of ln R in LRS, in HRS) after a time at a temperature.

        Raises
        ------
        ValueError
            Outside the data.
        """
        time, extrapolate = check_real("time_second", time_second, 0), check_bool("extrapolate", extrapolate)
        kelvin = self.temperature0_kelvin if temperature_kelvin is None else temperature_kelvin
        kelvin = check_real("temperature_kelvin", kelvin, 0, open_low=True)
        low, high = self.temperatures
        if not extrapolate and not low <= kelvin <= high:
            raise ValueError(f"temperature_kelvin must be within the data, {low:g} to {high:g}, got {kelvin:g}; add "
                             "data or set extrapolate=True (--extrapolate)")
        exponent = self.activation_electronvolt / BOLTZMANN_ELECTRONVOLT * (1 / self.temperature0_kelvin - 1 / kelvin)
        equivalent = time * math.exp(min(exponent, LARGEST))
        if not extrapolate and equivalent > self.time_max_second * (1 + 1e-9):
            raise ValueError(f"time_second must be within the data, up to {self.time_max_second:g} s at "
                             f"{self.temperature0_kelvin:g} K, got {time:g} s at {kelvin:g} K, which counts as "
                             f"{equivalent:.3g} s; add data or set extrapolate=True")
        decades = math.log10(1 + equivalent / self.time0_second)
        if exponent > LARGEST and time:                          # data at a few kelvin: the rest of the decades
            decades += (exponent - LARGEST) / math.log(10)
        return self.lrs_drift * decades, self.hrs_drift * decades


@dataclass(frozen=True)
class Weibull:
    """Devices that die of cycling: the share dead after N cycles is 1 - exp(-(N / scale)^shape).

    Parameters
    ----------
    scale_cycles : float > 0
        Cycles after which 63 % are dead.
    shape : float > 0
    share_lrs : float
        Share of the dead that are stuck in LRS; the others in HRS.

    Examples
    --------
    >>> worn = Weibull(1e7, 1.5)
    >>> print(f"{worn.failures(1e5).p_failed:.4f}, {worn.lifetime_cycles(0.001):.3g}")
    0.0010, 1e+05
    """

    scale_cycles: float
    shape: float
    share_lrs: float = 0.5

    def __post_init__(self) -> None:
        clean_fields(self, check_real, "scale_cycles", "shape", low=0, open_low=True)
        clean_fields(self, check_probability, "share_lrs")

    def failures(self, cycles: float) -> Failures:
        """The `Failures` after so many cycles."""
        cycles = check_real("cycles", cycles, 0)
        try:
            hazard = (cycles / self.scale_cycles) ** self.shape
        except OverflowError:                                    # all are dead long since
            hazard = math.inf
        return Failures(-math.expm1(-hazard), self.share_lrs)

    def lifetime_cycles(self, p_failed: float) -> float:
        """Cycles after which a share p_failed in (0, 1) of the devices is dead."""
        p_failed = check_probability("p_failed", p_failed)
        if p_failed in (0.0, 1.0):
            raise ValueError(f"p_failed must lie between 0 and 1, got {p_failed:g}: none is surely dead or alive")
        return self.scale_cycles * (-math.log1p(-p_failed)) ** (1 / self.shape)
