"""Allocate, run the kernels, return: the products of a binarized network and the operands they read.

Shapes are checked where a network is put together (`layers`, `packed`); here they are trusted. N batch, F features in
W = ceil(F / 64) words, U units; C input channels in Cw words, K output channels, T = kh * kw taps.
"""

import numpy as np

import bnnsim.operands as operands
from bnnsim.kernels import batchnorm, conv, dense, first_layer, fixed_point, packing, random_bits, split
from bnnsim.kernels._parallel import slices, thread_count
from bnnsim.operands import n_words, pad_words


def _round_up(value, step):
    return (value + step - 1) // step * step


# ---------------------------------------------------------------- packed operands

def pack_latent(weight):
    """float32 (..., F) -> uint64 (..., W), bit = weight >= 0."""
    rows = weight.reshape(-1, weight.shape[-1])
    words = np.empty((len(rows), n_words(rows.shape[1])), np.uint64)
    split(packing.pack_latent, len(rows), rows, words)
    return words.reshape(*weight.shape[:-1], -1)


def pack_signs(values):
    """int8 or float32 (N, F) -> words (N, W), bit = value >= 0."""
    words = np.empty((len(values), n_words(values.shape[1])), np.uint64)
    split(packing.pack_signs, len(values), np.ascontiguousarray(values), words)
    return words


def unpack_signs(words, n_features):
    """words (N, W) -> int8 (N, F) of +1 and -1."""
    values = np.empty((len(words), n_features), np.int8)
    split(packing.unpack_signs, len(words), words, values)
    return values


def flatten_block(x, n_channels):
    """Packed (N, H, W, ceil(C / 64)) -> (N, ceil(H * W * C / 64)), in the calling thread."""
    taps = x.reshape(len(x), -1, x.shape[-1])
    if n_channels % 64 == 0:
        return taps.reshape(len(x), -1)
    words = np.empty((len(x), n_words(taps.shape[1] * n_channels)), np.uint64)
    packing.repack_rows(taps, n_channels, words, 0, len(x))
    return words


def madd_panel(words):
    """Rows along the summed axis (R, W) -> the panel (W, ceil(R / 2), 4) that the 16-bit tile reads."""
    panel = np.empty((words.shape[1], (len(words) + 1) // 2, 4), np.uint32)
    split(packing.madd_panel, len(panel), words, panel)
    return panel


def flip_masks(n_rows, n_features, p_flip, key):
    """Independent bit errors: masks (n_rows, W), each of the rows' F bits with probability p_flip.

    key (2,) uint64 from `seeding.stream_key`; the same key at a lower rate gives a subset of the flips.
    """
    masks = np.zeros((n_rows, n_words(n_features)), np.uint64)
    if p_flip > 0:
        threshold = int(p_flip * 2.0**64)                       # exact: a product with a power of two
        split(random_bits.flip_masks, n_rows, n_features, key[0], key[1], np.uint64(threshold >> 32),
              np.uint64(threshold & 0xFFFFFFFF), masks)
    return masks


# ---------------------------------------------------------------- forward

def dense_forward(x, words, n_features):
    """Packed x (N, W) and weights (U, W) -> pre-activations (N, U) int32."""
    return operands.dense(words, n_features).sums(x)


def conv_forward(x, words, n_channels, geometry, pad_value):
    """Packed x (N, H, W, Cw) and weights (K, kh, kw, Cw) -> pre-activations (N, OH, OW, K) int32."""
    return operands.conv(words, n_channels, geometry, pad_value).sums(x)


def pixels_dense_forward(images, offset, words, n_features):
    """images (N, C, H, W) uint8 and weights (U, W) -> pre-activations (N, U) int32."""
    return operands.pixels_dense(words, n_features, offset).sums(images)


def pixels_conv_forward(images, offset, words, n_channels, geometry, pad_value):
    """images (N, C, H, W) uint8 and weights (K, kh, kw, Cw) -> pre-activations (N, OH, OW, K) int32."""
    return operands.pixels_conv(words, n_channels, geometry, offset, pad_value).sums(images)


def affine_scores(h, mean, scale, shift):
    """Scores (N, U) float64 from integers h (N, U): the one expression that training and deployment share."""
    out = np.empty(h.shape, np.float64)
    split(batchnorm.affine_rows, len(h), h, mean, scale, shift, out)
    return out


# ---------------------------------------------------------------- gradients, in 16-bit fixed point

def quantise_rows(values):
    """(N, R, U) float32 -> (N, R, U rounded up to even) int16, and the unit (N,) float64 of each n."""
    shape = (*values.shape[:2], _round_up(values.shape[2], 2))
    fixed, scale = np.zeros(shape, np.int16), np.empty(len(values), np.float64)
    split(fixed_point.quantise_rows, len(values), values, scale, fixed)
    return fixed, scale


def quantise_columns(values):
    """(N, R, U) float32 -> transposed (N, U rounded up to 6, R to even) int16, and the unit (U,) of each column."""
    n, n_rows, n_units = values.shape
    largest, scale = np.empty(n_units, np.float32), np.empty(n_units, np.float64)
    split(fixed_point.column_largest, n_units, values.reshape(-1, n_units), largest)
    fixed = np.zeros((n, _round_up(n_units, 6), _round_up(n_rows, 2)), np.int16)
    split(fixed_point.quantise_columns, n, values, largest, scale, fixed)
    return fixed, scale


def _six_rows(fixed):
    """(N, P) int16 -> (N rounded up to 6, P), as the tile wants it."""
    if len(fixed) % 6 == 0:
        return fixed
    return np.concatenate([fixed, np.zeros((6 - len(fixed) % 6, fixed.shape[1]), np.int16)])


def dense_dx(dh, words, n_features):
    """dh (N, U) float32 and weights (U, W) -> dX (N, F) float32 = dh times W."""
    fixed, scale = quantise_rows(dh[:, None, :])
    fixed, panel = _six_rows(fixed[:, 0]), madd_panel(words)
    out = np.empty((len(dh), n_features), np.float32)
    split(dense.madd_dense, len(panel) * (len(fixed) // 6), fixed, panel, scale, out)
    return out


def dense_dweight(dh, x, out):
    """dh (N, U) float32 and packed x (N, W) -> out (U, F) float32 = dh transposed times X."""
    fixed, scale = quantise_columns(dh[None])
    panel = madd_panel(x)
    split(dense.madd_dense, len(panel) * (fixed.shape[1] // 6), fixed[0], panel, scale, out)


def pixels_dense_dweight(dh, images, offset, out):
    """dh (N, U) float32 and images (N, C, H, W) uint8 -> out (U, F) float32."""
    fixed, scale = quantise_columns(dh[None])
    n_pairs = fixed.shape[2] // 2
    panel = np.zeros((n_words(out.shape[1]), n_pairs, 64, 2), np.int16)
    split(first_layer.pixels_panel, n_pairs, images, offset, panel)
    split(dense.madd16_dense, len(panel) * (fixed.shape[1] // 6), fixed[0], panel, scale, out)


def conv_dx(dh, words, n_channels, geometry):
    """dh (N, OH, OW, K) float32 and weights (K, kh, kw, Cw) -> dX (N, H, W, C) float32."""
    n, n_units = len(dh), len(words)
    fixed, scale = quantise_rows(dh.reshape(n, -1, n_units))
    taps = np.zeros((geometry.kernel_height * geometry.kernel_width, fixed.shape[2], words.shape[-1]), np.uint64)
    taps[:, :n_units] = words.reshape(n_units, -1, words.shape[-1]).transpose(1, 0, 2)
    panel = madd_panel(taps.reshape(-1, words.shape[-1]))
    out = np.empty((n, geometry.height * geometry.width, n_channels), np.float32)
    split(conv.conv_dx, n, fixed.reshape(*dh.shape[:3], -1), panel, scale, geometry, out)
    return out.reshape(n, geometry.height, geometry.width, n_channels)


def _sum_over_images(kernel, fixed, shape, *args):
    """Run a dW kernel on a slice of the images a thread, each into a total of its own; integer sums are exact."""
    parts = slices(len(fixed), thread_count())
    totals = np.zeros((len(parts), *shape), np.int64)

    def run(first, last):
        for part in range(first, last):
            kernel(fixed, *args, totals[part], *parts[part])

    split(run, len(parts))
    return totals.sum(0)


def conv_dweight(dh, x, n_channels, geometry, pad_value, out):
    """dh (N, OH, OW, K) float32 and packed x (N, H, W, Cw) -> out (K, kh, kw, C) float32."""
    fixed, scale = quantise_columns(dh.reshape(len(dh), -1, dh.shape[-1]))
    n_taps = geometry.kernel_height * geometry.kernel_width
    total = _sum_over_images(conv.conv_dweight, fixed, (fixed.shape[1], n_taps, x.shape[3], 64), x, n_channels,
                             pad_words(n_channels, pad_value), pad_value == 0, geometry)
    total = total.reshape(fixed.shape[1], n_taps, -1)[:len(out), :, :n_channels]
    out[:] = (total * scale[:, None, None]).reshape(out.shape)


def pixels_conv_dweight(dh, images, offset, geometry, pad_value, out):
    """dh (N, OH, OW, K) float32 and images (N, C, H, W) uint8 -> out (K, kh, kw, C) float32."""
    fixed, scale = quantise_columns(dh.reshape(len(dh), -1, dh.shape[-1]))
    n_features = out[0].size
    total = _sum_over_images(first_layer.pixels_conv_dweight, fixed, (fixed.shape[1], n_words(n_features), 64),
                             images, offset, pad_value, geometry)
    total = total.reshape(fixed.shape[1], -1)[:len(out), :n_features]
    out[:] = (total * scale[:, None]).reshape(out.shape)
