"""What is done to each number of a map by itself, with constants of its channel; and the way back.

x (R, C): R rows (batch, or batch * height * width), C channels; float32 unless said otherwise. Sums for gradients run
over rows in order, in float64, a channel in one thread.
"""

import numpy as np

from bnnsim.kernels._arrays import zeros
from bnnsim.kernels._jit import kernel
from bnnsim.kernels.norm.batchnorm import chunk_rows
from bnnsim.kernels.norm.pseudo_gradient import through_sign
from bnnsim.kernels.real.channel_tiles import LANES, add_terms, sign_lanes, term_of
from bnnsim.kernels.real.program_tile import program_lanes
from bnnsim.kernels.words.packing import unit_mask
from bnnsim.kernels.words.vector_words import sign_word

PROGRAM_ROWS = 64                  # rows that 16 channels are taken through a program before the next 16


# ---------------------------------------------------------------- forward

@kernel
def affine(x, scale, shift, out, start, stop):
    """x * scale + shift, of int32 or float32."""
    for n in range(start, stop):
        row, given = out[n], x[n]
        for c in range(row.shape[0]):
            row[c] = np.float32(given[c]) * scale[c] + shift[c]


@kernel
def pixels(images, scale, shift, out, start, stop):
    """images (N, C, H, W) uint8 -> out (N, H, W, C) = pixel * scale + shift."""
    for n in range(start, stop):
        for c in range(images.shape[1]):
            for i in range(images.shape[2]):
                for j in range(images.shape[3]):
                    out[n, i, j, c] = np.float32(images[n, c, i, j]) * scale[c] + shift[c]


@kernel
def prelu(x, slope, out, start, stop):
    """x where it is above 0, else x * slope."""
    for n in range(start, stop):
        row, given = out[n], x[n]
        for c in range(row.shape[0]):
            row[c] = given[c] if given[c] > 0 else given[c] * slope[c]


@kernel
def clip(x, low, high, out, start, stop):
    """x brought into low..high, two float32."""
    for n in range(start, stop):
        row, given = out[n], x[n]
        for c in range(row.shape[0]):
            value = low if given[c] < low else given[c]
            row[c] = high if value > high else value


@kernel
def add(x, y, out, start, stop):
    """x + y."""
    for n in range(start, stop):
        row, a, b = out[n], x[n], y[n]
        for c in range(row.shape[0]):
            row[c] = a[c] + b[c]


@kernel
def sign(x, threshold, words, start, stop):
    """words (R, ceil(C / 64)): bit = x >= threshold; what is no number is -1."""
    n_channels = x.shape[1]
    side = zeros(64, np.float32)
    for n in range(start, stop):
        for v in range(words.shape[1]):
            first = 64 * v
            for i in range(min(64, n_channels - first)):
                side[i] = np.float32(1) if x[n, first + i] >= threshold[first + i] else np.float32(-1)
            words[n, v] = sign_word(side, 0) & unit_mask(n_channels, v)


@kernel
def program(x, other, steps, constants, threshold, out, stores, pieces, start, stop):
    """A program of `program_tile` on rows of x: to out where `stores`, to pieces (R, .) uint16 unless it is empty."""
    n_channels = x.shape[1]
    flat = pieces.reshape(-1)
    for first in range(start, stop, PROGRAM_ROWS):
        n = min(PROGRAM_ROWS, stop - first)
        for c in range(0, n_channels, LANES):
            program_lanes(x, other, first * n_channels + c, n_channels, n, c, steps, constants, threshold, out, stores,
                          flat, first * pieces.shape[1] + c // LANES, pieces.shape[1])


# ---------------------------------------------------------------- the way back

@kernel
def scaled(dout, scale, out, start, stop):
    """dout * scale."""
    for n in range(start, stop):
        row, given = out[n], dout[n]
        for c in range(row.shape[0]):
            row[c] = given[c] * scale[c]


@kernel
def prelu_backward(dout, x, slope, out, start, stop):
    """dout where x is above 0, else dout * slope."""
    for n in range(start, stop):
        row, given, at = out[n], dout[n], x[n]
        for c in range(row.shape[0]):
            row[c] = given[c] if at[c] > 0 else given[c] * slope[c]


@kernel
def clip_backward(dout, x, low, high, out, start, stop):
    """dout where low < x < high, else 0."""
    for n in range(start, stop):
        row, given, at = out[n], dout[n], x[n]
        for c in range(row.shape[0]):
            row[c] = given[c] if low < at[c] and at[c] < high else np.float32(0)


@kernel
def sign_backward(dout, x, threshold, ste, out, start, stop):
    """dout times the pseudo-gradient `ste` at x - threshold: see `norm.pseudo_gradient`."""
    n_channels = x.shape[1]
    whole = n_channels // LANES * LANES
    for n in range(start, stop):
        for c in range(0, whole, LANES):
            sign_lanes(dout, x, n * n_channels + c, threshold, c, ste, out)
        for c in range(whole, n_channels):
            y = np.float64(x[n, c]) - np.float64(threshold[c])
            out[n, c] = np.float32(through_sign(dout[n, c], y, ste))


@kernel
def column_sums(term, dout, x, mean, out, start, stop):
    """out (C,) float64: the sum over rows of each channel's terms, see `channel_tiles.term_of`. Runs over channels.

    What a term does not ask for may be any array of that shape: (R, C) float32, mean (C,) float64.
    """
    n_rows, n_channels, whole = dout.shape[0], dout.shape[1], start + (stop - start) // LANES * LANES
    out[start:stop] = 0.0
    for first in range(0, n_rows, chunk_rows(n_channels)):
        last = min(first + chunk_rows(n_channels), n_rows)
        for c in range(start, whole, LANES):
            add_terms(term, dout, x, mean, first * n_channels + c, n_channels, last - first, c, out)
        for n in range(first, last):
            for c in range(whole, stop):
                out[c] += term_of(term, dout[n, c], x[n, c], mean[c])
