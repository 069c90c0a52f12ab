"""Register tiles: the few inner loops written as explicit vector code, each with its plain twin.

LLVM vectorises plain loops to 256 bits and stops at half of the machine's speed, so each tile is an intrinsic that
emits vector IR: R rows x V vectors of accumulators that stay in registers over the whole summed axis, with operands
stored in the order in which they are read ("panels"). The plain twins do the same sums in the same integers. They
serve NUMBA_DISABLE_JIT=1, and the madd twins CPUs without AVX512-VNNI; the tests hold each tile against its twin.

    xnor tile      8 or 1 rows x 16 units; panel (ceil(U / 16), W, 16) uint64: word w of 16 neighbouring units
    madd tile      6 rows x 64 columns; panel (F / 64, K / 2, 4) uint32: bit 2i + j of mask v: bit 16v + i of row k + j
    madd16 tile    the same with int16 in place of bits; panel (F / 64, K / 2, 64, 2) int16

Every argument `x_off` counts items from the start of the array, which is C-contiguous.
"""

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, config
from numba.core.errors import NumbaTypeError
from numba.extending import intrinsic

from bnnsim.kernels._jit import JIT_OFF, inline

XNOR_ROWS, XNOR_COLS = 8, 16
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


def _make_xnor_tile(n_rows):
    """Tile of `n_rows` x 16: out = base - 2 * popcount(x ^ panel), summed over words."""
    vec, vec32 = ir.VectorType(I64, 8), ir.VectorType(I32, 8)

    @intrinsic
    def xnor_tile(_, x, x_off, x_stride, panel, p_off, n_words, base, out, o_off, o_stride):
        index = types.intp
        signature = types.void(x, index, index, panel, index, index, types.int32, out, index, index)

        def generate(context, builder, signature, args):
            x, x_off, x_stride, panel, p_off, n_words, base, out, o_off, o_stride = args
            x_ptr = _pointer(context, builder, signature.args[0], x, x_off, I64)
            p_ptr = _pointer(context, builder, signature.args[3], panel, p_off, I64)
            o_ptr = _pointer(context, builder, signature.args[7], out, o_off, I32)
            rows = [builder.gep(x_ptr, [builder.mul(x_stride, I64(r))]) for r in range(n_rows)]
            zero = ir.Constant(vec, None)
            sums = [[cgutils.alloca_once(builder, vec) for _ in range(2)] for _ in range(n_rows)]
            for slot in sum(sums, []):
                builder.store(zero, slot)
            popcount = _declare(builder, "llvm.ctpop.v8i64", vec, vec)
            with cgutils.for_range(builder, n_words) as loop:
                word_ptr = builder.gep(p_ptr, [builder.mul(loop.index, I64(XNOR_COLS))])
                weights = [builder.load(_vector_pointer(builder, word_ptr, I64(8 * v), vec), align=8)
                           for v in range(2)]
                for row, slots in zip(rows, sums):
                    bits = _splat(builder, builder.load(builder.gep(row, [loop.index])), vec)
                    for slot, weight in zip(slots, weights):
                        ones = builder.call(popcount, [builder.xor(bits, weight)])
                        builder.store(builder.add(builder.load(slot), ones), slot)
            bases = _splat(builder, base, vec32)
            for r, slots in enumerate(sums):
                for v, slot in enumerate(slots):
                    ones = builder.trunc(builder.load(slot), vec32)
                    at = builder.add(builder.mul(o_stride, I64(r)), I64(8 * v))
                    builder.store(builder.sub(bases, builder.add(ones, ones)),
                                  _vector_pointer(builder, o_ptr, at, vec32), align=4)
            return context.get_dummy_value()

        return signature, generate

    return xnor_tile


def _make_xnor_twin(n_rows):
    def xnor_tile_plain(x, x_off, x_stride, panel, p_off, n_words, base, out, o_off, o_stride):
        x, panel, out = x.reshape(-1), panel.reshape(-1), out.reshape(-1)
        for r in range(n_rows):
            for c in range(XNOR_COLS):
                ones = 0
                for w in range(n_words):
                    ones += int(x[x_off + r * x_stride + w] ^ panel[p_off + w * XNOR_COLS + c]).bit_count()
                out[o_off + r * o_stride + c] = base - 2 * ones

    return xnor_tile_plain


def _make_madd_tile(from_bits):
    """Tile of 6 x 64: out (6, 64) int32 += a (6, 2 n_pairs) int16 times the panel's +-1 (or int16) columns."""
    acc, half = ir.VectorType(I32, 16), ir.VectorType(I16, 32)
    one, minus_one = (ir.Constant(half, [I16(value)] * 32) for value in (1, -1))

    @intrinsic
    def madd_tile(_, a, a_off, a_stride, panel, p_off, n_pairs, out, o_off):
        index = types.intp
        signature = types.void(a, index, index, panel, index, index, out, index)

        def generate(context, builder, signature, args):
            a, a_off, a_stride, panel, p_off, n_pairs, out, o_off = args
            a_ptr = _pointer(context, builder, signature.args[0], a, a_off, I16)
            p_ptr = _pointer(context, builder, signature.args[3], panel, p_off, I32, I32 if from_bits else I16)
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
                pair = builder.gep(p_ptr, [builder.mul(loop.index, I64(4 if from_bits else 64))])
                columns = []
                for v in range(4):
                    if from_bits:
                        mask = builder.bitcast(builder.load(builder.gep(pair, [I64(v)])), ir.VectorType(I1, 32))
                        column = builder.bitcast(builder.select(mask, one, minus_one), acc)
                    else:
                        column = builder.load(_vector_pointer(builder, pair, I64(16 * v), acc), align=4)
                    columns.append(column)
                for row, row_slots in zip(rows, slots):
                    value = _splat(builder, builder.load(builder.gep(row, [loop.index]), align=2), acc)
                    for slot, column in zip(row_slots, columns):
                        builder.store(builder.call(multiply_add, [builder.load(slot), value, column]), slot)
            for place, slot in zip(sum(places, []), sum(slots, [])):
                builder.store(builder.load(slot), place, align=4)
            return context.get_dummy_value()

        return signature, generate

    return madd_tile


def madd_tile_plain(a, a_off, a_stride, panel, p_off, n_pairs, out, o_off):
    a_flat, panel_flat, out_flat = a.reshape(-1), panel.reshape(-1), out.reshape(-1)
    for r in range(MADD_ROWS):
        for k in range(n_pairs):
            first = a_flat[a_off + r * a_stride + 2 * k]
            second = a_flat[a_off + r * a_stride + 2 * k + 1]
            for v in range(4):
                mask = int(panel_flat[p_off + 4 * k + v])
                for i in range(16):
                    total = out_flat[o_off + 64 * r + 16 * v + i]
                    total += first if (mask >> (2 * i)) & 1 else -first
                    total += second if (mask >> (2 * i + 1)) & 1 else -second
                    out_flat[o_off + 64 * r + 16 * v + i] = total


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
def _compare_word(_, h, h_off, theta, t_off):
    """Word whose bit i is h[h_off + i] >= theta[t_off + i], for 64 int32."""
    signature = types.uint64(h, types.intp, theta, types.intp)

    def generate(context, builder, signature, args):
        vector = ir.VectorType(I32, 64)
        left, right = (builder.load(builder.bitcast(_pointer(context, builder, signature.args[i], args[i], args[i + 1],
                                                             I32), vector.as_pointer()), align=4) for i in (0, 2))
        return builder.bitcast(builder.icmp_signed(">=", left, right), I64)

    return signature, generate


def compare_word_plain(h, h_off, theta, t_off):
    h_flat, word = h.reshape(-1), 0
    for i in range(64):
        word |= int(h_flat[h_off + i] >= theta[t_off + i]) << i
    return np.uint64(word)


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
xnor_tile_8_plain, xnor_tile_1_plain = _make_xnor_twin(8), _make_xnor_twin(1)
if JIT_OFF:
    xnor_tile_8, xnor_tile_1 = xnor_tile_8_plain, xnor_tile_1_plain
    compare_word, sign_word, multiply_high = compare_word_plain, sign_word_plain, multiply_high_plain
else:
    xnor_tile_8, xnor_tile_1 = _make_xnor_tile(8), _make_xnor_tile(1)
    compare_word, sign_word, multiply_high = _compare_word, _sign_word, _multiply_high
if HAS_VNNI and not JIT_OFF:
    madd_tile, madd16_tile = _make_madd_tile(True), _make_madd_tile(False)
else:
    madd_tile, madd16_tile = inline(madd_tile_plain), inline(madd16_tile_plain)
