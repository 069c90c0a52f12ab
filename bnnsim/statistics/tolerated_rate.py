"""The largest bit error rate at which a network still loses no more than a given share of accuracy.

T chips, R rates, P points: the rates and places between them.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_int, check_probability
from bnnsim.statistics.intervals import check_accuracies, check_level
from bnnsim.statistics.mean_of_chips import limits_of_mean

POINTS = 64             # between two rates
SLACK = 1e-9            # added to the drop: in float64, 0.9 - 0.89 > 0.01; one image in a million is 1e-6


class Tolerated(NamedTuple):
    """The largest tolerated bit error rate.

    Attributes
    ----------
    low, high : float
        Confidence interval. Where the rates run, or too few chips, set no bound: `low` 0, `high` infinite.
    rate : float
        Estimate, within the rates run.
    n : int
        Chips.
    where : str
        "inside"; "at least": `rate` is the largest rate run, and still tolerated; "below": `rate` is the
        smallest positive rate run, and already too high.
    axis : str
        What the rates are: bit error rates, or of a `SweepResult` along another axis its name.
    step : float
        By how much the mean drop grows from the rate run before `rate` to the one behind it; 0 where `rate` is not
        between two. Where it is larger than `drop` the straight line decides, and `low` and `high` do not know: run
        more rates there.
    """
    low: float
    high: float
    rate: float
    n: int
    where: str
    axis: str = "bit_error_rate"
    step: float = 0.0


def tolerated(rates: npt.ArrayLike, accuracies: npt.ArrayLike, clean: float, drop: float = 0.01, level: float = 0.95,
              n_images: int | None = None) -> Tolerated:
    """The largest bit error rate whose mean drop in accuracy, over chips on these images, is at most `drop`.

    The mean drop at each rate is made nondecreasing by isotonic regression, is taken as straight over log10(rate)
    between two rates, and read where it crosses `drop`. The interval holds every place, from the first to the last, at
    which the interval of the mean drop (`mean_interval`, of each chip's own curve, straight between two rates) holds
    `drop`: it covers at least as often as that does, with 2 chips as with 50. What a coarse grid of rates hides is not
    in it: `step` tells how coarse it is.

    Parameters
    ----------
    rates : float (R,)
        Ascending bit error rates; a rate of 0 is passed over, `clean` stands for it.
    accuracies : float (R, T)
        Shares of 1; a column is one chip, NaN where it did not run.
    clean : float
        Accuracy at rate 0, on the same images.
    drop : float
        Tolerated loss, a share of 1: 0.01 is one percent point.
    level : float
    n_images : int, optional
        N: see `mean_interval`.

    Returns
    -------
    Tolerated

    References
    ----------
    Robertson, Wright and Dykstra, "Order restricted statistical inference", 1988, chapter 1 (max-min formulas); an
    interval by inversion of tests: E. C. Fieller, Journal of the Royal Statistical Society B 16, 1954.

    Examples
    --------
    >>> chips = [[0.90, 0.91, 0.90], [0.88, 0.90, 0.89], [0.80, 0.83, 0.82]]
    >>> found = tolerated([0.001, 0.01, 0.1], chips, clean=0.91, drop=0.03)
    >>> print(f"{found.rate:.4f} in [{found.low:.4f}, {found.high:.4f}], {found.where}")
    0.0137 in [0.0022, 0.0340], inside
    """
    positive, curve = _check_curves(rates, accuracies)
    clean, drop, level = check_probability("clean", clean), check_probability("drop", drop), check_level(level)
    n_images = None if n_images is None else check_int("n_images", n_images, 1)
    log_rates = np.log10(positive)
    drops = clean - np.nanmean(curve, axis=1)[None]
    log_rate = float(_crossings(drops, log_rates, drop)[0])
    where = "below" if log_rate == -math.inf else "at least" if log_rate == math.inf else "inside"
    rate = float(min(max(10**log_rate, positive[0]), positive[-1]))
    low, high = _limits(log_rates, curve, clean - drop - SLACK, level, n_images)
    n_chips = int((~np.isnan(curve)).any(axis=0).sum())
    behind = min(int(np.searchsorted(log_rates, log_rate, "right")), len(log_rates) - 1)
    step = float(np.diff(_isotonic(drops)[0])[behind - 1]) if where == "inside" else 0.0
    return Tolerated(min(low, rate), max(high, rate), rate, n_chips, where, step=step)


def _limits(log_rates: np.ndarray, curve: np.ndarray, least: float, level: float, n_images: int | None
            ) -> tuple[float, float]:
    """First and last rate at which the mean accuracy may be `least`: 0 and infinite where the rates show no bound."""
    found = [_segment(log_rates[i:i + 2], curve[i:i + 2], level, n_images) for i in range(max(len(log_rates) - 1, 1))]
    logs, lows, highs = (np.concatenate(part) for part in zip(*found))
    may_be_less, may_be_more = lows < least, highs >= least
    first, last = np.flatnonzero(may_be_less), np.flatnonzero(may_be_more)
    low = 0.0 if may_be_less[0] else 10 ** float(logs[first[0] - 1] if len(first) else logs[-1])
    high = math.inf if may_be_more[-1] else 10 ** float(logs[last[-1] + 1] if len(last) else logs[0])
    return low, high


def _segment(log_rates: np.ndarray, curve: np.ndarray, level: float, n_images: int | None
             ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points from one rate to the next, and limits of the mean accuracy there, of the chips that ran at both."""
    chips = curve[:, ~np.isnan(curve).any(axis=0)]
    share = np.linspace(0, 1, POINTS + 1 if len(log_rates) > 1 else 1)[:, None]
    logs = (1 - share[:, 0]) * log_rates[0] + share[:, 0] * log_rates[-1]
    if chips.shape[1] < 2:
        return logs, np.zeros(len(logs)), np.ones(len(logs))
    at = (1 - share) * chips[0] + share * chips[-1]
    return logs, *limits_of_mean(at, n_images, level)


def _isotonic(curves: np.ndarray) -> np.ndarray:
    """Nondecreasing least-squares fits to curves (B, R): greatest over starts of the least mean over ends."""
    sums = np.pad(np.cumsum(curves, axis=1), ((0, 0), (1, 0)))
    fit = np.full(curves.shape, -np.inf)
    for start in range(curves.shape[1]):
        means = (sums[:, start + 1:] - sums[:, start, None]) / np.arange(1, curves.shape[1] - start + 1)
        least = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]         # over all ends from here on
        np.maximum(fit[:, start:], least, out=fit[:, start:])
    return fit


def _crossings(drops: np.ndarray, log_rates: np.ndarray, drop: float) -> np.ndarray:
    """Where fits to drops (B, R) are last <= drop: log10(rate) (B,), -inf below and inf above all rates."""
    fit = _isotonic(drops)
    tolerable = (fit <= drop + SLACK).sum(axis=1)                              # rates, from the smallest
    crossing = np.where(tolerable == 0, -np.inf, np.inf)
    inside = np.flatnonzero((tolerable > 0) & (tolerable < len(log_rates)))
    before = tolerable[inside] - 1
    low, high = fit[inside, before], fit[inside, before + 1]
    share = np.clip((drop - low) / (high - low), 0, 1)
    crossing[inside] = log_rates[before] + share * (log_rates[before + 1] - log_rates[before])
    return crossing


def _check_curves(rates: npt.ArrayLike, accuracies: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Positive ascending rates (R,) and their accuracies (R, T), at least one chip a rate."""
    rates = np.array([check_probability(f"rates[{i}]", rate) for i, rate in enumerate(np.asarray(rates, object))])
    accuracies = check_accuracies("accuracies", accuracies, 2)
    if len(accuracies) != len(rates):
        raise ValueError(f"accuracies must have shape ({len(rates)} rates, chips), got {accuracies.shape}")
    if (np.diff(rates) <= 0).any():
        raise ValueError(f"rates must be ascending, got {rates.tolist()}")
    rates, accuracies = rates[rates > 0], accuracies[rates > 0]
    if len(rates) == 0:
        raise ValueError("rates must have at least one above 0, got none")
    empty = np.flatnonzero(np.isnan(accuracies).all(axis=1))
    if len(empty):
        raise ValueError(f"accuracies must have a chip that ran at each rate, got none at {rates[empty[0]]}")
    return rates, accuracies
