"""Averages of windows over maps x (N, H, W, C), and the way back; q is a `geometry.Pool`.

Entries outside of the map are left out, of the count too unless `whole`. The average of a window is its sum, rows and
columns in order, divided by the count. The largest of windows: `gradients.pool.max_pool_windows`.
"""

import numpy as np

from bnnsim.kernels._jit import kernel
from bnnsim.kernels.forward.geometry import window_bounds


@kernel
def average(x, q, whole, out, start, stop):
    """out (N, OH, OW, C) float32."""
    for n in range(start, stop):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                top, bottom, left, right = window_bounds(q, i, j, x.shape[1], x.shape[2])
                count = np.float32(q.height * q.width if whole else (bottom - top) * (right - left))
                sums = out[n, i, j]
                sums[:] = np.float32(0)
                for row in range(top, bottom):
                    for column in range(left, right):
                        values = x[n, row, column]
                        for c in range(sums.shape[0]):
                            sums[c] += values[c]
                for c in range(sums.shape[0]):
                    sums[c] /= count


@kernel
def average_backward(dout, q, whole, dx, start, stop):
    """dx (N, H, W, C) float32."""
    for n in range(start, stop):
        dx[n] = np.float32(0)
        for i in range(dout.shape[1]):
            for j in range(dout.shape[2]):
                top, bottom, left, right = window_bounds(q, i, j, dx.shape[1], dx.shape[2])
                count = np.float32(q.height * q.width if whole else (bottom - top) * (right - left))
                given = dout[n, i, j]
                for row in range(top, bottom):
                    for column in range(left, right):
                        sums = dx[n, row, column]
                        for c in range(sums.shape[0]):
                            sums[c] += given[c] / count
