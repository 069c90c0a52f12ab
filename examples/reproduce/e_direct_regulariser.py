"""The direct regulariser raises T, and lowers accuracy at every error rate.

    python examples/reproduce/e_direct_regulariser.py --full

Criterion. "It effectively increases T": T over the standard network's is above 1. "Decreases accuracy at any error
rate": the mean over all rates of this study is lower than the standard network's; "we never obtain higher accuracies at
any error rate": so is the rate at which the regularised network compares best. lambda and T* are lost; here are a
strong and a weak pair [R], the same for all seeds.
"""

import numpy as np
from networks import Row, run
from study import Study, curve_figure, curves

NAMES = ("regulariser 1 16", "regulariser 0.1 64")


def main() -> None:
    study = Study("e", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, sections IV-A and V [V]")
    drawn: dict[str, list[Row]] = {}
    for name in NAMES:
        for setting, arms in study.groups("FCNN", "standard", name):
            if not arms:
                study.leave_open(name, setting, "T over the standard network's")
                continue
            tolerance = {arm: np.array([row["T"]["paper"] for row in rows]) for arm, rows in arms.items()}
            change = curves(arms[name]) - curves(arms["standard"])
            study.check(name, setting, "T over the standard network's", tolerance[name] / tolerance["standard"], ">", 1)
            study.check(name, setting, "points less than standard, mean over all rates", change.mean(axis=1), "<", 0)
            best = int(change.mean(axis=0).argmax())
            study.check(name, setting, "points less than standard, at the rate that is best for it",
                        change[:, best], "<", 0)
            study.notes.append(f"{setting}, {name}: T {tolerance[name].mean():.1f} (standard "
                               f"{tolerance['standard'].mean():.1f}); best at BER {arms[name][0]['rates'][best]:g}.")
            drawn |= {f"FCNN, {arm}": rows for arm, rows in arms.items()}
    study.finish(curve_figure(study, drawn))


if __name__ == "__main__":
    run(main)
