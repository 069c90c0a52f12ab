"""A dense first layer by lookup: sums of six pixels, where a CPU's AVX-512 permutes words in one step.

Six pixels, each taken with either sign, have 64 sums of 16 bits. They fill two registers, and one shuffle (vpermi2w)
looks up those of 32 units: 192 multiply-adds, where vpdpbusd does 64. The sums are those of `pixel_tile`.

    tables         (N, G, 64) int16 of the G groups of an image: entry e of group g is the sum over i of pixel 6 g + i,
                   negative where bit i of e is 0
    panel          (U / 32, ceil(G / 2), 16) uint32: twelve signs of unit 32 p + c in the low half of entry (p, w, c),
                   of unit 32 p + 16 + c in the high one; bit 6 j + i is that of pixel 6 (2 w + j) + i
    tile           6 or 1 rows x 128 units

The bytes are those of `pixel_tile`: both sums are exact. Intel's CPUs, which take two cycles for this shuffle and half
a cycle for vpdpbusd by LLVM's tables (llvm-mca), keep the latter.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._jit import JIT_OFF, inline
from bnnsim.kernels._llvm import I8, I16, I32, I64, declare, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of
from bnnsim.kernels.forward.pixel_tile import PIXELS_TILE
from bnnsim.kernels.forward.tile_parts import (COLS, row_pointers, store_results, tile_signature, totals_in_memory,
                                               zeroed)

ROWS, VECTORS = 6, 4                # of a tile; a vector has sums of 32 units
UNITS = 32 * VECTORS
GROUP, ENTRIES = 6, 64              # pixels in a group, and their sums
WORD_PIXELS = 2 * GROUP             # of an entry of the panel
MOST = 10                           # words that 16-bit sums hold: 20 * 6 * 255 < 2^15
FEWEST_UNITS = 256                  # with 128 of them, tables take half of the time
FEWEST_PIXELS = 192                 # with few, storing sums takes longer than adding them
NEEDS = ("avx512bw", "avx512dq", "sse4a")                       # sse4a: AMD's

_SUMS, _BYTES, _PAIRS = ir.VectorType(I16, 32), ir.VectorType(I8, 64), ir.VectorType(I32, 16)


def fits(n_units: int, n_pixels: int) -> bool:
    """Whether a layer of this size is summed by lookup: it has whole tiles, and they are faster there."""
    return USED and n_units % UNITS == 0 and n_units >= FEWEST_UNITS and n_pixels >= FEWEST_PIXELS


# ---------------------------------------------------------------- tables

def _signs(low, high):
    """Bytes, two a sum, for products of pairs of pixels."""
    return ir.Constant(_BYTES, [I8(sign(e)) for e in range(32) for sign in (low, high)])


def _sign(bit):
    return lambda e: 2 * (e >> bit & 1) - 1


@intrinsic
def _build(_, pixels, p_off, n_groups, tables, t_off):
    index = types.intp
    signature = types.void(pixels, index, index, tables, index)

    def generate(context, builder, signature, args):
        pixels, p_off, n_groups, tables, t_off = args
        p_ptr = item_pointer(context, builder, signature.args[0], pixels, p_off, I8)
        t_ptr = item_pointer(context, builder, signature.args[3], tables, t_off, I16)
        multiply = declare(builder, "llvm.x86.avx512.pmaddubs.w.512", _SUMS, _BYTES, _BYTES)
        with cgutils.for_range(builder, n_groups) as group:
            here = builder.bitcast(builder.gep(p_ptr, [builder.mul(group.index, I64(GROUP))]), I16.as_pointer())
            pairs = [builder.bitcast(splat(builder, builder.load(builder.gep(here, [I64(i)]), align=1), _SUMS), _BYTES)
                     for i in range(3)]
            four = builder.add(builder.call(multiply, [pairs[0], _signs(_sign(0), _sign(1))]),
                               builder.call(multiply, [pairs[1], _signs(_sign(2), _sign(3))]))
            at = builder.mul(group.index, I64(ENTRIES))
            for half, sixth in enumerate((lambda _: -1, lambda _: 1)):
                two = builder.call(multiply, [pairs[2], _signs(_sign(4), sixth)])
                builder.store(builder.add(four, two),
                              vector_pointer(builder, t_ptr, builder.add(at, I64(32 * half)), _SUMS), align=2)
        return context.get_dummy_value()

    return signature, generate


_BUILD = Tile(_build, NEEDS)
USED = _BUILD.runs_here and not JIT_OFF


@twin_of(_BUILD)
def build_tables(pixels, p_off, n_groups, tables, t_off):
    """tables[t_off..] (G, 64) int16 = the signed sums of pixels[p_off..] (G, 6) uint8."""
    flat, entries = pixels.reshape(-1), tables.reshape(-1)
    for g in range(n_groups):
        for e in range(ENTRIES):
            total = np.int64(0)
            for i in range(GROUP):
                value = np.int64(flat[p_off + GROUP * g + i])
                total += value if e >> i & 1 else -value
            entries[t_off + ENTRIES * g + e] = total


# ---------------------------------------------------------------- sums

def _widen(builder, sums, results):
    """Add 16-bit sums to those of int32, of even and of odd lanes, and begin anew."""
    multiply = declare(builder, "llvm.x86.avx512.pmaddw.d.512", _PAIRS, _SUMS, _SUMS)
    for slots, totals in zip(sums, results):
        for v, slot in enumerate(slots):
            for side in range(2):
                lanes = ir.Constant(_SUMS, [I16(int(lane % 2 == side)) for lane in range(32)])
                total = totals[2 * v + side]
                wide = builder.call(multiply, [builder.load(slot), lanes])
                builder.store(builder.add(builder.load(total), wide), total)
            builder.store(ir.Constant(_SUMS, None), slot)


def _add_words(builder, rows, strips, sums, bits, first, n_words, n_groups):
    """Words first.. of the panel, two groups each as far as there are."""
    find = declare(builder, "llvm.x86.avx512.vpermi2var.hi.512", _SUMS, _SUMS, _SUMS, _SUMS)
    with cgutils.for_range(builder, n_words) as word:
        number = builder.add(first, word.index)
        for strip, slot in zip(strips, bits):
            place = vector_pointer(builder, strip, builder.mul(number, I64(COLS)), _PAIRS)
            builder.store(builder.bitcast(builder.load(place, align=4), _SUMS), slot)
        start = builder.mul(number, I64(2))
        left = builder.sub(n_groups, start)
        count = builder.select(builder.icmp_signed("<", left, I64(2)), left, I64(2))
        with cgutils.for_range(builder, count) as half:             # a real loop: unrolled, LLVM spills
            group = builder.add(start, half.index)
            numbers = [builder.load(slot) for slot in bits]
            for row, slots in zip(rows, sums):
                at = builder.mul(group, I64(ENTRIES))
                low, high = (builder.load(vector_pointer(builder, row, builder.add(at, I64(32 * i)), _SUMS), align=2)
                             for i in (0, 1))
                for slot, lanes in zip(slots, numbers):
                    builder.store(builder.add(builder.load(slot), builder.call(find, [low, lanes, high])), slot)
            for slot, lanes in zip(bits, numbers):
                builder.store(builder.lshr(lanes, ir.Constant(_SUMS, [I16(GROUP)] * 32)), slot)


def _make_tile(n_rows, to_bits):
    @intrinsic
    def tile(_, x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off,
             o_stride):
        signature = tile_signature(x, x_at, table, panel, out)

        def generate(context, builder, signature, args):
            x, x_at, first, _, _, n_groups, panel, p_off = args[:8]
            n_words = builder.udiv(builder.add(n_groups, I64(1)), I64(2))
            rows = row_pointers(context, builder, signature.args[0], x, x_at, first, I16, n_rows)
            p_ptr = item_pointer(context, builder, signature.args[6], panel, p_off, I32)
            strips = [builder.gep(p_ptr, [builder.mul(n_words, I64(COLS * v))]) for v in range(VECTORS)]
            results, _ = totals_in_memory(builder, n_rows, 2 * VECTORS)
            sums = zeroed(builder, _SUMS, n_rows, VECTORS)
            bits = [cgutils.alloca_once(builder, _SUMS) for _ in range(VECTORS)]
            n_blocks = builder.udiv(builder.add(n_words, I64(MOST - 1)), I64(MOST))
            with cgutils.for_range(builder, n_blocks) as block:
                start = builder.mul(block.index, I64(MOST))
                left = builder.sub(n_words, start)
                count = builder.select(builder.icmp_signed("<", left, I64(MOST)), left, I64(MOST))
                _add_words(builder, rows, strips, sums, bits, start, count, n_groups)
                _widen(builder, sums, results)

            def result(total, entry):
                return builder.icmp_signed(">=", total, entry) if to_bits else builder.add(entry, total)

            store_results(context, builder, signature.args, args, results, COLS, result, to_bits)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _make_twin(n_rows, to_bits):
    def twin(x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off, o_stride):
        flat, signs, entries, out_flat = x.reshape(-1), panel.reshape(-1), table.reshape(-1), out.reshape(-1)
        for r in range(n_rows):
            for strip in range(2 * VECTORS):
                mask = 0
                for c in range(COLS):
                    total = np.int32(0)
                    for group in range(n_steps):
                        at = p_off + (strip // 2 * ((n_steps + 1) // 2) + group // 2) * COLS + c
                        entry = int(signs[at]) >> 16 * (strip % 2) + GROUP * (group % 2) & ENTRIES - 1
                        total += np.int32(flat[x_at[first + r] + group * ENTRIES + entry])
                    entry = entries[table_at[first + r] + t_off + COLS * strip + c]
                    if to_bits:
                        mask |= int(total >= entry) << c
                    else:
                        out_flat[o_off + r * o_stride + COLS * strip + c] = entry + total
                if to_bits:
                    out_flat.view(np.uint16)[o_off + r * o_stride + strip] = mask

    twin.__name__ = f"lookup_{'bits' if to_bits else 'sums'}_{n_rows}"
    return twin


def _make_rows(to_bits):
    large, single = (twin_of(Tile(_make_tile(n, to_bits), NEEDS))(_make_twin(n, to_bits)) for n in (ROWS, 1))
    step = UNITS // COLS if to_bits else UNITS                  # of the output

    @inline
    def rows(tables, starts, n_rows, n_groups, panel, table, table_at, out, o_off, o_stride):
        for p in range(panel.shape[0] // VECTORS):
            at = p * VECTORS * panel.shape[1] * COLS
            if n_rows == ROWS:
                large(tables, starts, 0, 0, 1, n_groups, panel, at, table, table_at, UNITS * p, out, o_off + step * p,
                      o_stride)
            else:
                for r in range(n_rows):
                    single(tables, starts, r, 0, 1, n_groups, panel, at, table, table_at, UNITS * p, out,
                           o_off + step * p + r * o_stride, o_stride)

    return rows


lookup_bits, lookup_sums = _make_rows(True), _make_rows(False)  # of 6 rows, or fewer, against a whole panel
DENSE_PIXELS_TILE = f"pixel_lookup.lookup_sums_{ROWS}" if USED else PIXELS_TILE
