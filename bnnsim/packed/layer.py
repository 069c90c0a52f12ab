"""One stored layer: its bits, and the integer thresholds that batch norm and sign fold into.

U units (K output channels) in V = ceil(U / 64) words, S = 64 V; F input features or C input channels.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bnnsim.packed.forward import conv, dense, pixels_conv, pixels_dense
from bnnsim.packed.words import pack_signs


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
            ends = {"theta": self.threshold.astype(np.int64), "inverted": pack_signs(inverted[None])[0]}
        if self.kind == "dense":
            return pixels_dense(words, self.n_in, offset, **ends) if first else \
                dense(words, self.n_in, **ends)
        ends["pool"] = self.pool
        return pixels_conv(words, self.n_in, geometry, offset, self.pad_value, **ends) if first else \
            conv(words, self.n_in, geometry, self.pad_value, **ends)


def largest_preactivation(layer, first, offset):
    """Largest |h| that a layer can give."""
    level = max(offset, 255 - offset, abs(layer.pad_value)) if first else 1
    return layer.fan_in * level
