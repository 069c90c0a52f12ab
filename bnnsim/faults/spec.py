"""Faults written as text, as in ``--fault "Protected(BitFlips(0), 'secded(72,64)')"``: parsed, never evaluated.

A text is a call of a fault of `bnnsim.faults` by its name. Arguments, by place or by keyword, are numbers, strings,
True, False, None, lists or tuples of them, and calls again: of faults, and of `HELPERS`. The ``repr`` of a fault is
such a text.
"""

import ast
import difflib
import inspect
import sys
import warnings
from collections.abc import Iterable
from dataclasses import is_dataclass
from typing import NamedTuple, cast

from bnnsim.faults.protocol import Fault

MAX_CHARACTERS, MAX_DEPTH, MAX_INTEGER = 1_000, 5, 2**63 - 1
HELPERS = ("ArrayMapping",)                                     # no faults, but what faults are made with
NOT_NAMED = ("FaultMap", "LayerFault")                          # of arrays, which no text could hold; what others are


class _Source(NamedTuple):
    """A text and what it may name."""

    text: str
    known: dict[str, type]

    def refused(self, node: ast.AST, why: str) -> ValueError:
        """An error of one line that says where it is: the column, and what stands there."""
        line = self.text.encode()
        first, last = getattr(node, "col_offset", 0), getattr(node, "end_col_offset", len(line))
        what = line[first:last].decode()
        return ValueError(f"fault, column {len(line[:first].decode()) + 1}, {_short(what, 40)}: {_short(why, 400)}")


def _short(text: str, most: int) -> str:
    """Text in one line of so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most - 3]}..."


def parse_fault(text: str) -> Fault:
    """The fault that a text names; it is parsed and checked, and nothing in it is evaluated.

    Parameters
    ----------
    text : str
        At most 1,000 characters, calls at most 5 deep: ``Compose([BitFlips(0), StuckAt(0.001, 0.001)])``.

    Returns
    -------
    fault

    Raises
    ------
    ValueError
        In one line: what is wrong, at which column, and the nearest name where one is unknown. What a constructor
        refuses is said in its own words.

    Examples
    --------
    >>> fault = parse_fault("Protected(BitFlips(0), 'secded(72,64)')")
    >>> fault == parse_fault(repr(fault))
    True
    >>> parse_fault("Protected(BitFlip(0.1))")
    Traceback (most recent call last):
        ...
    ValueError: fault, column 11, BitFlip: unknown name; did you mean 'BitFlips'?
    """
    if not isinstance(text, str):
        raise TypeError(f"fault must be a text such as 'BitFlips(0.01)', got {type(text).__name__}")
    if not text.strip():
        raise ValueError("fault must be a text such as 'BitFlips(0.01)', got an empty one")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"fault must have at most {MAX_CHARACTERS:,} characters, got {len(text):,}")
    clean = "".join(" " if letter.isspace() else letter for letter in text).strip()
    root, source = _parsed(clean), _Source(clean, _known())
    found = _value(source, root, 1)
    if not hasattr(found, "apply"):
        raise source.refused(root, "wanted a fault, such as BitFlips(0.01)")
    return cast(Fault, found)


def _known() -> dict[str, type]:
    """What may be named: the faults of the public list, and what they are made with."""
    import bnnsim.faults as public                              # whose list this module stands in

    found = {name: getattr(public, name) for name in public.__all__ if name not in NOT_NAMED}
    return {name: value for name, value in found.items() if isinstance(value, type) and is_dataclass(value)
            and (hasattr(value, "apply") or name in HELPERS)}


def _parsed(text: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")                     # of escapes that strings do not have, and the like
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        at = f", column {error.offset}" if error.offset else ""
        raise ValueError(f"fault{at}: wanted a call such as BitFlips(0.01), but: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # NUL, surrogates; nested too deeply for Python's parser
        why = "it has characters that no text has" if isinstance(error, ValueError) else "it is nested too deeply"
        raise ValueError(f"fault: wanted a call such as BitFlips(0.01), but: {why}") from None


def _value(source: _Source, node: ast.expr, depth: int) -> object:
    """What a node stands for."""
    if isinstance(node, ast.Call):
        return _called(source, node, depth)
    if isinstance(node, (ast.List, ast.Tuple)):
        for inner in node.elts:
            if isinstance(inner, (ast.List, ast.Tuple)):
                raise source.refused(inner, "a list must not stand in another")
        return [_value(source, inner, depth) for inner in node.elts]
    if isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, (bool, str))):
        return node.value
    if isinstance(node, ast.Name):
        if node.id in source.known:
            raise source.refused(node, f"wanted its arguments too, as in {node.id}(...)")
        raise _unknown(source, node, "name", node.id, source.known)
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    number = node.operand if isinstance(node, ast.UnaryOp) and negative else node
    if not isinstance(number, ast.Constant) or not isinstance(number.value, (int, float)) or \
            isinstance(number.value, bool):
        raise source.refused(node, "wanted numbers, strings, True, False, None, lists of them, and calls of faults")
    if number.value > (MAX_INTEGER if isinstance(number.value, int) else sys.float_info.max):
        raise source.refused(node, "the number is too large")
    return -number.value if negative else number.value


def _called(source: _Source, node: ast.Call, depth: int) -> object:
    """The object that a call of a known name makes."""
    if depth > MAX_DEPTH:
        raise source.refused(node, f"calls must be at most {MAX_DEPTH} deep")
    if not isinstance(node.func, ast.Name):
        raise source.refused(node.func, "wanted the name of a fault alone, such as BitFlips")
    name = node.func.id
    if name not in source.known:
        raise _unknown(source, node.func, "name", name, source.known)
    kind = source.known[name]
    takes, named = inspect.signature(kind).parameters, dict[str, object]()
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg not in takes:
            raise _unknown(source, keyword, f"argument of {name}", keyword.arg or "**", takes)
        if keyword.arg in named:
            raise source.refused(keyword, f"{keyword.arg} is given twice")
        named[keyword.arg] = _value(source, keyword.value, depth + 1)
    placed = [_value(source, argument, depth + 1) for argument in node.args]
    try:
        inspect.signature(kind).bind(*placed, **named)
    except TypeError as error:
        raise source.refused(node, f"{error}; {name} takes {', '.join(takes)}") from None
    try:
        return kind(*placed, **named)
    except (ValueError, TypeError, OverflowError) as error:
        raise source.refused(node, str(error)) from error


def _unknown(source: _Source, node: ast.AST, what: str, name: str, known: Iterable[str]) -> ValueError:
    """An error that names the nearest name."""
    by_lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    hint = f"did you mean {by_lower[near[0]]!r}?" if near else f"known are {', '.join(by_lower.values())}"
    return source.refused(node, f"unknown {what}; {hint}")
