"""Of a million chips, how many fail? Yield counted, told from other bit error rates, and by multilevel splitting.

A chip fails that loses more than --drop. Failures by one or two bits of the first layer are told from chips with more.
    python examples/chip_yield.py --trials 400 --chips 24 --repetitions 10
"""

import argparse
import json
import shlex
import sys
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

import bnnsim
from bnnsim.campaign import chip_yields, rare_failures, rare_yields
from bnnsim.commands.scripts import made_folder, run
from bnnsim.faults import BitFlips
from bnnsim.statistics import quantile_interval

RATES, LOW, SPLIT = [0, 1e-4, 3e-4, 1e-3, 3e-3, 0.01], [1e-7, 1e-6, 1e-5, 1e-4, 1e-3], 0.01


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="fashion-subset", help="its test images are classified")
    parser.add_argument("--images", type=int, help="only the first IMAGES")
    parser.add_argument("--drop", type=float, default=0.003, help="what a good chip may lose, a share of 1")
    parser.add_argument("--trials", type=int, default=50, help="chips that are counted at each rate")
    parser.add_argument("--chips", type=int, default=8, help="of a splitting")
    parser.add_argument("--repetitions", type=int, default=4, help="of the splitting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def said(row: Mapping[str, float]) -> str:
    return f"{row['share']:.2g} ({row['low']:.2g} to {row['high']:.2g})"


def main() -> None:
    options = arguments()
    network = bnnsim.PackedNetwork.load(bnnsim.datasets.data_file("fashion_cnn.h5"))
    test = bnnsim.load_dataset(options.dataset)[1][:options.images]
    result, first = (bnnsim.sweep(network, test, RATES, options.trials, rng=options.seed, faults=BitFlips(0, layers))
                     for layers in (None, (0,)))
    counted, told = chip_yields(result, options.drop), rare_yields(first, network, LOW, options.drop)
    splitting = rare_failures(network, test, BitFlips(SPLIT), result.accuracy[0, 0, 0] - 5 * options.drop,
                              options.chips, options.repetitions, rng=options.seed)
    split = {"rate": SPLIT, **splitting.share._asdict()}
    print(f"all layers\n{counted.table()}\n\nfirst layer\n{told.table()}\n\nall layers\n{splitting.table()}")
    left, right = (figure := Figure(figsize=(11, 4.5), layout="constrained")).subplots(1, 2)
    for name, rows in {"all layers, counted": counted.rows, "all layers, 5 times as much, split": [split],
                       "first layer, counted": chip_yields(first, options.drop).rows,
                       "first layer, from chips of other rates": told.rows}.items():
        rate, share, low, high = (np.array([row[key] for row in rows]) for key in ("rate", "share", "low", "high"))
        left.errorbar(rate, share, np.c_[share - low, high - share].T.tolist(), fmt="o", label=name, capsize=3)
    left.set(xscale="log", yscale="log", ylim=(1e-7, 1.5), xlabel="bit error rate", ylabel="share of chips that fail",
             title=f"fail: lose over {100 * options.drop:g} points of {len(test):,} test images")
    for part in (0.5, 0.9, 0.99):
        found = 100 * np.array([quantile_interval(chips, part)[:3] for chips in result.accuracy[0, 1:]])
        right.errorbar(RATES[1:], found[:, 2], abs(found[:, :2] - found[:, 2:]).T, fmt="o-", label=f"{100 * part:g} %")
    right.set(xscale="log", xlabel="bit error rate", ylabel="accuracy that a share of chips reaches (%)",
              ylim=(100 * result.accuracy.min() - 0.5, 100 * result.accuracy.max() + 0.5))
    left.legend(fontsize=8), right.legend(fontsize=8)
    figure.savefig(options.out / "yields.png", dpi=150)
    row = {"item": "Yield", "source": "arXiv:1904.03652",
           "literature": "a standard network stands a bit error rate of 1e-4 nearly without loss: said of means",
           "measured": f"{len(test):,} images: at 1e-4 {100 * np.diff(result.mean()[0])[0]:+.2f} points in the mean. "
           f"Chips that lose over {100 * options.drop:g}: at 1e-4 {said(counted.rows[0])}, counted; at 1e-6 by layer 0 "
           f"{said(told.rows[1])}, told of {options.trials} chips a rate; over 5 times it at 0.01 {said(split)}",
           "command": shlex.join(["python", "examples/chip_yield.py", *sys.argv[1:]]), "told": told.rows}
    (options.out / "yields.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out}/yields.png and {options.out}/yields.json")


if __name__ == "__main__":
    run(main)
