"""By how much a sum is read wrong: cumulative tables of steps, for `bnnsim.kernels.memory.read_errors.moved_sums`.

Draws meet these numbers, so they have to be the same on every CPU and with every SciPy: additions, multiplications and
divisions in one order, and `bnnsim.kernels.elementary`, instead of a math library's functions.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

import bnnsim.kernels.elementary as elementary
import bnnsim.kernels.memory.read_errors as read_errors
from bnnsim.kernels import split

WHOLE = 2**32                       # a probability of 1, as draws have it
TAIL = 8.0                          # standard deviations, and as many steps, that tables reach beyond their mean
TERMS = 160                         # of the series of a normal distribution, up to TAIL: what is left is below 1e-30


class Steps(NamedTuple):
    """Distributions of steps, a row each: tables uint64 (T, K), least int64 (T,), guide int32 (T, 256)."""

    tables: np.ndarray
    least: np.ndarray
    guide: np.ndarray


def _steps(tables: np.ndarray, least: np.ndarray) -> Steps:
    guide = np.empty((len(tables), 256), np.int32)
    split(read_errors.guides, len(tables), tables, guide)
    return Steps(tables, least, guide)


@functools.lru_cache(maxsize=32)
def off_by(step: int, p: float) -> Steps:
    """`step` less with probability p / 2, and `step` more with as much."""
    wrong = int(WHOLE * (p / 2))
    return _steps(np.repeat(np.array([wrong, WHOLE - wrong, WHOLE], np.uint64), (step, step, 1))[None],
                  np.array([-step], np.int64))


@functools.lru_cache(maxsize=32)
def normal(sigmas: tuple[float, ...]) -> Steps:
    """Normal steps of these standard deviations, rounded: a row each."""
    most = math.ceil(TAIL * max(sigmas)) + 1
    edges = np.arange(-most, most) + 0.5                        # between a step of k, and of k + 1
    below = (WHOLE * normal_below(np.divide.outer(edges, sigmas).T)).astype(np.uint64)
    whole = np.full((len(sigmas), 1), WHOLE, np.uint64)
    return _steps(np.concatenate([below, whole], axis=1), np.full(len(sigmas), -most, np.int64))


def normal_below(z: np.ndarray) -> np.ndarray:
    """P(N(0, 1) < z) within about 1e-16: 1/2 + phi(z) (z + z^3 / 3 + z^5 / (3 5) + ...)."""
    z = np.clip(z, -TAIL, TAIL)
    term, square = z / math.sqrt(2 * math.pi), z * z
    total, density = term.copy(), np.empty(z.size)
    for k in range(3, 2 * TERMS, 2):
        term = term * square / k
        total += term
    split(elementary.exp_each, z.size, (-square / 2).reshape(-1), density)
    return np.clip(0.5 + density.reshape(z.shape) * total, 0.0, 1.0)


@functools.lru_cache(maxsize=32)
def sensed(n_summands: tuple[int, ...], p: float) -> Steps:
    """Steps of popcounts of n products each wrong with probability p: a row for each number of +1, 0 .. n, of each n.

    Of a products that are +1 and n - a that are -1 it is Binomial(n - a, p) - Binomial(a, p).
    """
    at, pmf = binomials(max(n_summands), p)
    tables = np.empty((sum(n_summands) + len(n_summands), 2 * pmf.shape[1] - 1), np.uint64)
    least = np.empty(len(tables), np.int64)
    first = 0
    for n in n_summands:
        rows = slice(first, first + n + 1)
        split(read_errors.sensed_tables, n + 1, pmf[:n + 1], tables[rows])
        least[rows] = at[n::-1] - at[:n + 1] - (pmf.shape[1] - 1)
        first += n + 1
    return _steps(tables, least)


def binomials(most: int, p: float) -> tuple[np.ndarray, np.ndarray]:
    """(least number (M,), weights (M, W) from there on) of binomial(m, p), m = 0 .. most, where not negligible.

    Weights are 1 at the mode, and follow from there by P(k + 1) / P(k) = (m - k) / (k + 1) p / (1 - p).
    """
    m = np.arange(most + 1)[:, None]
    reach = TAIL * math.sqrt(most * p * (1 - p)) + TAIL
    mode = np.minimum(((m + 1) * p).astype(np.int64), m)
    at = np.maximum(mode - math.ceil(reach), 0)
    k = at + np.arange(min(2 * math.ceil(reach), most) + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        up = np.where((k > mode) & (k <= m), (m - k + 1) * p / (k * (1 - p)), np.where(k > m, 0.0, 1.0))
        down = np.where(k < mode, (k + 1) * (1 - p) / ((m - k) * p), 1.0)
    return at[:, 0], np.cumprod(up, axis=1) * np.cumprod(down[:, ::-1], axis=1)[:, ::-1]
