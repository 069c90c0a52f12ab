"""What a layer of device pairs reads: its input twice, once for each device of a pair.

A ternary weight is held by two devices: +1 is LRS and HRS, -1 HRS and LRS, 0 twice HRS. With a = +1 where the first is
in LRS and b = +1 where the second is in HRS, -1 elsewhere, it is W = (a + b) / 2, and twice the sum of W x is that of
a x and b x: a layer of bits that reads every x twice. So the memory holds a and b side by side, as bits; two devices in
LRS read as 0, too [D, docs/frontier/ternary.rst 1]. C channels, F features.
"""

from dataclasses import dataclass

import numpy as np

import bnnsim.kernels.words.pairs as pairs
from bnnsim.kernels import empty, split
from bnnsim.packed.operations.operation import Operation, Shape, rows
from bnnsim.packed.words import n_words

MOST = 2**25                    # channels: twice as many are as many values as a map may have


@dataclass(frozen=True, eq=False)
class Twice(Operation):
    """Every one of C channels, or features, twice, side by side: bits (..., C) -> (..., 2 C), or pixels."""

    channels: int
    word = "twice"
    settings = {"channels": 0}
    limits = {"channels": (1, MOST)}
    reads = ("bits", "pixels")
    gives = "bits"

    def output_shape(self, *shapes: Shape) -> Shape:
        """(..., 2 C)."""
        if shapes[0][-1] != self.channels:
            raise ValueError(f"twice {self.channels} channels cannot read {shapes[0]}")
        return (*shapes[0][:-1], 2 * shapes[0][-1])

    def kind_of(self, kind: str) -> str:
        """What it reads."""
        return kind

    def run(self, *inputs: np.ndarray) -> np.ndarray:
        x, = inputs
        return x.repeat(2, axis=1) if x.dtype == np.uint8 else paired(x, x, self.channels)


def paired(first: np.ndarray, second: np.ndarray, n_features: int) -> np.ndarray:
    """Bits of two arrays of words (..., ceil(F / 64)) side by side: (..., ceil(2 F / 64)), first, second, first ..."""
    first, second = (np.ascontiguousarray(each) for each in (first, second))
    out = empty((*first.shape[:-1], n_words(2 * n_features)), np.uint64)
    split(pairs.pair_up, len(rows(out)), rows(first), rows(second), rows(out))
    return out


def first_of_pairs(words: np.ndarray, n_features: int) -> np.ndarray:
    """Words (..., ceil(F / 64)) of the first bits of F pairs: `paired` back."""
    words = np.ascontiguousarray(words)
    out = empty((*words.shape[:-1], n_words(n_features)), np.uint64)
    split(pairs.first_of_pairs, len(rows(out)), rows(words), rows(out))
    return out
