"""Tables of measured resistances: files of instruments and data frames, read and checked line by line.

Columns, in any order; by these names, or by others that `bnnsim.devices.column_names` reads (``R (kOhm)``, ``G [uS]``,
``log10_resistance_ohm``, ``t [min]``), or that `columns` says:

===================  ==========  ====================================================================
column               needed      what
===================  ==========  ====================================================================
resistance_ohm       yes         one read of one device, 1e-6 to 1e18 ohm
state                yes         LRS or HRS: what the device was programmed to, not what it looks like
condition            no          name of the programming condition; several columns are joined
cycles               no          programming cycles the device had seen, >= 1
time_second          no          time between programming and read, in seconds, > 0
temperature_kelvin   no          in kelvin, > 0
energy_joule         no          to program this row's state: of SET where it is LRS, of RESET where HRS
energy_set_joule,    no          of SET, of RESET, whatever the row's state
energy_reset_joule
energy_pulse_joule   no          of one pulse, times `pulses`: energy_joule
pulses               no          pulses that it took to program this row's state, >= 1
===================  ==========  ====================================================================

States are LRS, on, SET or 1, and HRS, off, RESET or 0, in any case. A wide table has a column of resistances for each
state (``R_LRS (ohm)``), for each number of cycles (``cycle 100 (ohm)``), or both; what is blank there is left out and
counted.

Readings that are no resistances are refused, or left out and counted: codes of overflow and of "not a number" (9.91e37,
9.9e37, 1e38, 199.999e99, 7e22, all beyond 1e18 ohm), inf, nan, words such as OVLD, an empty field, and resistances that
are zero or negative, which are noise or offset of the instrument. What holds digits and is no number, such as 5k,
1_000 or 1,000, is a mistake of the table and always refused.
"""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

import bnnsim.devices.column_choice as column_choice
from bnnsim.checks import check_bool, check_choice, real_of
from bnnsim.devices.card_schema import PLACE, POSITIVE
from bnnsim.devices.column_choice import WANTED, Columns
from bnnsim.devices.column_names import ENERGIES, KEEP, STATES, Column
from bnnsim.devices.distributions import GREATEST_OHM
from bnnsim.devices.table_text import MeasurementError, Table, decimal_mark, is_frame, open_table

MAX_GROUPS = 1_000
LEAST_OHM = 1e-6
TO_PROGRAM = {"LRS": "energy_set_joule", "HRS": "energy_reset_joule"}

log = logging.getLogger("bnnsim")

Place = tuple[tuple[str, Any], ...]         # ((column, value), ...) of the optional columns
Source = Any                                # a path, a data frame, or a dict of these by state


class Measurements(NamedTuple):
    """What tables hold, by place, ((column, value), ...) of the places they have.

    Attributes
    ----------
    ohm : dict of Place to dict of {"LRS", "HRS"} to float64 (n,)
        Resistances.
    n_dropped : dict of Place to dict of {"LRS", "HRS"} to int
        Readings left out because they are no resistances.
    energy_joule : dict of Place to dict of str to float
        Means of energy_set_joule and energy_reset_joule, where the tables have them.
    pulses : dict of Place to dict of {"LRS", "HRS"} to float
        Mean pulses to program a state, where the tables have them.
    kept : dict of Place to dict of {"LRS", "HRS"} to list of dict
        Texts of the columns that were to be kept, one dict a resistance.
    n_left_out : dict of str to int
        How many fields were "blank", "nan" or "no resistance" (codes, words, <= 0), and left out, blank ones of wide
        tables among them; or "of other states", whose word was said to be None.
    read_as : str
        How columns were read, a line a table whose names are not those of `bnnsim.devices.measurements`.
    """

    ohm: dict[Place, dict[str, np.ndarray]]
    n_dropped: dict[Place, dict[str, int]]
    energy_joule: dict[Place, dict[str, float]]
    pulses: dict[Place, dict[str, float]]
    kept: dict[Place, dict[str, list[dict[str, str]]]]
    n_left_out: dict[str, int]
    read_as: str

    def __repr__(self) -> str:
        n = {state: sum(len(there[state]) for there in self.ohm.values()) for state in ("LRS", "HRS")}
        places = f"{len(self.ohm):,} place{'s' * (len(self.ohm) != 1)}"
        return f"<Measurements: {n['LRS']:,} of LRS and {n['HRS']:,} of HRS, {places}>"


def read_measurements(table: Source, columns: Columns | None = None, drop_invalid: bool = False,
                      decimal: str | None = None) -> Measurements:
    """Resistances by place and state.

    Parameters
    ----------
    table : path, data frame, or dict of {"LRS", "HRS"} to these
        A file: UTF-8, at most 200 MB and 5 million lines, separated by commas, semicolons or tabs, with a header below
        what an instrument writes before it, and comments (#, %, !). A pandas or polars data frame. Or a table for each
        state, which has no column of states.
    columns : dict of str to str, None or dict, optional
        What columns are, by name: ``{"R": "resistance_kohm", "device": None, "wafer": "keep", "S": {"lo": "LRS", "hi":
        "HRS"}}``; None ignores a column, or rows with a word for a state, and ``{"*": None}`` all that are not known.
        Others go by their names; how they were read is logged, and stands in `Measurements.read_as`. A file without a
        header has columns "1", "2", ... Tables by state may have a dict each, ``{"LRS": {...}, "HRS": {...}}``.
    drop_invalid : bool
        Leave out, and count, lines whose reading is no resistance; by default the first one is refused.
    decimal : {".", ","}, optional
        What numbers have before their fractions; told from the table by default.

    Returns
    -------
    Measurements

    Raises
    ------
    MeasurementError
        A ValueError that names line and column, what was wanted, what came, and what to say where it is ambiguous.

    Examples
    --------
    >>> from bnnsim.datasets import data_file
    >>> found = read_measurements(data_file("devices/sample_measurements.csv"))
    >>> [(place, len(states["LRS"])) for place, states in found.ohm.items()]
    [((('condition', 'strong'),), 400), ((('condition', 'weak'),), 400)]
    """
    found, told, sources = _Found(), [], _sources(table)
    by_state: Mapping[str | None, Columns | None] = \
        column_choice.columns_of_states(columns) if len(sources) > 1 else {None: columns}
    drop_invalid = check_bool("drop_invalid", drop_invalid)
    if decimal is not None:
        check_choice("decimal", decimal, (".", ","))
    for state, each in sources:
        said = column_choice.check_columns(by_state[state])
        opened = open_table(each, column_choice.score_of(said, state), column_choice.are_numbers(said))
        chosen = column_choice.chosen(opened, said, state)
        numeric = [i for i, column in enumerate(chosen) if column.quantity not in ("", KEEP, "state", "condition")]
        mark = decimal_mark(opened, numeric, decimal)
        text = column_choice.read_as(opened, chosen, mark, said)
        if text:
            log.log(logging.WARNING if "guessed" in text else logging.INFO, "read as %s", text)
            told.append(text)
        _Reader(opened, chosen, mark, drop_invalid).into(found)
    return found.measurements("\n".join(told))


def _sources(table: Source) -> list[tuple[str | None, Any]]:
    if not isinstance(table, Mapping) or is_frame(table):
        return [(None, table)]
    if set(table) != set(STATES):
        raise ValueError("tables by state must be {'LRS': ..., 'HRS': ...}, got "
                         f"{', '.join(map(repr, table)) or 'none'}")
    return [(state, table[state]) for state in STATES]


@dataclass
class _Found:
    """What was read so far."""

    ohm: dict[Place, dict[str, list[float]]] = field(default_factory=dict)
    dropped: dict[Place, dict[str, int]] = field(default_factory=dict)
    joule: dict[Place, dict[str, list[float]]] = field(default_factory=dict)
    pulses: dict[Place, dict[str, list[float]]] = field(default_factory=dict)
    kept: dict[Place, dict[str, list[dict[str, str]]]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)

    def measurements(self, read_as: str) -> Measurements:
        """All of it."""
        if self.left_out:
            count = ", ".join(f"{n:,} {what}" for what, n in self.left_out.items())
            log.info("left out: %s", count)
        return Measurements({place: {state: np.array(values, np.float64) for state, values in states.items()}
                             for place, states in self.ohm.items()}, self.dropped, _means(self.joule),
                            _means(self.pulses), self.kept, dict(self.left_out), read_as)


def _means(found: Mapping[Place, Mapping[str, Sequence[float]]]) -> dict[Place, dict[str, float]]:
    """Means that do not hang on the order of rows, to 12 digits."""
    return {place: {key: float(f"{math.fsum(values) / len(values):.12g}") for key, values in each.items()}
            for place, each in found.items()}


class _Reader:
    """Rows of one table."""

    def __init__(self, table: Table, columns: Sequence[Column], mark: str, drop_invalid: bool) -> None:
        self.table, self.columns, self.mark, self.drop_invalid = table, columns, mark, drop_invalid
        self.of = {column.quantity: i for i, column in enumerate(columns)}
        self.readings = [i for i, column in enumerate(columns) if column.quantity == "resistance_ohm"]
        self.keeps = [i for i, column in enumerate(columns) if column.quantity == KEEP]
        self.places = column_choice.place_columns(columns)

    def into(self, found: _Found) -> None:
        """Read all rows."""
        line = None
        for line, fields in self.table.rows():
            if len(fields) != len(self.columns):
                raise MeasurementError(f"{self.table.where(line)}: wanted {len(self.columns)} columns "
                                       f"({', '.join(self.table.header)[:200]}), got {len(fields)}; what an instrument "
                                       "writes below its table must be cut off")
            for i in self.readings:
                self.reading(found, line, fields, i)
            if len(found.ohm) > MAX_GROUPS:
                raise MeasurementError(f"{self.table.where(line)}: a table may have at most {MAX_GROUPS:,} places; "
                                       "leave a column out by None")
        if line is None:
            raise MeasurementError(f"{self.table.name}: wanted measurements below the first line, got none")

    def reading(self, found: _Found, line: int, fields: Sequence[str], i: int) -> None:
        """One reading of a row, and once a row what is told beside it."""
        state = self.columns[i].state or self.state(line, fields[self.of["state"]])
        if state is None:
            found.left_out["of other states"] += 1
            return
        place = self.place(line, fields, self.columns[i])
        if fields[i] == "" and len(self.readings) > 1:
            found.left_out["blank"] += 1
            return
        of_place = found.ohm.setdefault(place, {"LRS": [], "HRS": []})
        ohm = self.ohm(line, fields, i)
        if ohm is None:
            found.dropped.setdefault(place, {"LRS": 0, "HRS": 0})[state] += 1
            text = fields[i].lower().lstrip("+-")
            found.left_out["blank" if not text else "nan" if text == "nan" else "no resistance"] += 1
            return
        of_place[state].append(ohm)
        if self.keeps:
            kept = found.kept.setdefault(place, {"LRS": [], "HRS": []})
            kept[state].append({self.table.header[k]: fields[k] for k in self.keeps})
        self.costs(found, line, fields, place, state)

    def state(self, line: int, text: str) -> str | None:
        """LRS or HRS; None of a row to leave out."""
        words = self.columns[self.of["state"]].words
        if text.lower() not in words and column_choice.OTHERS in words:
            return None
        if text.lower() not in words:
            own = self.table.header[self.of["state"]]
            raise MeasurementError(f"{self.table.where(line)}, column {own}: wanted LRS or HRS, got {text[:40]!r}; or "
                                   f"say which it is: columns={{{own!r}: {{{text[:40]!r}: 'LRS', ...}}}}")
        return words[text.lower()]

    def place(self, line: int, fields: Sequence[str], reading: Column) -> Place:
        """Where a reading was taken."""
        return tuple((key, ", ".join(fields[i] for i in at) if key == "condition" else
                      reading.cycles if not at else self.number(line, fields, at[0])) for key, at in self.places)

    def costs(self, found: _Found, line: int, fields: Sequence[str], place: Place, state: str) -> None:
        """Energies and pulses of a row."""
        there = {key: self.number(line, fields, self.of[key]) for key in (*ENERGIES, "pulses")
                 if key in self.of and fields[self.of[key]] != ""}
        if "pulses" in there:
            found.pulses.setdefault(place, {}).setdefault(state, []).append(there["pulses"])
        if "energy_pulse_joule" in there and "pulses" in there:
            there["energy_joule"] = there["energy_pulse_joule"] * there["pulses"]
        if "energy_joule" in there:
            there[TO_PROGRAM[state]] = there["energy_joule"]
        for key in TO_PROGRAM.values():
            if key in there and (len(self.readings) == 1 or key == TO_PROGRAM[state]):
                found.joule.setdefault(place, {}).setdefault(key, []).append(there[key])

    def number(self, line: int, fields: Sequence[str], i: int) -> float:
        """A place, an energy, or a count."""
        quantity, value = self.columns[i].quantity, self.value(fields[i], i)
        low, open_low, _, _ = PLACE["cycles"] if quantity == "pulses" else PLACE.get(quantity, POSITIVE)
        if not math.isfinite(value) or value < low or (open_low and value == low):
            raise self.refused(line, i, fields[i])
        return value

    def ohm(self, line: int, fields: Sequence[str], i: int) -> float | None:
        """A resistance; None in place of a reading that is none and may be dropped."""
        text, value = fields[i], self.value(fields[i], i)
        unit = self.columns[i].unit
        if unit is not None and unit.of == "siemens" and not math.isnan(value):
            value = 1 / value if value else 0.0
        if LEAST_OHM <= value <= GREATEST_OHM:
            return value
        if math.isnan(value) and any(character.isdigit() for character in text):
            raise self.refused(line, i, text)
        if self.drop_invalid:
            return None
        raise MeasurementError(f"{self.refused(line, i, text)}, {_what_it_is(value)}; leave such lines out, or have "
                               "all of them dropped and counted by drop_invalid=True")

    def value(self, text: str, i: int) -> float:
        """The number of a field in the unit of its quantity; nan where it is none."""
        column = self.columns[i]
        if self.mark == ",":
            text = text.replace(",", ".") if "." not in text else "no number"
        try:
            value = real_of(text)
        except ValueError:
            return math.nan
        if column.log10:
            value = 10 ** value if value < 300 else math.inf
            text = repr(value)
        unit = column.unit
        if unit is None or not math.isfinite(value) or (unit.factor == 1 and not unit.offset):
            return value
        return float(Decimal(text.strip()) * unit.factor + unit.offset)         # as exact as if written in that unit

    def refused(self, line: int, i: int, text: str) -> MeasurementError:
        """What was wanted in a column, and what came."""
        column, name = self.columns[i], self.table.header[i]
        wanted = WANTED[column.quantity]
        if column.text() != column.quantity:
            wanted += f", as {column.text()}"
        comma = ", with a decimal comma (or say decimal='.')" if self.mark == "," and "." in text else ""
        return MeasurementError(f"{self.table.where(line)}, column {name}: wanted {wanted}{comma}, got {text[:40]!r}")


def _what_it_is(value: float) -> str:
    """Of a reading that is no resistance."""
    if value == 0 or value < 0 and value >= -GREATEST_OHM:
        return "a current or voltage at the noise or offset of the instrument"
    if abs(value) < LEAST_OHM:
        return f"less than {LEAST_OHM:g} ohm: one over a code of overflow?"
    return "which is no reading but a code of the instrument: overflow, or no number"
