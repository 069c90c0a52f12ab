"""T correlates with accuracy over BER for the FCNN and the CIFAR-10 CNN, not for the Fashion CNN; CNNs have less of it.

    python examples/reproduce/d_tolerance_correlates.py --full

Criterion. Spearman's rank correlation of T, eqs. (2) to (6), of which (2) and (6) are [R], and the mean accuracy over
BER 0.05 to 0.2, over trainings of one architecture and input code: a training is the mean of its seeds, which are no
trainings of their own. The paper says it of networks "trained with our flip-regularization", straight-through, of
several rates and one length. Here are lengths, widths and initial weights beside, to have 12 trainings, and the notes
tell the order at each length; settings of their own ask the same with native gradients as well, and of all kinds, other
losses and the direct regulariser among them, which the paper does not claim. T and accuracy may both rise with the rate
of training, from the standard network on: by that order alone, increasing sequences as these are, drawn at random, have
the correlation that the notes tell. It correlates where Fisher's z is above that of 0.5 [R], and above what order alone
gives in the mean, by an error that is the larger one of Fisher's and of the spread of z by order alone; it does not
where z is below 0.5's. Noted is what is left within lengths and widths (trainings less the mean of those of their
length, initial weights and width), and within trainings, where the order is gone: seeds less their mean. "CNNs are more
brittle ... this difference is also reflected in the" values of T (the stored text has lost the letter): T, the mean
over neurons, of the CNN is below that of the FCNN with which the plan compares it; notes tell T by layer, on whose
weights the sign hangs. The CIFAR-10 part would need as many trainings, of hours each.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict

from correlations import (at_each_length, between, by_layer, distinct, fisher, high, kind, layers, of_both, of_order,
                          tolerance, within)
from networks import Row, run
from plan import CODES, STAGES, Recipe
from study import NOT_TRAINED, Study, label

from bnnsim.figures.style import COLOURS, LEGEND, new_axes

LEAST, WHAT = 12, "z of the rank correlation of T and the accuracy over BER"
KINDS = ("standard", "flips", "native", "MHL", "scaled MHL", "regulariser")
POPULATIONS = {"flip training": KINDS[:2], "both gradients": KINDS[:3], "all kinds": KINDS}


def trainings_of(study: Study, net: str, code: int) -> list[list[Row]]:
    """Rows of an architecture, of any width, at an input code, by training."""
    arms = dict.fromkeys((recipe.net, recipe.arm) for recipe in planned(net, code))
    return distinct([rows for which, arm in arms for _, group in study.groups(which, arm) for rows in group.values()
                     if rows[0]["code"] == code])


def planned(net: str, code: int, kinds: Sequence[str] = KINDS) -> list[Recipe]:
    """Trainings of the plan, of any width."""
    return [recipe for stage in STAGES for recipe in stage.recipes
            if (recipe.net == net or recipe.net.startswith(f"{net} ")) and recipe.code == code
            and kind(asdict(recipe)) in kinds]


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
                (z, error, df), (order, most, spread) = fisher(*of_both(rows), len(rows)), of_order(rows)
                by_order = (max(0.5, order), max(error, spread)) if net == "FCNN" else (0.5, error)
                study.ask_estimate(words, setting, WHAT, (z, by_order[1], df), wanted, math.atanh(by_order[0]),
                                   f"{len(rows)} trainings")
                study.notes.append(
                    f"{setting}: rank correlation {math.tanh(z):.2f} over {len(rows)} trainings; order alone "
                    f"{order:.2f}, in 5 % of draws more than {most:.2f}; within lengths and widths {between(rows)}; "
                    f"within trainings {within(rows)}; at each length alone {at_each_length(rows)}.")
                rest = [one for one in rows if kind(one[0]) != "regulariser"]
                if LEAST <= len(rest) < len(rows):
                    study.notes.append(f"{setting}: without the regularisers, whose T brings no accuracy by the "
                                       f"paper's own words, {math.tanh(fisher(*of_both(rest), len(rest))[0]):.2f}.")
            study.tables += [[[f"{net}, code {code}", "seeds", "T", "T by layer", "accuracy, BER 0.05 to 0.2"], *(
                [label(one[0]), str(len(one)), f"{tolerance(one).mean():.1f}", by_layer(one), f"{high(one).mean():.1f}"]
                for one in every)]] * bool(every)
            for i, one in enumerate(KINDS if net == "FCNN" else ()):
                rows = [rows for rows in every if kind(rows[0]) == one]
                axes.plot([tolerance(one).mean() for one in rows], [high(one).mean() for one in rows], "os^vDP"[i],
                          color=COLOURS[i], fillstyle="none" if code else "full", label=None if code else one)
    for arm in ("standard", "flips 0.1"):
        for setting, fcnn, cnn in study.pairs(arm):
            asked = arm, setting, "T, CNN less FCNN"
            if fcnn:
                study.ask_difference(*asked, tolerance(cnn[arm]), tolerance(fcnn[arm]), "<", 0)
                study.notes.append(f"{setting}, {arm}: T by layer {by_layer(cnn[arm])} of the CNN, whose dense layers "
                                   f"have most of its neurons, and {by_layer(fcnn[arm])} of the FCNN; of layers that "
                                   f"weigh alike the means are {layers(cnn[arm]).mean():.1f} and "
                                   f"{layers(fcnn[arm]).mean():.1f}.")
            else:
                study.leave(*asked, "<", 0, why_open=NOT_TRAINED)
    axes.set_xlabel("T, mean over hidden neurons and images (flips)")
    axes.set_ylabel("test accuracy (%), mean over BER 0.05 to 0.2")
    axes.set_title("FCNN, one point a training; filled: code 0, open: code 128", fontsize=9)
    figure.legend(**LEGEND, ncols=3)
    study.finish(figure)


if __name__ == "__main__":
    run(main)
