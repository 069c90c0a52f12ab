"""The tile of 16-bit gradients against pixels: 6 rows x 64 columns of int32 sums, pairs of int16 at a time.

    panel          (ceil(F / 64), P, 64, 2) int16: of each column the two items of a pair of summed rows

An int32 holds 256 products of a 16-bit gradient and a pixel: who calls it widens longer sums.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._llvm import I16, I32, I64, declare, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of

ROWS, COLS = 6, 64
_ACC = ir.VectorType(I32, 16)


@intrinsic
def _multiply_add(_, a, a_off, a_stride, panel, p_off, n_pairs, out, o_off):
    index = types.intp
    signature = types.void(a, index, index, panel, index, index, out, index)

    def generate(context, builder, signature, args):
        a, a_off, a_stride, panel, p_off, n_pairs, out, o_off = args
        a_ptr = item_pointer(context, builder, signature.args[0], a, a_off, I16)
        p_ptr = item_pointer(context, builder, signature.args[3], panel, p_off, I32, I16)
        o_ptr = item_pointer(context, builder, signature.args[6], out, o_off, I32)
        rows = [builder.bitcast(builder.gep(a_ptr, [builder.mul(a_stride, I64(r))]), I32.as_pointer())
                for r in range(ROWS)]
        places = [vector_pointer(builder, o_ptr, I64(16 * i), _ACC) for i in range(4 * ROWS)]
        slots = [[cgutils.alloca_once(builder, _ACC) for _ in range(4)] for _ in range(ROWS)]
        for place, slot in zip(places, sum(slots, [])):
            builder.store(builder.load(place, align=4), slot)
        dot = declare(builder, "llvm.x86.avx512.vpdpwssd.512", _ACC, _ACC, _ACC, _ACC)
        with cgutils.for_range(builder, n_pairs) as loop:
            pair = builder.gep(p_ptr, [builder.mul(loop.index, I64(64))])
            columns = [builder.load(vector_pointer(builder, pair, I64(16 * v), _ACC), align=4) for v in range(4)]
            for row, row_slots in zip(rows, slots):
                value = splat(builder, builder.load(builder.gep(row, [loop.index]), align=2), _ACC)
                for slot, column in zip(row_slots, columns):
                    builder.store(builder.call(dot, [builder.load(slot), value, column]), slot)
        for place, slot in zip(places, sum(slots, [])):
            builder.store(builder.load(slot), place, align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_multiply_add, needs=("avx512vnni",)))
def multiply_add(a, a_off, a_stride, panel, p_off, n_pairs, out, o_off):
    """out (6, 64) int32 += a (6, 2 n_pairs) int16 times the panel's int16 columns; p_off counts pairs."""
    a_flat, panel_flat, out_flat = a.reshape(-1), panel.reshape(-1), out.reshape(-1)
    for r in range(ROWS):
        for k in range(n_pairs):
            first = int(a_flat[a_off + r * a_stride + 2 * k])
            second = int(a_flat[a_off + r * a_stride + 2 * k + 1])
            for c in range(COLS):
                at = 2 * (p_off + COLS * k + c)
                out_flat[o_off + COLS * r + c] += first * int(panel_flat[at]) + second * int(panel_flat[at + 1])
