"""What a core can do at most: register-only chains of the instructions that tiles are made of.

16 independent chains of 512 bits in vector registers, no loads and no stores in the loop: the speed that a product
tends to as everything else (loading operands, storing results, laying out panels) becomes free. For `bnnsim.bench`.

    xnor chain     s = s + popcount(s ^ w), eight uint64 a chain: 512 binary multiply-adds a step
    madd chain     s = s + s * w over pairs of int16, sixteen int32 a chain: 32 a step; CPUs with AVX512-VNNI or AVX2
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._jit import kernel
from bnnsim.kernels._llvm import I16, I32, I64, declare, item_pointer, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of

CHAINS = 16
XNOR_MACS, MADD_MACS = CHAINS * 512, CHAINS * 32                 # of one step of all chains


def _make_chains(lanes, item, step, bits=512):
    """Chains of `lanes` items, 512 bits, in vectors of `bits`: all at once, or in turns of twelve in 16 registers."""
    parts, at_once = 512 // bits, CHAINS if bits == 512 else 12
    vector = ir.VectorType(item, lanes // parts)

    @intrinsic
    def chains(_, seeds, n_steps, out, o_off):
        signature = types.void(seeds, types.intp, out, types.intp)

        def generate(context, builder, signature, args):
            s_ptr = item_pointer(context, builder, signature.args[0], args[0], I64(0), item)
            o_ptr = item_pointer(context, builder, signature.args[2], args[2], args[3], item)
            slots = [cgutils.alloca_once(builder, vector) for _ in range(at_once)]

            def load(i):
                return builder.load(vector_pointer(builder, s_ptr, I64(vector.count * i), vector), align=4)

            operands = [load(CHAINS * parts + part) for part in range(parts)]
            for first in range(0, CHAINS * parts, at_once):
                here = slots[:CHAINS * parts - first]
                for i, slot in enumerate(here):
                    builder.store(load(first + i), slot)
                with cgutils.for_range(builder, args[1]):
                    for i, slot in enumerate(here):
                        builder.store(step(builder, builder.load(slot), operands[i % parts], vector), slot)
                for i, slot in enumerate(here):
                    place = vector_pointer(builder, o_ptr, I64(vector.count * (first + i)), vector)
                    builder.store(builder.load(slot), place, align=4)
            return context.get_dummy_value()

        return signature, generate

    return chains


def _xnor_step(builder, total, operand, vector):
    popcount = declare(builder, f"llvm.ctpop.v{vector.count}i64", vector, vector)
    return builder.add(total, builder.call(popcount, [builder.xor(total, operand)]))


def _madd_step(builder, total, operand, vector):
    multiply_add = declare(builder, "llvm.x86.avx512.vpdpwssd.512", *[vector] * 4)
    return builder.call(multiply_add, [total, total, operand])


def _two_steps(builder, total, operand, vector):
    pairs = ir.VectorType(I16, 2 * vector.count)
    multiply = declare(builder, "llvm.x86.avx2.pmadd.wd", vector, pairs, pairs)
    return builder.add(total, builder.call(multiply, [builder.bitcast(value, pairs) for value in (total, operand)]))


@twin_of(Tile(_make_chains(8, I64, _xnor_step), needs=("avx512f",)),
         Tile(_make_chains(8, I64, _xnor_step, 256)))
def xnor_chains(seeds, n_steps, out, o_off):
    """out[o_off..] (16, 8) = seeds[:16] after n_steps of all chains; the last of the seeds (17, 8) is the operand."""
    totals, operand = seeds[:-1].copy(), seeds[-1]
    for _ in range(n_steps):
        totals += np.bitwise_count(totals ^ operand).astype(np.uint64)
    out.reshape(-1)[o_off:o_off + totals.size] = totals.reshape(-1)


@twin_of(Tile(_make_chains(16, I32, _madd_step), needs=("avx512vnni",)),
         Tile(_make_chains(16, I32, _two_steps, 256), needs=("avx2",)))
def madd_chains(seeds, n_steps, out, o_off):
    """The same of int32 seeds (17, 16), the last as pairs of int16."""
    flat, pairs, totals = seeds.reshape(-1), seeds[-1].view(np.int16), out.reshape(-1)
    for i in range(CHAINS * 16):
        total = int(flat[i])
        for _ in range(n_steps):
            low, high = (total + 2**15) % 2**16 - 2**15, total >> 16
            total += low * int(pairs[2 * (i % 16)]) + high * int(pairs[2 * (i % 16) + 1])
            total = (total + 2**31) % 2**32 - 2**31             # as int32 wraps
        totals[o_off + i] = total


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
