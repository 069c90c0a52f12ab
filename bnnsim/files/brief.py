"""How results show themselves at a prompt: their fields by name, arrays by type and shape."""

import dataclasses
from typing import Any

import numpy as np

FEW = 4                             # numbers of an array, or items of a row, that are shown themselves


class Brief:
    """A dataclass of arrays, made with ``repr=False``: ``LayerMargins(index=0, counts=<int64 128 x 40>)``."""

    def __repr__(self) -> str:
        fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(self)     # type: ignore[arg-type]
        told = (f"{field.name}={shown(getattr(self, field.name))}" for field in fields if field.repr)
        return f"{type(self).__name__}({', '.join(told)})"


def shown(value: object) -> str:
    """A field's text: of what is long, how much there is of what.

    Examples
    --------
    >>> shown(np.zeros((128, 40))), shown([0.5, np.ones(7)]), shown(range(100))
    ('<float64 128 x 40>', '[0.5, <float64 7>]', '<range of 100>')
    """
    if isinstance(value, np.ndarray):
        if value.ndim == 1 and value.size <= FEW:
            return str(value.tolist())
        return f"<{value.dtype} {' x '.join(map(str, value.shape)) or 'number'}>"
    if isinstance(value, (list, tuple, dict, range)) and len(value) > FEW:
        return f"<{type(value).__name__} of {len(value)}>"
    if isinstance(value, (list, tuple)) and value and not hasattr(value, "_fields"):
        items = ", ".join(map(shown, value))
        return f"[{items}]" if isinstance(value, list) else f"({items}{',' if len(value) == 1 else ''})"
    return repr(value)
