"""The tile of packed words against packed weights: 8 or 1 rows x 16 units, to bits or sums (see `tile_parts`).

    panel          (ceil(U / 16), W, 16) uint64: word w of 16 neighbouring units

Where the CPU counts the ones of a vector's words, all 16 units at once; else four of them, whose ones are summed byte
by byte. AVX2 has neither count: there `nibble_tile` takes the place of both, with the same panel in another order.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._jit import JIT_OFF, inline
from bnnsim.kernels._llvm import I8, I32, I64, declare, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, target_has, twin_of
from bnnsim.kernels.forward.nibble_tile import nibble_bits, nibble_sums
from bnnsim.kernels.forward.tile_parts import (COLS, count_down, make_result, row_pointers, store_results,
                                               tile_signature, totals_in_memory, walk_runs, zeroed)
from bnnsim.kernels.words.packing import nibble_panel, xnor_panel

ROWS = 8
UNITS, MOST = 4, 31                 # of a narrow tile's vector; words whose ones a byte holds: 31 * 8 < 2^8


def _make_tile(n_rows, to_bits):
    vec, vec32 = ir.VectorType(I64, 8), ir.VectorType(I32, 8)

    @intrinsic
    def tile(_, x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off,
             o_stride):
        signature = tile_signature(x, x_at, table, panel, out)

        def generate(context, builder, signature, args):
            x, x_at, first, run_stride, n_runs, n_steps, panel, p_off = args[:8]
            rows = row_pointers(context, builder, signature.args[0], x, x_at, first, I64, n_rows)
            p_ptr = item_pointer(context, builder, signature.args[6], panel, p_off, I64)
            sums = zeroed(builder, vec, n_rows, 2)
            popcount, compared = declare(builder, "llvm.ctpop.v8i64", vec, vec), make_result(builder, to_bits)

            def add_step(number, offset):
                word_ptr = builder.gep(p_ptr, [builder.mul(number, I64(COLS))])
                weights = [builder.load(vector_pointer(builder, word_ptr, I64(8 * v), vec), align=8) for v in range(2)]
                for row, slots in zip(rows, sums):
                    bits = splat(builder, builder.load(builder.gep(row, [offset])), vec)
                    for slot, weight in zip(slots, weights):
                        ones = builder.call(popcount, [builder.xor(bits, weight)])
                        builder.store(builder.add(builder.load(slot), ones), slot)

            def result(ones, entry):
                return compared(builder.trunc(ones, vec32), entry)

            walk_runs(builder, n_runs, n_steps, run_stride, 1, add_step)
            store_results(context, builder, signature.args, args, sums, 8, result, to_bits)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _move_ones(builder, sums, totals, at):
    """Add ones of words, as counts of their bytes, to the totals of row r from COLS * r + at on, and begin anew."""
    for r, slot in enumerate(sums):
        counts = builder.load(slot)
        words = ir.VectorType(I64, counts.type.count // 8)
        ones = builder.bitcast(counts, words)
        for width, mask in ((8, 0x00FF00FF00FF00FF), (16, 0x0000FFFF0000FFFF), (32, 0x00000000FFFFFFFF)):
            mask, upper = splat(builder, I64(mask), words), builder.lshr(ones, splat(builder, I64(width), words))
            ones = builder.add(builder.and_(ones, mask), builder.and_(upper, mask))
        ones = builder.trunc(ones, ir.VectorType(I32, words.count))
        place = vector_pointer(builder, totals, builder.add(at, I64(COLS * r)), ones.type)
        builder.store(builder.add(builder.load(place, align=4), ones), place, align=4)
        builder.store(ir.Constant(counts.type, None), slot)


def _make_narrow_tile(n_rows, to_bits):
    """For registers of 128 bits: UNITS units at a time, whose ones are summed byte by byte."""
    counts, words = ir.VectorType(I8, 8 * UNITS), ir.VectorType(I64, UNITS)

    @intrinsic
    def tile(_, x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off,
             o_stride):
        signature = tile_signature(x, x_at, table, panel, out)

        def generate(context, builder, signature, args):
            x, x_at, first, run_stride, n_runs, n_steps, panel, p_off = args[:8]
            rows = row_pointers(context, builder, signature.args[0], x, x_at, first, I64, n_rows)
            p_ptr = item_pointer(context, builder, signature.args[6], panel, p_off, I64)
            results, totals = totals_in_memory(builder, n_rows, 1)
            popcount = declare(builder, f"llvm.ctpop.v{counts.count}i8", counts, counts)
            with cgutils.for_range(builder, I64(COLS // UNITS)) as part:
                at = builder.mul(part.index, I64(UNITS))
                sums = [slots[0] for slots in zeroed(builder, counts, n_rows, 1)]
                left = cgutils.alloca_once(builder, I64)
                builder.store(I64(MOST), left)

                def add_step(number, offset):
                    place = builder.add(builder.mul(number, I64(COLS)), at)
                    weights = builder.load(vector_pointer(builder, p_ptr, place, words), align=8)
                    for row, slot in zip(rows, sums):
                        bits = splat(builder, builder.load(builder.gep(row, [offset])), words)
                        ones = builder.call(popcount, [builder.bitcast(builder.xor(bits, weights), counts)])
                        builder.store(builder.add(builder.load(slot), ones), slot)
                    count_down(builder, left, MOST, lambda: _move_ones(builder, sums, totals, at))

                walk_runs(builder, n_runs, n_steps, run_stride, 1, add_step)
                _move_ones(builder, sums, totals, at)
            store_results(context, builder, signature.args, args, results, COLS, make_result(builder, to_bits), to_bits)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _make_twin(n_rows, to_bits):
    def twin(x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off, o_stride):
        x, panel, table, out = x.reshape(-1), panel.reshape(-1), table.reshape(-1), out.reshape(-1)
        for r in range(n_rows):
            mask = 0
            for c in range(COLS):
                ones = 0
                for step in range(n_runs * n_steps):
                    at = x_at[first + r] + step // n_steps * run_stride + step % n_steps
                    ones += int(x[at] ^ panel[p_off + step * COLS + c]).bit_count()
                entry = table[table_at[first + r] + t_off + c]
                if to_bits:
                    mask |= int(ones <= entry) << c
                else:
                    out[o_off + r * o_stride + c] = entry - 2 * ones
            if to_bits:
                out.view(np.uint16)[o_off + r * o_stride] = mask

    twin.__name__ = f"xnor_{'bits' if to_bits else 'sums'}_{n_rows}"
    return twin


def _operation(n_rows, to_bits):
    wide, narrow = Tile(_make_tile(n_rows, to_bits), ("avx512vpopcntdq",)), Tile(_make_narrow_tile(n_rows, to_bits))
    return twin_of(wide, narrow)(_make_twin(n_rows, to_bits))


def _make_rows(to_bits):
    many, one = _operation(ROWS, to_bits), _operation(1, to_bits)
    width = 1 if to_bits else COLS                              # of 16 units, in items of the output

    @inline
    def rows(x, x_at, n_rows, run_stride, n_runs, panel, table, table_at, out, o_off, o_stride):
        n_words = panel.shape[1]
        for p in range(panel.shape[0]):
            if n_rows >= ROWS:
                for r in range(0, n_rows, ROWS):
                    at = min(r, n_rows - ROWS)                  # the last tile overlaps the one before
                    many(x, x_at, at, run_stride, n_runs, n_words // n_runs, panel, p * n_words * COLS, table,
                         table_at, COLS * p, out, o_off + width * p + at * o_stride, o_stride)
            else:
                for r in range(n_rows):
                    one(x, x_at, r, run_stride, n_runs, n_words // n_runs, panel, p * n_words * COLS, table,
                        table_at, COLS * p, out, o_off + width * p + r * o_stride, o_stride)

    return rows


by_words = _make_rows(True), _make_rows(False)
BY_NIBBLES = not JIT_OFF and target_has("avx2") and not target_has("avx512vpopcntdq")
xnor_bits, xnor_sums = (nibble_bits, nibble_sums) if BY_NIBBLES else by_words   # of any number of rows, a whole panel,
fill_panel = nibble_panel if BY_NIBBLES else xnor_panel                         # and the kernel that makes the panel
LARGE_TILE = "nibble_tile.nibble_sums_4x2" if BY_NIBBLES else "xnor_tile.xnor_sums_8"
