"""Tiles of batch norm: 16 neighbouring units at once, 64 for the sign.

Operation by operation the expressions of `batchnorm`, in float64 and the same order, so both give the same bits: a
unit's sums run over its rows in order, whatever its neighbours do. LLVM leaves most of the plain loops scalar.
`norm` (4, U) float64 is mean, inverse, scale, shift; `ste` is that of `pseudo_gradient`.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._jit import inline
from bnnsim.kernels._llvm import I32, I64, item_pointer, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of
from bnnsim.kernels.norm.pseudo_gradient import through_sign, through_sign_lanes

LANES = 16
NARROW, WIDE = 4, ("avx512f",)      # units at once whose numbers stay in 16 registers; what all of them at once need

_F32, _F64 = ir.FloatType(), ir.DoubleType()
_SINGLE, _WIDE, _WHOLE = (ir.VectorType(item, LANES) for item in (_F32, _F64, I32))


def item_of(array):
    """h is int32, or of a map of reals float32."""
    return _F32 if array.dtype == types.float32 else I32


def _load(builder, pointer, index, vector, align):
    return builder.load(vector_pointer(builder, pointer, index, vector), align=align)


def _make_sum_powers(lanes):
    whole, long = ir.VectorType(I32, lanes), ir.VectorType(I64, lanes)

    @intrinsic
    def tile(_, h, h_off, stride, n_rows, column, sums, squares, s_off):
        index = types.intp
        signature = types.void(h, index, index, index, index, sums, squares, index)

        def generate(context, builder, signature, args):
            h, h_off, stride, n_rows, column, sums, squares, s_off = args
            h_ptr = item_pointer(context, builder, signature.args[0], h, I64(0), I32)
            outs = [item_pointer(context, builder, kind, array, s_off, I64)
                    for kind, array in zip(signature.args[5:], (sums, squares))]
            with cgutils.for_range(builder, I64(LANES // lanes)) as part:
                first = builder.mul(part.index, I64(lanes))
                base = _load(builder, h_ptr, builder.add(column, first), whole, 4)
                places = [vector_pointer(builder, out, first, long) for out in outs]
                totals = [cgutils.alloca_once(builder, long) for _ in places]
                for total, place in zip(totals, places):
                    builder.store(builder.load(place, align=8), total)
                with cgutils.for_range(builder, n_rows) as row:
                    at = builder.add(builder.add(h_off, first), builder.mul(row.index, stride))
                    centred = builder.sext(builder.sub(_load(builder, h_ptr, at, whole, 4), base), long)
                    for total, term in zip(totals, (centred, builder.mul(centred, centred))):
                        builder.store(builder.add(builder.load(total), term), total)
                for total, place in zip(totals, places):
                    builder.store(builder.load(total), place, align=8)
            return context.get_dummy_value()

        return signature, generate

    return tile


@twin_of(Tile(_make_sum_powers(LANES), WIDE), Tile(_make_sum_powers(NARROW)))
def sum_powers(h, h_off, stride, n_rows, column, sums, squares, s_off):
    """sums, squares (.,) int64 [s_off..] += of h - (row 0 of h) and of its square, over n_rows rows."""
    flat = h.reshape(-1)
    for n in range(n_rows):
        for i in range(LANES):
            centred = np.int64(flat[h_off + n * stride + i]) - np.int64(flat[column + i])
            sums[s_off + i] += centred
            squares[s_off + i] += centred * centred


@intrinsic
def _affine_word(_, h, h_off, mean, scale, shift, u_off):
    signature = types.uint64(h, types.intp, mean, scale, shift, types.intp)

    def generate(context, builder, signature, args):
        h, h_off, mean, scale, shift, u_off = args
        h_ptr = item_pointer(context, builder, signature.args[0], h, h_off, I32)
        units = [item_pointer(context, builder, kind, array, u_off, _F64)
                 for kind, array in zip(signature.args[2:5], (mean, scale, shift))]
        word = I64(0)
        for v in range(64 // LANES):
            value = builder.sitofp(_load(builder, h_ptr, I64(LANES * v), _WHOLE, 4), _WIDE)
            mean, scale, shift = (_load(builder, unit, I64(LANES * v), _WIDE, 8) for unit in units)
            y = builder.fadd(builder.fmul(builder.fsub(value, mean), scale), shift)
            bits = builder.bitcast(builder.fcmp_ordered(">=", y, ir.Constant(_WIDE, None)), ir.IntType(LANES))
            word = builder.or_(word, builder.shl(builder.zext(bits, I64), I64(LANES * v)))
        return word

    return signature, generate


@twin_of(Tile(_affine_word))
def affine_word(h, h_off, mean, scale, shift, u_off):
    """Word whose bit i is (h - mean) * scale + shift >= 0 of unit u_off + i, for 64 int32 from h_off on."""
    flat, word = h.reshape(-1), 0
    for i in range(64):
        y = (np.float64(flat[h_off + i]) - mean[u_off + i]) * scale[u_off + i] + shift[u_off + i]
        word |= int(y >= 0) << i
    return np.uint64(word)


def _through(builder, dout, h, at, norm, ste):
    """(dy, x_hat) of as many units as norm has: their mean, inverse, scale, shift."""
    (mean, inverse, scale, shift), lanes = norm, norm[0].type.count
    value = _load(builder, h, at, ir.VectorType(h.type.pointee, lanes), 4)
    value = (builder.sitofp if h.type.pointee == I32 else builder.fpext)(value, mean.type)
    centred = builder.fsub(value, mean)
    dout = builder.fpext(_load(builder, dout, at, ir.VectorType(_F32, lanes), 4), mean.type)
    dy = through_sign_lanes(builder, dout, lambda: builder.fadd(builder.fmul(centred, scale), shift), ste)
    return dy, builder.fmul(centred, inverse)


def _make_sum_gradients(lanes):
    wide = ir.VectorType(_F64, lanes)

    @intrinsic
    def tile(_, dout, h, at, stride, n_rows, norm, column, ste, dgamma, dbeta):
        index = types.intp
        signature = types.void(dout, h, index, index, index, norm, index, ste, dgamma, dbeta)

        def generate(context, builder, signature, args):
            dout, h, at, stride, n_rows, norm, column, ste, dgamma, dbeta = args
            dout_ptr = item_pointer(context, builder, signature.args[0], dout, at, _F32)
            h_ptr = item_pointer(context, builder, signature.args[1], h, at, item_of(signature.args[1]))
            norm_ptr = item_pointer(context, builder, signature.args[5], norm, column, _F64)
            outs = [item_pointer(context, builder, kind, array, column, _F64)
                    for kind, array in zip(signature.args[8:], (dgamma, dbeta))]
            estimator = [builder.extract_value(ste, i) for i in range(4)]
            with cgutils.for_range(builder, I64(LANES // lanes)) as part:
                first = builder.mul(part.index, I64(lanes))
                units = [_load(builder, norm_ptr, builder.add(builder.mul(stride, I64(i)), first), wide, 8)
                         for i in range(4)]
                places = [vector_pointer(builder, out, first, wide) for out in outs]
                totals = [cgutils.alloca_once(builder, wide) for _ in places]
                for total, place in zip(totals, places):
                    builder.store(builder.load(place, align=8), total)
                with cgutils.for_range(builder, n_rows) as row:
                    here = builder.add(builder.mul(row.index, stride), first)
                    dy, normed = _through(builder, dout_ptr, h_ptr, here, units, estimator)
                    for total, term in zip(totals, (builder.fmul(dy, normed), dy)):
                        builder.store(builder.fadd(builder.load(total), term), total)
                for total, place in zip(totals, places):
                    builder.store(builder.load(total), place, align=8)
            return context.get_dummy_value()

        return signature, generate

    return tile


@inline
def _through_plain(dout, h, mean, scale, shift, ste):
    return through_sign(dout, (np.float64(h) - mean) * scale + shift, ste)


@twin_of(Tile(_make_sum_gradients(LANES), WIDE), Tile(_make_sum_gradients(NARROW)))
def sum_gradients(dout, h, at, stride, n_rows, norm, column, ste, dgamma, dbeta):
    """dgamma, dbeta (U,) [column..] += sums of dy * x_hat and of dy over n_rows rows."""
    flat, gradient = h.reshape(-1), dout.reshape(-1)
    for n in range(n_rows):
        for i in range(LANES):
            u, here = column + i, at + n * stride + i
            dy = _through_plain(gradient[here], flat[here], norm[0, u], norm[2, u], norm[3, u], ste)
            dgamma[u] += dy * ((flat[here] - norm[0, u]) * norm[1, u])
            dbeta[u] += dy


@intrinsic
def _gradient_lanes(_, dout, h, at, stride, norm, means, column, ste, dh):
    index = types.intp
    signature = types.void(dout, h, index, index, norm, means, index, ste, dh)

    def generate(context, builder, signature, args):
        dout, h, at, stride, norm, means, column, ste, dh = args
        dout_ptr = item_pointer(context, builder, signature.args[0], dout, at, _F32)
        h_ptr = item_pointer(context, builder, signature.args[1], h, at, item_of(signature.args[1]))
        norm_ptr = item_pointer(context, builder, signature.args[4], norm, column, _F64)
        means_ptr = item_pointer(context, builder, signature.args[5], means, column, _F64)
        out_ptr = item_pointer(context, builder, signature.args[8], dh, at, _F32)
        units = [_load(builder, norm_ptr, builder.mul(stride, I64(i)), _WIDE, 8) for i in range(4)]
        gamma, beta = (_load(builder, means_ptr, builder.mul(stride, I64(i)), _WIDE, 8) for i in range(2))
        estimator = [builder.extract_value(ste, i) for i in range(4)]
        dy, normed = _through(builder, dout_ptr, h_ptr, I64(0), units, estimator)
        change = builder.fsub(builder.fsub(dy, beta), builder.fmul(normed, gamma))
        builder.store(builder.fptrunc(builder.fmul(units[2], change), _SINGLE),
                      vector_pointer(builder, out_ptr, I64(0), _SINGLE), align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_gradient_lanes))
def gradient_lanes(dout, h, at, stride, norm, means, column, ste, dh):
    """dh[at..] float32 = scale * (dy - means[1] - x_hat * means[0]) of units column.. of one row."""
    flat, gradient, out = h.reshape(-1), dout.reshape(-1), dh.reshape(-1)
    for i in range(LANES):
        u, here = column + i, at + i
        dy = _through_plain(gradient[here], flat[here], norm[0, u], norm[2, u], norm[3, u], ste)
        normed = (flat[here] - norm[0, u]) * norm[1, u]
        out[here] = np.float32(norm[2, u] * (dy - means[1, u] - normed * means[0, u]))
