"""A standard BNN tolerates a bit error rate of 1e-4, one whose training is adapted to errors 4e-2.

    python examples/reproduce/a_tolerated_rates.py --full --cifar FOLDER

Tolerated is a rate at which the mean over chips loses less than one percent point. Adapted is straight-through flip
training at 0.05; the paper's own form lets gradients see the mask (see c_overfitting.py).
"""

from study import Study, curve_figure

POINT = 1.0


def main():
    study = Study("a", __doc__, "Hirtzlin et al., AICAS 2019, arXiv:1904.03652, abstract [V]")
    drawn = {}
    for architecture in ("FCNN", "CNN", "MLP", *(["CIFAR-10 CNN"] if study.cifar else [])):
        for name, rates in (("standard", (1e-4, 0.04)), ("flips 0.05", (0.04,))):
            curves, unit = study.curves(architecture, name), "seeds"
            losses = curves[:, :1] - curves
            if len(curves) == 1:                                     # chips instead of seeds
                curve, unit = study.sweep(architecture, name, 0).T, "chips of one seed"
                losses = curve[:, :1] - curve
            for rate in rates:
                beyond = (name, rate) == ("standard", 0.04)          # adapted training must be needed there
                study.check(f"{architecture}, {name}", f"points lost at BER {rate:g}", losses[:, study.at(rate)],
                            ">" if beyond else "<", POINT, unit)
            study.notes.append(f"{architecture}, {name}: {curves[:, 0].mean():.2f} % without errors, "
                               f"{curves[:, study.at(0.04)].mean():.2f} % at BER 0.04.")
            drawn[f"{architecture}, {name}"] = curves
    if not study.cifar:
        study.notes.append("CIFAR-10 CNN: not run.")
    study.finish(curve_figure(study, drawn))


if __name__ == "__main__":
    main()
