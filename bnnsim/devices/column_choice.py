"""Which column of a table is what: as its user says, else as the names say; nothing is taken that is doubtful."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bnnsim.checks import nearest
from bnnsim.devices.card_schema import AXES
from bnnsim.devices.column_names import ENERGIES, KEEP, PLACES, QUANTITIES, STATES, WORDS, Column, column_of
from bnnsim.devices.table_text import SURE, MeasurementError, Table

OTHERS = "*"                        # stands for all columns that are neither named nor known
WANTED = {"resistance_ohm": "a resistance > 0 in ohm", **{axis.key: axis.wanted for axis in AXES.values()},
          **dict.fromkeys(ENERGIES, "an energy > 0 in joule"), "pulses": "a number of pulses >= 1"}
Columns = Mapping[str, str | None | Mapping[str, Any]]


def columns_of_states(columns: Columns | None) -> Mapping[str | None, Columns | None]:
    """What a user says of the columns of the table of each state: other things, where it is said by state."""
    if isinstance(columns, Mapping) and set(columns) == set(STATES) and \
            all(each is None or isinstance(each, Mapping) for each in columns.values()):
        return {state: each for state, each in columns.items() if not isinstance(each, str)}
    return dict.fromkeys(STATES, columns)


def check_columns(columns: Columns | None) -> dict[str, Column]:
    """What a user says of columns, by name."""
    if columns is None:
        return {}
    if not isinstance(columns, Mapping) or not all(isinstance(name, str) for name in columns):
        raise TypeError("columns must be a dict of names and what these columns are, such as {'R': 'resistance_ohm', "
                        f"'device': None}}, got {columns!r:.200}")
    return {name.strip(): _said(name, what) for name, what in columns.items()}


def are_numbers(said: Mapping[str, Column]) -> bool:
    """Whether columns are named by their numbers, from 1 on, as in a file without a header."""
    names = [name for name in said if name != OTHERS]
    return bool(names) and all(name.isdecimal() and name.isascii() for name in names)


def _said(name: str, what: Any) -> Column:
    if what is None or (what == KEEP and name != OTHERS):
        return Column("" if what is None else KEEP)
    if name == OTHERS:
        raise ValueError(f"columns['{OTHERS}'] must be None, which ignores all that are not known, got {what!r}")
    if isinstance(what, Mapping):
        words = {str(word).strip().lower(): state for word, state in what.items()}
        if not set(words.values()) - {None} or not set(words.values()) <= {*STATES, None} or words.get(OTHERS):
            raise ValueError(f"columns[{name!r}] must say which words are LRS and HRS, such as {{'low': 'LRS', 'high': "
                             f"'HRS'}}, and None of those to leave out, got {what!r:.200}")
        return Column("state", words=words)
    if not isinstance(what, str):
        raise TypeError(f"columns[{name!r}] must be what the column is, such as 'resistance_kohm', None to ignore it, "
                        f"or {KEEP!r}, got {what!r:.200}")
    column = column_of(what)
    if column is None:
        near = nearest(what, QUANTITIES)
        raise ValueError(f"columns[{name!r}] must be one of {', '.join(QUANTITIES)}, in any unit (resistance_kohm, "
                         "conductance_uS, log10_resistance_ohm), 'lrs_ohm', 'hrs_ohm' or 'cycle_100_ohm' of a wide "
                         f"table, {KEEP!r}, or None, got {what[:60]!r}" + (f"; did you mean {near!r}?" if near else ""))
    return column


def score_of(said: Mapping[str, Column], state: str | None) -> Callable[[Sequence[str]], int]:
    """How much a line looks like the header that is looked for: `SURE` or more: it is one; else its known names."""
    wanted = {name for name in said if name != OTHERS}

    def score(fields: Sequence[str]) -> int:
        known = [column for column in (said.get(field) or column_of(field) for field in fields) if column is not None]
        readings = [column for column in known if column.quantity == "resistance_ohm"]
        has_state = state is not None or any(column.quantity == "state" or column.state for column in known)
        is_word = len(readings) == 1 and readings[0].state is not None and readings[0].unit is None     # a row's "LRS"
        return len(known) + SURE * (bool(readings) and has_state and not is_word and wanted <= set(fields))

    return score


def chosen(table: Table, said: Mapping[str, Column], state: str | None) -> list[Column]:
    """What each column is.

    Raises
    ------
    MeasurementError
        Names the first column that is not known or lacks a unit, or two that are the same, and says what to say.
    """
    header = list(table.header)
    if table.numbered and not said:
        raise MeasurementError(f"{table.where()}: wanted a header, got numbers: say what the columns are, "
                               f"{', '.join(map(repr, header[:9]))}: columns={{{header[-1]!r}: 'resistance_ohm', '*': "
                               "None}")
    for name in said:
        if name != OTHERS and name not in header:
            near = nearest(name, header)
            raise MeasurementError(f"{table.where()}: columns names {name!r}, which is not among "
                                   f"{', '.join(header)[:200] or 'none'}"
                                   + (f"; did you mean {near!r}?" if near else ""))
    found = [_one(table, i, said) for i in range(len(header))]
    if state is not None:
        found = [column._replace(state=column.state or state) if column.quantity == "resistance_ohm" else column
                 for column in found]
    _check_needed(table, found, state)
    _check_once(table, found)
    _check_energies(table, found)
    return found


def _one(table: Table, i: int, said: Mapping[str, Column]) -> Column:
    name = table.header[i]
    again = re.fullmatch(r"(.+)\.\d+", name)
    is_again = name not in said and again is not None and again[1] in table.header
    if is_again and OTHERS not in said:
        raise MeasurementError(f"{table.where()}: a column is named twice, {name.rpartition('.')[0][:60]!r}; say what "
                               f"the other is: columns={{{name[:60]!r}: None}}")
    column = None if is_again else said.get(name) or column_of(name)
    if column is None and OTHERS in said:
        return said[OTHERS]
    if column is None:
        raise MeasurementError(f"{table.where()}: unknown column {name[:60]!r}{_hint(name)}; known are "
                               f"{', '.join(QUANTITIES)}: leave out all others, or say what it is: "
                               f"columns={{{name[:60]!r}: 'resistance_ohm'}}, or None to ignore it, {{'*': None}} all "
                               "that are not known")
    if column.lacks_unit and i < len(table.units) and table.units[i]:
        told = column_of(f"{column.text().rpartition('_')[0]} ({table.units[i].strip('()[] ')})")
        column = column if told is None else column._replace(unit=told.unit)
    if column.lacks_unit:
        wide = [column.state.lower()] if column.state else []
        wide += [f"cycle_{column.cycles:g}"] if column.cycles is not None else []
        full = "_".join([*wide, "ohm"]) if wide else column.quantity
        raise MeasurementError(f"{table.where()}: column {name[:60]!r} has no unit; give this quantity as "
                               f"{column.quantity}, {WANTED[column.quantity]}, or say its unit: "
                               f"columns={{{name[:60]!r}: {full!r}}}")
    return column


def _hint(name: str) -> str:
    """What was meant: the same quantity in the unit that its name says, or another spelling."""
    same = [each for each in WANTED if "_" in each and each.split("_")[0] == name.lower().split("_")[0]]
    near = nearest(name, QUANTITIES)
    if same and same[0] != near:
        return f"; give this quantity as {same[0]}, {WANTED[same[0]]}"
    if "mohm" in name or "mΩ" in name:
        return "; a megaohm is Mohm"
    return f"; did you mean {near!r}?" if near else ""


def _check_needed(table: Table, found: Sequence[Column], state: str | None) -> None:
    came = ", ".join(table.header)[:200] or "none"
    readings = [column for column in found if column.quantity == "resistance_ohm"]
    if not readings:
        raise MeasurementError(f"{table.where()}: the column resistance_ohm must be there, got {came}")
    has_column = any(column.quantity == "state" for column in found)
    if state is not None and (has_column or any(column.state != state for column in readings)):
        raise MeasurementError(f"{table.where()}: a table given as that of {state} must have no states of its own, got "
                               f"{came}; give it by itself, or ignore the column by None")
    if not has_column and any(column.state is None for column in readings):
        raise MeasurementError(f"{table.where()}: the column state must be there, got {came}; or give a table of each "
                               "state: {'LRS': ..., 'HRS': ...}")
    if has_column and any(column.state is not None for column in readings):
        raise MeasurementError(f"{table.where()}: states must be in a column or in the names of columns, got both: "
                               f"{came}")


def _check_once(table: Table, found: Sequence[Column]) -> None:
    """No two columns say the same, but conditions, which are joined."""
    seen: dict[tuple[str, str | None, float | None], str] = {}
    several = len({(column.state, column.cycles) for column in found if column.quantity == "resistance_ohm"}) > 1
    for name, column in zip(table.header, found):
        if column.quantity in ("", KEEP, "condition"):
            continue
        key = column.quantity, column.state, column.cycles
        if key in seen:
            raise MeasurementError(f"{table.where()}: columns {seen[key]!r} and {name!r} both are {column.quantity}; "
                                   f"say which to leave out: columns={{{name!r}: None}}")
        seen[key] = name
    named = [column.cycles is not None for column in found if column.quantity == "resistance_ohm"]
    if any(named) and (not all(named) or any(column.quantity == "cycles" for column in found)):
        raise MeasurementError(f"{table.where()}: cycles must be in the names of all readings or in a column, got "
                               f"{', '.join(table.header)[:200]}")
    if several and any(named) and any(column.quantity in (*ENERGIES, "pulses") for column in found):
        raise MeasurementError(f"{table.where()}: energies and pulses of a table with cycles in names belong to none "
                               "of them; ignore them by None")


def _check_energies(table: Table, found: Sequence[Column]) -> None:
    """It is known to which of SET and RESET an energy belongs."""
    there = {column.quantity for column in found}
    kinds = [there & {"energy_joule"}, there & {"energy_set_joule", "energy_reset_joule"},
             there & {"energy_pulse_joule"}]
    if sum(map(bool, kinds)) > 1:
        raise MeasurementError(f"{table.where()}: energies must be of the row, of SET and RESET, or of a pulse, got "
                               f"{', '.join(sorted(set().union(*kinds)))}; ignore the others by None")
    if kinds[2] and "pulses" not in there:
        raise MeasurementError(f"{table.where()}: energy_pulse_joule needs a column pulses beside it")
    n_states = len({column.state for column in found if column.quantity == "resistance_ohm"})
    if n_states > 1 and there & {"energy_joule", "energy_pulse_joule", "pulses"}:
        raise MeasurementError(f"{table.where()}: in a table with a column of each state it is not known which of them "
                               "an energy or pulses belong to; say energy_set_joule and energy_reset_joule")


def read_as(table: Table, found: Sequence[Column], mark: str, said: Mapping[str, Column]) -> str:
    """How columns were read, where their names are not the full ones, as a user would say it; empty where they are."""
    shown = {name: column for name, column in zip(table.header, found)
             if not (column.quantity == name and column.words is WORDS)}
    if not shown and mark == "." and table.separator in ("", ","):
        return ""
    words = ", ".join(f"{name!r}: {_as_said(column)}" for name, column in shown.items())
    guessed = [name for name, column in shown.items() if name not in said and column.quantity]
    how = f" ({len(guessed)} of {len(found)} guessed by name)" if guessed else ""
    return (f"{table.name}: columns={{{words}}}{how}"
            + (f", separated by {_separator(table)}" if table.separator else "") + f", decimal={mark!r}")


def _separator(table: Table) -> str:
    return {",": "commas", ";": "semicolons", "\t": "tabs"}[table.separator]


def _as_said(column: Column) -> str:
    return "None" if column.quantity == "" else repr(dict(column.words)) if column.words is not WORDS else \
        repr(column.quantity if column.quantity == KEEP else column.text())


def place_columns(found: Sequence[Column]) -> list[tuple[str, list[int]]]:
    """(quantity, numbers of its columns), of the places that a table has; cycles of names have no column."""
    has_cycles = any(column.cycles is not None for column in found)
    numbered = {each: [i for i, column in enumerate(found) if column.quantity == each] for each in PLACES}
    return [(each, at) for each, at in numbered.items() if at or (each == "cycles" and has_cycles)]
