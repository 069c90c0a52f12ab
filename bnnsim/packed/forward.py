"""What the forward kernels read of a layer, laid out once: panels of weights, and tables to compare sums with.

N images, F features or C input channels in W or Cw words, U units, V = ceil(U / 64), S = 16 ceil(U / 16); T taps, P
output positions. Shapes are checked where a network is put together (`layers`, `packed`); here they are trusted.
"""

import functools
from dataclasses import dataclass

import numpy as np

import bnnsim.kernels.forward.conv as conv_passes
import bnnsim.kernels.forward.dense as dense_passes
import bnnsim.kernels.norm.batchnorm as batchnorm
import bnnsim.kernels.words.packing as packing
from bnnsim.kernels import empty, split
from bnnsim.kernels.forward.geometry import Geometry
from bnnsim.packed.words import n_words, pad_words, repack

INT32 = np.iinfo(np.int32)


@dataclass(frozen=True, eq=False)
class Forward:
    """A layer as the forward kernels read it.

    kernels : (to sums, to bits)
    args : what both read between the input and the output
    end : what the second reads besides: (inverted words (V,),), of a convolution (inverted, pool); () to sums
    sizes : output sizes between batch and units: () or (OH, OW), of bits after the pooling
    units : int
    """

    kernels: tuple
    args: tuple
    end: tuple
    sizes: tuple
    units: int

    def sums(self, x):
        """Pre-activations (N, ..., U) int32 of x, in the threads of `split`."""
        width = 16 * ((self.units + 15) // 16)
        n_positions = (self.sizes[0] * self.sizes[1],) if self.sizes else ()
        out = empty((len(x), *n_positions, width), np.int32)
        split(self.kernels[0], len(x), x, *self.args, out)
        return np.ascontiguousarray(out[..., :self.units]).reshape(len(x), *self.sizes, self.units)

    def bits(self, x):
        """Output bits (N, ..., V) of a block x, in the calling thread."""
        out = np.zeros((len(x), *self.sizes, n_words(self.units)), np.uint64)
        self.kernels[1](x, *self.args, *self.end, out, 0, len(x))
        return out


# ---------------------------------------------------------------- panels

def xnor_panel(words):
    """Weights (U, W) -> the panel (ceil(U / 16), W, 16) that the XNOR tile reads."""
    panel = np.empty(((len(words) + 15) // 16, words.shape[1], 16), np.uint64)
    split(packing.xnor_panel, len(panel), words, panel)
    return panel


def pixel_panel(words, n_channels):
    """First-layer weights, dense (U, W) or conv (K, kh, kw, Cw), as the pixel tile reads them."""
    n_runs, n_features, rows = 1, n_channels, words
    if words.ndim == 4:
        n_runs, n_features = words.shape[1], words.shape[2] * n_channels
        rows = repack(words.reshape(-1, *words.shape[2:]), n_channels)
    panel = np.empty(((len(words) + 15) // 16, n_runs * ((n_features + 3) // 4), 16), np.uint32)
    split(packing.pixel_panel, len(panel), rows, n_runs, n_features, panel)
    return panel


# ---------------------------------------------------------------- geometry and tables

def conv_geometry(height, width, kernel, stride, padding):
    """The sizes that a convolution's kernels need; kernel (kh, kw)."""
    out_height, out_width = ((size + 2 * padding - k) // stride + 1 for size, k in zip((height, width), kernel))
    return Geometry(height, width, *kernel, stride, padding, out_height, out_width)


@functools.lru_cache(maxsize=64)
def borders(g):
    """(border (P,), outside (B, T) int64): output positions by which taps of theirs lie in the padding."""
    top, left = np.divmod(np.arange(g.out_height * g.out_width), g.out_width)
    tap_row, tap_column = np.divmod(np.arange(g.kernel_height * g.kernel_width), g.kernel_width)
    row = top[:, None] * g.stride - g.padding + tap_row
    column = left[:, None] * g.stride - g.padding + tap_column
    outside = (row < 0) | (row >= g.height) | (column < 0) | (column >= g.width)
    kinds, border = np.unique(outside, axis=0, return_inverse=True)
    return border.reshape(-1), kinds.astype(np.int64)


def _positions(g, item):
    """Where each output position's patch begins in a padded image of `item` words or bytes a pixel."""
    row, column = np.divmod(np.arange(g.out_height * g.out_width), g.out_width)
    return (row * g.stride * (g.width + 2 * g.padding) + column * g.stride) * item


def tap_sums(words, n_channels):
    """Sum of the +-1 weights of each tap and output channel: words (K, kh, kw, Cw) -> (T, K) int64."""
    ones = np.bitwise_count(words.reshape(len(words), -1, words.shape[-1])).sum(-1, dtype=np.int64)
    return 2 * ones.T - n_channels


def _row_sums(words, n_features):
    """Sum of the +-1 weights of each unit (U,) int64."""
    return 2 * np.bitwise_count(words.reshape(len(words), -1)).sum(1, dtype=np.int64) - n_features


def _table(values, absent):
    """values (B, U) -> (B, S) int32, `absent` for units that do not exist; beyond int32 a comparison is settled."""
    table = np.full((len(values), 16 * ((values.shape[1] + 15) // 16)), absent, np.int32)
    table[:, :values.shape[1]] = np.clip(values, INT32.min, INT32.max)
    return table


def _xnor_table(base, theta):
    """base (B, U) = h + 2 ones -> what the tile compares with: h >= theta iff ones <= floor((base - theta) / 2)."""
    return _table(base, 0) if theta is None else _table((base - theta) >> 1, -1)


def _pixel_table(base, theta):
    """base (B, U) = h - sum -> what the tile adds, or compares with: h >= theta iff sum >= theta - base."""
    return _table(base, 0) if theta is None else _table(theta - base, INT32.max)


# ---------------------------------------------------------------- the four kinds of layer

def dense(words, n_features, theta=None, inverted=None):
    """Dense on packed x (N, W): weights (U, W), thresholds theta (U,) int64 and inverted words (V,) if to bits."""
    table = _xnor_table(np.full((1, len(words)), n_features, np.int64), theta)
    return Forward((dense_passes.xnor_dense, dense_passes.xnor_dense_bits), (xnor_panel(words), table), (inverted,), (),
                   len(words))


def conv(words, n_channels, g, pad_value, theta=None, inverted=None, pool=1):
    """Conv on packed x (N, H, W, Cw): weights (K, kh, kw, Cw), geometry g."""
    n_units, item = len(words), words.shape[-1]
    border, base = np.zeros(g.out_height * g.out_width, np.int64), np.zeros((1, n_units), np.int64)
    if pad_value == 0 and g.padding:
        border, outside = borders(g)
        base = outside @ tap_sums(words, n_channels)            # they were counted as -1, and are to count 0
    table = _xnor_table(base + n_channels * g.kernel_height * g.kernel_width, theta)
    args = (xnor_panel(words.reshape(n_units, -1)), pad_words(n_channels, pad_value), g, _positions(g, item), table,
            border * table.shape[1])
    return Forward((conv_passes.xnor_conv, conv_passes.xnor_conv_bits), args, (inverted, pool),
                   (g.out_height // pool, g.out_width // pool), n_units)


def pixels_dense(words, n_features, offset, theta=None, inverted=None):
    """Dense on images (N, C, H, W) uint8 minus offset: weights (U, W)."""
    table = _pixel_table(-offset * _row_sums(words, n_features)[None], theta)
    return Forward((dense_passes.pixels_dense, dense_passes.pixels_dense_bits), (pixel_panel(words, n_features), table),
                   (inverted,), (), len(words))


def pixels_conv(words, n_channels, g, offset, pad_value, theta=None, inverted=None, pool=1):
    """Conv on images (N, C, H, W) uint8 minus offset: weights (K, kh, kw, Cw)."""
    n_units = len(words)
    border, outside = borders(g)
    by_tap = tap_sums(words, n_channels)
    base = -offset * by_tap.sum(0) + pad_value * (outside @ by_tap)
    table = _pixel_table(base, theta)
    args = (offset, pixel_panel(words, n_channels), g, _positions(g, n_channels), table, border * table.shape[1])
    return Forward((conv_passes.pixels_conv, conv_passes.pixels_conv_bits), args, (inverted, pool),
                   (g.out_height // pool, g.out_width // pool), n_units)


def dense_forward(x, words, n_features):
    """Packed x (N, W) and weights (U, W) -> pre-activations (N, U) int32."""
    return dense(words, n_features).sums(x)


def conv_forward(x, words, n_channels, geometry, pad_value):
    """Packed x (N, H, W, Cw) and weights (K, kh, kw, Cw) -> pre-activations (N, OH, OW, K) int32."""
    return conv(words, n_channels, geometry, pad_value).sums(x)


def pixels_dense_forward(images, offset, words, n_features):
    """images (N, C, H, W) uint8 and weights (U, W) -> pre-activations (N, U) int32."""
    return pixels_dense(words, n_features, offset).sums(images)


def pixels_conv_forward(images, offset, words, n_channels, geometry, pad_value):
    """images (N, C, H, W) uint8 and weights (K, kh, kw, Cw) -> pre-activations (N, OH, OW, K) int32."""
    return pixels_conv(words, n_channels, geometry, offset, pad_value).sums(images)


def affine_scores(h, mean, scale, shift):
    """Scores (N, U) float64 from integers h (N, U): the one expression that training and deployment share."""
    out = np.empty(h.shape, np.float64)
    split(batchnorm.affine_rows, len(h), h, mean, scale, shift, out)
    return out
