"""Of a million chips, how many fail? Yield counted, told from other bit error rates, and by multilevel splitting.

A chip fails that loses more than --drop of the clean accuracy. Few chips show the mean; that 99.99 % of them are good
takes tens of thousands, or one of two shorter ways, which are held against the count where both can be had.

    python examples/chip_yield.py
    python examples/chip_yield.py --dataset fashion --trials 1000 --chips 40 --repetitions 20
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import bnnsim
from bnnsim.campaign import chip_yields, rare_failures, rare_yields
from bnnsim.faults import BitFlips
from bnnsim.statistics import quantile_interval

RATES = [0, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01]
LOW = [1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4]          # told from chips of RATES


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--network", default=bnnsim.datasets.data_file("fashion_cnn.h5"), help="a stored network")
    parser.add_argument("--dataset", default="fashion-subset", help="its test images are classified")
    parser.add_argument("--images", type=int, help="only the first IMAGES")
    parser.add_argument("--drop", type=float, default=0.01, help="what a good chip may lose, a share of 1")
    parser.add_argument("--trials", type=int, default=300, help="chips that are counted at each rate")
    parser.add_argument("--splitting", type=float, default=1e-4, help="the bit error rate at which chips are split")
    parser.add_argument("--chips", type=int, default=24, help="of a splitting")
    parser.add_argument("--repetitions", type=int, default=8, help="of the splitting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the figure and the row")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    network, test = bnnsim.PackedNetwork.load(options.network), bnnsim.load_dataset(options.dataset)[1][:options.images]
    result = bnnsim.sweep(network, test, RATES, options.trials, rng=options.seed)
    counted, told = chip_yields(result, options.drop), rare_yields(result, network, LOW, options.drop)
    limit = result.accuracy[0, 0, 0] - options.drop
    split = rare_failures(network, test, BitFlips(options.splitting), limit, options.chips, options.repetitions,
                          rng=options.seed)
    print(f"{counted.table()}\n\n{told.table()}\n\nat {options.splitting:g}\n{split.table()}")
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, rows, look in (("counted", counted.rows, "o"), ("from chips of other rates", told.rows, "s"),
                             ("split", [{"rate": options.splitting, **split.share._asdict()}], "D")):
        rate, share, low, high = (np.array([row[key] for row in rows]) for key in ("rate", "share", "low", "high"))
        left.errorbar(rate, share, [share - low, high - share], fmt=look, label=name, capsize=3, markersize=5)
    left.set(xscale="log", yscale="log", xlabel="bit error rate", ylabel="share of chips that fail", ylim=(1e-7, 1.5),
             title=f"lose more than {100 * options.drop:g} points")
    for share in (0.5, 0.9, 0.99):
        found = 100 * np.array([quantile_interval(chips, share)[:3] for chips in result.accuracy[0, 1:]])
        line, = right.plot(RATES[1:], found[:, 2], "o-", label=f"{100 * share:g} % of chips")
        right.fill_between(RATES[1:], found[:, 0], found[:, 1], color=line.get_color(), alpha=0.15)
    right.set(xscale="log", xlabel="bit error rate", ylabel="accuracy that so many reach (%)",
              title="medians and quantiles, with 95 % intervals from the order of chips")
    for axes in (left, right):
        axes.legend()
    figure.savefig(options.out / "yields.png", dpi=150)
    at = {row["rate"]: row for row in (*told.rows, *counted.rows)}
    mean = 100 * (result.mean()[0, RATES.index(1e-4)] - result.accuracy[0, 0, 0])
    said = [f"{rate:g}: {at[rate]['share']:.2g} ({at[rate]['low']:.2g} to {at[rate]['high']:.2g})"
            for rate in (1e-7, 1e-6, 1e-5, 1e-4)]
    one = split.share
    row = {"item": "Yield", "source": "arXiv:1904.03652",
           "literature": "a standard network stands a bit error rate of 1e-4 nearly without loss: said of means",
           "measured": f"mean change at 1e-4 {mean:+.2f} points; share of chips that lose more than "
                       f"{100 * options.drop:g} points (95 %), by rate {'; '.join(said)}; by splitting at "
                       f"{options.splitting:g}: {one.share:.2g} ({one.low:.2g} to {one.high:.2g}), {one.n:,} chips; "
                       f"{options.trials} chips a rate counted, {network.n_bits:,} bits, {len(test):,} images",
           "command": " ".join(["python examples/chip_yield.py", *sys.argv[1:]]),
           "counted": counted.rows, "told": told.rows, "splitting": one._asdict()}
    (options.out / "yields.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out}/yields.png and {options.out}/yields.json")


if __name__ == "__main__":
    main()
