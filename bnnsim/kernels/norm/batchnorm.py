"""Batch norm over integer pre-activations, the sign after it, and the gradients of both.

h (R, U) int32: R rows (batch, or batch * height * width), U units. The one float expression of a unit's output is
`affine`; training, evaluation and the folded thresholds all use it, in float64, so that they agree on every integer.
Sums of h are exact integers and sums of gradients run over rows in order, one unit in one thread: the number of
threads cannot change a bit. Kernels that sum run over units; 16 of them at once, whose sums stay in registers.
"""

import numpy as np

from bnnsim.kernels._arrays import zeros
from bnnsim.kernels._jit import inline, kernel, leaf
from bnnsim.kernels.norm.batchnorm_tiles import LANES, affine_word, gradient_lanes, sum_gradients, sum_powers
from bnnsim.kernels.norm.pseudo_gradient import through_sign
from bnnsim.kernels.words.packing import unit_mask
from bnnsim.kernels.words.vector_words import sign_word

CHUNK_NUMBERS = 2048               # of h, of whole rows, that 16 units are summed over before the next 16


@leaf
def chunk_rows(n_units):
    """Rows that stay near while units are summed over them, 16 by 16: sums go to memory after each."""
    return max(4, CHUNK_NUMBERS // n_units)


@inline
def affine(h, mean, scale, shift):
    """Batch norm of an integer: (h - mean) * scale + shift, with scale = gamma / sqrt(var + eps), shift = beta."""
    return (np.float64(h) - mean) * scale + shift


@kernel
def column_sums(h, sums, squares, start, stop):
    """Exact sum, and sum of squares, of each unit's difference from its first value -> sums, squares (U,) int64."""
    n_rows, n_units, whole = h.shape[0], h.shape[1], start + (stop - start) // LANES * LANES
    sums[start:stop] = 0
    squares[start:stop] = 0
    for first in range(0, n_rows, chunk_rows(n_units)):
        last = min(first + chunk_rows(n_units), n_rows)
        for u in range(start, whole, LANES):
            sum_powers(h, first * n_units + u, n_units, last - first, u, sums, squares, u)
        for n in range(first, last):
            for u in range(whole, stop):
                centred = np.int64(h[n, u]) - np.int64(h[0, u])
                sums[u] += centred
                squares[u] += centred * centred


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
    y = zeros(64, np.float64)
    for n in range(start, stop):
        for v in range(n_units // 64):
            words[n, v] = affine_word(h, n * n_units + 64 * v, mean, scale, shift, 64 * v)
        if n_units % 64:
            v = n_units // 64
            for i in range(n_units % 64):
                u = 64 * v + i
                y[i] = affine(h[n, u], mean[u], scale[u], shift[u])
            words[n, v] = sign_word(y, 0) & unit_mask(n_units, v)


@kernel
def gradient_sums(dout, h, norm, ste, dgamma, dbeta, start, stop):
    """dbeta = sum of dy, dgamma = sum of dy * x_hat, where x_hat = (h - mean) * inverse.

    norm (4, U) is mean, inverse, scale, shift. dy is dout times the pseudo-gradient `ste` at the output: see
    `pseudo_gradient`.
    """
    n_rows, n_units, whole = h.shape[0], h.shape[1], start + (stop - start) // LANES * LANES
    dgamma[start:stop] = 0.0
    dbeta[start:stop] = 0.0
    for first in range(0, n_rows, chunk_rows(n_units)):
        last = min(first + chunk_rows(n_units), n_rows)
        for u in range(start, whole, LANES):
            sum_gradients(dout, h, first * n_units + u, n_units, last - first, norm, u, ste, dgamma, dbeta)
        for n in range(first, last):
            for u in range(whole, stop):
                dy = through_sign(dout[n, u], affine(h[n, u], norm[0, u], norm[2, u], norm[3, u]), ste)
                dgamma[u] += dy * ((h[n, u] - norm[0, u]) * norm[1, u])
                dbeta[u] += dy


@kernel
def gradient_rows(dout, h, norm, ste, means, dh, start, stop):
    """dh (R, U) float32 = scale * (dy - dbeta / R - x_hat * dgamma / R), dy and norm as in `gradient_sums`.

    means (2, U) is dgamma / R, dbeta / R.
    """
    n_units = h.shape[1]
    for n in range(start, stop):
        for u in range(0, n_units // LANES * LANES, LANES):
            gradient_lanes(dout, h, n * n_units + u, n_units, norm, means, u, ste, dh)
        for u in range(n_units // LANES * LANES, n_units):
            dy = through_sign(dout[n, u], affine(h[n, u], norm[0, u], norm[2, u], norm[3, u]), ste)
            normed = (h[n, u] - norm[0, u]) * norm[1, u]
            dh[n, u] = np.float32(norm[2, u] * (dy - means[1, u] - normed * means[0, u]))
