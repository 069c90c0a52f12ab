"""Memory cells: how devices make a bit, and with what probability it is read wrong.

Bit 1 is +1: the first device in LRS. p10 is the probability that a stored 1 reads 0, p01 that a stored 0 reads 1.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np
from scipy.special import ndtr, ndtri

import bnnsim.devices.monte_carlo as monte_carlo
import bnnsim.kernels.memory.sensing as sensing
from bnnsim.checks import check_choice, check_probability, check_real, clean_fields
from bnnsim.devices.marks import derived
from bnnsim.devices.overlap import overlap
from bnnsim.devices.states import State, check_state, check_states, normal_of
from bnnsim.faults import AsymmetricFlips
from bnnsim.packed.memory import Stored
from bnnsim.seeding import RandomSource

DEVICES_PER_BIT = {"1T1R": 1, "2T2R": 2}


class ErrorRates(NamedTuple):
    """Probabilities that a stored 0 reads 1 (p01) and that a stored 1 reads 0 (p10)."""

    p01: float
    p10: float

    @property
    def mean(self) -> float:
        """Bit error rate of bits that are 0 and 1 equally often."""
        return (self.p01 + self.p10) / 2


@dataclass(frozen=True)
class Failures:
    """Dead devices: each is stuck with probability p_failed, in LRS with probability share_lrs, else in HRS.

    A dead device still has a resistance of the state that it is stuck in. Which are dead, and how, does not change
    when p_failed grows: more die.
    """

    p_failed: float = 0.0
    share_lrs: float = 0.5

    def __post_init__(self) -> None:
        clean_fields(self, check_probability, "p_failed", "share_lrs")

    def p_lrs(self, wanted: bool) -> float:
        """Probability that a device that should be in LRS (or not) is in LRS."""
        return (1 - self.p_failed) * wanted + self.p_failed * self.share_lrs


@dataclass(frozen=True)
class Cell:
    """What cells share: two states, failures, and what can be asked."""

    lrs: State
    hrs: State

    @property
    def origin(self) -> tuple[str, str] | None:
        """What it was taken from, and how well that is known; None of numbers of the user's own."""
        return None

    def __post_init__(self) -> None:
        check_states(self.lrs, self.hrs)
        if not isinstance(self.failures, Failures):
            raise TypeError(f"failures must be a Failures, got {type(self.failures).__name__}")

    @property
    def failures(self) -> Failures:
        """Devices that are dead; none, where a cell has no such field."""
        return Failures()

    def error_rates(self) -> ErrorRates:
        """(p01, p10) of such a cell."""
        raise NotImplementedError(f"{type(self).__name__} must have a method error_rates()")

    def wrong_bits(self, rows: monte_carlo.Rows, keys: sensing.Keys) -> np.ndarray:
        """Which stored bits read wrong once every device is programmed: uint64 masks, shaped as ``rows.words``."""
        raise NotImplementedError(f"{type(self).__name__} must have a method wrong_bits(rows, keys)")

    def fault(self, layers: Sequence[int] | None = None) -> AsymmetricFlips:
        """The error rates as a fault on bits: independent errors, drawn once a chip (``when = "write"``).

        Read noise and shared amplifiers are in the rates, but not in the correlations; see `programmed`.

        Returns
        -------
        bnnsim.faults.AsymmetricFlips
        """
        rates = self.error_rates()
        return AsymmetricFlips(rates.p01, rates.p10, layers)

    def programmed(self, rows_per_amplifier: int = 1,
                   layers: Sequence[int] | None = None) -> monte_carlo.Programmed:
        """The fault that programs and senses every device: see `bnnsim.devices.Programmed`."""
        return monte_carlo.Programmed(self, rows_per_amplifier, layers)

    def program(self, network: Stored, rng: RandomSource = None, trial: int = 0, read: int = 0,
                rows_per_amplifier: int = 1) -> Stored:
        """Program every device of a network's memory, sense every bit: the network as it is read back."""
        return self.programmed(rows_per_amplifier).apply(network, rng, trial, read)

    def shifted(self, lrs: float, hrs: float) -> Self:
        """The same cell with ln R of its states moved."""
        low, high = check_state("lrs", self.lrs, "shifted"), check_state("hrs", self.hrs, "shifted")
        known = {} if self.origin is None else {"origin": derived(self.origin)}
        return replace(self, lrs=low.shifted(lrs), hrs=high.shifted(hrs), **known)

    def scaled(self, factor: float) -> Self:
        """The same cell with the spread of both states times factor."""
        factor = check_real("factor", factor, 0)
        low, high = check_state("lrs", self.lrs, "scaled"), check_state("hrs", self.hrs, "scaled")
        known = {} if self.origin is None else {"origin": derived(self.origin)}
        return replace(self, lrs=low.scaled(factor), hrs=high.scaled(factor), **known)


@dataclass(frozen=True)
class Cell1T1R(Cell):
    """One device a bit, compared with a reference resistance; LRS is 1.

    Parameters
    ----------
    lrs, hrs : LogNormal, NormalConductance, Empirical, or a `State` of your own
        The median of hrs lies above that of lrs.
    reference_ohm : float, optional
        By default where both errors are equally frequent.
    failures : Failures
    origin : (str, str), optional
        What the numbers were taken from, and their mark: set by `DeviceCard.cell`, told by results.

    Examples
    --------
    >>> from bnnsim.devices import LogNormal
    >>> cell = Cell1T1R(LogNormal(5e3, 0.5), LogNormal(5e4, 0.7))
    >>> print(f"{cell.r_reference_ohm:.0f} ohm: {cell.error_rates().mean:.4f}")
    13051 ohm: 0.0275
    """

    reference_ohm: float | None = None
    failures: Failures = Failures()
    origin: tuple[str, str] | None = field(default=None, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reference_ohm is not None:
            clean_fields(self, check_real, "reference_ohm", low=0, open_low=True)

    @property
    def r_reference_ohm(self) -> float:
        """The reference: as given, or where p01 = p10.

        Notes
        -----
        ln r = (mL sH + mH sL) / (sL + sH) for log-normal states [D, docs/equations.rst 2.2], else by root finding.
        """
        return math.exp(self.ln_reference)

    @property
    def ln_reference(self) -> float:
        """ln of the reference in ohm."""
        if self.reference_ohm is not None:
            return math.log(self.reference_ohm)
        lrs, hrs = normal_of(self.lrs), normal_of(self.hrs)
        if lrs is None or hrs is None:
            return _equal_errors(self.lrs, self.hrs)
        total = lrs[1] + hrs[1]
        share = min(max(lrs[1] / total, 1e-9), 1 - 1e-9) if total else 0.5              # past a state without spread
        return lrs[0] + share * (hrs[0] - lrs[0])

    def error_rates(self) -> ErrorRates:
        """(p01, p10): p10 = P(ln R_L > ln r), p01 = P(ln R_H < ln r), and dead devices read as they are.

        Returns
        -------
        ErrorRates

        References
        ----------
        Bocquet et al., IEDM 2018, give no formula: derived, with log-normal states p10 = Phi(-(r - mL) / sL) [D].
        """
        p10, p01 = float(self.lrs.sf(self.ln_reference)), float(self.hrs.cdf(self.ln_reference))
        stays, turns = self.failures.p_lrs(True), self.failures.p_lrs(False)
        return ErrorRates((1 - turns) * p01 + turns * (1 - p10), stays * p10 + (1 - stays) * (1 - p01))

    def wrong_bits(self, rows: monte_carlo.Rows, keys: sensing.Keys) -> np.ndarray:
        """Each device against the reference."""
        return monte_carlo.single_faults(self, self.ln_reference, rows, keys)


@dataclass(frozen=True)
class Cell2T2R(Cell):
    """Two devices a bit, programmed to opposite states and compared by a precharge sense amplifier (PCSA).

    A bit reads 1 iff ln R_first + offset + noise < ln R_second.

    Parameters
    ----------
    lrs, hrs : LogNormal, NormalConductance, Empirical, or a `State` of your own
        The median of hrs lies above that of lrs.
    offset : float
        In ln R: what the mean amplifier adds to the first branch; > 0 disfavours a 1.
    offset_sigma : float >= 0
        Its spread over amplifiers: drawn once a chip.
    read_sigma : float >= 0
        Noise of one read: drawn for each.
    failures : Failures
    origin : (str, str), optional
        What the numbers were taken from, and their mark: set by `DeviceCard.cell`, told by results.

    Examples
    --------
    >>> from bnnsim.devices import LogNormal
    >>> cell = Cell2T2R(LogNormal(5e3, 0.5), LogNormal(5e4, 0.7), offset=0.1)
    >>> print("p01 {:.2e}, p10 {:.2e}".format(*cell.error_rates()))
    p01 2.61e-03, p10 5.23e-03
    """

    offset: float = 0.0
    offset_sigma: float = 0.0
    read_sigma: float = 0.0
    failures: Failures = Failures()
    origin: tuple[str, str] | None = field(default=None, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        clean_fields(self, check_real, "offset")
        clean_fields(self, check_real, "offset_sigma", "read_sigma", low=0)

    def error_rates(self) -> ErrorRates:
        """(p01, p10), the mean over devices, amplifiers and reads.

        Returns
        -------
        ErrorRates

        Notes
        -----
        With log-normal states p10 = Phi(-(D - offset) / sqrt(sL^2 + sH^2 + s_off^2 + s_read^2)), D = mH - mL, and p01
        the same with D + offset [D, docs/equations.rst 2.3]. Others are integrated, or summed over samples. A pair
        with dead devices may show its states exchanged, or one state twice: then its mismatch decides.
        """
        sigma, p = math.hypot(self.offset_sigma, self.read_sigma), self.failures.p_lrs
        p01 = p10 = 0.0
        for first, second in itertools.product((True, False), repeat=2):
            of_one = (p(True) if first else 1 - p(True)) * (p(False) if second else 1 - p(False))
            of_zero = (p(False) if first else 1 - p(False)) * (p(True) if second else 1 - p(True))
            one, other = (self.lrs if is_lrs else self.hrs for is_lrs in (first, second))
            if of_one:
                p10 += of_one * overlap(one, other, self.offset, sigma)
            if of_zero:
                p01 += of_zero * overlap(other, one, -self.offset, sigma)
        return ErrorRates(p01, p10)

    def wrong_bits(self, rows: monte_carlo.Rows, keys: sensing.Keys) -> np.ndarray:
        """Each pair by its amplifier."""
        return monte_carlo.pair_faults(self, (self.offset, self.offset_sigma, self.read_sigma), rows, keys)


def make_cell(kind: str, lrs: State, hrs: State, reference_ohm: float | None = None,
              failures: Failures = Failures()) -> Cell1T1R | Cell2T2R:
    """A cell by the name of its kind, "1T1R" or "2T2R"; only the first knows a reference."""
    if check_choice("cell", kind, DEVICES_PER_BIT) == "1T1R":
        return Cell1T1R(lrs, hrs, reference_ohm, failures)
    return Cell2T2R(lrs, hrs, failures=failures)


def converted_rate(p: float, cell: str, wanted: str) -> float:
    """The bit error rate that the same devices have in another cell, if both their states have one and the same sigma.

    Parameters
    ----------
    p : float
        Bit error rate in `cell`, in (0, 0.5].
    cell, wanted : {"1T1R", "2T2R"}
        1T1R at its equal-error reference, 2T2R without offset.

    Notes
    -----
    z2 = sqrt(2) z1, with BER = Phi(-z) [D, docs/equations.rst 2.4]. Of log-normal states with other sigmas 2T2R gains
    less: z2 / z1 = (sL + sH) / sqrt(sL^2 + sH^2).

    Examples
    --------
    >>> print(f"{converted_rate(0.01, '1T1R', '2T2R'):.2e}")
    5.01e-04
    """
    p = check_real("p", p, 0, 0.5)
    factor = math.sqrt(DEVICES_PER_BIT[check_choice("wanted", wanted, DEVICES_PER_BIT)]
                       / DEVICES_PER_BIT[check_choice("cell", cell, DEVICES_PER_BIT)])
    return float(ndtr(factor * ndtri(p)))


def _equal_errors(lrs: State, hrs: State) -> float:
    """ln r with P(ln R_L > ln r) = P(ln R_H < ln r); the middle of such places where there are several.

    Past a state without spread, which is on one side of any reference as a whole.
    """
    ends = np.array([[state.quantile(z) for z in (-9.0, 9.0)] for state in (lrs, hrs)], np.float64)
    alike = ends[:, 0] == ends[:, 1]
    if alike.any():
        share = 0.5 if alike.all() else 1e-9 if alike[0] else 1 - 1e-9
        return lrs.ln_median + share * (hrs.ln_median - lrs.ln_median)
    low, high = min(lrs.ln_median, *ends[:, 0]), max(hrs.ln_median, *ends[:, 1])

    def place(strictly: bool) -> float:                         # bisection: samples make steps, which defeat others
        a, b = low - 1e-9, high + 1e-9
        while b - a > 1e-12 * max(1.0, abs(a)):
            middle = (a + b) / 2
            difference = lrs.sf(middle) - hrs.cdf(middle)
            a, b = (middle, b) if difference > 0 or (difference == 0 and strictly) else (a, middle)
        return (a + b) / 2

    return float(np.mean([place(False), place(True)]))
