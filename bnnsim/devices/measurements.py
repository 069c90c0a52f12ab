"""Tables of measured resistances: CSV files, read and checked line by line.

Columns, in any order, separated by commas, named in the first line:

==================  ==========  =====================================================================
column              needed      what
==================  ==========  =====================================================================
resistance_ohm      yes         one read of one device, in ohm, 1e-6 to 1e18
state               yes         LRS or HRS: what the device was programmed to, not what it looks like
condition           no          name of the programming condition
cycles              no          programming cycles the device had seen, >= 1
time_second         no          time between programming and read, in seconds, > 0
temperature_kelvin  no          in kelvin, > 0
==================  ==========  =====================================================================

Readings that are no resistances are refused, or left out and counted: codes of overflow and of "not a number" (9.91e37,
9.9e37, 1e38, 199.999e99, 7e22, all beyond 1e18 ohm), inf, nan, words such as OVLD, an empty field, and resistances that
are zero or negative, which are noise or offset of the instrument. What holds digits and is no number, such as 5k,
1_000 or 1,000, is a mistake of the table and always refused.
"""

import csv
import math
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bnnsim.checks import FilePath, nearest, real_of
from bnnsim.devices.card_schema import AXES, PLACE, POSITIVE
from bnnsim.devices.distributions import GREATEST_OHM

MAX_BYTES, MAX_LINES, MAX_GROUPS = 200_000_000, 5_000_000, 1_000
NEEDED, PLACES = ("resistance_ohm", "state"), ("condition", "cycles", "time_second", "temperature_kelvin")
WANTED = {"resistance_ohm": "a resistance > 0 in ohm", **{axis.key: axis.wanted for axis in AXES.values()}}

LEAST_OHM = 1e-6

Place = tuple[tuple[str, Any], ...]         # ((column, value), ...) of the optional columns


class MeasurementError(ValueError):
    """A table that cannot be used; the message names the file, the line and the column."""


class Measurements(NamedTuple):
    """Resistances in ohm, float64 (n,), by place and state; and how many lines were left out, by place and state."""

    ohm: dict[Place, dict[str, np.ndarray]]
    n_dropped: dict[Place, dict[str, int]]


def read_measurements(path: FilePath, drop_invalid: bool = False) -> Measurements:
    """Resistances by place and state.

    Parameters
    ----------
    path : path
        UTF-8, at most 200 MB and 5 million lines.
    drop_invalid : bool
        Leave out, and count, lines whose reading is no resistance; by default the first one is refused.

    Returns
    -------
    Measurements
        Of each place, ((column, value), ...) of the optional columns that the file has, {"LRS": ohm, "HRS": ohm}.

    Raises
    ------
    MeasurementError
        A ValueError that names line and column, what was wanted, and what came.
    """
    name = os.path.basename(os.fspath(path))
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{os.fspath(path)}: no such file; wanted a table of measurements (CSV)")
    if os.path.getsize(path) > MAX_BYTES:
        raise MeasurementError(f"{name} must have at most {MAX_BYTES:,} bytes, got {os.path.getsize(path):,}")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            return _groups(name, csv.reader(file, strict=True), drop_invalid)
    except UnicodeDecodeError as error:
        raise MeasurementError(f"{name} must be UTF-8 text, got byte {error.object[error.start]:#x}") from error


def _groups(name: str, reader: Any, drop_invalid: bool) -> Measurements:
    """What a `csv.reader` reads."""
    groups: dict[Place, dict[str, list[float]]] = {}
    dropped: dict[Place, dict[str, int]] = {}
    try:
        header = _header(name, next(reader, ()))
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            place, state, ohm = _line(name, reader.line_num, header, fields, drop_invalid)
            of_place = groups.setdefault(place, {"LRS": [], "HRS": []})
            if ohm is None:
                dropped.setdefault(place, {"LRS": 0, "HRS": 0})[state] += 1
            else:
                of_place[state].append(ohm)
            if len(groups) > MAX_GROUPS or reader.line_num > MAX_LINES:
                what = f"{MAX_GROUPS:,} places" if len(groups) > MAX_GROUPS else f"{MAX_LINES:,} lines"
                raise MeasurementError(f"{name}, line {reader.line_num}: a table may have at most {what}")
    except csv.Error as error:
        raise MeasurementError(f"{name}, line {reader.line_num}: not CSV: {error}") from error
    if not groups:
        raise MeasurementError(f"{name}: wanted measurements below the first line, got none")
    return Measurements({place: {state: np.array(values) for state, values in states.items()}
                         for place, states in groups.items()}, dropped)


def _header(name: str, fields: Iterable[str]) -> list[str]:
    known = (*NEEDED, *PLACES)
    columns = [field.strip() for field in fields]
    for column in columns:
        if column not in known:
            raise MeasurementError(f"{name}, line 1: unknown column {column[:60]!r}{_hint(column, known)}; known are "
                                   f"{', '.join(known)}: leave out all others")
    for column in NEEDED:
        if column not in columns:
            raise MeasurementError(f"{name}, line 1: the column {column} must be there, got "
                                   f"{', '.join(columns)[:200] or 'none'}")
    if len(set(columns)) < len(columns):
        raise MeasurementError(f"{name}, line 1: a column is named twice: {', '.join(columns)}")
    return columns


def _hint(column: str, known: Iterable[str]) -> str:
    """What was meant: commas, the same quantity in the unit that its name says, or another spelling."""
    if ";" in column or "\t" in column:
        return "; columns are separated by commas"
    same = [each for each in WANTED if "_" in each and each.split("_")[0] == column.lower().split("_")[0]]
    near = nearest(column, known)
    if same and same[0] != near:
        return f"; give this quantity as {same[0]}, {WANTED[same[0]]}"
    return f"; did you mean {near!r}?" if near else ""


def _line(name: str, line: int, header: Sequence[str], fields: Sequence[str],
          drop_invalid: bool) -> tuple[Place, str, float | None]:
    """(place, state, ohm) of one line; None in place of a reading that is no resistance and may be dropped."""
    if len(fields) != len(header):
        raise MeasurementError(f"{name}, line {line}: wanted {len(header)} columns ({', '.join(header)}), got "
                               f"{len(fields)}")
    row = {column: field.strip() for column, field in zip(header, fields)}
    state = row["state"].upper()
    if state not in ("LRS", "HRS"):
        raise MeasurementError(f"{name}, line {line}, column state: wanted LRS or HRS, got {row['state'][:40]!r}")
    place = tuple((column, row[column] if column == "condition" else _number(name, line, column, row[column]))
                  for column in PLACES if column in row)
    return place, state, _resistance(name, line, row["resistance_ohm"], drop_invalid)


def _number(name: str, line: int, column: str, text: str) -> float:
    value = _float(text)
    low, open_low, _, _ = PLACE.get(column, POSITIVE)
    if not math.isfinite(value) or value < low or (open_low and value == low):
        raise _refused(name, line, column, text)
    return value


def _resistance(name: str, line: int, text: str, drop_invalid: bool) -> float | None:
    value = _float(text)
    if LEAST_OHM <= value <= GREATEST_OHM:
        return value
    if math.isnan(value) and any(character.isdigit() for character in text):
        raise _refused(name, line, "resistance_ohm", text)
    if drop_invalid:
        return None
    raise MeasurementError(f"{_refused(name, line, 'resistance_ohm', text)}, {_what_it_is(value)}; leave such lines "
                           "out, or have all of them dropped and counted by drop_invalid=True")


def _what_it_is(value: float) -> str:
    """Of a reading that is no resistance."""
    if value == 0 or value < 0 and value >= -GREATEST_OHM:
        return "a current or voltage at the noise or offset of the instrument"
    if abs(value) < LEAST_OHM:
        return f"less than {LEAST_OHM:g} ohm: one over a code of overflow?"
    return "which is no reading but a code of the instrument: overflow, or no number"


def _float(text: str) -> float:
    try:
        return real_of(text)
    except ValueError:
        return math.nan


def _refused(name: str, line: int, column: str, text: str) -> MeasurementError:
    return MeasurementError(f"{name}, line {line}, column {column}: wanted {WANTED[column]}, got {text[:40]!r}")
