"""Kernels of gradients and optimizers called from +-1 arrays, as `kernel_calls` does for those of the forward pass."""

import functools

import numpy as np
from kernel_calls import ceil_to, dirty, fill_words, geometry, image_geometry, n_words, pack

import bnnsim.kernels.gradients.conv as conv_gradients
import bnnsim.kernels.gradients.conv_dx as input_gradients
import bnnsim.kernels.gradients.dense as dense_gradients
import bnnsim.kernels.gradients.first_layer as first_layer
import bnnsim.kernels.gradients.fixed_point as fixed_point
import bnnsim.kernels.gradients.lookup_tile as lookup_tile
import bnnsim.kernels.gradients.matrix_conv as matrix_conv
import bnnsim.kernels.gradients.optimizer_steps as optimizer_steps
import bnnsim.kernels.gradients.pool as pool
import bnnsim.kernels.gradients.pooled_conv as pooled_conv
from bnnsim.kernels import slices, split, thread_count
from bnnsim.training.reads import reads_of

FLOAT_KINDS = lookup_tile.FLOAT
NO_WINNER = np.zeros((1, 1, 1, 1), np.uint8)


def in_each_layout(call):
    """`call(*args, kinds)` of fixed point, after a check that groups of four and of five give the same bytes."""
    @functools.wraps(call)
    def called(*args):
        four, five = call(*args, lookup_tile.FOURS), call(*args, lookup_tile.FIVES)
        assert four.tobytes() == five.tobytes(), f"{call.__name__} depends on the layout of tables"
        return four

    return called


# dense

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


def matrix_conv_dx(dout, winner, size, weights, x_shape, stride, padding, dilation=1):
    """`pooled_conv_dx`, or `conv_dx` with size 1, by products of byte matrices."""
    g, words, k = geometry(x_shape, weights.shape[1:3], stride, padding, dilation), pack(weights), len(weights)
    taps = np.zeros((g.kernel_height * g.kernel_width, ceil_to(k, 64), words.shape[3]), np.uint64)
    taps[:, :k] = words.reshape(k, len(taps), -1).transpose(1, 0, 2)
    signs = dirty((64 * (taps.size + 1),), np.int8)
    split(matrix_conv.spread_weights, taps.shape[2], taps, signs)
    out = dirty((x_shape[0], g.height * g.width, x_shape[3]), np.float32)
    split(matrix_conv.conv_dx, len(out), dout.astype(np.float32), winner, size, signs, g, out)
    return out.reshape(x_shape)


@in_each_layout
def conv_dweight(dh, x, kernel, stride, padding, pad_value, kinds):
    """dh (N, OH, OW, K) of 16-bit integers -> (K, kh, kw, C) int64."""
    return _dweight(conv_gradients.conv_dweight, -(-dh[..., 0].size // conv_gradients.CHUNK), (6, 64), dh,
                    NO_WINNER, 1, x, kernel, stride, padding, pad_value, kinds)


def pooled_conv_dweight(dout, winner, size, x, kernel, stride, padding, pad_value):
    """`conv_dweight` of dout (N, PH, PW, K) behind a max-pool."""
    n_chunks = -(-len(dout) * dout.shape[1] // pooled_conv.rows_together(dout.shape[2], size))
    return _dweight(pooled_conv.pooled_dweight, n_chunks, (6, 64), dout, winner, size, x, kernel, stride, padding,
                    pad_value, lookup_tile.FOURS)


def matrix_conv_dweight(dout, winner, size, x, kernel, stride, padding, pad_value):
    """The same, or `conv_dweight` with size 1, by products of byte matrices."""
    g = geometry(x.shape, kernel, stride, padding)
    n_chunks = -(-len(x) * g.out_height * g.out_width // matrix_conv.CHUNK)
    return _dweight(matrix_conv.conv_dweight, n_chunks, (4, 16, 16), dout, winner, size, x, kernel, stride, padding,
                    pad_value)


def _dweight(code, n_chunks, tile, dout, winner, size, x, kernel, stride, padding, pad_value, *kinds):
    """tile: the shape of a block of sums, in which it has 64 columns."""
    channels, k, n_taps = x.shape[3], dout.shape[3], kernel[0] * kernel[1]
    n_bits, g = n_taps * channels, geometry(x.shape, kernel, stride, padding)
    n_columns = n_words(n_bits + (n_taps + 1 if pad_value == 0 else 0))
    total = summed(code, n_chunks, (-(-k // tile[-2]), n_columns, *tile), dout.astype(np.float32), winner, size,
                   np.ones(k), pack(x), channels, fill_words(channels, pad_value), pad_value == 0, g, *kinds)
    total = np.moveaxis(total, -2, 1).reshape(-1, n_columns * 64)[:k]
    out = total[:, :n_bits].reshape(k, n_taps, channels)
    if pad_value == 0:
        padded = total[:, n_bits:n_bits + n_taps + 1]
        out = out + (padded[:, :n_taps, None] + padded[:, n_taps, None, None]) // 2
    return out.reshape(k, *kernel, channels)


# first layer

def pixels_dense_dweight(a, images, offset, scale):
    """a (U, N) int16 values -> (U, F) float32."""
    n_pixels = images[0].size
    panel = dirty((n_words(n_pixels), -(-len(images) // 2), 64), np.int32)
    split(first_layer.pixels_panel, panel.shape[1], images, offset, panel)
    a_wide, out = padded_rows(a, 2), dirty((len(a), n_pixels), np.float32)
    split(first_layer.pixels_dense_dweight, len(a_wide) // 6, a_wide, panel, scale, lookup_tile.FIXED,
          out)
    return out


def pixels_conv_dweight(dh, images, offset, kernel, stride, padding, pad_value):
    """dh (N, OH, OW, K) of 16-bit integers -> (K, kh, kw, C) int64."""
    g, channels, k = image_geometry(images, kernel, stride, padding), images.shape[1], dh.shape[3]
    n_features = kernel[0] * kernel[1] * channels
    inverse = np.zeros(ceil_to(k, 64))
    inverse[:k] = 1
    total = summed(first_layer.pixels_conv_dweight, len(images), (ceil_to(n_features, 6), n_words(k), 64),
                   dh.astype(np.float32), NO_WINNER, 1, inverse, images, offset, pad_value, g)
    return total.reshape(len(total), -1)[:n_features, :k].T.reshape(k, *kernel, channels)


# pool, fixed point, optimizers

def max_pool_backward(dout, winner, size, h_shape):
    dh = dirty(h_shape, np.float32)
    split(pool.max_pool_backward, len(dout), dout, winner, size, dh)
    return dh


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
