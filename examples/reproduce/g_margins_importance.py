"""Flip training raises the margins of neurons and lowers the variance of their importance.

    python examples/reproduce/g_margins_importance.py --full

Criterion. Margins: the mean over hidden layers of m / (2 fan-in), flip-trained at 0.1 over standard, its logarithm
above 0. Importance by `ablate` (accuracy lost where a neuron's output is inverted) in all hidden layers, and by
`readout` of the last: its variance within each layer without sampling noise, times the square of the layer's width,
mean over layers [R], since layers of different widths would make most of it otherwise; the logarithm of the ratio below
0. Where the mean reliability of shares is below 0.5 in either network most of what is seen is noise, and the check is
open.
"""

import numpy as np
from networks import Row, run
from study import Study

from bnnsim.figures.style import COLOURS, LEGEND, new_axes

TRUSTED = 0.5
METHODS = ("ablate", "readout")


def margin(row: Row) -> float:
    return float(np.mean([relative for relative, _ in row["margins"]]))


def variance(row: Row, method: str) -> float:
    """Without noise."""
    return float(np.mean([free * units**2 for units, _, free, _ in row["importance"][method]]))


def reliability(rows: list[Row], method: str) -> float:
    return float(np.mean([whole for row in rows for *_, whole in row["importance"][method]]))


def main() -> None:
    study = Study("g", __doc__, "Buschjaeger et al. 2021, arXiv:2102.01344, abstract [V]; scores and norm [R]")
    figure, axes = new_axes()
    number = 0
    for net in ("FCNN", "CNN"):
        for setting, arms in study.groups(net, "standard", "flips 0.1"):
            if not arms:
                study.leave_open("flips 0.1", setting, "ln of the margin, over standard")
                continue
            pairs = list(zip(arms["flips 0.1"], arms["standard"]))
            ratios = [np.log([margin(a) / margin(b) for a, b in pairs])]
            study.check("flips 0.1", setting, "ln of the margin, over standard", ratios[0], ">", 0)
            for method in METHODS:
                what = f"ln of the noise-free variance of importance ({method}), over standard"
                trusted = {arm: reliability(rows, method) for arm, rows in arms.items()}
                values = np.array([[variance(row, method) for row in pair] for pair in pairs])
                study.notes.append(f"{setting}, {method}: reliability {trusted['standard']:.2f} standard, "
                                   f"{trusted['flips 0.1']:.2f} flip-trained.")
                if min(trusted.values()) < TRUSTED or (values <= 0).any():
                    study.leave_open("flips 0.1", setting, what, f"reliability {min(trusted.values()):.2f}")
                    ratios.append(np.full(len(pairs), np.nan))
                    continue
                ratios.append(np.log(values[:, 0] / values[:, 1]))
                study.check("flips 0.1", setting, what, ratios[-1], "<", 0)
            for k, values in enumerate(ratios):
                axes.plot(np.full(len(values), k + number / 12 - 0.3), np.exp(values), "os^vDP*X"[number % 8],
                          color=COLOURS[number % len(COLOURS)], label=setting if k == 0 else None)
            number += 1
    axes.axhline(1, color="0.4", linewidth=1)
    axes.set_xticks(range(3), ["margin", *(f"variance of importance\n({method}, noise-free)" for method in METHODS)])
    axes.set_ylabel("flip-trained at 0.1, over standard")
    axes.set_ylim(bottom=0)
    axes.set_title("one point a seed", fontsize=9)
    figure.legend(**LEGEND, ncols=1)
    study.finish(figure)


if __name__ == "__main__":
    run(main)
