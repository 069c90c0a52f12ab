"""Products of float32 rows with a panel of weights: 32 units of 4 positions at once, or of one, in registers.

A sum runs over channels in order, each product rounded before it is added: what units and positions stand beside it
makes no difference.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bnnsim.kernels._llvm import I64, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of

LANES, UNITS, POSITIONS = 16, 32, 4
WIDE = ("avx512f",)                 # what all 32 units of 4 positions at once need; 16 of them elsewhere

_F32 = ir.FloatType()
_VECTOR = ir.VectorType(_F32, LANES)


def _make(n_positions, n_vectors):
    @intrinsic
    def tile(_, x, x_at, x_step, x_inner, n_channels, panel, panel_at, panel_step, total, total_at, total_step):
        index = types.intp
        signature = types.void(x, index, index, index, index, panel, index, index, total, index, index)

        def generate(context, builder, signature, args):
            x, x_at, x_step, x_inner, n_channels, panel, panel_at, panel_step, total, total_at, total_step = args
            kinds = signature.args
            x_ptr = item_pointer(context, builder, kinds[0], x, x_at, _F32)
            panel_ptr = item_pointer(context, builder, kinds[5], panel, panel_at, _F32)
            total_ptr = item_pointer(context, builder, kinds[8], total, total_at, _F32)
            rows = [builder.gep(x_ptr, [builder.mul(I64(r), x_step)]) for r in range(n_positions)]
            with cgutils.for_range(builder, I64(UNITS // LANES // n_vectors)) as part:
                first = builder.mul(part.index, I64(LANES * n_vectors))
                places = [[vector_pointer(builder, total_ptr, builder.add(builder.mul(I64(r), total_step),
                                                                          builder.add(first, I64(LANES * v))), _VECTOR)
                           for v in range(n_vectors)] for r in range(n_positions)]
                sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in row] for row in places]
                for row, slots in zip(places, sums):
                    for place, slot in zip(row, slots):
                        builder.store(builder.load(place, align=4), slot)
                with cgutils.for_range(builder, n_channels) as channel:
                    at = builder.add(builder.mul(channel.index, panel_step), first)
                    pointers = [vector_pointer(builder, panel_ptr, builder.add(at, I64(LANES * v)), _VECTOR)
                                for v in range(n_vectors)]
                    weights = [builder.load(pointer, align=4) for pointer in pointers]
                    here = builder.mul(channel.index, x_inner)
                    for pointer, slots in zip(rows, sums):
                        value = splat(builder, builder.load(builder.gep(pointer, [here])), _VECTOR)
                        for weight, slot in zip(weights, slots):
                            builder.store(builder.fadd(builder.load(slot), builder.fmul(value, weight)), slot)
                for row, slots in zip(places, sums):
                    for place, slot in zip(row, slots):
                        builder.store(builder.load(slot), place, align=4)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _add(n_positions, x, x_at, x_step, x_inner, n_channels, panel, panel_at, panel_step, total, total_at, total_step):
    values, weights, sums = x.reshape(-1), panel.reshape(-1), total.reshape(-1)
    for r in range(n_positions):
        for c in range(n_channels):
            for k in range(UNITS):
                product = values[x_at + r * x_step + c * x_inner] * weights[panel_at + c * panel_step + k]
                sums[total_at + r * total_step + k] = np.float32(sums[total_at + r * total_step + k] + product)


@twin_of(Tile(_make(POSITIONS, 2), WIDE), Tile(_make(POSITIONS, 1)))
def madd_four(x, x_at, x_step, x_inner, n_channels, panel, panel_at, panel_step, total, total_at, total_step):
    """total[total_at..] (32,) += x[x_at..] (C,) times panel[panel_at..] (C, 32), of 4 positions.

    Channels of x lie x_inner apart, rows of the panel panel_step, the positions' values x_step, their sums total_step.
    """
    _add(POSITIONS, x, x_at, x_step, x_inner, n_channels, panel, panel_at, panel_step, total, total_at, total_step)


@twin_of(Tile(_make(1, 2), WIDE), Tile(_make(1, 1)))
def madd_one(x, x_at, x_step, x_inner, n_channels, panel, panel_at, panel_step, total, total_at, total_step):
    """The same of one position."""
    _add(1, x, x_at, x_step, x_inner, n_channels, panel, panel_at, panel_step, total, total_at, total_step)
