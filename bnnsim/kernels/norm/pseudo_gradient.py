"""Pseudo-gradients of the sign: what stands in for its derivative at a batch-norm output y, for 1 and for 16 of them.

`ste` is four float64 (clip, level, slope, beta), as the classes of `bnnsim.training.estimators` give them:

    beta = 0    level - slope * |y| where |y| <= clip, else 0: clipped (1, 1, 0), ApproxSign (1, 2, 2);
                1 where clip is infinite, the identity (inf, 1, 0), for which y is not even worked out
    beta > 0    beta * (1 - t^2) * (1 - u * t) with u = beta * |y| / 2 and t = tanh(u): SwishSign

The exponential in t is that of `kernels.elementary`: a math library's differs from one machine to the next, and a seed
is to train the same network on each.
"""

from collections.abc import Callable

import numpy as np
from llvmlite import ir

from bnnsim.kernels._jit import inline, kernel
from bnnsim.kernels._llvm import I32, I64, declare, splat
from bnnsim.kernels.elementary import EXP_TERMS, LN2_HIGH, LN2_LOW, LOG2_E, exp_minus

LARGEST = 700.0                     # of the exponent: exp(-700) is 1e-304, a normal number


@inline
def through_sign(dout, y, ste):
    """dy = dout times the pseudo-gradient at y."""
    clip, level, slope, beta = ste
    size = abs(y)
    if beta > 0.0:
        z = beta * size
        z = z if z < LARGEST else LARGEST
        e = exp_minus(z)
        one = 1.0 + e
        t = (1.0 - e) / one
        return np.float64(dout) * (beta * (4.0 * e / (one * one)) * (1.0 - 0.5 * z * t))
    if clip == np.inf:
        return np.float64(dout)
    return np.float64(dout) * (level - slope * size) if size <= clip else 0.0


@kernel
def pseudo_gradients(y, ste, out, start, stop):
    """out (.,) = the pseudo-gradient at y."""
    for i in range(start, stop):
        out[i] = through_sign(1.0, y[i], ste)


def _exp_minus_lanes(builder, z, constant):
    """`exp_minus` of a vector of z in 0..LARGEST, operation by operation."""
    wide, whole, long = z.type, ir.VectorType(I32, z.type.count), ir.VectorType(I64, z.type.count)
    floor = declare(builder, f"llvm.floor.v{wide.count}f64", wide, wide)
    k = builder.call(floor, [builder.fadd(builder.fmul(z, constant(LOG2_E)), constant(0.5))])
    r = builder.fsub(builder.fsub(z, builder.fmul(k, constant(LN2_HIGH))), builder.fmul(k, constant(LN2_LOW)))
    total = constant(EXP_TERMS[13])
    for i in range(12, -1, -1):
        total = builder.fadd(builder.fmul(total, r), constant(EXP_TERMS[i]))
    exponent = builder.sub(ir.Constant(long, [I64(1023)] * wide.count), builder.sext(builder.fptosi(k, whole), long))
    power = builder.bitcast(builder.shl(exponent, ir.Constant(long, [I64(52)] * wide.count)), wide)
    return builder.fmul(total, power)


def through_sign_lanes(builder: ir.IRBuilder, dout: ir.Value, make_y: Callable[[], ir.Value],
                       ste: list[ir.Value]) -> ir.Value:
    """`through_sign` of a vector of dout and of y, operation by operation; `ste` holds four scalars."""
    def constant(value: float) -> ir.Constant:
        return ir.Constant(dout.type, [value] * dout.type.count)

    def scalar(value: float) -> ir.Constant:
        return ir.Constant(ste[0].type, value)

    start = builder.block
    identity = builder.and_(builder.fcmp_ordered("==", ste[0], scalar(float("inf"))),
                            builder.not_(builder.fcmp_ordered(">", ste[3], scalar(0.0))))
    with builder.if_then(builder.not_(identity)):
        bent, end = _bent(builder, dout, make_y(), ste, constant), builder.block
    dy = builder.phi(dout.type)
    dy.add_incoming(dout, start)
    dy.add_incoming(bent, end)
    return dy


def _bent(builder, dout, y, ste, constant):
    clip, level, slope, beta = (splat(builder, value, y.type) for value in ste)
    size = builder.call(declare(builder, f"llvm.fabs.v{y.type.count}f64", y.type, y.type), [y])
    with builder.if_else(builder.fcmp_ordered(">", ste[3], ir.Constant(ste[3].type, 0.0))) as (smooth, straight):
        with smooth:
            z = builder.fmul(beta, size)
            z = builder.select(builder.fcmp_ordered("<", z, constant(LARGEST)), z, constant(LARGEST))
            e = _exp_minus_lanes(builder, z, constant)
            one = builder.fadd(constant(1.0), e)
            t = builder.fdiv(builder.fsub(constant(1.0), e), one)
            steep = builder.fmul(beta, builder.fdiv(builder.fmul(constant(4.0), e), builder.fmul(one, one)))
            bend = builder.fsub(constant(1.0), builder.fmul(builder.fmul(constant(0.5), z), t))
            smooth_dy, smooth_block = builder.fmul(dout, builder.fmul(steep, bend)), builder.block
        with straight:
            passed = builder.fmul(dout, builder.fsub(level, builder.fmul(slope, size)))
            straight_dy = builder.select(builder.fcmp_ordered("<=", size, clip), passed, constant(0.0))
            straight_block = builder.block
    dy = builder.phi(y.type)
    dy.add_incoming(smooth_dy, smooth_block)
    dy.add_incoming(straight_dy, straight_block)
    return dy
