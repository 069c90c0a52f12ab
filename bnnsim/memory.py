"""What a memory holds, layer by layer: all that a fault needs to know of a network.

A fault is an object with ``apply(network, rng=None, trial=0)``. What it breaks is anything with ``layers``, each of
``words``, ``n_in``, ``units``, ``fan_in`` and ``n_bits``, and ``with_words``: a PackedNetwork, or a `Memory`, as the
weights of a model in training, code words with their check bits, or one array of cells.
"""

from dataclasses import dataclass

import numpy as np

import bnnsim.operands as operands
from bnnsim.kernels import bit_fields, split


@dataclass(frozen=True, eq=False)
class StoredBits:
    """Bits of one layer as the memory holds them.

    Parameters
    ----------
    words : uint64 (U, ceil(F / 64)) or (K, kh, kw, ceil(C / 64))
        Bit 1 is +1; padding bits are 0.
    n_in : int
        Bits of a row: F or C.
    """

    words: np.ndarray
    n_in: int

    @property
    def units(self):
        """U, or K output channels."""
        return len(self.words)

    @property
    def fan_in(self):
        """Bits of one unit."""
        return self.n_in * int(np.prod(self.words.shape[1:-1]))

    @property
    def n_bits(self):
        """Bits that exist: padding bits do not."""
        return self.units * self.fan_in


@dataclass(frozen=True, eq=False)
class Memory:
    """Layers of `StoredBits`, which a fault breaks as it breaks a PackedNetwork."""

    layers: tuple

    @property
    def n_bits(self):
        """Bits of all layers."""
        return sum(layer.n_bits for layer in self.layers)

    def with_words(self, words):
        """A copy whose layers i have the words[i] given; the others are shared."""
        return Memory(tuple(StoredBits(words[i], layer.n_in) if i in words else layer
                            for i, layer in enumerate(self.layers)))


def of_model(model):
    """The bits of a model's weights, as a memory holds them."""
    return Memory(tuple(StoredBits(layer.words, layer.parameters["weight"].shape[-1]) for layer in model.weighted))


def check_stored(network):
    """Something that holds bits: a PackedNetwork or a Memory."""
    if not hasattr(network, "with_words"):
        raise TypeError(f"network must be a PackedNetwork (see bnnsim.pack), got {type(network).__name__}")
    return network


def full_row(n_features):
    """Words (ceil(F / 64),) whose F bits are 1."""
    row = np.full(operands.n_words(n_features), np.uint64(2**64 - 1))
    if n_features % 64:
        row[-1] = (1 << n_features % 64) - 1
    return row


def joined(layer, words=None):
    """The bits of each unit side by side, a copy: (U, ceil(fan_in / 64)); conv taps in height, width, channel order.

    words : of the shape of the layer's, instead of its own.
    """
    words = np.array(layer.words if words is None else words)  # writable: kernels are compiled for such arrays
    return words if words.ndim == 2 else operands.repack(words.reshape(len(words), -1, words.shape[-1]), layer.n_in)


def parted(layer, matrix):
    """Rows (U, ceil(fan_in / 64)) in the shape of the layer's words: `joined` back."""
    if layer.words.ndim == 2:
        return matrix
    if layer.n_in % 64 == 0:
        return matrix.reshape(layer.words.shape)
    taps = np.empty((layer.units, layer.fan_in // layer.n_in, layer.words.shape[-1]), np.uint64)
    split(bit_fields.split_taps, layer.units, matrix, layer.n_in, taps)
    return taps.reshape(layer.words.shape)
