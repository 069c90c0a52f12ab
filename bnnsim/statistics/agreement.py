"""How far the mean of all chips may lie from that of a few which agree.

Chips that give the same count of right answers show no spread, and Student's t then is sure of their mean; but at low
bit error rates most chips change no answer, and that a few of them agree is chance. What they have in common, however
many answers, says nothing of how they differ.

T chips.
"""

import math

import numpy as np

FEWEST_DF = 4               # degrees of freedom are not taken below this, where there are as many
CLUMPED = 4.0               # variance of moves over their number, of chips of twice the spread of independent moves
WEIGHT = 2.0                # of the belief in that where counts do not show it, in squared moves
UNCERTAIN = 0.1             # of phi^3 / (T v): what the variance of few moves lacks in degrees of freedom
UNSEEN = 3.0                # clumps of moves that may be missing among those of all T chips, or be too many
UNSEEN_OF_IMAGES = 2.0      # the same, of independent images: z^2 / 2, as in Wilson's interval
MOST_UNSEEN = 7.0           # moves: where CLUMPED ones are so many in sum on average, none is seen with a chance of 4 %


def reach_of_mean(counts: np.ndarray, level: float, unseen: float = UNSEEN) -> tuple[np.ndarray, np.ndarray]:
    """How far below and above the mean of T counts that over all chips may lie [D, constants by simulation].

    A count is B + X: an unknown part B that all chips have in common, and few moves X away from it, up or down. With v
    the variance of counts and S their summed distance from their median, phi = T v / S, in [1, 4], is the size of a
    clump of moves. Their mean reaches sqrt(t^2 v / T + (u phi / T)^2) to both sides, and to the side of the moves
    (their sum over S + 1) u phi / T more, to the other as much less: Student's t where moves are many, u clumps where
    they are too few to show a spread. Degrees of freedom: 1 / (1 / (T - 1) + 0.1 phi^3 / (T v)), since the variance of
    few moves is uncertain. It is to be joined with Student's interval, or Wilson's: by itself it says too little of the
    side from which chips moved.

    Coverage of means, 2 to 50 chips, 0.001 to 500 moves a chip: tests/statistics/test_agreement.py.

    Parameters
    ----------
    counts : float64 (..., T)
        In units of one answer; differences of counts, too.
    level : float
    unseen : float
        u; `UNSEEN_OF_IMAGES` for values of images, which are drawn independently.

    Returns
    -------
    below, above : float64 (...), at least 0
    """
    from scipy.special import stdtrit

    n_chips = counts.shape[-1]
    moves = counts - np.median(counts, axis=-1, keepdims=True)
    distance, variance = np.abs(moves).sum(axis=-1), counts.var(axis=-1, ddof=1)
    moved = np.where(distance > 0, distance, 1)
    weight = WEIGHT / (WEIGHT + distance**2)
    phi = (1 - weight) * np.clip(n_chips * variance / moved, 1, CLUMPED) + weight * CLUMPED
    df = 1 / (1 / (n_chips - 1) + UNCERTAIN * phi**3 / np.maximum(n_chips * variance, 0.5))
    df = np.maximum(df, min(n_chips - 1, FEWEST_DF))
    extra = np.minimum(unseen * phi, MOST_UNSEEN) / n_chips * (math.log(1 - level) / math.log(0.05))
    half = np.sqrt(stdtrit(df, (1 + level) / 2) ** 2 * variance / n_chips + extra**2)
    shift = moves.sum(axis=-1) / (distance + 1) * extra
    return half - shift, half + shift
