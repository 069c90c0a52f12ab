"""How time and memory grow along each axis of `scaling_axes`, and whether they grow faster than the work.

A growth exponent is the slope of log time over log x in the last decade of x: 1 where twice as much takes twice as
long. The work has one too, 2 for the weights of ever wider layers; where time's is above it by more than SLACK, the
library has a defect.
"""

import math
import tempfile
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from bnnsim.benchmarks.kernels import require
from bnnsim.benchmarks.scaling_axes import AXES, Axis, Point, Points
from bnnsim.benchmarks.sizes import Images, Sizes
from bnnsim.benchmarks.timing import Measurement, alternated, seconds_of, with_prefix
from bnnsim.kernels import thread_count

SLACK = 0.2                         # of an exponent: a cache that no longer holds everything is no defect


def growth(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Slope of log y over log x, by least squares over the last decade of x, two points at least; None of fewer.

    Examples
    --------
    >>> round(growth([1, 10, 100, 1000], [5, 5, 7, 700]), 2), growth([7], [1])
    (2.0, None)
    """
    order = np.argsort(x)
    places, values = np.asarray(x, float)[order], np.asarray(y, float)[order]
    if len(places) < 2 or values.min() <= 0 or places[0] == places[-1]:
        return None
    n = max(2, int(np.sum(places >= places[-1] / 10 * (1 - 1e-9))))
    return float(np.polyfit(np.log(places[-n:]), np.log(values[-n:]), 1)[0])


def peak_allocated(point: Point) -> int:
    """Bytes that a call holds at most, of Python and NumPy, over what there was; its result is checked.

    Not what the process holds: pages of a memory-mapped file are none of them.
    """
    tracemalloc.start()
    try:
        result = point.call()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    require(point.name, point.is_right(result))
    return peak


def exponents(points: Mapping[float, Point], seconds: Mapping[float, float],
              peaks: Mapping[float, int]) -> dict[str, float | None]:
    """Growth of time, work and memory over one series, by x."""
    x = list(points)
    return {"exponent": growth(x, [seconds[at] for at in x]),
            "work_exponent": growth(x, [points[at].work for at in x]),
            "memory_exponent": growth(x, [peaks[at] for at in x])}


def in_words(found: Mapping[str, float | None]) -> str:
    """A sentence about the exponents of a series."""
    time, work, memory = (found[key] for key in ("exponent", "work_exponent", "memory_exponent"))
    if time is None or work is None:
        return ""
    text = f"; time grows as x^{time:.2f}, the work as x^{work:.2f}"
    text += "" if memory is None or math.isnan(memory) else f", memory as x^{memory:.2f}"
    return text + (": FASTER THAN THE WORK" if time > work + SLACK else "")


def _measured(name: str, axis: Axis, points: Points, repetitions: int) -> Iterator[Measurement]:
    """Measurements of an axis: all points in turns; each series' last one says how it grew."""
    by_series: dict[str, dict[float, Point]] = {}
    for (series, x), point in points.items():
        by_series.setdefault(series, {})[x] = point
    for of_series in by_series.values():
        next(iter(of_series.values())).call()                    # compiles, which takes memory
    peaks = {key: peak_allocated(point) for key, point in points.items()}
    samples = alternated({key: partial(seconds_of, point.call) for key, point in points.items()}, repetitions)
    for series, of_series in by_series.items():
        medians = {x: float(np.median(samples[series, x])) for x in of_series}
        found = exponents(of_series, medians, {x: peaks[series, x] for x in of_series})
        for x in of_series:
            place = f"{x:,.0f}" if x >= 10 or x == int(x) else f"{x:.2g}"
            allocated = peaks[series, x]
            values: dict[str, Any] = {"axis": name, "x": x, "series": series, "allocated": allocated, **found}
            note = f"for {axis.what}; {with_prefix(allocated)}B" + (in_words(found) if x == max(of_series) else "")
            yield Measurement("scaling", f"{name} {place}, {series}", samples[series, x], thread_count(), note=note,
                              values=values)


def measure(sizes: Sizes, images: Images) -> Iterator[Measurement]:
    """Measurements of each point, a generator of one axis after the other."""
    with tempfile.TemporaryDirectory(prefix="bnnsim-bench-", ignore_cleanup_errors=True) as folder:
        for name, axis in AXES.items():
            yield from _measured(name, axis, axis.points(sizes, images, folder), min(axis.repetitions, sizes.sweeps))
