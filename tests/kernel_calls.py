"""Kernels called from +-1 arrays: each function lays operands out, allocates, and runs one kernel.

Output arrays start full of garbage, except where a kernel says that they come zeroed. Letters as in `naive`.
`in_threads` runs such a function with 1, 2 and 3 threads; `rows` joins the small and large parts of a table.
"""

import numpy as np
import pytest

import bnnsim.operands as operands
from bnnsim.kernels import (adam, batchnorm, conv, dense, first_layer, fixed_point, packing, pool,
                            random_bits, split, thread_count, threads)
from bnnsim.kernels._parallel import slices

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


def madd_panel(words):
    panel = dirty((words.shape[1], -(-len(words) // 2), 4), np.uint32)
    split(packing.madd_panel, len(panel), words, panel)
    return panel


# dense

def sums(layer, x, shape):
    """Pre-activations (N, ...shape) int32 of a layer laid out by `operands`; units that do not exist are cut off."""
    out = dirty((len(x), *([np.prod(layer.sizes)] if layer.sizes else []), ceil_to(layer.units, 16)), np.int32)
    split(layer.kernels[0], len(x), x, *layer.args, out)
    return out[..., :layer.units].reshape(len(x), *shape)


def bits(layer, x):
    """Output words of a layer laid out by `operands`; bits past the last unit come zeroed, and are to stay so."""
    out = np.zeros((len(x), *layer.sizes, n_words(layer.units)), np.uint64)
    split(layer.kernels[1], len(x), x, *layer.args, *layer.end, out)
    return out


def ends(theta, inverted):
    return {"theta": theta.astype(np.int64), "inverted": pack(np.where(inverted, 1, -1).astype(np.int8)[None])[0]}


def xnor_dense(x, weights):
    return sums(operands.dense(pack(weights), x.shape[1]), pack(x), (len(weights),))


def xnor_dense_bits(x, weights, theta, inverted):
    return bits(operands.dense(pack(weights), x.shape[1], **ends(theta, inverted)), pack(x))


def madd_operand(a):
    """a (M, R) -> (6 T, 2 P) int16 with zeros around."""
    wide = np.zeros((ceil_to(a.shape[0], 6), ceil_to(a.shape[1], 2)), np.int16)
    wide[:a.shape[0], :a.shape[1]] = a
    return wide


def madd_dense(a, signs, scale):
    """a (M, R) int16 values times signs (R, F) -> (M, F) float32."""
    a_wide, panel = madd_operand(a), madd_panel(pack(signs))
    out = dirty((len(a), signs.shape[1]), np.float32)
    split(dense.madd_dense, len(panel) * len(a_wide) // 6, a_wide, panel, scale, out)
    return out


# conv

def geometry(x_shape, kernel, stride, padding):
    """Geometry of an input (N, H, W, C)."""
    (_, height, width, _), (kh, kw) = x_shape, kernel
    return conv.Geometry(height, width, kh, kw, stride, padding, (height + 2 * padding - kh) // stride + 1,
                         (width + 2 * padding - kw) // stride + 1)


def fill_words(channels, pad_value):
    """Word row of a padded position; zero padding enters as -1."""
    return pack(np.full((1, channels), 1 if pad_value == 1 else -1, np.int8))[0]


def xnor_conv(x, weights, stride, padding, pad_value):
    g = geometry(x.shape, weights.shape[1:3], stride, padding)
    layer = operands.conv(pack(weights), x.shape[3], g, pad_value)
    return sums(layer, pack(x), (g.out_height, g.out_width, len(weights)))


def xnor_conv_bits(x, weights, stride, padding, pad_value, theta, inverted, size):
    g = geometry(x.shape, weights.shape[1:3], stride, padding)
    return bits(operands.conv(pack(weights), x.shape[3], g, pad_value, **ends(theta, inverted), pool=size), pack(x))


def conv_dx(dh, weights, x_shape, stride, padding, scale):
    """dh (N, OH, OW, K) int16 values; scale (N,)."""
    g, (k, kh, kw, channels) = geometry(x_shape, weights.shape[1:3], stride, padding), weights.shape
    k_even = ceil_to(k, 2)
    by_tap = np.zeros((kh * kw, k_even, n_words(channels)), np.uint64)
    by_tap[:, :k] = np.moveaxis(pack(weights).reshape(k, kh * kw, -1), 0, 1)
    a = np.zeros((*dh.shape[:3], k_even), np.int16)
    a[..., :k] = dh
    out = dirty((len(dh), g.height * g.width, channels), np.float32)
    split(conv.conv_dx, len(dh), a, madd_panel(by_tap.reshape(kh * kw * k_even, -1)), scale, g, out)
    return out.reshape(x_shape)


def gradients_by_unit(dh):
    """dh (N, OH, OW, K) -> (N, 6 M, Q) int16 with zeros around."""
    a = np.zeros((len(dh), ceil_to(dh.shape[3], 6), ceil_to(dh.shape[1] * dh.shape[2], 2)), np.int16)
    a[:, :dh.shape[3], :dh.shape[1] * dh.shape[2]] = np.moveaxis(dh.reshape(len(dh), -1, dh.shape[3]), 1, 2)
    return a


def summed(kernel, n_items, shape, *args):
    """Kernels that add to their output: a total of its own for each slice, then the (integer) sum of them."""
    totals = []
    for start, stop in slices(n_items, thread_count()):
        totals.append(np.zeros(shape, np.int64))
        kernel(*args, totals[-1], start, stop)
    return sum(totals)


def conv_dweight(dh, x, kernel, stride, padding, pad_value):
    a, g, (_, _, _, channels) = gradients_by_unit(dh), geometry(x.shape, kernel, stride, padding), x.shape
    shape = (a.shape[1], kernel[0] * kernel[1], n_words(channels), 64)
    total = summed(conv.conv_dweight, len(x), shape, a, pack(x), channels, fill_words(channels, pad_value),
                   pad_value == 0, g)
    return total.reshape(*shape[:2], -1)[:dh.shape[3], :, :channels].reshape(-1, *kernel, channels)


# first layer

def pixels_dense(images, offset, weights):
    return sums(operands.pixels_dense(pack(weights), images[0].size, offset), images, (len(weights),))


def pixels_dense_bits(images, offset, weights, theta, inverted):
    return bits(operands.pixels_dense(pack(weights), images[0].size, offset, **ends(theta, inverted)), images)


def pixels_dense_dweight(a, images, offset, scale):
    """a (U, N) int16 values -> (U, F) float32."""
    n_pixels = images[0].size
    panel = np.zeros((n_words(n_pixels), -(-len(images) // 2), 64, 2), np.int16)
    split(first_layer.pixels_panel, panel.shape[1], images, offset, panel)
    a_wide, out = madd_operand(a), dirty((len(a), n_pixels), np.float32)
    split(dense.madd16_dense, len(panel) * len(a_wide) // 6, a_wide, panel, scale, out)
    return out


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
                                     pool=size), images)


def pixels_conv_dweight(dh, images, offset, kernel, stride, padding, pad_value):
    a, g, channels = gradients_by_unit(dh), image_geometry(images, kernel, stride, padding), images.shape[1]
    n_columns = kernel[0] * kernel[1] * channels
    shape = (a.shape[1], n_words(n_columns), 64)
    total = summed(first_layer.pixels_conv_dweight, len(images), shape, a, images, offset, pad_value, g)
    return total.reshape(a.shape[1], -1)[:dh.shape[3], :n_columns].reshape(-1, *kernel, channels)


# pool, batch norm, fixed point, optimizers, flips

def max_pool(h, size):
    shape = (h.shape[0], h.shape[1] // size, h.shape[2] // size, h.shape[3])
    out, winner = dirty(shape, np.int32), dirty(shape, np.uint8)
    split(pool.max_pool, len(h), h, size, out, winner)
    return out, winner


def max_pool_backward(dout, winner, size, h_shape):
    dh = dirty(h_shape, np.float32)
    split(pool.max_pool_backward, len(dout), dout, winner, size, dh)
    return dh


def moments(h):
    mean, variance = dirty(h.shape[1], np.float64), dirty(h.shape[1], np.float64)
    split(batchnorm.column_moments, h.shape[1], h, mean, variance)
    return mean, variance


def affine_rows(h, mean, scale, shift):
    out = dirty(h.shape, np.float64)
    split(batchnorm.affine_rows, len(h), h, mean, scale, shift, out)
    return out


def affine_sign(h, mean, scale, shift):
    words = dirty((len(h), n_words(h.shape[1])), np.uint64)
    split(batchnorm.affine_sign, len(h), h, mean, scale, shift, words)
    return words


def batch_norm_backward(dout, h, mean, inverse, scale, shift, clip):
    """-> dh float32, dgamma, dbeta float64."""
    dgamma, dbeta = dirty(h.shape[1], np.float64), dirty(h.shape[1], np.float64)
    dh = dirty(h.shape, np.float32)
    settings = dout, h, mean, inverse, scale, shift, clip, dgamma, dbeta
    split(batchnorm.gradient_sums, h.shape[1], *settings)
    split(batchnorm.gradient_rows, len(h), *settings, dh)
    return dh, dgamma, dbeta


def quantise_rows(values):
    """values (N, R, U) -> int16 (N, R, U) and scale (N,)."""
    out, scale = np.zeros((*values.shape[:2], values.shape[2] + 1), np.int16), dirty(len(values), np.float64)
    split(fixed_point.quantise_rows, len(values), values, scale, out)
    assert not out[..., -1].any()
    return out[..., :-1], scale


def quantise_columns(values):
    """values (N, R, U) -> int16 (N, U, R) and scale (U,)."""
    n, n_rows, n_units = values.shape
    largest, scale = dirty(n_units, np.float32), dirty(n_units, np.float64)
    split(fixed_point.column_largest, n_units, values.reshape(-1, n_units), largest)
    out = np.zeros((n, ceil_to(n_units, 6), ceil_to(n_rows, 2)), np.int16)
    split(fixed_point.quantise_columns, n, values, largest, scale, out)
    assert not out[:, n_units:].any() and not out[:, :, n_rows:].any()
    return out[:, :n_units, :n_rows], scale


def adam_step(value, gradient, first, second, *settings):
    value, first, second = value.copy(), first.copy(), second.copy()
    split(adam.adam_step, len(value), value, gradient, first, second, *settings)
    return value, first, second


def momentum_step(value, gradient, velocity, *settings):
    value, velocity = value.copy(), velocity.copy()
    split(adam.momentum_step, len(value), value, gradient, velocity, *settings)
    return value, velocity


def flip_masks(n_rows, n_features, key0, key1, threshold):
    """Masks for a 64-bit threshold p * 2^64 (2^64 flips all)."""
    masks = dirty((n_rows, n_words(n_features)), np.uint64)
    numbers = (np.uint64(number) for number in (key0, key1, threshold >> 32, threshold % 2**32))
    split(random_bits.flip_masks, n_rows, n_features, *numbers, masks)
    return masks
