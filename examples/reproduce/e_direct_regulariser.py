"""The direct regulariser raises T, and lowers accuracy at every error rate.

    python examples/reproduce/e_direct_regulariser.py --full

lambda and T* are lost; here are a strong and a weak pair [R], the same for all seeds.
"""

import numpy as np
from networks import run
from study import Study, curve_figure

import bnnsim
import bnnsim.metrics as metrics

NAMES = ("regulariser 1, 16", "regulariser 0.1, 64")


def main() -> None:
    study = Study("e", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, section IV [V]")

    def tolerance(name: str) -> np.ndarray:
        networks = [bnnsim.pack(study.model("FCNN", name, seed)) for seed in study.seeds("FCNN")]
        return np.array([metrics.bit_error_tolerance(network, study.test.images).paper for network in networks])

    drawn, plain = {"FCNN, standard": study.curves("FCNN", "standard")}, tolerance("standard")
    for name in NAMES:
        title = f"FCNN, lambda and T* {name.removeprefix('regulariser ')}"
        drawn[title] = study.curves("FCNN", name)
        study.check(title, "T over the standard network's", tolerance(name) / plain, ">", 1)
        for i, rate in enumerate(study.size.rates):
            change = (drawn[title] - drawn["FCNN, standard"])[:, i]
            study.check(title, f"accuracy at BER {rate:g} less standard, points", change, "<", 0)
    study.finish(curve_figure(study, drawn))


if __name__ == "__main__":
    run(main)
