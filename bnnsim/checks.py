"""Rules for arguments: each function takes (name, value) and returns the value in its clean form, or raises.

A message names the argument, what was wanted and what came. Wrong type: TypeError; wrong value: ValueError.
"""

import math
import numbers
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages

FilePath = str | os.PathLike[str]
Array = TypeVar("Array", bound=np.ndarray)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_REAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)|nan", re.ASCII | re.IGNORECASE)


def integer_of(text: str) -> int:
    """The integer that a text is, as files and command lines have it; ValueError where it is none.

    Of digits 0 to 9 alone: Python's own ``int`` takes 1_000, and digits of any script.
    """
    if not _INTEGER.fullmatch(text.strip()) or len(text) > 4000:
        raise ValueError(f"wanted an integer, got {text[:40]!r}")
    return int(text)


def real_of(text: str) -> float:
    """The number that a text is, inf and nan too; ValueError where it is none. See `integer_of`."""
    if not _REAL.fullmatch(text.strip()):
        raise ValueError(f"wanted a number, got {text[:40]!r}")
    return float(text)


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


def check_sequence(name: str, value: object, wanted: str) -> list[Any]:
    """What a sequence or an array holds, one at least; `wanted` says of what, with an example."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        raise TypeError(f"{name} must be a sequence of {wanted}, got {value!r:.80} of type {type(value).__name__}")
    check_unmasked(name, value)
    found = list(value)
    if not found:
        raise ValueError(f"{name} must be a sequence of {wanted}, one at least, got none")
    return found


def check_bool(name: str, value: object) -> bool:
    """True or False: not 1, "no", or anything else that Python would take for one of them."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r:.80}")
    return bool(value)


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """One of a few strings; a slip of the pen is answered with the word that was meant."""
    choices = tuple(choices)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r} of type "
                        f"{type(value).__name__}")
    if value not in choices:
        near = nearest(value, choices)
        hint = f"; did you mean {near!r}?" if near else ""
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}{hint}")
    return value


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The one of `choices` that is `word` but for slips of the pen; None where there is none, or it may be another.

    Words between the separators are compared one by one. The first letter and the digits must agree; one letter may be
    wrong, two of six or more, of three or fewer only one too many, too few or out of place: a mean is no median, LRS
    not HRS, cifar100 not cifar10.

    Examples
    --------
    >>> nearest("fasion", ["fashion", "mnist"]), nearest("device", ["resistance_ohm"]), nearest("mean", ["median"])
    ('fashion', None, None)
    """
    found = [choice for choice in choices if _is_slip(word[:60].lower(), choice.lower())]
    return min(found, key=lambda choice: _edits(word[:60].lower(), choice.lower()), default=None)


def _is_slip(word: str, choice: str) -> bool:
    if re.sub(r"\W|_", "", word) == re.sub(r"\W|_", "", choice):
        return True
    parts = [re.split(r"[\W_]+", each) for each in (word, choice)]
    return len(parts[0]) == len(parts[1]) and all(map(_is_part_slip, *parts))


def _is_part_slip(a: str, b: str) -> bool:
    digits, shorter = (re.sub(r"\D", "", a), re.sub(r"\D", "", b)), min(len(a), len(b))
    if a == b or (not all(digits) and re.sub(r"\d", "", a) == re.sub(r"\d", "", b)):
        return True
    if a[:1] != b[:1] or (all(digits) and digits[0] != digits[1]) or shorter < 3:
        return False
    if shorter == 3 and len(a) == len(b):
        return sorted(a) == sorted(b)
    return _edits(a, b) <= (2 if shorter >= 6 else 1) or (shorter >= 6 and a[:5] == b[:5] and len(a) <= len(b) + 2)


def _edits(a: str, b: str) -> int:
    """Letters to put in, leave out, change, or swap with the next one, to make b of a."""
    rows = [list(range(len(b) + 1))]
    for i in range(1, len(a) + 1):
        row = [i]
        for j in range(1, len(b) + 1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a[i - 1] != b[j - 1])))
            if i > 1 and j > 1 and a[i - 2:i] == b[j - 2:j][::-1]:
                row[-1] = min(row[-1], rows[-2][j - 2] + 1)
        rows.append(row)
    return rows[-1][-1]


def check_array(name: str, value: object, dtype: npt.DTypeLike, shape: Sequence[int | None]) -> np.ndarray:
    """An array of exactly this dtype and shape; None in `shape` accepts any length. Returned C-contiguous."""
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {type(value).__name__}")
    if value.dtype != np.dtype(dtype):
        raise TypeError(f"{name} must have dtype {np.dtype(dtype)}, got {value.dtype}")
    check_unmasked(name, value)
    if not _has_shape(value, shape):
        raise ValueError(f"{name} must have shape {_shape_text(shape)}, got {value.shape}")
    return np.ascontiguousarray(value)


def _has_shape(value: np.ndarray, shape: Sequence[int | None]) -> bool:
    return value.ndim == len(shape) and all(s is None or s == v for s, v in zip(shape, value.shape))


def _shape_text(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("any" if s is None else str(s) for s in shape) + ")"


def check_unmasked(name: str, value: object) -> None:
    """Nothing that a masked array hides: plain arrays would take what is under the mask for values."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.count_masked(value):
        raise ValueError(f"{name} must have no masked values, got {np.ma.count_masked(value)} of {value.size}: what is "
                         "to stand for them is not known here; leave out what they belong to, or pass .filled(value)")


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


def check_images(images: object, shape: Sequence[int | None] | None = None, bits: bool = False) -> np.ndarray:
    """uint8 images (N, C, H, W), of the (C, H, W) given; bits: of pixels 0 and 2 alone, which are -1 and +1."""
    if not isinstance(images, np.ndarray):
        raise TypeError(f"images must be a uint8 array (N, C, H, W) of pixels 0..255, got {type(images).__name__}; "
                        "for nested lists pass np.asarray(images)")
    check_unmasked("images", images)
    if images.dtype != np.uint8:
        raise TypeError(f"images must be a uint8 array (N, C, H, W) of pixels 0..255, got dtype {images.dtype}"
                        f"{_pixel_hint(images)}")
    wanted = (None, *(shape or (None, None, None)))
    if not _has_shape(images, wanted):
        raise ValueError(f"images must have shape {_shape_text(wanted)}, got {images.shape}"
                         f"{_layout_hint(images.shape, wanted)}")
    if bits and np.any(images & 0xFD):
        raise ValueError(f"images of a network with binary input must be of pixels 0 (-1) and 2 (+1), got pixel "
                         f"{images[(images & 0xFD) != 0][0]}: pass bnnsim.interop.binary_images(images, level), in "
                         "which pixels from level up are +1; for a command save those and their labels as an .npz file "
                         "(images, labels), and name it by --dataset")
    return np.ascontiguousarray(images)


def _pixel_hint(images: np.ndarray) -> str:
    """How these become pixels, told by their values; or why that cannot be known."""
    kind = images.dtype.kind
    if kind == "b":
        return "; for black and white, where True is white, pass images.astype(np.uint8) * 255"
    if kind not in "iuf" or images.size == 0:
        return ""
    low, high = images.min(), images.max()
    came = f" of values {low:g} to {high:g}"
    if not (low >= 0 and high <= 255):                          # NaN too
        return (f"{came}, which are no pixels: undo whatever scaled them (normalised ones: times the standard "
                "deviation, plus the mean) to levels 0..255 first")
    if high <= 1 and kind != "f":
        return (f"{came}: whether 1 is the second darkest level or white is not known here; pass "
                "images.astype(np.uint8) if it is level 1 of 255, or that times 255 if it is white")
    if kind != "f":
        return f"{came}; pass images.astype(np.uint8)"
    return f"{came}; pass np.round(images{' * 255' if high <= 1 else ''}).astype(np.uint8)"


def _layout_hint(came: Sequence[int], wanted: Sequence[int | None]) -> str:
    """How images of another order of axes become (N, C, H, W)."""
    channels, height, width = one = tuple(wanted[1:])
    if len(came) == 4 and tuple(came[1:]) == (height, width, channels):
        return "; these are in N, H, W, C order: pass images.transpose(0, 3, 1, 2)"
    if channels is None or height is None or width is None:
        return "; for grey images pass images[:, None], for one image in C, H, W order images[None]" \
            if len(came) == 3 else ""
    if tuple(came) == one:
        return "; for one image pass images[None]"
    if len(came) == 3 and channels == 1 and tuple(came[1:]) == (height, width):
        return "; for grey images pass images[:, None]"
    if tuple(came) == (height, width, channels):
        return "; for one image in H, W, C order pass images.transpose(2, 0, 1)[None]"
    if channels == 1 and tuple(came) == (height, width):
        return "; for one grey image pass images[None, None]"
    if 1 <= len(came) <= 2 and came[-1] == channels * height * width:
        return f"; for rows in C, H, W order pass images.reshape(-1, {channels}, {height}, {width})"
    return ""


def check_split(split: "LabelledImages", name: str = "split") -> "LabelledImages":
    """A Split, or another object that has all of `bnnsim.datasets.LabelledImages`, of at least one image."""
    if lacks := parts_missing(split):
        raise TypeError(f"{name} must be a Split, one half of what load_dataset gives, or an object of yours with the "
                        f"same parts, got {type(split).__name__}, which has no {', no '.join(lacks)}; wrap arrays as "
                        "bnnsim.Split(images, labels, 'mine')")
    if not isinstance(split.name, str):
        raise TypeError(f"the name of {name} must be a string, under which results are recorded, got {split.name!r}")
    if len(split.labels) == 0:
        raise ValueError(f"{name} must have at least one image")
    return split


def parts_missing(split: object) -> list[str]:
    """What an object lacks of `bnnsim.datasets.LabelledImages`."""
    # asked of the type first: a Split's sha256 takes a second to compute
    return [part for part in ("images", "labels", "name", "sha256", "__len__")
            if not (hasattr(type(split), part) or hasattr(split, part))]


def digest_of(split: "LabelledImages", name: str = "split") -> str:
    """The sha256 of labelled images, by which a resumed run or campaign knows them."""
    found = split.sha256
    if not isinstance(found, str) or not found:
        raise TypeError(f"the sha256 of {name} must be a string that changes with the content, such as 64 hexadecimal "
                        f"digits, got {found!r}")
    return found


def check_labels(labels: npt.ArrayLike, n_images: int, n_classes: int) -> np.ndarray:
    """Labels 0..n_classes - 1, one an image, as uint8; as int64 where classes are more than 256."""
    check_unmasked("labels", labels)
    found = np.asarray(labels)
    if found.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got dtype {found.dtype}")
    if found.shape != (n_images,):
        raise ValueError(f"labels must have shape ({n_images},), one for each image, got {found.shape}")
    if found.size and (found.min() < 0 or found.max() >= n_classes):
        raise ValueError(f"labels must be in 0..{n_classes - 1}, got {found.min()}..{found.max()}")
    return found.astype(np.uint8 if n_classes <= 256 else np.int64)
