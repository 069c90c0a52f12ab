"""What a broken cell reads, as two masks: f01 where a stored 0 reads 1, f10 where a stored 1 reads 0.

Both is a flip, f01 alone a cell stuck at 1, f10 alone one stuck at 0. Masks have the shape of a layer's words, and 0 in
the padding bits.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from bnnsim.faults.protocol import Fault
from bnnsim.packed.bit_errors import flip_masks
from bnnsim.packed.memory import Memory, MemoryLike, Stored, StoredBits, StoredLayer, check_stored
from bnnsim.packed.words import full_row
from bnnsim.seeding import RandomSource

Masks = tuple[np.ndarray, np.ndarray]       # (f01, f10)


def read_words(words: np.ndarray, f01: np.ndarray, f10: np.ndarray) -> np.ndarray:
    """What is read where `words` are stored."""
    return words ^ ((f01 & ~words) | (f10 & words))


def with_errors(memory: Stored, errors: Mapping[int, Masks]) -> Stored:
    """A memory whose layers read wrong; errors: {layer: (f01, f10)}. Layers that read right are shared."""
    broken = {}
    for i, (f01, f10) in errors.items():
        stored = memory.layers[i].words
        read = read_words(stored, f01, f10)
        if not np.array_equal(read, stored):
            broken[i] = read
    return memory.with_words(broken) if broken else memory


def draw(layer: StoredLayer, p: float, key: np.ndarray) -> np.ndarray:
    """A mask of the shape of the layer's words, each bit with probability p; at a lower p a subset, on one key."""
    rows = layer.words.reshape(-1, layer.words.shape[-1])
    return flip_masks(len(rows), layer.n_in, p, key).reshape(layer.words.shape)


def cell_errors(fault: Fault, memory: MemoryLike, root: RandomSource, trial: int) -> list[Masks]:
    """The masks (f01, f10) of each layer under a fault: what it makes of all zeros, and of all ones.

    ValueError where the memory's own bits read otherwise, so that cells do not fail one by one.
    """
    layers = check_stored(memory).layers
    zeros = [np.zeros_like(layer.words) for layer in layers]
    ones = [np.broadcast_to(full_row(layer.n_in), layer.words.shape) for layer in layers]
    of_zeros, of_ones, own = (
        [layer.words for layer in fault.apply(_memory(layers, words), root, trial).layers]
        for words in (zeros, ones, [layer.words for layer in layers]))
    masks = [(f01, r1 ^ one) for f01, r1, one in zip(of_zeros, of_ones, ones)]
    for i, (layer, read, (f01, f10)) in enumerate(zip(layers, own, masks)):
        if not np.array_equal(read, read_words(layer.words, f01, f10)):
            raise ValueError(f"fault must hit cells one by one, but what a cell of layer {i} reads under {fault!r} "
                             "hangs on other cells, as with an error-correcting code; take the fault inside of the "
                             "protection")
    return masks


def _memory(layers: Sequence[StoredLayer], words: Sequence[np.ndarray]) -> Memory:
    return Memory(tuple(StoredBits(np.ascontiguousarray(w), layer.n_in) for layer, w in zip(layers, words)))
