"""Operations on 64 values at once: a word of signs, a word of comparisons, the high half of a product."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bnnsim.kernels._llvm import I32, I64, I128, item_pointer, splat
from bnnsim.kernels._twins import Tile, twin_of


@intrinsic
def _sign_word(_, values, offset):
    signature = types.uint64(values, types.intp)

    def generate(context, builder, signature, args):
        item = ir.FloatType() if signature.args[0].dtype == types.float32 else ir.DoubleType()
        vector = ir.VectorType(item, 64)
        pointer = item_pointer(context, builder, signature.args[0], args[0], args[1], item)
        values = builder.load(builder.bitcast(pointer, vector.as_pointer()), align=4)
        return builder.bitcast(builder.fcmp_ordered(">=", values, ir.Constant(vector, None)), I64)

    return signature, generate


@twin_of(Tile(_sign_word))
def sign_word(values, offset):
    """Word whose bit i is values[offset + i] >= 0, for 64 float32 or float64."""
    flat, word = values.reshape(-1), 0
    for i in range(64):
        word |= int(flat[offset + i] >= 0) << i
    return np.uint64(word)


def _make_draws_word(comparison):
    @intrinsic
    def draws_word(_, draws, high):
        signature = types.uint64(draws, types.uint64)

        def generate(context, builder, signature, args):
            vector = ir.VectorType(I32, 64)
            pointer = item_pointer(context, builder, signature.args[0], args[0], I64(0), I64)
            values = builder.load(builder.bitcast(pointer, vector.as_pointer()), align=8)
            bound = splat(builder, builder.trunc(args[1], I32), vector)
            return builder.bitcast(builder.icmp_unsigned(comparison, values, bound), I64)

        return signature, generate

    return draws_word


@twin_of(Tile(_make_draws_word("<")))
def draws_below(draws, high):
    """Word whose bit i tells whether the i-th of the 64 uint32 in draws (32,) uint64 is below high < 2^32."""
    return np.uint64(sum(int(draw < high) << i for i, draw in enumerate(draws.view(np.uint32))))


@twin_of(Tile(_make_draws_word("==")))
def draws_equal(draws, high):
    """The same for being equal to high."""
    return np.uint64(sum(int(draw == high) << i for i, draw in enumerate(draws.view(np.uint32))))


@intrinsic
def _multiply_high(_, a, b):
    def generate(context, builder, signature, args):
        wide = builder.mul(*(builder.zext(value, I128) for value in args))
        return builder.trunc(builder.lshr(wide, I128(64)), I64)

    return types.uint64(types.uint64, types.uint64), generate


@twin_of(Tile(_multiply_high))
def multiply_high(a, b):
    """High 64 bits of the 128-bit product of two uint64."""
    return np.uint64((int(a) * int(b)) >> 64)
