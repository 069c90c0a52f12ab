"""The programming conditions of a device card: its rows, joined to one `Condition` each, and read between places."""

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import bnnsim.devices.card_schema as card_schema
from bnnsim.checks import check_bool
from bnnsim.devices.ageing import Retention, Weibull, interpolated
from bnnsim.devices.card_schema import AXES, CardError
from bnnsim.devices.distributions import KINDS
from bnnsim.devices.marks import strongest, weakest
from bnnsim.devices.states import State, check_states

FRESH = ("cycles", "time_second")               # axes whose least value stands for "not said"


class Column(NamedTuple):
    """One key: places along the condition's axis (empty where the value holds at all), values, provenances, sources."""

    grid: tuple[float, ...]
    values: tuple
    provenance: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Condition:
    """What is known under one programming condition.

    `axis` is the key along which values are interpolated, or None; `fixed` are places that all rows share; `cell_mark`
    is how it is known that rates are of `own_cell`.
    """

    name: str
    axis: str | None
    fixed: Mapping[str, float]
    columns: Mapping[str, Column]
    own_cell: str | None
    cell_mark: str = "measured"

    def value(self, key: str, place: Mapping[str, float], extrapolate: bool = False) -> Any:
        """The value of a key at a place, a dict of axis keys; None where it is not known."""
        check_bool("extrapolate", extrapolate)
        column = self.columns.get(key)
        if column is None:
            return None
        if not column.grid or self.axis is None:
            return column.values[0]
        at = place[self.axis]
        if key in card_schema.SAMPLES:
            if at not in column.grid:
                known = ", ".join(f"{x:g}" for x in column.grid)
                raise ValueError(f"{key} is known at {self.axis} {known}, got {at:g}; samples cannot be interpolated: "
                                 "fit states to them")
            return column.values[column.grid.index(at)]
        log = card_schema.VALUES[key].log and len(set(column.values)) > 1
        log_axis = any(axis.log for axis in AXES.values() if axis.key == self.axis)
        values = [math.log(v) for v in column.values] if log else column.values
        value = interpolated(self.axis, at, column.grid, values, log_axis, extrapolate)
        value = math.exp(value) if log else value
        return min(value, card_schema.VALUES[key].high)

    def mark(self, keys: Iterable[str], place: Mapping[str, float]) -> str:
        """The weakest mark of the values of some keys at a place: of the rows that each of them is read between."""
        return weakest(mark for key in keys for mark in self._marks(self.columns[key], place))

    def _marks(self, column: Column, place: Mapping[str, float]) -> tuple[str, ...]:
        if not column.grid or self.axis is None:
            return column.provenance
        grid, at = column.grid, place[self.axis]
        if at in grid:
            return (column.provenance[grid.index(at)],)
        right = min(max(bisect.bisect(grid, at), 1), len(grid) - 1)
        beyond = () if grid[0] < at < grid[-1] else ("derived",)
        return (*column.provenance[right - 1:right + 1], *beyond)

    def rate_mark(self, kind: str, place: Mapping[str, float]) -> str:
        """The weakest mark of what the error rates of a kind of cell at a place come from; see `own_cell` for rates."""
        if not self.has_states:
            found = self.mark([key for key in ("ber", "p01", "p10") if key in self.columns], place)
            return found if self.own_cell in (None, kind) else weakest((found, self.cell_mark, "derived"))
        keys = [*card_schema.STATES, *card_schema.SAMPLES, *(["reference_ohm"] if kind == "1T1R" else []),
                *(card_schema.WEIBULL if "cycles" in place else [])]
        drift = "measured"
        if "time_second" in place and (kept := self.retention()) is not None:
            keys += card_schema.RETENTION
            try:
                kept.shifts(place["time_second"], place.get("temperature_kelvin"))
            except ValueError:                                   # beyond its data
                drift = "derived"
        return weakest((self.mark([key for key in keys if key in self.columns], place), drift))

    def limits(self) -> tuple[float, float] | None:
        """(least, greatest) place along the axis at which any value is known; None without an axis."""
        grids = [column.grid for column in self.columns.values() if column.grid]
        return (min(grid[0] for grid in grids), max(grid[-1] for grid in grids)) if grids else None

    def place(self, **asked: float | None) -> dict[str, float]:
        """The place asked for, checked: an axis that is not known here is refused, a fresh device is default.

        Raises
        ------
        ValueError
        """
        place = {key: value for key, value in asked.items() if value is not None}
        for key, value in place.items():
            if key in AXES and AXES[key].key != key:
                raise ValueError(f"{key} must be given with its unit, as {AXES[key].key}, got {key}={value:g}")
            drifts = self.has_states and "hrs_drift_per_decade" in self.columns     # of rates, neither is known
            dies = self.has_states and "weibull_scale_cycles" in self.columns
            known = key == self.axis or (key == "cycles" and dies) \
                or (key in ("time_second", "temperature_kelvin") and drifts)
            if not known and self.fixed.get(key) != value:
                what = f"only at {self.fixed[key]:g}" if key in self.fixed else "nothing of it"
                raise ValueError(f"{key} must be within the card's data, which know {what}, got {value:g}; add rows")
        limits = self.limits()
        if self.axis is not None and limits is not None:
            if self.axis in FRESH:
                place.setdefault(self.axis, limits[0])
            if self.axis not in place:
                name = next(name for name, axis in AXES.items() if axis.key == self.axis)
                raise ValueError(f"{self.axis} must be given: the card runs from {limits[0]:g} to {limits[1]:g}; say "
                                 f"one place, {self.axis}={limits[1]:g} (--at {name}={limits[1]:g}), or take all of "
                                 f"them by axis {name!r} (--axis {name})")
        return place

    def states(self, place: Mapping[str, float], extrapolate: bool = False) -> tuple[State, State] | None:
        """(lrs, hrs) as programmed at a place, without drift; None where there are rates instead."""
        if not self.has_states:
            return None
        lrs, hrs = (self._state(name, place, extrapolate) for name in ("lrs", "hrs"))
        check_states(lrs, hrs)
        return lrs, hrs

    @property
    def has_states(self) -> bool:
        """Whether distributions are known."""
        return any(key in self.columns for key in (*card_schema.STATES, *card_schema.SAMPLES))

    def _state(self, name: str, place: Mapping[str, float], extrapolate: bool) -> State:
        known = [kind for kind in KINDS.values() if all(f"{name}_{key}" in self.columns for key in kind.KEYS)]
        if len(known) != 1:
            wanted = ", or ".join(" and ".join(f"{name}_{key}" for key in kind.KEYS) for kind in KINDS.values())
            raise CardError(f"condition {self.name!r} must have {wanted}{', and not several of them' if known else ''}")
        return known[0](**{key: self.value(f"{name}_{key}", place, extrapolate) for key in known[0].KEYS})

    def rates(self, place: Mapping[str, float], extrapolate: bool = False) -> tuple[float, float] | None:
        """(p01, p10) at a place; None where there are distributions instead."""
        ber = self.value("ber", place, extrapolate)
        if ber is not None:
            return ber, ber
        p01, p10 = (self.value(key, place, extrapolate) for key in ("p01", "p10"))
        return None if p01 is None or p10 is None else (p01, p10)

    def retention(self) -> Retention | None:
        """The drift with time, or None."""
        def get(key: str) -> Any:
            return self.value(key, {})

        if get("hrs_drift_per_decade") is None:
            return None
        return Retention(get("lrs_drift_per_decade") or 0.0, get("hrs_drift_per_decade"), get("drift_time0_second"),
                         get("drift_temperature0_kelvin"), get("activation_electronvolt") or 0.0,
                         get("drift_time_max_second"), get("drift_temperature_min_kelvin"),
                         get("drift_temperature_max_kelvin"))

    def weibull(self) -> Weibull | None:
        """How devices die, or None."""
        scale, shape = (self.value(key, {}) for key in ("weibull_scale_cycles", "weibull_shape"))
        share = self.value("stuck_share_lrs", {})
        return None if scale is None or shape is None else Weibull(scale, shape, 0.5 if share is None else share)


def make_conditions(rows: Sequence[Mapping[str, Any]]) -> dict[str, Condition]:
    """The conditions of clean rows by name; CardError where rows contradict or lack each other."""
    names = list(dict.fromkeys(row["condition"] for row in rows if "condition" in row)) or [""]
    return {name: _condition(name, [row for row in rows if row.get("condition", name) == name]) for name in names}


def _condition(name: str, rows: Sequence[Mapping[str, Any]]) -> Condition:
    places = {key: sorted({row[key] for row in rows if key in row}) for key in card_schema.PLACE}
    varying = [key for key, values in places.items() if len(values) > 1]
    if len(varying) > 1:
        raise CardError(f"condition {name!r}: one axis may vary, got {' and '.join(varying)}; make a condition of "
                        "each value of the other, or describe time and temperature by drift keys")
    axis = varying[0] if varying else None
    columns = {}
    for key in (*card_schema.VALUES, *card_schema.SAMPLES):
        having = [row for row in rows if key in row]
        if having:
            columns[key] = _column(name, key, axis, having)
    cells = {row["cell"] for row in rows if "cell" in row}
    if len(cells) > 1:
        raise CardError(f"condition {name!r}: cell must be one, got {', '.join(sorted(cells))}")
    fixed = {key: values[0] for key, values in places.items() if len(values) == 1}
    found = Condition(name, axis, fixed, columns, cells.pop() if cells else None,
                      strongest(row["provenance"] for row in rows if "cell" in row))
    _check(found)
    return found


def _column(condition: str, key: str, axis: str | None, rows: Sequence[Mapping[str, Any]]) -> Column:
    places = [None if axis is None else row.get(axis) for row in rows]
    if len(set(places)) < len(places) or (None in places and len(places) > 1):
        where = "" if None in places else f" at one {axis}"
        raise CardError(f"condition {condition!r}: {key} is given twice{where}")
    if axis is None or None in places:
        return Column((), (rows[0][key],), (rows[0]["provenance"],), (rows[0]["source"],))
    rows = sorted(rows, key=lambda row: row[axis])
    values = tuple(row[key] for row in rows)
    if key in card_schema.VALUES and card_schema.VALUES[key].log and min(values) == 0 and len(set(values)) > 1:
        raise CardError(f"condition {condition!r}: {key} must be > 0 along {axis}, where its logarithm is "
                        "interpolated; give the upper bound that the measurement allows")
    return Column(tuple(row[axis] for row in rows), values, tuple(row["provenance"] for row in rows),
                  tuple(row["source"] for row in rows))


def _check(found: Condition) -> None:
    """Distributions or rates, whole and the right way round wherever they are given."""
    name, columns = f"condition {found.name!r}", found.columns
    rates = [key for key in ("ber", "p01", "p10") if key in columns]
    if rates and found.has_states:
        raise CardError(f"{name}: give either distributions of the states or {rates[0]}, got both")
    if rates not in ([], ["ber"], ["p01", "p10"]):
        raise CardError(f"{name} must have either ber, or both p01 and p10, got {' and '.join(rates)}")
    together = [[f"{state}_{key}" for key in kind.KEYS] for kind in KINDS.values() for state in ("lrs", "hrs")]
    for keys in (*together, ["p01", "p10"]):
        grids = {columns[key].grid for key in keys if key in columns}
        if len(grids) > 1 and () not in grids:
            raise CardError(f"{name}: {' and '.join(keys)} must be given at the same {found.axis}")
    if "hrs_drift_per_decade" in columns or "lrs_drift_per_decade" in columns:
        _needs(name, columns, "hrs_drift_per_decade", "drift_time0_second", "drift_temperature0_kelvin",
               "drift_time_max_second")
    if "weibull_scale_cycles" in columns or "weibull_shape" in columns:
        _needs(name, columns, "weibull_scale_cycles", "weibull_shape")
    for key in (*card_schema.RETENTION, *card_schema.WEIBULL):
        if key in columns and columns[key].grid:
            raise CardError(f"{name}: {key} must be given once, without {found.axis}")
    found.retention(), found.weibull()
    if found.has_states:
        _check_states(name, found)


def _check_states(name: str, found: Condition) -> None:
    """Both states can be made wherever they are given."""
    keys = [key for key in card_schema.STATES if key in found.columns] or \
        [key for key in card_schema.SAMPLES if key in found.columns]
    limits = found.limits()
    places: list[float | None] = [*sorted({x for key in keys for x in found.columns[key].grid})]
    for at in places or [limits[0] if limits else None]:
        try:
            found.states({} if found.axis is None or at is None else {found.axis: at})
        except ValueError as error:
            where = f", {found.axis} {at:g}" if at is not None else ""
            raise CardError(f"{name}{where}: {error}") from error


def _needs(name: str, columns: Mapping[str, Column], *keys: str) -> None:
    missing = [key for key in keys if key not in columns]
    if missing:
        raise CardError(f"{name} must have {', '.join(missing)} too")
