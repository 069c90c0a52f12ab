"""The tolerance T correlates with accuracy over BER for the FCNN and the CIFAR-10 CNN, and not for the Fashion CNN.

    python examples/reproduce/d_tolerance_correlates.py --full

Criterion. Spearman's rank correlation of T, eqs. (2) to (6), and the mean accuracy over BER 0.05 to 0.2, over trainings
of one architecture and input code: a training is the mean of its seeds, which are no trainings of their own. The paper
says it of networks "trained with our flip-regularization": standard, flips and native, of several rates and lengths; a
setting of its own asks the same of all kinds, other losses, widths and the direct regulariser among them. At least 12
trainings. T and accuracy may both rise with the rate of training, from the standard network on: by that order alone,
increasing sequences as these are, drawn at random, have the correlation that the notes tell. It correlates where
Fisher's z is above that of 0.5 [R], and of what order alone gives; it does not where z is below 0.5's. Noted is what is
left within trainings, where the order is gone: seeds less their mean. "CNNs are more brittle ... this difference is
also reflected in the T values": T of the CNN is below that of the FCNN with which the plan compares it. The CIFAR-10
part would need as many trainings, of hours each.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from networks import Row, run
from plan import CODES, STAGES, Recipe
from scipy.stats import spearmanr
from study import NOT_TRAINED, Study, curves

from bnnsim.figures.style import COLOURS, LEGEND, new_axes

LEAST, WHAT = 12, "z of the rank correlation of T and the accuracy over BER"
KINDS = ("standard", "flips", "native", "MHL", "scaled MHL", "regulariser")
POPULATIONS = {"flip training": KINDS[:3], "all kinds": KINDS}


def kind(row: Row) -> str:
    """Of an arm: its words without numbers."""
    return " ".join(word for word in row["arm"].split() if word[0].isalpha())


def trainings_of(study: Study, net: str, code: int) -> list[list[Row]]:
    """Rows of an architecture, of any width, at an input code, by training."""
    arms = dict.fromkeys((recipe.net, recipe.arm) for recipe in planned(net, code))
    return [rows for which, arm in arms for _, group in study.groups(which, arm) for rows in group.values()
            if rows[0]["code"] == code]


def planned(net: str, code: int, kinds: Sequence[str] = KINDS) -> list[Recipe]:
    """Trainings of the plan, of any width."""
    return [recipe for stage in STAGES for recipe in stage.recipes
            if (recipe.net == net or recipe.net.startswith(f"{net} ")) and recipe.code == code
            and kind(asdict(recipe)) in kinds]


def high(rows: Sequence[Row]) -> np.ndarray:
    """Mean accuracy over BER 0.05 to 0.2, percent, by seed."""
    return curves(rows)[:, np.array(rows[0]["rates"]) >= 0.05].mean(axis=1)


def tolerance(rows: Sequence[Row]) -> np.ndarray:
    """T by seed."""
    return np.array([row["T"]["paper"] for row in rows])


def fisher(x: np.ndarray, y: np.ndarray, n: int) -> tuple[float, float, float]:
    """(z, its standard error sqrt(1.06 / (n - 3)), degrees of freedom) of Spearman's correlation of n."""
    rank = float(np.clip(spearmanr(x, y).statistic, -0.999, 0.999))
    return math.atanh(rank), math.sqrt(1.06 / (n - 3)), n - 2


def of_order(trainings: Sequence[Sequence[Row]], draws: int = 2000) -> float:
    """Mean rank correlation of random numbers that increase with the rate of flips, and of native, from standard on."""
    found = [(kind(rows[0]), tuple(rows[0][key] for key in ("net", "epochs", "schedule", "clip", "scale")))
             for rows in trainings]
    standard = [factors for words, factors in found if words == "standard"]
    increasing, rng = Counter(one for one in found if one[0] in ("flips", "native")), np.random.default_rng(0)
    n_alone = len(found) - len(standard) - increasing.total()

    def drawn() -> np.ndarray:
        start = {factors: rng.random() for factors in standard}
        return np.concatenate([[*start.values()], rng.random(n_alone), *(
            1 - (1 - start.get(factors, 0.0)) * np.sort(rng.random(n))[::-1]
            for (_, factors), n in increasing.items())])
    ranks = np.array([(drawn(), drawn()) for _ in range(draws)]).argsort(-1).argsort(-1)      # without ties: Spearman's
    return float(np.mean(1 - 6 * ((ranks[:, 0] - ranks[:, 1]) ** 2).sum(-1) / (len(found) ** 3 - len(found))))


def within(trainings: Sequence[Sequence[Row]]) -> str:
    """The correlation of seeds less the mean of their training."""
    several = [rows for rows in trainings if len(rows) > 1]
    n = sum(len(rows) - 1 for rows in several) + 1
    if n < 5:
        return "too few seeds"
    x, y = (np.concatenate([of(rows) - of(rows).mean() for rows in several]) for of in (tolerance, high))
    z, error, _ = fisher(x, y, n)
    return (f"{math.tanh(z):.2f} ({math.tanh(z - 1.96 * error):.2f} to {math.tanh(z + 1.96 * error):.2f} at 95 %, "
            f"{len(x)} seeds of {len(several)} trainings)")


def main() -> None:
    study = Study("d", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, sections V and VII [V]")
    figure, axes = new_axes()
    for net, wanted, codes in (("FCNN", ">", CODES), ("CNN", "<", CODES), ("CIFAR-10 CNN", ">", CODES[1:])):
        for code in codes:
            every = trainings_of(study, net, code)
            for words, kinds in POPULATIONS.items():
                rows = [rows for rows in every if kind(rows[0]) in kinds]
                setting = f"{net}, code {code}, {words}"
                if len(rows) < LEAST:
                    n, few = len(planned(net, code, kinds)), f"{len(rows)} of at least {LEAST} trainings"
                    never = f"the plan has {n} of the {LEAST} trainings that it takes"
                    why = {"why_open": few} if n >= LEAST else {"why_undecided": never}
                    study.leave(words, setting, WHAT, wanted, math.atanh(0.5), **why)
                    continue
                x, y = (np.array([of(one).mean() for one in rows]) for of in (tolerance, high))
                z, order = fisher(x, y, len(rows)), of_order(rows)
                study.ask_estimate(words, setting, WHAT, z, wanted, math.atanh(max(0.5, order if net == "FCNN" else 0)),
                                   f"{len(rows)} trainings")
                study.notes.append(f"{setting}: rank correlation {math.tanh(z[0]):.2f} over {len(rows)} trainings; "
                                   f"order alone {order:.2f}; within trainings {within(rows)}.")
            for i, one in enumerate(KINDS if net == "FCNN" else ()):
                rows = [rows for rows in every if kind(rows[0]) == one]
                axes.plot([tolerance(one).mean() for one in rows], [high(one).mean() for one in rows], "os^vDP"[i],
                          color=COLOURS[i], fillstyle="none" if code else "full", label=None if code else one)
    for arm in ("standard", "flips 0.1"):
        for setting, fcnn, cnn in study.pairs(arm):
            asked = arm, setting, "T, CNN less FCNN"
            if fcnn:
                study.ask_difference(*asked, tolerance(cnn[arm]), tolerance(fcnn[arm]), "<", 0)
            else:
                study.leave(*asked, "<", 0, why_open=NOT_TRAINED)
    axes.set_xlabel("T, mean over hidden neurons and images (flips)")
    axes.set_ylabel("test accuracy (%), mean over BER 0.05 to 0.2")
    axes.set_title("FCNN, one point a training; filled: code 0, open: code 128", fontsize=9)
    figure.legend(**LEGEND, ncols=3)
    study.finish(figure)


if __name__ == "__main__":
    run(main)
