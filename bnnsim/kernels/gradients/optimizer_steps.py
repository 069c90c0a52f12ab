"""Optimizer steps on float32 parameters, in place, one pass over memory; latent weights are clipped to [-1, 1].

All arrays are flat and of one length. `bound` is 1 for latent weights and infinity for batch-norm parameters.
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

import bnnsim.kernels.elementary as elementary
from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels._llvm import I64, declare, item_pointer, splat, vector_pointer
from bnnsim.kernels._twins import Tile, twin_of

LANES = 16
# of exp(-z), as in kernels/elementary.py, in float32: z beyond MOST counts as MOST, whose consolidation is 7e-35
MOST, LOG2_E, LN2_HIGH, LN2_LOW = map(np.float32, (80.0, 1.4426950408889634, 0.693359375, -2.12194440054690583e-4))
EXP_TERMS = tuple(map(np.float32, elementary.EXP_TERMS[:8]))                            # |r| <= ln(2) / 2: 6e-9


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
def _adam_change(gradient, first, second, i, beta1, beta2, step_size, second_scale, eps):
    """Moments of number i moved on; what is to be subtracted."""
    g = gradient[i]
    m = beta1 * first[i] + (np.float32(1) - beta1) * g
    v = beta2 * second[i] + (np.float32(1) - beta2) * g * g
    first[i] = m
    second[i] = v
    return step_size * m / (np.sqrt(v) * second_scale + eps)


@inline
def _adam_one(value, gradient, first, second, i, beta1, beta2, step_size, second_scale, eps, bound):
    change = _adam_change(gradient, first, second, i, beta1, beta2, step_size, second_scale, eps)
    value[i] = _clipped(value[i] - change, bound)


def _adam_change_lanes(builder, gradient, first, second, beta1, beta2, step_size, second_scale, eps):
    """(change, first, second) of vectors: `_adam_change`."""
    vector = gradient.type
    one = ir.Constant(vector, [1.0] * LANES)
    m = builder.fadd(builder.fmul(beta1, first), builder.fmul(builder.fsub(one, beta1), gradient))
    v = builder.fadd(builder.fmul(beta2, second),
                     builder.fmul(builder.fmul(builder.fsub(one, beta2), gradient), gradient))
    root = builder.call(declare(builder, "llvm.sqrt.v16f32", vector, vector), [v])
    return builder.fdiv(builder.fmul(step_size, m), builder.fadd(builder.fmul(root, second_scale), eps)), m, v


def _step_of(changed):
    """Of a step of 16 neighbours: Adam's change moves them, as ``changed(builder, w, change, *more)`` leaves it."""
    def generate(context, builder, signature, args):
        vector = ir.VectorType(ir.FloatType(), LANES)
        places = [vector_pointer(builder, item_pointer(context, builder, kind, array, args[4], ir.FloatType()), I64(0),
                                 vector) for kind, array in zip(signature.args, args[:4])]
        w, g, m, v = (builder.load(place, align=4) for place in places)
        *settings, bound = (splat(builder, scalar, vector) for scalar in args[5:11])
        more = [splat(builder, scalar, vector) for scalar in args[11:]]
        change, m, v = _adam_change_lanes(builder, g, m, v, *settings)
        w = _clipped_lanes(builder, builder.fsub(w, changed(builder, w, change, *more)), bound)
        for place, new in zip((places[0], places[2], places[3]), (w, m, v)):
            builder.store(new, place, align=4)
        return context.get_dummy_value()

    return generate


@intrinsic
def _adam_lanes(_, value, gradient, first, second, at, beta1, beta2, step_size, second_scale, eps, bound):
    signature = types.void(value, gradient, first, second, types.intp, *[types.float32] * 6)
    return signature, _step_of(lambda builder, w, change: change)


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
def _consolidation(value, twice_m):
    """1 - tanh(m value)^2 = 4 e / (1 + e)^2, e = exp(-2 m |value|), in float32."""
    z = abs(twice_m * value)
    z = z if z < MOST else MOST
    k = int(z * LOG2_E + np.float32(0.5))
    r = (z - np.float32(k) * LN2_HIGH) - np.float32(k) * LN2_LOW
    e = EXP_TERMS[7]
    for i in range(6, -1, -1):
        e = e * r + EXP_TERMS[i]
    e = e * np.float32(math.ldexp(1.0, -k))
    return np.float32(4) * e / ((np.float32(1) + e) * (np.float32(1) + e))


def _consolidation_lanes(builder, value, twice_m):
    """`_consolidation` of vectors; 2^-k is put together from its exponent, 127 - k."""
    vector, integers = value.type, ir.VectorType(ir.IntType(32), LANES)

    def constant(number):
        return ir.Constant(vector, [float(number)] * LANES)

    z = builder.fmul(twice_m, value)
    z = builder.select(builder.fcmp_ordered("<", z, constant(0)), builder.fneg(z), z)
    z = builder.select(builder.fcmp_ordered("<", z, constant(MOST)), z, constant(MOST))
    k = builder.fptosi(builder.fadd(builder.fmul(z, constant(LOG2_E)), constant(0.5)), integers)
    whole = builder.sitofp(k, vector)
    r = builder.fsub(builder.fsub(z, builder.fmul(whole, constant(LN2_HIGH))), builder.fmul(whole, constant(LN2_LOW)))
    e = constant(EXP_TERMS[7])
    for term in EXP_TERMS[6::-1]:
        e = builder.fadd(builder.fmul(e, r), constant(term))
    exponent = builder.sub(ir.Constant(integers, [127] * LANES), k)
    e = builder.fmul(e, builder.bitcast(builder.shl(exponent, ir.Constant(integers, [23] * LANES)), vector))
    more = builder.fadd(constant(1), e)
    return builder.fdiv(builder.fmul(constant(4), e), builder.fmul(more, more))


@inline
def _metaplastic_one(value, gradient, first, second, i, beta1, beta2, step_size, second_scale, eps, bound, twice_m):
    change = _adam_change(gradient, first, second, i, beta1, beta2, step_size, second_scale, eps)
    w = value[i]
    if (change if w >= np.float32(0) else -change) > np.float32(0):
        change = change * _consolidation(w, twice_m)
    value[i] = _clipped(w - change, bound)


def _slowed_lanes(builder, w, change, twice_m):
    """A change of vectors, made smaller where it moves w towards zero."""
    zero = ir.Constant(w.type, [0.0] * LANES)
    towards = builder.select(builder.fcmp_ordered(">=", w, zero), change, builder.fneg(change))
    slowed = builder.fmul(change, _consolidation_lanes(builder, w, twice_m))
    return builder.select(builder.fcmp_ordered(">", towards, zero), slowed, change)


@intrinsic
def _metaplastic_lanes(_, value, gradient, first, second, at, beta1, beta2, step_size, second_scale, eps, bound,
                       twice_m):
    signature = types.void(value, gradient, first, second, types.intp, *[types.float32] * 7)
    return signature, _step_of(_slowed_lanes)


@twin_of(Tile(_metaplastic_lanes))
def metaplastic_lanes(value, gradient, first, second, at, beta1, beta2, step_size, second_scale, eps, bound, twice_m):
    """`_metaplastic_one` of 16 neighbours."""
    for i in range(at, at + LANES):
        _metaplastic_one(value, gradient, first, second, i, beta1, beta2, step_size, second_scale, eps, bound, twice_m)


@kernel
def metaplastic_step(value, gradient, first, second, beta1, beta2, step_size, second_scale, eps, bound, twice_m, start,
                     stop):
    """`adam_step`, but what moves a value towards zero is multiplied by 1 - tanh(m value)^2 (Laborieux et al. 2021)."""
    whole = start + (stop - start) // LANES * LANES
    for i in range(start, whole, LANES):
        metaplastic_lanes(value, gradient, first, second, i, beta1, beta2, step_size, second_scale, eps, bound,
                          twice_m)
    for i in range(whole, stop):
        _metaplastic_one(value, gradient, first, second, i, beta1, beta2, step_size, second_scale, eps, bound, twice_m)


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
