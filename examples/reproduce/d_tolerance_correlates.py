"""The tolerance T correlates with accuracy over BER for the FCNN and the CIFAR-10 CNN, and not for the Fashion CNN.

    python examples/reproduce/d_tolerance_correlates.py --full

Criterion. Over the networks of one architecture and input code, of different rates, losses, widths and lengths of
training, Spearman's rank correlation of T, eqs. (2) to (6), and the mean accuracy over BER 0.05 to 0.2. It correlates
where the correlation is above 0.5 [R] by Fisher's z, and does not where it is below. At least 12 networks: two random
increasing sequences of four have a correlation of 1, so an order of flip rates alone proves nothing. That is why the
same is asked within arms: networks of one arm and length, each less its arm's mean, where the order of rates is gone;
noted, since the paper does not ask it. "CNNs are more brittle ... this difference is also reflected in the T values":
T of the CNN below the FCNN's, at one arm and code. The CIFAR-10 part needs as many networks, and stays open.
"""

import math

import numpy as np
from networks import Row, run
from plan import STAGES
from scipy.stats import spearmanr
from study import Study, curves

from bnnsim.figures.style import LEGEND, line_style, new_axes

LEAST = 12


def fisher(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    """(z, its standard error, degrees of freedom) of Spearman's correlation, error sqrt(1.06 / (n - 3))."""
    rank = float(np.clip(spearmanr(x, y).statistic, -0.999, 0.999))
    return math.atanh(rank), math.sqrt(1.06 / (len(x) - 3)), len(x) - 2


def networks_of(study: Study, net: str, code: int) -> list[Row]:
    """All rows of an architecture, of any width, at an input code."""
    arms = dict.fromkeys((recipe.net, recipe.arm) for stage in STAGES for recipe in stage.recipes
                         if recipe.net == net or recipe.net.startswith(f"{net} "))
    found = {(row["name"], row["seed"]): row for which, arm in arms for _, group in study.groups(which, arm)
             for rows in group.values() for row in rows if row["code"] == code}
    return list(found.values())


def high(row: Row) -> float:
    """Mean accuracy over BER 0.05 to 0.2, percent."""
    return float(curves([row])[0, np.array(row["rates"]) >= 0.05].mean())


def main() -> None:
    study = Study("d", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, section V [V]")
    figure, axes = new_axes()
    found: dict[tuple[str, int], list[Row]] = {}
    for i, (net, wanted) in enumerate((("FCNN", ">"), ("CNN", "<"))):
        for k, code in enumerate((0, 128)):
            rows, setting = networks_of(study, net, code), f"{net}, code {code}"
            found[net, code] = rows
            if len(rows) < LEAST:
                study.leave_open("all networks", setting, "z of the rank correlation of T and the accuracy over BER",
                                 f"{len(rows)} of at least {LEAST} networks")
                continue
            tolerance, accuracy = np.array([[row["T"]["paper"], high(row)] for row in rows]).T
            study.check_estimate("all networks", setting, "z of the rank correlation of T and the accuracy over BER",
                                 fisher(tolerance, accuracy), wanted, math.atanh(0.5), f"{len(rows)} networks")
            kinds = [row["name"] for row in rows]
            inner = np.array([[t - np.mean(tolerance[[kind == k for k in kinds]]),
                               a - np.mean(accuracy[[kind == k for k in kinds]])]
                              for t, a, kind in zip(tolerance, accuracy, kinds) if kinds.count(kind) > 1])
            within = "too few networks"
            if len(inner) > 4:
                within = f"{spearmanr(*inner.T).statistic:.2f} ({len(inner)} networks)"
            study.notes.append(f"{setting}: rank correlation {math.tanh(fisher(tolerance, accuracy)[0]):.2f} over all "
                               f"{len(rows)} networks; within arms {within}.")
            axes.plot(tolerance, accuracy, **{**line_style(2 * i + k), "linestyle": ""}, label=setting)
    for arm in ("standard", "flips 0.1"):
        for code in (0, 128):
            pairs = [[row["T"]["paper"] for row in found[net, code] if row["arm"] == arm] for net in ("CNN", "FCNN")]
            if all(pairs):
                n = min(map(len, pairs))
                study.check(arm, f"CNN and FCNN, code {code}", "T, CNN less FCNN",
                            np.subtract(pairs[0][:n], pairs[1][:n]), "<", 0)
    study.leave_open("CIFAR-10 CNN", "CIFAR-10 CNN", "z of the rank correlation of T and the accuracy over BER",
                     f"needs at least {LEAST} trained networks")
    axes.set_xlabel("T, mean over hidden neurons and images (flips)")
    axes.set_ylabel("test accuracy (%), mean over BER 0.05 to 0.2")
    axes.set_title("one point a network: rates, losses, widths and lengths of training differ", fontsize=9)
    figure.legend(**LEGEND, ncols=2)
    study.finish(figure)


if __name__ == "__main__":
    run(main)
