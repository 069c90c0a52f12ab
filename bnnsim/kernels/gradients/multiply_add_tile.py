"""The tile of 16-bit gradients against pixels: 6 rows x 64 columns of int32 sums, pairs of int16 at a time.

    panel          (ceil(F / 64), P, 64) int32: of each column the two int16 of a pair of summed rows

An int32 holds 256 products of a 16-bit gradient and a pixel: who calls it widens longer sums.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._llvm import I16, I32, I64, declare, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of

ROWS, COLS = 6, 64


def _dot(builder, total, values, columns):
    """total += products of pairs of int16, by one instruction of AVX512-VNNI."""
    dot = declare(builder, "llvm.x86.avx512.vpdpwssd.512", *[total.type] * 4)
    return builder.call(dot, [total, values, columns])


def _products(builder, values, columns):
    short, wide = (ir.VectorType(item, 2 * values.type.count) for item in (I16, I32))
    return builder.mul(*(builder.sext(builder.bitcast(pairs, short), wide) for pairs in (values, columns)))


def _sum_of_pairs(builder, numbers):
    lanes = numbers.type.count // 2
    halves = (ir.Constant(ir.VectorType(I32, lanes), [I32(2 * lane + odd) for lane in range(lanes)]) for odd in (0, 1))
    return builder.add(*(builder.shuffle_vector(numbers, numbers, half) for half in halves))


def multiply_pairs(builder, total, values, columns):
    """The same as LLVM knows it everywhere: on x86 it makes vpmaddwd and vpaddd of it."""
    return builder.add(total, _sum_of_pairs(builder, _products(builder, values, columns)))


def multiply_each(builder, total, values, columns):
    """Both products of a pair in sums of their own, to be added in the end: smlal and smlal2 of NEON."""
    return builder.add(total, _products(builder, values, columns))


def _make_multiply_add(lanes, vectors, step):
    """A tile of `vectors` of `lanes` columns at a time: so many as the CPU has registers for."""
    acc = ir.VectorType(I32, lanes)
    held = ir.VectorType(I32, 2 * lanes) if step is multiply_each else acc

    @intrinsic
    def multiply_add(_, a, a_off, a_stride, panel, p_off, n_pairs, out, o_off):
        index = types.intp
        signature = types.void(a, index, index, panel, index, index, out, index)

        def generate(context, builder, signature, args):
            a, a_off, a_stride, panel, p_off, n_pairs, out, o_off = args
            a_ptr = item_pointer(context, builder, signature.args[0], a, a_off, I16)
            p_ptr = item_pointer(context, builder, signature.args[3], panel, p_off, I32)
            o_ptr = item_pointer(context, builder, signature.args[6], out, o_off, I32)
            rows = [builder.bitcast(builder.gep(a_ptr, [builder.mul(a_stride, I64(r))]), I32.as_pointer())
                    for r in range(ROWS)]
            slots = [[cgutils.alloca_once(builder, held) for _ in range(vectors)] for _ in range(ROWS)]
            with cgutils.for_range(builder, I64(COLS // (lanes * vectors))) as side:
                first = builder.mul(side.index, I64(lanes * vectors))
                for slot in sum(slots, []):
                    builder.store(ir.Constant(held, None), slot)
                with cgutils.for_range(builder, n_pairs) as loop:
                    pair = builder.gep(p_ptr, [builder.add(builder.mul(loop.index, I64(COLS)), first)])
                    columns = [builder.load(vector_pointer(builder, pair, I64(lanes * v), acc), align=4)
                               for v in range(vectors)]
                    for row, row_slots in zip(rows, slots):
                        value = splat(builder, builder.load(builder.gep(row, [loop.index]), align=2), acc)
                        for slot, column in zip(row_slots, columns):
                            builder.store(step(builder, builder.load(slot), value, column), slot)
                for i, slot in enumerate(sum(slots, [])):
                    at = builder.add(first, I64(COLS * (i // vectors) + lanes * (i % vectors)))
                    place, total = vector_pointer(builder, o_ptr, at, acc), builder.load(slot)
                    total = total if held == acc else _sum_of_pairs(builder, total)
                    builder.store(builder.add(builder.load(place, align=4), total), place, align=4)
            return context.get_dummy_value()

        return signature, generate

    return multiply_add


@twin_of(Tile(_make_multiply_add(16, 4, _dot), needs=("avx512vnni",)),
         Tile(_make_multiply_add(8, 2, multiply_pairs), needs=("avx2",)),
         Tile(_make_multiply_add(4, 2, multiply_each), needs=("neon",)),
         Tile(_make_multiply_add(4, 2, multiply_pairs)))
def multiply_add(a, a_off, a_stride, panel, p_off, n_pairs, out, o_off):
    """out (6, 64) int32 += a (6, 2 n_pairs) int16 times the panel's columns of pairs."""
    a_flat, panel_flat, out_flat = a.reshape(-1), panel.reshape(-1).view(np.int16), out.reshape(-1)
    for r in range(ROWS):
        for k in range(n_pairs):
            first = int(a_flat[a_off + r * a_stride + 2 * k])
            second = int(a_flat[a_off + r * a_stride + 2 * k + 1])
            for c in range(COLS):
                at = 2 * (p_off + COLS * k + c)
                out_flat[o_off + COLS * r + c] += first * int(panel_flat[at]) + second * int(panel_flat[at + 1])
