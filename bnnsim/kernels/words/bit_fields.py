"""Runs of bits that do not start where words do: conv taps, arrays of cells, code words.

A row of N bits stands in ceil(N / 64) words, bit i at i % 64 of word i // 64; bits past N are 0.
"""

import numpy as np

from bnnsim.kernels._jit import kernel, inline

ONE = np.uint64(1)


@inline
def get_bits(words, row, at, count):
    """Bits at..at + count - 1 of a row of words (N, W), 1 <= count <= 64, as one word."""
    w, shift = at >> 6, np.uint64(at & 63)
    value = words[row, w] >> shift
    if (at & 63) + count > 64:
        value |= words[row, w + 1] << (np.uint64(64) - shift)
    if count < 64:
        value &= (ONE << np.uint64(count)) - ONE
    return value


@inline
def or_bits(words, row, at, value, count):
    """Put `count` bits, of which none is set yet, at bit `at` of a row of words (N, W)."""
    w, shift = at >> 6, np.uint64(at & 63)
    words[row, w] |= value << shift
    if (at & 63) + count > 64:
        words[row, w + 1] |= value >> (np.uint64(64) - shift)


@kernel
def split_taps(joined, n_features, taps, start, stop):
    """joined (U, ceil(T * C / 64)) -> taps (U, T, ceil(C / 64)) of C features each: `packing.repack_rows` back."""
    for u in range(start, stop):
        for t in range(taps.shape[1]):
            for w in range(taps.shape[2]):
                count = min(64, n_features - 64 * w)
                taps[u, t, w] = get_bits(joined, u, t * n_features + 64 * w, count)


@kernel
def matrix_to_arrays(matrix, n_features, columns, arrays, start, stop):
    """Cut rows of F bits into arrays (A, R, ceil(C / 64)) of R x C cells, which come zeroed; runs over matrix rows.

    Tile (i, j) of the matrix is array i * ceil(F / C) + j.
    """
    rows, across = arrays.shape[1], (n_features + columns - 1) // columns
    for n in range(start, stop):
        for tile in range(across):
            for w in range(arrays.shape[2]):
                at = tile * columns + 64 * w
                count = min(64, columns - 64 * w, n_features - at)
                if count > 0:
                    arrays[n // rows * across + tile, n % rows, w] = get_bits(matrix, n, at, count)


@kernel
def arrays_to_matrix(arrays, n_features, columns, matrix, start, stop):
    """`matrix_to_arrays` back; cells that hold nothing are left out."""
    rows, across = arrays.shape[1], (n_features + columns - 1) // columns
    for n in range(start, stop):
        matrix[n, :] = 0
        for tile in range(across):
            for w in range(arrays.shape[2]):
                at = tile * columns + 64 * w
                count = min(64, columns - 64 * w, n_features - at)
                if count > 0:
                    value = get_bits(arrays[n // rows * across + tile], n % rows, 64 * w, count)
                    or_bits(matrix, n, at, value, count)
