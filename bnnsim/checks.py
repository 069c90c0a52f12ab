"""Rules for arguments: each function takes (name, value) and returns the value in its clean form, or raises.

A message names the argument, what was wanted and what came. Wrong type: TypeError; wrong value: ValueError.
"""

import difflib
import math
import numbers
import os
from collections.abc import Callable

import numpy as np

FilePath = str | os.PathLike[str]


def check_int(name, value, low=None, high=None):
    """An integer in [low, high]; booleans and floats are refused."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}")
    value = int(value)
    if (low is not None and value < low) or (high is not None and value > high):
        wanted = f"in [{low}, {high}]" if low is not None and high is not None else \
            f">= {low}" if low is not None else f"<= {high}"
        raise ValueError(f"{name} must be {wanted}, got {value}")
    return value


def check_real(name, value, low=None, high=None, open_low=False):
    """A finite real number in [low, high], or in (low, high] with `open_low`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {value!r} of type {type(value).__name__}")
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    if low is not None and (value < low or (open_low and value == low)):
        raise ValueError(f"{name} must be {'>' if open_low else '>='} {low}, got {value}")
    if high is not None and value > high:
        raise ValueError(f"{name} must be <= {high}, got {value}")
    return value


def check_probability(name, value):
    """A probability in [0, 1]."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a probability in [0, 1], got {value!r} of type {type(value).__name__}")
    value = float(value)
    if not 0.0 <= value <= 1.0:                     # NaN fails here too
        raise ValueError(f"{name} must be a probability in [0, 1], got {value}")
    return value


def check_choice(name, value, choices):
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


def check_array(name, value, dtype, shape):
    """An array of exactly this dtype and shape; None in `shape` accepts any length. Returned C-contiguous."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(value).__name__}")
    if value.dtype != np.dtype(dtype):
        raise TypeError(f"{name} must have dtype {np.dtype(dtype)}, got {value.dtype}")
    if value.ndim != len(shape) or any(s is not None and s != v for s, v in zip(shape, value.shape)):
        wanted = "(" + ", ".join("any" if s is None else str(s) for s in shape) + ")"
        raise ValueError(f"{name} must have shape {wanted}, got {value.shape}")
    return np.ascontiguousarray(value)


def check_finite(name, value):
    """An array without NaN or infinity."""
    bad = ~np.isfinite(value)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name} must be finite, got {np.asarray(value)[where]} at index {where} "
                         f"({int(bad.sum())} such values)")
    return value


def check_input(layer, x, dtype, last, ndim=None):
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


def check_images(images, shape=None):
    """uint8 images (N, C, H, W), of the (C, H, W) given."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        came = f"dtype {images.dtype}" if isinstance(images, np.ndarray) else type(images).__name__
        raise TypeError(f"images must be a uint8 array (N, C, H, W) of pixels 0..255, got {came}; "
                        "for floats in [0, 1] pass np.round(images * 255).astype(np.uint8)")
    return check_array("images", images, np.uint8, (None, *(shape or (None, None, None))))


def check_split(split, name="split"):
    """A Split (anything with images and labels) of at least one image."""
    if not hasattr(split, "images") or not hasattr(split, "labels"):
        raise TypeError(f"{name} must be a Split, one half of what load_dataset gives, got {type(split).__name__}; "
                        "wrap arrays as bnnsim.Split(images, labels, 'mine')")
    if len(split.labels) == 0:
        raise ValueError(f"{name} must have at least one image")
    return split


def check_labels(labels, n_images, n_classes):
    """Labels 0..n_classes - 1, one an image, as uint8."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got dtype {labels.dtype}")
    if labels.shape != (n_images,):
        raise ValueError(f"labels must have shape ({n_images},), one for each image, got {labels.shape}")
    if labels.size and (labels.min() < 0 or labels.max() >= n_classes):
        raise ValueError(f"labels must be in 0..{n_classes - 1}, got {labels.min()}..{labels.max()}")
    return labels.astype(np.uint8)
