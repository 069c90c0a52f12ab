"""The tile of packed words for CPUs that look nibbles up: `xnor_tile`'s operations, 4 or 1 rows x 32 or 16 units.

A byte of x chooses a table: how many bits of its low nibble, and of its high one, differ from each nibble that a weight
can have. One vpshufb so counts 4 features of 32 pairs (unit, half of the byte): 128 binary multiply-adds, and one
addition of bytes sums them, where counting the ones of x ^ w takes ten instructions for 256.

    panel          (ceil(U / 16), W, 16) uint64 that is read as bytes (., W, 4, 2, 16): low nibbles or high nibbles (2)
                   of a pair of bytes (4) of 16 units' words; the pair's first byte below, its second above
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._llvm import I8, I16, I32, I64, declare, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of
from bnnsim.kernels.forward.tile_parts import (COLS, count_down, make_result, row_pointers, store_results,
                                               sum_whole_panel, tile_signature, walk_runs, zeroed)

ROWS, STRIPS = 4, 2
MOST = 31                           # pairs of bytes of x that sums of bytes hold: at most 8 of a pair in a lane
NIBBLES = np.arange(256, dtype=np.uint8)[:, None] >> np.array([0, 4], np.uint8) & 15     # (256, 2)
TABLES = np.bitwise_count(NIBBLES[:, :, None] ^ np.arange(16, dtype=np.uint8))           # (256, 2, 16)


def _tables(builder):
    """Pointer to TABLES (256, 2, 16) bytes, in the machine code."""
    values = ir.Constant(ir.ArrayType(I8, TABLES.size), bytearray(TABLES.tobytes()))
    table = cgutils.global_constant(builder, "nibble_tables", values)
    table.align = 32
    return builder.bitcast(table, I8.as_pointer())


def _move_ones(builder, sums, totals):
    """Add sums of bytes, a lane for either half, to the totals, and begin anew."""
    half, wide = ir.VectorType(I16, COLS), ir.VectorType(I32, COLS)
    for sum_row, total_row in zip(sums, totals):
        for slot, total in zip(sum_row, total_row):
            value = builder.load(slot)
            parts = [builder.zext(builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), ir.Constant(
                ir.VectorType(I32, COLS), [I32(COLS * side + c) for c in range(COLS)])), half) for side in range(2)]
            builder.store(builder.add(builder.load(total), builder.zext(builder.add(*parts), wide)), total)
            builder.store(ir.Constant(value.type, None), slot)


def _make_tile(n_rows, n_strips, to_bits):
    vec, strip_type = ir.VectorType(I8, 32), ir.VectorType(I32, COLS)

    @intrinsic
    def tile(_, x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off,
             o_stride):
        signature = tile_signature(x, x_at, table, panel, out)

        def generate(context, builder, signature, args):
            x, x_at, first, run_stride, n_runs, n_steps, panel, p_off = args[:8]
            rows = [builder.bitcast(row, I8.as_pointer()) for row in
                    row_pointers(context, builder, signature.args[0], x, x_at, first, I64, n_rows)]
            strip = builder.mul(builder.mul(n_runs, n_steps), I64(COLS))
            p_ptr = item_pointer(context, builder, signature.args[6], panel, p_off, I64)
            strips = [builder.bitcast(builder.gep(p_ptr, [builder.mul(strip, I64(v))]), I8.as_pointer())
                      for v in range(n_strips)]
            tables = _tables(builder)
            sums = zeroed(builder, vec, n_rows, n_strips)
            totals = zeroed(builder, strip_type, n_rows, n_strips)
            left = cgutils.alloca_once_value(builder, I64(MOST))
            shuffle = declare(builder, "llvm.x86.avx2.pshuf.b", vec, vec, vec)
            low, four = splat(builder, I8(15), vec), splat(builder, I16(4), ir.VectorType(I16, 16))

            def add_byte(at, nibbles):
                for row, slots in zip(rows, sums):
                    byte = builder.zext(builder.load(builder.gep(row, [at])), I64)
                    chosen = builder.load(vector_pointer(builder, tables, builder.shl(byte, I64(5)), vec), align=32)
                    for slot, nibble in zip(slots, nibbles):
                        ones = builder.call(shuffle, [chosen, nibble])
                        builder.store(builder.add(builder.load(slot), ones), slot)

            def add_step(number, at):
                place = builder.mul(number, I64(32))
                both = [builder.load(vector_pointer(builder, pointer, place, vec), align=8) for pointer in strips]
                add_byte(at, [builder.and_(value, low) for value in both])
                add_byte(builder.add(at, I64(1)), [builder.and_(builder.bitcast(builder.lshr(
                    builder.bitcast(value, four.type), four), vec), low) for value in both])
                count_down(builder, left, MOST, lambda: _move_ones(builder, sums, totals))

            walk_runs(builder, n_runs, builder.mul(n_steps, I64(4)), builder.mul(run_stride, I64(8)), 2, add_step)
            _move_ones(builder, sums, totals)
            store_results(context, builder, signature.args, args, totals, COLS, make_result(builder, to_bits), to_bits)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _make_twin(n_rows, n_strips, to_bits):
    def twin(x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off, o_stride):
        x_bytes, weights = x.reshape(-1).view(np.uint8), panel.reshape(-1).view(np.uint8)
        entries, out_flat, n = table.reshape(-1), out.reshape(-1), n_runs * n_steps
        for r in range(n_rows):
            for v in range(n_strips):
                mask = 0
                for c in range(COLS):
                    ones = 0
                    for i in range(8 * n):
                        at = x_at[first + r] + i // 8 // n_steps * run_stride + i // 8 % n_steps
                        tables, place = TABLES[x_bytes[8 * at + i % 8]], 8 * (p_off + v * n * COLS) + i // 2 * 32 + c
                        for side in range(2):
                            ones += int(tables[side, (weights[place + COLS * side] >> 4 * (i % 2)) & 15])
                    entry = entries[table_at[first + r] + t_off + COLS * v + c]
                    if to_bits:
                        mask |= int(ones <= entry) << c
                    else:
                        out_flat[o_off + r * o_stride + COLS * v + c] = entry - 2 * ones
                if to_bits:
                    out_flat.view(np.uint16)[o_off + r * o_stride + v] = mask

    twin.__name__ = f"nibble_{'bits' if to_bits else 'sums'}_{n_rows}x{n_strips}"
    return twin


def _operation(n_rows, n_strips, to_bits):
    return twin_of(Tile(_make_tile(n_rows, n_strips, to_bits), ("avx2",)))(_make_twin(n_rows, n_strips, to_bits))


def _make_rows(to_bits):
    large, narrow, single = (_operation(*size, to_bits) for size in ((ROWS, STRIPS), (ROWS, 1), (1, 1)))
    return sum_whole_panel(large, narrow, single, ROWS, STRIPS, to_bits)


nibble_bits, nibble_sums = _make_rows(True), _make_rows(False)    # of any number of rows against a whole panel
