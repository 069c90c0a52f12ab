"""Shares of chips too rare to be counted: chips drawn where failures are frequent, weighted; and multilevel splitting.

A chip is a pattern of independent bit errors. Both methods are exact in expectation, whatever a chip's accuracy does
with its pattern [D, derived in the page on yield in docs/frontier].

T trials, R rates at which each of them was drawn, n bits, k of them wrong.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_int, check_probability
from bnnsim.seeding import generator
from bnnsim.statistics.intervals import check_level, t_quantile
from bnnsim.statistics.yields import check_share

GRID = 2000                 # numbers of wrong bits at which the largest weight is looked for


class RareShare(NamedTuple):
    """A share with its confidence interval, and what is behind it.

    Attributes
    ----------
    low, high, share : float
    n : int
        Trials; of a splitting, chips that were evaluated.
    effective : float
        Failures that, each counted once, would show the share as well: near 0 none that weighs was seen.
    weight : float
        Mean weight of a trial; 1 but for chance, if rates were run from which the one asked for can be told.
    """
    low: float
    high: float
    share: float
    n: int
    effective: float
    weight: float


def reweighted_share(failed: npt.ArrayLike, n_wrong: npt.ArrayLike, drawn_at: npt.ArrayLike, n_bits: int, rate: float,
                     level: float = 0.95) -> RareShare:
    """The share of chips that fail at a bit error rate p, from chips that were drawn at R others.

    Patterns of k wrong bits are equally likely at any rate, so a chip drawn at the rates q_1 .. q_R in turn stands for
    w(k) = p^k (1 - p)^(n - k) / sum_j q_j^k (1 - q_j)^(n - k) chips at p: importance sampling with the balance
    heuristic. z, the sum of w over the R chips of one trial that failed, has the share as its mean over trials, also
    where the R chips share their random numbers. The interval is the gamma interval of a weighted sum of rare events,
    which holds where none was seen, too, and allows for one more of the largest weight, of a chip with a wrong bit: one
    without is taken to be good unless it failed. What is above 1, by chance or where ``weight`` is, is told as 1.

    Parameters
    ----------
    failed : bool (R, T)
    n_wrong : int (R, T)
        k of each chip.
    drawn_at : float (R,)
        Bit error rates q, one of them between 0 and 1 at least: at it, any number of bits can be wrong.
    n_bits : int
        n.
    rate : float
        p.
    level : float

    Returns
    -------
    RareShare

    References
    ----------
    E. Veach and L. J. Guibas, SIGGRAPH 1995 (balance heuristic); M. P. Fay and E. J. Feuer, Statistics in Medicine 16,
    1997 (interval).

    Examples
    --------
    >>> import numpy as np
    >>> wrong = np.random.default_rng(0).binomial(1000, 0.002, (1, 5000))
    >>> found = reweighted_share(wrong >= 4, wrong, [0.002], 1000, 0.0005)       # binomial: 4 or more with 1.75e-3
    >>> print(f"{found.share:.2e} in [{found.low:.2e}, {found.high:.2e}]")
    1.71e-03 in [1.56e-03, 2.42e-03]
    """
    from scipy.special import chdtri

    failed, wrong, rates, n_bits = _check_drawn(failed, n_wrong, drawn_at, n_bits)
    rate, level = check_probability("rate", rate), check_level(level)
    weights = _weights(wrong, rates, n_bits, rate)
    z, n = (weights * failed).sum(axis=0), failed.shape[1]
    largest = max(float(_weights(np.unique(np.rint(np.geomspace(1, n_bits, GRID))), rates, n_bits, rate).max()),
                  float(weights[failed].max(initial=0.0))) / n
    share, variance = float(z.sum()) / n, float((z**2).sum()) / n**2
    largest = min(largest, 1.0)                                  # of what was hardly run: it bounds nothing
    more, spread = share + largest, variance + largest**2
    low = variance / (2 * share) * chdtri(2 * share**2 / variance, (1 + level) / 2) if variance else 0.0
    high = spread / (2 * more) * chdtri(2 * more**2 / spread, (1 - level) / 2) if spread else 0.0
    return RareShare(min(float(low), 1.0), min(float(high), 1.0), min(share, 1.0), n,
                     share**2 / variance if variance else 0.0, float(weights.sum()) / n)


def _weights(wrong: np.ndarray, rates: np.ndarray, n_bits: int, rate: float) -> np.ndarray:
    """w(k) of numbers of wrong bits; 0 where no rate could have given them."""
    from scipy.special import logsumexp, xlog1py, xlogy

    log_p = xlogy(wrong, rate) + xlog1py(n_bits - wrong, -rate)
    each = [xlogy(wrong, q) + xlog1py(n_bits - wrong, -q) for q in rates.tolist()]
    log_q = logsumexp(each, axis=0)
    return np.exp(np.where(np.isfinite(log_q), np.minimum(log_p - log_q, 300.0), -np.inf))


def _check_drawn(failed: npt.ArrayLike, n_wrong: npt.ArrayLike, drawn_at: npt.ArrayLike, n_bits: int
                 ) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    failed, wrong = np.asarray(failed), np.asarray(n_wrong)
    rates = np.array([check_probability(f"drawn_at[{i}]", q) for i, q in enumerate(np.asarray(drawn_at, object).flat)])
    if not np.any((rates > 0) & (rates < 1)):
        raise ValueError("drawn_at must have a rate between 0 and 1, at which any number of bits can be wrong, got "
                         f"{rates.tolist()}")
    if failed.dtype != bool or wrong.dtype.kind not in "iu":
        raise TypeError(f"failed must be bool and n_wrong integers, got dtypes {failed.dtype} and {wrong.dtype}")
    if failed.ndim != 2 or failed.shape != wrong.shape or len(failed) != len(rates) or failed.size == 0:
        raise ValueError(f"failed and n_wrong must have shape ({len(rates)} rates, trials), got {failed.shape} and "
                         f"{wrong.shape}")
    n_bits = check_int("n_bits", n_bits, 1)
    if wrong.min() < 0 or wrong.max() > n_bits:
        raise ValueError(f"n_wrong must be in 0..{n_bits}, got {wrong.min()}..{wrong.max()}")
    return failed, wrong.astype(np.float64), rates, n_bits


# ---------------------------------------------------------------- splitting

State = TypeVar("State")


class Chips(Protocol[State]):
    """What splitting is told of chips; a value is an integer, low ones are bad."""

    def draw(self, *ids: int) -> State:
        """A chip, from the stream of random numbers of these ids."""
        ...

    def moved(self, chip: State, share: float, *ids: int) -> State:
        """The chip with each bit's error drawn anew with probability `share`: the law of `draw` stays as it is."""
        ...

    def value(self, chip: State) -> int:
        """What the chip is judged by: right answers."""
        ...


class Level(NamedTuple):
    """A level of a splitting: chips of at most `value` go on; `moved` is the share of bits that a move draws anew."""
    value: int
    moved: float


class Splitting(NamedTuple):
    """A share of chips, the levels it was told from, and of each repetition the shares that passed them (M, L)."""
    share: RareShare
    levels: tuple[Level, ...]
    passed: np.ndarray


def split_to(chips: Chips[State], worst: int, n_chips: int, repetitions: int, root: int, level: float = 0.95,
             keep: float = 0.25, moves: int = 4) -> Splitting:
    """The share of chips of a value of at most `worst`, by multilevel splitting.

    n chips are drawn; those of a value of at most the first level go on, copied until they are n again; each copy is
    moved, and a move that leaves the level is taken back, so that copies become other chips of the same law; and so on
    to the last level, `worst`. The product of the shares that passed has the share as its mean, levels being fixed
    before [D]: a first repetition, which is thrown away, sets each where a share `keep` passes, and how far a move
    goes so that some are taken. The interval is Student's over repetitions, of the logarithm, as products are skewed;
    where all repetitions agree, their spread is taken to be that of independent chips at each level.

    Parameters
    ----------
    chips : Chips
    worst : int
    n_chips, repetitions : int
        At least 4 and 2.
    root : int
        Root seed of the choice of copies; chips draw from streams of their own.
    level : float
        Of confidence.
    keep : float
    moves : int
        A copy and level.

    References
    ----------
    H. Kahn and T. E. Harris, 1951 (splitting); S.-K. Au and J. L. Beck, Probabilistic Engineering Mechanics 16, 2001
    (with Markov chains); P. Del Moral, "Feynman-Kac formulae", 2004 (no bias at fixed levels).
    """
    n_chips, repetitions = check_int("n_chips", n_chips, 4), check_int("repetitions", repetitions, 2)
    level, keep, moves = check_level(level), check_share(keep, "keep"), check_int("moves", moves, 1)
    run = _Run(chips, worst, n_chips, moves, root)
    levels = run.pilot(keep)
    passed = np.array([run.shares(levels, m) for m in range(1, repetitions + 1)])
    shares = passed.prod(axis=1)
    share, std = float(shares.mean()), float(shares.std(ddof=1))
    if 0 < share < 1:
        if std <= 1e-9 * share:                                  # all agree by chance: what chips alone would spread
            p = passed.mean(axis=0)
            std = share * math.sqrt(float(((1 - p) / p).sum()) / n_chips)
        factor = math.exp(t_quantile(level, repetitions - 1) * std / share / math.sqrt(repetitions))
        low, high, effective = share / factor, share * factor, repetitions * (share / std) ** 2
    else:                                                        # none failed; or all did
        left = float(np.where(passed > 0, passed, 1.0).prod(axis=1).mean())
        half = -math.log((1 - level) / 2) / (n_chips * repetitions) * left
        low, high, effective = share - half, share + half, 0.0
    found = RareShare(max(low, 0.0), min(high, 1.0), share, run.evaluated, effective, 1.0)
    return Splitting(found, levels, passed)


class _Run:
    """One splitting. `evaluated` counts the chips whose value was asked for, `taken` the moves that stood."""

    def __init__(self, chips: Chips[State], worst: int, n_chips: int, moves: int, root: int) -> None:
        self.chips, self.worst, self.n, self.moves, self.root = chips, worst, n_chips, moves, root
        self.evaluated = self.taken = 0

    def pilot(self, keep: float) -> tuple[Level, ...]:
        """Levels, found with chips of repetition 0."""
        found: list[Level] = []
        (states, values), moved = self._drawn(0), 0.5
        while True:
            at = sorted(values)[max(1, round(keep * self.n)) - 1]
            if found and at >= found[-1].value:                  # many chips of one value: the next one below it
                at = max((value for value in values if value < found[-1].value), default=self.worst)
            found.append(Level(max(at, self.worst), moved))
            if at <= self.worst:
                return tuple(found)
            taken = self.taken
            states, values = self._gone_on(states, values, found[-1], 0, len(found))
            share = (self.taken - taken) / (self.n * self.moves)
            moved = moved / 2 if share < 0.25 else min(2 * moved, 0.5) if share > 0.6 else moved

    def shares(self, levels: Sequence[Level], repetition: int) -> list[float]:
        """Shares of the chips that passed each level."""
        states, values = self._drawn(repetition)
        found: list[float] = []
        for i, level in enumerate(levels):
            found.append(sum(value <= level.value for value in values) / self.n)
            if found[-1] == 0:
                return found + [0.0] * (len(levels) - i - 1)
            if i + 1 < len(levels):
                states, values = self._gone_on(states, values, level, repetition, i + 1)
        return found

    def _drawn(self, repetition: int) -> tuple[list, list[int]]:
        states = [self.chips.draw(repetition, 0, c) for c in range(self.n)]
        return states, [self._value(state) for state in states]

    def _value(self, state: Any) -> int:
        self.evaluated += 1
        return self.chips.value(state)

    def _gone_on(self, states: list, values: list[int], level: Level, repetition: int, i: int
                 ) -> tuple[list, list[int]]:
        """As many chips from those that passed, each moved."""
        good = [c for c in range(self.n) if values[c] <= level.value]
        order = generator(self.root, "splitting copies", repetition, i).permutation(good)
        chosen = np.resize(order, self.n).tolist()
        states, values = [states[c] for c in chosen], [values[c] for c in chosen]
        for c in range(self.n):
            for move in range(self.moves):
                tried = self.chips.moved(states[c], level.moved, repetition, i, c, move)
                value = self._value(tried)
                if value <= level.value:
                    states[c], values[c] = tried, value
                    self.taken += 1
        return states, values
