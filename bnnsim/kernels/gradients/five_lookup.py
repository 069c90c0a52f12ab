"""Lookups of five gradients at once: see `lookup_tile` for what they are part of.

The sums of five gradients with either sign each are 32 numbers, and AVX-512 looks 16 entries of two registers up by one
shuffle (vpermi2d): 80 multiply-adds, where one of 16-bit pairs (vpdpwssd) does 32. Sums of 16-bit gradients are exact
in int32; those of float32 have one order, group after group, and so the same roundings on every CPU.

    tables     (G, 32) int32 or float32 of G groups: entry e of group g: sum over i of a[5 g + i], negative where bit i
               of e is 0
    panel      (ceil(G / 6), 64) uint32: bit 5 j + i of word w is the sign bit of a column at row 5 (6 w + j) + i
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from bnnsim.kernels._llvm import I1, I16, I32, I64, declare, item_pointer, splat, vector_pointer

ROWS, COLS = 6, 64                  # of the tile
GROUP, WORD_GROUPS = 5, 6           # gradients in a group, groups in a word of the panel
WORD_ROWS = GROUP * WORD_GROUPS     # rows of the summed axis in a word of the panel: 30

_WORDS = ir.VectorType(I32, 16)


def _item(array_type):
    return I32 if array_type.dtype == types.int32 else ir.FloatType()


def _adder(builder, item):
    return builder.add if item == I32 else builder.fadd


def _constant(vector, number):
    return ir.Constant(vector, [I32(number)] * vector.count)


def _bit(i):
    """Bit i of the numbers of a table's first 16 entries."""
    return ir.Constant(ir.VectorType(I1, 16), [I1(e >> i & 1) for e in range(16)])


# ---------------------------------------------------------------- tables

def tables_tile(context, builder, signature, args):
    """`tables` as vector code."""
    a, a_off, n_items, tables, t_off = args
    item = _item(signature.args[3])
    vector, add = ir.VectorType(item, 16), _adder(builder, item)
    negated = builder.neg if item == I32 else builder.fneg
    a_ptr = item_pointer(context, builder, signature.args[0], a, a_off, I16 if item == I32 else item)
    t_ptr = item_pointer(context, builder, signature.args[3], tables, t_off, item)
    with cgutils.for_range(builder, builder.udiv(n_items, I64(GROUP))) as group:
        first = builder.gep(a_ptr, [builder.mul(group.index, I64(GROUP))])
        numbers = [builder.load(builder.gep(first, [I64(i)])) for i in range(GROUP)]
        numbers = [builder.sext(number, I32) for number in numbers] if item == I32 else numbers
        values = [splat(builder, number, vector) for number in numbers]
        four, *terms = (builder.select(_bit(i), value, negated(value)) for i, value in enumerate(values[:4]))
        for term in terms:
            four = add(four, term)
        at = builder.mul(group.index, I64(32))
        for offset, fifth in ((0, negated(values[4])), (16, values[4])):
            place = vector_pointer(builder, t_ptr, builder.add(at, I64(offset)), vector)
            builder.store(add(four, fifth), place, align=4)
    return context.get_dummy_value()


def multiplied_tables_tile(context, builder, signature, args):
    """The same of int16 by AVX-512: pairs of gradients times pairs of signs, in half the time."""
    a, a_off, n_items, tables, t_off = args
    a_ptr = item_pointer(context, builder, signature.args[0], a, a_off, I16)
    t_ptr = item_pointer(context, builder, signature.args[3], tables, t_off, I32)
    pairs = ir.VectorType(I16, 32)
    multiply = declare(builder, "llvm.x86.avx512.pmaddw.d.512", _WORDS, pairs, pairs)

    def signed(i, first, second):
        """Gradients i and i + 1 of each entry times numbers that depend on it."""
        pair = builder.load(builder.bitcast(builder.gep(here, [I64(i)]), I32.as_pointer()), align=2)
        factors = ir.Constant(pairs, [I16(factor(e)) for e in range(16) for factor in (first, second)])
        return builder.call(multiply, [builder.bitcast(splat(builder, pair, _WORDS), pairs), factors])

    def sign(bit):
        return lambda entry: 2 * (entry >> bit & 1) - 1

    with cgutils.for_range(builder, builder.udiv(n_items, I64(GROUP))) as group:
        here = builder.gep(a_ptr, [builder.mul(group.index, I64(GROUP))])
        four = builder.add(signed(0, sign(0), sign(1)), signed(2, sign(2), sign(3)))
        at = builder.mul(group.index, I64(32))
        for offset, fifth in ((0, -1), (16, 1)):
            entries = builder.add(four, signed(3, lambda _: 0, lambda _: fifth))
            builder.store(entries, vector_pointer(builder, t_ptr, builder.add(at, I64(offset)), _WORDS), align=4)
    return context.get_dummy_value()


def tables(a, a_off, n_items, out, t_off):
    """Tables of n_items int16, or float32, from a_off on, a multiple of five."""
    flat, entries = a.reshape(-1), out.reshape(-1)
    for g in range(n_items // GROUP):
        for e in range(32):
            at = t_off + 32 * g + e
            entries[at] = 0
            for i in range(GROUP):
                value = entries.dtype.type(flat[a_off + GROUP * g + i])
                entries[at] += value if e >> i & 1 else -value


# ---------------------------------------------------------------- panel

def panel_tile(context, builder, signature, args):
    """`panel` as vector code."""
    words, w_off, w_stride, panel, p_off = args
    w_ptr = item_pointer(context, builder, signature.args[0], words, w_off, I64)
    p_ptr = item_pointer(context, builder, signature.args[3], panel, p_off, I32)
    columns = [cgutils.alloca_once(builder, _WORDS) for _ in range(4)]
    for slot in columns:
        builder.store(ir.Constant(_WORDS, None), slot)
    with cgutils.for_range(builder, I64(WORD_ROWS)) as row:
        word = builder.bitcast(builder.gep(w_ptr, [builder.mul(w_stride, row.index)]), I32.as_pointer())
        halves = [splat(builder, builder.load(builder.gep(word, [I64(half)]), align=4), _WORDS) for half in (0, 1)]
        bit = splat(builder, builder.shl(I32(1), builder.trunc(row.index, I32)), _WORDS)
        for v, slot in enumerate(columns):
            bits = ir.Constant(_WORDS, [I32(1 << 16 * (v % 2) + lane) for lane in range(16)])
            found = builder.icmp_unsigned("!=", builder.and_(halves[v // 2], bits), ir.Constant(_WORDS, None))
            bits = builder.select(found, bit, ir.Constant(_WORDS, None))
            builder.store(builder.or_(builder.load(slot), bits), slot)
    for v, slot in enumerate(columns):
        builder.store(builder.load(slot), vector_pointer(builder, p_ptr, I64(16 * v), _WORDS), align=4)
    return context.get_dummy_value()


def panel(words, w_off, w_stride, out, p_off):
    """30 words of 64 columns, w_stride apart -> out[p_off..] (64,) uint32: bit j of column c is bit c of word j."""
    flat, bits = words.reshape(-1), out.reshape(-1)
    for c in range(COLS):
        column = 0
        for j in range(WORD_ROWS):
            column |= (int(flat[w_off + j * w_stride]) >> c & 1) << j
        bits[p_off + c] = column


# ---------------------------------------------------------------- sums

def find_sixteen(builder, table, columns):
    """AVX-512: 16 entries of the table at numbers <16 x i32>."""
    vector = ir.VectorType(table.type.pointee, 16)
    low, high = (builder.load(vector_pointer(builder, table, I64(half), vector), align=4) for half in (0, 16))
    name = f"llvm.x86.avx512.vpermi2var.{'d' if vector.element == I32 else 'ps'}.512"
    return builder.call(declare(builder, name, vector, vector, _WORDS, vector), [low, columns, high])


def find_eight(builder, table, columns):
    """AVX2: eight entries of the table at numbers <8 x i32>; bits 0-2 shuffle, bits 3 and 4 choose."""
    vector = ir.VectorType(table.type.pointee, 8)
    permute = declare(builder, f"llvm.x86.avx2.perm{'d' if vector.element == I32 else 'ps'}", vector, vector,
                      columns.type)
    found = [builder.call(permute, [builder.load(vector_pointer(builder, table, I64(8 * i), vector), align=4), columns])
             for i in range(4)]
    for bit in (3, 4):
        signs = builder.shl(columns, _constant(columns.type, 31 - bit))
        chosen = builder.icmp_signed("<", signs, ir.Constant(columns.type, None))
        found = [builder.select(chosen, high, low) for low, high in zip(found[::2], found[1::2])]
    return found[0]


def sums_tile(lanes, vectors, find):
    """`sums` as vector code: all rows and `vectors` of `lanes` columns at once."""
    def generate(context, builder, signature, args):
        tables, rows, r_off, n_segments, n_items, panel, p_off, n_columns, out, o_off, add = args
        item = _item(signature.args[0])
        vector, words = ir.VectorType(item, lanes), ir.VectorType(I32, lanes)
        table_ptr = item_pointer(context, builder, signature.args[0], tables, I64(0), item)
        row_ptr = item_pointer(context, builder, signature.args[1], rows, r_off, I64)
        panel_ptr = item_pointer(context, builder, signature.args[5], panel, p_off, I32)
        out_ptr = item_pointer(context, builder, signature.args[8], out, o_off, item)
        slots = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(ROWS)]
        bits = [cgutils.alloca_once(builder, words) for _ in range(vectors)]
        n_groups = builder.udiv(n_items, I64(GROUP))
        with cgutils.for_range(builder, builder.udiv(n_columns, I64(lanes * vectors))) as side:
            column = builder.mul(side.index, I64(lanes * vectors))
            places = [[vector_pointer(builder, out_ptr, builder.add(column, I64(COLS * r + lanes * v)), vector)
                       for v in range(vectors)] for r in range(ROWS)]
            for row_places, row_slots in zip(places, slots):
                for place, slot in zip(row_places, row_slots):
                    old = builder.load(place, align=4)
                    builder.store(builder.select(builder.trunc(add, I1), old, ir.Constant(vector, None)), slot)
            _add_segments(builder, slots, bits, find, table_ptr, row_ptr, n_segments, n_groups,
                          builder.gep(panel_ptr, [column]))
            for row_places, row_slots in zip(places, slots):
                for place, slot in zip(row_places, row_slots):
                    builder.store(builder.load(slot), place, align=4)
        return context.get_dummy_value()

    return generate


def _add_segments(builder, slots, bits, find, table_ptr, row_ptr, n_segments, n_groups, panel_ptr):
    words, add = bits[0].type.pointee, _adder(builder, table_ptr.type.pointee)
    n_words = builder.udiv(builder.add(n_groups, I64(WORD_GROUPS - 1)), I64(WORD_GROUPS))
    with cgutils.for_range(builder, n_segments) as segment:
        at = builder.mul(segment.index, I64(ROWS))
        starts = [builder.gep(table_ptr, [builder.load(builder.gep(row_ptr, [builder.add(at, I64(r))]))])
                  for r in range(ROWS)]
        here = builder.gep(panel_ptr, [builder.mul(builder.mul(segment.index, n_words), I64(COLS))])
        with cgutils.for_range(builder, n_words) as word:
            place = builder.gep(here, [builder.mul(word.index, I64(COLS))])
            for v, slot in enumerate(bits):
                at = vector_pointer(builder, place, I64(words.count * v), words)
                builder.store(builder.load(at, align=4), slot)
            first = builder.mul(word.index, I64(WORD_GROUPS))
            left = builder.sub(n_groups, first)
            count = builder.select(builder.icmp_signed("<", left, I64(WORD_GROUPS)), left, I64(WORD_GROUPS))
            with cgutils.for_range(builder, count) as group:            # a real loop: unrolled by six, LLVM spills
                entry = builder.mul(builder.add(first, group.index), I64(32))
                present = [builder.load(slot) for slot in bits]
                for start, row_slots in zip(starts, slots):
                    table = builder.gep(start, [entry])
                    for columns, slot in zip(present, row_slots):
                        builder.store(add(builder.load(slot), find(builder, table, columns)), slot)
                for columns, slot in zip(present, bits):
                    builder.store(builder.lshr(columns, _constant(words, GROUP)), slot)


def sums(tables, rows, r_off, n_segments, n_items, panel, p_off, n_columns, out, o_off, add):
    """`lookup_tile.lookup_tile` of such tables."""
    n_groups = n_items // GROUP
    n_words = (n_groups + WORD_GROUPS - 1) // WORD_GROUPS
    flat, starts, bits, totals = tables.reshape(-1), rows.reshape(-1)[r_off:], panel.reshape(-1), out.reshape(-1)
    for r in range(0 if add else ROWS):
        totals[o_off + COLS * r:o_off + COLS * r + n_columns] = 0
    for s in range(n_segments):
        for g in range(n_groups):
            at = p_off + (s * n_words + g // WORD_GROUPS) * COLS
            shift = np.uint32(GROUP * (g % WORD_GROUPS))
            for c in range(n_columns):
                entry = 32 * g + np.int64((bits[at + c] >> shift) & np.uint32(31))
                for r in range(ROWS):
                    totals[o_off + COLS * r + c] += flat[starts[ROWS * s + r] + entry]
