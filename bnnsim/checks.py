"""Rules for arguments: each function takes (name, value) and returns the value in its clean form, or raises.

A message names the argument, what was wanted and what came. Wrong type: TypeError; wrong value: ValueError.
"""

import difflib
import math
import numbers
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages

FilePath = str | os.PathLike[str]
Array = TypeVar("Array", bound=np.ndarray)


def check_int(name: str, value: object, low: int | None = None, high: int | None = None) -> int:
    """An integer in [low, high]; booleans and floats are refused."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}")
    number = int(value)
    if (low is not None and number < low) or (high is not None and number > high):
        wanted = f"in [{low}, {high}]" if low is not None and high is not None else \
            f">= {low}" if low is not None else f"<= {high}"
        raise ValueError(f"{name} must be {wanted}, got {number}")
    return number


def check_real(name: str, value: object, low: float | None = None, high: float | None = None,
               open_low: bool = False) -> float:
    """A finite real number in [low, high], or in (low, high] with `open_low`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {value!r} of type {type(value).__name__}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    if low is not None and (number < low or (open_low and number == low)):
        raise ValueError(f"{name} must be {'>' if open_low else '>='} {low}, got {number}")
    if high is not None and number > high:
        raise ValueError(f"{name} must be <= {high}, got {number}")
    return number


def check_probability(name: str, value: object) -> float:
    """A probability in [0, 1]."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a probability in [0, 1], got {value!r} of type {type(value).__name__}")
    number = float(value)
    if not 0.0 <= number <= 1.0:                    # NaN fails here too
        raise ValueError(f"{name} must be a probability in [0, 1], got {number}")
    return number


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """One of a few strings; a near miss is answered with a suggestion."""
    choices = tuple(choices)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r} of type "
                        f"{type(value).__name__}")
    if value not in choices:
        near = difflib.get_close_matches(value.lower(), choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}{hint}")
    return value


def check_array(name: str, value: object, dtype: npt.DTypeLike, shape: Sequence[int | None]) -> np.ndarray:
    """An array of exactly this dtype and shape; None in `shape` accepts any length. Returned C-contiguous."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(value).__name__}")
    if value.dtype != np.dtype(dtype):
        raise TypeError(f"{name} must have dtype {np.dtype(dtype)}, got {value.dtype}")
    if value.ndim != len(shape) or any(s is not None and s != v for s, v in zip(shape, value.shape)):
        wanted = "(" + ", ".join("any" if s is None else str(s) for s in shape) + ")"
        raise ValueError(f"{name} must have shape {wanted}, got {value.shape}")
    return np.ascontiguousarray(value)


def check_finite(name: str, value: Array) -> Array:
    """An array without NaN or infinity."""
    bad = ~np.isfinite(value)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name} must be finite, got {np.asarray(value)[where]} at index {where} "
                         f"({int(bad.sum())} such values)")
    return value


def check_input(layer: object, x: object, dtype: npt.DTypeLike, last: int, ndim: int | None = None) -> np.ndarray:
    """What a layer is given: dtype, last axis, number of axes, which kernels trust. Returned C-contiguous."""
    name = f"input of {layer}"
    if not isinstance(x, np.ndarray) or x.dtype != np.dtype(dtype):
        raise TypeError(f"{name} must be a {np.dtype(dtype)} array, got {getattr(x, 'dtype', type(x).__name__)}")
    if x.ndim < 2 or (ndim is not None and x.ndim != ndim) or x.shape[-1] != last:
        raise ValueError(f"{name} must have {ndim or '2 or more'} axes, the last {last} long, got shape {x.shape}")
    return np.ascontiguousarray(x)


def clean_fields(record: object, rule: Callable[..., object], *names: str, **bounds: object) -> None:
    """Fields of a frozen dataclass in the clean form that a rule of this module returns: for its ``__post_init__``."""
    for name in names:
        object.__setattr__(record, name, rule(name, getattr(record, name), **bounds))


def check_images(images: object, shape: Sequence[int | None] | None = None) -> np.ndarray:
    """uint8 images (N, C, H, W), of the (C, H, W) given."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        came = f"dtype {images.dtype}" if isinstance(images, np.ndarray) else type(images).__name__
        raise TypeError(f"images must be a uint8 array (N, C, H, W) of pixels 0..255, got {came}; "
                        "for floats in [0, 1] pass np.round(images * 255).astype(np.uint8)")
    return check_array("images", images, np.uint8, (None, *(shape or (None, None, None))))


def check_split(split: "LabelledImages", name: str = "split") -> "LabelledImages":
    """A Split, or another object that has all of `bnnsim.datasets.LabelledImages`, of at least one image."""
    # asked of the type first: a Split's sha256 takes a second to compute
    lacks = [part for part in ("images", "labels", "name", "sha256", "__len__")
             if not (hasattr(type(split), part) or hasattr(split, part))]
    if lacks:
        raise TypeError(f"{name} must be a Split, one half of what load_dataset gives, or an object of yours with the "
                        f"same parts, got {type(split).__name__}, which has no {', no '.join(lacks)}; wrap arrays as "
                        "bnnsim.Split(images, labels, 'mine')")
    if len(split.labels) == 0:
        raise ValueError(f"{name} must have at least one image")
    return split


def check_labels(labels: npt.ArrayLike, n_images: int, n_classes: int) -> np.ndarray:
    """Labels 0..n_classes - 1, one an image, as uint8."""
    found = np.asarray(labels)
    if found.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got dtype {found.dtype}")
    if found.shape != (n_images,):
        raise ValueError(f"labels must have shape ({n_images},), one for each image, got {found.shape}")
    if found.size and (found.min() < 0 or found.max() >= n_classes):
        raise ValueError(f"labels must be in 0..{n_classes - 1}, got {found.min()}..{found.max()}")
    return found.astype(np.uint8)
