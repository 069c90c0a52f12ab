"""One hidden layer does for binary inputs, two do for Lipschitz functions, and one does not do for real inputs.

    python examples/reproduce/h_universal_approximation.py --full

Criterion. Theorems, so no chance is in it: constructions keep what they promise on every function tried, and the
largest error that one hidden layer leaves on x^2 - y^2 is at least 1 whatever its width.
"""

from collections.abc import Callable

import numpy as np
from networks import run
from study import Study

from bnnsim import universal
from bnnsim.figures.style import legend_below, line_style, new_axes

SQUARE = [(-1, 1)] * 2


def lipschitz_function(seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """The lower envelope of five cones on the unit square: Lipschitz with constant 1 in the sup norm."""
    rng = np.random.default_rng(seed)
    tips, heights = rng.random((5, 2)), rng.random(5)
    return lambda x: (np.abs(x[:, None] - tips).max(axis=2) + heights).min(axis=1)


def main() -> None:
    study = Study("h", __doc__, "Yayla et al. 2021, arXiv:2102.02631, abstract [V]; constructions [D]")
    full, seeds = study.size.name == "full", range(3)
    wrong, d, worst_of = [], 10 if full else 6, f"worst of {len(seeds)} functions"
    for seed in seeds:
        table = np.random.default_rng(seed).random(2**d) < 0.5
        wrong.append(np.sum((universal.values(universal.boolean(table, d), universal.vertices(d)) > 0) != table))
    study.check_worst(f"Boolean functions of {d} inputs", "one hidden layer",
                      f"vertices where one is wrong, {worst_of}", max(wrong), "<", 1)
    tables = [np.random.default_rng(seed).random(2**d) for seed in seeds]
    far = [np.abs(universal.values(universal.on_vertices(table, d, 0.1), universal.vertices(d)) - table).max()
           for table in tables]
    study.check_worst(f"real functions of {d} binary inputs", "one hidden layer", f"largest error, eps 0.1, {worst_of}",
                      max(far), "<", 0.1)
    every, errors, sizes = ((0.4, 0.2, 0.1, 0.05) if full else (0.4, 0.2)), {}, []
    for eps in every:
        networks = [universal.lipschitz(lipschitz_function(seed), 1.0, eps, [(0, 1)] * 2) for seed in seeds]
        errors[eps] = [universal.largest_error(network, lipschitz_function(seed), 50_000, rng=seed)
                       for seed, network in zip(seeds, networks)]
        sizes.append(np.mean([sum(layer.units for layer in network.layers[:-1]) for network in networks]))
        study.check_worst("Lipschitz functions", "two hidden layers", f"largest error, eps {eps:g}, {worst_of}",
                          max(errors[eps]), "<", eps)
    widths = (10, 100, 1000) if full else (10, 50)
    shallow = [universal.one_hidden_layer(universal.saddle, SQUARE, width, 1e-3) for width in widths]
    saddle = [universal.largest_error(network, universal.saddle, 65**2, rng=0) for network in shallow]
    study.check_worst("x^2 - y^2", "one hidden layer", f"by how much the largest error is less than 1, worst of "
                      f"{', '.join(map(str, widths))} thresholds a direction; for any width by proof [D]",
                      max(0.0, 1 - min(saddle)), "<", 1e-9)
    deep = universal.lipschitz(universal.saddle, 4.0, 0.4, SQUARE)
    study.check_worst("x^2 - y^2", "two hidden layers", "largest error, one construction",
                      universal.largest_error(deep, universal.saddle, 50_000, rng=0), "<", 0.4)
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
    run(main)
