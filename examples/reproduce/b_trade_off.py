"""Flip training trades accuracy without errors for accuracy at high rates, and helps the FCNN more than the CNN.

    python examples/reproduce/b_trade_off.py --full

Criterion. "Flip regularization improves the accuracy when bit errors are introduced": at BER p the network trained at p
is better than the standard one. "We can trade": trained at 0.2 a network is worse without errors and better at BER 0.2
than one trained at 0.1. "This effect is stronger for FCNNs": of what the standard network loses at p, flip training at
p gives back a larger share in the FCNN than in the CNN, trained long (the FCNN 100 epochs, as in the authors' code [C],
the CNN 60 of their 100) and shortly. A share, since a network that loses more has more to gain; and only at rates where
both standard networks have lost a point, since a share of less is noise, and still have half of their accuracy, since
below that it measures a collapse.
"""

import numpy as np
from networks import Row, run
from study import NOT_TRAINED, Arms, Study, curve_figure, longest, lost, percent

RATES = (("0.1", "0.2"), ("0.05",))         # that one training length has


def gain(arms: Arms, rate: str) -> np.ndarray:
    """Points gained at a rate by training at it, by seed and chip."""
    return percent(arms[f"flips {rate}"], float(rate)) - percent(arms["standard"], float(rate))


def share(arms: Arms, rate: str) -> np.ndarray:
    """Points gained of those that the standard network loses, by seed."""
    return gain(arms, rate).mean(axis=1) / lost(arms["standard"], float(rate)).mean(axis=1)


def compare(study: Study, rate: str) -> None:
    """FCNN less CNN, wherever they were trained alike."""
    at = float(rate)
    for setting, fcnn, cnn in study.pairs("standard", f"flips {rate}"):
        asked = f"flips {rate}", f"{setting}, trained at {rate}", (
            f"share of what was lost at BER {rate} that is given back, FCNN less CNN")
        both = [group["standard"] for group in (fcnn, cnn) if group]
        left = [percent(rows, at).mean() / percent(rows, 0.0).mean() for rows in both]
        if any(lost(rows, at).mean(axis=1).min() < 1 for rows in both):
            study.leave(*asked, ">", 0, why_undecided="a standard network loses less than a point there")
        elif min(left, default=1) < 0.5:
            study.leave(*asked, ">", 0, why_undecided="the standard networks have "
                        f"{' and '.join(f'{part:.0%}' for part in left)} of their accuracy there")
        elif both:
            study.ask_difference(*asked, share(fcnn, rate), share(cnn, rate), ">", 0)
        else:
            study.leave(*asked, ">", 0, why_open=NOT_TRAINED)


def main() -> None:
    study = Study("b", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, section V [V]")
    drawn: list[list[Row]] = []
    for net in ("FCNN", "CNN"):
        for rates in RATES:
            for setting, arms in study.groups(net, "standard", *(f"flips {rate}" for rate in rates)):
                for rate in rates:
                    study.ask(f"flips {rate}", f"{setting}, trained at {rate}", f"points gained at BER {rate} by "
                              "training at it", arms, lambda arms: gain(arms, rate), ">", 0)
                if len(rates) == 2:
                    for at, wanted in ((0.0, "<"), (0.2, ">")):
                        study.ask("flips 0.2 less 0.1", f"{setting}, the trade", f"points at BER {at:g}", arms, lambda
                                  arms: percent(arms["flips 0.2"], at) - percent(arms["flips 0.1"], at), wanted, 0)
                    drawn += arms.values()
    for rate in ("0.1", "0.2", "0.05"):
        compare(study, rate)
    study.finish(curve_figure(longest(drawn)))


if __name__ == "__main__":
    run(main)
