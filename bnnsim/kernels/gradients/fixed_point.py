"""Gradients in 16-bit fixed point: rounded once, then summed exactly.

In a BNN's backward pass one operand is +-1 (weights for dX, activations for dW), so with one scale for each row that
is summed along nothing more is lost: the error of a sum is at most scale / 2 * sum |operand|. value ~ int16 * scale,
scale = max |value| / 32767, rounded to the nearest, ties to even. With a float32 array in place of int16 the same
functions only lay gradients out, and every unit is 1.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bnnsim.kernels._arrays import as_type, flattened
from bnnsim.kernels._jit import inner, kernel, leaf
from bnnsim.kernels._llvm import I16, I32, I64, declare, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of

FULL_SCALE = 32767.0
SIDE = 16                           # of the blocks that are transposed in registers


def _item(array_type):
    return I16 if array_type.dtype == types.int16 else ir.FloatType()


def fix(builder, values, inverse):
    """<16 x float> times <16 x double>, rounded to the nearest even -> <16 x i32>."""
    wide = inverse.type
    rint = declare(builder, "llvm.rint.v16f64", wide, wide)
    whole = builder.call(rint, [builder.fmul(builder.fpext(values, wide), inverse)])
    return builder.fptosi(whole, ir.VectorType(I32, SIDE))


@intrinsic
def _turn_block(_, values, v_off, v_stride, inverse, i_off, out, o_off, o_stride):
    index = types.intp
    signature = types.void(values, index, index, inverse, index, out, index, index)

    def generate(context, builder, signature, args):
        values, v_off, v_stride, inverse, i_off, out, o_off, o_stride = args
        item = _item(signature.args[5])
        given = _item(signature.args[0])
        single, wide, stored = (ir.VectorType(kind, SIDE) for kind in (given, ir.DoubleType(), item))
        v_ptr = item_pointer(context, builder, signature.args[0], values, v_off, given)
        i_ptr = item_pointer(context, builder, signature.args[3], inverse, i_off, ir.DoubleType())
        o_ptr = item_pointer(context, builder, signature.args[5], out, o_off, item)
        inverses = builder.load(vector_pointer(builder, i_ptr, I64(0), wide), align=8)
        rows = []
        for i in range(SIDE):
            row = builder.load(vector_pointer(builder, v_ptr, builder.mul(v_stride, I64(i)), single), align=2)
            rows.append(row if item == given else builder.trunc(fix(builder, row, inverses), stored))
        for step in (1, 2, 4, 8):                               # swap bit `step` of the row and the column number
            low = [e if not e & step else SIDE + e - step for e in range(SIDE)]
            high = [e + step if not e & step else SIDE + e for e in range(SIDE)]
            masks = [ir.Constant(ir.VectorType(I32, SIDE), [I32(e) for e in mask]) for mask in (low, high)]
            for i in range(SIDE):
                if not i & step:
                    pair = rows[i], rows[i + step]
                    rows[i], rows[i + step] = (builder.shuffle_vector(*pair, mask) for mask in masks)
        for i, row in enumerate(rows):
            builder.store(row, vector_pointer(builder, o_ptr, builder.mul(o_stride, I64(i)), stored), align=2)
        return context.get_dummy_value()

    return signature, generate


def _store_fixed(context, builder, kinds, args, inverse):
    """args: values, v_off, out, o_off. 16 float32 times inverse <16 x double> -> int16; float32 as they are."""
    values, v_off, out, o_off = args
    single = ir.VectorType(ir.FloatType(), SIDE)
    v_ptr = item_pointer(context, builder, kinds[0], values, v_off, ir.FloatType())
    o_ptr = item_pointer(context, builder, kinds[2], out, o_off, _item(kinds[2]))
    value = builder.load(vector_pointer(builder, v_ptr, I64(0), single), align=4)
    if kinds[2].dtype == types.int16:
        value = builder.trunc(fix(builder, value, inverse), ir.VectorType(I16, SIDE))
    builder.store(value, vector_pointer(builder, o_ptr, I64(0), value.type), align=2)
    return context.get_dummy_value()


@intrinsic
def _fix_sixteen(_, values, v_off, inverse, out, o_off):
    signature = types.void(values, types.intp, types.float64, out, types.intp)

    def generate(context, builder, signature, args):
        inverses = splat(builder, args[2], ir.VectorType(ir.DoubleType(), SIDE))
        return _store_fixed(context, builder, signature.args[:2] + signature.args[3:], args[:2] + args[3:], inverses)

    return signature, generate


@intrinsic
def _fix_columns(_, values, v_off, inverse, i_off, out, o_off):
    signature = types.void(values, types.intp, inverse, types.intp, out, types.intp)

    def generate(context, builder, signature, args):
        i_ptr = item_pointer(context, builder, signature.args[2], args[2], args[3], ir.DoubleType())
        wide = ir.VectorType(ir.DoubleType(), SIDE)
        inverses = builder.load(vector_pointer(builder, i_ptr, I64(0), wide), align=8)
        return _store_fixed(context, builder, signature.args[:2] + signature.args[4:], args[:2] + args[4:], inverses)

    return signature, generate


@intrinsic
def _fix_pair(_, rows, r_off, stride, inverse, i_off, out, o_off):
    signature = types.void(rows, types.intp, types.intp, inverse, types.intp, out, types.intp)

    def generate(context, builder, signature, args):
        rows, r_off, stride, inverse, i_off, out, o_off = args
        single, wide, whole = (ir.VectorType(item, SIDE) for item in (ir.FloatType(), ir.DoubleType(), I32))
        r_ptr = item_pointer(context, builder, signature.args[0], rows, r_off, ir.FloatType())
        i_ptr = item_pointer(context, builder, signature.args[3], inverse, i_off, ir.DoubleType())
        o_ptr = item_pointer(context, builder, signature.args[5], out, o_off, I32)
        for v in range(4):
            by = builder.load(vector_pointer(builder, i_ptr, I64(SIDE * v), wide), align=8)
            fixed = []
            for r in range(2):
                at = builder.add(builder.mul(stride, I64(r)), I64(SIDE * v))
                fixed.append(fix(builder, builder.load(vector_pointer(builder, r_ptr, at, single), align=4), by))
            low = builder.and_(fixed[0], ir.Constant(whole, [I32(0xFFFF)] * SIDE))
            high = builder.shl(fixed[1], ir.Constant(whole, [I32(16)] * SIDE))
            builder.store(builder.or_(low, high), vector_pointer(builder, o_ptr, I64(SIDE * v), whole), align=4)
        return context.get_dummy_value()

    return signature, generate


@leaf
def _put(out, at, value, inverse):
    """out[at] = value in units of 1 / inverse: rounded if `out` is int16; float32 stays as it is."""
    if out.itemsize == 4:
        out[at] = value
    else:
        out[at] = _fixed(value, inverse)


@leaf
def _fixed(value, inverse):
    return np.int16(np.rint(np.float64(value) * inverse))


@twin_of(Tile(_fix_pair))
def fix_pair(rows, r_off, stride, inverse, i_off, out, o_off):
    """out[o_off..] (64,) int32 = two int16: rows[r_off..] and rows[r_off + stride..] float32 * inverse[i_off..]."""
    flat, pairs = rows.reshape(-1), out.reshape(-1)
    for c in range(64):
        low = np.int32(_fixed(flat[r_off + c], inverse[i_off + c]))
        high = np.int32(_fixed(flat[r_off + stride + c], inverse[i_off + c]))
        pairs[o_off + c] = (low & np.int32(0xFFFF)) | (high << np.int32(16))


@twin_of(Tile(_fix_sixteen))
def fix_sixteen(values, v_off, inverse, out, o_off):
    """out[o_off..] (16,) int16 = values[v_off..] (16,) float32 * inverse, in float64, rounded to the nearest even."""
    flat, fixed = values.reshape(-1), out.reshape(-1)
    for i in range(SIDE):
        _put(fixed, o_off + i, flat[v_off + i], inverse)


@twin_of(Tile(_fix_columns))
def fix_columns(values, v_off, inverse, i_off, out, o_off):
    """`fix_sixteen` with an inverse[i_off..] for each."""
    flat, fixed = values.reshape(-1), out.reshape(-1)
    for i in range(SIDE):
        _put(fixed, o_off + i, flat[v_off + i], inverse[i_off + i])


@twin_of(Tile(_turn_block))
def turn_block(values, v_off, v_stride, inverse, i_off, out, o_off, o_stride):
    """16 rows of 16 float32, v_stride apart, times inverse[i_off..] of their columns -> int16, transposed.

    int16 is transposed as it is.
    """
    flat, turned = values.reshape(-1), out.reshape(-1)
    for i in range(SIDE):
        for j in range(SIDE):
            inverse_here = inverse[i_off + j] if flat.itemsize == 4 else 1.0
            _put(turned, o_off + j * o_stride + i, flat[v_off + i * v_stride + j], inverse_here)


@leaf
def scale_of(largest):
    """The unit of values up to `largest`."""
    return largest / FULL_SCALE if largest > 0.0 else 1.0


@inner
def fix_row(values, v_off, n_values, inverse, out, o_off):
    """out[o_off..] int16 = values[v_off..] * inverse, n_values of them."""
    whole = n_values // SIDE * SIDE
    for i in range(0, whole, SIDE):
        fix_sixteen(values, v_off + i, inverse, out, o_off + i)
    if whole < n_values:
        flat, fixed = flattened(values), flattened(out)
        for i in range(whole, n_values):
            _put(fixed, o_off + i, flat[v_off + i], inverse)


@leaf
def fix_by_column(values, v_off, inverse, out, o_off):
    """out[o_off..] int16 = values[v_off..] times inverse (U,), U of them."""
    n_values = inverse.shape[0]
    whole = n_values // SIDE * SIDE
    for i in range(0, whole, SIDE):
        fix_columns(values, v_off + i, inverse, i, out, o_off + i)
    if whole < n_values:
        flat, fixed = flattened(values), flattened(out)
        for i in range(whole, n_values):
            _put(fixed, o_off + i, flat[v_off + i], inverse[i])


@leaf
def largest_size(values):
    """Largest |value| of a row of float32, by their bits: integers of the same order, whose maximum LLVM vectorises."""
    bits, found, at = as_type(values, np.int32), np.int32(-1), 0
    for u in range(bits.shape[0]):
        size = bits[u] & np.int32(0x7FFFFFFF)
        found = size if size > found else found
    while bits[at] & np.int32(0x7FFFFFFF) != found:
        at += 1
    return abs(values[at])


@leaf
def unit_of(values, fixed):
    """The unit in which a row of values fills the type of `fixed`."""
    return 1.0 if fixed.itemsize == 4 else scale_of(np.float64(largest_size(values)))


@kernel
def quantise_rows(values, scale, out, start, stop):
    """values (N, R, U) float32 -> out (N, R, Up) int16 and scale (N,) float64, one scale for each n; Up >= U zeroed."""
    for n in range(start, stop):
        scale[n] = unit_of(flattened(values[n]), out)
        for r in range(values.shape[1]):
            fix_row(values, (n * values.shape[1] + r) * values.shape[2], values.shape[2], 1.0 / scale[n], out,
                    (n * out.shape[1] + r) * out.shape[2])


@kernel
def column_largest(values, largest, start, stop):
    """largest (U,) float32 grows to the largest |value| of each column of values (R, U). Runs over rows.

    Slices run at once need a `largest` each.
    """
    for n in range(start, stop):
        for u in range(values.shape[1]):
            size = abs(values[n, u])
            largest[u] = size if size > largest[u] else largest[u]


@leaf
def fix_turned(values, row, column, inverse, out, at):
    """values (R, U) float32 [row.. 16, column.. 16] -> out (Up, Rp) int16 [column.., at..]; rows past R are 0.

    With values of int16 every inverse is 1.
    """
    n_rows, n_columns = min(SIDE, values.shape[0] - row), min(SIDE, values.shape[1] - column)
    if n_rows == SIDE and n_columns == SIDE and at + SIDE <= out.shape[1]:
        turn_block(values, row * values.shape[1] + column, values.shape[1], inverse, column, out,
                   column * out.shape[1] + at, out.shape[1])
        return
    flat = flattened(out)
    for j in range(n_columns):
        for i in range(min(SIDE, out.shape[1] - at)):
            value = values[row + i, column + j] if i < n_rows else np.float32(0)
            _put(flat, (column + j) * out.shape[1] + at + i, value, inverse[column + j])


@kernel
def quantise_columns(values, inverse, out, start, stop):
    """values (R, U) float32 -> out (Up, Rp) int16, transposed, by 1 / scale (U,) of columns. Runs over rows / 16."""
    for row in range(SIDE * start, min(SIDE * stop, values.shape[0]), SIDE):
        for column in range(0, values.shape[1], SIDE):
            fix_turned(values, row, column, inverse, out, row)
