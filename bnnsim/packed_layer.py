"""One stored layer: its bits, and the integer thresholds that batch norm and sign fold into.

U units (K output channels) in V = ceil(U / 64) words, S = 64 V; F input features or C input channels.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import bnnsim.operands as operands
import bnnsim.products as products
from bnnsim.checks import check_finite


@dataclass(frozen=True, eq=False)
class PackedLayer:
    """One stored layer; its fields are those of `weights.check_network`."""

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

    def __post_init__(self):
        """Arrays are kept as read-only views: what was laid out for the kernels must not go stale."""
        for name in ("words", "threshold", "inverted", "mean", "scale", "shift"):
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                value = value.view()
                value.flags.writeable = False
                object.__setattr__(self, name, value)

    def __reduce__(self):
        """Sent to another process without what can be laid out anew there."""
        return PackedLayer, tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    @property
    def units(self):
        """U, or K output channels."""
        return len(self.words)

    @property
    def fan_in(self):
        """Weights of one unit."""
        return self.n_in * int(np.prod(self.words.shape[1:-1]))

    @property
    def n_bits(self):
        """Binary weights: what the memory stores. Padding bits are not among them."""
        return self.units * self.fan_in

    def fields(self):
        """The layer as the plain dict that files hold."""
        names = ["kind", "n_in", "words", "stride", "padding", "pad_value", "pool"]
        names += ["mean", "scale", "shift"] if self.threshold is None else ["threshold", "inverted"]
        return {name: getattr(self, name) for name in names}

    @cached_property
    def output_affine(self):
        """(mean, scale, shift) as the kernels read them."""
        return self.mean.copy(), self.scale.copy(), self.shift.copy()

    def forward(self, first, geometry, offset):
        """The layer as the forward kernels read it: to bits where it has thresholds, else to pre-activations.

        first : whether it reads images, minus `offset`
        geometry : of its convolution, None if it is dense
        """
        words, ends = self.words.copy(), {}                      # writable: kernels are compiled for such arrays
        if self.threshold is not None:
            inverted = np.where(self.inverted, 1, -1).astype(np.int8)
            ends = {"theta": self.threshold.astype(np.int64), "inverted": products.pack_signs(inverted[None])[0]}
        if self.kind == "dense":
            return operands.pixels_dense(words, self.n_in, offset, **ends) if first else \
                operands.dense(words, self.n_in, **ends)
        ends["pool"] = self.pool
        return operands.pixels_conv(words, self.n_in, geometry, offset, self.pad_value, **ends) if first else \
            operands.conv(words, self.n_in, geometry, self.pad_value, **ends)


def largest_preactivation(layer, first, offset):
    """Largest |h| that a layer can give."""
    level = max(offset, 255 - offset, abs(layer.pad_value)) if first else 1
    return layer.fan_in * level


def fold_thresholds(mean, scale, shift, bound):
    """Batch norm and sign as integer thresholds: (h - mean) * scale + shift >= 0 iff (h >= theta) xor inverted.

    Parameters
    ----------
    mean, scale, shift : float64 (U,)
    bound : int
        Largest |h| that can occur.

    Returns
    -------
    theta : int32 (U,)
        The least integer in [-bound, bound + 1] at which the float64 expression changes side, found by bisection of
        that expression itself, so that it agrees with evaluation on every integer.
    inverted : bool (U,)
        scale < 0; for scale = 0 the output is the constant sign(shift).
    """
    for name, value in (("mean", mean), ("scale", scale), ("shift", shift)):
        check_finite(name, value)
    inverted = np.where(scale == 0, shift < 0, scale < 0)
    low = np.full(len(mean), -bound, np.int64)                  # the answer lies in low..high
    high = np.full(len(mean), bound + 1, np.int64)
    while np.any(low < high):
        middle = (low + high) >> 1
        with np.errstate(over="ignore"):                        # an infinity is on the right side too
            above = ((middle.astype(np.float64) - mean) * scale + shift >= 0) != inverted
        open_ = low < high
        high = np.where(open_ & above, middle, high)
        low = np.where(open_ & ~above, middle + 1, low)
    return low.astype(np.int32), inverted
