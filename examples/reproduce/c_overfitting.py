"""Native gradients, which see the mask, overfit the error rate of training; straight-through gradients do not.

    python examples/reproduce/c_overfitting.py --full

A network overfits where it is better under errors than without: measured at half of the rate it was trained at. The
notes say what is left of that once its thresholds are rescaled for no errors, or its batch-norm statistics are taken
anew without errors: where nothing is left, the thresholds were at fault, not the weights.
"""

import itertools

import numpy as np
from study import Study, curve_figure, interval

import bnnsim


FORMS = {"native": ("native", ">"), "flips": ("straight-through", "<")}


def main():
    study = Study("c", __doc__, "Buschjaeger et al. 2020, arXiv:2002.00909, sections IV and V [V]")
    drawn = {}
    for rate, (form, (words, wanted)) in itertools.product((0.1, 0.2), FORMS.items()):
        name, title = f"{form} {rate:g}", f"FCNN, {words} {rate:g}"
        variants = {"thresholds rescaled": lambda model, rate=rate: bnnsim.rescale_thresholds(model, rate, 0.0),
                    "batch norm re-estimated": lambda model: bnnsim.reestimate_batch_norm(model, study.train, rng=0)}
        curves = drawn[title] = study.curves("FCNN", name)
        under_errors = curves[:, study.at(rate / 2)]
        what = f"accuracy at BER {rate / 2:g} less at 0, points"
        study.check(title, what, under_errors - curves[:, 0], wanted, 0)
        for variant, adapt in variants.items():
            kept_as = "-" + variant.replace(" ", "-")
            clean = np.array([study.sweep("FCNN", name, seed, kept_as, adapt, (0.0,))[0, 0]
                              for seed in study.seeds("FCNN")])
            mean, low, high = interval(under_errors - clean)
            study.notes.append(f"{title}, {variant} for no errors: {what}: {mean:.2f} ({low:.2f} to {high:.2f}).")
    study.finish(curve_figure(study, drawn))


if __name__ == "__main__":
    main()
