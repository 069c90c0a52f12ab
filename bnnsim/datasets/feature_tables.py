"""Reader for tables of features: CSV with a header, a line an example, one column of labels, the others numbers."""

import csv
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bnnsim.datasets.raw import Part, Raw, regular_file
from bnnsim.datasets.reading import MAX_CLASSES, check_columns

LABELS = ("label", "class", "target", "y")          # what the column of labels is called, in small letters or capitals
MAX_FILE_BYTES = 1 << 27
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
INTEGER = re.compile(r"\d{1,9}", re.ASCII)


def read_tables(paths: Sequence[Path], columns: Sequence[str] = ()) -> Raw:
    """Read one CSV, or that of the training and that of the test half.

    Parameters
    ----------
    paths : sequence of Path
    columns : sequence of str, optional
        The features in the order that a network takes them: the file must have just these, in any order. Default: as
        they stand in the first file.

    Raises
    ------
    ValueError
        Naming the file, the line and the column, what was wanted, and what came.
    """
    parts = []
    for path in paths:
        found, part = _read(path)
        columns = columns or found
        missing, more = sorted(set(columns) - set(found)), sorted(set(found) - set(columns))
        if missing or more:
            raise ValueError(f"{path}: wanted the features {_some(columns)}, got without {_some(missing) or 'none'}, "
                             f"and with {_some(more) or 'none'} more")
        place = {name: i for i, name in enumerate(found)}
        parts.append(Part(part.data[:, [place[name] for name in columns]], part.labels))
    if all(part.labels.dtype.kind == "U" and all(map(INTEGER.fullmatch, np.unique(part.labels))) for part in parts):
        parts = [Part(part.data, part.labels.astype(np.int64)) for part in parts]
    return Raw(parts[0], parts[1] if len(parts) == 2 else None, columns=tuple(columns))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} others" if len(names) > 5 else "")


def _read(path: Path) -> tuple[tuple[str, ...], Part]:
    """Names of the features, and the examples."""
    regular_file(path, MAX_FILE_BYTES)
    with open(path, encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, strict=True)
        try:
            header = [name.strip() for name in next(lines, [])]
            at, names = _header(path, header)
            values, labels, numbers = array("d"), array("H"), dict[str, int]()
            for number, line in _filled(lines):
                if len(line) != len(header):
                    raise ValueError(f"{path}, line {number}: wanted {len(header)} fields, as the header has, got "
                                     f"{len(line)}")
                label = line.pop(at).strip()
                labels.append(numbers.setdefault(label, len(numbers)))
                if not label.isprintable() or not label or len(numbers) > MAX_CLASSES:
                    raise ValueError(f"{path}, line {number}, column {header[at]!r}: wanted the label of one of "
                                     f"at most {MAX_CLASSES} classes, got {label[:40] or 'an empty field'!r}")
                values.extend(_numbers(path, number, names, line))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{path}, after line {lines.line_num}: wanted CSV in UTF-8, got other text ({error})"
                             ) from error
    if not labels:
        raise ValueError(f"{path}: wanted a line an example below the header, got none")
    return names, Part(np.array(values).reshape(-1, len(names)), np.array(list(numbers))[np.array(labels)])


def _filled(lines: "Iterator[list[str]]") -> Iterator[tuple[int, list[str]]]:
    """(number of the line, its fields), without empty lines."""
    number = 1
    for line in lines:
        number += 1
        if line:
            yield number, line


def _header(path: Path, header: list[str]) -> tuple[int, tuple[str, ...]]:
    """Where the label stands, and the names of the others."""
    at = [i for i, name in enumerate(header) if name.lower() in LABELS]
    if len(at) != 1 or len(header) < 2:
        hint = "; fields are separated by commas, not by semicolons" if ";" in "".join(header) else ""
        raise ValueError(f"{path}: wanted a header of names, one of which is {', '.join(LABELS)}, and one column or "
                         f"more of numbers, got {_some([name[:40] for name in header])!r}{hint}")
    try:
        return at[0], check_columns([name for i, name in enumerate(header) if i != at[0]])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _numbers(path: Path, number: int, names: Sequence[str], fields: list[str]) -> list[float]:
    """The features of a line."""
    found = [float(field) if NUMBER.fullmatch(field) else math.nan for field in fields]
    for name, field, value in zip(names, fields, found):
        if not math.isfinite(value):
            hint = "; leave the line out, or fill it" if field.strip().lower() in ("", "nan", "na", "null") else \
                "; write decimal points" if re.fullmatch(r"[+-]?\d+,\d+", field.strip()) else \
                "; give words numbers, or leave the column out"
            raise ValueError(f"{path}, line {number}, column {name!r}: wanted a finite number, got "
                             f"{field[:40] or 'an empty field'!r}{hint}")
    return found
