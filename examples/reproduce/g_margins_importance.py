"""Flip training raises the margins of neurons and lowers the variance of their importance.

    python examples/reproduce/g_margins_importance.py --full

Margins: the mean over hidden layers of m / (2 fan-in). Importance by `ablate` (accuracy lost where a neuron's output is
inverted) in all hidden layers, and by `readout` of the last; its variance within each layer, times the square of the
layer's width, mean over layers [R]: else layers of different widths would make most of it. That by `ablate` is mostly
sampling noise, so the variance without noise is noted, too, with its reliability. Flip-trained at 0.1.
"""

import numpy as np
from networks import run
from study import Study

import bnnsim
import bnnsim.metrics as metrics
from bnnsim.figures.style import COLOURS, LEGEND, new_axes

WHAT = ("margin", "variance of importance (ablate)", "variance of importance (readout)")


def measured(network: bnnsim.PackedNetwork, test: bnnsim.Split) -> np.ndarray:
    """Mean relative margin; the spread of importance by `ablate`, `readout`; both noise-free and their reliability."""
    values, steady = [np.mean([layer.relative for layer in metrics.margins(network, test.images).layers])], []
    for method in ("ablate", "readout"):
        layers = metrics.importance(network, test, method).layers
        values.append(np.mean([layer.variance * len(layer.share) ** 2 for layer in layers]))
        steady += [np.mean([layer.reliability.noise_free_variance * len(layer.share) ** 2 for layer in layers]),
                   np.mean([layer.reliability.whole for layer in layers])]
    return np.array(values + steady)


def main() -> None:
    study = Study("g", __doc__, "Buschjaeger et al. 2021, arXiv:2102.01344, abstract [V]; scores and norm [R]")
    figure, axes = new_axes()
    found = []
    for i, architecture in enumerate(("FCNN", "CNN")):
        values = np.array([[measured(bnnsim.pack(study.model(architecture, name, seed)), study.test)
                            for name in ("standard", "flips 0.1")] for seed in study.seeds(architecture)])
        found.append(values)
        logs = np.log(values[:, 1, :3] / values[:, 0, :3])
        for what, log, wanted in zip(WHAT, logs.T, "><<"):
            study.check(architecture, f"ln of the {what}, flip-trained over standard", log, wanted, 0)
        for name, mean in zip(("standard", "flip-trained at 0.1"), values.mean(axis=0)):
            study.notes.append(f"{architecture}, {name}: margin {mean[0]:.4f}, variance of importance {mean[1]:.3g} "
                               f"(ablate; noise-free {mean[3]:.3g}, reliability {mean[4]:.2f}), {mean[2]:.3g} "
                               f"(readout; noise-free {mean[5]:.3g}, reliability {mean[6]:.2f}).")
        for k in range(len(WHAT)):
            axes.plot(np.full(len(logs), k + (i - 0.5) / 5), np.exp(logs[:, k]), "os"[i], color=COLOURS[i],
                      label=architecture if k == 0 else None)
    axes.axhline(1, color="0.4", linewidth=1)
    spans = {name: [limit(np.concatenate(found)[..., at]) for limit in (np.min, np.max)]
             for name, at in (("ablate", 4), ("readout", 6))}
    axes.set_xticks(range(3), ["margin", *(f"variance of importance\n({name}; reliability\n{low:.2f} to {high:.2f})"
                                           for name, (low, high) in spans.items())])
    axes.set_ylabel("flip-trained at 0.1, over standard")
    axes.set_ylim(bottom=0)
    axes.set_title("one point a seed", fontsize=9)
    figure.legend(**LEGEND, ncols=2)
    study.finish(figure)


if __name__ == "__main__":
    run(main)
