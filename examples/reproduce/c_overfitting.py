"""Native gradients, which see the mask, overfit the error rate of training; straight-through gradients do not.

    python examples/reproduce/c_overfitting.py --full

Criterion. "FCNNs overfit to the error rate used in training, which leads to low accuracy under lower error rates": a
network that was trained at BER p is better by more than a tenth of a point [R] at p / 2 than without errors. Native:
yes; straight-through: no; and native by more than straight-through ("adapt less"). The notes say what is left of it
where thresholds are rescaled for the rate of use, or batch-norm statistics taken anew at it: where nothing is left, the
thresholds were at fault, not the weights.
"""

import numpy as np
from networks import Row, run
from study import Study, at, curve_figure, curves, keep_longest

WORDS = {"correct": "as trained", "rescaled": "thresholds rescaled", "reestimated": "batch norm taken anew"}


def overfitting(rows: list[Row], rate: float, what: str = "correct") -> np.ndarray:
    """Points by which the networks are better at half the rate than without errors, by seed."""
    values = curves(rows, what)
    return values[:, at(rows[0], rate / 2)] - values[:, 0]


def main() -> None:
    study = Study("c", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, abstract and sections IV and V [V]")
    drawn: dict[str, list[Row]] = {}
    for rate in (0.1, 0.2):
        native, straight = f"native {rate:g}", f"flips {rate:g}"
        for setting, arms in study.groups("FCNN", native, straight):
            if not arms:
                study.leave_open(f"{native}, {straight}", setting, "points at half the rate less at 0")
                continue
            found = {arm: overfitting(rows, rate) for arm, rows in arms.items()}
            what = f"points at BER {rate / 2:g} less at 0"
            study.check(native, setting, what, found[native], ">", 0.1)
            study.check(straight, setting, what, found[straight], "<", 0.1)
            study.check(f"{native} less straight-through", setting, f"{what}, difference",
                        found[native] - found[straight], ">", 0)
            for arm, rows in arms.items():
                told = [f"{words} {overfitting(rows, rate, what).mean():.2f} points, "
                        f"{curves(rows, what)[:, 0].mean():.2f} % without errors" for what, words in WORDS.items()]
                study.notes.append(f"{setting}, {arm}, at BER {rate / 2:g} less at 0: {'; '.join(told)}.")
                keep_longest(drawn, f"{arm}, code {rows[0]['code']}", rows)
    study.finish(curve_figure(study, {f"{name}, {rows[0]['epochs']} epochs": rows for name, rows in drawn.items()}))


if __name__ == "__main__":
    run(main)
