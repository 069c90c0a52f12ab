"""Averages and largest values of windows over maps x (N, H, W, C); q is a `geometry.Pool`.

Entries outside of the map are left out, of the count too unless `whole`. The average of a window is its sum, rows and
columns in order, divided by the count.
"""

import numpy as np

from bnnsim.kernels._jit import inline, kernel


@inline
def _inside(start, size, whole):
    """The entries of a window, from `start` on, that lie in the map."""
    return max(0, -start), min(size, whole - start)


@kernel
def average(x, q, whole, out, start, stop):
    """out (N, OH, OW, C) float32."""
    for n in range(start, stop):
        for i in range(out.shape[1]):
            row = i * q.row_stride - q.top
            rows = _inside(row, q.height, x.shape[1])
            for j in range(out.shape[2]):
                column = j * q.column_stride - q.left
                columns = _inside(column, q.width, x.shape[2])
                sums = out[n, i, j]
                sums[:] = np.float32(0)
                for a in range(rows[0], rows[1]):
                    for b in range(columns[0], columns[1]):
                        values = x[n, row + a, column + b]
                        for c in range(sums.shape[0]):
                            sums[c] += values[c]
                count = q.height * q.width if whole else (rows[1] - rows[0]) * (columns[1] - columns[0])
                for c in range(sums.shape[0]):
                    sums[c] /= np.float32(count)


@kernel
def average_backward(dout, q, whole, dx, start, stop):
    """dx (N, H, W, C) float32."""
    for n in range(start, stop):
        dx[n] = np.float32(0)
        for i in range(dout.shape[1]):
            row = i * q.row_stride - q.top
            rows = _inside(row, q.height, dx.shape[1])
            for j in range(dout.shape[2]):
                column = j * q.column_stride - q.left
                columns = _inside(column, q.width, dx.shape[2])
                count = q.height * q.width if whole else (rows[1] - rows[0]) * (columns[1] - columns[0])
                given = dout[n, i, j]
                for a in range(rows[0], rows[1]):
                    for b in range(columns[0], columns[1]):
                        sums = dx[n, row + a, column + b]
                        for c in range(sums.shape[0]):
                            sums[c] += given[c] / np.float32(count)


@kernel
def largest(x, q, out, winner, start, stop):
    """out (N, OH, OW, C) float32, and which entry it was, the first of several: winner, uint8. No number never wins."""
    for n in range(start, stop):
        for i in range(out.shape[1]):
            row = i * q.row_stride - q.top
            rows = _inside(row, q.height, x.shape[1])
            for j in range(out.shape[2]):
                column = j * q.column_stride - q.left
                columns = _inside(column, q.width, x.shape[2])
                best, won = out[n, i, j], winner[n, i, j]
                best[:] = np.float32(-np.inf)
                won[:] = np.uint8(rows[0] * q.width + columns[0])
                for a in range(rows[0], rows[1]):
                    for b in range(columns[0], columns[1]):
                        entry, values = np.uint8(a * q.width + b), x[n, row + a, column + b]
                        for c in range(best.shape[0]):
                            better = values[c] > best[c]
                            best[c], won[c] = values[c] if better else best[c], entry if better else won[c]
