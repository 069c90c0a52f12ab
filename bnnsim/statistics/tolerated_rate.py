"""The largest bit error rate at which a network still loses no more than a given share of accuracy.

T chips, R rates, B resamples.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_probability
from bnnsim.seeding import RandomSource
from bnnsim.statistics.intervals import check_accuracies, check_level, t_quantile

N_RESAMPLES = 1000
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
    """
    low: float
    high: float
    rate: float
    n: int
    where: str


def tolerated(rates: npt.ArrayLike, accuracies: npt.ArrayLike, clean: float, drop: float = 0.01, level: float = 0.95,
              rng: RandomSource = 0) -> Tolerated:
    """The largest bit error rate whose mean drop in accuracy, over chips on these images, is at most `drop`.

    The mean drop at each rate is made nondecreasing by isotonic regression, is taken as straight over
    log10(rate) between two rates, and read where it crosses `drop`. The interval is a bootstrap over chips,
    drawn as whole curves, since errors at one rate are nested in those of the next. Deviations of a mean
    curve are widened by sqrt(T / (T-1)) t[T-1] / z, so that few normal chips get Student's interval; the
    plain percentile interval of 10 chips, meant to hold 95 %, holds 90 %. What a coarse grid of rates hides
    is not in the interval; nor can few chips show a long tail: 10 chips whose drops spread by 0.65 of their
    mean keep 92-93 %.

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
    rng : None, int, SeedSequence or Generator
        Of the resamples; the default gives the same interval for the same file.

    Returns
    -------
    Tolerated

    References
    ----------
    Robertson, Wright and Dykstra, "Order restricted statistical inference", 1988, chapter 1 (max-min
    formulas); Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13 (percentile
    interval); the widening is of T. Hesterberg, The American Statistician 69, 2015 (expanded percentiles), on
    curves instead of levels.

    Examples
    --------
    >>> chips = [[0.90, 0.91, 0.90], [0.88, 0.90, 0.89], [0.80, 0.83, 0.82]]
    >>> found = tolerated([0.001, 0.01, 0.1], chips, clean=0.91, drop=0.03)
    >>> print(f"{found.rate:.4f} in [{found.low:.4f}, {found.high:.4f}], {found.where}")
    0.0137 in [0.0029, 0.0374], inside
    """
    positive, curve = _check_curves(rates, accuracies)
    clean, drop, level = check_probability("clean", clean), check_probability("drop", drop), check_level(level)
    mean = np.nanmean(curve, axis=1)
    log_rate = float(_crossings(clean - mean[None], np.log10(positive), drop)[0])
    means = _resampled_means(curve, mean, level, np.random.default_rng(rng))
    found = np.sort(_crossings(clean - means, np.log10(positive), drop))
    low, high, least, most = 0.0, math.inf, float(positive[0]), float(positive[-1])
    if len(found) >= N_RESAMPLES / 2:
        tail = math.floor((1 - level) / 2 * (len(found) - 1))
        low, high = min(10 ** float(found[tail]), most), max(10 ** float(found[-1 - tail]), least)
    where = "below" if log_rate == -math.inf else "at least" if log_rate == math.inf else "inside"
    n_chips = int((~np.isnan(curve)).any(axis=0).sum())
    return Tolerated(low, high, min(max(10**log_rate, least), most), n_chips, where)


def _resampled_means(accuracies: np.ndarray, mean: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    """Mean curves (B, R) of chips drawn anew, widened; without those that left a rate without a chip."""
    ran = ~np.isnan(accuracies)
    n = ran.sum(axis=1)
    if n.min() < 2:
        return np.empty((0, len(mean)))
    n_chips = accuracies.shape[1]
    times = rng.multinomial(n_chips, np.full(n_chips, 1 / n_chips), size=N_RESAMPLES)    # a chip is drawn
    counts = times @ ran.T
    times, counts = times[(counts > 0).all(axis=1)], counts[(counts > 0).all(axis=1)]
    deviations = times @ np.where(ran, accuracies, 0).T / counts - mean
    widening = [math.sqrt(k / (k - 1)) * t_quantile(level, k - 1) / t_quantile(level, math.inf) for k in n]
    return mean + deviations * np.array(widening)


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
