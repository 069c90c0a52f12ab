"""Float32 convolutions, and their gradients. A dense layer is one whose kernel is as large as what it reads.

x (N, H, W, C), panel (G, T, C / G, K / G): weights of each group, tap, channel and unit; out (N, OH, OW, K). A sum runs
over taps in rows and columns, then over channels; units of a group are summed side by side.
"""

import numpy as np

from bnnsim.kernels._arrays import zeros
from bnnsim.kernels._jit import inline, kernel


@inline
def _tap(g, i, j, tap):
    """(row, column) of the input that a tap of position (i, j) reads, and whether it lies inside."""
    row = i * g.row_stride + tap // g.kernel_width * g.row_step - g.top
    column = j * g.column_stride + tap % g.kernel_width * g.column_step - g.left
    return row, column, 0 <= row and row < g.height and 0 <= column and column < g.width


@kernel
def conv(x, panel, bias, g, out, start, stop):
    """The sums, then + bias."""
    n_groups, n_taps, n_in, n_units = panel.shape
    total = zeros(n_units, np.float32)
    for n in range(start, stop):
        for i in range(g.out_height):
            for j in range(g.out_width):
                for group in range(n_groups):
                    total[:] = np.float32(0)
                    for tap in range(n_taps):
                        row, column, inside = _tap(g, i, j, tap)
                        if inside:
                            values, weights = x[n, row, column], panel[group, tap]
                            for c in range(n_in):
                                value, row_of_weights = values[group * n_in + c], weights[c]
                                for k in range(n_units):
                                    total[k] += value * row_of_weights[k]
                    made, first = out[n, i, j], group * n_units
                    for k in range(n_units):
                        made[first + k] = total[k] + bias[first + k]


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
                    row, column, inside = _tap(g, i, j, tap)
                    if inside:
                        values, row_of_weights = x[n, row, column], weights[tap]
                        for c in range(n_channels):
                            total[c] += values[c] * row_of_weights[c]
                made = out[n, i, j]
                for c in range(n_channels):
                    made[c] = total[c] + bias[c]


@kernel
def conv_dx(dout, panel, g, out, start, stop):
    """out (N, H, W, C) from dout (N, OH, OW, K): panel (G, T, K / G, C / G). Positions give to it one by one."""
    n_groups, n_taps, n_units, n_in = panel.shape
    for n in range(start, stop):
        out[n] = np.float32(0)
        for i in range(g.out_height):
            for j in range(g.out_width):
                given = dout[n, i, j]
                for tap in range(n_taps):
                    row, column, inside = _tap(g, i, j, tap)
                    if inside:
                        sums = out[n, row, column]
                        for group in range(n_groups):
                            weights, first = panel[group, tap], group * n_in
                            for k in range(n_units):
                                value, row_of_weights = given[group * n_units + k], weights[k]
                                for c in range(n_in):
                                    sums[first + c] += value * row_of_weights[c]


@kernel
def depthwise_dx(dout, weights, g, out, start, stop):
    """`conv_dx` of `depthwise`."""
    n_taps, n_channels = weights.shape
    for n in range(start, stop):
        out[n] = np.float32(0)
        for i in range(g.out_height):
            for j in range(g.out_width):
                given = dout[n, i, j]
                for tap in range(n_taps):
                    row, column, inside = _tap(g, i, j, tap)
                    if inside:
                        sums, row_of_weights = out[n, row, column], weights[tap]
                        for c in range(n_channels):
                            sums[c] += given[c] * row_of_weights[c]


@kernel
def conv_dweight(dout, x, g, total, start, stop):
    """total (G, T, C / G, K / G) += x times dout over images start..stop and positions, in order."""
    n_groups, n_taps, n_in, n_units = total.shape
    for n in range(start, stop):
        for i in range(g.out_height):
            for j in range(g.out_width):
                given = dout[n, i, j]
                for tap in range(n_taps):
                    row, column, inside = _tap(g, i, j, tap)
                    if inside:
                        values = x[n, row, column]
                        for group in range(n_groups):
                            sums, first = total[group, tap], group * n_units
                            for c in range(n_in):
                                value, row_of_sums = values[group * n_in + c], sums[c]
                                for k in range(n_units):
                                    row_of_sums[k] += value * given[first + k]


@kernel
def depthwise_dweight(dout, x, g, total, start, stop):
    """`conv_dweight` of `depthwise`: total (T, C)."""
    n_taps, n_channels = total.shape
    for n in range(start, stop):
        for i in range(g.out_height):
            for j in range(g.out_width):
                given = dout[n, i, j]
                for tap in range(n_taps):
                    row, column, inside = _tap(g, i, j, tap)
                    if inside:
                        values, sums = x[n, row, column], total[tap]
                        for c in range(n_channels):
                            sums[c] += values[c] * given[c]
