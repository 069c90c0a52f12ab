"""What a device card may hold: its keys, their units and ranges; every value of a file is checked before use.

A card is JSON::

    {"format": "bnnsim device card", "format_version": 1,
     "name": "...", "memory": "RRAM", "description": "...", "licence": "...", "assume_equal_sigmas": false,
     "rows": [{"condition": "weak", "cycles": 1, "lrs_median_ohm": 5e3, ..., "provenance": "measured",
               "source": "..."}]}

Each row says where it holds (`PLACE`), what is known there (`VALUES`), and how that is known: provenance "measured",
"read" (in a publication's text), "reconstructed" (from prose or a figure), "recalled" (from memory, not verified) or
"synthetic" (invented), and the source; `bnnsim.devices.marks` carries it on. A row's ``cell`` says of which kind of
cell its rates are. Rows of one place are joined; a value that two of them give is refused. A row without a condition
holds for all.
"""

import math
import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from bnnsim.checks import FilePath, check_choice, check_int, check_real, nearest
from bnnsim.devices.distributions import KINDS
from bnnsim.devices.marks import MARKS
from bnnsim.files.json_text import parse_json

FORMAT, VERSION = "bnnsim device card", 1
MAX_BYTES, MAX_ROWS, MAX_CONDITIONS, MAX_TEXT = 4_000_000, 10_000, 100, 2_000
PROVENANCES = tuple(mark for mark in MARKS if mark != "derived")


class Value(NamedTuple):
    """A number of a row: least value, whether that is excluded, greatest, whether its logarithm is interpolated."""

    low: float
    open_low: bool
    high: float
    log: bool


POSITIVE, ANY = Value(0, True, math.inf, True), Value(-math.inf, False, math.inf, False)
PROBABILITY, SIGMA = Value(0, False, 1, True), Value(0, False, math.inf, False)


class Axis(NamedTuple):
    """One thing that a card's values may depend on.

    The key in rows, its label and unit, whether it is a log axis; what a place on it is, in words and as a range that
    rows may have (None: no number of a row).
    """

    key: str
    label: str
    unit: str
    log: bool
    wanted: str
    range: Value | None


AXES = {
    "condition": Axis("condition", "programming condition", "", False, "the name of a programming condition", None),
    "cycles": Axis("cycles", "programming cycles", "", True, "a number of cycles >= 1",
                   Value(1, False, math.inf, True)),
    "time": Axis("time_second", "time after programming", "s", True, "a time > 0 in seconds", POSITIVE),
    "temperature": Axis("temperature_kelvin", "temperature", "K", False, "a temperature > 0 in kelvin", POSITIVE),
    "sigma": Axis("sigma", "factor on the spread of both states", "", False, "a factor >= 0", None),
    "voltage": Axis("voltage_volt", "supply voltage", "V", False, "a voltage > 0 in volt", POSITIVE),
    "timing": Axis("timing_second", "timing parameter", "s", False, "a time > 0 in seconds", POSITIVE),
}
# what results call each axis, to its name here
MOVED = {"sigma_factor" if name == "sigma" else axis.key: name for name, axis in AXES.items()}
PARTS_OF_A_SECOND = ((1e-12, "ps"), (1e-9, "ns"), (1e-6, "us"), (1e-3, "ms"))
PLACE = {axis.key: axis.range for axis in AXES.values() if axis.range is not None}
_OF_STATES = [(f"{state}_{key}", rule) for state in ("lrs", "hrs") for kind in KINDS.values()
              for key, rule in kind.KEYS.items()]
STATES = {key: POSITIVE if rule == "log" else SIGMA for key, rule in _OF_STATES if rule != "nothing"}
SAMPLES = tuple(key for key, rule in _OF_STATES if rule == "nothing")
RETENTION = {"lrs_drift_per_decade": ANY, "hrs_drift_per_decade": ANY, "drift_time0_second": POSITIVE,
             "drift_temperature0_kelvin": POSITIVE, "activation_electronvolt": Value(0, False, 10, False),
             "drift_time_max_second": POSITIVE, "drift_temperature_min_kelvin": POSITIVE,
             "drift_temperature_max_kelvin": POSITIVE}
WEIBULL = {"weibull_scale_cycles": POSITIVE, "weibull_shape": POSITIVE, "stuck_share_lrs": Value(0, False, 1, False)}
ENERGY = {key: POSITIVE for key in ("energy_set_joule", "energy_reset_joule", "energy_write_joule", "energy_read_joule",
                                    "energy_relative")}
VALUES = {**STATES, "ber": PROBABILITY, "p01": PROBABILITY, "p10": PROBABILITY, **RETENTION, **WEIBULL, **ENERGY,
          "reference_ohm": POSITIVE, "endurance_cycles": POSITIVE, "v_set_volt": ANY, "v_reset_volt": ANY,
          "pulse_width_second": POSITIVE, "i_compliance_ampere": POSITIVE}
UNITS = ("ohm", "ln", "siemens", "second", "kelvin", "volt", "ampere", "joule", "electronvolt", "cycles")
TEXTS = ("condition", "cell", "provenance", "source", "note")
HEAD = {"format": str, "format_version": int, "name": str, "memory": str, "description": str, "licence": str,
        "assume_equal_sigmas": bool, "rows": list}
OPTIONAL = ("assume_equal_sigmas",)


class CardError(ValueError):
    """A device card that cannot be used, and why."""


def place_text(axis: str, place: float | str, digits: int = 6) -> str:
    """A place on an axis with its unit: "0.6 V", "5 ns", "1e+07", the name of a condition."""
    if isinstance(place, str):
        return place
    unit = AXES[axis].unit
    if unit == "s" and 1e-12 <= place < 0.1:                    # where seconds would be powers of ten
        part, unit = [each for each in PARTS_OF_A_SECOND if each[0] <= place * (1 + 1e-9)][-1]
        place /= part
    return f"{place:.{digits}g}" + (f" {unit}" if unit else "")


def where_text(at: Mapping[str, Any]) -> str:
    """Places by the keys of their axes, in words: "condition weak, time 1e+07 s"; nothing for none."""
    names = {axis.key: name for name, axis in AXES.items()}
    said = {names[key]: place for key, place in at.items() if key in names and place not in (None, "")}
    return ", ".join(f"{axis} {place_text(axis, place)}" for axis, place in said.items())


def read_json(path: FilePath) -> Any:
    """The object that a card's file holds; plain JSON of at most 4 MB without NaN and without a key given twice."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"{os.fspath(path)}: no such file; wanted a device card (JSON)")
    if not os.path.isfile(path):
        raise CardError(f"{os.fspath(path)}: wanted the file of a device card (JSON), got a folder, a pipe or a device")
    with open(path, "rb") as file:
        text = file.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise CardError(f"{os.fspath(path)}: a device card must have at most {MAX_BYTES:,} bytes")
    try:
        return parse_json(text.decode("utf-8-sig"))
    except ValueError as error:
        remedy = "" if text.lstrip().startswith(b"{") else \
            "; of a table of measurements bnnsim.devices.fit(path).card(...).save('card.json') makes one"
        raise CardError(f"{os.fspath(path)}: not a device card: {error}{remedy}") from error


def check_card(fields: object) -> dict[str, Any]:
    """A card's fields, clean; CardError names the row and the key, what was wanted, and what came."""
    try:
        return _checked(fields)
    except (ValueError, TypeError) as error:
        raise CardError(str(error)) from error


def _checked(fields: object) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise CardError(f"a device card must be a JSON object, got {type(fields).__name__}")
    _known("the card", fields, HEAD)
    for key, kind in HEAD.items():
        if key not in fields:
            if key in OPTIONAL:
                continue
            raise CardError(f"the card must have the key {key!r}")
        if not isinstance(fields[key], kind):
            wanted = {str: "text", int: "an integer", bool: "true or false", list: "an array"}[kind]
            raise CardError(f"{key} must be {wanted}, got {_short(fields[key])}")
        if kind is str:
            _text(key, fields[key])
    if fields["format"] != FORMAT or fields["format_version"] is True:
        raise CardError(f"format must be {FORMAT!r}, got {fields['format']!r}")
    check_int("format_version (write a newer card with a newer bnnsim)", fields["format_version"], VERSION, VERSION)
    if not 1 <= len(fields["rows"]) <= MAX_ROWS:
        raise CardError(f"rows must be 1 to {MAX_ROWS:,} rows, got {len(fields['rows']):,}")
    rows = tuple(_row(f"rows[{i}]", row) for i, row in enumerate(fields["rows"]))
    n_conditions = len({row.get("condition") for row in rows})
    if n_conditions > MAX_CONDITIONS:
        raise CardError(f"a card may have {MAX_CONDITIONS} conditions at most, got {n_conditions:,}")
    return {**fields, "assume_equal_sigmas": fields.get("assume_equal_sigmas", False), "rows": rows}


def _row(name: str, row: object) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise CardError(f"{name} must be a JSON object, got {_short(row)}")
    _known(name, row, (*TEXTS, *PLACE, *VALUES, *SAMPLES))
    clean: dict[str, Any] = {}
    for key, value in row.items():
        if key in TEXTS:
            clean[key] = _text(f"{name} {key}", value)
        elif key in SAMPLES:
            clean[key] = _samples(f"{name} {key}", value)
        else:
            low, open_low, high, _ = PLACE.get(key) or VALUES[key]
            clean[key] = _number(f"{name} {key}", value, low, high, open_low)
    check_choice(f"{name} provenance", row.get("provenance"), PROVENANCES)
    if not row.get("source"):
        raise CardError(f"{name} must have a source: who measured or published it, or how it was made")
    if "ber" in row and ("p01" in row or "p10" in row):
        raise CardError(f"{name} must have either ber, or p01 and p10, got both")
    return clean


def _short(value: object) -> str:
    """What came, in a message that stays short whatever a file holds."""
    return f"{str(value)[:40]!r} of type {type(value).__name__}"


def _number(name: str, value: object, low: float, high: float, open_low: bool) -> float:
    if not isinstance(value, (int, float)):
        raise CardError(f"{name} must be a number, got {_short(value)}")
    try:
        return check_real(name, value, None if low == -math.inf else low, None if high == math.inf else high, open_low)
    except OverflowError:
        raise CardError(f"{name} must be finite, got a number of more than 308 digits") from None


def _samples(name: str, value: object) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)) or len(value) < 2:
        raise CardError(f"{name} must be an array of two or more resistances")
    numbers = [_number(f"{name}[{i}]", x, 0, math.inf, True) for i, x in enumerate(value)]
    return tuple(np.sort(numbers).tolist())


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise CardError(f"{name} must be text of at most {MAX_TEXT:,} characters, got {_short(value)}")
    return value


def _known(name: str, found: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in found:
        if key not in known:
            raise CardError(f"{name}: unknown key {str(key)[:60]!r}{_hint(str(key)[:60], known)}")


def _hint(key: str, known: Iterable[str]) -> str:
    """Which key was meant: the same quantity in another unit, or a near spelling."""
    same = [each for each in known if each.rpartition("_")[2] in UNITS
            and each.rpartition("_")[0] in (key, key.rpartition("_")[0])]
    if same and key not in (f"{each}s" for each in same):
        return f"; a key names its unit: give this quantity as {' or '.join(map(repr, same))}"
    near = nearest(key, known)
    return f"; did you mean {near!r}?" if near else f"; known are {', '.join(sorted(known))}"
