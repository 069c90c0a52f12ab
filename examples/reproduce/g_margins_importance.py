"""Flip training raises the margins of neurons and lowers the variance of their importance.

    python examples/reproduce/g_margins_importance.py --full

Criterion. The abstract says that both metrics "are strongly related to bit error tolerance", not how: larger margins
and a lower variance are what one expects [R]. Margins: of each hidden layer the mean of m / (2 fan-in), flip-trained at
0.1 over standard, grows; a layer is a setting, since layers may differ. Importance by `ablate` (accuracy lost where a
neuron's output is inverted) in all hidden layers, and by `readout` of the last: its variance within each layer without
sampling noise, times the square of the layer's width, mean over layers [R], since layers of different widths would make
most of it otherwise; the logarithm of the ratio below 0. Where the mean reliability of shares is below 0.5 in either
network, most of what all test images tell is noise: it would take more test images, or many more networks, and the
check is not decided.
"""

import numpy as np
from networks import Row, run
from study import Arms, Study

from bnnsim.figures.style import COLOURS, LEGEND, new_axes

TRUSTED = 0.5
METHODS = ("ablate", "readout")


def n_hidden(study: Study, net: str) -> int:
    """Layers of a network with binary weights, but for the last."""
    return len([word for word in study.size.specs[net].split() if not word.startswith("MP")]) - 1


def growth(arms: Arms) -> np.ndarray:
    """Percent by which the margin of each hidden layer grows, by seed."""
    return 100 * np.array([[a / b - 1 for (a, _), (b, _) in zip(one["margins"], other["margins"])]
                           for one, other in pairs_of(arms)])


def variance(row: Row, method: str) -> float:
    """Without noise."""
    return float(np.mean([free * units**2 for units, _, free, _ in row["importance"][method]]))


def reliability(rows: list[Row], method: str) -> float:
    mean = float(np.mean([whole for row in rows for *_, whole in row["importance"][method]]))
    return round(mean, 2) + 0.0                                         # an estimate may be -0.00


def pairs_of(arms: Arms) -> list[tuple[Row, Row]]:
    """(flip-trained, standard) by seed."""
    return list(zip(arms.get("flips 0.1", ()), arms.get("standard", ())))


def main() -> None:
    study = Study("g", __doc__, "Buschjaeger et al. 2021, arXiv:2102.01344, abstract [V]; directions, scores, norm [R]")
    figure, axes = new_axes(height=5.4)
    drawn: dict[str, list[np.ndarray]] = {}
    n_layers = max(n_hidden(study, net) for net in ("FCNN", "CNN"))
    for net in ("FCNN", "CNN"):
        for setting, arms in study.groups(net, "standard", "flips 0.1"):
            for k in range(n_hidden(study, net)):
                layer = f"margin of layer {k + 1}"
                study.ask("flips 0.1", f"{setting}, {layer}", f"growth of the {layer} (%)", arms,
                          lambda arms: growth(arms)[:, k], ">", 0)
            ratios = [1 + np.array(check.values) / 100 for check in study.checks[-n_hidden(study, net):]]
            ratios += [np.array([])] * (n_layers - len(ratios))
            for method in METHODS:
                asked = ("flips 0.1", f"{setting}, importance by {method}",
                         f"ln of the noise-free variance of importance ({method}), over standard")
                trusted = {arm: reliability(rows, method) for arm, rows in arms.items()}
                values = np.array([[variance(row, method) for row in pair] for pair in pairs_of(arms)])
                if arms:
                    study.notes.append(f"{setting}, {method}: reliability {trusted['standard']:.2f} standard, "
                                       f"{trusted['flips 0.1']:.2f} flip-trained.")
                if arms and min(trusted.values()) < TRUSTED:
                    study.leave(*asked, "<", 0, why_undecided=f"mostly noise ({method})")
                elif arms and (values <= 0).any():
                    study.leave(*asked, "<", 0, why_undecided="no variance but noise")
                else:
                    study.ask(*asked, arms, lambda _: np.log(values[:, 0] / values[:, 1]), "<", 0)
                ratios.append(np.exp(study.checks[-1].values))
            drawn |= {setting: ratios} if arms else {}
    for number, (setting, ratios) in enumerate(drawn.items()):
        for k, values in enumerate(ratios):
            axes.plot(np.full(len(values), k + (number + 0.5) / len(drawn) * 0.6 - 0.3), values, "os^vDP*X"[number % 8],
                      color=COLOURS[number % len(COLOURS)], label=setting if k == 0 else None)
    names = [f"margin,\nlayer {k + 1}" for k in range(n_layers)]
    names += [f"variance of\nimportance\n({method},\nnoise-free)" for method in METHODS]
    for k in range(len(names)):
        if drawn and not any(len(ratios[k]) for ratios in drawn.values()):
            axes.text(k, 0.5, "mostly noise:\nnot decided", ha="center", color="0.4", fontsize=8)
    axes.axhline(1, color="0.4", linewidth=1)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set_ylabel("flip-trained at 0.1,\nover standard")
    axes.set_ylim(bottom=0)
    axes.set_title("one point a seed", fontsize=9)
    figure.legend(**LEGEND, ncols=1)
    study.finish(figure)


if __name__ == "__main__":
    run(main)
