"""Products of 16-bit gradients and packed +-1 by AMX: matrices of bytes, 16 x 64 times 64 x 16 by one instruction.

A 16-bit gradient is 256 h + l, of a signed byte h and an unsigned byte l, and a sign is the byte +1 or -1: two products
of bytes, each summed exactly in int32, are one of 16 bits. A core does 1,024 multiply-adds of bytes a cycle, some eight
times what `five_lookup` finds by shuffles.

    high, low      int8 and uint8: rows of gradients, at any distance
    signs          int8, blocks of 1,024: 64 rows of the summed axis x 16 columns, (16, 16, 4) by fours of rows
    sums           int32, (2, 16, 16): of h and of l

Who adds up more than `MAX_ITEMS` of l widens the sums in time. Four of the eight registers are in use: with all, one
load of three could be saved, but where another thread works on the same core, six and eight took two to four times as
long an instruction (Intel Emerald Rapids).
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._jit import JIT_OFF, leaf
from bnnsim.kernels._llvm import I1, I8, I32, I64, declare, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of
from bnnsim.kernels.gradients.fixed_point import fix

SIDE, STEP = 16, 64                 # rows and columns of a product, and what one instruction sums
BLOCK, SUMS = STEP * SIDE, 2 * SIDE * SIDE
MAX_ITEMS = (2**31 - 1) // 255
NEEDS = ("amx-int8", "avx512bw", "bmi2")

_BYTES = I8.as_pointer()
_PALETTE = [1] + 15 * [0] + 8 * [64, 0] + 16 * [0] + 8 * [16] + 8 * [0]       # all eight registers 16 rows of 64 bytes
_SIGNS, _ROWS = 2, 3                # registers behind those of the sums


def _instruction(builder: ir.IRBuilder, name: str, *args: Any) -> None:
    builder.call(declare(builder, f"llvm.x86.{name}", ir.VoidType(), *(arg.type for arg in args)), args)


def _load(builder, register, pointer, stride):
    _instruction(builder, "tileloadd64", I8(register), builder.bitcast(pointer, _BYTES), stride)


@intrinsic
def _byte_products(_, high, low, h_off, l_off, stride, steps, n_steps, signs, s_off, sums, o_off, add):
    index = types.intp
    signature = types.void(high, low, index, index, index, steps, index, signs, index, sums, index, types.boolean)

    def generate(context, builder, signature, args):
        high, low, h_off, l_off, stride, steps, n_steps, signs, s_off, sums, o_off, add = args
        kinds = signature.args
        rows = [item_pointer(context, builder, kinds[i], args[i], args[2 + i], I8) for i in (0, 1)]
        places = item_pointer(context, builder, kinds[5], steps, I64(0), I64)
        columns = item_pointer(context, builder, kinds[7], signs, s_off, I8)
        found = item_pointer(context, builder, kinds[9], sums, o_off, I32)
        outs = [builder.gep(found, [I64(SIDE * SIDE * i)]) for i in range(2)]
        config = cgutils.global_constant(builder, "tile_config", ir.Constant(ir.ArrayType(I8, 64), bytearray(_PALETTE)))
        _instruction(builder, "ldtilecfg", builder.bitcast(config, _BYTES))
        with builder.if_else(builder.trunc(add, I1)) as (then, otherwise):
            with then:
                for register, out in enumerate(outs):
                    _load(builder, register, out, I64(4 * SIDE))
            with otherwise:
                for register in range(2):
                    _instruction(builder, "tilezero", I8(register))
        with cgutils.for_range(builder, n_steps) as loop:
            place = builder.load(builder.gep(places, [loop.index]))
            _load(builder, _SIGNS, builder.gep(columns, [builder.mul(loop.index, I64(BLOCK))]), I64(STEP))
            for register, (row, product) in enumerate(zip(rows, ("tdpbssd", "tdpbusd"))):
                _load(builder, _ROWS, builder.gep(row, [place]), stride)
                _instruction(builder, product, I8(register), I8(_ROWS), I8(_SIGNS))
        for register, out in enumerate(outs):
            _instruction(builder, "tilestored64", I8(register), builder.bitcast(out, _BYTES), I64(4 * SIDE))
        _instruction(builder, "tilerelease")
        return context.get_dummy_value()

    return signature, generate


_PRODUCTS = Tile(_byte_products, needs=NEEDS)
USED = not JIT_OFF and _PRODUCTS.runs_here


@twin_of(_PRODUCTS)
def byte_products(high, low, h_off, l_off, stride, steps, n_steps, signs, s_off, sums, o_off, add):
    """sums[o_off..] (2, 16, 16) = h of 16 rows times the signs of 16 columns, then l times the same.

    Step s sums 64 gradients of each row, `stride` apart from steps[s] on, with the block at s_off + 1024 s. Where `add`
    is true sums are added to what there is. All is to be `aligned`: across cache lines it takes several times as long.
    """
    for i in range(2):
        for r in range(SIDE):
            for c in range(SIDE):
                at = o_off + (i * SIDE + r) * SIDE + c
                total = np.int64(sums.reshape(-1)[at]) if add else np.int64(0)
                for s in range(n_steps):
                    row, column = steps[s] + r * stride, s_off + BLOCK * s + 4 * c
                    for k in range(STEP):
                        sign = np.int64(signs.reshape(-1)[column + STEP * (k // 4) + k % 4])
                        if i == 0:
                            total += sign * np.int64(high.reshape(-1)[h_off + row + k])
                        else:
                            total += sign * np.int64(low.reshape(-1)[l_off + row + k])
                sums.reshape(-1)[at] = total


@intrinsic
def _spread_four(_, words, w_off, w_stride, signs, s_off, s_next):
    index = types.intp
    signature = types.void(words, index, index, signs, index, index)

    def generate(context, builder, signature, args):
        words, w_off, w_stride, signs, s_off, s_next = args
        source = item_pointer(context, builder, signature.args[0], words, w_off, I64)
        target = item_pointer(context, builder, signature.args[3], signs, s_off, I8)
        vector, deposit = ir.VectorType(I8, STEP), declare(builder, "llvm.x86.bmi.pdep.64", I64, I64, I64)
        four = [builder.load(builder.gep(source, [builder.mul(w_stride, I64(i))])) for i in range(4)]
        for quarter in range(4):
            parts = [builder.call(deposit, [builder.lshr(word, I64(SIDE * quarter)), I64(0x1111111111111111 << i)])
                     for i, word in enumerate(four)]
            bits = builder.or_(builder.or_(*parts[:2]), builder.or_(*parts[2:]))
            plus, minus = (ir.Constant(vector, [I8(sign)] * STEP) for sign in (1, -1))
            place = vector_pointer(builder, target, builder.mul(s_next, I64(quarter)), vector)
            builder.store(builder.select(builder.bitcast(bits, ir.VectorType(I1, STEP)), plus, minus), place, align=1)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_spread_four, needs=NEEDS))
def spread_four(words, w_off, w_stride, signs, s_off, s_next):
    """The bits of four words, w_stride apart, as +-1 at signs[s_off..]: 16 columns (16, 4), 16 more `s_next` on."""
    for quarter in range(4):
        for c in range(SIDE):
            for i in range(4):
                bit = words.reshape(-1)[w_off + i * w_stride] >> np.uint64(SIDE * quarter + c) & np.uint64(1)
                signs.reshape(-1)[s_off + quarter * s_next + 4 * c + i] = 1 if bit else -1


@leaf
def split_bytes(fixed, n_values, high, low, h_off, l_off):
    """fixed[..n_values] int16 -> its bytes: high[h_off..] int8, low[l_off..] uint8."""
    for k in range(n_values):
        high[h_off + k] = np.int8(fixed[k] >> 8)
        low[l_off + k] = np.uint8(fixed[k] & 255)


@intrinsic
def _fix_bytes(_, values, v_off, inverse, high, low, h_off, l_off):
    index = types.intp
    signature = types.void(values, index, types.float64, high, low, index, index)

    def generate(context, builder, signature, args):
        values, v_off, inverse, high, low, h_off, l_off = args
        single, short = ir.VectorType(ir.FloatType(), SIDE), ir.VectorType(I8, SIDE)
        source = item_pointer(context, builder, signature.args[0], values, v_off, ir.FloatType())
        given = builder.load(vector_pointer(builder, source, I64(0), single), align=4)
        fixed = fix(builder, given, splat(builder, inverse, ir.VectorType(ir.DoubleType(), SIDE)))
        above = builder.ashr(fixed, ir.Constant(fixed.type, [I32(8)] * SIDE))
        for kind, array, at, part in ((signature.args[3], high, h_off, above), (signature.args[4], low, l_off, fixed)):
            target = item_pointer(context, builder, kind, array, at, I8)
            builder.store(builder.trunc(part, short), vector_pointer(builder, target, I64(0), short), align=1)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_fix_bytes))
def fix_bytes(values, v_off, inverse, high, low, h_off, l_off):
    """16 of values[v_off..] float32 as `fixed_point.fix_sixteen` rounds them -> high[h_off..], low[l_off..]."""
    for k in range(SIDE):
        fixed = np.int16(np.rint(np.float64(values.reshape(-1)[v_off + k]) * inverse))
        high.reshape(-1)[h_off + k] = fixed >> 8
        low.reshape(-1)[l_off + k] = fixed & 255


@intrinsic
def _keep_bytes(_, winner, at, entry, high, low, from_, h_off, l_off):
    index = types.intp
    signature = types.void(winner, index, types.uint8, high, low, index, index, index)

    def generate(context, builder, signature, args):
        winner, at, entry, high, low, from_, h_off, l_off = args
        kinds, short = signature.args, ir.VectorType(I8, SIDE)

        def vector(kind, array, place):
            return vector_pointer(builder, item_pointer(context, builder, kind, array, place, I8), I64(0), short)

        won = builder.icmp_unsigned("==", builder.load(vector(kinds[0], winner, at), align=1),
                                    splat(builder, entry, short))
        for kind, array, to in ((kinds[3], high, h_off), (kinds[4], low, l_off)):
            value = builder.load(vector(kind, array, from_), align=1)
            builder.store(builder.select(won, value, ir.Constant(short, None)), vector(kind, array, to), align=1)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_keep_bytes))
def keep_bytes(winner, at, entry, high, low, from_, h_off, l_off):
    """16 bytes at from_ of high -> high[h_off..], of low -> low[l_off..]; 0 where winner[at..] is not `entry`."""
    for k in range(SIDE):
        won = winner.reshape(-1)[at + k] == entry
        high.reshape(-1)[h_off + k] = high.reshape(-1)[from_ + k] if won else np.int8(0)
        low.reshape(-1)[l_off + k] = low.reshape(-1)[from_ + k] if won else np.uint8(0)


@intrinsic
def _scale_sums(_, sums, s_off, scale, out, places):
    signature = types.void(sums, types.intp, types.float64, out, places)

    def generate(context, builder, signature, args):
        sums, s_off, scale, out, places = args
        whole, single = ir.VectorType(I32, SIDE), ir.VectorType(ir.FloatType(), SIDE)
        source = item_pointer(context, builder, signature.args[0], sums, s_off, I32)
        target = item_pointer(context, builder, signature.args[3], out, I64(0), ir.FloatType())
        rows = item_pointer(context, builder, signature.args[4], places, I64(0), I64)
        wide = ir.VectorType(ir.DoubleType(), SIDE)
        scales = splat(builder, scale, wide)
        with cgutils.for_range(builder, I64(SIDE)) as row:
            place = builder.load(builder.gep(rows, [row.index]))
            with builder.if_then(builder.icmp_signed(">=", place, I64(0))):
                at = builder.mul(row.index, I64(SIDE))
                high, low = (builder.load(vector_pointer(builder, source, builder.add(at, I64(SIDE * SIDE * i)), whole),
                                          align=4) for i in range(2))
                total = builder.add(builder.shl(high, ir.Constant(whole, [I32(8)] * SIDE)), low)
                scaled = builder.fptrunc(builder.fmul(builder.sitofp(total, wide), scales), single)
                builder.store(scaled, vector_pointer(builder, target, place, single), align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_scale_sums))
def scale_sums(sums, s_off, scale, out, places):
    """Row r of sums[s_off..] (2, 16, 16), 256 h + l, times scale -> 16 float32 at out[places[r]..], if that is >= 0."""
    for r in range(SIDE):
        for c in range(SIDE if places[r] >= 0 else 0):
            at = s_off + r * SIDE + c
            total = (np.int64(sums.reshape(-1)[at]) << 8) + sums.reshape(-1)[at + SIDE * SIDE]
            out.reshape(-1)[places[r] + c] = np.float32(total * scale)
