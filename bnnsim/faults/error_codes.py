"""Error-correcting codes on stored rows: encode, decode, and how many cells that takes.

The weights of a unit, in the order that the memory has them (conv taps in height, width, channel order), are cut into
data words of k bits; the last one of a unit may be shorter: its missing bits are known zeros, which are not stored, but
it has all check bits. No code word holds bits of two units.
"""

import re
from dataclasses import dataclass
from functools import cache

import numpy as np

import bnnsim.kernels.memory.error_codes as error_codes
from bnnsim.kernels import split
from bnnsim.packed.words import n_words

CODES = ("secded(8,4)", "secded(39,32)", "secded(72,64)", "repetition(3)", "repetition(5)", "repetition(7)")


@dataclass(frozen=True)
class Secded:
    """Extended Hamming code: corrects one wrong bit of a word of n, detects two, and miscorrects some three.

    Data bits stand at the positions 3, 5, 6, 7, 9, ... of a Hamming code, shortened where it has more; check bit j
    covers the positions whose bit j is 1; one more bit makes the parity of the whole word even. A decoder flips the
    bit that the syndrome names if the parity is odd, and leaves the word as it is if not.
    """

    n: int
    k: int

    def stored_bits(self, n_bits: int) -> int:
        """Cells of a row of `n_bits` data bits."""
        return n_bits + (self.n - self.k) * -(-n_bits // self.k)

    def encode(self, data: np.ndarray, n_bits: int) -> np.ndarray:
        """data uint64 (U, ceil(N / 64)) -> stored uint64 (U, words of `stored_bits`)."""
        stored = np.empty((len(data), n_words(self.stored_bits(n_bits))), np.uint64)
        split(error_codes.secded_encode, len(data), data, n_bits, self.k, _hamming(self.n, self.k)[0], stored)
        return stored

    def decode(self, stored: np.ndarray, n_bits: int) -> np.ndarray:
        """stored -> data, as `encode` has them."""
        data = np.empty((len(stored), n_words(n_bits)), np.uint64)
        split(error_codes.secded_decode, len(stored), stored, n_bits, self.k, *_hamming(self.n, self.k), data)
        return data


@dataclass(frozen=True)
class Repetition:
    """n copies of every bit, a majority decides. Copies of a row stand one behind the other, far from each other."""

    n: int
    k = 1

    def stored_bits(self, n_bits: int) -> int:
        """Cells of a row of `n_bits` data bits."""
        return self.n * n_bits

    def encode(self, data: np.ndarray, n_bits: int) -> np.ndarray:
        """data uint64 (U, ceil(N / 64)) -> stored uint64 (U, words of `stored_bits`)."""
        stored = np.empty((len(data), n_words(self.stored_bits(n_bits))), np.uint64)
        split(error_codes.repeat_encode, len(data), data, n_bits, self.n, stored)
        return stored

    def decode(self, stored: np.ndarray, n_bits: int) -> np.ndarray:
        """stored -> data, as `encode` has them."""
        data = np.empty((len(stored), n_words(n_bits)), np.uint64)
        split(error_codes.repeat_decode, len(stored), stored, n_bits, self.n, data)
        return data


def code_named(name: str) -> Secded | Repetition:
    """The code of a name of CODES."""
    if not isinstance(name, str):
        raise TypeError(f"code must be one of {', '.join(CODES)}, got {name!r}")
    plain = re.sub(r"\s", "", name)
    if plain not in CODES:
        raise ValueError(f"code must be one of {', '.join(CODES)}, got {name!r}: other sizes do not fit words of 4, 32 "
                         "or 64 bits with single error correction and double error detection, nor a majority of copies")
    sizes = [int(size) for size in re.findall(r"\d+", plain)]
    return Secded(*sizes) if plain.startswith("secded") else Repetition(*sizes)


@cache
def _hamming(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(covers uint64 (r,), corrects int64 (2^r,)) as the kernels read them."""
    n_checks = n - k - 1
    places = [place for place in range(1, n) if place & (place - 1)][:k]       # not the powers of two
    covers = [sum(1 << i for i, place in enumerate(places) if place >> j & 1) for j in range(n_checks)]
    corrects = np.full(2**n_checks, -1)
    corrects[places] = np.arange(k)
    return np.array(covers, np.uint64), corrects
