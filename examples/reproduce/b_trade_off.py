"""Flip training helps the FCNN more than the CNN, and trades accuracy without errors for accuracy at high rates.

    python examples/reproduce/b_trade_off.py --full
"""

from networks import run
from study import Study, curve_figure

NAMES = ("standard", "flips 0.05", "flips 0.1", "flips 0.2")


def main() -> None:
    study = Study("b", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, section V [V]")
    curves = {(net, name): study.curves(net, name) for net in ("FCNN", "CNN") for name in NAMES}
    for rate in (0.05, 0.1, 0.2):
        gains = {net: (curves[net, f"flips {rate:g}"] - curves[net, "standard"])[:, study.at(rate)]
                 for net in ("FCNN", "CNN")}
        what = f"gain at BER {rate:g} from training at it, points"
        study.check("FCNN less CNN", what, gains["FCNN"] - gains["CNN"], ">", 0)
        for net, gain in gains.items():
            study.check(net, what, gain, ">", 0)
    for net in ("FCNN", "CNN"):
        change = curves[net, "flips 0.2"] - curves[net, "flips 0.05"]
        study.check(net, "clean accuracy, trained at 0.2 less at 0.05, points", change[:, 0], "<", 0)
        study.check(net, "accuracy at BER 0.2, trained at 0.2 less at 0.05, points", change[:, study.at(0.2)], ">", 0)
        change = curves[net, "flips 0.2"] - curves[net, "standard"]
        study.check(net, "clean accuracy, trained at 0.2 less standard, points", change[:, 0], "<", 0)
    study.finish(curve_figure(study, {f"{net}, {name}": values for (net, name), values in curves.items()}))


if __name__ == "__main__":
    run(main)
