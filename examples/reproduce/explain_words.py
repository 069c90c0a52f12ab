"""The words of the page of what explains what: findings with where they hold, tables, lines of 120 letters."""

import textwrap
from collections.abc import Iterable, Sequence

import numpy as np

Case = tuple[str, int, bool | np.bool_]                 # setting, number of seeds, whether a finding holds there
Over = Sequence[tuple[str, int]]                        # titles above header cells, each with their number


def with_seeds(setting: str, *n: int) -> str:
    """A setting and how many seeds its networks have."""
    return f"{setting} (n={' or '.join(map(str, sorted(set(n))))})"


def by_setting(cases: Iterable[Case]) -> dict[str, list[bool]]:
    found: dict[str, list[bool]] = {}
    for setting, _, holds in cases:
        found.setdefault(setting, []).append(bool(holds))
    return found


def support(holds: bool | np.bool_, sentence: str) -> None:
    """Refuse to write what the rows contradict."""
    if not holds:
        raise SystemExit(f"the rows no longer support this, write that part of explain.py anew: {sentence}")


def where(cases: Sequence[Case], sentence: str) -> str:
    """A finding, and in how many cases of each setting it holds; one that fails in the first setting is refused."""
    found = by_setting(cases)
    if not found:
        return f"* {sentence}: open."
    support(all(next(iter(found.values()))), sentence)
    told = [f"{with_seeds(setting, *(n for one, n, _ in cases if one == setting))} {sum(of)} of {len(of)}"
            for setting, of in found.items()]
    return f"* {sentence}: {'; '.join(told)}."


def share(cases: Iterable[Case]) -> str:
    """In how many settings a finding that is summed up holds, in all cases of each."""
    found = by_setting(cases)
    return f"({sum(map(all, found.values()))} of {len(found)} setting{'s' * (len(found) != 1)})"


def listed(cases: Iterable[Case]) -> str:
    """Settings with a case that holds."""
    return ", ".join(dict.fromkeys(setting for setting, _, holds in cases if holds)) or "nowhere"


def simple(header: Sequence[str], rows: Iterable[Sequence[str]], over: Over = ()) -> str:
    """A simple table: a line a row, more where cells but the first have more; numbers end where their column ends."""
    cells = [[cell.split("\n") for cell in row] for row in (header, *rows)]
    widths = [max(len(line) for row in cells for line in row[k]) for k in range(len(header))]
    right = [all(_is_number(row[k]) for row in cells[1:]) for k in range(len(header))]
    lines = [["  ".join((cell[i] if i < len(cell) else "").rjust(width) if end else
                        (cell[i] if i < len(cell) else "").ljust(width)
                        for cell, width, end in zip(row, widths, right)).rstrip()
              for i in range(max(map(len, row)))] for row in cells]
    rule = "  ".join("=" * width for width in widths)
    top = [rule, *_spans(over, widths), *lines[0], rule]
    return "\n".join([*top, *(line for row in lines[1:] for line in row), rule, "", ""])


def _is_number(cell: Sequence[str]) -> bool:
    return all(line == "open" or line.lstrip("-").replace(".", "").isdigit() for line in cell)


def _spans(over: Over, widths: Sequence[int]) -> list[str]:
    """The line of titles and the line below it, which say how many columns each is of."""
    titles, k = [], 0
    for title, n in over:
        width = sum(widths[k:k + n]) + 2 * (n - 1)
        titles.append(((title or "\\" * (k == 0)).ljust(width), "-" * width))      # a line whose first cell is empty
        k += n                                                                     # would go on with the line before
    return ["  ".join(part).rstrip() for part in zip(*titles)]


def filled(text: str) -> str:
    """Paragraphs and points in lines of 120 letters; titles and directives as they are."""
    parts = [part if part.endswith(("==", "--")) or part.startswith("..") else textwrap.fill(
        part, 120, subsequent_indent="  " * part.startswith("* "), break_long_words=False, break_on_hyphens=False)
        for part in text.strip().split("\n\n")]
    return "\n\n".join(parts) + "\n\n"


def paragraphs(*parts: str) -> str:
    return "\n\n".join(parts)


def numbers(values: Iterable[float], form: str = ".1f") -> list[str]:
    """With no zero that is negative."""
    return [text.lstrip("-") if float(text := f"{value:{form}}") == 0 else text for value in values]
