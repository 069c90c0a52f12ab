"""Tables as instruments and spreadsheets write them, and data frames: a header, and rows of text with their lines.

A file may have lines before its header and comments (#, %, !), columns separated by commas, semicolons or tabs, and
decimal commas. The header is the first line that names what is looked for; the line below may hold units. Where the
first line is all numbers there is none, and columns are "1", "2", ... A name that comes again is "R.1", as in pandas.
"""

import csv
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bnnsim.checks import FilePath
from bnnsim.devices.column_names import unit_of

MAX_BYTES, MAX_LINES, HEADER_WITHIN = 200_000_000, 5_000_000, 200
SURE = 1_000                        # score of a line that is the header
COMMENTS = ("#", "%", "!")
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")

Score = Callable[[Sequence[str]], int]


class MeasurementError(ValueError):
    """A table that cannot be used; the message names the file, the line and the column."""


@dataclass(frozen=True)
class Table:
    """A header at a line, the texts of the line of units below it (empty without), and the rows.

    `rows` gives (line, texts) anew at each call; `separator` is "" for a data frame; `numbered`: it has no header.
    """

    name: str
    line: int
    header: Sequence[str]
    units: Sequence[str]
    rows: Callable[[], Iterator[tuple[int, Sequence[str]]]]
    separator: str
    numbered: bool = False

    def where(self, line: int | None = None) -> str:
        """File and line, for messages: of the header by default."""
        return f"{self.name}, line {self.line if line is None else line}" if self.separator else \
            f"{self.name}, {'its columns' if line is None else f'row {line}'}"


def is_frame(table: object) -> bool:
    """Whether something is a data frame: pandas' or polars', or alike."""
    return hasattr(table, "columns") and (hasattr(table, "itertuples") or hasattr(table, "iter_rows"))


def open_table(table: Any, score: Score, numbered: bool = False) -> Table:
    """A file or data frame, its header being the first line that scores `SURE`; else the one that scores best.

    `numbered`: columns are told by numbers, so that a file's first line is data, with words in it or without.

    Raises
    ------
    FileNotFoundError, MeasurementError, TypeError
    """
    if is_frame(table):
        return _of_frame(table)
    try:
        path = os.fspath(table)
    except TypeError:
        raise TypeError("measurements must be the path of a file, a data frame, or a dict of these by state, "
                        f"{{'LRS': ..., 'HRS': ...}}, got {type(table).__name__}") from None
    name = os.path.basename(os.fsdecode(path))
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{os.fsdecode(path)}: no such file; wanted a table of measurements (CSV)")
    if os.path.getsize(path) > MAX_BYTES:
        raise MeasurementError(f"{name} must have at most {MAX_BYTES:,} bytes, got {os.path.getsize(path):,}")
    try:
        return _of_file(name, path, score, numbered)
    except UnicodeDecodeError as error:
        raise MeasurementError(f"{name} must be UTF-8 text, got byte {error.object[error.start]:#x}") from error


# ---------------------------------------------------------------- files

def _of_file(name: str, path: FilePath, score: Score, asked: bool) -> Table:
    with open(path, newline="", encoding="utf-8-sig") as file:
        first = [line.rstrip("\r\n") for _, line in zip(range(HEADER_WITHIN), file)]
        for _ in file:                                           # that all of it is text is said before the work
            pass
    numbered = _numbered(first, asked)
    at, separator, header = numbered or _header(first, score)
    header = _told_apart(header)
    units = _split(first[at + 1], separator) if numbered is None and at + 1 < len(first) else []
    units = units if _are_units(units) else []

    def rows() -> Iterator[tuple[int, Sequence[str]]]:
        skipped = at + (numbered is None) + bool(units)
        with open(path, newline="", encoding="utf-8-sig") as file:
            for _ in range(skipped):
                next(file, None)
            reader = csv.reader(file, delimiter=separator, strict=True)
            try:
                for fields in reader:
                    if skipped + reader.line_num > MAX_LINES:
                        raise MeasurementError(f"{name}, line {skipped + reader.line_num}: a table may have at most "
                                               f"{MAX_LINES:,} lines")
                    if any(map(str.strip, fields)) and not fields[0].lstrip().startswith(COMMENTS):
                        yield skipped + reader.line_num, _cut([field.strip() for field in fields], len(header))
            except csv.Error as error:
                raise MeasurementError(f"{name}, line {skipped + reader.line_num}: not CSV: {error}") from error

    return Table(name, at + 1, header, units, rows, separator, numbered is not None)


def _numbered(first: Sequence[str], asked: bool) -> tuple[int, str, list[str]] | None:
    """(index of the first line of data, separator, "1" to "n") of a file without a header; None of others."""
    for i, line in enumerate(first):
        if line.strip() and not line.lstrip().startswith(COMMENTS):
            fields = {each: _split(line, each) for each in SEPARATORS}
            told = [each for each in fields if fields[each] and
                    (asked or all(_NUMBER.fullmatch(text) for text in fields[each]))]
            if not told:
                return None
            best = max(told, key=lambda each: len(fields[each]))
            n = len(fields[best])
            names = [[str(k + start) for k in range(n)] for start in (0, 1)]
            return None if fields[best] in (names if n > 1 else names[:1]) else (i, best, names[1])
    return None


def _told_apart(header: Sequence[str]) -> list[str]:
    """Names, those that come again with .1, .2, ... behind."""
    seen: Counter[str] = Counter()
    found = []
    for name in header:
        found.append(f"{name}.{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return found


def _header(first: Sequence[str], score: Score) -> tuple[int, str, list[str]]:
    """(index, separator, names) of the header among the first lines."""
    for of_comments in (False, True):
        for i, line in enumerate(first):
            if line.lstrip().startswith(COMMENTS) == of_comments:
                names = {each: _split(line.lstrip().lstrip("".join(COMMENTS)) if of_comments else line, each)
                         for each in SEPARATORS}
                best = max(names, key=lambda each: score(names[each]))
                if score(names[best]) >= SURE:
                    return i, best, names[best]
    found = [(i, _split(line, each), each) for i, line in enumerate(first)
             if line.strip() and not line.lstrip().startswith(COMMENTS) for each in SEPARATORS]
    if not found:
        return 0, ",", []
    i, names_there, separator = max(found, key=lambda each: (score(each[1]), -each[0], len(each[1])))
    return i, separator, names_there


def _split(line: str, separator: str) -> list[str]:
    try:
        fields = next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []
    return _cut([field.strip() for field in fields], 0)


def _cut(fields: list[str], n_least: int) -> list[str]:
    """Fields without empty ones behind the last: separators at the end of a line."""
    while len(fields) > n_least and not fields[-1]:
        fields.pop()
    return fields


def _are_units(fields: Sequence[str]) -> bool:
    words = [field.strip("()[] ") for field in fields]
    return any(map(unit_of, words)) and all(word in ("", "-", "1") or unit_of(word) for word in words)


# ---------------------------------------------------------------- data frames

def _of_frame(frame: Any) -> Table:
    def rows() -> Iterator[tuple[int, Sequence[str]]]:
        found = frame.itertuples(index=False, name=None) if hasattr(frame, "itertuples") else frame.iter_rows()
        for i, row in enumerate(found, 1):
            yield i, [_text(value) for value in row]

    return Table("the data frame", 0, _told_apart([str(name).strip() for name in frame.columns]), [], rows, "")


def _text(value: object) -> str:
    """A value as a file would have it; nothing for a missing one."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    text = str(value).strip()
    return "" if text == "nan" else text


# ---------------------------------------------------------------- numbers

def decimal_mark(table: Table, numeric: Sequence[int], asked: str | None) -> str:
    """What separates the whole part of numbers: "." or ",", as asked or as columns `numeric` of all rows tell.

    Raises
    ------
    MeasurementError
        Where commas may as well separate thousands.
    """
    if asked is not None or table.separator in ("", ","):
        return asked or "."
    doubtful: tuple[int, int, str] | None = None
    for line, fields in table.rows():
        for column in numeric:
            text = fields[column] if column < len(fields) else ""
            if "," in text and not _THOUSANDS.fullmatch(text):
                return ","
            if "," in text and doubtful is None:
                doubtful = line, column, text
    if doubtful is not None:
        line, column, text = doubtful
        raise MeasurementError(f"{table.where(line)}, column {table.header[column]}: {text!r} may be a decimal "
                               "comma or a separator of thousands, as all numbers with commas here; say decimal=',', "
                               "or write them without")
    return "."
