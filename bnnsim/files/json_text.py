"""JSON that people write, read strictly: what could mean two things, or nothing, is refused and not guessed at.

Canonical JSON inside of HDF5 files is `file_format`'s.
"""

import json
from typing import Any


def parse_json(text: str) -> Any:
    """The value of a JSON text; ValueError where a key stands twice in an object, or a number is not finite."""
    try:
        return json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:60]!r} is given twice in one object")
        found[key] = value
    return found


def _refuse_constant(text: str) -> None:
    raise ValueError(f"numbers must be finite, got {text}")
