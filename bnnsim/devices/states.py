"""What a state is, LRS or HRS: a distribution of the resistance of programmed devices, over devices and over pulses.

All states speak of x = ln(R / ohm). `State` is what they must have, `KnownState` what device cards and fits ask for in
addition; those that ship are in `distributions`. A state may have more, and what it leaves out is done numerically:

===================  ===========================================================================================
``ln_normal``        (mean, standard deviation) of ln R where that is normal: closed forms of error rates
``widened(sigma)``   the state with an independent normal noise added to ln R, where that is a state again
``ln_samples``       ascending, the only values of ln R, each as likely: error rates are sums over them
``kernel_state()``   the state as `bnnsim.kernels.memory.sensing` reads it: compiled programming, in place of NumPy
===================  ===========================================================================================
"""

import math
from collections.abc import Mapping
from typing import ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

import bnnsim.kernels.memory.sensing as sensing

_ASKED = ("ln_median", "cdf", "sf", "quantile")                 # of a state by any cell


class State(Protocol):
    """A distribution of ln R. Cells ask for the median, cdf, sf and quantile; the rest is asked for where it is said.

    A state does not change, compares by its content (``==``), and its ``repr`` names it in results.
    """

    @property
    def ln_median(self) -> float:
        """Median of ln R."""
        ...

    def cdf(self, x: npt.ArrayLike) -> np.ndarray:
        """P(ln R <= x), of a float or an array; accurate where it is small. Values that repeat count half."""
        ...

    def sf(self, x: npt.ArrayLike) -> np.ndarray:
        """P(ln R > x), as accurate where it is small: 1 - cdf(x) is not."""
        ...

    def quantile(self, z: npt.ArrayLike) -> np.ndarray:
        """ln R at the probability of a standard normal z, of a float or an array: grows with z, -9 to 9 at least."""
        ...

    def density(self, x: npt.ArrayLike) -> np.ndarray:
        """Density of ln R: for figures, and to compare fits."""
        ...

    def shifted(self, shift: float) -> Self:
        """R times exp(shift): where devices drift."""
        ...

    def scaled(self, factor: float) -> Self:
        """The spread times factor, in the variable in which the state is described: where a sweep moves it."""
        ...


class KnownState(State, Protocol):
    """A state that is described by named numbers: device cards keep it, and fits make it of samples."""

    KEYS: ClassVar[Mapping[str, str]]
    """Its numbers, fields of its dataclass, the one of its middle first; and how a card interpolates each between rows:
    "log" (and it is > 0), "linear" (and it is >= 0), or "nothing" lies between, as with samples."""

    def keys(self) -> dict[str, float | list[float]]:
        """The numbers by name, as a card's row has them behind ``lrs_`` or ``hrs_``."""
        ...

    @classmethod
    def from_samples(cls, ohm: np.ndarray) -> Self:
        """The state fitted to resistances in ohm; ValueError where they cannot be of such a state."""
        ...

    def kernel_state(self) -> sensing.StateNumbers:
        """As `bnnsim.kernels.memory.sensing` reads it."""
        ...


# ---------------------------------------------------------------- what is asked of a state

def check_states(lrs: State, hrs: State) -> None:
    """Two states, the high one above the low one by its median."""
    for name, state in (("lrs", lrs), ("hrs", hrs)):
        check_state(name, state, *_ASKED)
    if hrs.ln_median <= lrs.ln_median:
        raise ValueError(f"hrs must have a median above that of lrs, got {math.exp(hrs.ln_median):.4g} ohm and "
                         f"{math.exp(lrs.ln_median):.4g} ohm; are the two exchanged?")


def check_state(name: str, state: State, *asked: str) -> State:
    """A state that has what is asked for."""
    missing = [each for each in asked if not hasattr(state, each)]
    if missing or isinstance(state, type):
        lacks = f", which has no {' and no '.join(missing)}" if missing else ", a class"
        raise TypeError(f"{name} must be a state such as LogNormal(5e3, 0.3), or one of your own with "
                        f"{', '.join(asked)} (see bnnsim.devices.State), got "
                        f"{getattr(state, '__name__', type(state).__name__)}{lacks}")
    return state


def normal_of(state: State) -> tuple[float, float] | None:
    """(mean, standard deviation) of ln R where that is normal."""
    return getattr(state, "ln_normal", None)


def samples_of(state: State) -> np.ndarray | None:
    """The values of ln R where there are no others."""
    return getattr(state, "ln_samples", None)


def widened(state: State, sigma: float) -> State | None:
    """A state with a normal noise on ln R, where it knows itself what that is."""
    return state.widened(sigma) if hasattr(state, "widened") else None


def numbers_of(state: State) -> sensing.StateNumbers | None:
    """A state as kernels read it, where it can be read so."""
    return state.kernel_state() if hasattr(state, "kernel_state") else None
