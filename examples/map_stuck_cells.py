"""Stuck cells that a test has found: what a chip gains by storing units inverted, in other rows, and on spare rows.

Each chip of each mapping is the same chip; the yield is the share of chips that reach a wanted accuracy.

    python examples/map_stuck_cells.py
    python examples/map_stuck_cells.py --dataset fashion --trials 20 --shares 0 0.2 0.3
"""

import argparse
import json
import sys

import numpy as np
from matplotlib.figure import Figure

import bnnsim
from bnnsim.commands.scripts import count, fraction, made_folder, run
from bnnsim.faults import Remapped, StuckAt
from bnnsim.figures.style import line_style
from bnnsim.statistics.yields import yield_interval

STUCK = StuckAt(0.5, 0.5)                                       # half at 0, half at 1; `at` sets how many
MAPPINGS: dict[str, StuckAt | Remapped] = {
    "as it comes": STUCK, "units inverted": Remapped(STUCK),
    "inverted and in other rows": Remapped(STUCK, permute="units")}
OTHERS: dict[str, StuckAt | Remapped] = {                       # on a few of these chips
    "64 weights inverted": Remapped(STUCK, segment=64),
    "units in other rows": Remapped(STUCK, invert=False, permute="units"),
    "inverted and in other rows, greedy": Remapped(STUCK, permute="units", method="greedy"),
    "inverted and in other rows, 8 spare": Remapped(STUCK, permute="units", n_spare=8)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--network", default="fashion_cnn", help="a stored network")
    parser.add_argument("--dataset", default="fashion-subset", help="its test images are classified")
    parser.add_argument("--images", type=count, help="only the first IMAGES")
    parser.add_argument("--shares", type=fraction, nargs="+", default=[0.1, 0.2, 0.3], help="of stuck cells")
    parser.add_argument("--trials", type=count, default=40, help="chips")
    parser.add_argument("--few", type=count, default=4, help="chips of the mappings that the row leaves out")
    parser.add_argument("--wanted", type=fraction, default=0.85, help="accuracy of a chip that is sold")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def draw(results: list[bnnsim.SweepResult], sold: np.ndarray, wanted: float) -> Figure:
    """Accuracy of all mappings, and the yield of those that ran on many chips, whose bars alone stand side by side."""
    left, right = (figure := Figure(figsize=(12, 5.6), layout="constrained")).subplots(1, 2)
    bnnsim.plotting.ber_curve(dict(zip(("many", "few"), results)), ax=left, xscale="linear")
    left.get_legend().remove()
    left.set_title(f"{left.get_title()}; bands: 95 % intervals of the mean", fontsize=10)
    for m, (low, high, share) in enumerate(100 * sold.transpose(0, 2, 1)):
        style, shares = line_style(m), results[0].rates
        right.plot(shares, share, **style)
        right.errorbar(shares + 0.003 * (m - 1), share, (share - low, high - share), fmt="none", ecolor=style["color"])
    right.set(xlabel=left.get_xlabel(), ylabel=f"chips with {100 * wanted:g} % or more (%)")
    right.set_title(f"yield of {results[0].accuracy.shape[2]} chips; bars: exact 95 % intervals", fontsize=10)
    names = [f"{name} ({result.accuracy.shape[2]} chips)" for mappings, result in zip((MAPPINGS, OTHERS), results)
             for name in mappings]
    lines = [right.plot([], [], **line_style(i))[0] for i in range(len(names))]
    figure.legend(lines, names, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def main() -> None:
    options = arguments()
    network, test = bnnsim.load_network(options.network), bnnsim.load_dataset(options.dataset)[1]
    test = test[:options.images]
    results = [bnnsim.sweep(network, test, options.shares, trials, rng=options.seed, faults=faults, progress=False)
               for faults, trials in ((MAPPINGS, options.trials), (OTHERS, options.few))]
    print(*(result.table() for result in results), sep="\n")
    sold = np.array([[yield_interval(chips, options.wanted)[:3] for chips in of_mapping]
                     for of_mapping in results[0].accuracy])    # (mappings, shares, 3): low, high, share
    draw(results, sold, options.wanted).savefig(options.out / "mapping.png", dpi=150)
    faults, mean = {**MAPPINGS, **OTHERS}, 100 * np.concatenate([result.mean() for result in results])
    spread = 100 * np.concatenate([result.accuracy.std(axis=2) for result in results])
    found = [f"{100 * share:.0f} % stuck: " + ", ".join(
        "{} {:.1f} % (yield {:.0f} %, {:.0f} to {:.0f})".format(name, mean[m, i], *100 * sold[m, i, [2, 0, 1]])
        for m, name in enumerate(MAPPINGS)) for i, share in enumerate(options.shares)]
    cells = {name: fault.cost(network).cells_per_bit for name, fault in faults.items() if isinstance(fault, Remapped)}
    print("\n".join(f"{name:36}{n:.3f} cells a weight" for name, n in cells.items()))
    row = {"item": "Fault-aware mapping",
           "literature": "inverting what meets stuck cells: perplexity 35 % lower, at under 3 % energy and 1 % area; "
                         "transformed weights: within 1 to 2 % of the ideal (other networks)",
           "source": "arXiv:2506.01140, arXiv:2512.18459",
           "measured": f"{'; '.join(found)} (mean of {options.trials} chips, {len(test):,} images; yield: chips with "
                       f"{100 * options.wanted:g} % or more, exact 95 % intervals)",
           "command": " ".join(["python examples/map_stuck_cells.py", *sys.argv[1:]]),
           "shares": options.shares, "cells_per_weight": cells, "chips": {"few": options.few, "many": options.trials},
           "accuracy": dict(zip(faults, mean.tolist())), "spread": dict(zip(faults, spread.tolist())),
           "yield": dict(zip(MAPPINGS, sold[:, :, 2].tolist())),
           "yield_95": dict(zip(MAPPINGS, sold[:, :, :2].tolist()))}
    (options.out / "mapping.json").write_text(json.dumps(row) + "\n", encoding="utf-8")
    print(f"{options.out}/mapping.png and {options.out}/mapping.json")


if __name__ == "__main__":
    run(main)
