"""Objects that a user may bring along: what they must have, and what is said of them in checkpoints and metadata.

Optimizers, schedules, losses, estimators, regularisers and faults may be anybody's; the `typing.Protocol` of each kind
says what is asked of it. A checkpoint agrees with a run where both say the same of each object: of a dataclass its
class's name and its fields, of any other object its class's name and its public attributes, of a function its name.
What changes during a run stands in ``state`` or behind an underscore, and is left out.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass

import numpy as np


def check_plug_in(name: str, value: object, methods: Sequence[str], example: str,
                  attributes: Sequence[str] = ()) -> None:
    """TypeError where a plug-in is a class, or lacks one of these methods or attributes."""
    lacking = [f"a method `{method}`" for method in methods if not callable(getattr(value, method, None))]
    lacking += [f"an attribute `{attribute}`" for attribute in attributes if not hasattr(value, attribute)]
    if isinstance(value, type):
        lacking = [f"a method `{methods[0]}`"]
    if lacking:
        raise TypeError(f"{name} must be an object with {lacking[0]}, such as {example}, got {value!r}")


def name_of(thing: object) -> str:
    """Of a function its name, of an object its class's: for messages, in no time."""
    return getattr(thing, "__qualname__", type(thing).__name__)


def settings_of(thing: object) -> dict:
    """Plain JSON: ``{"type": the class's name, setting: value, ...}``."""
    if is_dataclass(thing):
        names = [field.name for field in fields(thing)]
    else:
        names = [name for name in getattr(thing, "__dict__", {}) if not name.startswith("_")]
    return {"type": type(thing).__name__, **{name: _plain(getattr(thing, name)) for name in names if name != "state"}}


def as_text(thing: object) -> str:
    """The same in a line: ``repr``, but where that would hold an address in memory, or the state of an optimizer."""
    if hasattr(thing, "__qualname__"):
        return name_of(thing)
    if type(thing).__repr__ is not object.__repr__ and not hasattr(thing, "state"):
        return repr(thing)
    described = settings_of(thing)
    return f"{described.pop('type')}({', '.join(f'{name}={value!r}' for name, value in described.items())})"


def _plain(value: object) -> object:
    """A setting as JSON holds it, which gives it back equal."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(value)).hexdigest()
        return f"{value.dtype} {list(value.shape)} {digest}"
    return as_text(value)
