"""The rules that values of options obey: each takes a name and a value, and gives the value in its clean form.

A bad one is refused with ValueError or TypeError by the same rule, wherever it comes from: typed, or out of a
configuration file. Some of them are made: ``integer(1)`` is the rule "an integer of at least 1".
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import bnnsim.files.atomic as atomic
from bnnsim.checks import check_choice, check_int, check_probability, check_real
from bnnsim.commands.number_lists import parse_integers, parse_probabilities, parse_rates
from bnnsim.datasets.catalogue import CATALOGUE
from bnnsim.datasets.own import check_dataset, is_path
from bnnsim.datasets.reading import check_size

if TYPE_CHECKING:
    from bnnsim.faults.protocol import Fault

Rule = Callable[[str, Any], Any]


def switch(name: str, value: Any) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be true or false, got {value!r}")
    return value


def text(name: str, value: Any) -> str:
    """Some text."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name} must be text, got {value!r}")
    return value


def path(name: str, value: Any) -> str:
    """A path, of whatever there is, which can be printed and stored with results."""
    if not isinstance(value, str) or not value:
        raise TypeError(f"{name} must be a path, got {value!r}")
    if "\0" in value:
        raise ValueError(f"{name} must be a path, which has no character 0, got {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be a path in UTF-8, as it is printed or stored, got {value!a}: rename it"
                         ) from None
    return value


def writable(*endings: str) -> Rule:
    """A path of a file to be written: a known ending, a folder that takes it; found out before the work, not after."""
    def rule(name: str, value: Any) -> str:
        """A path of a file to be written."""
        if not path(name, value).lower().endswith(endings):
            raise ValueError(f"{name} must end in {' or '.join(endings)}, got {value!r}")
        atomic.check_creatable(value)
        return value
    return rule


def integer(low: int, high: int | None = None) -> Rule:
    """An integer in [low, high]."""
    return lambda name, value: check_int(name, value, low, high)


def positive(high: float | None = None) -> Rule:
    """A number in (0, high]."""
    return lambda name, value: check_real(name, value, 0, high, open_low=True)


def real(low: float, high: float) -> Rule:
    """A number in [low, high]."""
    return lambda name, value: check_real(name, value, low, high)


def one_of(choices: Iterable[str]) -> Rule:
    """One of these words."""
    return _known(choices, lambda name, value: check_choice(name, value, choices))


def some_of(choices: Iterable[str]) -> Rule:
    """Words of these, separated by commas; a tuple without repeats."""
    return _known(choices, lambda name, value: tuple(check_choice(name, word, choices)
                                                     for word in dict.fromkeys(text(name, value).split(","))))


def _known(choices: Iterable[str], rule: Rule) -> Rule:
    """A rule that has these words as its `choices`, for completion."""
    setattr(rule, "choices", tuple(choices))
    return rule


def rates_text(name: str, value: Any) -> str:
    """Rates as `parse_rates` takes them; from a file also a number, or a list of them."""
    value = _probabilities(name, value)
    parse_rates(value, name)
    return value


def probabilities_text(name: str, value: Any) -> str:
    """Probabilities as `parse_probabilities` takes them; from a file also a number, or a list of them."""
    value = _probabilities(name, value)
    parse_probabilities(name, value)
    return value


def _probabilities(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    return ",".join(repr(check_probability(f"{name}[{i}]", item)) for i, item in enumerate(_listed(name, value)))


def integers(name: str, value: Any) -> list[int]:
    """Integers >= 0 as `parse_integers` takes them; from a file also one, or a list of them."""
    if isinstance(value, str):
        return parse_integers(name, value)
    return [check_int(f"{name}[{i}]", item, 0) for i, item in enumerate(_listed(name, value))]


def _listed(name: str, value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError(f"{name} must have at least one value, got []")
    return values


def lines_text(name: str, value: Any) -> str:
    """Rows and columns of an array, "64x128"."""
    words = text(name, value).lower().split("x")
    if len(words) != 2 or not all(re.fullmatch(r"[0-9]{1,8}", word) and 0 < int(word) <= 2**16 for word in words):
        raise ValueError(f"{name} must be ROWSxCOLUMNS of 1 to 65536 each, such as 64x64, got {value!r}")
    return "x".join(words)


def dataset_text(name: str, value: Any) -> str:
    """A known data set by name, or data of one's own by their path."""
    if is_path(value) and value not in CATALOGUE:
        return path(name, value)
    return check_dataset(name, value)


_known(CATALOGUE, dataset_text)


def size_text(name: str, value: Any) -> str:
    """Rows and columns of images, "32x32"."""
    size_of(text(name, value), name)
    return value.lower()


def size_of(value: str | None, called: str = "--size") -> tuple[int, int] | None:
    """The (H, W) of --size."""
    if value is None:
        return None
    words = value.lower().split("x")
    if len(words) != 2 or not all(word.isascii() and word.isdigit() and len(word) < 9 for word in words):
        raise ValueError(f"{called} must be ROWSxCOLUMNS, such as 32x32, got {value!r}")
    return check_size(tuple(map(int, words)))


def fault_text(name: str, value: Any) -> str:
    """A fault as `make_fault` takes it, without line breaks."""
    make_fault(text(name, value))
    return " ".join(value.split())


def make_fault(value: str) -> "Fault":
    """The fault that a text names, such as "StuckAt(0.01, 0.01)"."""
    from bnnsim.faults.spec import parse_fault

    return parse_fault(value)
