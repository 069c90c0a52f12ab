"""The tile of packed words against packed weights: 8 or 1 rows x 16 units, to bits or sums (see `tile_parts`).

    panel          (ceil(U / 16), W, 16) uint64: word w of 16 neighbouring units
"""

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from bnnsim.kernels._jit import JIT_OFF, inline
from bnnsim.kernels._llvm import I32, I64, declare, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, target_has, twin_of
from bnnsim.kernels.forward.nibble_tile import nibble_bits, nibble_sums
from bnnsim.kernels.forward.tile_parts import row_pointers, store_results, tile_signature, walk_runs, zeroed

ROWS, COLS = 8, 16


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
            popcount = declare(builder, "llvm.ctpop.v8i64", vec, vec)

            def add_step(number, offset):
                word_ptr = builder.gep(p_ptr, [builder.mul(number, I64(COLS))])
                weights = [builder.load(vector_pointer(builder, word_ptr, I64(8 * v), vec), align=8) for v in range(2)]
                for row, slots in zip(rows, sums):
                    bits = splat(builder, builder.load(builder.gep(row, [offset])), vec)
                    for slot, weight in zip(slots, weights):
                        ones = builder.call(popcount, [builder.xor(bits, weight)])
                        builder.store(builder.add(builder.load(slot), ones), slot)

            def result(ones, entry):
                ones = builder.trunc(ones, vec32)
                return builder.icmp_signed("<=", ones, entry) if to_bits else \
                    builder.sub(entry, builder.add(ones, ones))

            walk_runs(builder, n_runs, n_steps, run_stride, 1, add_step)
            store_results(context, builder, signature.args, args, sums, 8, result, to_bits)
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


def _make_rows(to_bits):
    many, one = (twin_of(Tile(_make_tile(n_rows, to_bits)))(_make_twin(n_rows, to_bits)) for n_rows in (ROWS, 1))
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


xnor_bits, xnor_sums = _make_rows(True), _make_rows(False)      # of any number of rows against a whole panel

BY_NIBBLES = not JIT_OFF and target_has("avx2") and not target_has("avx512vpopcntdq")
if BY_NIBBLES:
    xnor_bits, xnor_sums = nibble_bits, nibble_sums
