"""Flip training helps the FCNN more than the CNN, and trades accuracy without errors for accuracy at high rates.

    python examples/reproduce/b_trade_off.py --full

Criterion. "Flip regularization improves the accuracy when bit errors are introduced": at BER p the network trained at p
is better than the standard one. "This effect is stronger for FCNNs": of what the standard network loses at p, flip
training at p gives back a larger share in the FCNN than in the CNN. A share, since a network that loses more has more
to gain; and only at rates where both standard networks still have half of their accuracy, since below that the share
measures a collapse. "We can trade": trained at 0.2 a network is worse without errors and better at BER 0.2 than one
trained at 0.1. Networks are compared at one input code.
"""

import numpy as np
from networks import Row, run
from study import Study, at, curve_figure, curves, keep_longest

PAIRS = (("0.1", "0.2"), ("0.05",))         # rates that one training length has


def gain(arms: dict[str, list[Row]], rate: str) -> tuple[np.ndarray, np.ndarray, float]:
    """(points gained at a rate by training at it, their share of what standard lost, standard's part kept) by seed."""
    k = at(arms["standard"][0], float(rate))
    standard, trained = (curves(arms[arm]) for arm in ("standard", f"flips {rate}"))
    lost = standard[:, 0] - standard[:, k]
    gained = trained[:, k] - standard[:, k]
    return gained, gained / lost, float((standard[:, k] / standard[:, 0]).mean())


def compare(study: Study, shares: dict[tuple[str, str, int, int], tuple[np.ndarray, float]]) -> None:
    """FCNN less CNN, at each rate and code that both have."""
    for (net, rate, code, epochs), (share, left) in shares.items():
        for (other, its_rate, its_code, its_epochs), (its_share, its_left) in shares.items():
            if (net, other, rate, code) != ("FCNN", "CNN", its_rate, its_code):
                continue
            setting, n = f"FCNN, {epochs} epochs, and CNN, {its_epochs} epochs, code {code}", len(its_share)
            if min(left, its_left) < 0.5:
                study.notes.append(f"{setting}: BER {rate} is left out: the standard networks have {100 * left:.0f} "
                                   f"and {100 * its_left:.0f} % of their accuracy there.")
            else:
                study.check(f"flips {rate}", setting, f"share of what was lost at BER {rate} that is given back, FCNN "
                            "less CNN", share[:n] - its_share[:len(share)], ">", 0)


def main() -> None:
    study = Study("b", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, section V [V]")
    shares: dict[tuple[str, str, int, int], tuple[np.ndarray, float]] = {}
    drawn: dict[str, list[Row]] = {}
    for net in ("FCNN", "CNN"):
        for rates in PAIRS:
            for setting, arms in study.groups(net, "standard", *(f"flips {rate}" for rate in rates)):
                if not arms:
                    study.leave_open(f"flips {', '.join(rates)}", setting, "points gained")
                    continue
                for rate in rates:
                    gained, share, left = gain(arms, rate)
                    study.check(f"flips {rate}", setting, f"points gained at BER {rate} by training at it", gained, ">",
                                0)
                    shares[net, rate, arms["standard"][0]["code"], arms["standard"][0]["epochs"]] = share, left
                if len(rates) == 2:
                    change = curves(arms["flips 0.2"]) - curves(arms["flips 0.1"])
                    last = at(arms["standard"][0], 0.2)
                    study.check("flips 0.2 less 0.1", setting, "points without errors", change[:, 0], "<", 0)
                    study.check("flips 0.2 less 0.1", setting, "points at BER 0.2", change[:, last], ">", 0)
                    for arm in arms if setting.endswith("code 0") else ():
                        keep_longest(drawn, f"{net}, {arm}", arms[arm])
    compare(study, shares)
    study.finish(curve_figure(study, {f"{name}, {rows[0]['epochs']} epochs": rows for name, rows in drawn.items()}))


if __name__ == "__main__":
    run(main)
