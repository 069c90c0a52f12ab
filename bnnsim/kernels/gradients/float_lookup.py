"""The lookups of float32 gradients, in float32: see `lookup_tile` for what they are part of.

A group is five gradients, whose sums with either sign each are 32 numbers. Each sum has one order, group after group,
and so the same roundings on every CPU. AVX-512 looks 16 entries up by one shuffle of two registers; AVX2 eight by
four shuffles and three choices between them.

    tables     (G, 32) float32 of G groups: entry e of group g: sum over i of a[5 g + i], negative where bit i of e is 0
    panel      (ceil(G / 6), 64) uint32: bit 5 j + i of word w is the sign bit of a column at row 5 (6 w + j) + i
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from bnnsim.kernels._llvm import I1, I16, I32, I64, declare, item_pointer, splat, vector_pointer

ROWS, COLS = 6, 64                  # of the tile
GROUP, WORD_GROUPS = 5, 6           # gradients in a group, groups in a word of the panel
WORD_ROWS = GROUP * WORD_GROUPS     # rows of the summed axis in a word of the panel: 30

_FLOAT = ir.FloatType()
_SINGLE, _WORDS = ir.VectorType(_FLOAT, 16), ir.VectorType(I32, 16)


def _constant(vector, number):
    return ir.Constant(vector, [I32(number)] * vector.count)


def _bit(i):
    """Bit i of the numbers of a table's first 16 entries."""
    return ir.Constant(ir.VectorType(I1, 16), [I1(e >> i & 1) for e in range(16)])


# ---------------------------------------------------------------- tables

def tables(context, builder, signature, args):
    """`float_tables` as vector code."""
    a, a_off, n_items, tables, t_off = args
    a_ptr = item_pointer(context, builder, signature.args[0], a, a_off, _FLOAT)
    t_ptr = item_pointer(context, builder, signature.args[3], tables, t_off, _FLOAT)
    with cgutils.for_range(builder, builder.udiv(n_items, I64(GROUP))) as group:
        first = builder.gep(a_ptr, [builder.mul(group.index, I64(GROUP))])
        values = [splat(builder, builder.load(builder.gep(first, [I64(i)])), _SINGLE) for i in range(GROUP)]
        terms = [builder.select(_bit(i), value, builder.fneg(value)) for i, value in enumerate(values[:4])]
        four = terms[0]
        for term in terms[1:]:
            four = builder.fadd(four, term)
        at = builder.mul(group.index, I64(32))
        for offset, entries in ((0, builder.fsub(four, values[4])), (16, builder.fadd(four, values[4]))):
            builder.store(entries, vector_pointer(builder, t_ptr, builder.add(at, I64(offset)), _SINGLE), align=4)
    return context.get_dummy_value()


def float_tables(a, a_off, n_items, tables, t_off):
    """Tables of n_items float32 from a_off on, a multiple of five."""
    flat, entries = a.reshape(-1), tables.reshape(-1)
    for g in range(n_items // GROUP):
        for e in range(32):
            at = t_off + 32 * g + e
            entries[at] = 0
            for i in range(GROUP):
                value = flat[a_off + GROUP * g + i]
                entries[at] += value if e >> i & 1 else -value


# ---------------------------------------------------------------- panel

def panel(context, builder, signature, args):
    """`float_panel` as vector code."""
    words, w_off, w_stride, panel, p_off = args
    w_ptr = item_pointer(context, builder, signature.args[0], words, w_off, I64)
    p_ptr = item_pointer(context, builder, signature.args[3], panel, p_off, I32)
    columns = [ir.Constant(_WORDS, None)] * 4
    for j in range(WORD_ROWS):
        word = builder.bitcast(builder.gep(w_ptr, [builder.mul(w_stride, I64(j))]), I16.as_pointer())
        for v in range(4):
            mask = builder.bitcast(builder.load(builder.gep(word, [I64(v)]), align=2), ir.VectorType(I1, 16))
            bit = builder.select(mask, _constant(_WORDS, 1 << j), ir.Constant(_WORDS, None))
            columns[v] = builder.or_(columns[v], bit)
    for v, column in enumerate(columns):
        builder.store(column, vector_pointer(builder, p_ptr, I64(16 * v), _WORDS), align=4)
    return context.get_dummy_value()


def float_panel(words, w_off, w_stride, panel, p_off):
    """30 words of 64 columns, w_stride apart -> panel[p_off..] (64,) uint32: bit j of column c is bit c of word j."""
    flat, bits = words.reshape(-1), panel.reshape(-1)
    for c in range(COLS):
        column = 0
        for j in range(WORD_ROWS):
            column |= (int(flat[w_off + j * w_stride]) >> c & 1) << j
        bits[p_off + c] = column


# ---------------------------------------------------------------- sums

def find_sixteen(builder, table, columns):
    """AVX-512: <16 x float> of the table at numbers <16 x i32>."""
    low, high = (builder.load(vector_pointer(builder, table, I64(half), _SINGLE), align=4) for half in (0, 16))
    permute = declare(builder, "llvm.x86.avx512.vpermi2var.ps.512", _SINGLE, _SINGLE, _WORDS, _SINGLE)
    return builder.call(permute, [low, columns, high])


def find_eight(builder, table, columns):
    """AVX2: <8 x float> of the table at numbers <8 x i32>; bits 0-2 shuffle, bits 3 and 4 choose."""
    vector = ir.VectorType(_FLOAT, 8)
    permute = declare(builder, "llvm.x86.avx2.permps", vector, vector, columns.type)
    found = [builder.call(permute, [builder.load(vector_pointer(builder, table, I64(8 * i), vector), align=4), columns])
             for i in range(4)]
    for bit in (3, 4):
        signs = builder.shl(columns, _constant(columns.type, 31 - bit))
        chosen = builder.icmp_signed("<", signs, ir.Constant(columns.type, None))
        found = [builder.select(chosen, high, low) for low, high in zip(found[::2], found[1::2])]
    return found[0]


def sums(lanes, vectors, find):
    """`float_sums` as vector code: all rows and `vectors` of `lanes` columns at once."""
    vector, words = ir.VectorType(_FLOAT, lanes), ir.VectorType(I32, lanes)

    def generate(context, builder, signature, args):
        tables, rows, n_segments, n_items, panel, p_off, out, o_off, add = args
        table_ptr = item_pointer(context, builder, signature.args[0], tables, I64(0), _FLOAT)
        row_ptr = item_pointer(context, builder, signature.args[1], rows, I64(0), I64)
        panel_ptr = item_pointer(context, builder, signature.args[4], panel, p_off, I32)
        out_ptr = item_pointer(context, builder, signature.args[6], out, o_off, _FLOAT)
        slots = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(ROWS)]
        bits = [cgutils.alloca_once(builder, words) for _ in range(vectors)]
        n_groups = builder.udiv(n_items, I64(GROUP))
        with cgutils.for_range(builder, I64(COLS // (lanes * vectors))) as side:
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
    words = bits[0].type.pointee
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
                        builder.store(builder.fadd(builder.load(slot), find(builder, table, columns)), slot)
                for columns, slot in zip(present, bits):
                    builder.store(builder.lshr(columns, _constant(words, GROUP)), slot)


def float_sums(tables, rows, n_segments, n_items, panel, p_off, out, o_off, add):
    """`lookup_tile.lookup_tile` of tables of float32."""
    n_groups = n_items // GROUP
    n_words = (n_groups + WORD_GROUPS - 1) // WORD_GROUPS
    flat, starts, bits, sums = tables.reshape(-1), rows.reshape(-1), panel.reshape(-1), out.reshape(-1)
    if not add:
        sums[o_off:o_off + ROWS * COLS] = 0
    entries = np.empty(COLS, np.int64)
    for s in range(n_segments):
        for g in range(n_groups):
            at = p_off + (s * n_words + g // WORD_GROUPS) * COLS
            shift = np.uint32(GROUP * (g % WORD_GROUPS))
            for c in range(COLS):
                entries[c] = 32 * g + np.int64((bits[at + c] >> shift) & np.uint32(31))
            for r in range(ROWS):
                start = starts[ROWS * s + r]
                for c in range(COLS):
                    sums[o_off + COLS * r + c] += flat[start + entries[c]]
