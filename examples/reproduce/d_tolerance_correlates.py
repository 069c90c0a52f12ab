"""The tolerance T correlates with accuracy over BER for the FCNN and the CIFAR-10 CNN, and not for the Fashion CNN.

    python examples/reproduce/d_tolerance_correlates.py --full

For each seed, over its networks trained at flip rates 0, 0.05, 0.1 and 0.2: Pearson's r of T, as eqs. (2) to (6) have
it, and the mean accuracy over BER 0.05 to 0.2. T correlates where r is above 0.5 [R], and does not where it is below.
The part on CIFAR-10 needs at least as many of its networks, and stays undecided.
"""

import numpy as np
import bnnsim
import bnnsim.metrics as metrics
from bnnsim.figures.style import line_style, new_axes
from networks import run
from study import Study


NAMES = ("standard", "flips 0.05", "flips 0.1", "flips 0.2")


def correlation(x, y):
    """Pearson's r; nan where one of them does not vary."""
    return np.corrcoef(x, y)[0, 1] if np.ptp(x) > 0 and np.ptp(y) > 0 else np.nan


def main():
    study = Study("d", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, section V [V]")
    figure, axes = new_axes()
    for i, (architecture, wanted) in enumerate((("FCNN", ">"), ("CNN", "<"))):
        curves = {name: study.curves(architecture, name) for name in NAMES}
        accuracy = np.array([found[:, np.array(study.size.rates) >= 0.05].mean(axis=1) for found in curves.values()])
        found = [[metrics.bit_error_tolerance(bnnsim.pack(study.model(architecture, name, seed)), study.test.images)
                  for seed in study.seeds(architecture)] for name in NAMES]
        paper = np.array([[one.paper for one in row] for row in found])
        study.check(architecture, "r of T and the accuracy over BER",
                    [correlation(*pair) for pair in zip(paper.T, accuracy.T)], wanted, 0.5)
        for name, row, values in zip(NAMES, found, paper):
            exact = np.mean([one.network for one in row])
            study.notes.append(f"{architecture}, {name}: mean T {values.mean():.2f}, of the exact form {exact:.2f}.")
        axes.plot(paper.T.ravel(), accuracy.T.ravel(), **{**line_style(i), "linestyle": ""}, label=architecture)
    study.leave_open("CIFAR-10 CNN", "r of T and the accuracy over BER", "needs several trained networks")
    axes.set_xlabel("T, mean over hidden neurons and images (flips)")
    axes.set_ylabel("test accuracy (%), mean over BER 0.05 to 0.2")
    axes.set_title("one point a network: trained at flip rates 0, 0.05, 0.1 and 0.2", fontsize=9)
    figure.legend(loc="outside lower center", fontsize=9, frameon=False, ncols=2)
    study.finish(figure)


if __name__ == "__main__":
    run(main)
