"""What a figure is given: a result, or several by name, told by the names of their classes, which are not imported."""

from collections.abc import Mapping
from typing import TypeVar

Result = TypeVar("Result")


def check_drawn(name: str, value: object, kind: str, maker: str, several: bool = False) -> None:
    """Refuse what is not an object of the class `kind`, which `maker` makes.

    Examples
    --------
    >>> check_drawn("history", [0.5, 0.4], "History", "bnnsim.fit")
    Traceback (most recent call last):
    TypeError: history must be a result of bnnsim.fit (History), got list
    """
    if kind not in (of.__name__ for of in type(value).__mro__):
        dict_of_them = ", or a dict of such by name, {'first': results[0], 'second': results[1]}" * several
        raise TypeError(f"{name} must be a result of {maker} ({kind}){dict_of_them}, got {type(value).__name__}")


def by_name(name: str, given: Result | Mapping[str, Result], kind: str, maker: str) -> Mapping[str, Result]:
    """What is drawn, by its name: "" where one result is given alone."""
    named = given if isinstance(given, Mapping) else {"": given}
    if not named:
        raise ValueError(f"{name} must be a result of {maker} ({kind}), or a dict of at least one by name, got an "
                         "empty dict")
    for value in named.values():
        check_drawn(name, value, kind, maker, several=True)
    return named
