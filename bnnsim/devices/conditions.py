"""The rows of a device card joined into one table a condition, and read at a place between them."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import bnnsim.devices.card_schema as card_schema
from bnnsim.devices.ageing import Retention, Weibull, interpolated
from bnnsim.devices.card_schema import CardError
from bnnsim.devices.states import Empirical, LogNormal, NormalConductance, check_states

FRESH = ("cycles", "time_second")               # axes whose least value stands for "not said"


class Column(NamedTuple):
    """One key of a table: places along the table's axis (empty where the value holds at all), values, provenances."""

    grid: tuple
    values: tuple
    provenance: tuple
    sources: tuple


@dataclass(frozen=True)
class Table:
    """What is known under one programming condition.

    `axis` is the key along which values are interpolated, or None; `fixed` are places that all rows share.
    """

    condition: str
    axis: str | None
    fixed: dict
    columns: dict
    cell: str | None

    def value(self, key, place, extrapolate=False):
        """The value of a key at a place, a dict of axis keys; None where the table does not have it."""
        column = self.columns.get(key)
        if column is None:
            return None
        if not column.grid:
            return column.values[0]
        at = place[self.axis]
        if key in card_schema.SAMPLES:
            if at not in column.grid:
                known = ", ".join(f"{x:g}" for x in column.grid)
                raise ValueError(f"{key} is known at {self.axis} {known}, got {at:g}; samples cannot be interpolated: "
                                 "fit states to them")
            return column.values[column.grid.index(at)]
        log, log_axis = card_schema.VALUES[key].log, any(axis.log for axis in card_schema.AXES.values() if axis.key == self.axis)
        if len(set(column.values)) == 1:
            log = False
        values = [math.log(v) for v in column.values] if log else column.values
        value = interpolated(self.axis, at, column.grid, values, log_axis, extrapolate)
        value = math.exp(value) if log else value
        return min(value, card_schema.VALUES[key].high)

    def limits(self):
        """(least, greatest) place along the axis at which any value is known; None without an axis."""
        grids = [column.grid for column in self.columns.values() if column.grid]
        return (min(grid[0] for grid in grids), max(grid[-1] for grid in grids)) if grids else None

    def place(self, **asked):
        """The place asked for, checked: an axis that the table does not know is refused, a fresh device is default.

        Raises
        ------
        ValueError
        """
        place = {key: value for key, value in asked.items() if value is not None}
        for key, value in place.items():
            known = key == self.axis or (key == "cycles" and "weibull_scale_cycles" in self.columns) \
                or (key in ("time_second", "temperature_kelvin") and "hrs_drift_per_decade" in self.columns)
            if not known and self.fixed.get(key) != value:
                what = f"only at {self.fixed[key]:g}" if key in self.fixed else "nothing of it"
                raise ValueError(f"{key} must be within the card's data, which know {what}, got {value:g}; add rows")
        if self.axis in FRESH:
            place.setdefault(self.axis, self.limits()[0])
        if self.axis is not None and self.axis not in place:
            raise ValueError(f"{self.axis} must be given: the card runs from {self.limits()[0]:g} to "
                             f"{self.limits()[1]:g}")
        return place

    def states(self, place, extrapolate=False):
        """(lrs, hrs) as programmed at a place, without drift; None where the table has rates instead."""
        if not self.has_states:
            return None
        found = [self._state(name, place, extrapolate) for name in ("lrs", "hrs")]
        check_states(*found)
        return tuple(found)

    @property
    def has_states(self):
        """Whether distributions are known."""
        return any(key in self.columns for key in (*card_schema.STATES, *card_schema.SAMPLES))

    def _state(self, name, place, extrapolate):
        if f"{name}_samples_ohm" in self.columns:
            return Empirical(self.value(f"{name}_samples_ohm", place, extrapolate))
        for kind, keys in ((LogNormal, ("median_ohm", "sigma_ln")),
                           (NormalConductance, ("mean_siemens", "sigma_siemens"))):
            values = [self.value(f"{name}_{key}", place, extrapolate) for key in keys]
            if None not in values:
                return kind(*values)
        raise CardError(f"condition {self.condition!r} must have {name}_median_ohm and {name}_sigma_ln, or "
                        f"{name}_mean_siemens and {name}_sigma_siemens, or {name}_samples_ohm")

    def rates(self, place, extrapolate=False):
        """(p01, p10) at a place; None where the table has distributions instead."""
        ber = self.value("ber", place, extrapolate)
        if ber is not None:
            return ber, ber
        rates = tuple(self.value(key, place, extrapolate) for key in ("p01", "p10"))
        return None if None in rates else rates

    def retention(self):
        """The drift with time, or None."""
        def get(key):
            return self.value(key, {})

        if get("hrs_drift_per_decade") is None:
            return None
        return Retention(get("lrs_drift_per_decade") or 0.0, get("hrs_drift_per_decade"), get("drift_time0_second"),
                         get("drift_temperature0_kelvin"), get("activation_electronvolt") or 0.0,
                         get("drift_time_max_second"), get("drift_temperature_min_kelvin"),
                         get("drift_temperature_max_kelvin"))

    def weibull(self):
        """How devices die, or None."""
        values = [self.value(key, {}) for key in ("weibull_scale_cycles", "weibull_shape")]
        share = self.value("stuck_share_lrs", {})
        return None if None in values else Weibull(*values, 0.5 if share is None else share)


def make_tables(rows):
    """A dict of condition to Table from clean rows; CardError where rows contradict or lack each other."""
    conditions = list(dict.fromkeys(row["condition"] for row in rows if "condition" in row)) or [""]
    return {condition: _table(condition, [row for row in rows if row.get("condition", condition) == condition])
            for condition in conditions}


def _table(condition, rows):
    places = {key: sorted({row[key] for row in rows if key in row}) for key in card_schema.PLACE}
    varying = [key for key, values in places.items() if len(values) > 1]
    if len(varying) > 1:
        raise CardError(f"condition {condition!r}: one axis may vary, got {' and '.join(varying)}; make a condition of "
                        "each value of the other, or describe time and temperature by drift keys")
    axis = varying[0] if varying else None
    columns = {}
    for key in (*card_schema.VALUES, *card_schema.SAMPLES):
        having = [row for row in rows if key in row]
        if having:
            columns[key] = _column(condition, key, axis, having)
    cells = {row["cell"] for row in rows if "cell" in row}
    if len(cells) > 1:
        raise CardError(f"condition {condition!r}: cell must be one, got {', '.join(sorted(cells))}")
    fixed = {key: values[0] for key, values in places.items() if len(values) == 1}
    table = Table(condition, axis, fixed, columns, cells.pop() if cells else None)
    _check_table(table)
    return table


def _column(condition, key, axis, rows):
    places = [row.get(axis) for row in rows]
    if len(set(places)) < len(places) or (None in places and len(places) > 1):
        where = "" if None in places else f" at one {axis}"
        raise CardError(f"condition {condition!r}: {key} is given twice{where}")
    if None in places:
        return Column((), (rows[0][key],), (rows[0]["provenance"],), (rows[0]["source"],))
    rows = sorted(rows, key=lambda row: row[axis])
    values = tuple(row[key] for row in rows)
    if key in card_schema.VALUES and card_schema.VALUES[key].log and min(values) == 0 and len(set(values)) > 1:
        raise CardError(f"condition {condition!r}: {key} must be > 0 along {axis}, where its logarithm is "
                        "interpolated; give the upper bound that the measurement allows")
    return Column(tuple(row[axis] for row in rows), values, tuple(row["provenance"] for row in rows),
                  tuple(row["source"] for row in rows))


def _check_table(table):
    """Distributions or rates, whole and the right way round wherever they are given."""
    name, columns = f"condition {table.condition!r}", table.columns
    rates = [key for key in ("ber", "p01", "p10") if key in columns]
    if rates and table.has_states:
        raise CardError(f"{name}: give either distributions of the states or {rates[0]}, got both")
    if rates not in ([], ["ber"], ["p01", "p10"]):
        raise CardError(f"{name} must have either ber, or both p01 and p10, got {' and '.join(rates)}")
    for keys in (("lrs_median_ohm", "lrs_sigma_ln"), ("hrs_median_ohm", "hrs_sigma_ln"), ("p01", "p10"),
                 ("lrs_mean_siemens", "lrs_sigma_siemens"), ("hrs_mean_siemens", "hrs_sigma_siemens")):
        grids = {columns[key].grid for key in keys if key in columns}
        if len(grids) > 1 and () not in grids:
            raise CardError(f"{name}: {keys[0]} and {keys[1]} must be given at the same {table.axis}")
    if "hrs_drift_per_decade" in columns or "lrs_drift_per_decade" in columns:
        _needs(name, columns, "hrs_drift_per_decade", "drift_time0_second", "drift_temperature0_kelvin",
               "drift_time_max_second")
    if "weibull_scale_cycles" in columns or "weibull_shape" in columns:
        _needs(name, columns, "weibull_scale_cycles", "weibull_shape")
    for key in (*card_schema.RETENTION, *card_schema.WEIBULL):
        if key in columns and columns[key].grid:
            raise CardError(f"{name}: {key} must be given once, without {table.axis}")
    table.retention(), table.weibull()
    if table.has_states:
        low, _ = table.limits() or (None, None)
        keys = card_schema.STATES if any(key in columns for key in card_schema.STATES) else card_schema.SAMPLES
        for at in sorted({x for key in keys if key in columns for x in columns[key].grid}) or [low]:
            try:
                table.states({table.axis: at})
            except ValueError as error:
                where = f", {table.axis} {at:g}" if at is not None else ""
                raise CardError(f"{name}{where}: {error}") from error


def _needs(name, columns, *keys):
    missing = [key for key in keys if key not in columns]
    if missing:
        raise CardError(f"{name} must have {', '.join(missing)} too")
