"""Max-pooling on integer pre-activations, with non-overlapping windows; a remainder at the right and bottom is dropped.

h (N, H, W, C) int32 -> out (N, H // size, W // size, C). On bits pooling is an OR: `forward._pool_bits`.
"""

from collections import namedtuple

import numpy as np

from bnnsim.kernels._jit import kernel

Pooled = namedtuple("Pooled", "dout winner size shape")         # a gradient behind a max-pool: of `shape`, mostly zeros


@kernel
def max_pool(h, size, out, winner, start, stop):
    """Largest value of each window, and which of its size * size entries it was: the first, where several tie."""
    for n in range(start, stop):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                for c in range(out.shape[3]):
                    out[n, i, j, c] = h[n, i * size, j * size, c]
                    winner[n, i, j, c] = 0
                for entry in range(1, size * size):
                    row, column = i * size + entry // size, j * size + entry % size
                    for c in range(out.shape[3]):
                        better = h[n, row, column, c] > out[n, i, j, c]
                        out[n, i, j, c] = h[n, row, column, c] if better else out[n, i, j, c]
                        winner[n, i, j, c] = entry if better else winner[n, i, j, c]


@kernel
def max_pool_backward(dout, winner, size, dh, start, stop):
    """Each window's gradient goes to its winner; dh (N, H, W, C) float32 comes uninitialised."""
    for n in range(start, stop):
        dh[n] = np.float32(0)
        for i in range(dout.shape[1]):
            for j in range(dout.shape[2]):
                for entry in range(size * size):
                    row, column = i * size + entry // size, j * size + entry % size
                    for c in range(dout.shape[3]):
                        dh[n, row, column, c] = dout[n, i, j, c] if winner[n, i, j, c] == entry else np.float32(0)
