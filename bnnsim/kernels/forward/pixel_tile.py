"""The tile of pixels against +-1 weights, uint8 x int8: 6 or 1 rows x 64 or 16 units, to bits or sums (`tile_parts`).

    panel          (ceil(U / 16), W, 16) uint32: four bytes +1, -1 or 0 of a unit, one for each of four pixels
"""

import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from bnnsim.kernels._llvm import I8, I32, I64, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of
from bnnsim.kernels.forward.narrow_pixel_tile import (DOT, PAIRS, SHORT_PAIRS, SIGNED_DOT, SINGLES, add_dot,
                                                      make_narrow_tile)
from bnnsim.kernels.forward.tile_parts import (COLS, row_pointers, store_results, sum_whole_panel, tile_signature,
                                               walk_runs, zeroed)

ROWS, STRIPS = 6, 4                                    # a large tile has four strips of 16 units
PRODUCTS = ((DOT, ("avxvnni",)), (PAIRS, ("avx2",)), (SHORT_PAIRS, ("ssse3",)), (SIGNED_DOT, ("dotprod",)),
            (SINGLES, ()))


def _make_tile(n_rows, n_strips, to_bits):
    acc = ir.VectorType(I32, 16)

    @intrinsic
    def tile(_, x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off,
             o_stride):
        signature = tile_signature(x, x_at, table, panel, out)

        def generate(context, builder, signature, args):
            x, x_at, first, run_stride, n_runs, n_steps, panel, p_off = args[:8]
            rows = row_pointers(context, builder, signature.args[0], x, x_at, first, I8, n_rows)
            strip = builder.mul(builder.mul(n_runs, n_steps), I64(COLS))
            p_ptr = item_pointer(context, builder, signature.args[6], panel, p_off, I32)
            strips = [builder.gep(p_ptr, [builder.mul(strip, I64(v))]) for v in range(n_strips)]
            sums = zeroed(builder, acc, n_rows, n_strips)

            def add_step(number, offset):
                at = builder.mul(number, I64(COLS))
                weights = [builder.load(vector_pointer(builder, pointer, at, acc), align=4) for pointer in strips]
                for row, slots in zip(rows, sums):
                    four = builder.load(builder.bitcast(builder.gep(row, [offset]), I32.as_pointer()), align=1)
                    for slot, weight in zip(slots, weights):
                        builder.store(add_dot(builder, builder.load(slot), splat(builder, four, acc), weight), slot)

            def result(total, entry):
                return builder.icmp_signed(">=", total, entry) if to_bits else builder.add(entry, total)

            walk_runs(builder, n_runs, n_steps, run_stride, 4, add_step)
            store_results(context, builder, signature.args, args, sums, COLS, result, to_bits)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _make_twin(n_rows, n_strips, to_bits):
    def twin(x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off, o_stride):
        x_flat, weights, entries, out_flat = x.reshape(-1), panel.reshape(-1), table.reshape(-1), out.reshape(-1)
        n = n_runs * n_steps
        for r in range(n_rows):
            for v in range(n_strips):
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

    twin.__name__ = f"pixel_{'bits' if to_bits else 'sums'}_{n_rows}x{n_strips}"
    return twin


def _operation(n_rows, n_strips, to_bits):
    wide = Tile(_make_tile(n_rows, n_strips, to_bits), needs=("avx512vnni",))
    narrow = (Tile(make_narrow_tile(product, n_rows, n_strips, to_bits), needs) for product, needs in PRODUCTS)
    return twin_of(wide, *narrow)(_make_twin(n_rows, n_strips, to_bits))


def _make_rows(to_bits):
    large, narrow, single = (_operation(*size, to_bits) for size in ((ROWS, STRIPS), (ROWS, 1), (1, 1)))
    return sum_whole_panel(large, narrow, single, ROWS, STRIPS, to_bits)


pixel_bits, pixel_sums = _make_rows(True), _make_rows(False)    # of any number of rows against a whole panel
PIXELS_TILE = f"pixel_tile.pixel_sums_{ROWS}x{STRIPS}"
