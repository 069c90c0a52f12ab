"""Words of packed bits: how many, packed and unpacked, flattened, joined and parted, turned.

Bit 1 is +1, bit 0 is -1; feature f of a row is bit f % 64 of word f // 64; bits past the last feature are 0.
"""

from typing import TYPE_CHECKING

import numpy as np

import bnnsim.kernels.words.bit_fields as bit_fields
import bnnsim.kernels.words.packing as packing
from bnnsim.kernels import split

if TYPE_CHECKING:
    from bnnsim.packed.memory import StoredLayer


def n_words(n_features: int) -> int:
    """Words that hold `n_features` bits."""
    return (n_features + 63) // 64


def full_row(n_features: int) -> np.ndarray:
    """Words (ceil(F / 64),) whose F bits are 1."""
    row = np.full(n_words(n_features), np.uint64(2**64 - 1))
    if n_features % 64:
        row[-1] = (1 << n_features % 64) - 1
    return row


def transposed(matrix: np.ndarray, n_columns: int) -> np.ndarray:
    """Words (N, ceil(F / 64)) of an N x F bit matrix -> (F, ceil(N / 64)) of its transpose; F is n_columns."""
    out = np.empty((64 * matrix.shape[1], n_words(len(matrix))), np.uint64)
    split(packing.transpose_bits, matrix.shape[1], np.ascontiguousarray(matrix), out)
    return out[:n_columns]


# ---------------------------------------------------------------- to and from values

def unpack_bits(words: np.ndarray, n_columns: int) -> np.ndarray:
    """Bits uint8 (..., n_columns) of words (..., W)."""
    bits = np.ascontiguousarray(words.astype("<u8", copy=False)).view(np.uint8)
    return np.unpackbits(bits, axis=-1, count=n_columns, bitorder="little")


def pack_bits(bits: np.ndarray) -> np.ndarray:
    """Words (..., W) of bits (..., N), uint8 or bool: `unpack_bits` back."""
    room = np.zeros((*bits.shape[:-1], 8 * n_words(bits.shape[-1])), np.uint8)
    some = np.packbits(bits, axis=-1, bitorder="little")
    room[..., :some.shape[-1]] = some
    return room.view("<u8").astype(np.uint64, copy=False)


def pack_latent(weight: np.ndarray) -> np.ndarray:
    """float32 (..., F) -> uint64 (..., W), bit = weight >= 0."""
    rows = weight.reshape(-1, weight.shape[-1])
    words = np.empty((len(rows), n_words(rows.shape[1])), np.uint64)
    split(packing.pack_latent, len(rows), rows, words)
    return words.reshape(*weight.shape[:-1], -1)


def pack_signs(values: np.ndarray) -> np.ndarray:
    """int8 or float32 (N, F) -> words (N, W), bit = value >= 0."""
    words = np.empty((len(values), n_words(values.shape[1])), np.uint64)
    split(packing.pack_signs, len(values), np.ascontiguousarray(values), words)
    return words


def unpack_signs(words: np.ndarray, n_features: int) -> np.ndarray:
    """words (N, W) -> int8 (N, F) of +1 and -1."""
    values = np.empty((len(words), n_features), np.int8)
    split(packing.unpack_signs, len(words), words, values)
    return values


# ---------------------------------------------------------------- rows of several taps

def repack(taps: np.ndarray, n_features: int) -> np.ndarray:
    """words (N, T, ceil(C / 64)) of C features -> (N, ceil(T * C / 64)): taps joined without gaps."""
    if n_features % 64 == 0 or taps.shape[1] == 1:
        return taps.reshape(len(taps), -1)
    words = np.empty((len(taps), n_words(taps.shape[1] * n_features)), np.uint64)
    split(packing.repack_rows, len(taps), taps, n_features, words)
    return words


def joined(layer: "StoredLayer", words: np.ndarray | None = None) -> np.ndarray:
    """The bits of each unit side by side, a copy: (U, ceil(fan_in / 64)); conv taps in height, width, channel order.

    words : of the shape of the layer's, instead of its own.
    """
    words = np.array(layer.words if words is None else words)  # writable: kernels are compiled for such arrays
    return repack(words.reshape(len(words), -1, words.shape[-1]), layer.n_in)


def parted(layer: "StoredLayer", matrix: np.ndarray) -> np.ndarray:
    """Rows (U, ceil(fan_in / 64)) in the shape of the layer's words: `joined` back."""
    n_taps = layer.fan_in // layer.n_in
    if layer.n_in % 64 == 0 or n_taps == 1:
        return matrix.reshape(layer.words.shape)
    taps = np.empty((layer.units, n_taps, layer.words.shape[-1]), np.uint64)
    split(bit_fields.split_taps, layer.units, matrix, layer.n_in, taps)
    return taps.reshape(layer.words.shape)


def flatten_block(x: np.ndarray, n_channels: int) -> np.ndarray:
    """Packed (N, H, W, ceil(C / 64)) -> (N, ceil(H * W * C / 64)), in the calling thread."""
    taps = x.reshape(len(x), -1, x.shape[-1])
    if n_channels % 64 == 0:
        return taps.reshape(len(x), -1)
    words = np.empty((len(x), n_words(taps.shape[1] * n_channels)), np.uint64)
    packing.repack_rows(taps, n_channels, words, 0, len(x))
    return words


def pad_words(n_channels: int, pad_value: int) -> np.ndarray:
    """What a padded position holds (Cw,): 1 bits for +1, else 0 bits; zero padding is corrected for in the table."""
    fill = np.zeros(n_words(n_channels), np.uint64)
    if pad_value == 1:
        fill[:] = ~fill
        if n_channels % 64:
            fill[-1] >>= np.uint64(64 - n_channels % 64)
    return fill
