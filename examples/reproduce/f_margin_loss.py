"""The modified hinge loss (MHL), which sees no errors in training, beats flip training.

    python examples/reproduce/f_margin_loss.py --full

Its margin b is a share of the output layer's fan-in, 2048 at full size: 1/16 is the authors' b = 128, of which the
verdict is; what larger ones do is in the notes. At each rate it is compared with the network that was flip-trained at
that very rate.
"""

import numpy as np
from networks import run
from study import Study, curve_figure, interval

AUTHORS = 0.0625
SHARES = {"FCNN": (AUTHORS, 0.5, 1.0), "CNN": (AUTHORS,)}


def main() -> None:
    study = Study("f", __doc__, "Buschjaeger et al., DATE 2021 [V of its abstract]")
    drawn: dict[str, np.ndarray] = {}
    for net, shares in SHARES.items():
        flips = {rate: study.curves(net, f"flips {rate:g}") for rate in (0.05, 0.1, 0.2)}
        drawn |= {f"{net}, flips {rate:g}": curves for rate, curves in flips.items() if rate == 0.1}
        for share in shares:
            title = f"{net}, MHL, b = {share:g} fan-in"
            curves = drawn[title] = study.curves(net, f"MHL {share:g}")
            for rate, trained in flips.items():
                change = (curves - trained)[:, study.at(rate)]
                what = f"accuracy at BER {rate:g} less flip training's at it, points"
                if share == AUTHORS:
                    study.check(title, what, change, ">", 0)
                else:
                    mean, low, high = interval(change)
                    study.notes.append(f"{title}: {what}: {mean:.2f} ({low:.2f} to {high:.2f}).")
    study.finish(curve_figure(study, drawn))


if __name__ == "__main__":
    run(main)
