"""Flip training raises the margins of neurons and lowers the variance of their importance.

    python examples/reproduce/g_margins_importance.py --full

Margins: the mean over hidden layers of m / (2 fan-in). Importance by `ablate` (accuracy lost where a neuron's output is
inverted) over all hidden neurons, and by `readout` of the last hidden layer; flip-trained at 0.1 over standard.
"""

import numpy as np
from bnnsim.figure_parts import COLOURS, new_axes
from study import Study

import bnnsim
from bnnsim import metrics


def main():
    study = Study("g", __doc__, "Buschjaeger et al. 2021, arXiv:2102.01344, abstract [V]; scores and norm [R]")
    figure, axes = new_axes()
    for i, architecture in enumerate(("FCNN", "CNN")):
        ratios = []
        for seed in study.seeds(architecture):
            pair = [bnnsim.pack(study.model(architecture, name, seed)) for name in ("standard", "flips 0.1")]
            found = []
            for network in pair:
                margin = [layer.relative for layer in metrics.margins(network, study.test.images).layers]
                found.append([np.mean(margin), *(metrics.importance(network, study.test, method).variance
                                                 for method in ("ablate", "readout"))])
            ratios.append(np.array(found[1]) / found[0])
        margin, ablate, readout = np.array(ratios).T
        study.check(architecture, "margin, flip-trained over standard", margin, ">", 1)
        study.check(architecture, "variance of importance (ablate), flip-trained over standard", ablate, "<", 1)
        study.check(architecture, "variance of importance (readout), flip-trained over standard", readout, "<", 1)
        for place, values in enumerate((margin, ablate, readout)):
            axes.plot(np.full(len(values), place + (i - 0.5) / 5), values, "os"[i], color=COLOURS[i],
                      label=architecture if place == 0 else None)
    axes.axhline(1, color="0.4", linewidth=1)
    axes.set_xticks(range(3), ["margin", "variance of importance\n(ablate)", "variance of importance\n(readout)"])
    axes.set_ylabel("flip-trained at 0.1, over standard")
    axes.set_title("one point a seed", fontsize=9)
    figure.legend(loc="outside lower center", fontsize=9, frameon=False, ncols=2)
    study.finish(figure)


if __name__ == "__main__":
    main()
