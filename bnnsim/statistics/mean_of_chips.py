"""The mean over chips of an accuracy, with limits that hold where few answers are wrong, or few differ between chips.

Student's t fails there: counts are skewed and coarse, and chips that agree by chance have no spread at all. Here is
Wilson's score form with t in place of z and the spread that the chips show in place of the binomial's: limits p with
(mean - p)^2 = t^2 phi p (1 - p) / (T N), where phi is the chips' variance over that of N independent answers; far from
0 and 1 it is Student's. Joined with it is what chips that agree leave open, `bnnsim.statistics.agreement`.

T chips, N images.
"""

import numpy as np

from bnnsim.statistics.agreement import reach_of_mean


def limits_of_mean(accuracies: np.ndarray, n_images: int | None, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits of the mean accuracy over all chips on these images.

    Coverage over chips whose answers move independently, and with twice that spread (gamma-Poisson), 2 to 50 chips,
    0.001 to 500 moves a chip, with and without wrong answers that all chips have in common:
    tests/statistics/test_mean_of_chips.py, test_agreement.py.

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
    from scipy.special import stdtrit

    n_chips, means, variances = accuracies.shape[-1], accuracies.mean(axis=-1), accuracies.var(axis=-1, ddof=1)
    spread = means * (1 - means)
    inner = spread > 0
    phi_over_n = np.where(inner, variances / np.where(inner, spread, 1), 0.0)
    size = stdtrit(n_chips - 1, (1 + level) / 2) ** 2 * phi_over_n / n_chips        # t^2 / effective number of answers
    centre, half = means + size / 2, np.sqrt(size * spread + (size / 2) ** 2)
    low, high = np.minimum((centre - half) / (1 + size), means), np.maximum((centre + half) / (1 + size), means)
    if n_images is not None:
        below, above = reach_of_mean(n_images * accuracies, level)
        low, high = np.minimum(low, means - below / n_images), np.maximum(high, means + above / n_images)
    return np.clip(low, 0, 1), np.clip(high, 0, 1)
