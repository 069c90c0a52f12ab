"""How well a figure is known: as well as the weakest of what it was made from. All that prints takes its marks here.

A mark is the provenance of a row of a device card, or "derived": what follows from a card only under an assumption that
no row has (both kinds of cell with equal sigmas; a line drawn on beyond the data).
"""

from collections.abc import Iterable

# From the best known to the worst, each with its sign behind a number; what was measured or read has none.
MARKS = {"measured": "", "read": "", "reconstructed": "~", "derived": "^", "recalled": "?", "synthetic": "*"}
MEANINGS = {"reconstructed": "made from what was reconstructed from prose or a figure",
            "derived": "derived under an assumption: equal sigmas of both kinds of cell, another spread than the "
                       "card's, or a line on beyond the data",
            "recalled": "made from what was recalled of a publication, not verified",
            "synthetic": "made from synthetic values, which were invented and not measured"}


def weakest(marks: Iterable[str]) -> str:
    """The mark of what was made from values of these marks; "measured" of none.

    Examples
    --------
    >>> weakest(["read", "recalled", "derived"])
    'recalled'
    """
    return max(marks, key=list(MARKS).index, default="measured")


def strongest(marks: Iterable[str]) -> str:
    """The mark of what is known in several ways; "measured" of none."""
    return min(marks, key=list(MARKS).index, default="measured")


def derived(origin: tuple[str, str]) -> tuple[str, str]:
    """What something was taken from, and its mark, once it was changed: at best derived."""
    return origin[0], weakest((origin[1], "derived"))


def said(text: str, mark: str) -> str:
    """A number as text, with its mark in words where it was neither measured nor read: "4.2 (recalled)"."""
    return f"{text} ({mark})" if MARKS[mark] else text


def either(marks: Iterable[str]) -> str:
    """These marks in words, the best known first: "read or recalled"."""
    found = set(marks)
    return " or ".join(mark for mark in MARKS if mark in found)


def explained(marks: Iterable[str]) -> list[str]:
    """What the signs of these marks mean, a line each, for below a table."""
    return [f"{MARKS[mark]} {MEANINGS[mark]}" for mark in doubts(marks)]


def doubts(marks: Iterable[str]) -> list[str]:
    """Which of these marks are to be told, the worst last; none where all was measured or read."""
    found = set(marks)
    return [mark for mark, sign in MARKS.items() if sign and mark in found]
