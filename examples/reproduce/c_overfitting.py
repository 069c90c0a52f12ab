"""Native gradients, which see the mask, overfit the error rate of training; straight-through gradients do not.

    python examples/reproduce/c_overfitting.py --full

Criterion. "FCNNs overfit to the error rate used in training, which leads to low accuracy under lower error rates": a
network that was trained at BER p is better by more than a tenth of a point [R] at p / 2 than without errors. None that
does not overfit is better with errors than without; a tenth is ten images, no more than chance moves. Native: yes;
straight-through: no; and native by more than straight-through ("adapt less"). A setting has one rate of training. The
notes say what is left where thresholds are rescaled for the rate of use, or batch-norm statistics taken anew at it:
where nothing is left, the thresholds were at fault, not the weights.
"""

import numpy as np
from networks import Row, run
from study import Study, curve_figure, longest, percent

WORDS = {"correct": "as trained", "rescaled": "thresholds rescaled", "reestimated": "batch norm taken anew"}


def overfitting(rows: list[Row], rate: float, what: str = "correct") -> np.ndarray:
    """Points by which the networks are better at half the rate than without errors, by seed and chip."""
    return percent(rows, rate / 2, what) - percent(rows, 0.0, what)


def main() -> None:
    study = Study("c", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, abstract and sections IV and V [V]")
    drawn: list[list[Row]] = []
    for rate in (0.1, 0.2):
        native, straight = f"native {rate:g}", f"flips {rate:g}"
        for length, arms in study.groups("FCNN", native, straight):
            setting, what = f"{length}, trained at {rate:g}", f"points at BER {rate / 2:g} less at 0"
            for arm, wanted in ((native, ">"), (straight, "<")):
                study.ask(arm, setting, what, arms, lambda arms: overfitting(arms[arm], rate), wanted, 0.1)
            study.ask(f"{native} less straight-through", setting, f"{what}, difference", arms, lambda arms:
                      overfitting(arms[native], rate) - overfitting(arms[straight], rate), ">", 0)
            for arm, rows in arms.items():
                told = [f"{words} {overfitting(rows, rate, what).mean():.2f} points, "
                        f"{percent(rows, 0.0, what).mean():.2f} % without errors" for what, words in WORDS.items()]
                study.notes.append(f"{setting}, {arm}, at BER {rate / 2:g} less at 0: {'; '.join(told)}.")
            drawn += arms.values()
    study.finish(curve_figure(longest(drawn)))


if __name__ == "__main__":
    run(main)
