"""exp, log and tanh in float64, the same bits on every CPU.

A math library takes another path where a CPU has fused multiply-add or wider vectors, and its last digit changes:
NumPy's and glibc's both do. Here are additions, multiplications and divisions in one order, and exact powers of two.
exp and log are within about one unit in the last place (ulp), tanh within about two.

    exp     x = k ln(2) + r, |r| <= ln(2) / 2; a Taylor sum in r, times 2^k
    log     x = 2^k (1 + f), 1 + f in sqrt(1/2)..sqrt(2); log(1 + f) = 2 atanh(s), s = f / (2 + f), as a Taylor sum in s
            [the rearrangement that keeps f itself unrounded is that of fdlibm's e_log.c, K. C. Ng, 1993]
    tanh    of small x (exp(2x) - 1) / (exp(2x) + 1), whose numerator is a Taylor sum, else 1 - 2 / (exp(2x) + 1)
"""

import math

import numpy as np

from bnnsim.kernels._jit import inline, kernel

LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10      # times k <= 1075 the first is exact
EXP_TERMS = tuple((-1.0) ** i / math.factorial(i) for i in range(14))            # of exp(-r), |r| <= ln(2) / 2: 4e-18
OVERFLOW, UNDERFLOW = 709.782712893384, -745.1332191019412                      # exp of any more is inf, of any less 0
ROOT_HALF = 0.7071067811865476
LOG_TERMS = tuple(2.0 / (2 * i + 3) for i in range(11))     # of (log(1 + f) - 2 s) / s, by s^2 <= 0.0295: 6e-19
SMALL = 1.1                                                 # 2 x below which tanh sums exp(2x) - 1
GROWTH_TERMS = tuple(1.0 / math.factorial(i + 2) for i in range(19))            # of (exp(z) - 1 - z) / z^2: 3e-19


@inline
def exp_minus(z):
    """exp(-z), -OVERFLOW <= z <= -UNDERFLOW."""
    k = np.floor(z * LOG2_E + 0.5)
    r = (z - k * LN2_HIGH) - k * LN2_LOW
    total = EXP_TERMS[13]
    for i in range(12, -1, -1):
        total = total * r + EXP_TERMS[i]
    return math.ldexp(total, -int(k))


@inline
def exp(x):
    """e^x of any float64."""
    if x > OVERFLOW:
        return np.inf
    if x < UNDERFLOW:
        return 0.0
    return exp_minus(-x) if x == x else np.nan


@inline
def log(x):
    """Natural logarithm of any float64: -inf of 0, NaN below it."""
    if x == 0.0:
        return -np.inf
    if not 0.0 < x < np.inf:
        return np.inf if x == np.inf else np.nan
    m, k = math.frexp(x)
    if m < ROOT_HALF:
        m, k = 2.0 * m, k - 1
    f = m - 1.0
    s = f / (2.0 + f)
    square, total = s * s, LOG_TERMS[10]
    for i in range(9, -1, -1):
        total = total * square + LOG_TERMS[i]
    half = 0.5 * f * f
    return k * LN2_HIGH - ((half - (s * (half + square * total) + k * LN2_LOW)) - f)


@inline
def tanh(x):
    """Hyperbolic tangent of any float64."""
    z = 2.0 * abs(x)
    if not z < SMALL:
        return math.copysign(1.0 - 2.0 / (exp(z) + 1.0), x) if x == x else np.nan
    total = GROWTH_TERMS[18]
    for i in range(17, -1, -1):
        total = total * z + GROWTH_TERMS[i]
    grown = z + z * z * total
    return math.copysign(grown / (grown + 2.0), x)


@kernel
def exp_each(x, out, start, stop):
    """out (.,) = exp(x)."""
    for i in range(start, stop):
        out[i] = exp(x[i])


@kernel
def log_each(x, out, start, stop):
    """out (.,) = log(x)."""
    for i in range(start, stop):
        out[i] = log(x[i])


@kernel
def tanh_each(x, out, start, stop):
    """out (.,) = tanh(x)."""
    for i in range(start, stop):
        out[i] = tanh(x[i])
