"""Kernels called from +-1 arrays: each function lays operands out, allocates, and runs one kernel.

Output arrays start full of garbage, except where a kernel says that they come zeroed. Letters as in `naive`.
`in_threads` runs such a function with 1, 2 and 3 threads; `rows` joins the small and large parts of a table.
"""

import numpy as np
import pytest

import bnnsim.kernels.gradients.pool as pool
import bnnsim.kernels.norm.batchnorm as batchnorm
import bnnsim.kernels.words.packing as packing
import bnnsim.kernels.words.random_bits as random_bits
import bnnsim.packed.forward as operands
from bnnsim.kernels import split, threads
from bnnsim.kernels.forward.geometry import Pool
from bnnsim.packed.forward import conv, conv_geometry, dense

GARBAGE = 0x5A


def in_threads(call, *args):
    """What `call` returns, after a check that 1, 2 and 3 threads give the same bytes."""
    results = []
    for n_threads in (1, 2, 3):
        with threads(n_threads):
            results.append(call(*args))
    parts = [result if isinstance(result, tuple) else (result,) for result in results]
    assert len({b"".join(np.ascontiguousarray(part).tobytes() for part in each) for each in parts}) == 1, \
        f"{call.__name__} depends on the number of threads"
    return results[0]


def rows(names, small, full):
    """Parametrise over rows of a table; the small ones run with JIT off too."""
    return pytest.mark.parametrize(names, [pytest.param(*row, marks=pytest.mark.jit_off) for row in small]
                                   + [pytest.param(*row) for row in full])


def signs(rng, *shape):
    return rng.choice(np.array([-1, 1], np.int8), shape)


def gradients(rng, *shape):
    """16-bit gradients, ends included."""
    out = rng.integers(-32767, 32768, shape)
    out.reshape(-1)[0] = -32767
    return out


def dirty(shape, dtype):
    """An array that a kernel must overwrite."""
    out = np.empty(shape, dtype)
    out.reshape(-1).view(np.uint8)[:] = GARBAGE
    return out


def ceil_to(number, multiple):
    return -(-number // multiple) * multiple


def n_words(n_features):
    return -(-n_features // 64)


# packing

def pack(values, pack_kernel=packing.pack_signs):
    """(..., F) -> words (..., ceil(F / 64))."""
    rows = np.ascontiguousarray(values.reshape(-1, values.shape[-1]))
    words = dirty((len(rows), n_words(rows.shape[1])), np.uint64)
    split(pack_kernel, len(rows), rows, words)
    return words.reshape(*values.shape[:-1], words.shape[1])


def unpack(words, n_features):
    values = dirty((len(words), n_features), np.int8)
    split(packing.unpack_signs, len(words), words, values)
    return values


def repack(taps, n_features):
    words = dirty((len(taps), n_words(taps.shape[1] * n_features)), np.uint64)
    split(packing.repack_rows, len(taps), taps, n_features, words)
    return words


def negate_masked(mask, values):
    values = values.copy()
    split(packing.negate_masked, len(values), mask, values)
    return values


def transpose(words):
    turned = dirty((64 * words.shape[1], n_words(len(words))), np.uint64)
    split(packing.transpose_bits, words.shape[1], words, turned)
    return turned


# dense

def sums(layer, x, shape):
    """Pre-activations (N, ...shape) int32 of a layer laid out by `operands`; units that do not exist are cut off."""
    out = dirty((len(x), *([np.prod(layer.sizes)] if layer.sizes else []), ceil_to(layer.units, 16)), np.int32)
    split(layer.kernels[0], len(x), x, *layer.args, out)
    return out[..., :layer.units].reshape(len(x), *shape)


def bits(layer, x):
    """Output words of a layer laid out by `operands`; bits past the last unit come zeroed, and are to stay so."""
    out = np.zeros((len(x), *layer.pooled, n_words(layer.units)), np.uint64)
    split(layer.kernels[1], len(x), x, *layer.args, *layer.end, out)
    return out


def ends(theta, inverted):
    return {"theta": theta.astype(np.int64), "inverted": pack(np.where(inverted, 1, -1).astype(np.int8)[None])[0]}


def xnor_dense(x, weights):
    return sums(dense(pack(weights), x.shape[1]), pack(x), (len(weights),))


def xnor_dense_bits(x, weights, theta, inverted):
    return bits(dense(pack(weights), x.shape[1], **ends(theta, inverted)), pack(x))


# conv

def geometry(x_shape, kernel, stride, padding, dilation=1):
    """Geometry of an input (N, H, W, C)."""
    (_, height, width, _), (kh, kw) = x_shape, kernel
    return conv_geometry(height, width, (kh, kw), (stride, stride), (padding,) * 4, (dilation, dilation))


def square(size):
    """Windows of a max-pool side by side."""
    return Pool(size, size, size, size, 0, 0, 0, 0)


def fill_words(channels, pad_value):
    """Word row of a padded position; zero padding enters as -1."""
    return pack(np.full((1, channels), 1 if pad_value == 1 else -1, np.int8))[0]


def xnor_conv(x, weights, stride, padding, pad_value):
    g = geometry(x.shape, weights.shape[1:3], stride, padding)
    layer = conv(pack(weights), x.shape[3], g, pad_value)
    return sums(layer, pack(x), (g.out_height, g.out_width, len(weights)))


def xnor_conv_bits(x, weights, stride, padding, pad_value, theta, inverted, size):
    g = geometry(x.shape, weights.shape[1:3], stride, padding)
    return bits(conv(pack(weights), x.shape[3], g, pad_value, **ends(theta, inverted), pool=square(size)), pack(x))


# first layer

def pixels_dense(images, offset, weights):
    return sums(operands.pixels_dense(pack(weights), images[0].size, offset), images, (len(weights),))


def pixels_dense_bits(images, offset, weights, theta, inverted):
    return bits(operands.pixels_dense(pack(weights), images[0].size, offset, **ends(theta, inverted)), images)


def image_geometry(images, kernel, stride, padding):
    n, channels, height, width = images.shape
    return geometry((n, height, width, channels), kernel, stride, padding)


def pixels_conv(images, offset, weights, stride, padding, pad_value):
    g = image_geometry(images, weights.shape[1:3], stride, padding)
    layer = operands.pixels_conv(pack(weights), images.shape[1], g, offset, pad_value)
    return sums(layer, images, (g.out_height, g.out_width, len(weights)))


def pixels_conv_bits(images, offset, weights, stride, padding, pad_value, theta, inverted, size):
    g = image_geometry(images, weights.shape[1:3], stride, padding)
    return bits(operands.pixels_conv(pack(weights), images.shape[1], g, offset, pad_value, **ends(theta, inverted),
                                     pool=square(size)), images)


# pool, batch norm, flips

def max_pool(h, size):
    shape = (h.shape[0], h.shape[1] // size, h.shape[2] // size, h.shape[3])
    out, winner = dirty(shape, np.int32), dirty(shape, np.uint8)
    split(pool.max_pool, len(h), h, size, out, winner)
    return out, winner


def column_sums(h):
    sums, squares = dirty(h.shape[1], np.int64), dirty(h.shape[1], np.int64)
    split(batchnorm.column_sums, h.shape[1], h, sums, squares)
    return sums, squares


def affine_rows(h, mean, scale, shift):
    out = dirty(h.shape, np.float64)
    split(batchnorm.affine_rows, len(h), h, mean, scale, shift, out)
    return out


def affine_sign(h, mean, scale, shift):
    words = dirty((len(h), n_words(h.shape[1])), np.uint64)
    split(batchnorm.affine_sign, len(h), h, mean, scale, shift, words)
    return words


def batch_norm_backward(dout, h, mean, inverse, scale, shift, ste):
    """-> dh float32, dgamma, dbeta float64."""
    dgamma, dbeta = dirty(h.shape[1], np.float64), dirty(h.shape[1], np.float64)
    dh = dirty(h.shape, np.float32)
    norm = np.stack([mean, inverse, scale, shift])
    split(batchnorm.gradient_sums, h.shape[1], dout, h, norm, ste, dgamma, dbeta)
    split(batchnorm.gradient_rows, len(h), dout, h, norm, ste, np.stack([dgamma, dbeta]) / len(h), dh)
    return dh, dgamma, dbeta


def flip_masks(n_rows, n_features, key0, key1, threshold):
    """Masks for a 64-bit threshold p * 2^64 (2^64 flips all)."""
    return flip_masks_each(n_rows, n_features, key0, key1, [threshold])[0]


def flip_masks_each(n_rows, n_features, key0, key1, thresholds):
    """Masks (R, N, W) for several of them."""
    masks = dirty((len(thresholds), n_rows, n_words(n_features)), np.uint64)
    parts = (np.array(part, np.uint64) for part in zip(*(divmod(threshold, 2**32) for threshold in thresholds)))
    split(random_bits.flip_masks, n_rows, n_features, np.uint64(key0), np.uint64(key1), *parts, masks)
    return masks
