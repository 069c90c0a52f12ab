"""How sure a result is: the interval of each mean, the tolerated bit error rate, the difference of two series.

Each takes what `bnnsim.statistics` wants to know out of a `SweepResult`; its methods say what comes out.

S series, R rates, T trials ("chips"), N images.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bnnsim.checks import check_labels
from bnnsim.faults import parse_fault
from bnnsim.faults.axis import is_probability
from bnnsim.faults.protocol import is_clean_at_zero
from bnnsim.statistics import (Difference, Tolerated, mean_interval, paired_difference, population_difference,
                               population_interval, stein_interval, tolerated)

if TYPE_CHECKING:
    from bnnsim.campaign.result import SweepResult


def intervals_of_means(result: "SweepResult", level: float, of: str) -> np.ndarray:
    """(low, high) of each mean, float64 (S, R, 2)."""
    if of not in ("chips", "population"):
        raise ValueError(f"of must be 'chips' or 'population', got {of!r}")
    accuracy = result.accuracy
    return np.array([[_interval(result, s, r, accuracy[s, r], level, of) for r in range(len(result.rates))]
                     for s in range(len(result.names))])


def _interval(result: "SweepResult", s: int, r: int, trials: np.ndarray, level: float, of: str) -> tuple[float, float]:
    rule = result.settings["stopping"]
    n_images = result.settings["series"][s]["n_images"]
    if is_clean(result, s, r):
        if of == "chips":
            return float(trials[0]), float(trials[0])
        trials = trials[:1].repeat(2)
    if of == "population":
        found = population_interval(trials, n_images, level)
    elif rule is None:
        found = mean_interval(trials, level, n_images)
    else:
        found = stein_interval(trials[~np.isnan(trials)], rule["pilot"], level, n_images)
    return found.low, found.high


def is_clean(result: "SweepResult", s: int, r: int) -> bool:
    """Chips without errors are all alike: no stored bit is wrong, and what errs elsewhere is not, either.

    One chip alone does not show that: there the fault is asked, where its text can be read.
    """
    right = result.right[s, r, result.ran[s, r]]
    if not is_probability(result.axis) or result.rates[r] != 0 or np.nansum(result.ber[s, r]) != 0:
        return False
    return bool(np.all(right == right[:1])) and \
        (len(right) > 1 or _may_be_clean(result.settings["series"][s]["fault"]))


def _may_be_clean(text: str) -> bool:
    """Whether a fault at rate 0 may leave all as it is; a fault of the user's own may."""
    try:
        return is_clean_at_zero(parse_fault(text))
    except (ValueError, TypeError):
        return True


def clean_accuracy(result: "SweepResult", s: int, what: str) -> float:
    """The accuracy of series number s without errors, which `what` needs to know."""
    clean = np.flatnonzero(result.rates == 0)
    if not is_probability(result.axis) or not len(clean) or not result.ran[s, clean[0], 0]:
        raise ValueError(f"{what} needs rate 0 among the rates, of an axis of probabilities, to know the clean "
                         f"accuracy: got {result.rates.tolist()} of the axis {result.axis!r} (of bnnsim.sweep_card's "
                         "results, CardSweep.tolerated and CardSweep.yields know more)")
    if not is_clean(result, s, int(clean[0])):
        raise ValueError(f"{what} needs a memory without errors at rate 0, but there bits read wrong, or chips differ: "
                         "a part of the fault that `at` does not move errs all the same")
    return float(result.accuracy[s, clean[0], 0])


def tolerated_rate(result: "SweepResult", s: int, drop: float, level: float) -> Tolerated:
    """The largest rate, on the result's axis, at which series number s loses at most `drop`."""
    if not is_probability(result.axis):
        raise ValueError("tolerated needs probabilities, of which 0 is a memory without errors, but these rates are of "
                         f"the axis {result.axis!r} (of bnnsim.sweep_card's results, CardSweep.tolerated knows more)")
    clean, positive = clean_accuracy(result, s, "tolerated"), np.argsort(result.rates)[1:]
    accuracy = result.accuracy[s]
    return tolerated(result.rates[positive], accuracy[positive], clean, drop, level,
                     result.settings["series"][s]["n_images"])._replace(axis=result.axis)


def differences(result: "SweepResult", s: int, t: int, level: float, labels: npt.ArrayLike | None) -> list[Difference]:
    """Series number s minus t at each rate, over chips; with labels over chips and images."""
    first, second = result.settings["series"][s], result.settings["series"][t]
    if first["split_sha256"] != second["split_sha256"]:
        raise ValueError(f"{first['name']!r} and {second['name']!r} must be of the same images to be compared")
    if labels is None:
        clean = [is_clean(result, s, r) and is_clean(result, t, r) for r in range(len(result.rates))]
        return [paired_difference(x, y, level, None if alike else first["n_images"])
                for x, y, alike in zip(result.accuracy[s], result.accuracy[t], clean)]
    if result.predictions is None:
        raise ValueError("labels need stored predictions: sweep(..., predictions=True)")
    n_classes = result.right.shape[3]
    truth, found = check_labels(labels, first["n_images"], n_classes), []
    for a, b, ran, kept in zip(result.predictions[s], result.predictions[t], result.ran[s] & result.ran[t],
                               result.right[s]):
        right_a, right_b = (predicted[ran, :len(truth)] == truth for predicted in (a, b))
        if [np.bincount(truth[hit], minlength=n_classes).tolist() for hit in right_a] != kept[ran].tolist():
            raise ValueError(f"labels must be those of {first['split']}, in its order: with these, the stored "
                             "predictions have another number of right answers")
        found.append(population_difference(right_a, right_b, level))
    return found
