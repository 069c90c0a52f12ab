"""exp, log, tanh of arrays; powers and cosines of numbers: the same bits on every CPU.

What training computes goes through here wherever NumPy, or Python's `math`, would ask a math library, whose last digit
differs from one CPU to the next. Arrays are the kernels' (`kernels.elementary`). Numbers, of which a step needs few,
are computed in decimal with 40 digits, and rounded once. Square roots are exact everywhere, and need no twin.
"""

import functools
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import numpy as np

import bnnsim.kernels.elementary as elementary
from bnnsim.kernels import split

# All that a user may have changed in decimal.DefaultContext is said here.
DIGITS = Context(prec=40, rounding=ROUND_HALF_EVEN, Emin=-9999, Emax=9999, capitals=1, clamp=0, flags=[], traps=[])


def each(kernel: Callable[..., Any], x: np.ndarray, *settings: Any) -> np.ndarray:
    """What a kernel (x, *settings, out, start, stop) of flat arrays makes of each number, float64 of x's shape."""
    x = np.ascontiguousarray(x, np.float64)
    out = np.empty_like(x)
    split(kernel, x.size, x.reshape(-1), *settings, out.reshape(-1))
    return out


def exp(x: np.ndarray) -> np.ndarray:
    """e^x of each number, float64."""
    return each(elementary.exp_each, x)


def log(x: np.ndarray) -> np.ndarray:
    """Natural logarithm of each number, float64: -inf of 0, NaN below it, without a warning."""
    return each(elementary.log_each, x)


def tanh(x: np.ndarray) -> np.ndarray:
    """Hyperbolic tangent of each number, float64."""
    return each(elementary.tanh_each, x)


@functools.lru_cache(16)                # Adam asks for each parameter, but of one step
def power(base: float, exponent: float) -> float:
    """base ** exponent, correctly rounded; base >= 0, and > 0 where the exponent is not."""
    return float(DIGITS.copy().power(Decimal(float(base)), Decimal(float(exponent))))


def cos(x: float) -> float:
    """Cosine of an angle of up to some turns, correctly rounded: its Taylor sum until that no longer changes."""
    digits, angle = DIGITS.copy(), Decimal(float(x))
    square = digits.minus(digits.multiply(angle, angle))        # no "-": operators take the caller's context
    total, term, n = Decimal(0), Decimal(1), 0
    while (new := digits.add(total, term)) != total:
        total, n = new, n + 2
        term = digits.divide(digits.multiply(term, square), n * (n - 1))
    return float(total)
