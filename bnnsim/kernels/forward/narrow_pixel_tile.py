"""The tile of pixels for registers of 256 or 128 bits: `pixel_tile`'s operations, 16 units or fewer at a time.

A product says how a CPU multiplies four pixels with the weights of some neighbouring units, and in what it sums: 16
bits hold `most` steps, and are then widened into int32 totals in memory. Accumulators of 6 rows fill 12 registers.

    dot            vpdpbusd: 32 bits at once
    signed dot     sdot of NEON, of pixels - 128; a black pixel then counts -128 w, which a row of them takes away
    pairs          vpmaddubsw: two products in 16 bits, of 2 * 255 at most, so that nothing saturates
    singles        a multiplication of 16-bit lanes, for LLVM to lower: any CPU
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import binding, ir
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._llvm import I8, I16, I32, I64, declare, item_pointer, splat, vector_pointer
from bnnsim.kernels.forward.tile_parts import (COLS, count_down, row_pointers, store_results, tile_signature,
                                               totals_in_memory, walk_runs, zeroed)


class Product(NamedTuple):
    """Sums of one vector of weights, four a unit.

    units : of a vector
    vectors : at a time, as many as registers hold for 6 rows
    sums : type of a vector of sums
    most : steps of four pixels that sums hold, None for any number
    add : (builder, sums, pixels <n x i8>, weights <n x i8>) -> sums
    black_counts : whether black pixels do not add 0
    """

    units: int
    vectors: int
    sums: ir.VectorType
    most: int | None
    add: Callable[[ir.IRBuilder, ir.Value, ir.Value, ir.Value], ir.Value]
    black_counts: bool = False

    @property
    def bytes(self) -> ir.VectorType:
        """Type of the weights, and of as many pixels."""
        return ir.VectorType(I8, 4 * self.units)


@functools.cache
def _dot_operand(bits: int) -> ir.VectorType:
    """Operand type of vpdpbusd in this LLVM: newer ones want bytes, older ones 32-bit lanes."""
    lanes = ir.VectorType(I32, bits // 32)
    for operand in (ir.VectorType(I8, bits // 8), lanes):
        name = f"@llvm.x86.avx512.vpdpbusd.{bits}"
        text = (f"declare {lanes} {name}({lanes}, {operand}, {operand})\n"
                f"define {lanes} @f({lanes} %a, {operand} %b, {operand} %c) {{\n"
                f"%d = call {lanes} {name}({lanes} %a, {operand} %b, {operand} %c)\nret {lanes} %d\n}}")
        try:
            binding.parse_assembly(text).verify()
            return operand
        except RuntimeError:
            continue
    raise NotImplementedError("this LLVM has no vpdpbusd")


def add_dot(builder: ir.IRBuilder, sums: ir.Value, pixels: ir.Value, weights: ir.Value) -> ir.Value:
    """By vpdpbusd, of 256 or 512 bits."""
    bits = 32 * sums.type.count
    operand = _dot_operand(bits)
    dot = declare(builder, f"llvm.x86.avx512.vpdpbusd.{bits}", sums.type, sums.type, operand, operand)
    return builder.call(dot, [sums, builder.bitcast(pixels, operand), builder.bitcast(weights, operand)])


def _add_pairs(builder, sums, pixels, weights):
    name = "llvm.x86.avx2.pmadd.ub.sw" if pixels.type.count == 32 else "llvm.x86.ssse3.pmadd.ub.sw.128"
    return builder.add(sums, builder.call(declare(builder, name, sums.type, pixels.type, pixels.type),
                                          [pixels, weights]))


def _add_signed_dot(builder, sums, pixels, weights):
    dot = declare(builder, "llvm.aarch64.neon.sdot.v4i32.v16i8", sums.type, sums.type, pixels.type, pixels.type)
    return builder.call(dot, [sums, builder.xor(pixels, splat(builder, I8(128), pixels.type)), weights])


def _add_singles(builder, sums, pixels, weights):
    return builder.add(sums, builder.mul(builder.zext(pixels, sums.type), builder.sext(weights, sums.type)))


DOT = Product(8, 2, ir.VectorType(I32, 8), None, add_dot)
PAIRS = Product(8, 2, ir.VectorType(I16, 16), 64, _add_pairs)   # 64 * 510 < 2^15
SHORT_PAIRS = Product(4, 2, ir.VectorType(I16, 8), 64, _add_pairs)
SIGNED_DOT = Product(4, 4, ir.VectorType(I32, 4), None, _add_signed_dot, True)
SINGLES = Product(4, 2, ir.VectorType(I16, 16), 128, _add_singles)      # 128 * 255 < 2^15


def _widened(builder, product, sums):
    """Sums of units <units x i32>."""
    sums = builder.load(sums)
    if product.sums.element == I16:                             # two neighbours at a time
        pairs = ir.VectorType(I32, sums.type.count // 2)
        both, shift = builder.bitcast(sums, pairs), splat(builder, I32(16), pairs)
        sums = builder.add(builder.ashr(builder.shl(both, shift), shift), builder.ashr(both, shift))
    while sums.type.count > product.units:
        even, odd = (ir.Constant(ir.VectorType(I32, sums.type.count // 2),
                                 [I32(2 * i + side) for i in range(sums.type.count // 2)]) for side in (0, 1))
        undefined = ir.Constant(sums.type, ir.Undefined)
        sums = builder.add(*(builder.shuffle_vector(sums, undefined, lanes) for lanes in (even, odd)))
    return sums


def _move_sums(builder, product, sums, black, totals, at, n_strips):
    """Add all sums to the totals of row r from COLS * n_strips * r + at on, but those of black, and begin anew."""
    kind = ir.VectorType(I32, product.units)
    for r, slots in enumerate(sums):
        for v, slot in enumerate(slots):
            index = builder.add(at, I64(COLS * n_strips * r + product.units * v))
            place = vector_pointer(builder, totals, index, kind)
            total = builder.add(builder.load(place, align=4), _widened(builder, product, slot))
            if black:
                total = builder.sub(total, _widened(builder, product, black[v]))
            builder.store(total, place, align=4)
            builder.store(ir.Constant(product.sums, None), slot)


def make_narrow_tile(product: Product, n_rows: int, n_strips: int, to_bits: bool) -> Any:
    """The intrinsic, of n_rows rows x n_strips strips."""
    width = product.units * product.vectors

    @intrinsic
    def tile(_, x, x_at, first, run_stride, n_runs, n_steps, panel, p_off, table, table_at, t_off, out, o_off,
             o_stride):
        signature = tile_signature(x, x_at, table, panel, out)

        def generate(context, builder, signature, args):
            x, x_at, first, run_stride, n_runs, n_steps, panel, p_off = args[:8]
            rows = row_pointers(context, builder, signature.args[0], x, x_at, first, I8, n_rows)
            p_ptr = item_pointer(context, builder, signature.args[6], panel, p_off, I32)
            strip = builder.mul(builder.mul(n_runs, n_steps), I64(COLS))
            results, totals = totals_in_memory(builder, n_rows, n_strips)
            with cgutils.for_range(builder, I64(COLS * n_strips // width)) as part:
                at = builder.mul(part.index, I64(width))
                weights_ptr = builder.gep(p_ptr, [builder.add(
                    builder.mul(builder.lshr(at, I64(4)), strip), builder.and_(at, I64(COLS - 1)))])
                sums = zeroed(builder, product.sums, n_rows, product.vectors)
                black = zeroed(builder, product.sums, 1, product.vectors)[0] if product.black_counts else []
                left = cgutils.alloca_once(builder, I64)
                builder.store(I64(product.most or 0), left)

                def move():
                    _move_sums(builder, product, sums, black, totals, at, n_strips)

                def add_step(number, offset):
                    place = builder.mul(number, I64(COLS))
                    weights = [builder.load(vector_pointer(builder, weights_ptr, builder.add(
                        place, I64(product.units * v)), product.bytes), align=4) for v in range(product.vectors)]
                    for row, slots in zip(rows, sums):
                        four = builder.load(builder.bitcast(builder.gep(row, [offset]), I32.as_pointer()), align=1)
                        pixels = builder.bitcast(splat(builder, four, ir.VectorType(I32, product.units)),
                                                 product.bytes)
                        for slot, weight in zip(slots, weights):
                            builder.store(product.add(builder, builder.load(slot), pixels, weight), slot)
                    for slot, weight in zip(black, weights):
                        pixels = ir.Constant(product.bytes, None)
                        builder.store(product.add(builder, builder.load(slot), pixels, weight), slot)
                    if product.most:
                        count_down(builder, left, product.most, move)

                walk_runs(builder, n_runs, n_steps, run_stride, 4, add_step)
                move()

            def result(total, entry):
                return builder.icmp_signed(">=", total, entry) if to_bits else builder.add(entry, total)

            store_results(context, builder, signature.args, args, results, COLS, result, to_bits)
            return context.get_dummy_value()

        return signature, generate

    return tile
