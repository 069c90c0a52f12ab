"""Tables of measured resistances: CSV files, read and checked line by line.

Columns, in any order, separated by commas, named in the first line:

==================  ==========  =====================================================================
column              needed      what
==================  ==========  =====================================================================
resistance_ohm      yes         one read of one device, in ohm, > 0
state               yes         LRS or HRS: what the device was programmed to, not what it looks like
condition           no          name of the programming condition
cycles              no          programming cycles the device had seen, >= 1
time_second         no          time between programming and read, in seconds, > 0
temperature_kelvin  no          in kelvin, > 0
==================  ==========  =====================================================================
"""

import csv
import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bnnsim.checks import FilePath, nearest
from bnnsim.devices.card_schema import AXES, PLACE, POSITIVE

MAX_BYTES, MAX_LINES, MAX_GROUPS = 200_000_000, 5_000_000, 1_000
NEEDED, PLACES = ("resistance_ohm", "state"), ("condition", "cycles", "time_second", "temperature_kelvin")
WANTED = {"resistance_ohm": "a resistance > 0 in ohm", **{axis.key: axis.wanted for axis in AXES.values()}}

Place = tuple[tuple[str, Any], ...]         # ((column, value), ...) of the optional columns


class MeasurementError(ValueError):
    """A table that cannot be used; the message names the file, the line and the column."""


def read_measurements(path: FilePath) -> dict[Place, dict[str, np.ndarray]]:
    """Resistances by place and state.

    Parameters
    ----------
    path : path
        UTF-8, at most 200 MB and 5 million lines.

    Returns
    -------
    dict of tuple to dict of str to float64 (n,)
        A place, ((column, value), ...) of the optional columns that the file has, to {"LRS": ohm, "HRS": ohm}.

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
            return _groups(name, csv.reader(file, strict=True))
    except UnicodeDecodeError as error:
        raise MeasurementError(f"{name} must be UTF-8 text, got byte {error.object[error.start]:#x}") from error


def _groups(name: str, reader: Any) -> dict[Place, dict[str, np.ndarray]]:
    """What a `csv.reader` reads."""
    groups: dict[Place, dict[str, list[float]]] = {}
    try:
        header = _header(name, next(reader, ()))
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            place, state, ohm = _line(name, reader.line_num, header, fields)
            groups.setdefault(place, {"LRS": [], "HRS": []})[state].append(ohm)
            if len(groups) > MAX_GROUPS or reader.line_num > MAX_LINES:
                what = f"{MAX_GROUPS:,} places" if len(groups) > MAX_GROUPS else f"{MAX_LINES:,} lines"
                raise MeasurementError(f"{name}, line {reader.line_num}: a table may have at most {what}")
    except csv.Error as error:
        raise MeasurementError(f"{name}, line {reader.line_num}: not CSV: {error}") from error
    if not groups:
        raise MeasurementError(f"{name}: wanted measurements below the first line, got none")
    return {place: {state: np.array(values) for state, values in states.items()} for place, states in groups.items()}


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


def _line(name: str, line: int, header: Sequence[str], fields: Sequence[str]) -> tuple[Place, str, float]:
    """(place, state, ohm) of one line."""
    if len(fields) != len(header):
        raise MeasurementError(f"{name}, line {line}: wanted {len(header)} columns ({', '.join(header)}), got "
                               f"{len(fields)}")
    row = {column: field.strip() for column, field in zip(header, fields)}
    state = row["state"].upper()
    if state not in ("LRS", "HRS"):
        raise MeasurementError(f"{name}, line {line}, column state: wanted LRS or HRS, got {row['state'][:40]!r}")
    place = tuple((column, row[column] if column == "condition" else _number(name, line, column, row[column]))
                  for column in PLACES if column in row)
    return place, state, _number(name, line, "resistance_ohm", row["resistance_ohm"])


def _number(name: str, line: int, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    low, open_low, _, _ = PLACE.get(column, POSITIVE)
    if not math.isfinite(value) or value < low or (open_low and value == low):
        raise MeasurementError(f"{name}, line {line}, column {column}: wanted {WANTED[column]}, got {text[:40]!r}")
    return value
