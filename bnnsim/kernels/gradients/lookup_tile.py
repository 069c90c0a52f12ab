"""Sums of gradients times packed +-1 by table lookup: the tile behind both gradients of every hidden layer.

The gradients of a group, each taken with either sign, have few sums. A table holds them, and a shuffle of registers
looks the sums of many columns up at once, by the bits of each column: several multiply-adds a lane. Groups, tables and
panels differ, see `five_lookup`, for AVX-512 and for float32, and `four_lookup`, for 16-bit gradients elsewhere. What
is here takes either, told apart by the arrays' types (`Kinds`), and gives the same bytes on every CPU.

    tables     (R, S) blocks of `table_size` items, one for each row and segment of the summed axis
    panel      (ceil(F / 64), S, E, .): the signs of 64 columns at S segments of `entry_rows` (16 or 30) rows an entry
    tile       6 rows x 64 columns

Offsets count items from the start of an array, which is C-contiguous. `n_items`, the gradients of a segment, is a
multiple of `step` (16 or 5). An exact sum may have `MAX_ITEMS` of them.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

import bnnsim.kernels.gradients.five_lookup as five
import bnnsim.kernels.gradients.four_lookup as four
from bnnsim.kernels._arrays import aligned, empty
from bnnsim.kernels._jit import JIT_OFF, both, inline, of_type
from bnnsim.kernels._llvm import I32, I64, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of

ROWS, COLS = 6, 64                  # of the tile
MAX_ITEMS = 65_535                  # of one int32 sum

_VECTOR, _SINGLE = ir.VectorType(I32, 16), ir.VectorType(ir.FloatType(), 16)


class Kinds(NamedTuple):
    """The types of gradients, and of what is made of them, as kernels are compiled for them: empty arrays.

    Tables and panels of bytes are of groups of four, others of five.
    """

    gradient: np.ndarray
    table: np.ndarray
    panel: np.ndarray
    sum: np.ndarray
    total: np.ndarray


def _kinds(*dtypes):
    return Kinds(*(np.empty(0, dtype) for dtype in dtypes))


FOURS = _kinds(np.int16, np.uint8, np.uint8, np.int32, np.int64)
FIVES = _kinds(np.int16, np.int32, np.uint32, np.int32, np.int64)
FLOAT = _kinds(np.float32, np.float32, np.uint32, np.float32, np.float64)


# ---------------------------------------------------------------- sizes

@of_type
def step(table):
    """Segments are multiples of so many gradients, with tables of the type of array `table`."""
    return four.QUAD if table.itemsize == 1 else five.GROUP


@both
def whole(n_items, table):
    """n_items, rounded up to a multiple of `step`."""
    return (n_items + step(table) - 1) // step(table) * step(table)


@both
def table_size(n_items, table):
    """Items that the tables of n_items gradients take."""
    return four.HEAD + 12 * n_items if table.itemsize == 1 else n_items // five.GROUP * 32


@of_type
def entry_rows(panel):
    """Rows of the summed axis in an entry of a panel."""
    return four.QUAD if panel.itemsize == 1 else five.WORD_ROWS


@of_type
def entry_size(panel):
    """Items of an entry of a panel, always 256 bytes."""
    return 4 * COLS // panel.itemsize


@inline
def new_tables(size, kind):
    """Room for tables of `size` items in all of the type of array `kind`, and where it starts: on a cache line."""
    room = empty(size + 64, kind.dtype)
    return room, aligned(room)


# ---------------------------------------------------------------- operations

def _loops(function):
    """Code of a plain function, where a CPU has no shuffles for it."""
    compiled = inline(function)                                 # `context.compile_internal` gives half of its speed

    def generate(context, builder, signature, args):
        kind = context.typing_context.resolve_value_type(compiled)
        call = context.get_function(kind, context.typing_context.resolve_function_type(kind, signature.args, {}))
        context.add_linking_libs(getattr(call, "libs", ()))
        return call(builder, args)

    return generate


def _sums(of_four, of_five):
    @intrinsic
    def lookup(_, tables, rows, r_off, n_segments, n_items, panel, p_off, n_columns, out, o_off, add):
        index = types.intp
        signature = types.void(tables, rows, index, index, index, panel, index, index, out, index, types.boolean)
        return signature, of_four if tables.dtype == types.uint8 else of_five

    return lookup


def _halved(whole, half):
    """Code for all columns, and for half of them."""
    def generate(context, builder, signature, args):
        with builder.if_else(builder.icmp_signed("==", args[7], I64(COLS))) as (then, otherwise):
            with then:
                whole(context, builder, signature, args)
            with otherwise:
                half(context, builder, signature, args)
        return context.get_dummy_value()

    return generate


_AVX2 = _halved(four.sums_tile(32, 2, 2, "llvm.x86.avx2.pshuf.b"), four.sums_tile(32, 2, 1, "llvm.x86.avx2.pshuf.b"))
_SIXTEEN = _halved(five.sums_tile(16, 4, five.find_sixteen), five.sums_tile(16, 2, five.find_sixteen))
_OF_FIVE = Tile(_sums(_AVX2, _SIXTEEN), needs=("avx512f", "avx512bw", "avx512dq"))
_OF_FOUR = (
    Tile(_sums(_AVX2, five.sums_tile(8, 1, five.find_eight)), needs=("avx2",)),
    Tile(_sums(four.sums_tile(16, 2, 2, "llvm.x86.ssse3.pshuf.b.128"), _loops(five.sums)), needs=("ssse3",)),
    Tile(_sums(four.sums_tile(16, 2, 2, "llvm.aarch64.neon.tbl1.v16i8"), _loops(five.sums)), needs=("neon",)))
FIXED = FOURS if not (JIT_OFF or _OF_FIVE.runs_here) and any(tile.runs_here for tile in _OF_FOUR) else FIVES


@twin_of(_OF_FIVE, *_OF_FOUR, Tile(_sums(_loops(four.sums), _loops(five.sums))))
def lookup_tile(tables, rows, r_off, n_segments, n_items, panel, p_off, n_columns, out, o_off, add):
    """out (6, 64), int32 or float32, = sums over `n_segments` of `n_items` gradients.

    The tables of segment s and row r start at rows[r_off + 6 s + r]; the panel's entries of one segment follow those of
    the one before. Where `add` is true the sums are added to what `out` holds. n_columns is 64, or 32: then `out` keeps
    its last 32.
    """
    sums = four.sums if tables.dtype == np.uint8 else five.sums
    sums(tables, rows, r_off, n_segments, n_items, panel, p_off, n_columns, out, o_off, add)


def _tables(of_five):
    @intrinsic
    def build(_, a, a_off, n_items, tables, t_off):
        signature = types.void(a, types.intp, types.intp, tables, types.intp)
        code = {types.uint8: four.tables_tile(False), types.int32: of_five, types.float32: five.tables_tile}
        return signature, code[tables.dtype]

    return build


@twin_of(Tile(_tables(five.multiplied_tables_tile), needs=_OF_FIVE.needs), Tile(_tables(five.tables_tile)))
def build_tables(a, a_off, n_items, tables, t_off):
    """Tables of the `n_items` int16, or float32, that start at a_off."""
    build = four.tables if tables.dtype == np.uint8 else five.tables
    build(a, a_off, n_items, tables, t_off)


@intrinsic
def _turn_words(_, words, w_off, w_stride, panel, p_off):
    signature = types.void(words, types.intp, types.intp, panel, types.intp)
    return signature, four.panel_tile if panel.dtype == types.uint8 else five.panel_tile


@twin_of(Tile(_turn_words))
def turn_words(words, w_off, w_stride, panel, p_off):
    """As many words of 64 columns as an entry of the panel holds, w_stride apart -> that entry, panel[p_off..]."""
    turn = four.panel if panel.dtype == np.uint8 else five.panel
    turn(words, w_off, w_stride, panel, p_off)


@intrinsic
def _scale_row(_, sums, s_off, scale, out, o_off, n_lanes):
    signature = types.void(sums, types.intp, types.float64, out, types.intp, types.intp)

    def generate(context, builder, signature, args):
        sums, s_off, scale, out, o_off, n_lanes = args
        vector, widen = (_VECTOR, builder.sitofp) if signature.args[0].dtype == types.int32 else \
            (_SINGLE, builder.fpext)
        s_ptr = item_pointer(context, builder, signature.args[0], sums, s_off, vector.element)
        o_ptr = item_pointer(context, builder, signature.args[3], out, o_off, ir.FloatType())
        wide = ir.VectorType(ir.DoubleType(), 16)
        scales = splat(builder, scale, wide)
        with cgutils.for_range(builder, builder.lshr(n_lanes, I64(4))) as part:
            at = builder.mul(part.index, I64(16))
            exact = widen(builder.load(vector_pointer(builder, s_ptr, at, vector), align=4), wide)
            builder.store(builder.fptrunc(builder.fmul(exact, scales), _SINGLE),
                          vector_pointer(builder, o_ptr, at, _SINGLE), align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_scale_row))
def scale_row(sums, s_off, scale, out, o_off, n_lanes):
    """out[o_off..] float32 = sums[s_off..], int32 or float32, * scale, the product in float64: n_lanes, 16 by 16."""
    exact, values = sums.reshape(-1), out.reshape(-1)
    for c in range(n_lanes // 16 * 16):
        values[o_off + c] = np.float32(np.float64(exact[s_off + c]) * scale)


@intrinsic
def _add_tile(_, tile, total):
    def generate(context, builder, signature, args):
        exact = signature.args[0].dtype == types.int32
        item, large, widen = (I32, I64, builder.sext) if exact else (ir.FloatType(), ir.DoubleType(), builder.fpext)
        add = builder.add if exact else builder.fadd
        vector, wide = ir.VectorType(item, 16), ir.VectorType(large, 16)
        pointers = [item_pointer(context, builder, kind, array, I64(0), kept)
                    for kind, array, kept in zip(signature.args, args, (item, large))]
        n_items = context.make_array(signature.args[0])(context, builder, args[0]).nitems
        with cgutils.for_range(builder, builder.lshr(n_items, I64(4))) as part:
            at = builder.mul(part.index, I64(16))
            place = vector_pointer(builder, pointers[1], at, wide)
            term = widen(builder.load(vector_pointer(builder, pointers[0], at, vector), align=4), wide)
            builder.store(add(builder.load(place, align=8), term), place, align=8)
        return context.get_dummy_value()

    return types.void(tile, total), generate


@twin_of(Tile(_add_tile))
def add_tile(tile, total):
    """total (6, 64) int64 or float64 += tile, int32 or float32."""
    for r in range(ROWS):
        for c in range(COLS):
            total[r, c] += tile[r, c]
