"""The mean over chips of an accuracy, with limits that hold where few answers are wrong, or few differ between chips.

Student's t fails there: counts are skewed and coarse, and chips that agree by chance have no spread at all. Here is
Wilson's score form with t in place of z and the spread that the chips show in place of the binomial's: limits p with
(mean - p)^2 = t^2 phi p (1 - p) / (T N), where phi is the chips' variance over that of N independent answers. Far from
0 and 1 it is Student's interval. Where chips differ by less than independent wrong answers would, they have some in
common, and what chips that agree leave open is joined with it: `bnnsim.statistics.agreement`.

T chips, N images, S wrong (or right) answers of all chips, whichever are fewer.
"""

import numpy as np

from bnnsim.statistics.agreement import reach_of_mean

FEWEST_DF = 3                       # degrees of freedom are not taken below this, where there are as many
CLUMPED = 4.0                       # phi of chips of twice the binomial's spread: believed where counts do not show it
WEIGHT = 0.1                        # of that belief, in squared answers
NONE_WRONG = 6.2                    # S = 0: so many wrong answers are still likely (chance 5 to 6 %) with phi = 4
EQUAL_PAIR = 0.005                  # variance of two chips' counts, added: they are equal too often by chance
TOO_ALIKE = 0.03                    # chance that independent wrong answers show no more spread


def limits_of_mean(accuracies: np.ndarray, n_images: int | None, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits of the mean accuracy over all chips on these images [D, constants by simulation].

    Degrees of freedom: 1 / (1 / (T - 1) + phi^2 / (4 S)), since the variance of few counts is itself uncertain, its
    excess kurtosis about phi^2 / mean count. Coverage over chips with binomial counts and with twice their spread
    (gamma-Poisson), 2 to 50 chips, 0.01 to 500 wrong answers a chip: tests/statistics/test_mean_of_chips.py. With 100
    or more wrong answers that all chips have in common: test_agreement.py; with 1 to 10 of them, which cannot be told
    from chance, it can be down to 0.91 of 0.95.

    Parameters
    ----------
    accuracies : float64 (..., T)
        Of T >= 2 chips.
    n_images : int, optional
        N. Without it nothing is known of counts: agreeing chips have no width.
    level : float

    Returns
    -------
    low, high : float64 (...), within [0, 1]

    References
    ----------
    E. B. Wilson, JASA 22, 1927; a score interval with an estimated dispersion, as for quasi-likelihood: P. McCullagh
    and J. A. Nelder, "Generalized linear models", 1989, chapter 9.
    """
    from scipy.special import chdtri, stdtrit

    n_chips, means, variances = accuracies.shape[-1], accuracies.mean(axis=-1), accuracies.var(axis=-1, ddof=1)
    spread = means * (1 - means)
    inner = spread > 0
    if n_images is None:
        phi_over_n = np.where(inner, variances / np.where(inner, spread, 1), 0.0)
        df = np.full(means.shape, n_chips - 1.0)
    else:
        few = np.minimum(means, 1 - means) * n_images * n_chips
        extra = EQUAL_PAIR / n_images**2 if n_chips == 2 else 0.0
        phi = np.where(inner, (variances + extra) * n_images / np.where(inner, spread, 1), CLUMPED)
        weight = WEIGHT / (WEIGHT + few**2)
        phi = (1 - weight) * phi + weight * CLUMPED
        df = 1 / (1 / (n_chips - 1) + phi**2 / (4 * np.maximum(few, 0.5)))
        df = np.maximum(df, min(n_chips - 1, FEWEST_DF))
        phi_over_n = phi / n_images
    size = stdtrit(df, (1 + level) / 2) ** 2 * phi_over_n / n_chips       # t^2 / effective number of answers
    centre, half = means + size / 2, np.sqrt(size * spread + (size / 2) ** 2)
    low, high = np.minimum((centre - half) / (1 + size), means), np.maximum((centre + half) / (1 + size), means)
    if n_images is not None:
        width = min(NONE_WRONG / (n_chips * n_images) * np.log(1 - level) / np.log(0.05), 1.0)
        low = np.where(means == 1, 1 - width, low)
        high = np.where(means == 0, width, high)
        least = few / n_chips * chdtri(n_chips - 1, 1 - TOO_ALIKE) / (n_chips - 1)
        alike = inner & (variances * n_images**2 <= least)
        below, above = reach_of_mean(n_images * accuracies, level)
        low = np.where(alike, np.minimum(low, means - below / n_images), low)
        high = np.where(alike, np.maximum(high, means + above / n_images), high)
    return np.clip(low, 0, 1), np.clip(high, 0, 1)
