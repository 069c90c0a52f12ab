"""Of a million chips, how many fail? Yield counted, told from other bit error rates, and by multilevel splitting.

A chip fails that loses more than --drop. Failures by one or two bits of the first layer are told from chips with more,
others by splitting.
    python examples/chip_yield.py --trials 400 --told 400 --chips 24 --repetitions 10
"""

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import bnnsim
from bnnsim.campaign import chip_yields, layer_failures, rare_failures, rare_yields
from bnnsim.commands.scripts import count, fraction, made_folder, run
from bnnsim.faults import BitFlips
from bnnsim.statistics import quantile_interval

RATES, LOW, WHOLE = [0, 1e-4, 3e-4, 1e-3, 3e-3, 0.01], [1e-7, 1e-6, 1e-5, 1e-4, 1e-3], 1e-6
SERIES = {"all layers, counted": ("o", 0.9), "all layers, layer 0 weighted and the others split": ("*", 1.1),
          "first layer alone, counted": ("o", 1.1),              # a mark, and a shift to be seen
          "first layer alone, from chips of other rates": ("D", 0.9)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="fashion-subset", help="its test images are classified")
    parser.add_argument("--images", type=count, help="only the first IMAGES")
    parser.add_argument("--drop", type=fraction, default=0.003, help="what a good chip may lose, a share of 1")
    parser.add_argument("--trials", type=count, default=50, help="chips that are counted at each rate")
    parser.add_argument("--told", type=count, default=20, help="chips a rate from which the first layer is told")
    parser.add_argument("--chips", type=count, default=8, help="of a splitting")
    parser.add_argument("--repetitions", type=count, default=4, help="of the splitting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def said(row: Mapping[str, float]) -> str:
    return f"{row['share']:.2g} ({row['low']:.2g} to {row['high']:.2g})"


def draw_shares(axes: Axes, name: str, rows: Sequence[Mapping[str, Any]], color: str) -> None:
    """Shares that fail, with bars; where none failed an arrow from the most that can."""
    mark, shift = SERIES[name]
    rate, share, low, high = (np.array([row[key] for row in rows]) for key in ("rate", "share", "low", "high"))
    seen = share > 0
    axes.errorbar(shift * rate[seen], share[seen], np.c_[share - low, high - share][seen].T.tolist(), fmt=mark,
                  color=color, label=name, capsize=3)
    axes.errorbar(shift * rate[~seen], high[~seen], 0.7 * high[~seen], uplims=True, fmt="_", color=color)


def draw_quantiles(axes: Axes, accuracy: np.ndarray) -> None:
    """What shares of chips reach, with bars; a triangle where so few chips bound nothing below."""
    bottom = 100 * accuracy.min() - 0.5
    for i, part in enumerate((0.5, 0.9, 0.99)):
        x, found = np.array(RATES[1:]) * 1.06 ** (i - 1), [quantile_interval(chips, part)[:3] for chips in accuracy[1:]]
        low, high, at = 100 * np.array(found).T
        axes.errorbar(x, at, [at - np.maximum(low, bottom), high - at], fmt="o-", color=f"C{i}",
                      label=f"{100 * part:g} % of chips")
        axes.plot(x[low == 0], np.full(np.sum(low == 0), bottom + 0.04), "v", color=f"C{i}")
    axes.plot([], [], "v", color="gray", label="not bounded below by so few chips")
    axes.set(xscale="log", xlabel="bit error rate", ylabel="accuracy that a share of chips reaches (%)",
             ylim=(bottom, 100 * accuracy.max() + 0.5), title="all layers, counted")


def main() -> None:
    options = arguments()
    network = bnnsim.load_network("fashion_cnn")
    test = bnnsim.load_dataset(options.dataset)[1][:options.images]
    result, first = (bnnsim.sweep(network, test, RATES, options.trials, rng=options.seed, faults=BitFlips(0, layers))
                     for layers in (None, (0,)))
    counted, told = chip_yields(result, options.drop), rare_yields(first, network, LOW, options.drop)
    limit, untouched = result.accuracy[0, 0, 0] - options.drop, (1 - WHOLE) ** network.layers[0].n_bits
    touching = layer_failures(network, test, WHOLE, limit, trials=options.told, rng=options.seed, level=0.975)
    others = rare_failures(network, test, BitFlips([WHOLE * (i > 0) for i in range(len(network.layers))]), limit,
                           options.chips, options.repetitions, rng=options.seed, level=0.975, moves=2)
    whole = {"rate": WHOLE, **{key: getattr(touching, key) + untouched * getattr(others.share, key)      # 95 % at least
                               for key in ("share", "low", "high")}}
    print(f"all layers\n{counted.table()}\n\nfirst layer\n{told.table()}\n\n"
          f"without errors in layer 0\n{others.table()}\n\nall layers at {WHOLE:g}: {said(whole)}, with a wrong bit in "
          f"layer 0 {said(touching._asdict())}")
    left, right = (figure := Figure(figsize=(11, 4.5), layout="constrained")).subplots(1, 2)
    for i, (name, rows) in enumerate(zip(SERIES, (counted.rows, [whole], chip_yields(first, options.drop).rows,
                                                  told.rows))):
        draw_shares(left, name, rows, f"C{i}")
    left.plot([], [], "v", color="gray", label="none failed: arrow from the most that can")
    left.set(xscale="log", yscale="log", ylim=(1e-6, 30), xlabel="bit error rate", ylabel="share of chips that fail",
             title=f"fail: lose over {100 * options.drop:g} points of {len(test):,} images of {test.name}")
    draw_quantiles(right, result.accuracy[0])
    left.legend(fontsize=8), right.legend(fontsize=8)
    figure.savefig(options.out / "yields.png", dpi=150)
    verdict = "not reached" if whole["low"] > 1e-4 else "reached" if whole["high"] <= 1e-4 else "not decided"
    row = {"item": "Yield", "source": "arXiv:1904.03652",
           "literature": "a standard network stands a bit error rate of 1e-4 nearly without loss: said of means",
           "measured": f"{len(test):,} images: at 1e-4 {100 * np.diff(result.mean()[0])[0]:+.2f} points in the mean. "
           f"Chips that lose over {100 * options.drop:g}: at 1e-4 {said(counted.rows[0])}, counted; at {WHOLE:g} of "
           f"the whole chip {said(whole)}, so a yield of 99.99 % is {verdict}; of it with a wrong bit in layer 0 "
           f"{said(touching._asdict())}, told of {options.told} chips a rate, without {said(others.share._asdict())}, "
           f"split; by layer 0 alone {said(told.rows[1])}",
           "command": shlex.join(["python", "examples/chip_yield.py", *sys.argv[1:]]), "told": told.rows,
           "whole": {**whole, "layer 0": touching._asdict(), "others": others.share._asdict()}}
    (options.out / "yields.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out}/yields.png and {options.out}/yields.json")


if __name__ == "__main__":
    run(main)
