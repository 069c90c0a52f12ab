"""One hidden layer represents binary inputs, two approximate Lipschitz functions, and one does not do for real inputs.

    python examples/reproduce/h_universal_approximation.py --full
"""

import numpy as np
from bnnsim.figure_parts import legend_below, line_style, new_axes
from study import Study

from bnnsim import universal


def lipschitz_function(seed):
    """The lower envelope of five cones on the unit square: Lipschitz with constant 1 in the sup norm."""
    rng = np.random.default_rng(seed)
    tips, heights = rng.random((5, 2)), rng.random(5)
    return lambda x: (np.abs(x[:, None] - tips).max(axis=2) + heights).min(axis=1)


def main():
    study = Study("h", __doc__, "Yayla et al. 2021, arXiv:2102.02631 [V]; constructions [D]")
    full, seeds = study.size.name == "full", range(study.size.n_seeds)
    wrong = []
    for seed in seeds:
        table = np.random.default_rng(seed).random(1 << (10 if full else 6)) < 0.5
        network = universal.boolean(table, 10 if full else 6)
        wrong.append(np.sum((universal.values(network, universal.vertices(10 if full else 6)) > 0) != table))
    study.check("a random Boolean function, one hidden layer", "vertices where it is wrong", wrong, "<", 0.5)
    every, errors, sizes = ((0.4, 0.2, 0.1, 0.05) if full else (0.4, 0.2)), {}, []
    for eps in every:
        networks = [universal.lipschitz(lipschitz_function(seed), 1.0, eps, [(0, 1)] * 2) for seed in seeds]
        errors[eps] = [universal.largest_error(network, lipschitz_function(seed), 50_000, rng=seed)
                       for seed, network in zip(seeds, networks)]
        sizes.append(np.mean([sum(layer.units for layer in network.layers[:-1]) for network in networks]))
        study.check(f"Lipschitz functions within {eps:g}, two hidden layers", "share whose error is above it",
                    np.array(errors[eps]) > eps, "<", 0.5)
    widths = (10, 100, 1000) if full else (10, 50)
    saddle = [[universal.largest_error(universal.one_hidden_layer(universal.saddle, [(-1, 1)] * 2, width, 1e-3),
                                       universal.saddle, 65**2, rng=seed) for width in widths] for seed in seeds]
    study.check(f"x^2 - y^2, one hidden layer of up to {widths[-1]} thresholds a direction", "least error",
                np.min(saddle, axis=1), ">", 1 - 1e-9)
    deep = universal.lipschitz(universal.saddle, 4.0, 0.4, [(-1, 1)] * 2)
    study.check("x^2 - y^2 within 0.4, two hidden layers", "largest error",
                [universal.largest_error(deep, universal.saddle, 50_000, rng=seed) for seed in seeds], "<", 0.4)
    study.notes += [f"Lipschitz functions within {eps:g}: {size:,.0f} neurons, largest error {max(errors[eps]):.4f}."
                    for eps, size in zip(every, sizes)]
    figure, axes = new_axes()
    axes.loglog(sizes, [np.max(errors[eps]) for eps in every], **line_style(0))
    axes.loglog(sizes, every, **line_style(1))
    axes.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
    axes.set_yticks(every, [f"{eps:g}" for eps in every])
    axes.minorticks_off()
    axes.set_xlabel("hidden neurons, both layers")
    axes.set_ylabel("largest error on the unit square")
    axes.set_title("Lipschitz functions with constant 1, two hidden layers", fontsize=9)
    legend_below(figure, ["measured, of all seeds", "eps, promised"])
    study.finish(figure)


if __name__ == "__main__":
    main()
