"""Register tiles of the backward pass and small vector operations, as explicit vector code with a plain twin each.

LLVM vectorises plain loops to 256 bits and stops at half of the machine's speed, so each tile is an intrinsic that
emits vector IR: R rows x V vectors of accumulators that stay in registers over the whole summed axis, with operands
stored in the order in which they are read ("panels"). The plain twins do the same sums in the same integers. They
serve NUMBA_DISABLE_JIT=1, and the madd16 twin CPUs without AVX512-VNNI; the tests hold each tile against its twin.

    madd16 tile    6 rows x 64 columns of int16; panel (F / 64, K / 2, 64, 2) int16

Every argument `x_off` counts items from the start of the array, which is C-contiguous.
"""

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, config
from numba.core.errors import NumbaTypeError
from numba.extending import intrinsic

from bnnsim.kernels._jit import JIT_OFF, inline

MADD_ROWS, MADD_COLS = 6, 64

I1, I8, I16, I32, I64, I128 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64, 128))


def _pointer(context, builder, array_type, array, offset, item, stored=None):
    """Pointer to `item`s; refuses, when compiling, an array that is not C-contiguous or holds anything else."""
    if array_type.layout != "C" or context.get_data_type(array_type.dtype) != (stored or item):
        raise NumbaTypeError(f"tile needs a C-contiguous array of {stored or item}, got {array_type}")
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(builder.bitcast(data, item.as_pointer()), [offset])


def _vector_pointer(builder, pointer, index, vector):
    return builder.bitcast(builder.gep(pointer, [index]), vector.as_pointer())


def _splat(builder, scalar, vector):
    undefined = ir.Constant(vector, ir.Undefined)
    lanes = ir.Constant(ir.VectorType(I32, vector.count), None)
    return builder.shuffle_vector(builder.insert_element(undefined, scalar, I32(0)), undefined, lanes)


def _declare(builder, name, result, *arguments):
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, arguments), name)


def _make_madd16_tile():
    """Tile of 6 x 64: out (6, 64) int32 += a (6, 2 n_pairs) int16 times the panel's int16 columns."""
    acc = ir.VectorType(I32, 16)

    @intrinsic
    def madd16_tile(_, a, a_off, a_stride, panel, p_off, n_pairs, out, o_off):
        index = types.intp
        signature = types.void(a, index, index, panel, index, index, out, index)

        def generate(context, builder, signature, args):
            a, a_off, a_stride, panel, p_off, n_pairs, out, o_off = args
            a_ptr = _pointer(context, builder, signature.args[0], a, a_off, I16)
            p_ptr = _pointer(context, builder, signature.args[3], panel, p_off, I32, I16)
            o_ptr = _pointer(context, builder, signature.args[6], out, o_off, I32)
            rows = [builder.bitcast(builder.gep(a_ptr, [builder.mul(a_stride, I64(r))]), I32.as_pointer())
                    for r in range(MADD_ROWS)]
            places = [[_vector_pointer(builder, o_ptr, I64(64 * r + 16 * v), acc) for v in range(4)]
                      for r in range(MADD_ROWS)]
            slots = [[cgutils.alloca_once(builder, acc) for _ in range(4)] for _ in range(MADD_ROWS)]
            for place, slot in zip(sum(places, []), sum(slots, [])):
                builder.store(builder.load(place, align=4), slot)
            multiply_add = _declare(builder, "llvm.x86.avx512.vpdpwssd.512", acc, acc, acc, acc)
            with cgutils.for_range(builder, n_pairs) as loop:
                pair = builder.gep(p_ptr, [builder.mul(loop.index, I64(64))])
                columns = [builder.load(_vector_pointer(builder, pair, I64(16 * v), acc), align=4) for v in range(4)]
                for row, row_slots in zip(rows, slots):
                    value = _splat(builder, builder.load(builder.gep(row, [loop.index]), align=2), acc)
                    for slot, column in zip(row_slots, columns):
                        builder.store(builder.call(multiply_add, [builder.load(slot), value, column]), slot)
            for place, slot in zip(sum(places, []), sum(slots, [])):
                builder.store(builder.load(slot), place, align=4)
            return context.get_dummy_value()

        return signature, generate

    return madd16_tile


def madd16_tile_plain(a, a_off, a_stride, panel, p_off, n_pairs, out, o_off):
    a_flat, panel_flat, out_flat = a.reshape(-1), panel.reshape(-1), out.reshape(-1)
    for r in range(MADD_ROWS):
        for k in range(n_pairs):
            first = int(a_flat[a_off + r * a_stride + 2 * k])
            second = int(a_flat[a_off + r * a_stride + 2 * k + 1])
            for c in range(MADD_COLS):
                at = 2 * (p_off + 64 * k + c)
                out_flat[o_off + 64 * r + c] += first * int(panel_flat[at]) + second * int(panel_flat[at + 1])


@intrinsic
def _sign_word(_, values, offset):
    """Word whose bit i is values[offset + i] >= 0, for 64 float32 or float64."""
    signature = types.uint64(values, types.intp)

    def generate(context, builder, signature, args):
        item = ir.FloatType() if signature.args[0].dtype == types.float32 else ir.DoubleType()
        vector = ir.VectorType(item, 64)
        pointer = _pointer(context, builder, signature.args[0], *args, item)
        values = builder.load(builder.bitcast(pointer, vector.as_pointer()), align=4)
        return builder.bitcast(builder.fcmp_ordered(">=", values, ir.Constant(vector, None)), I64)

    return signature, generate


def sign_word_plain(values, offset):
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
            pointer = _pointer(context, builder, signature.args[0], args[0], I64(0), I64)
            values = builder.load(builder.bitcast(pointer, vector.as_pointer()), align=8)
            bound = _splat(builder, builder.trunc(args[1], I32), vector)
            return builder.bitcast(builder.icmp_unsigned(comparison, values, bound), I64)

        return signature, generate

    return draws_word


def draws_below_plain(draws, high):
    """Word whose bit i tells whether the i-th of the 64 uint32 in draws (32,) uint64 is below high < 2^32."""
    return np.uint64(sum(int(draw < high) << i for i, draw in enumerate(draws.view(np.uint32))))


def draws_equal_plain(draws, high):
    """The same for being equal to high."""
    return np.uint64(sum(int(draw == high) << i for i, draw in enumerate(draws.view(np.uint32))))


@intrinsic
def _multiply_high(_, a, b):
    """High 64 bits of the 128-bit product of two uint64."""
    def generate(context, builder, signature, args):
        wide = builder.mul(*(builder.zext(value, I128) for value in args))
        return builder.trunc(builder.lshr(wide, I128(64)), I64)

    return types.uint64(types.uint64, types.uint64), generate


def multiply_high_plain(a, b):
    return np.uint64((int(a) * int(b)) >> 64)


def _target_has(feature):
    """Whether Numba compiles for a CPU with `feature`: this one, unless NUMBA_CPU_NAME and the like say otherwise."""
    if config.CPU_FEATURES is not None:
        return f"+{feature}" in config.CPU_FEATURES.split(",")
    return bool(config.ENABLE_AVX) and binding.get_host_cpu_features().get(feature, False)


HAS_VNNI = _target_has("avx512vnni")
if JIT_OFF:
    sign_word, multiply_high = sign_word_plain, multiply_high_plain
    draws_below, draws_equal = draws_below_plain, draws_equal_plain
else:
    sign_word, multiply_high = _sign_word, _multiply_high
    draws_below, draws_equal = _make_draws_word("<"), _make_draws_word("==")
madd16_tile = _make_madd16_tile() if HAS_VNNI and not JIT_OFF else inline(madd16_tile_plain)
