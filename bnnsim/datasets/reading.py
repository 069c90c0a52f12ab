"""How data of one's own became a split: names of classes, size and order of axes, the code of features.

A network that was trained on such a split keeps it in its metadata, under KEY: later data are read the same way, so a
class has the same number, and a value the same code, whatever else is in the later file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_choice, check_int, check_unmasked
from bnnsim.datasets.features import FeatureCode
from bnnsim.files.json_text import parse_json

KEY = "reading"
MAX_TEXT = 900_000                  # bytes in a network's file, whose metadata have 2**20 at most
ORDERS = ("NCHW", "NHWC", "NHW")
MAX_CLASSES, MAX_NAME, MAX_SIDE, MAX_COLUMNS = 256, 200, 4096, 2**17


@dataclass(frozen=True)
class Reading:
    """How data of one's own were read.

    Parameters
    ----------
    class_names : tuple of str
        Class c is the c-th; empty where classes have numbers only.
    size : (H, W), optional
        What images were resized to.
    order : "NCHW", "NHWC" or "NHW", optional
        The axes of image arrays, where it was said.
    code : FeatureCode, optional
        What made features pixels, fitted on the training half.
    columns : tuple of str
        Of a table: the names of its features, in the order that the network takes them.
    """

    class_names: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    order: str | None = None
    code: FeatureCode | None = None
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", check_class_names(self.class_names))
        object.__setattr__(self, "size", check_size(self.size))
        object.__setattr__(self, "columns", check_columns(self.columns))
        if self.order is not None:
            check_choice("order", self.order, ORDERS)
        if self.code is not None and not isinstance(self.code, FeatureCode):
            raise TypeError(f"code must be a FeatureCode, got {type(self.code).__name__}")
        n_bytes = len(json.dumps(self.text()))
        if n_bytes > MAX_TEXT:
            raise ValueError(f"what a network is to keep of its data must have at most {MAX_TEXT} bytes, got {n_bytes}"
                             ": take fewer bins or columns, or shorter names")

    def text(self) -> str:
        """It as JSON, for a network's metadata."""
        return json.dumps({"class_names": list(self.class_names), "size": self.size and list(self.size),
                           "order": self.order, "code": self.code and self.code.fields(),
                           "columns": list(self.columns)})

    @staticmethod
    def of_metadata(metadata: Mapping[str, str]) -> "Reading":
        """What a network's metadata say; nothing of one that was trained on other data.

        Raises
        ------
        ValueError
            If the text is not what `text` writes.
        """
        if KEY not in metadata:
            return Reading()
        try:
            fields = parse_json(metadata[KEY])
            for name in ("class_names", "columns"):
                if not isinstance(fields[name], list):
                    raise TypeError(f"{name} must be a list, got {fields[name]!r}")
            return Reading(tuple(fields["class_names"]), fields["size"] and tuple(fields["size"]), fields["order"],
                           fields["code"] and FeatureCode.of_fields(fields["code"]), tuple(fields["columns"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"the network's metadata {KEY!r} must tell how its data were read, as fit writes it: "
                             f"{error}") from error


def check_size(size: Any) -> tuple[int, int] | None:
    """(H, W), or None."""
    if size is None:
        return None
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise TypeError(f"size must be (rows, columns) of the images, such as (32, 32), got {size!r}")
    return check_int("size[0]", size[0], 1, MAX_SIDE), check_int("size[1]", size[1], 1, MAX_SIDE)


def check_class_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of classes, in their order: up to 256 strings that differ, without control characters."""
    if not _is_ordered(names) or not all(isinstance(name, str) for name in names):
        raise TypeError("class_names must be strings, one a class, in a list, a tuple or an array, whose order numbers "
                        f"the classes, got {names!r:.200}")
    for name in names:
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise ValueError(f"class_names must have 1 to {MAX_NAME} printable characters, got {name[:60]!r}")
    if len(set(names)) < len(names) or len(names) > MAX_CLASSES:
        raise ValueError(f"class_names must be at most {MAX_CLASSES} names that differ, got {len(names)}, of which "
                         f"{len(set(names))} differ")
    return tuple(str(name) for name in names)


def _is_ordered(names: object) -> bool:
    """Whether it has an order that is meant: a set has one, too, but another in each process."""
    return isinstance(names, (list, tuple)) or getattr(names, "ndim", 0) == 1


def check_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Names of features: strings that differ, together no longer than a network's metadata can be."""
    if not _is_ordered(names):
        raise TypeError(f"names of columns must be in a list, a tuple or an array, got {names!r:.200}")
    for name in names:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
            raise ValueError(f"names of columns must have 1 to {MAX_NAME} printable characters, got {name!r}")
    if len(set(names)) < len(names) or sum(map(len, names)) > MAX_COLUMNS:
        twice = next((name for name, after in zip(sorted(names), sorted(names)[1:]) if name == after), None)
        raise ValueError(f"names of columns must differ, and have at most {MAX_COLUMNS} characters together, got "
                         f"{len(names)} names" + (f", {twice!r} twice" if twice else ""))
    return tuple(names)


def numbered(labels: npt.ArrayLike, class_names: Sequence[str] = (), own_names: Sequence[str] = (),
             ) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as numbers of classes.

    Parameters
    ----------
    labels : integers or strings (N,)
        An integer is the number of a class, in `own_names` if there are any, else in `class_names`, but where all are
        names of classes themselves.
    class_names : sequence of str, optional
        The classes in their order, as the network or the training half has them; else `own_names`; else the strings
        that occur, sorted, or "0" and so on up to the highest integer.
    own_names : sequence of str, optional
        The names of integers in the file that they are from.

    Returns
    -------
    labels : int64 (N,)
    class_names : tuple of str

    Examples
    --------
    >>> numbered(["dog", "cat", "dog"])
    (array([1, 0, 1]), ('cat', 'dog'))
    >>> numbered([0, 2]), numbered([0], ("bird", "cat"), own_names=("cat", "bird"))[0]
    ((array([0, 2]), ('0', '1', '2')), array([1]))
    """
    check_unmasked("labels", labels)
    found, order, own = np.asarray(labels), check_class_names(class_names), check_class_names(own_names)
    if found.ndim != 1 or found.dtype.kind not in "iuU" or found.size == 0:
        raise TypeError(f"labels must be integers or strings, (N,), one or more, got shape {found.shape} of dtype "
                        f"{found.dtype}")
    values, places = np.unique(found, return_inverse=True)
    if found.dtype.kind == "U":
        if len(values) > MAX_CLASSES:
            raise ValueError(f"labels must be of at most {MAX_CLASSES} classes, got {len(values)} different values: "
                             "are they labels?")
        names = values.tolist()
        order = order or own or check_class_names(names)
    else:
        n_classes = len(own or order) or MAX_CLASSES
        if not own and order and {str(value) for value in values} <= set(order):
            return numbered(found.astype(str), order)
        if values[0] < 0 or values[-1] >= n_classes:
            raise ValueError(f"labels must be in 0..{n_classes - 1}, got {values[0]}..{values[-1]}")
        order = order or own or tuple(str(c) for c in range(int(values[-1]) + 1))
        names = [(own or order)[value] for value in values]
    unknown = [name for name in names if name not in order]
    if unknown:
        raise ValueError(f"labels must be of the classes {', '.join(order[:20])}, got {', '.join(unknown[:5])}")
    return np.array([order.index(name) for name in names], np.int64)[places], order
