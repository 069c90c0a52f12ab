"""The direct regulariser raises T, and lowers accuracy at every error rate.

    python examples/reproduce/e_direct_regulariser.py --full

Criterion. "It effectively increases T": T over the standard network's is above 1. "Decreases accuracy at any error
rate": at the rate that is best for it, of each seed that at which the other seeds are best, its accuracy is below the
standard network's; and so is, which is weaker, its mean accuracy over all rates of this study, most of which are small.
lambda and T* are lost; here are two pairs [R], the same for all seeds, neither of which is so weak that the network
stays near the standard one: what the paper says of small lambda is not tested.
"""

import numpy as np
from networks import Row, run
from study import Arms, Study, curve_figure, curves, percent

NAMES = ("regulariser 1 16", "regulariser 0.1 64")


def tolerance(rows: list[Row]) -> np.ndarray:
    """T of each network."""
    return np.array([row["T"]["paper"] for row in rows])


def change(arms: Arms, name: str, rate: float) -> np.ndarray:
    """Points of accuracy less the standard network's, by seed and chip."""
    return percent(arms[name], rate) - percent(arms["standard"], rate)


def at_its_best(arms: Arms, name: str) -> np.ndarray:
    """`change` of each seed at the rate at which the others are best."""
    by_rate = curves(arms[name]) - curves(arms["standard"])
    seeds = range(len(by_rate) if len(by_rate) > 1 else 0)
    return np.array([by_rate[s, np.delete(by_rate, s, axis=0).mean(axis=0).argmax()] for s in seeds])


def main() -> None:
    study = Study("e", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, sections IV-A and V [V]")
    drawn: list[list[Row]] = []
    for name in NAMES:
        for length, arms in study.groups("FCNN", "standard", name):
            _, strength, target = name.split()
            setting = f"{length}, lambda {strength}, T* {target}"
            study.ask(name, setting, "T over the standard network's", arms, lambda arms:
                      tolerance(arms[name]) / tolerance(arms["standard"]), ">", 1)
            study.ask(name, setting, "points less than standard, mean accuracy over all rates", arms, lambda arms:
                      (curves(arms[name]) - curves(arms["standard"])).mean(axis=1), "<", 0)
            study.ask(name, setting, "points less than standard, at the rate that is best for it",
                      arms, lambda arms: at_its_best(arms, name), "<", 0)
            if arms:
                study.notes.append(f"{setting}: T {tolerance(arms[name]).mean():.1f}, standard "
                                   f"{tolerance(arms['standard']).mean():.1f}; points less than standard: " + ", ".join(
                                       f"{change(arms, name, rate).mean():+.1f} at {rate:g}"
                                       for rate in arms[name][0]["rates"]) + ".")
                drawn += arms.values()
    study.finish(curve_figure(drawn))


if __name__ == "__main__":
    run(main)
