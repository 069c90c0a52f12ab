"""Float32 convolutions. A dense layer is one whose kernel is as large as what it reads.

x (N, H, W, C), panel (G, T, C / G, K / G): weights of each group, tap, channel and unit; out (N, OH, OW, K). A sum runs
over taps in rows and columns, then over channels; units of a group are summed side by side.
"""

import numpy as np

from bnnsim.kernels._arrays import zeros
from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.real.madd_tile import POSITIONS, UNITS, madd_four, madd_one


@inline
def tap_reads(g, i, j, tap):
    """(row, column) of the input that a tap of position (i, j) reads, and whether it lies inside."""
    row = i * g.row_stride + tap // g.kernel_width * g.row_step - g.top
    column = j * g.column_stride + tap % g.kernel_width * g.column_step - g.left
    return row, column, 0 <= row and row < g.height and 0 <= column and column < g.width


@inline
def _add_taps(x, n, panel, group, g, i, j, count, total):
    """total (4, K / G) += what `count` positions from (i, j) on sum up of a group."""
    n_groups, n_taps, n_in, n_units = panel.shape
    for tap in range(n_taps):
        row, column, inside = tap_reads(g, i, j, tap)
        last = column + (count - 1) * g.column_stride
        at, at_panel = ((n * g.height + row) * g.width + column) * x.shape[3] + group * n_in, \
            (group * n_taps + tap) * n_in * n_units
        step = g.column_stride * x.shape[3]
        if inside and count == POSITIONS and last < g.width:
            for k in range(0, n_units, UNITS):
                madd_four(x, at, step, 1, n_in, panel, at_panel + k, n_units, total, k, n_units)
        elif 0 <= row and row < g.height:
            for p in range(count):
                here = column + p * g.column_stride
                if 0 <= here and here < g.width:
                    for k in range(0, n_units, UNITS):
                        madd_one(x, at + p * step, step, 1, n_in, panel, at_panel + k, n_units, total, p * n_units + k,
                                 n_units)


@kernel
def conv(x, panel, bias, g, out, start, stop):
    """The sums, then + bias. Units of a group stand in the panel in multiples of 32, zeros behind the last."""
    n_groups, n_units = panel.shape[0], panel.shape[3]
    n_real = out.shape[3] // n_groups
    total = zeros((POSITIONS, n_units), np.float32)
    for n in range(start, stop):
        for i in range(g.out_height):
            for j in range(0, g.out_width, POSITIONS):
                count = min(POSITIONS, g.out_width - j)
                for group in range(n_groups):
                    total[:] = np.float32(0)
                    _add_taps(x, n, panel, group, g, i, j, count, total)
                    first = group * n_real
                    for p in range(count):
                        made, sums = out[n, i, j + p], total[p]
                        for k in range(n_real):
                            made[first + k] = sums[k] + bias[first + k]


@kernel
def depthwise(x, weights, bias, g, out, start, stop):
    """`conv` of as many groups as channels and units: weights (T, C)."""
    n_taps, n_channels = weights.shape
    total = zeros(n_channels, np.float32)
    for n in range(start, stop):
        for i in range(g.out_height):
            for j in range(g.out_width):
                total[:] = np.float32(0)
                for tap in range(n_taps):
                    row, column, inside = tap_reads(g, i, j, tap)
                    if inside:
                        values, row_of_weights = x[n, row, column], weights[tap]
                        for c in range(n_channels):
                            total[c] += values[c] * row_of_weights[c]
                made = out[n, i, j]
                for c in range(n_channels):
                    made[c] = total[c] + bias[c]
