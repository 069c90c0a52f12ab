"""What a file says of an array before it is read: type, shape, place, and whether these are the wanted ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_array


@dataclass(frozen=True)
class Announced:
    """Stands in for an array that a file announces and that has not been read yet.

    dtype : of its values; S and a size: strings
    address : where its bytes begin in the file
    """

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    address: int = 0

    @property
    def n_bytes(self) -> int:
        """Bytes that it takes."""
        return math.prod(self.shape) * self.dtype.itemsize


Found = TypeVar("Found", np.ndarray, Announced)


def check_fits(name: str, value: Found, dtype: npt.DTypeLike, shape: Sequence[int | None]) -> Found:
    """`checks.check_array`, for an `Announced` array too."""
    if not isinstance(value, Announced):
        return check_array(name, value, dtype, shape)
    if value.dtype != dtype:
        raise TypeError(f"{name} must have dtype {dtype}, got {value.dtype}")
    if len(value.shape) != len(shape) or any(s not in (None, v) for s, v in zip(shape, value.shape)):
        wanted = "(" + ", ".join("any" if s is None else str(s) for s in shape) + ")"
        raise ValueError(f"{name} must have shape {wanted}, got {value.shape}")
    return value
