"""One stored layer: its bits, and the integer thresholds that batch norm and sign fold into.

U units (K output channels), F input features or C input channels.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bnnsim.files.brief import Brief
from bnnsim.kernels.forward.geometry import Pool
from bnnsim.packed.forward import NO_PADDING, Pair, Sides
from bnnsim.packed.memory import RowsOfBits
from bnnsim.packed.words import unpack_signs

ARRAYS = ("words", "threshold", "inverted", "mean", "scale", "shift")
SETTINGS = {"stride": 2, "padding": 4, "pad_value": 0, "replicate": 0, "dilation": 2, "groups": 0, "pool": 2,
            "pool_stride": 2, "pool_padding": 4}          # how many numbers each is; 0: one, that stands alone
HIDDEN = {"threshold": np.dtype(np.int32), "inverted": np.dtype(bool)}
OUTPUT = {"mean": np.dtype(np.float64), "scale": np.dtype(np.float64), "shift": np.dtype(np.float64)}


@dataclass(frozen=True, eq=False, repr=False)
class PackedLayer(RowsOfBits, Brief):
    """One stored layer, with the fields of `bnnsim.packed.schema`; `bnnsim.packed.stages` says what it computes.

    One integer for a pair, or for the four sides of a padding, stands for each of them; windows of a max-pool lie side
    by side where no pool_stride is given.
    """

    kind: str
    n_in: int
    words: np.ndarray
    stride: Pair = (1, 1)
    padding: Sides = NO_PADDING
    pad_value: int = 0
    replicate: bool = False
    dilation: Pair = (1, 1)
    groups: int = 1
    pool: Pair = (1, 1)
    pool_stride: Pair | None = None
    pool_padding: Sides = NO_PADDING
    threshold: np.ndarray | None = None
    inverted: np.ndarray | None = None
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Arrays are kept as read-only views: what was laid out for the kernels must not go stale."""
        if self.pool_stride is None:
            object.__setattr__(self, "pool_stride", self.pool)
        for name, n in {"n_in": 0, **SETTINGS}.items():
            object.__setattr__(self, name, each_of(getattr(self, name), n))
        for name in ARRAYS:
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                value = value.view()
                value.flags.writeable = False
                object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[type["PackedLayer"], tuple]:
        """Sent to another process without what can be laid out anew there."""
        return PackedLayer, tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    def fields(self) -> dict[str, Any]:
        """The layer as the plain dict that files hold."""
        return {name: getattr(self, name) for name in ("kind", "n_in", "words", *SETTINGS, *self.ending)}

    @property
    def ending(self) -> dict[str, np.dtype]:
        """The arrays that make bits, or scores, of its sums, and their types; none where a graph reads the sums."""
        return HIDDEN if self.threshold is not None else OUTPUT if self.mean is not None else {}

    @property
    def windows(self) -> Pool:
        """Of its max-pool."""
        return Pool(*self.pool, *(self.pool_stride or self.pool), *self.pool_padding)

    @property
    def pools(self) -> bool:
        """Whether a max-pool stands behind its sums."""
        return self.windows != Pool(1, 1, 1, 1, *NO_PADDING)

    def signs(self) -> np.ndarray:
        """The weights, int8 (U, fan_in) of +1 and -1; of a convolution in height, width, channel order."""
        rows = self.words.reshape(-1, self.words.shape[-1]).copy()          # writable: kernels are compiled for such
        return unpack_signs(rows, self.n_in).reshape(self.units, -1)

    @cached_property
    def comparison(self) -> tuple[np.ndarray, np.ndarray]:
        """(threshold, inverted) of a hidden layer."""
        if self.threshold is None or self.inverted is None:
            raise ValueError("the last layer gives scores: it has no threshold")
        return self.threshold, self.inverted

    @cached_property
    def output_affine(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(mean, scale, shift) of the last layer, as the kernels read them."""
        if self.mean is None or self.scale is None or self.shift is None:
            raise ValueError("a hidden layer gives bits: it has no mean, scale and shift of scores")
        return self.mean.copy(), self.scale.copy(), self.shift.copy()


def each_of(value: Any, n: int) -> Any:
    """A setting of n numbers, of which one integer may be given for all; NumPy's, which overflow, as plain ones."""
    value = int(value) if isinstance(value, np.integer) else value
    if n and isinstance(value, int) and not isinstance(value, bool):
        return (value,) * n
    if n and (isinstance(value, (list, tuple)) or isinstance(value, np.ndarray) and value.ndim > 0):
        return tuple(int(size) if isinstance(size, np.integer) else size for size in value)
    return value


def largest_preactivation(layer: PackedLayer, first: bool, offset: int) -> int:
    """Largest |h| that a layer can give."""
    level = max(offset, 255 - offset, abs(layer.pad_value)) if first else 1
    return layer.fan_in * level
