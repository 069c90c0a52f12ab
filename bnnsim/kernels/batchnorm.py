"""Batch norm over integer pre-activations, the sign after it, and the gradients of both.

h (R, U) int32: R rows (batch, or batch * height * width), U units. The one float expression of a unit's output is
`affine`; training, evaluation and the folded thresholds all use it, in float64, so that they agree on every integer.
Sums of h are exact integers and sums of gradients run over rows in order, one unit in one thread: the number of
threads cannot change a bit. Kernels that sum run over units.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.packing import unit_mask
from bnnsim.kernels.simd import sign_word


@inline
def affine(h, mean, scale, shift):
    """Batch norm of an integer: (h - mean) * scale + shift, with scale = gamma / sqrt(var + eps), shift = beta."""
    return (np.float64(h) - mean) * scale + shift


@kernel
def column_moments(h, mean, variance, start, stop):
    """Mean and (biased) variance of each unit, from exact integer sums about its first value."""
    n_rows = h.shape[0]
    sums, squares = np.zeros(stop - start, np.int64), np.zeros(stop - start, np.int64)
    for n in range(n_rows):
        for u in range(start, stop):
            centred = np.int64(h[n, u]) - np.int64(h[0, u])
            sums[u - start] += centred
            squares[u - start] += centred * centred
    for u in range(start, stop):
        shift = sums[u - start] / n_rows
        mean[u] = h[0, u] + shift
        variance[u] = max(squares[u - start] / n_rows - shift * shift, 0.0)


@kernel
def affine_rows(h, mean, scale, shift, out, start, stop):
    """Batch norm of every row -> out (R, U) float64."""
    for n in range(start, stop):
        for u in range(h.shape[1]):
            out[n, u] = affine(h[n, u], mean[u], scale[u], shift[u])


@kernel
def affine_sign(h, mean, scale, shift, words, start, stop):
    """Batch norm and sign of every row -> words (R, ceil(U / 64)): bit = output >= 0."""
    n_units = h.shape[1]
    y = np.full(64, -1.0)
    for n in range(start, stop):
        for v in range(words.shape[1]):
            n_bits = min(64, n_units - 64 * v)
            for i in range(n_bits):
                u = 64 * v + i
                y[i] = affine(h[n, u], mean[u], scale[u], shift[u])
            words[n, v] = sign_word(y, 0) & unit_mask(n_units, v)


@inline
def _stack(mean, inverse, scale, shift, start, stop):
    """The parameters of units start..stop in one array (4, .): the fewer arrays, the more loops LLVM vectorises."""
    norm = np.empty((4, stop - start))
    norm[0], norm[1] = mean[start:stop], inverse[start:stop]
    norm[2], norm[3] = scale[start:stop], shift[start:stop]
    return norm


@inline
def _through_sign(dout, y, clip):
    """dy: dout where |y| <= clip, else 0."""
    return np.float64(dout) if abs(y) <= clip else 0.0


@kernel
def gradient_sums(dout, h, mean, inverse, scale, shift, clip, dgamma, dbeta, start, stop):
    """dbeta = sum of dy, dgamma = sum of dy * x_hat, where x_hat = (h - mean) * inverse.

    dy is dout where |output| <= clip, else 0: the straight-through estimator of the sign (clip = 1), or none (inf).
    """
    norm, sums = _stack(mean, inverse, scale, shift, start, stop), np.zeros((2, stop - start))
    for n in range(h.shape[0]):
        for i in range(stop - start):
            value = h[n, start + i]
            dy = _through_sign(dout[n, start + i], affine(value, norm[0, i], norm[2, i], norm[3, i]), clip)
            sums[0, i] += dy * ((value - norm[0, i]) * norm[1, i])
            sums[1, i] += dy
    dgamma[start:stop], dbeta[start:stop] = sums[0], sums[1]


@kernel
def gradient_rows(dout, h, mean, inverse, scale, shift, clip, dgamma, dbeta, dh, start, stop):
    """dh (R, U) float32 = scale * (dy - dbeta / R - x_hat * dgamma / R), dy as in `gradient_sums`."""
    n_rows, n_units = h.shape
    norm, means = _stack(mean, inverse, scale, shift, 0, n_units), np.empty((2, n_units))
    for u in range(n_units):
        means[0, u], means[1, u] = dgamma[u] / n_rows, dbeta[u] / n_rows
    for n in range(start, stop):
        for u in range(n_units):
            value = h[n, u]
            dy = _through_sign(dout[n, u], affine(value, norm[0, u], norm[2, u], norm[3, u]), clip)
            normed = (value - norm[0, u]) * norm[1, u]
            dh[n, u] = np.float32(norm[2, u] * (dy - means[1, u] - normed * means[0, u]))
