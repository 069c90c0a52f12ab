"""Lookups of four 16-bit gradients at once, for CPUs that shuffle bytes: see `lookup_tile` for what they are part of.

The sums of four gradients with either sign each are 16 numbers, and a byte shuffle (vpshufb, tbl) looks 16 or 32 bytes
up in a table of 16: sums stand in three planes of bytes. With P the sum of those |a| whose sign is that of the
column's bit, the sum of +-a is 2 P - sum |a|, and P < 2^17 has three digits of six bits: four groups can be added in
bytes before they are widened. By AVX2 on a Zen 5 core: 205 GMAC/s, where pairs of int16 (vpmaddwd) are at most 115.

    tables     uint8, of n gradients in quads of four groups: sum |a| as int32, padded to a cache line; then three
               planes, (n / 16, 4, 16) each: the digit of the entry whose bit i is the sign of a group's i-th gradient
    panel      (n / 16, 4, 64) uint8: bit i is the sign bit of a column at the group's i-th row

A call may have any number of segments and groups: sums are widened after at most BLOCK + SEGMENTS quads.
"""

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from bnnsim.kernels._llvm import I1, I8, I16, I32, I64, declare, item_pointer, splat, vector_pointer

ROWS, COLS = 6, 64                  # of the tile
QUAD = 16                           # gradients in four groups
HEAD = 64                           # bytes before the planes
DIGIT, PLANES = 6, 3                # bits of a digit, digits
PLANE_SIZE = 64                     # bytes of a quad's tables of one digit
QUAD_SIZE = PLANE_SIZE * PLANES
BLOCK, SEGMENTS = 80, 64            # quads of panel and two rows of tables in 30 KB of L1; segments at once

_INTS = ir.VectorType(I32, 16)


def _bytes(n, numbers=None):
    vector = ir.VectorType(I8, n)
    return vector if numbers is None else ir.Constant(vector, [I8(number) for number in numbers])


def _order(indices):
    return ir.Constant(ir.VectorType(I32, len(indices)), [I32(index) for index in indices])


def _least(builder, a, b):
    return builder.select(builder.icmp_signed("<", a, b), a, b)


# ---------------------------------------------------------------- tables

def _magnitudes(builder, values):
    """<16 x i16> -> |values|, whether they are negative as bytes of ones, and the three digits as bytes."""
    negative = builder.icmp_signed("<", values, ir.Constant(values.type, None))
    sizes = builder.select(negative, builder.neg(values), values)
    digits = []
    for plane in range(PLANES):
        digit = builder.lshr(sizes, ir.Constant(values.type, [I16(DIGIT * plane)] * QUAD))
        if plane + 1 < PLANES:
            digit = builder.and_(digit, ir.Constant(values.type, [I16((1 << DIGIT) - 1)] * QUAD))
        digits.append(builder.trunc(digit, _bytes(QUAD)))
    return sizes, builder.sext(negative, _bytes(QUAD)), digits


def _digit_sums(builder, digit, negative):
    """Bytes of 16 gradients -> <64 x i8>: of each group the 16 sums of those digits whose sign is the entry's bit."""
    chosen = builder.and_(digit, builder.not_(negative)), builder.and_(digit, negative)
    groups = [4 * (lane // 16) + lane % 4 + QUAD * (lane // 4 % 2) for lane in range(64)]   # four +, four -, again
    both = builder.shuffle_vector(*chosen, _order(groups))
    total = None
    for i in range(4):
        places = [lane // 16 * 16 + (i if lane >> i & 1 else 4 + i) for lane in range(64)]
        term = builder.shuffle_vector(both, both, _order(places))
        total = builder.add(total, term) if total else term
    return total


def tables_tile(by_quad):
    """Code of `tables`, or of `quad_tables`: bytes in lanes of 16, which is what shuffles work on everywhere."""
    def generate(context, builder, signature, args):
        a, a_off, n_items, tables, t_off = args
        a_ptr = item_pointer(context, builder, signature.args[0], a, a_off, I16)
        t_ptr = item_pointer(context, builder, signature.args[3], tables, t_off, I8)
        n_quads, sums = builder.lshr(n_items, I64(4)), cgutils.alloca_once(builder, _INTS)
        builder.store(ir.Constant(_INTS, None), sums)
        plane_step, quad_step, head = (I64(PLANE_SIZE), I64(QUAD_SIZE), 0) if by_quad else \
            (builder.mul(n_quads, I64(PLANE_SIZE)), I64(PLANE_SIZE), HEAD)
        with cgutils.for_range(builder, n_quads) as quad:
            at = builder.mul(quad.index, I64(QUAD))
            values = builder.load(vector_pointer(builder, a_ptr, at, ir.VectorType(I16, QUAD)), align=2)
            sizes, negative, digits = _magnitudes(builder, values)
            builder.store(builder.add(builder.load(sums), builder.zext(sizes, _INTS)), sums)
            carry = None
            for plane, digit in enumerate(digits):
                total = _digit_sums(builder, digit, negative)
                total = builder.add(total, carry) if carry else total
                if plane + 1 < PLANES:
                    carry = builder.lshr(total, _bytes(64, [DIGIT] * 64))
                    total = builder.and_(total, _bytes(64, [(1 << DIGIT) - 1] * 64))
                place = builder.add(builder.mul(plane_step, I64(plane)), builder.mul(quad.index, quad_step))
                builder.store(total, vector_pointer(builder, t_ptr, builder.add(place, I64(head)), _bytes(64)), align=1)
        total = builder.call(declare(builder, "llvm.vector.reduce.add.v16i32", I32, _INTS), [builder.load(sums)])
        if by_quad:
            return total
        builder.store(total, builder.bitcast(t_ptr, I32.as_pointer()), align=1)
        return context.get_dummy_value()

    return generate


def tables(a, a_off, n_items, out, t_off):
    """Tables of n_items int16 from a_off on, a multiple of 16."""
    values, entries = a.reshape(-1)[a_off:a_off + n_items].astype(np.int64), out.reshape(-1)[t_off:]
    entries[:4].view(np.int32)[0] = np.abs(values).sum()
    plus = np.arange(16)[:, None] >> np.arange(4) & 1
    groups = values.reshape(-1, 1, 4)
    totals = np.where(plus, np.maximum(groups, 0), np.maximum(-groups, 0)).sum(2)
    for plane in range(PLANES):
        digits = totals >> DIGIT * plane
        digits = digits & (1 << DIGIT) - 1 if plane + 1 < PLANES else digits
        entries[HEAD + 4 * n_items * plane:][:4 * n_items] = digits.reshape(-1)


def quad_tables(a, a_off, n_items, out, t_off):
    """The same tables without the sum, which is returned, as (n / 16, 3, 64): a quad's planes beside each other."""
    made = np.empty(HEAD + 12 * n_items, np.uint8)
    tables(a, a_off, n_items, made, 0)
    planes = made[HEAD:].reshape(PLANES, -1, PLANE_SIZE).transpose(1, 0, 2)
    out.reshape(-1)[t_off:t_off + planes.size] = planes.reshape(-1)
    return int(made[:4].view(np.int32)[0])


# ---------------------------------------------------------------- panel

def panel_tile(context, builder, signature, args):
    """`panel` as vector code."""
    words, w_off, w_stride, panel, p_off = args
    w_ptr = item_pointer(context, builder, signature.args[0], words, w_off, I64)
    p_ptr = item_pointer(context, builder, signature.args[3], panel, p_off, I8)
    for group in range(4):
        signs = _bytes(COLS, [0] * COLS)
        for i in range(4):
            word = builder.load(builder.gep(w_ptr, [builder.mul(w_stride, I64(4 * group + i))]), align=8)
            word = builder.bitcast(word, _bytes(8))
            eight = builder.shuffle_vector(word, word, _order([c // 8 for c in range(COLS)]))
            bit = builder.and_(eight, _bytes(COLS, [1 << c % 8 for c in range(COLS)]))
            found = builder.icmp_unsigned("!=", bit, _bytes(COLS, [0] * COLS))
            signs = builder.or_(signs, builder.select(found, _bytes(COLS, [1 << i] * COLS), _bytes(COLS, [0] * COLS)))
        builder.store(signs, vector_pointer(builder, p_ptr, I64(COLS * group), signs.type), align=1)
    return context.get_dummy_value()


def panel(words, w_off, w_stride, out, p_off):
    """16 words of 64 columns, w_stride apart -> out[p_off..] (4, 64) bytes: bit i of (g, c): c of word 4 g + i."""
    rows = words.reshape(-1)[w_off:w_off + 15 * w_stride + 1:w_stride]
    bits = (rows[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).astype(np.uint8)
    for i in range(4):
        bits[i::4] <<= i
    out.reshape(-1)[p_off:p_off + 4 * COLS] = np.bitwise_or.reduce(bits.reshape(4, 4, COLS), 1).reshape(-1)


# ---------------------------------------------------------------- sums

def _start_sums(builder, table_ptr, row_ptr, n_segments, n_columns, out_ptr, add):
    """out (6, 64) = what it holds, if `add`, minus the sums of all |a|: of n_columns."""
    with cgutils.for_range(builder, I64(ROWS)) as row:
        total = cgutils.alloca_once(builder, I32)
        builder.store(I32(0), total)
        with cgutils.for_range(builder, n_segments) as segment:
            at = builder.add(builder.mul(segment.index, I64(ROWS)), row.index)
            head = builder.gep(table_ptr, [builder.load(builder.gep(row_ptr, [at]))])
            size = builder.load(builder.bitcast(head, I32.as_pointer()), align=1)
            builder.store(builder.add(builder.load(total), size), total)
        sizes = splat(builder, builder.load(total), _INTS)
        with cgutils.for_range(builder, builder.lshr(n_columns, I64(4))) as part:
            at = builder.add(builder.mul(row.index, I64(COLS)), builder.shl(part.index, I64(4)))
            place = vector_pointer(builder, out_ptr, at, _INTS)
            old = builder.select(add, builder.load(place, align=4), ir.Constant(_INTS, None))
            builder.store(builder.sub(old, sizes), place, align=4)


class _Sums:
    """Sums of one plane of a few rows and vectors of columns, in registers: 16 bits each of even and of odd columns."""

    def __init__(self, builder, lanes, rows, vectors, shuffle):
        self.builder, self.lanes, self.rows, self.vectors = builder, lanes, rows, vectors
        self.bytes, self.halves = _bytes(lanes), ir.VectorType(I16, lanes // 2)
        self.shuffle = declare(builder, shuffle, self.bytes, self.bytes, self.bytes)
        self.slots = [[[cgutils.alloca_once(builder, self.halves) for _ in range(2)] for _ in range(vectors)]
                      for _ in range(rows)]

    def clear(self):
        for slot in (slot for row in self.slots for pair in row for slot in pair):
            self.builder.store(ir.Constant(self.halves, None), slot)

    def add_quad(self, starts, columns):
        """Four groups, whose tables are at `starts` (one a row), and signs at `columns`, 64 bytes a group."""
        builder = self.builder
        found = [[None] * self.vectors for _ in range(self.rows)]
        everywhere = _order([lane % 16 for lane in range(self.lanes)])
        for group in range(4):
            signs = [builder.load(vector_pointer(builder, columns, I64(COLS * group + self.lanes * v), self.bytes),
                                  align=1) for v in range(self.vectors)]
            for start, row in zip(starts, found):
                table = builder.load(vector_pointer(builder, start, I64(16 * group), _bytes(16)), align=1)
                table = builder.shuffle_vector(table, table, everywhere)
                for v, sign in enumerate(signs):
                    entries = builder.call(self.shuffle, [table, sign])
                    row[v] = builder.add(row[v], entries) if row[v] else entries
        eight = ir.Constant(self.halves, [I16(8)] * (self.lanes // 2))
        for row, slots in zip(found, self.slots):
            for sums, (even, odd) in zip(row, slots):
                pairs = builder.bitcast(sums, self.halves)      # even + 256 odd
                builder.store(builder.add(builder.load(even), pairs), even)
                builder.store(builder.add(builder.load(odd), builder.lshr(pairs, eight)), odd)

    def flush(self, out_ptr, shift):
        """out_ptr.. (rows, 64) int32, from its first column on, += sums << shift."""
        builder, half = self.builder, self.lanes // 2
        eight, wide = ir.Constant(self.halves, [I16(8)] * half), ir.VectorType(I32, self.lanes)
        mixed = _order([lane // 2 + half * (lane % 2) for lane in range(self.lanes)])
        for r, row in enumerate(self.slots):
            for v, slots in enumerate(row):
                even, odd = (builder.load(slot) for slot in slots)
                even = builder.sub(even, builder.shl(odd, eight))
                sums = builder.zext(builder.shuffle_vector(even, odd, mixed), wide)
                sums = builder.shl(sums, splat(builder, shift, wide))
                place = vector_pointer(builder, out_ptr, I64(COLS * r + self.lanes * v), wide)
                builder.store(builder.add(builder.load(place, align=4), sums), place, align=4)


def sums_tile(lanes, rows, vectors, shuffle):
    """`sums` as vector code: `rows` rows and `vectors` of `lanes` bytes at once, so many as there are registers."""
    def generate(context, builder, signature, args):
        tables, starts, r_off, n_segments, n_items, panel, p_off, n_columns, out, o_off, add = args
        table_ptr = item_pointer(context, builder, signature.args[0], tables, I64(0), I8)
        row_ptr = item_pointer(context, builder, signature.args[1], starts, r_off, I64)
        panel_ptr = item_pointer(context, builder, signature.args[5], panel, p_off, I8)
        out_ptr = item_pointer(context, builder, signature.args[8], out, o_off, I32)
        _start_sums(builder, table_ptr, row_ptr, n_segments, n_columns, out_ptr, builder.trunc(add, I1))
        state, n_quads = _Sums(builder, lanes, rows, vectors, shuffle), builder.lshr(n_items, I64(4))

        def up(value, step):
            return builder.udiv(builder.add(value, builder.sub(step, I64(1))), step)

        with cgutils.for_range(builder, up(n_segments, I64(SEGMENTS))) as batch:
            first = builder.mul(batch.index, I64(SEGMENTS))
            count = _least(builder, builder.sub(n_segments, first), I64(SEGMENTS))
            n_blocks = up(builder.mul(n_quads, count), I64(BLOCK))
            size = up(n_quads, builder.add(n_blocks, builder.zext(builder.icmp_signed("==", n_blocks, I64(0)), I64)))
            with cgutils.for_range(builder, n_blocks) as block:
                _sum_block(builder, state, table_ptr, row_ptr, first, count, n_quads, builder.mul(block.index, size),
                           size, panel_ptr, n_columns, out_ptr)
        return context.get_dummy_value()

    return generate


def _sum_block(builder, state, table_ptr, row_ptr, first, count, n_quads, quad, size, panel_ptr, n_columns,
               out_ptr):
    """Add quads quad.. (`size`) of segments first.. (`count`) to all rows of `out`, and so many columns."""
    left = _least(builder, builder.sub(n_quads, quad), size)
    width = state.lanes * state.vectors
    with cgutils.for_range(builder, I64(PLANES)) as plane, \
            cgutils.for_range(builder, I64(ROWS // state.rows)) as part, \
            cgutils.for_range(builder, builder.udiv(n_columns, I64(width))) as side:
        row, column = builder.mul(part.index, I64(state.rows)), builder.mul(side.index, I64(width))
        offset = builder.add(builder.add(builder.mul(plane.index, n_quads), quad), I64(HEAD // 64))
        state.clear()
        with cgutils.for_range(builder, count) as segment:
            here = builder.add(first, segment.index)
            at = builder.gep(row_ptr, [builder.add(builder.mul(here, I64(ROWS)), row)])
            starts = [builder.gep(table_ptr, [builder.add(builder.load(builder.gep(at, [I64(r)])),
                                                          builder.mul(offset, I64(64)))]) for r in range(state.rows)]
            signs = builder.mul(builder.add(builder.mul(here, n_quads), quad), I64(4 * COLS))
            signs = builder.gep(panel_ptr, [builder.add(signs, column)])
            with cgutils.for_range(builder, left) as step:
                state.add_quad([builder.gep(start, [builder.mul(step.index, I64(64))]) for start in starts],
                               builder.gep(signs, [builder.mul(step.index, I64(4 * COLS))]))
        shift = builder.trunc(builder.add(builder.mul(plane.index, I64(DIGIT)), I64(1)), I32)
        state.flush(builder.gep(out_ptr, [builder.add(builder.mul(row, I64(COLS)), column)]), shift)


def sums(tables, rows, r_off, n_segments, n_items, panel, p_off, n_columns, out, o_off, add):
    """`lookup_tile.lookup_tile` of such tables."""
    n_groups, flat, starts = n_items // 4, tables.reshape(-1), rows.reshape(-1)[r_off:]
    signs, totals = panel.reshape(-1), out.reshape(-1)
    for r in range(ROWS):
        at = o_off + COLS * r
        if not add:
            totals[at:at + n_columns] = 0
        for s in range(n_segments):
            head, size = starts[ROWS * s + r], np.int32(0)
            for byte in range(4):
                size |= np.int32(flat[head + byte]) << np.int32(8 * byte)
            for c in range(n_columns):
                total = -size
                for g in range(n_groups):
                    digit = head + HEAD + 16 * g + signs[p_off + (s * n_groups + g) * COLS + c]
                    for plane in range(PLANES):
                        total += np.int32(flat[digit + 16 * n_groups * plane]) << np.int32(DIGIT * plane + 1)
                totals[at + c] += total
