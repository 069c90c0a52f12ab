"""Register tiles of the forward pass, straight to output bits or to int32 pre-activations; each with its plain twin.

    xnor tile      8 or 1 rows x 16 units on packed words; panel (ceil(U / 16), W, 16) uint64
    pixel tile     6 or 1 rows x 64 or 16 units, uint8 x +-1; panel (ceil(U / 16), W, 16) uint32: four bytes +1, -1 or
                   0 of a unit, one for each of four neighbouring pixels

A row is an image (dense) or an output position (conv). It reads `n_runs` runs of `n_steps` neighbouring items (words,
or four pixels), `run_stride` apart, from ``x_at[first + r]`` on: a convolution reads its patch where it lies in the
padded image, one run a kernel row, and a dense row is a single run. Its table row begins at ``table_at[first + r]``:
what padding takes away differs from position to position, and each kind of border has a row of its own.

    bits           xnor: ones <= table; pixels: sum >= table; ones = popcount(x ^ w)
    int32          xnor: table - 2 * ones; pixels: table + sum

Strides and offsets of x count its items (words, pixels), of the table entries, of the output 16 bits or int32. Arrays
are C-contiguous. Words are little-endian in memory, as on every CPU that Numba compiles for.
"""

import functools

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._jit import JIT_OFF, inline
from bnnsim.kernels._llvm import HAS_VNNI, I16, I32, I64, I8, _declare, _pointer, _splat, _vector_pointer

XNOR_ROWS, XNOR_COLS = 8, 16
PIXEL_ROWS, PIXEL_COLS = 6, 16


def _row_pointers(context, builder, kind, array, offsets, first, item, n_rows):
    """Pointers to the items at which rows begin, offsets[first..first + n_rows - 1]."""
    base = _pointer(context, builder, kind, array, I64(0), item)
    at = _pointer(context, builder, types.Array(types.int64, 1, "C"), offsets, first, I64)
    return [builder.gep(base, [builder.load(builder.gep(at, [I64(r)]))]) for r in range(n_rows)]


def _runs(builder, n_runs, n_steps, run_stride, item_scale, body):
    """body(number of the step over all runs, its offset in a row) for every step of every run."""
    with cgutils.for_range(builder, n_runs) as run:
        base, start = builder.mul(run.index, n_steps), builder.mul(run.index, run_stride)
        with cgutils.for_range(builder, n_steps) as step:
            body(builder.add(base, step.index), builder.add(start, builder.mul(step.index, I64(item_scale))))


def _zeroed(builder, vector, n_rows, n_vectors):
    slots = [[cgutils.alloca_once(builder, vector) for _ in range(n_vectors)] for _ in range(n_rows)]
    for slot in sum(slots, []):
        builder.store(ir.Constant(vector, None), slot)
    return slots


def _join_masks(builder, masks, lanes, width):
    """Comparison masks <lanes x i1> side by side in one integer of `width` bits."""
    word = ir.Constant(ir.IntType(width), 0)
    for v, mask in enumerate(masks):
        bits = builder.zext(builder.bitcast(mask, ir.IntType(lanes)), word.type)
        word = builder.or_(word, builder.shl(bits, ir.Constant(word.type, lanes * v)))
    return word


def _signature(x, offsets, table, panel, out):
    index = types.intp
    return types.void(x, offsets, index, index, index, index, panel, index, table, offsets, index, out, index, index)


def _make_xnor_tile(n_rows, to_bits):
    vec, vec32 = ir.VectorType(I64, 8), ir.VectorType(I32, 8)

    @intrinsic
    def tile(_, x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off,
             o_stride):
        signature = _signature(x, x_at, table, panel, out)

        def generate(context, builder, signature, args):
            (x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off,
             o_stride) = args
            kinds = signature.args
            rows = _row_pointers(context, builder, kinds[0], x, x_at, first, I64, n_rows)
            p_ptr = _pointer(context, builder, kinds[6], panel, p_off, I64)
            sums = _zeroed(builder, vec, n_rows, 2)
            popcount = _declare(builder, "llvm.ctpop.v8i64", vec, vec)

            def body(number, offset):
                word_ptr = builder.gep(p_ptr, [builder.mul(number, I64(XNOR_COLS))])
                weights = [builder.load(_vector_pointer(builder, word_ptr, I64(8 * v), vec), align=8)
                           for v in range(2)]
                for row, slots in zip(rows, sums):
                    bits = _splat(builder, builder.load(builder.gep(row, [offset])), vec)
                    for slot, weight in zip(slots, weights):
                        ones = builder.call(popcount, [builder.xor(bits, weight)])
                        builder.store(builder.add(builder.load(slot), ones), slot)

            _runs(builder, n_runs, n_steps, run_stride, 1, body)
            tables = _row_pointers(context, builder, kinds[8], table, table_at, first, I32, n_rows)
            o_ptr = _pointer(context, builder, kinds[11], out, I64(0), I64 if to_bits else I32)
            if to_bits:
                o_ptr = builder.bitcast(o_ptr, I16.as_pointer())
            for r, slots in enumerate(sums):
                at, masks = builder.add(o_off, builder.mul(o_stride, I64(r))), []
                for v, slot in enumerate(slots):
                    place = builder.add(t_off, I64(8 * v))
                    entry = builder.load(_vector_pointer(builder, tables[r], place, vec32), align=4)
                    ones = builder.trunc(builder.load(slot), vec32)
                    if to_bits:
                        masks.append(builder.icmp_signed("<=", ones, entry))
                    else:
                        target = _vector_pointer(builder, o_ptr, builder.add(at, I64(8 * v)), vec32)
                        builder.store(builder.sub(entry, builder.add(ones, ones)), target, align=4)
                if to_bits:
                    builder.store(_join_masks(builder, masks, 8, 16), builder.gep(o_ptr, [at]))
            return context.get_dummy_value()

        return signature, generate

    return tile


def _make_xnor_twin(n_rows, to_bits):
    def tile_plain(x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off,
                   o_stride):
        x, panel, table, out = x.reshape(-1), panel.reshape(-1), table.reshape(-1), out.reshape(-1)
        for r in range(n_rows):
            mask = 0
            for c in range(XNOR_COLS):
                ones = 0
                for step in range(n_runs * n_steps):
                    at = x_at[first + r] + step // n_steps * run_stride + step % n_steps
                    ones += int(x[at] ^ panel[p_off + step * XNOR_COLS + c]).bit_count()
                entry = table[table_at[first + r] + t_off + c]
                if to_bits:
                    mask |= int(ones <= entry) << c
                else:
                    out[o_off + r * o_stride + c] = entry - 2 * ones
            if to_bits:
                out.view(np.uint16)[o_off + r * o_stride] = mask

    return tile_plain


@functools.cache
def _dot_type():
    """Operand type of vpdpbusd in this LLVM: newer ones want bytes, older ones 32-bit lanes."""
    for operand in (ir.VectorType(I8, 64), ir.VectorType(I32, 16)):
        lanes = ir.VectorType(I32, 16)
        text = (f"declare {lanes} @llvm.x86.avx512.vpdpbusd.512({lanes}, {operand}, {operand})\n"
                f"define {lanes} @f({lanes} %a, {operand} %b, {operand} %c) {{\n"
                f"%d = call {lanes} @llvm.x86.avx512.vpdpbusd.512({lanes} %a, {operand} %b, {operand} %c)\n"
                f"ret {lanes} %d\n}}")
        try:
            binding.parse_assembly(text).verify()
            return operand
        except RuntimeError:
            continue
    raise NotImplementedError("this LLVM has no vpdpbusd")


def _make_pixel_tile(n_rows, n_vectors, to_bits):
    acc = ir.VectorType(I32, 16)

    @intrinsic
    def tile(_, x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off,
             o_stride):
        signature = _signature(x, x_at, table, panel, out)

        def generate(context, builder, signature, args):
            (x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off,
             o_stride) = args
            kinds = signature.args
            rows = _row_pointers(context, builder, kinds[0], x, x_at, first, I8, n_rows)
            strip = builder.mul(builder.mul(n_runs, n_steps), I64(PIXEL_COLS))
            p_ptr = _pointer(context, builder, kinds[6], panel, p_off, I32)
            strips = [builder.gep(p_ptr, [builder.mul(strip, I64(v))]) for v in range(n_vectors)]
            sums = _zeroed(builder, acc, n_rows, n_vectors)
            operand = _dot_type()
            dot = _declare(builder, "llvm.x86.avx512.vpdpbusd.512", acc, acc, operand, operand)

            def body(number, offset):
                at = builder.mul(number, I64(PIXEL_COLS))
                weights = [builder.bitcast(builder.load(_vector_pointer(builder, pointer, at, acc), align=4), operand)
                           for pointer in strips]
                for row, slots in zip(rows, sums):
                    four = builder.load(builder.bitcast(builder.gep(row, [offset]), I32.as_pointer()), align=1)
                    pixels = builder.bitcast(_splat(builder, four, acc), operand)
                    for slot, weight in zip(slots, weights):
                        builder.store(builder.call(dot, [builder.load(slot), pixels, weight]), slot)

            _runs(builder, n_runs, n_steps, run_stride, 4, body)
            tables = _row_pointers(context, builder, kinds[8], table, table_at, first, I32, n_rows)
            o_ptr = _pointer(context, builder, kinds[11], out, I64(0), I64 if to_bits else I32)
            mask_type = ir.IntType(16 * n_vectors)
            if to_bits:
                o_ptr = builder.bitcast(o_ptr, I16.as_pointer())
            for r, slots in enumerate(sums):
                at, masks = builder.add(o_off, builder.mul(o_stride, I64(r))), []
                for v, slot in enumerate(slots):
                    place = builder.add(t_off, I64(16 * v))
                    entry = builder.load(_vector_pointer(builder, tables[r], place, acc), align=4)
                    if to_bits:
                        masks.append(builder.icmp_signed(">=", builder.load(slot), entry))
                    else:
                        target = _vector_pointer(builder, o_ptr, builder.add(at, I64(16 * v)), acc)
                        builder.store(builder.add(entry, builder.load(slot)), target, align=4)
                if to_bits:
                    target = builder.bitcast(builder.gep(o_ptr, [at]), mask_type.as_pointer())
                    builder.store(_join_masks(builder, masks, 16, mask_type.width), target, align=2)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _make_pixel_twin(n_rows, n_vectors, to_bits):
    def tile_plain(x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off,
                   o_stride):
        x_flat, weights, entries, out_flat = x.reshape(-1), panel.reshape(-1), table.reshape(-1), out.reshape(-1)
        n = n_runs * n_steps
        for r in range(n_rows):
            for v in range(n_vectors):
                mask = 0
                for c in range(16):
                    total = np.int32(0)
                    for step in range(n):
                        at = x_at[first + r] + step // n_steps * run_stride + 4 * (step % n_steps)
                        four = weights[p_off + (v * n + step) * 16 + c]
                        for i in range(4):
                            plus = (four >> np.uint32(8 * i)) & np.uint32(255)          # 1, 0 or 255, which is -1
                            total += np.int32(x_flat[at + i]) * (np.int32(plus) if plus < 2 else np.int32(-1))
                    entry = entries[table_at[first + r] + t_off + 16 * v + c]
                    if to_bits:
                        mask |= int(total >= entry) << c
                    else:
                        out_flat[o_off + r * o_stride + 16 * v + c] = entry + total
                if to_bits:
                    out_flat.view(np.uint16)[o_off + r * o_stride + v] = mask

    return tile_plain


XNOR_TILES = {(n_rows, to_bits): _make_xnor_twin(n_rows, to_bits) for n_rows in (8, 1) for to_bits in (True, False)}
PIXEL_TILES = {(*size, to_bits): _make_pixel_twin(*size, to_bits) for size in ((6, 4), (6, 1), (1, 1))
               for to_bits in (True, False)}


def _vector(make, plain, usable):
    """The vector tiles where the machine has what they need, else the twins."""
    return {size: make(*size) if usable and not JIT_OFF else inline(twin) for size, twin in plain.items()}


_xnor, _pixel = _vector(_make_xnor_tile, XNOR_TILES, True), _vector(_make_pixel_tile, PIXEL_TILES, HAS_VNNI)
xnor_bits_8, xnor_bits_1, xnor_sums_8, xnor_sums_1 = (_xnor[size] for size in (
    (8, True), (1, True), (8, False), (1, False)))
pixel_bits_6x4, pixel_bits_6x1, pixel_bits_1x1 = (_pixel[*size, True] for size in ((6, 4), (6, 1), (1, 1)))
pixel_sums_6x4, pixel_sums_6x1, pixel_sums_1x1 = (_pixel[*size, False] for size in ((6, 4), (6, 1), (1, 1)))
