"""Gradients of `conv`'s float32 convolutions.

dout (N, OH, OW, K), x and dx (N, H, W, C), panel (G, T, K / G, C / G): weights, turned round. Sums of dx and of weights
run over output positions in rows and columns, those of dx then over units.
"""

import numpy as np

from bnnsim.kernels._arrays import empty, zeros
from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels.forward.geometry import columns_inside
from bnnsim.kernels.real.conv import tap_reads
from bnnsim.kernels.real.madd_tile import POSITIONS, UNITS, madd_four, madd_one


@inline
def _give_row(dout, n, i, panel, group, g, sums):
    """sums (H * W, .) += what a row of outputs gives of a group. Later taps come first: positions stay in order."""
    n_groups, n_taps, n_units, n_in = panel.shape
    for j in range(0, g.out_width, POSITIONS):
        count = min(POSITIONS, g.out_width - j)
        at = ((n * g.out_height + i) * g.out_width + j) * dout.shape[3] + group * n_units
        for tap in range(n_taps - 1, -1, -1):
            row, column, inside = tap_reads(g, i, j, tap)
            last, at_panel = column + (count - 1) * g.column_stride, (group * n_taps + tap) * n_units * n_in
            if inside and count == POSITIONS and last < g.width:
                for c in range(0, n_in, UNITS):
                    madd_four(dout, at, dout.shape[3], 1, n_units, panel, at_panel + c, n_in, sums,
                              (row * g.width + column) * n_in + c, g.column_stride * n_in)
            elif 0 <= row and row < g.height:
                for p in range(count):
                    here = column + p * g.column_stride
                    if 0 <= here and here < g.width:
                        for c in range(0, n_in, UNITS):
                            madd_one(dout, at + p * dout.shape[3], 0, 1, n_units, panel, at_panel + c, n_in, sums,
                                     (row * g.width + here) * n_in + c, 0)


@kernel
def conv_dx(dout, panel, g, out, start, stop):
    """out (N, H, W, C). Channels of a group stand in the panel in multiples of 32, zeros behind the last."""
    n_groups, n_real = panel.shape[0], out.shape[3] // panel.shape[0]
    sums = empty((g.height * g.width, panel.shape[3]), np.float32)
    for n in range(start, stop):
        for group in range(n_groups):
            sums[:] = np.float32(0)
            for i in range(g.out_height):
                _give_row(dout, n, i, panel, group, g, sums)
            first = group * n_real
            for row in range(g.height):
                for column in range(g.width):
                    made, found = out[n, row, column], sums[row * g.width + column]
                    for c in range(n_real):
                        made[first + c] = found[c]


@inline
def _add_row(given, x, n, i, group, g, total):
    """total[group] += x times a row of outputs' gradients (OW, .)."""
    n_groups, n_taps, n_in, n_units = total.shape
    step = g.column_stride * x.shape[3]
    for tap in range(n_taps):
        low, high = columns_inside(g, tap % g.kernel_width)
        row, column, _ = tap_reads(g, i, low, tap)
        if low < high and 0 <= row and row < g.height:
            at = ((n * g.height + row) * g.width + column) * x.shape[3] + group * n_in
            whole = n_in // POSITIONS * POSITIONS
            for c in range(0, whole, POSITIONS):
                for k in range(0, n_units, UNITS):
                    madd_four(x, at + c, 1, step, high - low, given, low * n_units + k, n_units, total,
                              ((group * n_taps + tap) * n_in + c) * n_units + k, n_units)
            for c in range(whole, n_in):
                for k in range(0, n_units, UNITS):
                    madd_one(x, at + c, 1, step, high - low, given, low * n_units + k, n_units, total,
                             ((group * n_taps + tap) * n_in + c) * n_units + k, n_units)


@kernel
def conv_dweight(dout, x, g, total, start, stop):
    """total (G, T, C / G, .) += x times dout over images start..stop. Units of a group stand in multiples of 32."""
    n_groups, n_real = total.shape[0], dout.shape[3] // total.shape[0]
    given = zeros((g.out_width, total.shape[3]), np.float32)
    for n in range(start, stop):
        for i in range(g.out_height):
            for group in range(n_groups):
                for j in range(g.out_width):
                    row, values = given[j], dout[n, i, j]
                    for k in range(n_real):
                        row[k] = values[group * n_real + k]
                _add_row(given, x, n, i, group, g, total)


@kernel
def depthwise_dx(dout, weights, g, out, start, stop):
    """`conv_dx` of as many groups as channels and units: weights (T, C)."""
    n_taps, n_channels = weights.shape
    for n in range(start, stop):
        out[n] = np.float32(0)
        for i in range(g.out_height):
            for j in range(g.out_width):
                given = dout[n, i, j]
                for tap in range(n_taps):
                    row, column, inside = tap_reads(g, i, j, tap)
                    if inside:
                        sums, row_of_weights = out[n, row, column], weights[tap]
                        for c in range(n_channels):
                            sums[c] += given[c] * row_of_weights[c]


@kernel
def depthwise_dweight(dout, x, g, total, start, stop):
    """`conv_dweight` of such: total (T, C)."""
    n_taps, n_channels = total.shape
    for n in range(start, stop):
        for i in range(g.out_height):
            for j in range(g.out_width):
                given = dout[n, i, j]
                for tap in range(n_taps):
                    row, column, inside = tap_reads(g, i, j, tap)
                    if inside:
                        values, sums = x[n, row, column], total[tap]
                        for c in range(n_channels):
                            sums[c] += values[c] * given[c]
