"""Forward passes of single layers: what the kernels read of a layer, laid out once, and what they compute of it.

N images, F features or C input channels in W or Cw words, U units, V = ceil(U / 64), S = 16 ceil(U / 16); T taps, P
output positions. Shapes are checked where a network is put together (`layers`, `packed`); here they are trusted.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

import bnnsim.kernels.forward.conv as conv_passes
import bnnsim.kernels.forward.dense as dense_passes
import bnnsim.kernels.forward.pixel_lookup as pixel_lookup
import bnnsim.kernels.norm.batchnorm as batchnorm
import bnnsim.kernels.words.packing as packing
from bnnsim.kernels import check_wanted, empty, split
from bnnsim.kernels.forward.geometry import Geometry, Pool
from bnnsim.kernels.forward.xnor_tile import fill_panel
from bnnsim.packed.words import n_words, pad_words, repack

INT32 = np.iinfo(np.int32)
PART_BYTES = 1 << 18                        # of pre-activations that are used up before the next ones: a part of L2

Pair = tuple[int, int]                      # of rows, of columns
Sides = tuple[int, int, int, int]           # top, left, bottom, right

NO_PADDING: Sides = (0, 0, 0, 0)
NO_POOL = Pool(1, 1, 1, 1, *NO_PADDING)


@dataclass(frozen=True, eq=False)
class Layout:
    """A layer as the forward kernels read it: panels of weights, and tables to compare sums with.

    kernels : (to sums, to bits)
    args : what both read between the input and the output
    end : what the second reads besides: (inverted words (V,),), of a convolution (inverted, its `Pool`); () to sums
    sizes : sizes of sums between batch and units: () or (OH, OW)
    pooled : the same of bits
    units : int
    """

    kernels: tuple[Callable, Callable]
    args: tuple
    end: tuple
    sizes: tuple[int, ...]
    pooled: tuple[int, ...]
    units: int

    def sums(self, x: np.ndarray) -> np.ndarray:
        """Pre-activations (N, ..., U) int32 of x, in the threads of `split`."""
        width = 16 * ((self.units + 15) // 16)
        n_positions = (self.sizes[0] * self.sizes[1],) if self.sizes else ()
        out = empty((len(x), *n_positions, width), np.int32)
        split(self.kernels[0], len(x), x, *self.args, out)
        return np.ascontiguousarray(out[..., :self.units]).reshape(len(x), *self.sizes, self.units)

    def sums_in_parts(self, x: np.ndarray, visit: Callable[[int, np.ndarray], None]) -> None:
        """Pre-activations of a few images at a time, handed to ``visit(first image, h)`` while they are in cache.

        In the threads of `split`; h (n, OH, OW, U) int32 is valid until `visit` returns.
        """
        width = 16 * ((self.units + 15) // 16)
        n_positions = math.prod(self.sizes)
        n = max(1, PART_BYTES // (4 * n_positions * width))

        def run(start: int, stop: int) -> None:
            room = np.empty((n, n_positions, width), np.int32)
            for first in range(start, stop, n):
                part = x[first:min(first + n, stop)]
                h = room[:len(part)]
                self.kernels[0](part, *self.args, h, 0, len(part))
                visit(first, np.ascontiguousarray(h[..., :self.units]).reshape(len(part), *self.sizes, self.units))

        split(run, len(x))

    def bits(self, x: np.ndarray) -> np.ndarray:
        """Output bits (N, ..., V) of a block x, in the calling thread."""
        check_wanted()
        out = np.zeros((len(x), *self.pooled, n_words(self.units)), np.uint64)
        self.kernels[1](x, *self.args, *self.end, out, 0, len(x))
        return out


# ---------------------------------------------------------------- panels

def xnor_panel(words: np.ndarray) -> np.ndarray:
    """Weights (U, W) -> the panel (ceil(U / 16), W, 16) that the XNOR tile reads."""
    panel = np.empty(((len(words) + 15) // 16, words.shape[1], 16), np.uint64)
    split(fill_panel, len(panel), words, panel)
    return panel


def pixel_panel(words: np.ndarray, n_channels: int) -> np.ndarray:
    """First-layer weights (U, runs, taps, Cw) as the pixel tile reads them: a run of taps lies side by side."""
    n_units, n_runs, n_taps, _ = words.shape
    rows, n_features = repack(words.reshape(n_units * n_runs, n_taps, -1), n_channels), n_taps * n_channels
    panel = np.empty(((n_units + 15) // 16, n_runs * ((n_features + 3) // 4), 16), np.uint32)
    split(packing.pixel_panel, len(panel), rows, n_runs, n_features, panel)
    return panel


def lookup_panel(words: np.ndarray, n_features: int) -> np.ndarray:
    """Weights (U, W) of a dense first layer as lookups read them."""
    panel = np.empty((len(words) // 32, -(-n_features // pixel_lookup.WORD_PIXELS), 16), np.uint32)
    split(packing.pixel_twelves, len(panel), words, panel)
    return panel


# ---------------------------------------------------------------- geometry and tables

def conv_geometry(height: int, width: int, kernel: Pair, stride: Pair = (1, 1), padding: Sides = NO_PADDING,
                  dilation: Pair = (1, 1)) -> Geometry:
    """The sizes that a convolution's kernels need, of rows and columns; an output size below 1 says it does not fit."""
    dilation = dilation[0] if kernel[0] > 1 else 1, dilation[1] if kernel[1] > 1 else 1     # one tap: nothing to part
    extent = [step * (taps - 1) + 1 for taps, step in zip(kernel, dilation)]
    out = [(size + before + after - k) // step + 1 for size, before, after, k, step
           in zip((height, width), padding[:2], padding[2:], extent, stride)]
    return Geometry(height, width, *kernel, *stride, *dilation, *padding, *out)


def window_counts(sizes: Sequence[int], pool: Pool) -> Pair:
    """(rows, columns) of a max-pool's windows over a map (H, W)."""
    return ((sizes[0] + pool.top + pool.bottom - pool.height) // pool.row_stride + 1,
            (sizes[1] + pool.left + pool.right - pool.width) // pool.column_stride + 1)


@functools.lru_cache(maxsize=64)
def borders(g: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """(border (P,), outside (B, T) int64): output positions by which taps of theirs lie in the padding."""
    top, left = np.divmod(np.arange(g.out_height * g.out_width), g.out_width)
    tap_row, tap_column = np.divmod(np.arange(g.kernel_height * g.kernel_width), g.kernel_width)
    row = top[:, None] * g.row_stride + tap_row * g.row_step - g.top
    column = left[:, None] * g.column_stride + tap_column * g.column_step - g.left
    outside = (row < 0) | (row >= g.height) | (column < 0) | (column >= g.width)
    kinds, border = np.unique(outside, axis=0, return_inverse=True)
    return border.reshape(-1), kinds.astype(np.int64)


def _places(g: Geometry, item: int) -> tuple[int, np.ndarray, np.ndarray]:
    """(PW, columns, x_at): how a padded image of `item` words or bytes a pixel lies in memory for the kernels.

    With a dilation, columns s apart stand side by side, so that a row of taps is one run. x_at is where each output
    position's patch begins.
    """
    s, n_columns = g.column_step, -(-(g.left + g.width + g.right) // g.column_step)
    columns = np.arange(s * n_columns)
    columns = columns % s * n_columns + columns // s
    row, column = np.divmod(np.arange(g.out_height * g.out_width), g.out_width)
    at = (row * g.row_stride * s * n_columns + columns[column * g.column_stride]) * item
    return s * n_columns, columns, at


def tap_sums(words: np.ndarray, n_channels: int) -> np.ndarray:
    """Sum of the +-1 weights of each tap and output channel: words (K, kh, kw, Cw) -> (T, K) int64."""
    ones = np.bitwise_count(words.reshape(len(words), -1, words.shape[-1])).sum(-1, dtype=np.int64)
    return 2 * ones.T - n_channels


def _row_sums(words: np.ndarray, n_features: int) -> np.ndarray:
    """Sum of the +-1 weights of each unit (U,) int64."""
    return 2 * np.bitwise_count(words.reshape(len(words), -1)).sum(1, dtype=np.int64) - n_features


def _table(values: np.ndarray, absent: int) -> np.ndarray:
    """values (B, U) -> (B, S) int32, `absent` for units that do not exist; beyond int32 a comparison is settled."""
    table = np.full((len(values), 16 * ((values.shape[1] + 15) // 16)), absent, np.int32)
    table[:, :values.shape[1]] = np.clip(values, INT32.min, INT32.max)
    return table


def _xnor_table(base: np.ndarray, theta: np.ndarray | None) -> np.ndarray:
    """base (B, U) = h + 2 ones -> what the tile compares with: h >= theta iff ones <= floor((base - theta) / 2)."""
    return _table(base, 0) if theta is None else _table((base - theta) >> 1, -1)


def _pixel_table(base: np.ndarray, theta: np.ndarray | None) -> np.ndarray:
    """base (B, U) = h - sum -> what the tile adds, or compares with: h >= theta iff sum >= theta - base."""
    return _table(base, 0) if theta is None else _table(theta - base, INT32.max)


# ---------------------------------------------------------------- the four kinds of layer

def dense(words: np.ndarray, n_features: int, theta: np.ndarray | None = None,
          inverted: np.ndarray | None = None) -> Layout:
    """Dense on packed x (N, W): weights (U, W), thresholds theta (U,) int64 and inverted words (V,) if to bits."""
    table = _xnor_table(np.full((1, len(words)), n_features, np.int64), theta)
    kernels = dense_passes.xnor_dense, dense_passes.xnor_dense_bits
    return Layout(kernels, (xnor_panel(words), table), (inverted,), (), (), len(words))


def conv(words: np.ndarray, n_channels: int, g: Geometry, pad_value: int, theta: np.ndarray | None = None,
         inverted: np.ndarray | None = None, pool: Pool = NO_POOL, groups: int = 1) -> Layout:
    """Conv on packed x (N, H, W, groups * Cw): weights (K, kh, kw, Cw), geometry g.

    More than one group: whole words of channels each, and units in multiples of 16.
    """
    n_units, item = len(words), words.shape[-1]
    border, base = np.zeros(g.out_height * g.out_width, np.int64), np.zeros((1, n_units), np.int64)
    if pad_value == 0 and g.is_padded:
        border, outside = borders(g)
        base = outside @ tap_sums(words, n_channels)            # they were counted as -1, and are to count 0
    table = _xnor_table(base + n_channels * g.kernel_height * g.kernel_width, theta)
    panel = xnor_panel(words.reshape(n_units, -1))
    panel = panel.reshape(groups, -1, *panel.shape[1:])
    table_at = border * table.shape[1] + 16 * panel.shape[1] * np.arange(groups)[:, None]
    args = (panel, pad_words(n_channels, pad_value), g, *_places(g, item), table, table_at)
    return Layout((conv_passes.xnor_conv, conv_passes.xnor_conv_bits), args, (inverted, pool),
                  (g.out_height, g.out_width), window_counts((g.out_height, g.out_width), pool), n_units)


def pixels_dense(words: np.ndarray, n_features: int, offset: int, theta: np.ndarray | None = None,
                 inverted: np.ndarray | None = None) -> Layout:
    """Dense on images (N, C, H, W) uint8 minus offset: weights (U, W)."""
    table = _pixel_table(-offset * _row_sums(words, n_features)[None], theta)
    if pixel_lookup.fits(len(words), n_features):
        kernels = dense_passes.pixels_looked_up, dense_passes.pixels_looked_up_bits
        panel = lookup_panel(words, n_features)
    else:
        kernels = dense_passes.pixels_dense, dense_passes.pixels_dense_bits
        panel = pixel_panel(words[:, None, None], n_features)
    return Layout(kernels, (panel, table), (inverted,), (), (), len(words))


def pixels_conv(words: np.ndarray, n_channels: int, g: Geometry, offset: int, pad_value: int,
                theta: np.ndarray | None = None, inverted: np.ndarray | None = None, pool: Pool = NO_POOL) -> Layout:
    """Conv on images (N, C, H, W) uint8 minus offset: weights (K, kh, kw, Cw)."""
    n_units = len(words)
    border, outside = borders(g)
    by_tap = tap_sums(words, n_channels)
    base = -offset * by_tap.sum(0) + pad_value * (outside @ by_tap)
    table = _pixel_table(base, theta)
    args = (offset, pixel_panel(words, n_channels), g, *_places(g, n_channels), table, border * table.shape[1])
    return Layout((conv_passes.pixels_conv, conv_passes.pixels_conv_bits), args, (inverted, pool),
                  (g.out_height, g.out_width), window_counts((g.out_height, g.out_width), pool), n_units)


def dense_forward(x: np.ndarray, words: np.ndarray, n_features: int) -> np.ndarray:
    """Packed x (N, W) and weights (U, W) -> pre-activations (N, U) int32."""
    return dense(words, n_features).sums(x)


def pixels_dense_forward(images: np.ndarray, offset: int, words: np.ndarray, n_features: int) -> np.ndarray:
    """images (N, C, H, W) uint8 and weights (U, W) -> pre-activations (N, U) int32."""
    return pixels_dense(words, n_features, offset).sums(images)


def affine_scores(h: np.ndarray, mean: np.ndarray, scale: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Scores (N, U) float64 from integers h (N, U): the one expression that training and deployment share."""
    out = np.empty(h.shape, np.float64)
    split(batchnorm.affine_rows, len(h), h, mean, scale, shift, out)
    return out
