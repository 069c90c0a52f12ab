"""A chain of layers that is read wrong, image by image and sum by sum, from definitions; imports nothing from bnnsim.

Random numbers are those that docs promise: a key is of (seed, stream, trial, read), then of (stream, layer, block of 64
images); sum or bit u of row r has the 32-bit draw of bit u of the row's words.
"""

import zlib

import naive
import naive_flips
import naive_geometry as geometry
import numpy as np


def key_of(root, name, *ids):
    words = np.random.SeedSequence(root, spawn_key=(zlib.crc32(name.encode()), *ids)).generate_state(2, np.uint64)
    return int(words[0]), int(words[1])


def root_of(seed, name, trial, read):
    high, low = key_of(seed, name, trial, read)
    return high << 64 | low


def draws(n_rows, n_units, key):
    """32-bit draws (R, U) as probabilities."""
    n_words = -(-n_units // 64)
    return np.array([[naive.draw(r * n_words + u // 64, u % 64, *key) for u in range(n_units)]
                     for r in range(n_rows)]) / 2**32


def sums(layer, x):
    """Pre-activations (N, P, U) of x (N, H, W, C) or (N, F)."""
    if layer["weight"].ndim == 4:
        h = naive_flips.conv(layer, x, layer["weight"][None])
        return h.reshape(len(h), -1, h.shape[-1]), h.shape[1:3]
    return naive.dense(x.reshape(len(x), -1), layer["weight"])[:, None], (1, 1)


def bits(layer, h, size):
    """+-1 of pre-activations, pooled."""
    maps = h.reshape(len(h), *size, -1)
    if layer["weight"].ndim == 4:
        maps = geometry.pool(maps, layer["pool"], layer["pool_stride"], layer["pool_padding"])
    return naive.threshold_bits(maps, layer["threshold"], layer["inverted"])


def summands(layer, x):
    """How many +-1 each position sums up (P,): padded zeros are none."""
    ones = {**layer, "weight": np.ones_like(layer["weight"])}
    return sums(ones, np.ones((1, *x.shape[1:]), int))[0][0, :, 0]


def scores(layers, images, offset, change_sums, change_bits):
    """Scores of a read; change_sums(i, b, h, n_summands, reads_pixels) and change_bits(i, b, x) give other ones."""
    found = []
    for b, first in enumerate(range(0, len(images), 64)):
        x = naive.pixels(images[first:first + 64], offset)
        for i, layer in enumerate(layers):
            h, size = sums(layer, x)
            h = change_sums(i, b, h, summands(layer, x)) if i else h
            if layer["threshold"] is not None:
                x = change_bits(i, b, bits(layer, h, size))
        found.append((h.sum(axis=1) - layer["mean"]) * layer["scale"] + layer["shift"])
    return np.concatenate(found)


def flipped(x, p, key):
    """+-1 values (..., U) of which those with a draw below p are negated."""
    rows = x.reshape(-1, x.shape[-1])
    return np.where(draws(*rows.shape, key) < p, -rows, rows).reshape(x.shape)


def moved(h, n_summands, steps, key):
    """h (N, P, U) + 2 steps(draw, number of +1, n) of each sum, within what n summands give."""
    u, out = draws(h.shape[0] * h.shape[1], h.shape[2], key).reshape(h.shape), h.copy()
    for n, p, unit in np.ndindex(h.shape):
        most = int(n_summands[p])
        step = steps(u[n, p, unit], (int(h[n, p, unit]) + most) // 2, most)
        out[n, p, unit] = min(max(h[n, p, unit] + 2 * step, -most), most)
    return out


def two_complement(bits_of_word):
    """The integer of bits, the lowest first."""
    value = sum(int(bit) << i for i, bit in enumerate(bits_of_word))
    return value - (1 << len(bits_of_word)) if bits_of_word[-1] else value
