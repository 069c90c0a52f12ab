"""Lookups of four 16-bit gradients, each with signs of its own: for gradients behind a max-pool, mostly zeros.

`four_lookup` adds up rows that share their signs, six at a time. Behind a max-pool of 2 x 2 three quarters of such
rows are zeros, in places of their own in each row. Here a row is a list of what is not zero, in groups of four, and
each gradient says which signs go with it: 32 columns' signs stand side by side as bytes, and those of four gradients
become the byte by which their table is looked up, in registers. One row, 32 columns, three planes at once.

    tables     uint8, of a quad of four groups (3, 4, 16): digits as in `four_lookup`, its planes beside each other
    list       int32, of a group (5,): where the first plane of its table stands, and the signs of its four gradients
    signs      uint8 of 0 and 1; or, if `placed`, of 0 and 1 << i where they belong to the i-th gradient of a group
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._llvm import I1, I8, I16, I32, I64, declare, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of
from bnnsim.kernels.gradients.four_lookup import DIGIT, PLANE_SIZE, PLANES, quad_tables, tables_tile

COLUMNS = 32
MOST_QUADS = 256                    # in a call: sums of a digit, 252 a quad, stay below 2^16
LISTED = 5                          # items of a list for a group


def _vector(item, n, number=None):
    vector = ir.VectorType(item, n)
    return vector if number is None else ir.Constant(vector, [item(number)] * n)


# ---------------------------------------------------------------- tables and signs

@intrinsic
def _quad_tables(_, a, a_off, n_items, tables, t_off):
    return types.int32(a, types.intp, types.intp, tables, types.intp), tables_tile(True)


@twin_of(Tile(_quad_tables))
def build_quads(a, a_off, n_items, tables, t_off):
    """Tables of n_items int16 from a_off on, whole quads -> tables[t_off..]; returns the sum of all |a|."""
    return quad_tables(a, a_off, n_items, tables, t_off)


@intrinsic
def _spread_half(_, words, w_off, half, bit, out, o_off):
    signature = types.void(words, types.intp, types.intp, types.uint8, out, types.intp)

    def generate(context, builder, signature, args):
        words, w_off, half, bit, out, o_off = args
        w_ptr = item_pointer(context, builder, signature.args[0], words, w_off, I64)
        o_ptr = item_pointer(context, builder, signature.args[4], out, o_off, I8)
        bits = builder.load(vector_pointer(builder, builder.bitcast(w_ptr, I8.as_pointer()), builder.shl(half, I64(2)),
                                           ir.VectorType(I8, 4)), align=1)
        places = ir.Constant(_vector(I32, COLUMNS), [I32(c // 8) for c in range(COLUMNS)])
        eight = builder.shuffle_vector(bits, bits, places)
        own = builder.and_(eight, ir.Constant(_vector(I8, COLUMNS), [I8(1 << c % 8) for c in range(COLUMNS)]))
        found = builder.icmp_unsigned("!=", own, _vector(I8, COLUMNS, 0))
        signs = builder.select(found, splat(builder, bit, own.type), _vector(I8, COLUMNS, 0))
        builder.store(signs, vector_pointer(builder, o_ptr, I64(0), own.type), align=1)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_spread_half))
def spread_half(words, w_off, half, bit, out, o_off):
    """out[o_off..] (32,) uint8 = `bit` where the low (half = 0) or high bits of words[w_off] are 1, else 0."""
    word = int(words.reshape(-1)[w_off]) >> 32 * half
    for c in range(COLUMNS):
        out.reshape(-1)[o_off + c] = bit if word >> c & 1 else 0


@intrinsic
def _list_quad(_, table, units, u_off, own, list_, l_off):
    signature = types.void(types.int32, units, types.intp, types.int32, list_, types.intp)

    def generate(context, builder, signature, args):
        table, units, u_off, own, list_, l_off = args
        u_ptr = item_pointer(context, builder, signature.args[1], units, u_off, I32)
        l_ptr = item_pointer(context, builder, signature.args[4], list_, l_off, I32)
        four = _vector(I32, 4)
        for group in range(4):
            builder.store(builder.add(table, I32(16 * group)), builder.gep(l_ptr, [I64(LISTED * group)]))
            chosen = builder.load(vector_pointer(builder, u_ptr, I64(4 * group), four), align=4)
            chosen = builder.add(chosen, splat(builder, own, four))
            builder.store(chosen, vector_pointer(builder, l_ptr, I64(LISTED * group + 1), four), align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_list_quad))
def list_quad(table, units, u_off, own, list_, l_off):
    """list_[l_off..] (20,) int32: a quad whose tables begin at `table`, and signs at units[u_off..] (16,) + own."""
    flat = list_.reshape(-1)
    for group in range(4):
        flat[l_off + LISTED * group] = table + 16 * group
        for i in range(4):
            flat[l_off + LISTED * group + 1 + i] = units.reshape(-1)[u_off + 4 * group + i] + own


# ---------------------------------------------------------------- sums

class _Row:
    """Sums of one row and 32 columns, in registers: of each plane 16 bits each of even and of odd columns."""

    def __init__(self, builder, lanes, shuffle, placed):
        self.builder, self.lanes, self.vectors, self.placed = builder, lanes, COLUMNS // lanes, placed
        self.bytes, self.halves = _vector(I8, lanes), _vector(I16, lanes // 2)
        self.shuffle = declare(builder, shuffle, self.bytes, self.bytes, self.bytes)
        self.sums = {(plane, v): [cgutils.alloca_once(builder, self.halves) for _ in range(2)]
                     for plane in range(PLANES) for v in range(self.vectors)}
        for slot in (slot for pair in self.sums.values() for slot in pair):
            builder.store(ir.Constant(self.halves, None), slot)

    def entries(self, pointers):
        """Vectors of bytes to look four gradients up by, whose signs stand at `pointers`."""
        builder = self.builder
        for v in range(self.vectors):
            entry = None
            for pointer in reversed(pointers):                  # the first gradient's sign is the lowest bit
                sign = builder.load(vector_pointer(builder, pointer, I64(self.lanes * v), self.bytes), align=1)
                if entry:
                    sign = builder.or_(entry if self.placed else builder.add(entry, entry), sign)
                entry = sign
            yield entry

    def add_quad(self, tables, list_, signs):
        """Four groups, of a list from `list_` on."""
        builder = self.builder
        found: dict[tuple[int, int], Any] = {}
        everywhere = ir.Constant(_vector(I32, self.lanes), [I32(lane % 16) for lane in range(self.lanes)])

        def listed(base, item):
            return builder.gep(base, [builder.zext(builder.load(builder.gep(list_, [I64(item)])), I64)])

        for group in range(4):
            table = listed(tables, LISTED * group)
            entries = list(self.entries([listed(signs, LISTED * group + 1 + i) for i in range(4)]))
            for plane in range(PLANES):
                row = builder.load(vector_pointer(builder, table, I64(PLANE_SIZE * plane), _vector(I8, 16)), align=1)
                row = builder.shuffle_vector(row, row, everywhere)
                for v, entry in enumerate(entries):
                    sums = builder.call(self.shuffle, [row, entry])
                    found[plane, v] = builder.add(found[plane, v], sums) if group else sums
        for place, sums in found.items():
            pairs, (even, odd) = builder.bitcast(sums, self.halves), self.sums[place]       # even + 256 odd
            builder.store(builder.add(builder.load(even), pairs), even)
            pairs = builder.lshr(pairs, _vector(I16, self.lanes // 2, 8))
            builder.store(builder.add(builder.load(odd), pairs), odd)

    def flush(self, out_ptr, add, size):
        """out_ptr.. (32,) int32 = what it holds, if `add`, + 2 sums - size."""
        builder, half, wide = self.builder, self.lanes // 2, _vector(I32, self.lanes)
        mixed = ir.Constant(wide, [I32(lane // 2 + half * (lane % 2)) for lane in range(self.lanes)])
        for v in range(self.vectors):
            place = vector_pointer(builder, out_ptr, I64(self.lanes * v), wide)
            total = builder.select(add, builder.load(place, align=4), ir.Constant(wide, None))
            total = builder.sub(total, splat(builder, size, wide))
            for plane in range(PLANES):
                even, odd = (builder.load(slot) for slot in self.sums[plane, v])
                even = builder.sub(even, builder.shl(odd, _vector(I16, half, 8)))
                sums = builder.zext(builder.shuffle_vector(even, odd, mixed), wide)
                total = builder.add(total, builder.shl(sums, _vector(I32, self.lanes, DIGIT * plane + 1)))
            builder.store(total, place, align=4)


def _sums(lanes, shuffle):
    @intrinsic
    def chosen_sums(_, tables, t_off, list_, l_off, signs, s_off, placed, n_quads, size, out, o_off, add):
        index, flag = types.intp, types.boolean
        signature = types.void(tables, index, list_, index, signs, index, flag, index, types.int32, out, index, flag)

        def generate(context, builder, signature, args):
            tables, t_off, list_, l_off, signs, s_off, placed, n_quads, size, out, o_off, add = args
            t_ptr, l_ptr, s_ptr, o_ptr = (
                item_pointer(context, builder, signature.args[i], args[i], args[i + 1], item)
                for i, item in ((0, I8), (2, I32), (4, I8), (9, I32)))

            def sum_quads(placed):
                row = _Row(builder, lanes, shuffle, placed)
                with cgutils.for_range(builder, n_quads) as quad:
                    row.add_quad(t_ptr, builder.gep(l_ptr, [builder.mul(quad.index, I64(4 * LISTED))]), s_ptr)
                row.flush(o_ptr, builder.trunc(add, I1), size)

            with builder.if_else(builder.trunc(placed, I1)) as (then, otherwise):
                with then:
                    sum_quads(True)
                with otherwise:
                    sum_quads(False)
            return context.get_dummy_value()

        return signature, generate

    return chosen_sums


@twin_of(Tile(_sums(32, "llvm.x86.avx2.pshuf.b"), needs=("avx2",)),
         Tile(_sums(16, "llvm.x86.ssse3.pshuf.b.128"), needs=("ssse3",)),
         Tile(_sums(16, "llvm.aarch64.neon.tbl1.v16i8"), needs=("neon",)))
def chosen_tile(tables, t_off, list_, l_off, signs, s_off, placed, n_quads, size, out, o_off, add):
    """out[o_off..] (32,) int32 = twice what `n_quads` (up to `MOST_QUADS`) of a list find, minus `size`.

    The list counts from tables[t_off] and signs[s_off], which may be `placed`; with `size` the sum of all |gradient| it
    is the sum of +-gradients. Where `add` is true it is added to what `out` holds.
    """
    entries, places, columns, totals = tables.reshape(-1), list_.reshape(-1), signs.reshape(-1), out.reshape(-1)
    for c in range(COLUMNS):
        total = totals[o_off + c] - size if add else -size
        for group in range(l_off, l_off + 4 * LISTED * n_quads, LISTED):
            at = t_off + places[group]
            for i in range(4):
                sign = np.intp(columns[s_off + places[group + 1 + i] + c])
                at += sign if placed else sign << i
            for plane in range(PLANES):
                total += np.int32(entries[at + PLANE_SIZE * plane]) << np.int32(DIGIT * plane + 1)
        totals[o_off + c] = total
