"""Kernels called from +-1 arrays: each function lays operands out, allocates, and runs one kernel.

Output arrays start full of garbage, except where a kernel says that they come zeroed. Letters as in `naive`.
`in_threads` runs such a function with 1, 2 and 3 threads; `rows` joins the small and large parts of a table.
"""

import functools

import numpy as np
import pytest

import bnnsim.kernels.gradients.conv as conv_gradients
import bnnsim.kernels.gradients.conv_dx as input_gradients
import bnnsim.kernels.gradients.dense as dense_gradients
import bnnsim.kernels.gradients.first_layer as first_layer
import bnnsim.kernels.gradients.fixed_point as fixed_point
import bnnsim.kernels.gradients.lookup_tile as lookup_tile
import bnnsim.kernels.gradients.optimizer_steps as optimizer_steps
import bnnsim.kernels.gradients.pool as pool
import bnnsim.kernels.gradients.pooled_conv as pooled_conv
import bnnsim.kernels.norm.batchnorm as batchnorm
import bnnsim.kernels.words.packing as packing
import bnnsim.kernels.words.random_bits as random_bits
import bnnsim.packed.forward as operands
from bnnsim.kernels import slices, split, thread_count, threads
from bnnsim.kernels.forward.geometry import Pool
from bnnsim.packed.forward import conv, conv_geometry, dense
from bnnsim.training.reads import reads_of

GARBAGE = 0x5A
FLOAT_KINDS = lookup_tile.FLOAT


def in_each_layout(call):
    """`call(*args, kinds)` of fixed point, after a check that groups of four and of five give the same bytes."""
    @functools.wraps(call)
    def called(*args):
        four, five = call(*args, lookup_tile.FOURS), call(*args, lookup_tile.FIVES)
        assert four.tobytes() == five.tobytes(), f"{call.__name__} depends on the layout of tables"
        return four

    return called


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


def lookup_panel(words, kind):
    """Segments (S, R, W) -> panel."""
    n_entries = -(-words.shape[1] // lookup_tile.entry_rows(kind))
    panel = dirty((words.shape[2], words.shape[0], n_entries, lookup_tile.entry_size(kind)), kind.dtype)
    split(dense_gradients.lookup_panel, len(panel), words, panel)
    return panel


def padded_rows(a, step, kind=np.int16):
    """a (M, R) -> (6 T, R up to a multiple of step) with zeros around."""
    wide = np.zeros((ceil_to(a.shape[0], 6), ceil_to(a.shape[1], step)), kind)
    wide[:a.shape[0], :a.shape[1]] = a
    return wide


def dense_in(a, signs, scale, kinds):
    """a (M, R) times signs (R, F) -> (M, F) float32."""
    a_wide = padded_rows(a, lookup_tile.step(kinds.table), kinds.gradient.dtype)
    panel = lookup_panel(pack(signs)[None], kinds.panel)
    out = dirty((len(a), signs.shape[1]), np.float32)
    split(dense_gradients.lookup_dense, len(a_wide) // 6, a_wide, panel, scale, kinds, out)
    return out


@in_each_layout
def lookup_dense(a, signs, scale, kinds):
    """`dense_in` of int16 values."""
    return dense_in(a, signs, scale, kinds)


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


NO_WINNER = np.zeros((1, 1, 1, 1), np.uint8)


def xnor_conv(x, weights, stride, padding, pad_value):
    g = geometry(x.shape, weights.shape[1:3], stride, padding)
    layer = conv(pack(weights), x.shape[3], g, pad_value)
    return sums(layer, pack(x), (g.out_height, g.out_width, len(weights)))


def xnor_conv_bits(x, weights, stride, padding, pad_value, theta, inverted, size):
    g = geometry(x.shape, weights.shape[1:3], stride, padding)
    return bits(conv(pack(weights), x.shape[3], g, pad_value, **ends(theta, inverted), pool=square(size)), pack(x))


@in_each_layout
def conv_dx(dh, weights, x_shape, stride, padding, kinds):
    """dh (N, OH, OW, K) of which each image has an entry of +-32767, so that it is rounded to itself."""
    g, (k, kh, kw, channels) = geometry(x_shape, weights.shape[1:3], stride, padding), weights.shape
    n_chunks = -(-k // dense_gradients.CHUNK)
    n_items = lookup_tile.whole(-(-k // n_chunks), kinds.table)
    taps, reads = np.zeros((kh * kw, n_items * n_chunks, n_words(channels)), np.uint64), reads_of(g)
    taps[:, :k] = np.moveaxis(pack(weights)[:, reads.taps[:, 0], reads.taps[:, 1]], 0, 1)
    panel = lookup_panel(taps.reshape(kh * kw * n_chunks, n_items, -1), kinds.panel)
    out = dirty((x_shape[0], g.height * g.width, channels), np.float32)
    split(input_gradients.conv_dx, len(out), dh.astype(np.float32), NO_WINNER, 1, panel,
          input_gradients.Cuts(1, n_chunks, n_items), g, reads, kinds, out)
    return out.reshape(x_shape)


def summed(kernel, n_items, shape, *args):
    """Kernels that add to their output: a total of its own for each slice, then the (integer) sum of them."""
    totals = []
    for start, stop in slices(n_items, thread_count()):
        totals.append(np.zeros(shape, np.int64))
        kernel(*args, totals[-1], start, stop)
    return sum(totals)


def pooled_conv_dx(dout, winner, size, weights, x_shape, stride, padding, dilation=1):
    """`conv_dx` of dout (N, PH, PW, K) behind a max-pool, each image's with an entry of +-32767."""
    g, words = geometry(x_shape, weights.shape[1:3], stride, padding, dilation), pack(weights)
    signs, reads = dirty((64 * words.size + pooled_conv.LINE,), np.uint8), reads_of(g)
    split(pooled_conv.spread_weights, 2 * words.shape[3], words, reads, signs)
    out = dirty((x_shape[0], g.height * g.width, x_shape[3]), np.float32)
    split(pooled_conv.pooled_dx, len(out), dout.astype(np.float32), winner, size, signs, g, reads, lookup_tile.FOURS,
          out)
    return out.reshape(x_shape)


@in_each_layout
def conv_dweight(dh, x, kernel, stride, padding, pad_value, kinds):
    """dh (N, OH, OW, K) of 16-bit integers -> (K, kh, kw, C) int64."""
    return _dweight(conv_gradients.conv_dweight, -(-dh[..., 0].size // conv_gradients.CHUNK), dh, NO_WINNER, 1, x,
                    kernel, stride, padding, pad_value, kinds)


def pooled_conv_dweight(dout, winner, size, x, kernel, stride, padding, pad_value):
    """`conv_dweight` of dout (N, PH, PW, K) behind a max-pool."""
    n_chunks = -(-len(dout) * dout.shape[1] // pooled_conv.rows_together(dout.shape[2], size))
    return _dweight(pooled_conv.pooled_dweight, n_chunks, dout, winner, size, x, kernel, stride, padding, pad_value,
                    lookup_tile.FOURS)


def _dweight(code, n_chunks, dout, winner, size, x, kernel, stride, padding, pad_value, kinds):
    channels, k, n_taps = x.shape[3], dout.shape[3], kernel[0] * kernel[1]
    n_bits, g = n_taps * channels, geometry(x.shape, kernel, stride, padding)
    shape = -(-k // 6), n_words(n_bits + (n_taps + 1 if pad_value == 0 else 0)), 6, 64
    total = summed(code, n_chunks, shape, dout.astype(np.float32), winner, size, np.ones(k), pack(x), channels,
                   fill_words(channels, pad_value), pad_value == 0, g, kinds)
    total = np.moveaxis(total, 2, 1).reshape(-1, shape[1] * 64)[:k]
    out = total[:, :n_bits].reshape(k, n_taps, channels)
    if pad_value == 0:
        padded = total[:, n_bits:n_bits + n_taps + 1]
        out = out + (padded[:, :n_taps, None] + padded[:, n_taps, None, None]) // 2
    return out.reshape(k, *kernel, channels)


# first layer

def pixels_dense(images, offset, weights):
    return sums(operands.pixels_dense(pack(weights), images[0].size, offset), images, (len(weights),))


def pixels_dense_bits(images, offset, weights, theta, inverted):
    return bits(operands.pixels_dense(pack(weights), images[0].size, offset, **ends(theta, inverted)), images)


def pixels_dense_dweight(a, images, offset, scale):
    """a (U, N) int16 values -> (U, F) float32."""
    n_pixels = images[0].size
    panel = dirty((n_words(n_pixels), -(-len(images) // 2), 64), np.int32)
    split(first_layer.pixels_panel, panel.shape[1], images, offset, panel)
    a_wide, out = padded_rows(a, 2), dirty((len(a), n_pixels), np.float32)
    split(first_layer.pixels_dense_dweight, len(a_wide) // 6, a_wide, panel, scale, lookup_tile.FIXED,
          out)
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
                                     pool=square(size)), images)


def pixels_conv_dweight(dh, images, offset, kernel, stride, padding, pad_value):
    """dh (N, OH, OW, K) of 16-bit integers -> (K, kh, kw, C) int64."""
    g, channels, k = image_geometry(images, kernel, stride, padding), images.shape[1], dh.shape[3]
    n_features = kernel[0] * kernel[1] * channels
    inverse = np.zeros(ceil_to(k, 64))
    inverse[:k] = 1
    total = summed(first_layer.pixels_conv_dweight, len(images), (ceil_to(n_features, 6), n_words(k), 64),
                   dh.astype(np.float32), NO_WINNER, 1, inverse, images, offset, pad_value, g)
    return total.reshape(len(total), -1)[:n_features, :k].T.reshape(k, *kernel, channels)


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


def batch_norm_backward(dout, h, mean, inverse, scale, shift, ste):
    """-> dh float32, dgamma, dbeta float64."""
    dgamma, dbeta = dirty(h.shape[1], np.float64), dirty(h.shape[1], np.float64)
    dh = dirty(h.shape, np.float32)
    norm = np.stack([mean, inverse, scale, shift])
    split(batchnorm.gradient_sums, h.shape[1], dout, h, norm, ste, dgamma, dbeta)
    split(batchnorm.gradient_rows, len(h), dout, h, norm, ste, np.stack([dgamma, dbeta]) / len(h), dh)
    return dh, dgamma, dbeta


def quantise_rows(values):
    """values (N, R, U) -> int16 (N, R, U) and scale (N,)."""
    out, scale = np.zeros((*values.shape[:2], values.shape[2] + 1), np.int16), dirty(len(values), np.float64)
    split(fixed_point.quantise_rows, len(values), values, scale, out)
    assert not out[..., -1].any()
    return out[..., :-1], scale


def quantise_columns(values):
    """values (R, U) -> int16 (U, R), and the largest |value| of each column."""
    n_rows, n_units = values.shape
    parts = slices(n_rows, thread_count())
    largest = np.zeros((len(parts), n_units), np.float32)
    for part, row in zip(parts, largest):
        fixed_point.column_largest(values, row, *part)
    largest = largest.max(0)
    scale = np.where(largest > 0, largest.astype(float) / 32767, 1.0)
    out = np.zeros((ceil_to(n_units, 6), ceil_to(n_rows, 5)), np.int16)
    split(fixed_point.quantise_columns, -(-n_rows // 16), values, 1 / scale, out)
    assert not out[n_units:].any() and not out[:, n_rows:].any()
    return out[:n_units, :n_rows], scale


def adam_step(value, gradient, first, second, *settings):
    value, first, second = value.copy(), first.copy(), second.copy()
    split(optimizer_steps.adam_step, len(value), value, gradient, first, second, *settings)
    return value, first, second


def metaplastic_step(value, gradient, first, second, *settings):
    value, first, second = value.copy(), first.copy(), second.copy()
    split(optimizer_steps.metaplastic_step, len(value), value, gradient, first, second, *settings)
    return value, first, second


def momentum_step(value, gradient, velocity, *settings):
    value, velocity = value.copy(), velocity.copy()
    split(optimizer_steps.momentum_step, len(value), value, gradient, velocity, *settings)
    return value, velocity


def flip_masks(n_rows, n_features, key0, key1, threshold):
    """Masks for a 64-bit threshold p * 2^64 (2^64 flips all)."""
    return flip_masks_each(n_rows, n_features, key0, key1, [threshold])[0]


def flip_masks_each(n_rows, n_features, key0, key1, thresholds):
    """Masks (R, N, W) for several of them."""
    masks = dirty((len(thresholds), n_rows, n_words(n_features)), np.uint64)
    parts = (np.array(part, np.uint64) for part in zip(*(divmod(threshold, 2**32) for threshold in thresholds)))
    split(random_bits.flip_masks, n_rows, n_features, np.uint64(key0), np.uint64(key1), *parts, masks)
    return masks
