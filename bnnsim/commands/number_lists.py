"""Lists of numbers as they are typed: "0.01,0.1", or start:stop:count for equal steps."""

import numpy as np

from bnnsim.checks import check_int, check_probability, check_real, integer_of, real_of

MOST = 10_000                       # numbers of one list


def parse_rates(text: str, called: str = "rates") -> list[float]:
    """Bit error rates: '1e-3,0.01,0.1', or start:stop:count in equal log steps; 0 is always added.

    Returns
    -------
    list of float, ascending

    Examples
    --------
    >>> parse_rates("0.001:0.1:3")
    [0.0, 0.001, 0.01, 0.1]
    """
    wanted = f"{called} must be numbers such as '1e-3,0.01' or start:stop:count such as 1e-4:0.3:13, got {text!r}"
    if ":" not in text:
        return sorted({0.0, *(check_probability(called, value) for value in _numbers(text, ",", wanted))})
    start, stop, count = _steps(text, wanted, called)
    start, stop = check_probability(called, start), check_probability(called, stop)
    if not 0 < start < stop:
        raise ValueError(f"{called} as start:stop:count must have 0 < start < stop, got {text!r}")
    return [0.0, *sorted({*_spaced(np.geomspace(start, stop, count), 4)})]


def parse_places(text: str, log: bool, called: str = "values") -> list[float]:
    """Numbers on an axis: '0.5,0.6', or start:stop:count in equal steps, of the logarithm with `log`.

    Examples
    --------
    >>> parse_places("10:1000:3", True), parse_places("0:1:3", False)
    ([10.0, 100.0, 1000.0], [0.0, 0.5, 1.0])
    """
    wanted = f"{called} must be numbers such as 0.5,0.6 or start:stop:count, got {text!r}"
    if ":" not in text:
        return [check_real(called, value) for value in _numbers(text, ",", wanted)]
    start, stop, count = _steps(text, wanted, called)
    if not (np.isfinite([start, stop]).all() and start < stop and (start > 0 or not log)):
        above = " and start > 0" if log else ""
        raise ValueError(f"{called} as start:stop:count must have start < stop{above}, got {text!r}")
    return _spaced((np.geomspace if log else np.linspace)(start, stop, count), 5)


def parse_probabilities(name: str, text: str) -> float | list[float]:
    """Probabilities separated by commas; one alone is returned as a float."""
    wanted = f"{name} must be a probability, or several separated by commas, got {text!r}"
    values = [check_probability(name, value) for value in _numbers(text, ",", wanted)]
    return values if len(values) > 1 else values[0]


def parse_integers(name: str, text: str) -> list[int]:
    """Integers >= 0 separated by commas."""
    try:
        return [check_int(name, integer_of(value), 0) for value in text.split(",")]
    except ValueError:
        raise ValueError(f"{name} must be integers >= 0 separated by commas, such as 0,1,2, got {text!r}") from None


def _steps(text: str, wanted: str, called: str) -> tuple[float, float, int]:
    """(start, stop, count) of start:stop:count."""
    parts = _numbers(text, ":", wanted)
    if len(parts) != 3 or not parts[2].is_integer():
        raise ValueError(wanted)
    return parts[0], parts[1], check_int(f"{called}: count", int(parts[2]), 2, MOST)


def _spaced(values: np.ndarray, n_digits: int) -> list[float]:
    """The ends as they were typed; what lies between with so many digits."""
    start, *between, stop = values.tolist()
    return [start, *(min(max(float(f"{value:.{n_digits}g}"), start), stop) for value in between), stop]


def _numbers(text: str, separator: str, wanted: str) -> list[float]:
    try:
        return [real_of(part) for part in text.split(separator)]
    except ValueError:
        raise ValueError(wanted) from None
