"""Gradients in 16-bit fixed point: rounded once, then summed exactly.

In a BNN's backward pass one operand is +-1 (weights for dX, activations for dW), so with one scale for each row that
is summed along nothing more is lost: the error of a sum is at most scale / 2 * sum |operand|. value ~ int16 * scale,
scale = max |value| / 32767, rounded to the nearest, ties to even.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel

FULL_SCALE = 32767.0


@inline
def _scale_of(largest):
    return largest / FULL_SCALE if largest > 0.0 else 1.0


@inline
def _fixed(value, inverse):
    return np.int16(np.rint(np.float64(value) * inverse))


@kernel
def quantise_rows(values, scale, out, start, stop):
    """values (N, R, U) float32 -> out (N, R, Up) int16 and scale (N,) float64, one scale for each n; Up >= U zeroed."""
    for n in range(start, stop):
        largest = np.float32(0.0)
        for r in range(values.shape[1]):
            for u in range(values.shape[2]):
                largest = max(largest, abs(values[n, r, u]))
        scale[n] = _scale_of(np.float64(largest))
        inverse = 1.0 / scale[n]
        for r in range(values.shape[1]):
            for u in range(values.shape[2]):
                out[n, r, u] = _fixed(values[n, r, u], inverse)


@kernel
def column_largest(values, largest, start, stop):
    """Largest |value| of each column of values (R, U) -> largest (U,) float32. Runs over columns."""
    largest[start:stop] = np.float32(0.0)
    for n in range(values.shape[0]):
        for u in range(start, stop):
            largest[u] = max(largest[u], abs(values[n, u]))


@kernel
def quantise_columns(values, largest, scale, out, start, stop):
    """values (N, R, U) float32 -> out (N, Up, Rp) int16, transposed, one scale (U,) for each column over all n and r.

    Runs over n; `scale` is written alike by every slice.
    """
    n_units = values.shape[2]
    inverse = np.empty(n_units, np.float64)
    for u in range(n_units):
        scale[u] = _scale_of(np.float64(largest[u]))
        inverse[u] = 1.0 / scale[u]
    for n in range(start, stop):
        for first in range(0, values.shape[1], 32):
            for u in range(n_units):
                for r in range(first, min(first + 32, values.shape[1])):
                    out[n, u, r] = _fixed(values[n, r, u], inverse[u])
