"""Convolutions and pooling of any geometry, tap by tap; imports nothing from bnnsim.

Maps are (N, H, W, C), weights (K, kh, kw, C / groups); pairs are (rows, columns), sides (top, left, bottom, right).
"""

import numpy as np


def padded(x, sides, value=0, replicate=False):
    """What lies outside of a map is `value`, or the nearest that lies inside."""
    top, left, bottom, right = sides
    n, height, width, channels = x.shape
    out = np.full((n, top + height + bottom, left + width + right, channels), value, np.int64)
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            row, column = i - top, j - left
            if replicate:
                row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
            if 0 <= row < height and 0 <= column < width:
                out[:, i, j] = x[:, row, column]
    return out


def places(size, kernel, stride, step, before, after):
    """For each output the padded inputs that it reads."""
    count = (size + before + after - step * (kernel - 1) - 1) // stride + 1
    return [[i * stride + a * step for a in range(kernel)] for i in range(count)]


def conv(x, weights, stride=(1, 1), padding=(0, 0, 0, 0), value=0, replicate=False, dilation=(1, 1), groups=1):
    """Pre-activations (N, OH, OW, K) int64."""
    k, kh, kw, n_in = weights.shape
    rows = places(x.shape[1], kh, stride[0], dilation[0], padding[0], padding[2])
    columns = places(x.shape[2], kw, stride[1], dilation[1], padding[1], padding[3])
    wide = padded(x, padding, value, replicate)
    out = np.zeros((len(x), len(rows), len(columns), k), np.int64)
    for group in range(groups):
        own = slice(group * k // groups, (group + 1) * k // groups)
        read = slice(group * n_in, (group + 1) * n_in)
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                for a, at in enumerate(row):
                    for b, across in enumerate(column):
                        out[:, i, j, own] += wide[:, at, across, read] @ weights[own, a, b].T
    return out


def conv_gradients(x, weights, dh, stride=(1, 1), padding=(0, 0, 0, 0), value=0, replicate=False, dilation=(1, 1),
                   groups=1):
    """(dx, dweight) float64: every product that `conv` sums hands dh to both of its factors."""
    k, kh, kw, n_in = weights.shape
    top, left = padding[:2]
    wide = padded(x, padding, value, replicate)
    dx, dweight = np.zeros(x.shape), np.zeros(weights.shape)
    for unit in range(k):
        first = unit // (k // groups) * n_in
        for i in range(dh.shape[1]):
            for j in range(dh.shape[2]):
                for a in range(kh):
                    for b in range(kw):
                        at, across = i * stride[0] + a * dilation[0], j * stride[1] + b * dilation[1]
                        own = slice(first, first + n_in)
                        dweight[unit, a, b] += dh[:, i, j, unit] @ wide[:, at, across, own]
                        row, column = at - top, across - left
                        if replicate:
                            row = min(max(row, 0), x.shape[1] - 1)
                            column = min(max(column, 0), x.shape[2] - 1)
                        if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                            dx[:, row, column, own] += dh[:, i, j, unit, None] * weights[unit, a, b]
    return dx, dweight


def windows(sizes, size, stride, padding):
    """For each window of a max-pool the (row, column) of its entries that exist, in order."""
    rows = places(sizes[0], size[0], stride[0], 1, padding[0], padding[2])
    columns = places(sizes[1], size[1], stride[1], 1, padding[1], padding[3])
    return [[[(r - padding[0], c - padding[1]) for r in row for c in column
              if 0 <= r - padding[0] < sizes[0] and 0 <= c - padding[1] < sizes[1]] for column in columns]
            for row in rows]


def pool(h, size, stride, padding=(0, 0, 0, 0)):
    """The largest of each window (N, ., ., C)."""
    found = windows(h.shape[1:3], size, stride, padding)
    return np.array([[np.max([h[:, r, c] for r, c in entries], axis=0) for entries in row]
                     for row in found]).transpose(2, 0, 1, 3)


def pool_gradient(h, dout, size, stride, padding=(0, 0, 0, 0)):
    """dh float64: each window's gradient goes to its first largest entry."""
    dh, found = np.zeros(h.shape), windows(h.shape[1:3], size, stride, padding)
    for n, i, j, c in np.ndindex(dout.shape):
        r, column = max(found[i][j], key=lambda at: h[n, at[0], at[1], c])
        dh[n, r, column, c] += dout[n, i, j, c]
    return dh
