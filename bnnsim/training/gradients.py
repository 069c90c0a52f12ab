"""Gradients of the products of a binarized network, h = W x: allocate, run the kernels, return.

    operands    gradients in 16-bit fixed point, and bits in panels: what the products read
    max-pool    a gradient that stands behind a max-pool, mostly zeros, and what it stands for
    dX          dense_dx, conv_dx: of the input, from the gradient and the weights' bits
    dW          dense_dweight, conv_dweight of bits, pixels_dense_dweight, pixels_conv_dweight of pixels

A dense layer's dW is handed over in blocks of rows while it is in cache; a convolution's is small, and summed whole.
Shapes are checked where a network is put together (`layers`, `packed`); here they are trusted. N batch, F features in
W = ceil(F / 64) words, U units; C input channels in Cw words, K output channels, T = kh * kw taps.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

import bnnsim.kernels.gradients.byte_tile as byte_tile
import bnnsim.kernels.gradients.conv as conv_gradients
import bnnsim.kernels.gradients.conv_dx as input_gradients
import bnnsim.kernels.gradients.dense as lookup_products
import bnnsim.kernels.gradients.first_layer as first_layer
import bnnsim.kernels.gradients.fixed_point as fixed_point
import bnnsim.kernels.gradients.lookup_tile as lookup
import bnnsim.kernels.gradients.matrix_conv as matrix_conv
import bnnsim.kernels.gradients.pool as pool
import bnnsim.kernels.gradients.pooled_conv as pooled_conv
from bnnsim.kernels import empty, slices, split, thread_count
from bnnsim.kernels.forward.geometry import Geometry
from bnnsim.packed.words import n_words, pad_words
from bnnsim.training.reads import reads_of

Gradient = np.ndarray | pool.Pooled
Consume = Callable[[int, np.ndarray], None]

FLOAT_PARTS = 8                     # of the images, whose float sums are added in order, whatever the number of threads
BLOCK_GRADIENTS = 1 << 17           # of a dense layer's dW, kept in L2 until the optimizer has used them: 512 KB
NO_WINNER = np.zeros((1, 1, 1, 1), np.uint8)

PRECISIONS = {"fixed16": lookup.FIXED, "float32": lookup.FLOAT}


# ---------------------------------------------------------------- operands

def _round_up(value: int, step: int) -> int:
    return (value + step - 1) // step * step


def _lookup_panel(words: np.ndarray, precision: str) -> np.ndarray:
    """Segments of rows along the summed axis (S, R, W) -> the panel (W, S, E, .) that the lookups read."""
    (n_segments, n_rows, n_columns), kind = words.shape, PRECISIONS[precision].panel
    n_entries = -(-n_rows // lookup.entry_rows(kind))
    panel = np.empty((n_columns, n_segments, n_entries, lookup.entry_size(kind)), kind.dtype)
    split(lookup_products.lookup_panel, len(panel), words, panel)
    return panel


def _fixed_rows(values: np.ndarray, precision: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, U) float32 -> (N rounded up to 6, U to a step) int16, and the unit (N,) float64 of each row.

    Here and below, with precision "float32", float32 in place of int16, in units of 1.
    """
    kinds = PRECISIONS[precision]
    shape = (_round_up(len(values), lookup.ROWS), lookup.whole(values.shape[1], kinds.table))
    fixed, scale = np.zeros(shape, kinds.gradient.dtype), np.empty(len(values), np.float64)
    split(fixed_point.quantise_rows, len(values), values[:, None], scale, fixed[:len(values), None])
    return fixed, scale


def _column_units(values: np.ndarray, precision: str) -> np.ndarray:
    """The unit (U,) float64 of each column of values (R, U) float32."""
    if precision == "float32":
        return np.ones(values.shape[1])
    parts = slices(len(values), thread_count())
    largest = np.zeros((len(parts), values.shape[1]), np.float32)

    def run(first: int, last: int) -> None:
        for part in range(first, last):
            fixed_point.column_largest(values, largest[part], *parts[part])

    split(run, len(parts))
    largest = largest.max(0).astype(np.float64)
    return np.where(largest > 0, largest / fixed_point.FULL_SCALE, 1.0)


def _fixed_columns(values: np.ndarray, precision: str, row_step: int) -> tuple[np.ndarray, np.ndarray]:
    """(R, U) float32 -> transposed (U rounded up to 6, R to `row_step`) int16, and the unit (U,) of each column."""
    n_rows, n_units = values.shape
    scale = _column_units(values, precision)
    shape = (_round_up(n_units, lookup.ROWS), _round_up(n_rows, row_step))
    fixed = np.zeros(shape, PRECISIONS[precision].gradient.dtype)
    split(fixed_point.quantise_columns, -(-n_rows // fixed_point.SIDE), values, 1.0 / scale, fixed)
    return fixed, scale


# ---------------------------------------------------------------- max-pool

def scattered(dh: Gradient) -> np.ndarray:
    """A gradient as an array: a Pooled (see `kernels.gradients.pool`) with its zeros, any other as it is."""
    if not isinstance(dh, pool.Pooled):
        return dh
    out = empty(dh.shape, np.float32)
    split(pool.max_pool_backward, len(out), dh.dout, dh.winner, dh.size, out)
    return out


def _entries(dh: Gradient) -> tuple[np.ndarray, np.ndarray, int]:
    """(dout, winner, size) of a gradient that may stand behind a max-pool."""
    return (dh.dout, dh.winner, dh.size) if isinstance(dh, pool.Pooled) else (dh, NO_WINNER, 1)


def _without_zeros(entries: tuple[np.ndarray, np.ndarray, int], n_taps: int, precision: str) -> bool:
    """Whether kernels that leave a max-pool's zeros out take a gradient's entries: where four are looked up at once."""
    dout, _, size = entries
    _, n_high, n_across, n_units = dout.shape
    return size > 1 and dout.size > 0 and PRECISIONS[precision] is lookup.FOURS and \
        pooled_conv.fits(n_high, n_across, n_units, size, n_taps)


def _by_matrices(precision: str) -> bool:
    """Whether products of byte matrices make a convolution's gradients: where the CPU has them."""
    return byte_tile.USED and precision == "fixed16"


# ---------------------------------------------------------------- dX

def dense_dx(dh: np.ndarray, words: np.ndarray, n_features: int, precision: str = "fixed16") -> np.ndarray:
    """dh (N, U) float32 and weights (U, W) -> dX (N, F) float32 = dh times W."""
    fixed, scale = _fixed_rows(dh, precision)
    out = empty((len(dh), n_features), np.float32)
    split(lookup_products.lookup_dense, len(fixed) // lookup.ROWS, fixed, _lookup_panel(words[None], precision),
          scale, PRECISIONS[precision], out)
    return out


def conv_dx(dh: Gradient, words: np.ndarray, n_channels: int, geometry: Geometry, precision: str = "fixed16",
            groups: int = 1) -> np.ndarray:
    """dh (N, OH, OW, K) float32 or Pooled, and weights (K, kh, kw, Cw) -> dX (N, H, W, C) float32.

    With groups, C = groups * n_channels of whole words, and each group of dX is that of its part of K.
    """
    entries, (n_units, kh, kw, n_column_words), reads = _entries(dh), words.shape, reads_of(geometry)
    if groups == 1 and not _by_matrices(precision) and _without_zeros(entries, kh * kw, precision):
        signs = np.empty(64 * words.size + pooled_conv.LINE, np.uint8)
        split(pooled_conv.spread_weights, 2 * n_column_words, words, reads, signs)
        out = empty((len(entries[0]), geometry.height * geometry.width, n_channels), np.float32)
        split(pooled_conv.pooled_dx, len(out), *entries, signs, geometry, reads, PRECISIONS[precision], out)
        return out.reshape(len(out), geometry.height, geometry.width, -1)
    if groups == 1 and _by_matrices(precision) and matrix_conv.fits_dx(geometry, n_units):
        taps = np.zeros((kh * kw, _round_up(n_units, byte_tile.STEP), n_column_words), np.uint64)
        taps[:, :n_units] = words.reshape(n_units, kh * kw, -1).transpose(1, 0, 2)
        signs = np.empty(byte_tile.STEP * (taps.size + 1), np.int8)
        split(matrix_conv.spread_weights, n_column_words, taps, signs)
        out = empty((len(entries[0]), geometry.height * geometry.width, n_channels), np.float32)
        split(matrix_conv.conv_dx, len(out), *entries, signs, geometry, out)
        return out.reshape(len(out), geometry.height, geometry.width, -1)
    n_units //= groups
    n_chunks = -(-n_units // lookup_products.CHUNK)
    n_items = lookup.whole(-(-n_units // n_chunks), PRECISIONS[precision].table)
    taps = np.zeros((kh * kw, n_chunks * n_items, groups, n_column_words), np.uint64)
    own = words.reshape(groups, n_units, kh, kw, n_column_words)[:, :, reads.taps[:, 0], reads.taps[:, 1]]
    taps[:, :n_units] = own.transpose(2, 1, 0, 3)
    panel = _lookup_panel(taps.reshape(kh * kw * n_chunks, n_items, -1), precision)
    n = len(entries[0])
    out = empty((n, geometry.height * geometry.width, groups * n_channels), np.float32)
    split(input_gradients.conv_dx, n, *entries, panel, input_gradients.Cuts(groups, n_chunks, n_items), geometry, reads,
          PRECISIONS[precision], out)
    return out.reshape(n, geometry.height, geometry.width, -1)


# ---------------------------------------------------------------- dW of dense layers, in blocks of rows

def _in_blocks(kernel: Callable[..., Any], fixed: np.ndarray, panel: np.ndarray, scale: np.ndarray, n_features: int,
               precision: str, consume: Consume) -> None:
    """Rows of a dense layer's dW in blocks, each handed to ``consume(first row, rows)`` while it is in cache."""
    n_rows = max(1, BLOCK_GRADIENTS // (n_features * lookup.ROWS)) * lookup.ROWS

    def run(start: int, stop: int) -> None:
        buffer = np.empty((n_rows, n_features), np.float32)
        for block in range(start, stop):
            first, last = block * n_rows, min((block + 1) * n_rows, len(scale))
            rows = fixed[first:first + n_rows]
            kernel(rows, panel, scale[first:last], PRECISIONS[precision], buffer[:last - first], 0,
                   len(rows) // lookup.ROWS)
            consume(first, buffer[:last - first])

    split(run, -(-len(scale) // n_rows))


def dense_dweight(dh: np.ndarray, x: np.ndarray, n_features: int, precision: str, consume: Consume) -> None:
    """dh (N, U) float32 and packed x (N, W) -> dW (U, F) float32 = dh transposed times X, in blocks of rows."""
    fixed, scale = _fixed_columns(dh, precision, lookup.step(PRECISIONS[precision].table))
    _in_blocks(lookup_products.lookup_dense, fixed, _lookup_panel(x[None], precision), scale, n_features, precision,
               consume)


def pixels_dense_dweight(dh: np.ndarray, images: np.ndarray, offset: int, precision: str, consume: Consume) -> None:
    """dh (N, U) float32 and images (N, C, H, W) uint8 -> dW (U, F) float32, in blocks of rows as `dense_dweight`."""
    fixed, scale = _fixed_columns(dh, precision, 2)
    n_features = images[0].size
    if precision == "float32":
        pixels = images.transpose(0, 2, 3, 1).reshape(len(images), -1).astype(np.float32) - np.float32(offset)
        _in_blocks(first_layer.pixels_dense_float, fixed, pixels, scale, n_features, precision, consume)
        return
    panel = np.empty((n_words(n_features), fixed.shape[1] // 2, lookup.COLS), np.int32)
    split(first_layer.pixels_panel, panel.shape[1], images, offset, panel)
    _in_blocks(first_layer.pixels_dense_dweight, fixed, panel, scale, n_features, precision, consume)


# ---------------------------------------------------------------- dW of convolutions, whole

def _sum_in_parts(kernel: Callable[..., Any], n_items: int, shape: tuple[int, ...], precision: str,
                  *args: Any) -> np.ndarray:
    """Run a dW kernel on a part of the items a thread, each into a total of its own; integer sums are exact."""
    parts = slices(n_items, thread_count() if precision == "fixed16" else FLOAT_PARTS)
    totals = empty((len(parts), *shape), PRECISIONS[precision].total.dtype)
    totals[:] = 0

    def run(first: int, last: int) -> None:
        for part in range(first, last):
            kernel(*args, totals[part], *parts[part])

    split(run, len(parts))
    return totals.sum(0) if len(parts) > 1 else totals[0]


def conv_dweight(dh: Gradient, x: np.ndarray, n_channels: int, geometry: Geometry, pad_value: int, precision: str,
                 out: np.ndarray) -> None:
    """dh (N, OH, OW, K) float32 or Pooled, and packed x (N, H, W, Cw) -> out (K, kh, kw, C) float32."""
    entries, n_units, n_taps = _entries(dh), len(out), geometry.kernel_height * geometry.kernel_width
    scale = _column_units(entries[0].reshape(-1, n_units), precision)
    n_positions, corrected = len(x) * geometry.out_height * geometry.out_width, pad_value == 0 and geometry.is_padded
    n_bits = n_taps * n_channels
    n_columns = n_words(n_bits + (n_taps + 1 if corrected else 0))
    kernel, n_items = conv_gradients.conv_dweight, -(-n_positions // conv_gradients.CHUNK)
    tile: tuple[int, ...] = lookup.ROWS, lookup.COLS
    kinds = [PRECISIONS[precision]]
    if _by_matrices(precision):
        kernel, n_items, kinds = matrix_conv.conv_dweight, -(-n_positions // matrix_conv.CHUNK), []
        tile = 4, byte_tile.SIDE, byte_tile.SIDE
    elif _without_zeros(entries, n_taps, precision):
        (_, n_rows, n_across, _), size = entries[0].shape, entries[2]
        kernel, n_items = pooled_conv.pooled_dweight, -(-len(x) * n_rows // pooled_conv.rows_together(n_across, size))
    shape = -(-n_units // tile[-2]), n_columns, *tile
    total = _sum_in_parts(kernel, n_items, shape, precision, *entries, 1.0 / scale, x, n_channels,
                          pad_words(n_channels, pad_value), corrected, geometry, *kinds)
    total = np.moveaxis(total, -2, 1).reshape(-1, n_columns * lookup.COLS)[:n_units]
    sums = total[:, :n_bits].reshape(n_units, n_taps, n_channels)
    if corrected:                                               # padded entries came in as -1, and are to count 0
        padded = total[:, n_bits:n_bits + n_taps + 1]
        sums = sums + ((padded[:, :-1] + padded[:, -1:]) / 2)[:, :, None]
    out[:] = (sums * scale[:, None, None]).reshape(out.shape)


def pixels_conv_dweight(dh: Gradient, images: np.ndarray, offset: int, geometry: Geometry, pad_value: int,
                        precision: str, out: np.ndarray) -> None:
    """dh (N, OH, OW, K) float32 or Pooled, and images (N, C, H, W) uint8 -> out (K, kh, kw, C) float32."""
    entries, n_units, n_features = _entries(dh), len(out), out[0].size
    scale = _column_units(entries[0].reshape(-1, n_units), precision)
    inverse = np.zeros(_round_up(n_units, lookup.COLS))
    inverse[:n_units] = 1.0 / scale
    kernel, columns = first_layer.pixels_conv_dweight, (n_words(n_units), lookup.COLS)
    if precision == "float32":
        kernel, columns = first_layer.pixels_conv_float, (1, len(inverse))
    total = _sum_in_parts(kernel, len(images), (_round_up(n_features, lookup.ROWS), *columns), precision, *entries,
                          inverse, images, offset, pad_value, geometry)
    total = total.reshape(len(total), -1)[:n_features, :n_units]
    out[:] = (total * scale).T.reshape(out.shape)
