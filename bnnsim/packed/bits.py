"""PackedBits: the bit convention, for users. Bit 1 is +1, bit 0 is -1.

Feature f of a row is bit f % 64 of word f // 64. Bits past the last feature are always 0: they do not exist in the
memory, and are never counted or flipped.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_array, check_int, check_unmasked
from bnnsim.packed.signs import check_signs
from bnnsim.packed.words import n_words, pack_signs, unpack_signs


@dataclass(frozen=True, eq=False)
class PackedBits:
    """Rows of +-1 values, 64 to a word.

    Parameters
    ----------
    words : uint64 (..., ceil(F / 64))
    n_features : int
        F.

    Raises
    ------
    TypeError, ValueError
        Where words have another type or shape, or a padding bit is set.

    Examples
    --------
    >>> import numpy as np
    >>> bits = PackedBits.pack(np.array([[1, -1, 1], [-1, -1, 1]]))
    >>> bits.words.tolist(), bits.count().tolist(), bits.unpack().tolist()
    ([[5], [4]], [2, 1], [[1, -1, 1], [-1, -1, 1]])
    """

    words: np.ndarray
    n_features: int

    def __post_init__(self) -> None:
        n_features = check_int("n_features", self.n_features, 1)
        if not isinstance(self.words, np.ndarray) or self.words.ndim == 0:
            raise TypeError(f"words must be a uint64 array (..., {n_words(n_features)}), got "
                            f"{type(self.words).__name__}")
        shape = (*self.words.shape[:-1], n_words(n_features))
        object.__setattr__(self, "words", check_array("words", self.words, np.uint64, shape))
        if n_features % 64 and np.any(self.words[..., -1] >> np.uint64(n_features % 64)):
            raise ValueError(f"words must have 0 in the bits past feature {n_features - 1}, got a 1 there; clear them, "
                             "or check the number of features and the bit order")

    @classmethod
    def pack(cls, values: npt.ArrayLike) -> "PackedBits":
        """Pack +-1 integers or floats, or booleans (True is +1), (..., F)."""
        check_unmasked("values", values)
        values = np.asarray(values)
        if values.ndim == 0 or values.dtype.kind not in "biuf":
            raise TypeError("values must be an array (..., F) of +-1 or bool, got "
                            f"{values.dtype} of shape {values.shape}")
        if values.shape[-1] == 0:
            raise ValueError(f"values must have at least one feature, got shape {values.shape}")
        signs = np.where(values, 1, -1).astype(np.int8) if values.dtype == bool else check_signs("values", values, "v")
        words = pack_signs(signs.reshape(math.prod(values.shape[:-1]), values.shape[-1]))
        return cls(words.reshape(*values.shape[:-1], words.shape[-1]), values.shape[-1])

    def unpack(self) -> np.ndarray:
        """The values, int8 (..., F) of +1 and -1."""
        rows = self.words.reshape(math.prod(self.words.shape[:-1]), self.words.shape[-1])
        return unpack_signs(rows, self.n_features).reshape(self.shape)

    def count(self) -> np.ndarray:
        """Number of +1 in each row, int64 (...)."""
        return np.bitwise_count(self.words).sum(axis=-1, dtype=np.int64)

    def __xor__(self, other: "PackedBits") -> "PackedBits":
        """Where two differ: bit 1; shapes must agree."""
        if not isinstance(other, PackedBits):
            return NotImplemented
        if (self.words.shape, self.n_features) != (other.words.shape, other.n_features):
            raise ValueError(f"both sides must have one shape, got {self.shape} and {other.shape}")
        return PackedBits(self.words ^ other.words, self.n_features)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedBits):
            return NotImplemented
        return self.n_features == other.n_features and np.array_equal(self.words, other.words)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the unpacked values, (..., F)."""
        return (*self.words.shape[:-1], self.n_features)

    def __repr__(self) -> str:
        return f"<PackedBits {' x '.join(map(str, self.shape))}>"
