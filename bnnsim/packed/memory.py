"""What a memory holds, layer by layer: all that a fault needs to know of a network.

What a fault breaks is a `MemoryLike`: a PackedNetwork, or a `Memory`, as the weights of a model in training, code words
with their check bits, or one array of cells. What a fault is, `bnnsim.faults.protocol` says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

import numpy as np

from bnnsim.files.brief import Brief

if TYPE_CHECKING:
    from bnnsim.training.model import Graph


class StoredLayer(Protocol):
    """Bits of one layer as the memory holds them: rows of bits, one or more a unit."""

    @property
    def words(self) -> np.ndarray:
        """uint64 (U, ..., ceil(n_in / 64)): a row of bits in the last axis, padding bits 0."""

    @property
    def n_in(self) -> int:
        """Bits of a row."""

    @property
    def units(self) -> int:
        """U: units, or output channels."""

    @property
    def fan_in(self) -> int:
        """Bits of one unit."""

    @property
    def n_bits(self) -> int:
        """Bits that exist: padding bits do not."""


class MemoryLike(Protocol):
    """What a fault breaks."""

    @property
    def layers(self) -> Sequence[StoredLayer]:
        """What is stored, in the order in which streams of random numbers count it."""

    @property
    def n_bits(self) -> int:
        """Bits of all layers."""

    def with_words(self, words: Mapping[int, np.ndarray]) -> Self:
        """A copy whose layers i have the words[i] given; the others are shared, and nothing else differs."""


class RowsOfBits:
    """How many bits there are, counted from ``words`` (U, ..., W) and ``n_in``."""

    words: np.ndarray
    n_in: int

    @property
    def units(self) -> int:
        """U, or K output channels."""
        return self.words.shape[0]

    @property
    def fan_in(self) -> int:
        """Bits of one unit: its binary weights."""
        return self.n_in * int(np.prod(self.words.shape[1:-1]))

    @property
    def n_bits(self) -> int:
        """Bits that the memory stores. Padding bits are not among them."""
        return self.units * self.fan_in


@dataclass(frozen=True, eq=False, repr=False)
class StoredBits(RowsOfBits, Brief):
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


@dataclass(frozen=True, eq=False)
class Memory:
    """Layers of `StoredBits`, which a fault breaks as it breaks a PackedNetwork."""

    layers: tuple[StoredLayer, ...]

    @property
    def n_bits(self) -> int:
        """Bits of all layers."""
        return sum(layer.n_bits for layer in self.layers)

    def with_words(self, words: Mapping[int, np.ndarray]) -> "Memory":
        """A copy whose layers i have the words[i] given; the others are shared."""
        return Memory(tuple(StoredBits(words[i], layer.n_in) if i in words else layer
                            for i, layer in enumerate(self.layers)))


def of_model(model: "Graph") -> Memory:
    """The bits of a model's weights, as a memory holds them."""
    return Memory(tuple(StoredBits(layer.words, layer.n_in) for layer in model.weighted))


Stored = TypeVar("Stored", bound=MemoryLike)


def check_stored(network: Stored) -> Stored:
    """Something that holds bits: a PackedNetwork or a Memory."""
    if not hasattr(network, "with_words"):
        raise TypeError(f"network must be a PackedNetwork (see bnnsim.pack), got {type(network).__name__}")
    return network


def wrong_bits(stored: MemoryLike, read: MemoryLike) -> int:
    """How many bits differ from what is stored."""
    return sum(int(np.bitwise_count(layer.words ^ other.words).sum(dtype=np.int64))
               for layer, other in zip(stored.layers, read.layers) if other is not layer)
