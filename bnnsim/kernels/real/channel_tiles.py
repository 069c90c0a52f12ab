"""Tiles of `channels`: 16 neighbouring channels at once, whose sums stay in registers; LLVM leaves the loops scalar.

Operation by operation the expressions of the plain twins, in float64 and the same order: a channel's sum runs over its
rows in order, whatever its neighbours do.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._jit import leaf
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


def _below(builder, dout, x, mean):
    zero = ir.Constant(x.type, None)
    return builder.select(builder.fcmp_ordered(">", x, zero), zero, builder.fmul(dout, x))


def _square(builder, dout, x, mean):
    centred = builder.fsub(x, mean)
    return builder.fmul(centred, centred)


VALUE, PRODUCT, PRODUCT_BELOW, SQUARE = range(4)
_TERMS = {VALUE: lambda builder, dout, x, mean: dout, PRODUCT: lambda builder, dout, x, mean: builder.fmul(dout, x),
          PRODUCT_BELOW: _below, SQUARE: _square}


def _make_sums(lanes):
    wide = ir.VectorType(_F64, lanes)

    @intrinsic
    def tile(_, term, dout, x, mean, at, stride, n_rows, column, out):
        index = types.intp
        signature = types.void(index, dout, x, mean, index, index, index, index, out)

        def generate(context, builder, signature, args):
            chosen, dout, x, mean, at, stride, n_rows, column, out = args
            kinds = signature.args
            dout_ptr, x_ptr = (item_pointer(context, builder, kind, array, at, _F32)
                               for kind, array in zip(kinds[1:3], (dout, x)))
            mean_ptr, out_ptr = (item_pointer(context, builder, kind, array, column, _F64)
                                 for kind, array in ((kinds[3], mean), (kinds[8], out)))
            total = cgutils.alloca_once(builder, wide)
            with cgutils.for_range(builder, I64(LANES // lanes)) as part:
                first = builder.mul(part.index, I64(lanes))
                place = vector_pointer(builder, out_ptr, first, wide)
                middle = _wide(builder, mean_ptr, first, lanes, _F64)
                builder.store(builder.load(place, align=8), total)
                for code, term in _TERMS.items():
                    with builder.if_then(builder.icmp_signed("==", chosen, I64(code))), \
                            cgutils.for_range(builder, n_rows) as row:
                        here = builder.add(builder.mul(row.index, stride), first)
                        given = term(builder, _wide(builder, dout_ptr, here, lanes), _wide(builder, x_ptr, here, lanes),
                                     middle)
                        builder.store(builder.fadd(builder.load(total), given), total)
                builder.store(builder.load(total), place, align=8)
            return context.get_dummy_value()

        return signature, generate

    return tile


@leaf
def term_of(term, dout, x, mean):
    """What is summed of one number: dout, dout * x, the same where x is not above 0, or (x - mean)^2; float64."""
    if term == VALUE:
        return np.float64(dout)
    if term == SQUARE:
        return (np.float64(x) - mean) * (np.float64(x) - mean)
    return 0.0 if term == PRODUCT_BELOW and x > 0 else np.float64(dout) * np.float64(x)


@twin_of(Tile(_make_sums(LANES), WIDE), Tile(_make_sums(NARROW)))
def add_terms(term, dout, x, mean, at, stride, n_rows, column, out):
    """out[column..] (C,) float64 += terms of 16 channels over n_rows rows, which lie `stride` apart from `at` on."""
    flat, values = dout.reshape(-1), x.reshape(-1)
    for n in range(n_rows):
        for i in range(LANES):
            here = at + n * stride + i
            out[column + i] += term_of(term, flat[here], values[here], mean[column + i])


@intrinsic
def _sign_lanes(_, dout, x, at, threshold, column, ste, out):
    signature = types.void(dout, x, types.intp, threshold, types.intp, ste, out)

    def generate(context, builder, signature, args):
        dout, x, at, threshold, column, ste, out = args
        kinds = signature.args
        dout_ptr, x_ptr, out_ptr = (item_pointer(context, builder, kind, array, at, _F32)
                                    for kind, array in ((kinds[0], dout), (kinds[1], x), (kinds[6], out)))
        threshold_ptr = item_pointer(context, builder, kinds[3], threshold, column, _F32)
        estimator = [builder.extract_value(ste, i) for i in range(4)]
        dy = through_sign_lanes(builder, _wide(builder, dout_ptr, I64(0), LANES), lambda: builder.fsub(
            _wide(builder, x_ptr, I64(0), LANES), _wide(builder, threshold_ptr, I64(0), LANES)), estimator)
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
