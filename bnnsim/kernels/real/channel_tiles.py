"""Tiles of `channels`: 16 neighbouring channels at once, whose sums stay in registers; LLVM leaves the loops scalar.

Operation by operation the expressions of the plain twins, in float64 and the same order: a channel's sum runs over its
rows in order, whatever its neighbours do.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._llvm import I64, item_pointer, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of
from bnnsim.kernels.norm.pseudo_gradient import through_sign, through_sign_lanes

LANES = 16
NARROW, WIDE = 4, ("avx512f",)      # channels at once whose sums stay in 16 registers; what all of them at once need

_F32, _F64 = ir.FloatType(), ir.DoubleType()


def _wide(builder, pointer, at, lanes, item=_F32):
    """16 numbers as float64."""
    align = 4 if item == _F32 else 8
    value = builder.load(vector_pointer(builder, pointer, at, ir.VectorType(item, lanes)), align=align)
    return builder.fpext(value, ir.VectorType(_F64, lanes)) if item == _F32 else value


def _sum(builder, dout, x, mean):
    return dout


def _product(builder, dout, x, mean):
    return builder.fmul(dout, x)


def _below(builder, dout, x, mean):
    zero = ir.Constant(x.type, None)
    return builder.select(builder.fcmp_ordered(">", x, zero), zero, builder.fmul(dout, x))


def _square(builder, dout, x, mean):
    centred = builder.fsub(x, mean)
    return builder.fmul(centred, centred)


def _make_sums(lanes, term):
    wide = ir.VectorType(_F64, lanes)

    @intrinsic
    def tile(_, dout, x, mean, at, stride, n_rows, column, out):
        index = types.intp
        signature = types.void(dout, x, mean, index, index, index, index, out)

        def generate(context, builder, signature, args):
            dout, x, mean, at, stride, n_rows, column, out = args
            dout_ptr, x_ptr = (item_pointer(context, builder, kind, array, at, _F32)
                               for kind, array in zip(signature.args[:2], (dout, x)))
            mean_ptr, out_ptr = (item_pointer(context, builder, kind, array, column, _F64)
                                 for kind, array in ((signature.args[2], mean), (signature.args[7], out)))
            with cgutils.for_range(builder, I64(LANES // lanes)) as part:
                first = builder.mul(part.index, I64(lanes))
                place = vector_pointer(builder, out_ptr, first, wide)
                middle = _wide(builder, mean_ptr, first, lanes, _F64)
                total = cgutils.alloca_once(builder, wide)
                builder.store(builder.load(place, align=8), total)
                with cgutils.for_range(builder, n_rows) as row:
                    here = builder.add(builder.mul(row.index, stride), first)
                    given = term(builder, _wide(builder, dout_ptr, here, lanes), _wide(builder, x_ptr, here, lanes),
                                 middle)
                    builder.store(builder.fadd(builder.load(total), given), total)
                builder.store(builder.load(total), place, align=8)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _tiles(term):
    return Tile(_make_sums(LANES, term), WIDE), Tile(_make_sums(NARROW, term))


@twin_of(*_tiles(_sum))
def add_numbers(dout, x, mean, at, stride, n_rows, column, out):
    """out[column..] (C,) float64 += dout of 16 channels over n_rows rows, which lie `stride` apart from `at` on."""
    flat = dout.reshape(-1)
    for n in range(n_rows):
        for i in range(LANES):
            out[column + i] += np.float64(flat[at + n * stride + i])


@twin_of(*_tiles(_product))
def add_products(dout, x, mean, at, stride, n_rows, column, out):
    """The same of dout * x."""
    flat, values = dout.reshape(-1), x.reshape(-1)
    for n in range(n_rows):
        for i in range(LANES):
            here = at + n * stride + i
            out[column + i] += np.float64(flat[here]) * np.float64(values[here])


@twin_of(*_tiles(_below))
def add_products_below(dout, x, mean, at, stride, n_rows, column, out):
    """The same of dout * x where x is not above 0."""
    flat, values = dout.reshape(-1), x.reshape(-1)
    for n in range(n_rows):
        for i in range(LANES):
            here = at + n * stride + i
            out[column + i] += 0.0 if values[here] > 0 else np.float64(flat[here]) * np.float64(values[here])


@twin_of(*_tiles(_square))
def add_squares(dout, x, mean, at, stride, n_rows, column, out):
    """The same of the squared difference of x from mean (C,) float64."""
    values = x.reshape(-1)
    for n in range(n_rows):
        for i in range(LANES):
            centred = np.float64(values[at + n * stride + i]) - mean[column + i]
            out[column + i] += centred * centred


@intrinsic
def _sign_lanes(_, dout, x, at, threshold, column, ste, out):
    signature = types.void(dout, x, types.intp, threshold, types.intp, ste, out)

    def generate(context, builder, signature, args):
        dout, x, at, threshold, column, ste, out = args
        kinds = signature.args
        dout_ptr, x_ptr, out_ptr = (item_pointer(context, builder, kind, array, at, _F32)
                                    for kind, array in ((kinds[0], dout), (kinds[1], x), (kinds[6], out)))
        threshold_ptr = item_pointer(context, builder, kinds[3], threshold, column, _F32)
        y = builder.fsub(_wide(builder, x_ptr, I64(0), LANES), _wide(builder, threshold_ptr, I64(0), LANES))
        estimator = [builder.extract_value(ste, i) for i in range(4)]
        dy = through_sign_lanes(builder, _wide(builder, dout_ptr, I64(0), LANES), y, estimator)
        single = ir.VectorType(_F32, LANES)
        builder.store(builder.fptrunc(dy, single), vector_pointer(builder, out_ptr, I64(0), single), align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_sign_lanes))
def sign_lanes(dout, x, at, threshold, column, ste, out):
    """out[at..] float32 = dout times the pseudo-gradient at x - threshold[column..], of 16 channels of a row."""
    flat, values, made = dout.reshape(-1), x.reshape(-1), out.reshape(-1)
    for i in range(LANES):
        y = np.float64(values[at + i]) - np.float64(threshold[column + i])
        made[at + i] = np.float32(through_sign(flat[at + i], y, ste))
