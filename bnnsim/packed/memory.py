"""What a memory holds, layer by layer: all that a fault needs to know of a network.

A fault is an object with ``apply(network, rng=None, trial=0)``. What it breaks is anything with ``layers``, each of
``words``, ``n_in``, ``units``, ``fan_in`` and ``n_bits``, and ``with_words``: a PackedNetwork, or a `Memory`, as the
weights of a model in training, code words with their check bits, or one array of cells.
"""

from dataclasses import dataclass

import numpy as np


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
