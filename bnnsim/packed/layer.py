"""One stored layer: its bits, and the integer thresholds that batch norm and sign fold into.

U units (K output channels), F input features or C input channels.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bnnsim.packed.memory import RowsOfBits
from bnnsim.packed.words import unpack_signs

ARRAYS = ("words", "threshold", "inverted", "mean", "scale", "shift")


@dataclass(frozen=True, eq=False)
class PackedLayer(RowsOfBits):
    """One stored layer, with the fields of `bnnsim.packed.schema`; `bnnsim.packed.stages` says what it computes."""

    kind: str
    n_in: int
    words: np.ndarray
    stride: int = 1
    padding: int = 0
    pad_value: int = 0
    pool: int = 1
    threshold: np.ndarray | None = None
    inverted: np.ndarray | None = None
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Arrays are kept as read-only views: what was laid out for the kernels must not go stale."""
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
        names = ["kind", "n_in", "words", "stride", "padding", "pad_value", "pool"]
        names += ["mean", "scale", "shift"] if self.threshold is None else ["threshold", "inverted"]
        return {name: getattr(self, name) for name in names}

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


def largest_preactivation(layer: PackedLayer, first: bool, offset: int) -> int:
    """Largest |h| that a layer can give."""
    level = max(offset, 255 - offset, abs(layer.pad_value)) if first else 1
    return layer.fan_in * level
