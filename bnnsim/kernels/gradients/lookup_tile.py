"""Sums of gradients times packed +-1 by table lookup: the tile behind both gradients of every hidden layer.

The five gradients of a group, each taken with either sign, have 32 sums, and two vector registers hold them: one
permutation looks the sums of 16 columns up, by five bits of each column, where a multiply-add of 16-bit pairs
(vpdpwssd) does 32 products. Measured on Zen 4 with AVX-512: 235-240 GMAC/s a core, against 115-135. All sums are
exact in int32, so the plain twin of every other CPU gives the same integers. The same code does float32 gradients in
float32, where each sum has one order, group after group: other roundings, but the same everywhere.

    tables     (R, G, 32) int32 or float32: entry e of group g: sum over i of a[5 g + i], negative where bit i of e is 0
    panel      (ceil(F / 64), ceil(G / 6), 64) uint32: bit 5 j + i of word w of column f is the sign bit of f at row
               5 (6 w + j) + i of the summed axis
    tile       6 rows x 64 columns

Offsets count items from the start of an array, which is C-contiguous. A sum may have 65,536 terms (`MAX_GROUPS`).
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._jit import inline
from bnnsim.kernels._llvm import I1, I16, I32, I64, declare, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of

ROWS, COLS = 6, 64                  # of the tile
GROUP, WORD_GROUPS = 5, 6           # gradients in a group, groups in a word of the panel
WORD_ROWS = GROUP * WORD_GROUPS     # rows of the summed axis in a word of the panel: 30
MAX_GROUPS = 65_536 // GROUP        # of one int32 sum
TABLES = "avx512f", "avx512bw", "avx512dq"

_VECTOR, _SINGLE = ir.VectorType(I32, 16), ir.VectorType(ir.FloatType(), 16)


def _constant(values):
    return ir.Constant(_VECTOR, [I32(value) for value in values])


def _bit(i):
    """Bit i of the numbers of a table's first 16 entries."""
    return ir.Constant(ir.VectorType(I1, 16), [I1(e >> i & 1) for e in range(16)])


@intrinsic
def _lookup_tile(_, tables, rows, n_segments, n_groups, panel, p_off, out, o_off, add):
    index = types.intp
    signature = types.void(tables, rows, index, index, panel, index, out, index, types.boolean)

    def generate(context, builder, signature, args):
        tables, rows, n_segments, n_groups, panel, p_off, out, o_off, add = args
        exact = signature.args[0].dtype == types.int32
        vector, add_vectors = (_VECTOR, builder.add) if exact else (_SINGLE, builder.fadd)
        table_ptr = item_pointer(context, builder, signature.args[0], tables, I64(0), vector.element)
        row_ptr = item_pointer(context, builder, signature.args[1], rows, I64(0), I64)
        panel_ptr = item_pointer(context, builder, signature.args[4], panel, p_off, I32)
        out_ptr = item_pointer(context, builder, signature.args[6], out, o_off, vector.element)
        sums = [[cgutils.alloca_once(builder, vector) for _ in range(4)] for _ in range(ROWS)]
        places = [vector_pointer(builder, out_ptr, I64(16 * i), vector) for i in range(4 * ROWS)]
        for slot in sum(sums, []):
            builder.store(ir.Constant(vector, None), slot)
        with builder.if_then(builder.trunc(add, I1)):
            for slot, place in zip(sum(sums, []), places):
                builder.store(builder.load(place, align=4), slot)
        bits = [cgutils.alloca_once(builder, _VECTOR) for _ in range(4)]
        permute = declare(builder, f"llvm.x86.avx512.vpermi2var.{'d' if exact else 'ps'}.512", vector, vector, _VECTOR,
                          vector)
        n_words = builder.udiv(builder.add(n_groups, I64(WORD_GROUPS - 1)), I64(WORD_GROUPS))
        with cgutils.for_range(builder, n_segments) as segment:
            at = builder.mul(segment.index, I64(ROWS))
            starts = [builder.gep(table_ptr, [builder.load(builder.gep(row_ptr, [builder.add(at, I64(r))]))])
                      for r in range(ROWS)]
            words = builder.gep(panel_ptr, [builder.mul(builder.mul(segment.index, n_words), I64(COLS))])
            with cgutils.for_range(builder, n_words) as word:
                here = builder.gep(words, [builder.mul(word.index, I64(COLS))])
                for v, slot in enumerate(bits):
                    builder.store(builder.load(vector_pointer(builder, here, I64(16 * v), _VECTOR), align=4), slot)
                first = builder.mul(word.index, I64(WORD_GROUPS))
                left = builder.sub(n_groups, first)
                count = builder.select(builder.icmp_signed("<", left, I64(WORD_GROUPS)), left, I64(WORD_GROUPS))
                with cgutils.for_range(builder, count) as group:        # a real loop: unrolled by six, LLVM spills
                    entry = builder.mul(builder.add(first, group.index), I64(32))
                    present = [builder.load(slot) for slot in bits]
                    for start, slots in zip(starts, sums):
                        halves = (vector_pointer(builder, start, builder.add(entry, I64(half)), vector)
                                  for half in (0, 16))
                        low, high = (builder.load(half, align=4) for half in halves)
                        for column, slot in zip(present, slots):
                            found = builder.call(permute, [low, column, high])
                            builder.store(add_vectors(builder.load(slot), found), slot)
                    for column, slot in zip(present, bits):
                        builder.store(builder.lshr(column, _constant([GROUP] * 16)), slot)
        for slot, place in zip(sum(sums, []), places):
            builder.store(builder.load(slot), place, align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_lookup_tile, needs=TABLES))
def lookup_tile(tables, rows, n_segments, n_groups, panel, p_off, out, o_off, add):
    """out (6, 64), of the tables' type, = sums over `n_segments` of `n_groups` groups.

    The tables of segment s and row r start at rows[6 s + r]; the panel's words of one segment follow those of the one
    before. Where `add` is true the sums are added to what `out` holds.
    """
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


@intrinsic
def _build_tables(_, a, a_off, n_groups, tables, t_off):
    signature = types.void(a, types.intp, types.intp, tables, types.intp)

    def generate_single(context, builder, signature, args):
        a, a_off, n_groups, tables, t_off = args
        a_ptr = item_pointer(context, builder, signature.args[0], a, a_off, ir.FloatType())
        t_ptr = item_pointer(context, builder, signature.args[3], tables, t_off, ir.FloatType())
        with cgutils.for_range(builder, n_groups) as group:
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

    def generate(context, builder, signature, args):
        a, a_off, n_groups, tables, t_off = args
        a_ptr = item_pointer(context, builder, signature.args[0], a, a_off, I16)
        t_ptr = item_pointer(context, builder, signature.args[3], tables, t_off, I32)
        half = ir.VectorType(I16, 32)
        madd = declare(builder, "llvm.x86.avx512.pmaddw.d.512", _VECTOR, half, half)

        def signed_pair(first, second):                         # which bits of the entry number are their signs
            factors = [2 * (e >> bit & 1) - 1 for e in range(16) for bit in (first, second)]
            return ir.Constant(half, [I16(factor) for factor in factors])

        minus_fifth, plus_fifth = (ir.Constant(half, [I16(0), I16(factor)] * 16) for factor in (-1, 1))
        with cgutils.for_range(builder, n_groups) as group:
            first = builder.gep(a_ptr, [builder.mul(group.index, I64(GROUP))])
            pairs = []
            for i in (0, 2, 3):
                pair = builder.bitcast(builder.gep(first, [I64(i)]), I32.as_pointer())
                pairs.append(builder.bitcast(splat(builder, builder.load(pair, align=2), _VECTOR), half))
            four = builder.add(builder.call(madd, [pairs[0], signed_pair(0, 1)]),
                               builder.call(madd, [pairs[1], signed_pair(2, 3)]))
            at = builder.mul(group.index, I64(32))
            for offset, fifth in ((0, minus_fifth), (16, plus_fifth)):
                entries = builder.add(four, builder.call(madd, [pairs[2], fifth]))
                builder.store(entries, vector_pointer(builder, t_ptr, builder.add(at, I64(offset)), _VECTOR), align=4)
        return context.get_dummy_value()

    return signature, generate if a.dtype == types.int16 else generate_single


@twin_of(Tile(_build_tables, needs=TABLES))
def build_tables(a, a_off, n_groups, tables, t_off):
    """Tables of the `n_groups` groups of five int16, or float32, that start at a_off."""
    flat, entries = a.reshape(-1), tables.reshape(-1)
    for g in range(n_groups):
        for e in range(32):
            at = t_off + 32 * g + e
            entries[at] = 0
            for i in range(GROUP):
                if (e >> i) & 1:
                    entries[at] += flat[a_off + GROUP * g + i]
                else:
                    entries[at] -= flat[a_off + GROUP * g + i]


@intrinsic
def _turn_words(_, words, w_off, w_stride, panel, p_off):
    signature = types.void(words, types.intp, types.intp, panel, types.intp)

    def generate(context, builder, signature, args):
        words, w_off, w_stride, panel, p_off = args
        w_ptr = item_pointer(context, builder, signature.args[0], words, w_off, I64)
        p_ptr = item_pointer(context, builder, signature.args[3], panel, p_off, I32)
        columns = [ir.Constant(_VECTOR, None)] * 4
        for j in range(WORD_ROWS):
            word = builder.bitcast(builder.gep(w_ptr, [builder.mul(w_stride, I64(j))]), I16.as_pointer())
            for v in range(4):
                mask = builder.bitcast(builder.load(builder.gep(word, [I64(v)]), align=2), ir.VectorType(I1, 16))
                bit = builder.select(mask, _constant([1 << j] * 16), ir.Constant(_VECTOR, None))
                columns[v] = builder.or_(columns[v], bit)
        for v, column in enumerate(columns):
            builder.store(column, vector_pointer(builder, p_ptr, I64(16 * v), _VECTOR), align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_turn_words, needs=TABLES))
def turn_words(words, w_off, w_stride, panel, p_off):
    """30 words of 64 columns, w_stride apart -> panel[p_off..] (64,) uint32: bit j of column c is bit c of word j."""
    flat, bits = words.reshape(-1), panel.reshape(-1)
    for c in range(COLS):
        column = np.uint32(0)
        for j in range(WORD_ROWS):
            bit = np.uint32((flat[w_off + j * w_stride] >> np.uint64(c)) & np.uint64(1))
            column |= bit << np.uint32(j)
        bits[p_off + c] = column


@intrinsic
def _scale_row(_, sums, s_off, scale, out, o_off):
    signature = types.void(sums, types.intp, types.float64, out, types.intp)

    def generate(context, builder, signature, args):
        sums, s_off, scale, out, o_off = args
        vector, widen = (_VECTOR, builder.sitofp) if signature.args[0].dtype == types.int32 else \
            (_SINGLE, builder.fpext)
        s_ptr = item_pointer(context, builder, signature.args[0], sums, s_off, vector.element)
        o_ptr = item_pointer(context, builder, signature.args[3], out, o_off, ir.FloatType())
        wide = ir.VectorType(ir.DoubleType(), 16)
        scales = splat(builder, scale, wide)
        for v in range(4):
            exact = widen(builder.load(vector_pointer(builder, s_ptr, I64(16 * v), vector), align=4), wide)
            builder.store(builder.fptrunc(builder.fmul(exact, scales), _SINGLE),
                          vector_pointer(builder, o_ptr, I64(16 * v), _SINGLE), align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_scale_row))
def scale_row(sums, s_off, scale, out, o_off):
    """out[o_off..] (64,) float32 = sums[s_off..] (64,), int32 or float32, * scale, the product in float64."""
    exact, values = sums.reshape(-1), out.reshape(-1)
    for c in range(COLS):
        values[o_off + c] = np.float32(np.float64(exact[s_off + c]) * scale)


@intrinsic
def _aligned(_, array):
    def generate(context, builder, signature, args):
        item = context.get_data_type(signature.args[0].dtype)
        address = builder.ptrtoint(item_pointer(context, builder, signature.args[0], args[0], I64(0), item), I64)
        return builder.lshr(builder.and_(builder.neg(address), I64(63)), I64(2))

    return types.intp(array), generate


@twin_of(Tile(_aligned))
def aligned(array):
    """How many items past the start of an array of 4-byte items the next cache line begins."""
    return (-array.ctypes.data & 63) >> 2


@inline
def add_tile(tile, total):
    """total (6, 64) += tile, by loops: `+=` on arrays compiles three seconds of error messages."""
    for r in range(ROWS):
        for c in range(COLS):
            total[r, c] += tile[r, c]


@inline
def new_tables(n_groups, kind):
    """Room for `n_groups` tables of the type of array `kind`, and where in it they may start: on a cache line."""
    room = np.empty(32 * n_groups + 16, kind.dtype)
    return room, aligned(room)
