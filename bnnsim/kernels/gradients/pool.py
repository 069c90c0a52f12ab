"""Max-pooling on integer pre-activations, with non-overlapping windows; a remainder at the right and bottom is dropped.

h (N, H, W, C) int32 -> out (N, H // size, W // size, C). On bits pooling is an OR, see `forward.conv`.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bnnsim.kernels._jit import always_inline, kernel
from bnnsim.kernels._llvm import I8, I64, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of

LANES = 16


class Pooled(NamedTuple):
    """A gradient behind a max-pool of windows of `size`: of `shape`, mostly zeros, as its entries and their winners."""

    dout: np.ndarray
    winner: np.ndarray
    size: int
    shape: tuple[int, ...]


@intrinsic
def _keep_lanes(_, values, v_off, winner, w_off, entry, out, o_off):
    signature = types.void(values, types.intp, winner, types.intp, types.uint8, out, types.intp)

    def generate(context, builder, signature, args):
        values, v_off, winner, w_off, entry, out, o_off = args
        single, bytes_ = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(I8, LANES)
        v_ptr = item_pointer(context, builder, signature.args[0], values, v_off, ir.FloatType())
        w_ptr = item_pointer(context, builder, signature.args[2], winner, w_off, I8)
        o_ptr = item_pointer(context, builder, signature.args[5], out, o_off, ir.FloatType())
        found = builder.load(vector_pointer(builder, w_ptr, I64(0), bytes_), align=1)
        won = builder.icmp_unsigned("==", found, splat(builder, entry, bytes_))
        value = builder.load(vector_pointer(builder, v_ptr, I64(0), single), align=4)
        builder.store(builder.select(won, value, ir.Constant(single, None)),
                      vector_pointer(builder, o_ptr, I64(0), single), align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_keep_lanes))
def keep_lanes(values, v_off, winner, w_off, entry, out, o_off):
    """out[o_off..] (16,) = values[v_off..] float32 where winner[w_off..] uint8 is `entry`, else 0."""
    flat, winners, kept = values.reshape(-1), winner.reshape(-1), out.reshape(-1)
    for i in range(LANES):
        kept[o_off + i] = flat[v_off + i] if winners[w_off + i] == entry else np.float32(0)


@always_inline
def keep_winners(values, winner, at, n_values, entry, out, o_off):
    """out[o_off..] = values[at..] where winner[at..] is `entry`, else 0: n_values of them."""
    whole = n_values // LANES * LANES
    for i in range(0, whole, LANES):
        keep_lanes(values, at + i, winner, at + i, entry, out, o_off + i)
    if whole < n_values:
        flat, winners, kept = values.reshape(-1), winner.reshape(-1), out.reshape(-1)
        for i in range(whole, n_values):
            kept[o_off + i] = flat[at + i] if winners[at + i] == entry else np.float32(0)


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
                    keep_winners(dout, winner, ((n * dout.shape[1] + i) * dout.shape[2] + j) * dout.shape[3],
                                 dout.shape[3], np.uint8(entry), dh,
                                 ((n * dh.shape[1] + row) * dh.shape[2] + column) * dh.shape[3])
