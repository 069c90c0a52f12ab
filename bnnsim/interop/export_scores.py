"""The scores of a last layer in integers alone, for code without floating point: factor * h + term, times 2**-exponent.

U units, h a sum. Real numbers are rounded to 62 bits; that no class changes by it is not trusted but checked, over all
sums that the layer can have, ties included.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from bnnsim.packed.stages import Stage

BITS = 62                           # of the largest score
MAX_CHECKED = 2**25                 # sums of all units: a list of them is sorted


@dataclass(frozen=True)
class IntegerScores:
    """factor and term, int64 (U,), and the exponent: (factor * h + term) / 2**exponent is the score."""

    factor: np.ndarray
    term: np.ndarray
    exponent: int


def integer_scores(stage: Stage) -> IntegerScores:
    """Of a last layer; where it has thresholds its sums stand for their signs, which are the scores.

    Raises
    ------
    ValueError
        Where two scores lie so close together that integers would order them otherwise, or tie others.
    """
    if stage.layer.threshold is not None:
        units = stage.layer.units
        return IntegerScores(np.ones(units, np.int64), np.zeros(units, np.int64), 0)
    mean, scale, shift = (list(map(Fraction, part.tolist())) for part in stage.layer.output_affine)
    start = [b - m * a for m, a, b in zip(mean, scale, shift)]
    largest = max(abs(a) * stage.bound + abs(b) + 1 for a, b in zip(scale, start))
    exact = max(value.denominator.bit_length() - 1 for value in (*scale, *start))
    room = BITS - (largest.numerator.bit_length() - largest.denominator.bit_length() + 1)
    exponent = min(exact, room)
    factor = [round(a * Fraction(2) ** exponent) for a in scale]
    term = [round(b * Fraction(2) ** exponent - a * m)          # so that at h = mean all that is left is the shift
            for a, m, b in zip(factor, mean, shift)]
    made = IntegerScores(np.array(factor, np.int64), np.array(term, np.int64), exponent)
    _check_order(stage, made)
    return made


def _check_order(stage: Stage, made: IntegerScores) -> None:
    """All sums that can be: their scores in order, and equal, as in float64."""
    most, step = (stage.bound, 1) if stage.reads_pixels else (int(stage.n_summands.sum()), 2)
    h = np.arange(-most, most + 1, step, dtype=np.int64)
    if len(h) * stage.layer.units > MAX_CHECKED:
        raise ValueError(f"the last layer has {len(h) * stage.layer.units:,} different scores, too many to check that "
                         "integers keep their order")
    mean, scale, shift = stage.layer.output_affine
    real = ((h - mean[:, None]) * scale[:, None] + shift[:, None]).ravel()
    whole = (made.factor[:, None] * h + made.term[:, None]).ravel()
    order = np.argsort(real, kind="stable")
    more, steps = np.diff(real[order]) > 0, np.diff(whole[order])
    if not np.isfinite(real).all() or np.any(steps < 0) or np.any((steps > 0) != more):
        raise ValueError("scores of the last layer lie so close together that 64-bit integers would order some "
                         "otherwise than float64 does: round its mean, scale and shift, to float32 for one")
