"""`FeatureCode`: numbers of any scale (tables, signals) as the pixels that a first layer takes.

It is fitted on training data alone; test data, and whatever comes later, get the same code.

Sizes: N examples, C channels, L features or samples of a signal, T thresholds a feature.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_choice, check_finite, check_int, check_unmasked
from bnnsim.files.brief import Brief

MAX_TABLE = 20_000                  # numbers of a code, which stand in a network's metadata as text
MAX_BINS = 1024
MAX_BYTES = 1 << 30                 # of coded examples
KINDS = ("levels", "thermometer")


@dataclass(frozen=True, eq=False, repr=False)
class FeatureCode(Brief):
    """The code of features.

    Parameters
    ----------
    kind : "levels" or "thermometer"
        One pixel a feature, 0 at its lowest and 255 at its highest training value, those beyond clipped; or T pixels,
        the t-th 255 where the value is above the t-th threshold, else 0.
    table : float64 (C, L, 2) or (C, L, T)
        Lowest and highest value; or thresholds, not falling. C or L is 1 where all channels or samples have the same.

    Examples
    --------
    >>> code = FeatureCode.fit([[0.0, 5.0], [10.0, 5.0]])
    >>> code.encode([[2.0, 7.0], [99.0, 5.0]])[:, 0, 0]
    array([[ 51,   0],
           [255,   0]], dtype=uint8)
    >>> FeatureCode.fit([[0.0], [1.0], [4.0]], bins=2).encode([[3.0]]).tolist()
    [[[[255]], [[255]]]]
    """

    kind: str
    table: np.ndarray

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, KINDS)
        table = np.ascontiguousarray(self.table, np.float64)
        if table.ndim != 3 or not 0 < table.size <= MAX_TABLE or (self.kind == "levels" and table.shape[2] != 2):
            raise ValueError(f"table must be (C, L, {'2' if self.kind == 'levels' else 'T'}) of 1 to {MAX_TABLE} "
                             f"numbers, got shape {table.shape}")
        if np.any(check_finite("table", table)[..., 1:] < table[..., :-1]):
            raise ValueError("table must not fall along its last axis")
        object.__setattr__(self, "table", table)

    @staticmethod
    def fit(features: npt.ArrayLike, bins: int | None = None) -> "FeatureCode":
        """The code of training data.

        Parameters
        ----------
        features : numbers (N, L) or (N, C, L)
            A table, each column with a code of its own; or signals of C channels, each channel with a code of its own.
        bins : int, optional
            Thresholds a feature of a thermometer code: at equal shares of the training values; halfway between
            neighbours, where there are no more than bins + 1 different ones. None: 256 levels.

        Returns
        -------
        FeatureCode
        """
        x = _checked(features)
        if len(x) == 0:
            raise ValueError("features must have at least one example to fit a code on")
        columns = x[:, 0].T if np.ndim(features) == 2 else x.transpose(1, 0, 2).reshape(x.shape[1], -1)
        n_table = len(columns) * (2 if bins is None else check_int("bins", bins, 1, MAX_BINS))
        if n_table > MAX_TABLE:
            raise ValueError(f"a code must have at most {MAX_TABLE} numbers, as the network stores it, got {n_table}: "
                             "take fewer bins; give signals as (N, channels, samples), which have one code a channel")
        if bins is None:
            kind, table = "levels", np.stack([columns.min(1), columns.max(1)], 1)
        else:
            kind, table = "thermometer", np.array([_thresholds(column, bins) for column in columns])
        return FeatureCode(kind, table[None] if np.ndim(features) == 2 else table[:, None])

    def encode(self, features: npt.ArrayLike) -> np.ndarray:
        """Features (N, L) or (N, C, L) as images, uint8 (N, C, 1, L), or (N, C T, 1, L) of a thermometer code."""
        x, (channels, samples, n_table) = _checked(features), self.table.shape
        if x.shape[1] != channels or samples != (x.shape[2] if np.ndim(features) == 2 else 1):
            wanted = f"(N, {samples})" if channels == 1 and samples > 1 else f"(N, {channels}, L)"
            raise ValueError(f"features must have shape {wanted}, as those that the code was fitted on, got "
                             f"{np.shape(features)}")
        if self.kind == "levels":
            low, high = self.table[..., 0] / 2, self.table[..., 1] / 2          # halves: no overflow
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.where(high > low, (np.clip(x / 2, low, high) - low) / (high - low), 0)
            return np.rint(share * 255).astype(np.uint8)[:, :, None]
        if x.size * n_table > MAX_BYTES:
            raise ValueError(f"coded features must take at most {MAX_BYTES} bytes, got {x.size * n_table}: take fewer "
                             "bins, or fewer examples at a time")
        coded = np.empty((len(x), x.shape[1], n_table, x.shape[2]), np.uint8)
        for t in range(n_table):
            np.multiply(x > self.table[..., t], np.uint8(255), out=coded[:, :, t])
        return coded.reshape(len(x), -1, 1, x.shape[2])

    def fields(self) -> dict[str, Any]:
        """It as plain JSON."""
        return {"kind": self.kind, "shape": list(self.table.shape), "table": self.table.ravel().tolist()}

    @staticmethod
    def of_fields(fields: Mapping[str, Any]) -> "FeatureCode":
        """The code that `fields` wrote."""
        table, shape = np.array(fields["table"]), tuple(fields["shape"])
        if table.dtype.kind not in "if" or len(shape) != 3 or table.size != math.prod(shape):
            raise ValueError(f"a code must have a table of shape {shape}, got {table.size} of dtype {table.dtype}")
        return FeatureCode(fields["kind"], table.reshape(shape))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FeatureCode) and self.kind == other.kind and np.array_equal(self.table, other.table)


def _checked(features: npt.ArrayLike) -> np.ndarray:
    """Finite numbers as float64 (N, C, L)."""
    check_unmasked("features", features)
    x = np.asarray(features)
    if x.dtype.kind not in "biuf":
        raise TypeError(f"features must be numbers, got dtype {x.dtype}")
    if x.ndim not in (2, 3) or 0 in x.shape[1:]:
        raise ValueError(f"features must have shape (N, L) or (N, C, L), got {x.shape}; for signals of one channel "
                         "pass x[:, None], for images use Split.from_arrays")
    if x.size * 8 > MAX_BYTES:
        raise ValueError(f"features must be at most {MAX_BYTES // 8} numbers, got {x.size}")
    check_finite("features", x)
    return (x[:, None] if x.ndim == 2 else x).astype(np.float64)


def _thresholds(values: np.ndarray, bins: int) -> np.ndarray:
    """At equal shares of the values; halfway between different ones where these are few, the last one repeated."""
    different = np.unique(values)
    if len(different) > bins + 1:
        return np.maximum.accumulate(np.quantile(values, np.arange(1, bins + 1) / (bins + 1)))
    between = different[:-1] / 2 + different[1:] / 2
    return np.concatenate([between, np.full(bins - len(between), different[-1])])
