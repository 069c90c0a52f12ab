"""The tolerance T correlates with accuracy over BER for the FCNN and the CIFAR-10 CNN, and not for the Fashion CNN.

    python examples/reproduce/d_tolerance_correlates.py --full

For each seed, over its networks trained at flip rates 0, 0.05, 0.1 and 0.2: Pearson's r of T, as eqs. (2) to (6) have
it, and the mean accuracy over BER 0.05 to 0.2. T correlates where r is above 0.5 [R], and does not where it is below.
The part on CIFAR-10 needs at least as many of its networks, and stays undecided.
"""

import numpy as np
from networks import run
from study import Study

import bnnsim
import bnnsim.metrics as metrics
from bnnsim.figures.style import LEGEND, line_style, new_axes

NAMES = ("standard", "flips 0.05", "flips 0.1", "flips 0.2")


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r; nan where one of them does not vary."""
    return np.corrcoef(x, y)[0, 1] if np.ptp(x) > 0 and np.ptp(y) > 0 else np.nan


def main() -> None:
    study = Study("d", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, section V [V]")
    figure, axes = new_axes()
    for i, (architecture, wanted) in enumerate((("FCNN", ">"), ("CNN", "<"))):
        curves = {name: study.curves(architecture, name) for name in NAMES}
        high = np.array(study.size.rates) >= 0.05
        accuracy = np.array([by_rate[:, high].mean(axis=1) for by_rate in curves.values()])
        networks = [[bnnsim.pack(study.model(architecture, name, seed)) for seed in study.seeds(architecture)]
                    for name in NAMES]
        tolerances = [[metrics.bit_error_tolerance(network, study.test.images) for network in row] for row in networks]
        paper = np.array([[tolerance.paper for tolerance in row] for row in tolerances])
        study.check(architecture, "r of T and the accuracy over BER",
                    [correlation(*pair) for pair in zip(paper.T, accuracy.T)], wanted, 0.5)
        for name, row, values in zip(NAMES, tolerances, paper):
            exact = np.mean([tolerance.network for tolerance in row])
            study.notes.append(f"{architecture}, {name}: mean T {values.mean():.2f}, of the exact form {exact:.2f}.")
        axes.plot(paper.T.ravel(), accuracy.T.ravel(), **{**line_style(i), "linestyle": ""}, label=architecture)
    study.leave_open("CIFAR-10 CNN", "r of T and the accuracy over BER", "needs several trained networks")
    axes.set_xlabel("T, mean over hidden neurons and images (flips)")
    axes.set_ylabel("test accuracy (%), mean over BER 0.05 to 0.2")
    axes.set_title("one point a network: trained at flip rates 0, 0.05, 0.1 and 0.2", fontsize=9)
    figure.legend(**LEGEND, ncols=2)
    study.finish(figure)


if __name__ == "__main__":
    run(main)
