"""Native gradients, which see the mask, overfit the error rate of training; straight-through gradients do not.

    python examples/reproduce/c_overfitting.py --full

A network overfits where it is better by more than a tenth of a point [R] under errors than without: at the rate it was
trained at, and at half of it. (A first run asked at the rate of training only; half of it was added, since all curves
at 0.2 had their peak there.) The notes say what is left of that where thresholds are rescaled for the rate of use, or
batch-norm statistics taken anew at it: where nothing is left, the thresholds were at fault, not the weights.
"""

from functools import partial

import numpy as np
from networks import run
from study import Study, curve_figure, interval

import bnnsim
from bnnsim.faults import BitFlips

FORMS = {"native": "native", "flips": "straight-through"}
SMALL = 0.1


def main() -> None:
    study = Study("c", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, sections IV and V [V]")
    drawn = {}
    for rate in (0.1, 0.2):
        gains = {}
        for form, words in FORMS.items():
            title = f"FCNN, {words} {rate:g}"
            curves = drawn[title] = study.curves("FCNN", f"{form} {rate:g}")
            gains[form] = curves - curves[:, :1]
            for at in (rate / 2, rate):
                study.check(title, f"accuracy at BER {at:g} less at 0, points", gains[form][:, study.at(at)],
                            ">" if form == "native" else "<", SMALL)
            note_adapted(study, f"{form} {rate:g}", title, rate)
        difference = (gains["native"] - gains["flips"])[:, study.at(rate / 2)]
        study.check(f"FCNN, native less straight-through {rate:g}", f"the same at BER {rate / 2:g}, points", difference,
                    ">", 0)
    study.finish(curve_figure(study, drawn))


def note_adapted(study: Study, name: str, title: str, rate: float) -> None:
    """Say what is left of overfitting where thresholds are made for the rate of use, at 0 and at half the rate."""
    def rescaled(model: bnnsim.Sequential, at: float) -> bnnsim.Sequential:
        return bnnsim.rescale_thresholds(model, rate, at)

    def reestimated(model: bnnsim.Sequential, at: float) -> bnnsim.Sequential:
        return bnnsim.reestimate_batch_norm(model, study.splits[0], BitFlips(at), rng=0)

    for words, adapt in (("thresholds rescaled", rescaled), ("batch norm re-estimated", reestimated)):
        accuracy = [[study.sweep("FCNN", name, seed, f"-{words.split()[-1]}-{at:g}", partial(adapt, at=at),
                                 (at,)).mean() for at in (0.0, rate / 2)] for seed in study.seeds("FCNN")]
        mean, low, high = interval(np.diff(accuracy)[:, 0])
        study.notes.append(f"{title}, {words} for the rate of use: accuracy at BER {rate / 2:g} less at 0 {mean:.2f} "
                           f"points ({low:.2f} to {high:.2f}); without errors {np.mean(accuracy, axis=0)[0]:.2f} %.")


if __name__ == "__main__":
    run(main)
