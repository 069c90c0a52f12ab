"""What a core can do at most: register-only chains of the instructions that tiles are made of.

16 independent chains, each in one vector register, no loads and no stores in the loop: the speed that a product tends
to as everything else (loading operands, storing results, laying out panels) becomes free. For `bnnsim.bench`.

    xnor chain     s = s + popcount(s ^ w), eight uint64 a chain: 512 binary multiply-adds a step
    madd chain     s = s + a * b over pairs of int16, sixteen int32 a chain: 32 a step; CPUs with AVX512-VNNI
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._jit import kernel
from bnnsim.kernels._llvm import I32, I64, declare, item_pointer, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of

CHAINS = 16
XNOR_MACS, MADD_MACS = CHAINS * 512, CHAINS * 32                 # of one step of all chains


def _make_chains(lanes, item, step):
    vector = ir.VectorType(item, lanes)

    @intrinsic
    def chains(_, seeds, n_steps, out, o_off):
        signature = types.void(seeds, types.intp, out, types.intp)

        def generate(context, builder, signature, args):
            s_ptr = item_pointer(context, builder, signature.args[0], args[0], I64(0), item)
            o_ptr = item_pointer(context, builder, signature.args[2], args[2], args[3], item)
            at = [builder.load(vector_pointer(builder, s_ptr, I64(lanes * i), vector), align=4)
                  for i in range(CHAINS + 1)]
            slots = [cgutils.alloca_once(builder, vector) for _ in range(CHAINS)]
            for value, slot in zip(at, slots):
                builder.store(value, slot)
            with cgutils.for_range(builder, args[1]):
                for slot in slots:
                    builder.store(step(builder, builder.load(slot), at[-1], vector), slot)
            for i, slot in enumerate(slots):
                place = vector_pointer(builder, o_ptr, I64(lanes * i), vector)
                builder.store(builder.load(slot), place, align=4)
            return context.get_dummy_value()

        return signature, generate

    return chains


def _xnor_step(builder, total, operand, vector):
    popcount = declare(builder, "llvm.ctpop.v8i64", vector, vector)
    return builder.add(total, builder.call(popcount, [builder.xor(total, operand)]))


def _madd_step(builder, total, operand, vector):
    multiply_add = declare(builder, "llvm.x86.avx512.vpdpwssd.512", *[vector] * 4)
    return builder.call(multiply_add, [total, operand, operand])


@twin_of(Tile(_make_chains(8, I64, _xnor_step)))
def xnor_chains(seeds, n_steps, out, o_off):
    """out[o_off..] (16, 8) = seeds[:16] after n_steps of all chains; the last of the seeds (17, 8) is the operand."""
    totals, operand = seeds[:-1].copy(), seeds[-1]
    for _ in range(n_steps):
        totals += np.bitwise_count(totals ^ operand).astype(np.uint64)
    out.reshape(-1)[o_off:o_off + totals.size] = totals.reshape(-1)


@twin_of(Tile(_make_chains(16, I32, _madd_step), needs=("avx512vnni",)))
def madd_chains(seeds, n_steps, out, o_off):
    """The same of int32 seeds (17, 16), the last as pairs of int16."""
    flat, pairs, totals = seeds.reshape(-1), seeds[-1].view(np.int16), out.reshape(-1)
    for i in range(CHAINS * 16):
        first, second = int(pairs[2 * (i % 16)]), int(pairs[2 * (i % 16) + 1])
        total = int(flat[i]) + n_steps * (first * first + second * second)
        totals[o_off + i] = (total + 2**31) % 2**32 - 2**31     # as int32 wraps


@kernel
def xnor_limit(seeds, n_steps, out, start, stop):
    """seeds (17, 8) uint64 -> out (M, 16, 8): item after item, `n_steps` of all chains, each from the same seeds."""
    for i in range(start, stop):
        xnor_chains(seeds, n_steps, out, i * 128)


@kernel
def madd_limit(seeds, n_steps, out, start, stop):
    """seeds (17, 16) int32, the last as pairs of int16 -> out (M, 16, 16), likewise; of use where that has a tile."""
    for i in range(start, stop):
        madd_chains(seeds, n_steps, out, i * 256)
