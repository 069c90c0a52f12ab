"""Optimizer steps on float32 parameters, in place, one pass over memory; latent weights are clipped to [-1, 1].

All arrays are flat and of one length. `bound` is 1 for latent weights and infinity for batch-norm parameters.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels._llvm import I64, declare, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of

LANES = 16


@inline
def _clipped(value, bound):
    """Into [-bound, bound], by selects: LLVM vectorises them, and not min and max (for their NaN rules)."""
    value = bound if value > bound else value
    return -bound if value < -bound else value


def _clipped_lanes(builder, value, bound):
    """`_clipped` of vectors."""
    value = builder.select(builder.fcmp_ordered(">", value, bound), bound, value)
    least = builder.fneg(bound)
    return builder.select(builder.fcmp_ordered("<", value, least), least, value)


@inline
def _adam_one(value, gradient, first, second, i, beta1, beta2, step_size, second_scale, eps, bound):
    g = gradient[i]
    m = beta1 * first[i] + (np.float32(1) - beta1) * g
    v = beta2 * second[i] + (np.float32(1) - beta2) * g * g
    first[i] = m
    second[i] = v
    value[i] = _clipped(value[i] - step_size * m / (np.sqrt(v) * second_scale + eps), bound)


@intrinsic
def _adam_lanes(_, value, gradient, first, second, at, beta1, beta2, step_size, second_scale, eps, bound):
    signature = types.void(value, gradient, first, second, types.intp, *[types.float32] * 6)

    def generate(context, builder, signature, args):
        vector = ir.VectorType(ir.FloatType(), LANES)
        places = [vector_pointer(builder, item_pointer(context, builder, kind, array, args[4], ir.FloatType()), I64(0),
                                 vector) for kind, array in zip(signature.args, args[:4])]
        w, g, m, v = (builder.load(place, align=4) for place in places)
        beta1, beta2, step_size, second_scale, eps, bound = (splat(builder, scalar, vector) for scalar in args[5:])
        one = ir.Constant(vector, [1.0] * LANES)
        m = builder.fadd(builder.fmul(beta1, m), builder.fmul(builder.fsub(one, beta1), g))
        v = builder.fadd(builder.fmul(beta2, v), builder.fmul(builder.fmul(builder.fsub(one, beta2), g), g))
        root = builder.call(declare(builder, "llvm.sqrt.v16f32", vector, vector), [v])
        change = builder.fdiv(builder.fmul(step_size, m), builder.fadd(builder.fmul(root, second_scale), eps))
        w = _clipped_lanes(builder, builder.fsub(w, change), bound)
        for place, new in zip((places[0], places[2], places[3]), (w, m, v)):
            builder.store(new, place, align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_adam_lanes))
def adam_lanes(value, gradient, first, second, at, beta1, beta2, step_size, second_scale, eps, bound):
    """`_adam_one` of 16 neighbours. LLVM leaves this loop scalar, at 2.4 ns a number."""
    for i in range(at, at + LANES):
        _adam_one(value, gradient, first, second, i, beta1, beta2, step_size, second_scale, eps, bound)


@kernel
def adam_step(value, gradient, first, second, beta1, beta2, step_size, second_scale, eps, bound, start, stop):
    """Adam (Kingma & Ba 2015, algorithm 1): step_size = lr / (1 - beta1^t), second_scale = 1 / sqrt(1 - beta2^t)."""
    whole = start + (stop - start) // LANES * LANES
    for i in range(start, whole, LANES):
        adam_lanes(value, gradient, first, second, i, beta1, beta2, step_size, second_scale, eps, bound)
    for i in range(whole, stop):
        _adam_one(value, gradient, first, second, i, beta1, beta2, step_size, second_scale, eps, bound)


@inline
def _momentum_one(value, gradient, velocity, i, momentum, learning_rate, bound):
    velocity[i] = momentum * velocity[i] + gradient[i]
    value[i] = _clipped(value[i] - learning_rate * velocity[i], bound)


@intrinsic
def _momentum_lanes(_, value, gradient, velocity, at, momentum, learning_rate, bound):
    signature = types.void(value, gradient, velocity, types.intp, *[types.float32] * 3)

    def generate(context, builder, signature, args):
        vector = ir.VectorType(ir.FloatType(), LANES)
        places = [vector_pointer(builder, item_pointer(context, builder, kind, array, args[3], ir.FloatType()), I64(0),
                                 vector) for kind, array in zip(signature.args, args[:3])]
        w, g, v = (builder.load(place, align=4) for place in places)
        momentum, learning_rate, bound = (splat(builder, scalar, vector) for scalar in args[4:])
        v = builder.fadd(builder.fmul(momentum, v), g)
        w = _clipped_lanes(builder, builder.fsub(w, builder.fmul(learning_rate, v)), bound)
        for place, new in zip((places[0], places[2]), (w, v)):
            builder.store(new, place, align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_momentum_lanes))
def momentum_lanes(value, gradient, velocity, at, momentum, learning_rate, bound):
    """`_momentum_one` of 16 neighbours. LLVM leaves this loop scalar, at 0.8 ns a number."""
    for i in range(at, at + LANES):
        _momentum_one(value, gradient, velocity, i, momentum, learning_rate, bound)


@kernel
def momentum_step(value, gradient, velocity, momentum, learning_rate, bound, start, stop):
    """velocity = momentum * velocity + gradient; value -= learning_rate * velocity."""
    whole = start + (stop - start) // LANES * LANES
    for i in range(start, whole, LANES):
        momentum_lanes(value, gradient, velocity, i, momentum, learning_rate, bound)
    for i in range(whole, stop):
        _momentum_one(value, gradient, velocity, i, momentum, learning_rate, bound)


@inline
def _bop_one(value, gradient, momentum, i, gamma, tau):
    m = (np.float32(1) - gamma) * momentum[i] + gamma * gradient[i]
    momentum[i] = m
    sign = np.float32(1) if value[i] >= np.float32(0) else np.float32(-1)
    value[i] = -sign if sign * m >= tau else sign


@intrinsic
def _bop_lanes(_, value, gradient, momentum, at, gamma, tau):
    signature = types.void(value, gradient, momentum, types.intp, types.float32, types.float32)

    def generate(context, builder, signature, args):
        vector = ir.VectorType(ir.FloatType(), LANES)
        places = [vector_pointer(builder, item_pointer(context, builder, kind, array, args[3], ir.FloatType()), I64(0),
                                 vector) for kind, array in zip(signature.args, args[:3])]
        w, g, m = (builder.load(place, align=4) for place in places)
        gamma, tau = (splat(builder, scalar, vector) for scalar in args[4:])
        zero, one, minus = (ir.Constant(vector, [number] * LANES) for number in (0.0, 1.0, -1.0))
        m = builder.fadd(builder.fmul(builder.fsub(one, gamma), m), builder.fmul(gamma, g))
        above = builder.fcmp_ordered(">=", w, zero)
        insists = builder.fcmp_ordered(">=", builder.select(above, m, builder.fneg(m)), tau)
        w = builder.select(builder.xor(above, insists), one, minus)
        for place, new in zip((places[0], places[2]), (w, m)):
            builder.store(new, place, align=4)
        return context.get_dummy_value()

    return signature, generate


@twin_of(Tile(_bop_lanes))
def bop_lanes(value, gradient, momentum, at, gamma, tau):
    """`_bop_one` of 16 neighbours. LLVM leaves this loop scalar, at 1.1 ns a number."""
    for i in range(at, at + LANES):
        _bop_one(value, gradient, momentum, i, gamma, tau)


@kernel
def bop_step(value, gradient, momentum, gamma, tau, start, stop):
    """momentum = (1 - gamma) * momentum + gamma * gradient; w = sign(value) flips where w * momentum >= tau."""
    whole = start + (stop - start) // LANES * LANES
    for i in range(start, whole, LANES):
        bop_lanes(value, gradient, momentum, i, gamma, tau)
    for i in range(whole, stop):
        _bop_one(value, gradient, momentum, i, gamma, tau)
