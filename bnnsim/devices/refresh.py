"""Refreshing a memory that reads disturb: how long may it be put off, and what it costs in energy and endurance.

A refresh writes what is stored again, after so many reads. Equations: docs/frontier/wear.rst.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_choice, check_probability, check_real, check_sequence, clean_fields
from bnnsim.faults.read_disturb import ReadDisturb
from bnnsim.packed.memory import MemoryLike, check_stored


class LongestInterval(NamedTuple):
    """Reads between two refreshes; where is "inside", or "at least": the drop was not reached at the most reads."""

    reads: float
    where: str


class RefreshCost(NamedTuple):
    """What a schedule costs a day; cycles are those of a cell in the mean, lifetime is infinite where nothing wears."""

    refreshes_per_day: float
    written_bits_per_day: float
    write_joule_per_day: float
    read_joule_per_day: float
    cycles_per_day: float
    lifetime_day: float


def longest_interval(reads: npt.ArrayLike, accuracy: npt.ArrayLike, drop: float = 0.01) -> LongestInterval:
    """The most reads between refreshes after which no more than `drop` of accuracy is lost, and at no time before.

    Parameters
    ----------
    reads : float (R,)
        Ascending, from 0: the axis of a sweep along a `ReadDisturb`.
    accuracy : float (R,)
        Shares of 1, as the sweep's ``mean()[0]``; straight lines between two of them.
    drop : float
        A share of 1: 0.01 is one percent point.

    Examples
    --------
    >>> longest_interval([0, 1e6, 1e7], [0.9, 0.895, 0.875], drop=0.01)
    LongestInterval(reads=3250000.0, where='inside')
    """
    x, y = _checked(reads, accuracy)
    least = float(y[0]) - check_probability("drop", drop)
    below = np.flatnonzero(y < least - 1e-12)
    if not below.size:
        return LongestInterval(float(x[-1]), "at least")
    i = int(below[0])
    share = (y[i - 1] - least) / (y[i - 1] - y[i])
    return LongestInterval(float(x[i - 1] + max(share, 0.0) * (x[i] - x[i - 1])), "inside")


def mean_accuracy(reads: npt.ArrayLike, accuracy: npt.ArrayLike, interval_reads: float) -> float:
    """Accuracy in the mean over the reads from one refresh to the next, by straight lines between those measured.

    Examples
    --------
    >>> round(mean_accuracy([0, 1e6, 1e7], [0.9, 0.895, 0.875], 1e6), 4)
    0.8975
    """
    x, y = _checked(reads, accuracy)
    end = check_real("interval_reads", interval_reads, 0, float(x[-1]), open_low=True)
    inside = x < end
    x, y = np.append(x[inside], end), np.append(y[inside], np.interp(end, x, y))
    return float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(x)) / end)


def _numbers(name: str, values: npt.ArrayLike) -> np.ndarray:
    found = [np.asarray(each) for each in check_sequence(name, values, "numbers, such as those of a sweep along a "
                                                         "ReadDisturb")]
    for each in found:
        if each.ndim or each.dtype.kind not in "iuf":
            raise TypeError(f"{name} must be a sequence of numbers, got {each.tolist()!r:.80} in it")
    return np.array(found, np.float64)


def _checked(reads: npt.ArrayLike, accuracy: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = (_numbers(name, each) for name, each in (("reads", reads), ("accuracy", accuracy)))
    if x.ndim != 1 or x.shape != y.shape or x.size < 2 or x[0] != 0 or not np.all(np.diff(x) > 0):
        raise ValueError(f"reads must ascend from 0, two or more, with one accuracy each, got shapes {x.shape} and "
                         f"{y.shape}, beginning with {x.ravel()[:3].tolist()}")
    if not (np.all(np.isfinite(x)) and np.all((y >= 0) & (y <= 1))):
        raise ValueError("reads must be finite, and accuracy shares of 1")
    return x, y


@dataclass(frozen=True)
class RefreshSchedule:
    """A refresh after every so many reads.

    Parameters
    ----------
    interval_reads : float > 0
        Reads of each bit between two refreshes. An inference of a dense network reads each bit once.
    reads_per_day : float > 0
    rewrites : "all" or "wrong"
        Every bit is written again; or all are read, and those that are wrong are written, by a copy that is right: of
        a disturbance without memory alone, shape 1, as the others' reads go on.

    Examples
    --------
    >>> import bnnsim
    >>> from bnnsim.devices import RefreshSchedule
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> disturb = bnnsim.faults.ReadDisturb(1e9, 1e9)
    >>> schedule = RefreshSchedule(1e7, 864e5, "wrong")
    >>> cost = schedule.cost(network, disturb, 1e-10, 1e-14, endurance_cycles=1e6)
    >>> print(f"{cost.write_joule_per_day:.2g} J, {cost.read_joule_per_day:.2g} J of reads, {cost.lifetime_day:.3g} d")
    4.1e-08 J, 0.0041 J of reads, 1.16e+07 d
    """

    interval_reads: float
    reads_per_day: float
    rewrites: str = "all"

    def __post_init__(self) -> None:
        clean_fields(self, check_real, "interval_reads", "reads_per_day", low=0, open_low=True)
        check_choice("rewrites", self.rewrites, ("all", "wrong"))

    def cost(self, network: MemoryLike, disturb: ReadDisturb, energy_write_joule: float, energy_read_joule: float,
             endurance_cycles: float, cycles_per_write: float = 1.0) -> RefreshCost:
        """What it costs, of all bits of a network.

        Parameters
        ----------
        network : PackedNetwork or Memory
        disturb : ReadDisturb
            How many bits are wrong when an interval ends.
        energy_write_joule, energy_read_joule : float >= 0
            Of one bit: `bnnsim.devices.energy.bit_energy_joule`, and a card's ``energy_read_joule``.
        endurance_cycles, cycles_per_write : float > 0
            As of `bnnsim.training.WriteCounts.share_beyond`.
        """
        if not isinstance(disturb, ReadDisturb):
            raise TypeError(f"disturb must be a bnnsim.faults.ReadDisturb, got {type(disturb).__name__}")
        if self.rewrites == "wrong" and disturb.shape != 1:
            raise ValueError("rewrites must be 'all' where a disturbance remembers earlier reads, its shape not being "
                             f"1, got 'wrong' and {disturb.shape:g}: cells that are not rewritten are not as new")
        write, read = (check_real(f"energy_{name}_joule", value, 0) for name, value in
                       (("write", energy_write_joule), ("read", energy_read_joule)))
        endurance = check_real("endurance_cycles", endurance_cycles, 0, open_low=True)
        per_write = check_real("cycles_per_write", cycles_per_write, 0, open_low=True)
        n_bits, every_day = check_stored(network).n_bits, self.reads_per_day / self.interval_reads
        wrong = disturb.at(self.interval_reads).expected_wrong_bits(network)
        written = every_day * (n_bits if self.rewrites == "all" else wrong)
        reads = self.reads_per_day + (every_day if self.rewrites == "wrong" else 0.0)
        cycles = per_write * written / n_bits
        return RefreshCost(every_day, written, written * write, reads * n_bits * read, cycles,
                           endurance / cycles if cycles else float("inf"))
