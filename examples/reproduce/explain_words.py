"""The words of the page of what explains what: findings with where they hold, tables, lines of 120 letters."""

import textwrap
from collections.abc import Iterable, Sequence

import numpy as np

Case = tuple[str, bool | np.bool_]                      # where, whether a finding holds there


def held(cases: Sequence[Case]) -> tuple[list[str], list[str]]:
    """Where a finding holds, whenever it is asked there, and where it does not, in the cases' order."""
    names = list(dict.fromkeys(name for name, _ in cases))
    fails = {name for name, holds in cases if not holds}
    return [name for name in names if name not in fails], [name for name in names if name in fails]


def where(cases: Sequence[Case], sentence: str) -> str:
    """A finding with where it holds and where it does not."""
    holds, fails = held(cases)
    if not holds or holds[0] != cases[0][0]:
        raise SystemExit(f"the rows no longer support this, write that part of explain.py anew: {sentence}")
    return f"* {sentence}: so in {', '.join(holds)}{'; not in ' * bool(fails)}{', '.join(fails)}."


def so_far(cases: Sequence[Case]) -> str:
    """The same of a finding that is summed up, in brackets."""
    holds, fails = ("; ".join(names).replace(" (", ", ").replace(")", "") for names in held(cases))
    return f"(so far {holds}{'; not ' * bool(fails)}{fails})"


def simple(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A simple table: a line a row, more where cells but the first have more."""
    cells = [[cell.split("\n") for cell in row] for row in (header, *rows)]
    widths = [max(len(line) for row in cells for line in row[k]) for k in range(len(header))]
    lines = [["  ".join((cell[i] if i < len(cell) else "").ljust(width) for cell, width in zip(row, widths)).rstrip()
              for i in range(max(map(len, row)))] for row in cells]
    rule = "  ".join("=" * width for width in widths)
    return "\n".join([rule, *lines[0], rule, *(line for row in lines[1:] for line in row), rule, "", ""])


def filled(text: str) -> str:
    """Paragraphs and points in lines of 120 letters; titles and directives as they are."""
    parts = [part if part.endswith(("==", "--")) or part.startswith("..") else textwrap.fill(
        part, 120, subsequent_indent="  " * part.startswith("* "), break_long_words=False, break_on_hyphens=False)
        for part in text.strip().split("\n\n")]
    return "\n\n".join(parts) + "\n\n"


def points(*of: str) -> str:
    return "\n\n".join(of)


def numbers(values: Iterable[float], form: str = ".1f") -> str:
    return " ".join(f"{value + 0.0:{form}}" for value in values)
