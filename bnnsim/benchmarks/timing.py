"""Measuring: repeated wall-clock times, alternated between rivals, their median and spread; what machine it was.

A `Measurement` keeps every sample, in seconds of the whole piece of work: where only a share of the work was timed, its
samples are already divided by that share, and it says which share it was.
"""

import datetime
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import llvmlite
import numpy as np

import bnnsim.campaign.provenance as provenance
from bnnsim.kernels import operations, thread_count

MEMORY = ("peak", "before")         # values that are bytes
REST_SECONDS = 0.05                 # between two rivals: threads of the last one stop spinning


class WrongResultError(ValueError):
    """What was to be timed gives a wrong result, so its time means nothing."""


@dataclass(frozen=True)
class Measurement:
    """Samples in seconds of one piece of work; see the module."""

    section: str
    name: str
    seconds: list[float]
    threads: int
    share: float = 1.0                  # of the work that was timed; the rest is extrapolated
    amount: float = 0.0                 # of work, in `unit`s: amount / seconds is a throughput
    unit: str = ""
    limit: float = 0.0                  # the machine's throughput, measured in turns with it
    note: str = ""
    values: dict[str, Any] = field(default_factory=dict)        # what is not a time, such as bytes

    @property
    def median(self) -> float:
        """Seconds."""
        return float(np.median(self.seconds))

    @property
    def throughput(self) -> float:
        """Units a second; 0 where the amount of work was not counted."""
        return self.amount / self.median

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON, with the statistics spelled out."""
        return {**asdict(self), "statistics": statistics_of(self.seconds), "throughput": self.throughput}

    def line(self) -> str:
        """One line of text: median, quartiles, throughput, share of the limit."""
        s = statistics_of(self.seconds)
        text = f"{self.section:<10} {self.name:<52} {in_words(s['median']):>9}"
        text += f"  ({in_words(s['q1'])} to {in_words(s['q3'])})" if len(self.seconds) > 1 else ""
        text += "".join(f"  {name} {value / 1e6:,.0f} MB" for name, value in self.values.items() if name in MEMORY)
        if self.amount:
            text += f"  {with_prefix(self.throughput)}{self.unit}/s"
        if self.limit:
            text += f", {100 * self.throughput / self.limit:.0f} % of the limit"
        if self.share < 1:
            text += f"  [extrapolated from {100 * self.share:.2g} % of it]"
        return text + (f"  {self.note}" if self.note else "")


def statistics_of(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Median, quartiles, extremes and number of some values."""
    low, q1, median, q3, high = np.percentile(values, [0, 25, 50, 75, 100]).tolist()
    return {"median": median, "q1": q1, "q3": q3, "min": low, "max": high, "n": len(values)}


def in_words(seconds: float) -> str:
    """A time with three digits and its unit.

    Examples
    --------
    >>> in_words(0.01234), in_words(5.5), in_words(923.4)
    ('12.3 ms', '5.50 s', '923 s')
    """
    scale, unit = next((row for row in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")) if seconds >= row[0]), (1e-9, "ns"))
    return f"{_three_digits(seconds / scale)} {unit}"


def with_prefix(number: float) -> str:
    """A large number with three digits and an SI prefix.

    Examples
    --------
    >>> with_prefix(1.0123e12), with_prefix(98.7e9), with_prefix(5.0)
    ('1.01 T', '98.7 G', '5.00 ')
    """
    scale, prefix = next(((scale, prefix) for scale, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
                          if number >= scale), (1.0, ""))
    return f"{_three_digits(number / scale)} {prefix}"


def _three_digits(value: float) -> str:
    value = float(f"{value:.3g}")                                # 9.999 has as many as 10.0
    return f"{value:.{max(0, 3 - len(str(int(value))))}f}"


def seconds_of(function: Callable[..., object], *args: Any) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    function(*args)
    return time.perf_counter() - started


def alternated(functions: Mapping[Any, Callable[[], float]], repetitions: int,
               rest: float = 0.0) -> dict[Any, list[float]]:
    """Samples of several functions in turns, A B A B, so that a slow spell of the machine meets all of them.

    Parameters
    ----------
    functions : dict of any key to function
        Each does its work once, and returns its seconds.
    repetitions : int
    rest : float
        Seconds of sleep before each.

    Returns
    -------
    dict of those keys to list of float
    """
    samples: dict[Any, list[float]] = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            time.sleep(rest)
            samples[name].append(function())
    return samples


# ---------------------------------------------------------------- where it was measured

def commit_of_clone() -> str | None:
    """The commit of the clone that the library is imported from, with "+" where files differ; None if it is none."""
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit, changed = (subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=True,
                                          timeout=30).stdout.strip()
                           for words in (("rev-parse", "--short=12", "HEAD"),
                                         ("status", "--porcelain", "--untracked-files=no")))
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + "+" * bool(changed)


def memory_total_byte() -> int | None:
    """Bytes of main memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


def load_average() -> float | None:
    """Processes that wanted a core in the last minute, this one too; None where the system does not tell."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def instructions() -> list[str]:
    """The CPU's features that the tiles in use need, as LLVM names them: what was measured, whatever the CPU has."""
    return sorted({need for operation in operations().values() if operation.in_use for need in operation.in_use.needs})


def circumstances() -> dict[str, Any]:
    """When, where and with what: date, commit, CPU, cores, what else ran, versions."""
    return {"created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "commit": commit_of_clone(), "threads": thread_count(), "cores": os.cpu_count(),
            "load_average": load_average(), "memory_byte": memory_total_byte(), "machine": platform.machine(),
            "instructions": instructions(),
            **provenance.system(), "llvmlite": llvmlite.__version__}
