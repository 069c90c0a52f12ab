"""What a core can do at most: register-only chains of the instructions that the tiles of `simd` are made of.

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

from bnnsim.kernels._jit import JIT_OFF, kernel
from bnnsim.kernels._llvm import HAS_VNNI, I32, I64, _declare, _pointer, _vector_pointer

CHAINS = 16
XNOR_MACS, MADD_MACS = CHAINS * 512, CHAINS * 32                 # of one step of all chains
HAS_MADD_LIMIT = HAS_VNNI and not JIT_OFF


def _make_chains(lanes, item, step):
    """Intrinsic (seeds (CHAINS + 1, lanes), n_steps, out (., CHAINS, lanes), offset); the last seed is the operand."""
    vector = ir.VectorType(item, lanes)

    @intrinsic
    def chains(_, seeds, n_steps, out, o_off):
        signature = types.void(seeds, types.intp, out, types.intp)

        def generate(context, builder, signature, args):
            s_ptr = _pointer(context, builder, signature.args[0], args[0], I64(0), item)
            o_ptr = _pointer(context, builder, signature.args[2], args[2], args[3], item)
            at = [builder.load(_vector_pointer(builder, s_ptr, I64(lanes * i), vector), align=4)
                  for i in range(CHAINS + 1)]
            slots = [cgutils.alloca_once(builder, vector) for _ in range(CHAINS)]
            for value, slot in zip(at, slots):
                builder.store(value, slot)
            with cgutils.for_range(builder, args[1]):
                for slot in slots:
                    builder.store(step(builder, builder.load(slot), at[-1], vector), slot)
            for i, slot in enumerate(slots):
                place = _vector_pointer(builder, o_ptr, I64(lanes * i), vector)
                builder.store(builder.load(slot), place, align=4)
            return context.get_dummy_value()

        return signature, generate

    return chains


def _xnor_step(builder, total, operand, vector):
    popcount = _declare(builder, "llvm.ctpop.v8i64", vector, vector)
    return builder.add(total, builder.call(popcount, [builder.xor(total, operand)]))


def _madd_step(builder, total, operand, vector):
    multiply_add = _declare(builder, "llvm.x86.avx512.vpdpwssd.512", *[vector] * 4)
    return builder.call(multiply_add, [total, operand, operand])


def xnor_chains_plain(seeds, n_steps, out, o_off):
    totals, operand = seeds[:-1].copy(), seeds[-1]
    for _ in range(n_steps):
        totals += np.bitwise_count(totals ^ operand).astype(np.uint64)
    out.reshape(-1)[o_off:o_off + totals.size] = totals.reshape(-1)


def madd_chains_plain(seeds, n_steps, out, o_off):
    pairs = seeds[-1].view(np.int16).reshape(-1, 2).astype(np.int64)
    totals = (seeds[:-1].astype(np.int64) + n_steps * (pairs * pairs).sum(axis=1)).astype(np.int32)   # wraps
    out.reshape(-1)[o_off:o_off + totals.size] = totals.reshape(-1)


_xnor_chains = xnor_chains_plain if JIT_OFF else _make_chains(8, I64, _xnor_step)
_madd_chains = _make_chains(16, I32, _madd_step) if HAS_MADD_LIMIT else madd_chains_plain


@kernel
def xnor_limit(seeds, n_steps, out, start, stop):
    """seeds (17, 8) uint64 -> out (M, 16, 8): item after item, `n_steps` of all chains, each from the same seeds."""
    for i in range(start, stop):
        _xnor_chains(seeds, n_steps, out, i * 128)


@kernel
def madd_limit(seeds, n_steps, out, start, stop):
    """seeds (17, 16) int32, the last as pairs of int16 -> out (M, 16, 16), likewise; needs HAS_MADD_LIMIT."""
    for i in range(start, stop):
        _madd_chains(seeds, n_steps, out, i * 256)
