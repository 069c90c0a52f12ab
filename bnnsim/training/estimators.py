"""Straight-through estimators (STE) of the sign in hidden layers: settings of `layers.BatchNormSign`.

The forward pass is the same in all: x = sign(y), +1 where y >= 0, for a batch-norm output y. They differ in the
pseudo-gradient, which the backward pass puts in place of the sign's derivative: dL/dy := g(y) * dL/dx. A network can
be trained on under another estimator; what it computes, and its packed twin, do not hang on it.

An estimator of your own is any `Estimator`. Those of this file are known to the kernels; another one is asked for g(y)
in NumPy, and g(y) * dL/dx is rounded to float32 before the kernels of batch norm go on with it.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bnnsim.checks import check_array, check_choice, check_real
from bnnsim.kernels.norm.pseudo_gradient import pseudo_gradients
from bnnsim.training.elementary import each
from bnnsim.training.plug_ins import name_of


class Estimator(Protocol):
    """What stands in for the derivative of the sign."""

    def pseudo_gradient(self, y: np.ndarray) -> np.ndarray:
        """g(y), float64 of y's shape, of batch-norm outputs y, float64 of any shape: of each number by itself."""


class _InKernels:
    """An estimator that the kernels know by four numbers: see `kernels.norm.pseudo_gradient`."""

    @property
    def coefficients(self) -> tuple[float, float, float, float]:
        """What the kernels read: clip, level, slope, beta."""
        raise NotImplementedError

    def pseudo_gradient(self, y: np.ndarray) -> np.ndarray:
        """g(y), float64 of y's shape, of batch-norm outputs y."""
        return each(pseudo_gradients, y, self.coefficients)


@dataclass(frozen=True)
class Identity(_InKernels):
    """g(y) = 1: eq. (1) of Buschjaeger et al. 2020, arXiv:2002.00909 [V, in words]."""

    coefficients = (math.inf, 1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Clipped(_InKernels):
    """g(y) = 1 where |y| <= 1, else 0: the default, as in the code of Buschjaeger et al. 2020 [C]."""

    coefficients = (1.0, 1.0, 0.0, 0.0)


@dataclass(frozen=True)
class ApproxSign(_InKernels):
    """g(y) = 2 - 2 |y| where |y| <= 1, else 0: Liu et al. 2018, Bi-Real Net, arXiv:1808.00278 [C: Larq's code]."""

    coefficients = (1.0, 2.0, 2.0, 0.0)


@dataclass(frozen=True)
class SwishSign(_InKernels):
    """g(y) = beta (2 - beta y tanh(beta y / 2)) / (1 + cosh(beta y)): Darabi et al. 2018, arXiv:1812.11800.

    The formula and beta = 5 are those of Larq's code [C]. g is beta at 0, and below 0 where |y| > 2.4 / beta.

    Parameters
    ----------
    beta : float, > 0
        Steepness: larger ones come closer to the sign's derivative.
    """

    beta: float = 5.0

    def __post_init__(self) -> None:
        check_real("beta", self.beta, 0, 1e6, open_low=True)

    @property
    def coefficients(self) -> tuple[float, float, float, float]:
        """What the kernels read."""
        return (math.inf, 1.0, 0.0, float(self.beta))


# Those that ship, by the words that ``ste="swish"`` and the command line take.
ESTIMATORS: dict[str, Estimator] = {"identity": Identity(), "clipped": Clipped(), "approx": ApproxSign(),
                                    "swish": SwishSign()}


def check_estimator(ste: str | Estimator) -> Estimator:
    """An estimator, or its name in ESTIMATORS; one of the user's own is tried on some numbers."""
    if isinstance(ste, str):
        return ESTIMATORS[check_choice("ste", ste, ESTIMATORS)]
    if isinstance(ste, type) or not callable(getattr(ste, "pseudo_gradient", None)):
        raise TypeError(f"ste must be one of {', '.join(map(repr, ESTIMATORS))}, or an object with a method "
                        f"`pseudo_gradient`, such as bnnsim.estimators.SwishSign(beta=5.0), got {ste!r}")
    pseudo_gradient(ste, np.linspace(-2.0, 2.0, 6).reshape(2, 3))
    return ste


def pseudo_gradient(ste: Estimator, y: np.ndarray) -> np.ndarray:
    """g(y) of an estimator at batch-norm outputs y, float64; TypeError or ValueError where it gives anything else."""
    return check_array(f"pseudo_gradient(y) of {name_of(ste)}", ste.pseudo_gradient(y), np.float64, y.shape)


def kernel_coefficients(ste: Estimator) -> tuple[float, float, float, float] | None:
    """The four numbers by which the kernels know an estimator; None of one that they do not know."""
    if isinstance(ste, _InKernels) and type(ste).pseudo_gradient is _InKernels.pseudo_gradient:
        return ste.coefficients
    return None                                                 # also where a subclass has a g(y) of its own
