"""The modified hinge loss (MHL), which sees no errors in training, beats flip training.

    python examples/reproduce/f_margin_loss.py --full

Criterion. Two forms of "beats": the area between the curves, as the mean accuracy over BER from 0 to 0.2, is larger
than that of each flip training; and the tolerated BER, at which a network has lost one point [R] of the standard
network's accuracy without errors, is higher than the best flip training's. The margin b runs over a range: 128, the
authors' [C], as it is (a share of 1/16 of the last fan-in; 1/2 and 1 beside), and with logits times a learnt scale, as
the authors' code has it [C], where the margin that it enforces is b over the scale (b of 32 and 512 beside).
"""

import numpy as np
from networks import Row, run
from study import Study, curve_figure, curves

MARGINS = {"FCNN": ("MHL 0.0625", "scaled MHL 128", "MHL 0.5", "MHL 1", "scaled MHL 32", "scaled MHL 512"),
           "CNN": ("MHL 0.0625",)}
FLIPS = ("flips 0.05", "flips 0.1", "flips 0.2")


def area(rows: list[Row]) -> np.ndarray:
    """Mean accuracy over BER from 0 to the largest rate, percent, by seed."""
    rates = np.array(rows[0]["rates"])
    return np.trapezoid(curves(rows), rates, axis=1) / rates[-1]


def tolerated(rows: list[Row], standard: list[Row]) -> np.ndarray:
    """BER at which a point of the standard network's accuracy without errors is lost, by seed, between rates linear."""
    rates, found = np.array(rows[0]["rates"]), []
    for curve, limit in zip(curves(rows), curves(standard)[:, 0] - 1):
        below = np.flatnonzero(curve < limit)
        k = below[0] if len(below) else len(rates)
        found.append(0.0 if k == 0 else rates[-1] if k == len(rates) else
                     np.interp(limit, curve[[k, k - 1]], rates[[k, k - 1]]))
    return np.array(found)


def main() -> None:
    study = Study("f", __doc__, "Buschjaeger et al., DATE 2021 [V of its abstract]; settings of the authors' code [C]")
    drawn: dict[str, list[Row]] = {}
    for net, names in MARGINS.items():
        for name in names:
            for setting, arms in study.groups(net, "standard", name, *FLIPS):
                if not arms:
                    study.leave_open(name, setting, "mean accuracy over BER 0 to 0.2 less flip training's")
                    continue
                for flips in FLIPS:
                    study.check(name, setting, f"points, mean over BER 0 to 0.2, less those of {flips}",
                                area(arms[name]) - area(arms[flips]), ">", 0)
                rates = {arm: tolerated(arms[arm], arms["standard"]) for arm in (name, *FLIPS)}
                best = max(FLIPS, key=lambda arm: rates[arm].mean())
                study.check(name, setting, "tolerated BER less the best flip training's", rates[name] - rates[best],
                            ">", 0)
                study.notes.append(f"{setting}: tolerated BER of {name} {rates[name].mean():.3f}, of " + ", of ".join(
                    f"{arm} {rates[arm].mean():.3f}" for arm in FLIPS) + ".")
                if setting.endswith("code 0"):
                    drawn |= {f"{net}, {arm}": arms[arm] for arm in (name, "flips 0.1")}
    study.finish(curve_figure(study, drawn))


if __name__ == "__main__":
    run(main)
