"""A row of operations on 16 channels in registers: what stands between two layers of bits, in one pass.

A program is `steps` (S,) int64 of the codes below, with `constants` (S, 2, C) float32: two numbers a channel. Each is
the operation of `channels`, rounded as there, so that one pass gives what several give. C is a multiple of 16.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._llvm import I16, I64, item_pointer, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of
from bnnsim.kernels.norm.batchnorm_tiles import item_of

LANES, ROWS = 16, 4
AFFINE, ADD, PRELU, CLIP = range(4)

_F32 = ir.FloatType()
_VECTOR = ir.VectorType(_F32, LANES)


def _affine(builder, x, first, second, other):
    return builder.fadd(builder.fmul(x, first), second)


def _add(builder, x, first, second, other):
    return builder.fadd(x, other())


def _prelu(builder, x, first, second, other):
    above = builder.fcmp_ordered(">", x, ir.Constant(_VECTOR, None))
    return builder.select(above, x, builder.fmul(x, first))


def _clip(builder, x, first, second, other):
    x = builder.select(builder.fcmp_ordered("<", x, first), first, x)
    return builder.select(builder.fcmp_ordered(">", x, second), second, x)


CODES = {AFFINE: _affine, ADD: _add, PRELU: _prelu, CLIP: _clip}


def _vector(builder, pointer, at):
    return builder.load(vector_pointer(builder, pointer, at, _VECTOR), align=4)


def _load_input(builder, pointer, at):
    whole = ir.VectorType(pointer.type.pointee, LANES)
    value = builder.load(vector_pointer(builder, pointer, at, whole), align=4)
    return value if whole == _VECTOR else builder.sitofp(value, _VECTOR)


@intrinsic
def _program_lanes(_, x, other, at, stride, n_rows, column, steps, constants, threshold, out, stores, pieces, piece_at,
                   piece_stride):
    index = types.intp
    signature = types.void(x, other, index, index, index, index, steps, constants, threshold, out, types.boolean,
                           pieces, index, index)

    def generate(context, builder, signature, args):
        kinds = signature.args
        (x, other, at, stride, n_rows, column, steps, constants, threshold, out, stores, pieces, piece_at,
         piece_stride) = args
        x_ptr = item_pointer(context, builder, kinds[0], x, at, item_of(kinds[0]))
        other_ptr = item_pointer(context, builder, kinds[1], other, at, _F32)
        step_ptr = item_pointer(context, builder, kinds[6], steps, I64(0), I64)
        constant_ptr = item_pointer(context, builder, kinds[7], constants, column, _F32)
        threshold_ptr = item_pointer(context, builder, kinds[8], threshold, column, _F32)
        out_ptr = item_pointer(context, builder, kinds[9], out, at, _F32)
        piece_ptr = item_pointer(context, builder, kinds[11], pieces, piece_at, I16)
        n_steps = context.make_array(kinds[6])(context, builder, steps).nitems
        n_pieces = context.make_array(kinds[11])(context, builder, pieces).nitems
        signs = builder.icmp_signed(">", n_pieces, I64(0))
        slots = [cgutils.alloca_once(builder, _VECTOR) for _ in range(ROWS)]

        def rows(first, n):
            """The program on n rows from row `first` on."""
            places = [builder.mul(builder.add(first, I64(r)), stride) for r in range(n)]
            for slot, place in zip(slots, places):
                builder.store(_load_input(builder, x_ptr, place), slot)
            with cgutils.for_range(builder, n_steps) as step:
                code = builder.load(builder.gep(step_ptr, [step.index]))
                base = builder.mul(builder.mul(step.index, I64(2)), stride)
                end = builder.append_basic_block("done")
                switch = builder.switch(code, end)
                for number, operation in CODES.items():
                    block = builder.append_basic_block("code")
                    switch.add_case(I64(number), block)
                    builder.position_at_end(block)
                    first_, second = (_vector(builder, constant_ptr, builder.add(base, builder.mul(stride, I64(i))))
                                      for i in range(2))
                    for slot, place in zip(slots, places[:n]):
                        value = operation(builder, builder.load(slot), first_, second,
                                          lambda place=place: _vector(builder, other_ptr, place))
                        builder.store(value, slot)
                    builder.branch(end)
                builder.position_at_end(end)
            with builder.if_then(stores):
                for slot, place in zip(slots, places):
                    builder.store(builder.load(slot), vector_pointer(builder, out_ptr, place, _VECTOR), align=4)
            with builder.if_then(signs):
                limit = _vector(builder, threshold_ptr, I64(0))
                for r, slot in enumerate(slots[:n]):
                    side = builder.bitcast(builder.fcmp_ordered(">=", builder.load(slot), limit), I16)
                    where = builder.mul(builder.add(first, I64(r)), piece_stride)
                    builder.store(side, builder.gep(piece_ptr, [where]))

        whole = builder.sdiv(n_rows, I64(ROWS))
        with cgutils.for_range(builder, whole) as group:
            rows(builder.mul(group.index, I64(ROWS)), ROWS)
        done = builder.mul(whole, I64(ROWS))
        with cgutils.for_range(builder, builder.sub(n_rows, done)) as row:
            rows(builder.add(done, row.index), 1)
        return context.get_dummy_value()

    return signature, generate


def _step(code, value, first, second, other):
    if code == AFFINE:
        return value * first + second
    if code == ADD:
        return value + other
    if code == PRELU:
        return value if value > 0 else value * first
    value = first if value < first else value
    return second if value > second else value


@twin_of(Tile(_program_lanes))
def program_lanes(x, other, at, stride, n_rows, column, steps, constants, threshold, out, stores, pieces, piece_at,
                  piece_stride):
    """A program on 16 channels, column.., of n_rows rows of x, int32 or float32, which lie `stride` = C apart.

    other float32, of x's shape, is what ADD adds. The result goes to out where `stores`; and as signs, value >=
    threshold (C,), in 16 bits to pieces uint16 from piece_at on, a row piece_stride further, unless pieces is empty.
    """
    flat, added, made = x.reshape(-1), other.reshape(-1), out.reshape(-1)
    for n in range(n_rows):
        piece = 0
        for i in range(LANES):
            here = at + n * stride + i
            value = np.float32(flat[here])
            for s in range(len(steps)):
                value = _step(steps[s], value, constants[s, 0, column + i], constants[s, 1, column + i],
                              added[here] if steps[s] == ADD else np.float32(0))
            if stores:
                made[here] = value
            piece |= int(value >= threshold[column + i]) << i
        if len(pieces):
            pieces[piece_at + n * piece_stride] = np.uint16(piece)
