"""Batch norm over integer pre-activations, the sign after it, and the gradients of both.

h (R, U) int32: R rows (batch, or batch * height * width), U units. The one float expression of a unit's output is
`affine`; training, evaluation and the folded thresholds all use it, in float64, so that they agree on every integer.
Sums of h are exact integers and sums of gradients run over rows in order, one unit in one thread: the number of
threads cannot change a bit. Kernels that sum run over units.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel

ONE = np.uint64(1)


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
    for n in range(start, stop):
        for v in range(words.shape[1]):
            word = np.uint64(0)
            for i in range(min(64, n_units - 64 * v)):
                u = 64 * v + i
                bit = affine(h[n, u], mean[u], scale[u], shift[u]) >= 0.0
                word |= np.uint64(bit) << np.uint64(i)
            words[n, v] = word


@kernel
def gradient_sums(dout, h, mean, inverse, scale, shift, clip, dgamma, dbeta, start, stop):
    """dbeta = sum of dy, dgamma = sum of dy * x_hat, where x_hat = (h - mean) * inverse.

    dy is dout where |output| <= clip, else 0: the straight-through estimator of the sign (clip = 1), or none (inf).
    """
    dgamma[start:stop] = 0.0
    dbeta[start:stop] = 0.0
    for n in range(h.shape[0]):
        for u in range(start, stop):
            y = affine(h[n, u], mean[u], scale[u], shift[u])
            dy = np.float64(dout[n, u]) if abs(y) <= clip else 0.0
            dbeta[u] += dy
            dgamma[u] += dy * ((h[n, u] - mean[u]) * inverse[u])


@kernel
def gradient_rows(dout, h, mean, inverse, scale, shift, clip, dgamma, dbeta, dh, start, stop):
    """dh (R, U) float32 = scale * (dy - dbeta / R - x_hat * dgamma / R), dy as in `gradient_sums`."""
    n_rows = h.shape[0]
    for n in range(start, stop):
        for u in range(h.shape[1]):
            y = affine(h[n, u], mean[u], scale[u], shift[u])
            dy = np.float64(dout[n, u]) if abs(y) <= clip else 0.0
            normed = (h[n, u] - mean[u]) * inverse[u]
            dh[n, u] = np.float32(scale[u] * (dy - dbeta[u] / n_rows - normed * (dgamma[u] / n_rows)))
