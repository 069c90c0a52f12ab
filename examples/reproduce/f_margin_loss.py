"""The modified hinge loss (MHL), which sees no errors in training, beats flip training.

    python examples/reproduce/f_margin_loss.py --full

Criterion. It "enables the possibility for BNNs to tolerate higher bit error rates than with bit flip training",
"without any bit flip injections": a network that was trained with it tolerates a higher bit error rate than flip
training's best of three rates, best in the same networks, which is in its favour. What is tolerated is not said [R]:
here, by one check each, the rate at which a point of the network's own accuracy without errors is lost, which asks for
an accuracy that stays, and the rate at which five points of the standard network's are lost, which asks for one that is
of use. Rates above 0.2 are not measured: where the best flip training reaches that, a network with MHL that reaches it
as well decides nothing. Each margin b is a setting, since one that serves is enough: 128, the authors' [C], as it is (a
share of 1/16 of the last fan-in; 1/2 and 1 beside), and with logits times a learnt scale, as the authors' code has it
[C], where the margin that it enforces is b over the scale (b of 32 and 512 beside). Mean accuracies over BER 0 to 0.2
and single rates stand in the notes.
"""

import numpy as np
from networks import Row, run
from study import Arms, Study, curve_figure, curves

MARGINS = {"FCNN": ("MHL 0.0625", "scaled MHL 128", "MHL 0.5", "MHL 1", "scaled MHL 32", "scaled MHL 512"),
           "CNN": ("MHL 0.0625",)}
FLIPS = ("flips 0.05", "flips 0.1", "flips 0.2")
LEVELS = {"a point of its own accuracy is": ("", 1.0), "five points of the standard network's are": ("standard", 5.0)}


def area(rows: list[Row]) -> float:
    """Mean accuracy over BER from 0 to the largest rate, percent."""
    rates = np.array(rows[0]["rates"])
    return float((np.trapezoid(curves(rows), rates, axis=1) / rates[-1]).mean())


def tolerated(arms: Arms, arm: str, level: str) -> np.ndarray:
    """BER at which a level is reached, by seed, between rates linear; the largest rate where it is not reached."""
    of, points = LEVELS[level]
    rates, found = np.array(arms[arm][0]["rates"]), []
    for curve, limit in zip(curves(arms[arm]), curves(arms[of or arm])[:, 0] - points):
        below = np.flatnonzero(curve < limit)
        k = below[0] if len(below) else len(rates)
        found.append(0.0 if k == 0 else rates[-1] if k == len(rates) else
                     np.interp(limit, curve[[k, k - 1]], rates[[k, k - 1]]))
    return np.array(found)


def note(length: str, arm: str, arms: Arms) -> str:
    """Of an arm its mean accuracy, that at some rates, and what it tolerates."""
    rows = arms[arm]
    at = ", ".join(f"{curves(rows)[:, rows[0]['rates'].index(rate)].mean():.1f} at {rate:g}"
                   for rate in (0.0, 0.05, 0.1, 0.2))
    rates = ", ".join(f"{level} lost at {tolerated(arms, arm, level).mean():.3f}" for level in LEVELS)
    return f"{length}, {arm}: mean accuracy over BER 0 to 0.2 {area(rows):.1f} % ({at}); {rates}."


def main() -> None:
    study = Study("f", __doc__, "Buschjaeger et al., DATE 2021 [V of its abstract]; settings of the authors' code [C]")
    drawn: list[list[Row]] = []
    for net, names in MARGINS.items():
        for name in names:
            for length, arms in study.groups(net, "standard", name, *FLIPS):
                for level in LEVELS:
                    asked = name, f"{length}, {name}", f"BER at which {level} lost, less the best flip training's"
                    best = max(FLIPS, key=lambda arm: tolerated(arms, arm, level).mean() if arms else 0)
                    if arms and all(tolerated(arms, arm, level).max() == arms[arm][0]["rates"][-1]
                                    for arm in (name, best)):
                        study.leave(*asked, ">", 0, why_undecided="both tolerate all rates that are measured")
                        continue
                    study.ask(*asked, arms, lambda arms: tolerated(arms, name, level) - tolerated(arms, best, level),
                              ">", 0)
                if arms:
                    study.notes += [note(length, arm, arms) for arm in arms]
                    drawn += [arms[arm] for arm in ("standard", name, *FLIPS)]
    study.finish(curve_figure(drawn))


if __name__ == "__main__":
    run(main)
