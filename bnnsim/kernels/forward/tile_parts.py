"""What the tiles of the forward pass have in common: how they walk through their rows, and how they store results.

A row is an image (dense) or an output position (conv). It reads `n_runs` runs of `n_steps` neighbouring items (words,
or four pixels), `run_stride` apart, from ``x_at[first + r]`` on: a convolution reads its patch where it lies in the
padded image, one run a kernel row, and a dense row is a single run. Its table row begins at ``table_at[first + r]``:
what padding takes away differs from position to position, and each kind of border has a row of its own.

    bits           xnor: ones <= table; pixels: sum >= table; ones = popcount(x ^ w)
    sums           xnor: table - 2 * ones; pixels: table + sum, int32

Strides and offsets of x count its items (words, pixels), of the table entries, of the output 16 bits or int32. Arrays
are C-contiguous. Words are little-endian in memory, as on every CPU that Numba compiles for.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from bnnsim.kernels._jit import inline
from bnnsim.kernels._llvm import I16, I32, I64, item_pointer, vector_pointer

COLS = 16                           # units of a strip of a panel


def tile_signature(x: types.Type, offsets: types.Type, table: types.Type, panel: types.Type, out: types.Type) -> Any:
    """Types of a tile (x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, ...)."""
    index = types.intp
    return types.void(x, offsets, index, index, index, index, panel, index, table, offsets, index, out, index, index)


def row_pointers(context: Any, builder: ir.IRBuilder, kind: types.Type, array: ir.Value, offsets: ir.Value,
                 first: ir.Value, item: ir.Type, n_rows: int) -> list[ir.Value]:
    """Pointers to the items at which rows begin, offsets[first..first + n_rows - 1]."""
    base = item_pointer(context, builder, kind, array, I64(0), item)
    at = item_pointer(context, builder, types.Array(types.int64, 1, "C"), offsets, first, I64)
    return [builder.gep(base, [builder.load(builder.gep(at, [I64(r)]))]) for r in range(n_rows)]


def walk_runs(builder: ir.IRBuilder, n_runs: ir.Value, n_steps: ir.Value, run_stride: ir.Value, item_scale: int,
              body: Callable[[ir.Value, ir.Value], None]) -> None:
    """body(number of the step over all runs, its offset in a row) for every step of every run."""
    with cgutils.for_range(builder, n_runs) as run:
        base, start = builder.mul(run.index, n_steps), builder.mul(run.index, run_stride)
        with cgutils.for_range(builder, n_steps) as step:
            body(builder.add(base, step.index), builder.add(start, builder.mul(step.index, I64(item_scale))))


def count_down(builder: ir.IRBuilder, left: ir.Value, most: int, move: Callable[[], None]) -> None:
    """One of the `most` steps that narrow sums hold is done; behind the last of them ``move()`` empties the sums."""
    builder.store(builder.sub(builder.load(left), I64(1)), left)
    with builder.if_then(builder.icmp_signed("==", builder.load(left), I64(0)), likely=False):
        move()
        builder.store(I64(most), left)


def zeroed(builder: ir.IRBuilder, vector: ir.VectorType, n_rows: int, n_vectors: int) -> list[list[ir.Value]]:
    """Accumulators."""
    slots = [[cgutils.alloca_once(builder, vector) for _ in range(n_vectors)] for _ in range(n_rows)]
    for slot in sum(slots, []):
        builder.store(ir.Constant(vector, None), slot)
    return slots


def totals_in_memory(builder: ir.IRBuilder, n_rows: int, n_strips: int) -> tuple[list[list[ir.Value]], ir.Value]:
    """Totals of whole strips, zeroed, as `store_results` takes them, and a pointer to the first of their int32."""
    strip = ir.VectorType(I32, COLS)
    memory = cgutils.alloca_once(builder, strip, n_rows * n_strips)
    slots = [[builder.gep(memory, [I64(r * n_strips + v)]) for v in range(n_strips)] for r in range(n_rows)]
    for slot in sum(slots, []):
        builder.store(ir.Constant(strip, None), slot)
    return slots, builder.bitcast(memory, I32.as_pointer())


def make_result(builder: ir.IRBuilder, to_bits: bool) -> Callable[[ir.Value, ir.Value], ir.Value]:
    """What xnor tiles store of ones <n x i32> and their table entries."""
    def result(ones, entry):
        return builder.icmp_signed("<=", ones, entry) if to_bits else builder.sub(entry, builder.add(ones, ones))

    return result


def _join_masks(builder, masks, lanes):
    """Comparison masks <lanes x i1> side by side in one integer."""
    word = ir.Constant(ir.IntType(lanes * len(masks)), 0)
    for v, mask in enumerate(masks):
        bits = builder.zext(builder.bitcast(mask, ir.IntType(lanes)), word.type)
        word = builder.or_(word, builder.shl(bits, ir.Constant(word.type, lanes * v)))
    return word


def store_results(context: Any, builder: ir.IRBuilder, kinds: tuple[types.Type, ...], args: Any,
                  slots: list[list[ir.Value]], lanes: int, result: Callable[[ir.Value, ir.Value], ir.Value],
                  to_bits: bool) -> None:
    """Rows of accumulators, `lanes` a vector -> out: ``result(total, table entry)`` is a mask to bits, or int32."""
    first, (table, table_at, t_off, out, o_off, o_stride) = args[2], args[8:]
    vector = ir.VectorType(I32, lanes)
    tables = row_pointers(context, builder, kinds[8], table, table_at, first, I32, len(slots))
    o_ptr = item_pointer(context, builder, kinds[11], out, I64(0), I64 if to_bits else I32)
    if to_bits:
        o_ptr = builder.bitcast(o_ptr, I16.as_pointer())
    for r, row in enumerate(slots):
        at, masks = builder.add(o_off, builder.mul(o_stride, I64(r))), []
        for v, slot in enumerate(row):
            place = builder.add(t_off, I64(lanes * v))
            entry = builder.load(vector_pointer(builder, tables[r], place, vector), align=4)
            value = result(builder.load(slot), entry)
            if to_bits:
                masks.append(value)
            else:
                target = vector_pointer(builder, o_ptr, builder.add(at, I64(lanes * v)), vector)
                builder.store(value, target, align=4)
        if to_bits:
            word = _join_masks(builder, masks, lanes)
            builder.store(word, builder.bitcast(builder.gep(o_ptr, [at]), word.type.as_pointer()), align=2)


def sum_whole_panel(large: Any, narrow: Any, single: Any, rows_a_tile: int, strips: int, to_bits: bool) -> Any:
    """What passes call, of any number of rows against a whole panel, from tiles of many rows and strips, or one."""
    width = 1 if to_bits else COLS                              # of 16 units, in items of the output

    @inline
    def rows(x, x_at, n_rows, run_stride, n_runs, panel, table, table_at, out, o_off, o_stride):
        n_steps, size = panel.shape[1] // n_runs, panel.shape[1] * COLS
        p = 0
        while p < panel.shape[0]:
            if n_rows < rows_a_tile:
                for r in range(n_rows):
                    single(x, x_at, r, run_stride, n_runs, n_steps, panel, p * size, table, table_at, COLS * p, out,
                           o_off + width * p + r * o_stride, o_stride)
                p += 1
            elif p + strips <= panel.shape[0]:
                for r in range(0, n_rows, rows_a_tile):
                    at = min(r, n_rows - rows_a_tile)           # the last tile overlaps the one before
                    large(x, x_at, at, run_stride, n_runs, n_steps, panel, p * size, table, table_at, COLS * p, out,
                          o_off + width * p + at * o_stride, o_stride)
                p += strips
            else:
                for r in range(0, n_rows, rows_a_tile):
                    at = min(r, n_rows - rows_a_tile)
                    narrow(x, x_at, at, run_stride, n_runs, n_steps, panel, p * size, table, table_at, COLS * p, out,
                           o_off + width * p + at * o_stride, o_stride)
                p += 1

    return rows
