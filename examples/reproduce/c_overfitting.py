"""Native gradients, which see the mask, overfit the error rate of training; straight-through gradients do not.

    python examples/reproduce/c_overfitting.py --full

A network overfits where it is better at the rate it was trained at than without errors. The same is measured after its
thresholds were rescaled to no errors, and after its batch-norm statistics were taken anew without errors: what is then
left is not the thresholds' fault.
"""

import itertools

import numpy as np
from study import Study, curve_figure

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
        there = curves[:, study.at(rate)]
        study.check(title, f"accuracy at BER {rate:g} less at 0, points", there - curves[:, 0], wanted, 0)
        for variant, adapt in variants.items():
            kept_as = "-" + variant.replace(" ", "-")
            clean = np.array([study.sweep("FCNN", name, seed, kept_as, adapt, (0.0,))[0, 0]
                              for seed in study.seeds("FCNN")])
            study.notes.append(f"{title}, {variant} for no errors: accuracy at BER {rate:g} (as trained) less at 0 "
                               f"{np.mean(there - clean):.2f} points; without {np.mean(there - curves[:, 0]):.2f}.")
    study.finish(curve_figure(study, drawn))


if __name__ == "__main__":
    main()
