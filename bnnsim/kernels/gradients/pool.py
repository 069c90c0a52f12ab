"""Max-pooling on integer pre-activations, with non-overlapping windows; a remainder at the right and bottom is dropped.

h (N, H, W, C) int32 -> out (N, H // size, W // size, C). On bits pooling is an OR, see `forward.conv`.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._arrays import flattened
from bnnsim.kernels._jit import kernel, leaf
from bnnsim.kernels._llvm import I8, I32, I64, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of
from bnnsim.kernels.forward.geometry import window_bounds

LANES = 16
PAIR_COLUMNS = 64                   # of a panel of pairs: see `multiply_add_tile`


class Pooled(NamedTuple):
    """A gradient behind a max-pool of windows of `size`: of `shape`, mostly zeros, as its entries and their winners.

    winner : below size * size, which kernels trust
    """

    dout: np.ndarray
    winner: np.ndarray
    size: int
    shape: tuple[int, ...]


@intrinsic
def _keep_lanes(_, values, v_off, winner, w_off, entry, out, o_off):
    signature = types.void(values, types.intp, winner, types.intp, types.uint8, out, types.intp)

    def generate(context, builder, signature, args):
        values, v_off, winner, w_off, entry, out, o_off = args
        item = context.get_data_type(signature.args[0].dtype)
        kept, bytes_ = ir.VectorType(item, LANES), ir.VectorType(I8, LANES)
        v_ptr = item_pointer(context, builder, signature.args[0], values, v_off, item)
        w_ptr = item_pointer(context, builder, signature.args[2], winner, w_off, I8)
        o_ptr = item_pointer(context, builder, signature.args[5], out, o_off, item)
        found = builder.load(vector_pointer(builder, w_ptr, I64(0), bytes_), align=1)
        won = builder.icmp_unsigned("==", found, splat(builder, entry, bytes_))
        value = builder.load(vector_pointer(builder, v_ptr, I64(0), kept), align=2)
        builder.store(builder.select(won, value, ir.Constant(kept, None)),
                      vector_pointer(builder, o_ptr, I64(0), kept), align=2)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_keep_lanes))
def keep_lanes(values, v_off, winner, w_off, entry, out, o_off):
    """out[o_off..] (16,) = values[v_off..], float32 or int16, where winner[w_off..] uint8 is `entry`, else 0."""
    flat, winners, kept = values.reshape(-1), winner.reshape(-1), out.reshape(-1)
    for i in range(LANES):
        kept[o_off + i] = flat[v_off + i] if winners[w_off + i] == entry else flat.dtype.type(0)


@leaf
def keep_winners(values, v_off, winner, w_off, n_values, entry, out, o_off):
    """out[o_off..] = values[v_off..] where winner[w_off..] is `entry`, else 0: n_values of them."""
    whole = n_values // LANES * LANES
    for i in range(0, whole, LANES):
        keep_lanes(values, v_off + i, winner, w_off + i, entry, out, o_off + i)
    if whole < n_values:
        flat, winners, kept = flattened(values), flattened(winner), flattened(out)
        for i in range(whole, n_values):
            kept[o_off + i] = flat[v_off + i] if winners[w_off + i] == entry else flat.dtype.type(0)


@intrinsic
def _keep_pairs(_, values, first, second, winner, first_at, second_at, first_entry, second_entry, out, o_off):
    index = types.intp
    signature = types.void(values, index, index, winner, index, index, types.uint8, types.uint8, out, index)

    def generate(context, builder, signature, args):
        values, first, second, winner, first_at, second_at, first_entry, second_entry, out, o_off = args
        whole, bytes_ = ir.VectorType(I32, LANES), ir.VectorType(I8, LANES)
        v_ptr, w_ptr, o_ptr = (item_pointer(context, builder, signature.args[i], array, I64(0), item)
                               for i, array, item in ((0, values, I32), (3, winner, I8), (8, out, I32)))
        sides = (first, first_at, first_entry, 0xFFFF), (second, second_at, second_entry, 0xFFFF0000)
        for lane in range(0, PAIR_COLUMNS, LANES):
            kept = ir.Constant(whole, None)
            for at, won_at, entry, half in sides:
                found = builder.load(vector_pointer(builder, w_ptr, builder.add(won_at, I64(lane)), bytes_), align=1)
                won = builder.icmp_unsigned("==", found, splat(builder, entry, bytes_))
                value = builder.load(vector_pointer(builder, v_ptr, builder.add(at, I64(lane)), whole), align=4)
                value = builder.and_(value, ir.Constant(whole, [I32(half)] * LANES))
                kept = builder.or_(kept, builder.select(won, value, ir.Constant(whole, None)))
            place = vector_pointer(builder, o_ptr, builder.add(o_off, I64(lane)), whole)
            builder.store(kept, place, align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_keep_pairs))
def keep_pairs(values, first, second, winner, first_at, second_at, first_entry, second_entry, out, o_off):
    """out[o_off..] (64,) int32: low halves of values[first..] where winner[first_at..] is first_entry, else 0.

    High halves are those of values[second..] alike.
    """
    flat, winners, kept = values.reshape(-1), winner.reshape(-1), out.reshape(-1)
    for c in range(PAIR_COLUMNS):
        low = flat[first + c] & 0xFFFF if winners[first_at + c] == first_entry else 0
        high = flat[second + c] & -0x10000 if winners[second_at + c] == second_entry else 0
        kept[o_off + c] = low | high


@intrinsic
def _pool_lanes(_, h, h_off, row_stride, stride, size, out, winner, o_off):
    signature = types.void(h, *[types.intp] * 4, out, winner, types.intp)

    def generate(context, builder, signature, args):
        h, h_off, row_stride, stride, size, out, winner, o_off = args
        whole, bytes_ = ir.VectorType(I32, LANES), ir.VectorType(I8, LANES)
        h_ptr = item_pointer(context, builder, signature.args[0], h, h_off, I32)
        o_ptr = item_pointer(context, builder, signature.args[5], out, o_off, I32)
        w_ptr = item_pointer(context, builder, signature.args[6], winner, o_off, I8)
        best, won = cgutils.alloca_once(builder, whole), cgutils.alloca_once(builder, whole)
        builder.store(builder.load(vector_pointer(builder, h_ptr, I64(0), whole), align=4), best)
        builder.store(ir.Constant(whole, None), won)
        with cgutils.for_range(builder, size) as row, cgutils.for_range(builder, size) as column:
            at = builder.add(builder.mul(row.index, row_stride), builder.mul(column.index, stride))
            value = builder.load(vector_pointer(builder, h_ptr, at, whole), align=4)
            entry = builder.trunc(builder.add(builder.mul(row.index, size), column.index), I32)
            better = builder.icmp_signed(">", value, builder.load(best))
            builder.store(builder.select(better, value, builder.load(best)), best)
            builder.store(builder.select(better, splat(builder, entry, whole), builder.load(won)), won)
        builder.store(builder.load(best), vector_pointer(builder, o_ptr, I64(0), whole), align=4)
        builder.store(builder.trunc(builder.load(won), bytes_), vector_pointer(builder, w_ptr, I64(0), bytes_), align=1)
        return context.get_dummy_value()

    return signature, generate


@leaf
def _pool_one(flat, h_off, row_stride, stride, size, pooled, winners, at):
    pooled[at], winners[at] = flat[h_off], 0
    for entry in range(1, size * size):
        value = flat[h_off + entry // size * row_stride + entry % size * stride]
        if value > pooled[at]:
            pooled[at], winners[at] = value, entry


@twin_of(Tile(_pool_lanes))
def pool_lanes(h, h_off, row_stride, stride, size, out, winner, o_off):
    """Of 16 channels the largest of a window of int32 -> out[o_off..], and which entry it was -> winner[o_off..] uint8.

    The window's rows lie row_stride apart in h from h_off on, their entries `stride`. LLVM compares bytes with int32 by
    AVX-512 alone: elsewhere a loop over channels takes 2.5 times as long as there.
    """
    for c in range(LANES):
        _pool_one(h.reshape(-1), h_off + c, row_stride, stride, size, out.reshape(-1), winner.reshape(-1), o_off + c)


@kernel
def max_pool(h, size, out, winner, start, stop):
    """Largest value of each window, and which of its size * size entries it was: the first, where several tie."""
    (_, height, width, n_channels), flat = h.shape, flattened(h)
    pooled, winners, whole = flattened(out), flattened(winner), n_channels // LANES * LANES
    for n in range(start, stop):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                first = ((n * height + i * size) * width + j * size) * n_channels
                at = ((n * out.shape[1] + i) * out.shape[2] + j) * n_channels
                for c in range(0, whole, LANES):
                    pool_lanes(h, first + c, width * n_channels, n_channels, size, out, winner, at + c)
                for c in range(whole, n_channels):
                    _pool_one(flat, first + c, width * n_channels, n_channels, size, pooled, winners, at + c)


@kernel
def max_pool_backward(dout, winner, size, dh, start, stop):
    """Each window's gradient goes to its winner; dh (N, H, W, C) float32 comes uninitialised."""
    for n in range(start, stop):
        dh[n] = np.float32(0)
        for i in range(dout.shape[1]):
            for j in range(dout.shape[2]):
                at = ((n * dout.shape[1] + i) * dout.shape[2] + j) * dout.shape[3]
                for entry in range(size * size):
                    row, column = i * size + entry // size, j * size + entry % size
                    keep_winners(dout, at, winner, at, dout.shape[3], np.uint8(entry), dh,
                                 ((n * dh.shape[1] + row) * dh.shape[2] + column) * dh.shape[3])


# ---------------------------------------------------------------- windows of any sizes

@kernel
def max_pool_windows(h, q, lowest, out, winner, start, stop):
    """`max_pool` for windows q, a `geometry.Pool`, of which entries outside of the map are left out; of float32 too.

    lowest : of the type of h, no entry is less; what is no number never wins
    """
    for n in range(start, stop):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                top, bottom, left, right = window_bounds(q, i, j, h.shape[1], h.shape[2])
                first = (i * q.row_stride - q.top) * q.width + j * q.column_stride - q.left     # entry of place 0, 0
                best, won = out[n, i, j], winner[n, i, j]
                best[:], won[:] = lowest, np.uint8(top * q.width + left - first)
                for row in range(top, bottom):
                    for column in range(left, right):
                        entry, values = np.uint8(row * q.width + column - first), h[n, row, column]
                        for c in range(values.shape[0]):
                            better = values[c] > best[c]
                            best[c], won[c] = values[c] if better else best[c], entry if better else won[c]


@kernel
def max_pool_windows_backward(dout, winner, q, dh, start, stop):
    """Each window's gradient is added to its winner's, in order; dh (N, H, W, C) float32 comes uninitialised."""
    for n in range(start, stop):
        dh[n] = np.float32(0)
        for i in range(dout.shape[1]):
            for j in range(dout.shape[2]):
                top, bottom, left, right = window_bounds(q, i, j, dh.shape[1], dh.shape[2])
                first = (i * q.row_stride - q.top) * q.width + j * q.column_stride - q.left
                gradient, won = dout[n, i, j], winner[n, i, j]
                for row in range(top, bottom):
                    for column in range(left, right):
                        entry, sums = np.uint8(row * q.width + column - first), dh[n, row, column]
                        for c in range(sums.shape[0]):
                            sums[c] += gradient[c] if won[c] == entry else np.float32(0)
