"""The tolerance T correlates with accuracy over BER for the FCNN and the CIFAR-10 CNN, and not for the Fashion CNN.

    python examples/reproduce/d_tolerance_correlates.py --full --cifar FOLDER

Over networks trained at flip rates 0, 0.05, 0.1 and 0.2, each with all seeds: Pearson's r of T and the mean accuracy
over BER 0.05 to 0.2, with Fisher's interval. T correlates where r is above 0.5, and does not where it is below.
"""

import math

import numpy as np
from bnnsim.figure_parts import legend_below, line_style, new_axes
from study import Study

import bnnsim
from bnnsim import metrics

NAMES = ("standard", "flips 0.05", "flips 0.1", "flips 0.2")


def correlation(x, y):
    """Pearson's r and Fisher's 95 % interval; (r, -1, 1) for fewer than 4 networks."""
    if len(x) < 4:
        return float(np.corrcoef(x, y)[0, 1]) if len(x) > 1 else 0.0, -1.0, 1.0
    r = float(np.corrcoef(x, y)[0, 1])
    z, half = math.atanh(r), 1.96 / math.sqrt(len(x) - 3)
    return r, math.tanh(z - half), math.tanh(z + half)


def main():
    study = Study("d", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, section V [V]")
    rates = np.array(study.size.rates)
    chosen, parts = rates >= 0.05, [("FCNN", NAMES, ">"), ("CNN", NAMES, "<")]
    if study.cifar:
        parts.append(("CIFAR-10 CNN", ("standard", "flips 0.05"), ">"))
    figure, axes = new_axes()
    for i, (architecture, names, wanted) in enumerate(parts):
        tolerance, accuracy = [], []
        for name in names:
            for seed, curve in zip(study.seeds(architecture), study.curves(architecture, name)):
                network = bnnsim.pack(study.model(architecture, name, seed))
                tolerance.append(metrics.bit_error_tolerance(network, study.images(architecture).images).network)
                accuracy.append(curve[chosen].mean())
        r, low, high = correlation(tolerance, accuracy)
        study.note_check(architecture, "r of T and the accuracy over BER", r, low, high, wanted, 0.5,
                         f"{len(tolerance)} networks")
        by_name = np.reshape(tolerance, (len(names), -1)).mean(axis=1)
        means = ", ".join(f"{mean:.2f} ({name})" for mean, name in zip(by_name, names))
        study.notes.append(f"{architecture}: mean T {means}.")
        axes.plot(tolerance, accuracy, **{**line_style(i), "linestyle": ""})
    if not study.cifar:
        study.note_check("CIFAR-10 CNN", "not trained", 0.0, -1.0, 1.0, ">", 0.5, "0 networks")
    axes.set_xlabel("T, mean over hidden neurons and images (flips)")
    axes.set_ylabel("test accuracy (%), mean over BER 0.05 to 0.2")
    axes.set_title("one point a network: trained at flip rates 0 to 0.2", fontsize=9)
    legend_below(figure, [part[0] for part in parts])
    study.finish(figure)


if __name__ == "__main__":
    main()
