"""Which outputs of a convolution each position of its input reached, and by which taps: what its dX sums.

Input row i and tap row a belong together where i + top - a * row_step is a multiple of the stride, and columns alike:
with a stride there are kinds of positions and kinds of taps, and each kind of the one goes with a kind of the other.

H, W of the input, kh * kw = T taps, S times six positions.
"""

import functools

import numpy as np

import bnnsim.kernels.gradients.lookup_tile as lookup
from bnnsim.kernels.forward.geometry import Geometry
from bnnsim.kernels.gradients.conv_dx import Reads

MOST_TOGETHER = 48                  # positions of a kind; tables of the rows of outputs that reached them stay in L2


def _reached(size: int, before: int, n_taps: int, step: int, stride: int, n_outputs: int) -> np.ndarray:
    """(size, n_taps): the output that an input row, or column, reached by each tap; -1 is none."""
    place = np.arange(size)[:, None] + before - step * np.arange(n_taps)
    return np.where((place % stride == 0) & (place >= 0) & (place < stride * n_outputs), place // stride, -1)


def _by_six(positions: np.ndarray) -> np.ndarray:
    rest = np.full(-len(positions) % lookup.ROWS, -1)
    return np.concatenate([positions, rest]).reshape(-1, lookup.ROWS)


def _rows_together(n_columns: int, n_rows: int) -> int:
    """Of so many rows as leave the least of the last six empty, the fewest."""
    most = max(1, min(n_rows, MOST_TOGETHER // n_columns))
    return min(range(1, most + 1), key=lambda n: -(-n * n_columns // lookup.ROWS) / n)


def _sixes(g: Geometry) -> np.ndarray:
    """Input positions, six at a time and of one kind (S, 6), row after row; -1 is none."""
    if g.row_stride == g.column_stride == 1:
        return _by_six(np.arange(g.height * g.width))
    columns = [np.arange(first, g.width, g.column_stride) for first in range(min(g.column_stride, g.width))]
    step = g.row_stride * _rows_together(len(columns[0]), -(-g.height // g.row_stride))
    return np.concatenate([_by_six((g.width * np.arange(row, min(first + step, g.height), g.row_stride)[:, None]
                                    + own).reshape(-1))
                           for first in range(0, g.height, step)
                           for row in range(first, min(first + g.row_stride, g.height)) for own in columns])


@functools.lru_cache(maxsize=64)
def reads_of(g: Geometry) -> Reads:
    """What the dX of a convolution reads."""
    rows = _reached(g.height, g.top, g.kernel_height, g.row_step, g.row_stride, g.out_height)
    columns = _reached(g.width, g.left, g.kernel_width, g.column_step, g.column_stride, g.out_width)
    taps = np.stack(np.divmod(np.arange(g.kernel_height * g.kernel_width), g.kernel_width), 1)
    kinds = taps[:, 0] * g.row_step % g.row_stride * g.column_stride + taps[:, 1] * g.column_step % g.column_stride
    order, sixes = np.argsort(kinds, kind="stable"), _sixes(g)
    i, j = np.divmod(sixes[:, 0], g.width)
    own = (i + g.top) % g.row_stride * g.column_stride + (j + g.left) % g.column_stride
    spans = np.stack([np.searchsorted(kinds[order], own, side) for side in ("left", "right")], 1)
    reached = np.where(sixes[:, :, None] >= 0, rows[sixes // g.width], -1).reshape(len(sixes), -1)
    needed = np.maximum.accumulate(reached.max(1) + 1)
    lowest = np.where(reached >= 0, reached, g.out_height).min(1)
    lowest = np.minimum.accumulate(lowest[::-1])[::-1]
    return Reads(sixes, spans, taps[order], rows, columns, needed, max(1, int((needed - lowest).max())))
