"""A standard BNN tolerates a bit error rate of 1e-4, one whose training is adapted to errors 4e-2.

    python examples/reproduce/a_tolerated_rates.py --full --cifar FOLDER

Tolerated is a rate at which the mean over chips loses less than one percent point [R]; at 4e-2 the standard network
must lose more, or adapted training would not be needed. Adapted is flip training at 0.05, native, the paper's own form,
and straight-through.
"""

import numpy as np
from networks import run
from study import Study, curve_figure

POINT = 1.0
ADAPTED = {"FCNN": ("native 0.05", "flips 0.05"), "CNN": ("flips 0.05",), "MLP": ("flips 0.05",),
           "CIFAR-10 CNN": ("flips 0.05",)}


def main() -> None:
    study = Study("a", __doc__, "Hirtzlin et al., AICAS 2019, arXiv:1904.03652, abstract [V]", cifar=True)
    drawn: dict[str, np.ndarray] = {}

    def losses(architecture: str, name: str) -> tuple[np.ndarray, str]:
        """Points lost by seed and rate, and what the rows are; by chip where there is one seed."""
        curves = drawn[f"{architecture}, {name}"] = study.curves(architecture, name)
        if len(curves) == 1:
            curves = study.sweep(architecture, name, 0).T
            return curves[:, :1] - curves, "chips of one seed"
        return curves[:, :1] - curves, "seeds"

    for architecture, names in ADAPTED.items():
        if architecture.startswith("CIFAR") and not study.has_cifar:
            study.leave_open(architecture, "points lost", "no CIFAR-10 was given")
            continue
        standard, what = losses(architecture, "standard")
        for rate, wanted in ((1e-4, "<"), (0.04, ">")):
            study.check(f"{architecture}, standard", f"points lost at BER {rate:g}", standard[:, study.at(rate)],
                        wanted, POINT, what)
        for name in names:
            lost, what = losses(architecture, name)
            study.check(f"{architecture}, {name}", "points lost at BER 0.04", lost[:, study.at(0.04)], "<", POINT, what)
            clean = drawn[f"{architecture}, standard"][:, 0].mean()
            there = drawn[f"{architecture}, {name}"][:, study.at(0.04)].mean()
            study.notes.append(f"{architecture}, {name}: at BER 0.04 {clean - there:.2f} points below the standard "
                               "network without errors.")
    study.finish(curve_figure(study, drawn))


if __name__ == "__main__":
    run(main)
