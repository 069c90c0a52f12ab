"""Straight-through estimators (STE) of the sign in hidden layers: settings of `layers.BatchNormSign`.

The forward pass is the same in all: x = sign(y), +1 where y >= 0, for a batch-norm output y. They differ in the
pseudo-gradient, which the backward pass puts in place of the sign's derivative: dL/dy := g(y) * dL/dx. A network can
be trained on under another estimator; what it computes, and its packed twin, do not hang on it.
"""

import math
from dataclasses import dataclass

import numpy as np

from bnnsim.checks import check_choice, check_real


@dataclass(frozen=True)
class Identity:
    """g(y) = 1: eq. (1) of Buschjaeger et al. 2020, arXiv:2002.00909 [V, in words]."""

    coefficients = (math.inf, 1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Clipped:
    """g(y) = 1 where |y| <= 1, else 0: the default, as in the code of Buschjaeger et al. 2020 [C]."""

    coefficients = (1.0, 1.0, 0.0, 0.0)


@dataclass(frozen=True)
class ApproxSign:
    """g(y) = 2 - 2 |y| where |y| <= 1, else 0: Liu et al. 2018, Bi-Real Net, arXiv:1808.00278 [C: Larq's code]."""

    coefficients = (1.0, 2.0, 2.0, 0.0)


@dataclass(frozen=True)
class SwishSign:
    """g(y) = beta (2 - beta y tanh(beta y / 2)) / (1 + cosh(beta y)): Darabi et al. 2018, arXiv:1812.11800.

    The formula and beta = 5 are those of Larq's code [C]. g is beta at 0, and below 0 where |y| > 2.4 / beta.

    Parameters
    ----------
    beta : float, > 0
        Steepness: larger ones come closer to the sign's derivative.
    """

    beta: float = 5.0

    def __post_init__(self):
        check_real("beta", self.beta, 0, 1e6, open_low=True)

    @property
    def coefficients(self):
        """What the kernels read: see `kernels.pseudo_gradient`."""
        return (math.inf, 1.0, 0.0, float(self.beta))


ESTIMATORS = {"identity": Identity(), "clipped": Clipped(), "approx": ApproxSign(), "swish": SwishSign()}


def check_estimator(ste):
    """An estimator, or its name in ESTIMATORS."""
    if isinstance(ste, (Identity, Clipped, ApproxSign, SwishSign)):
        return ste
    if isinstance(ste, str):
        return ESTIMATORS[check_choice("ste", ste, ESTIMATORS)]
    raise TypeError(f"ste must be one of {', '.join(map(repr, ESTIMATORS))}, or an object of bnnsim.estimators such as "
                    f"SwishSign(beta=5.0), got {ste!r}")


def pseudo_gradient(ste, y):
    """g(y) of an estimator at batch-norm outputs y, float64: what the kernels multiply gradients with."""
    clip, constant, slope, beta = ste.coefficients
    size = np.abs(y)
    if beta:
        z = np.minimum(beta * size, 700.0)                      # beyond, g is 0 in float64, and cosh would overflow
        return beta * (2 - z * np.tanh(z / 2)) / (1 + np.cosh(z))
    return np.where(size <= clip, constant - slope * size, 0.0)
