"""Sensing at a low supply: 2T2R pairs of small margin read wrong, and the images that fail are those that were hard.

What a falling supply costs stands beside independent errors of the same mean rate at each read. States, noise and
voltages are an example, no measurement: give your own.

    python examples/low_supply.py
"""

import argparse
import json
import sys

import numpy as np
from matplotlib.figure import Figure

import bnnsim
from bnnsim.commands.scripts import count, made_folder, positive, run
from bnnsim.devices import Cell2T2R, LogNormal, SupplySensing
from bnnsim.faults import BitFlips, EachRead
from bnnsim.figures.style import line_style

CELL = Cell2T2R(LogNormal(5e3, 0.3), LogNormal(5e4, 0.6), offset_sigma=0.05, read_sigma=0.1)        # at 1.2 V


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--network", default="fashion_fcnn", help="a stored network")
    parser.add_argument("--dataset", default="fashion-subset", help="its test images are classified")
    parser.add_argument("--images", type=count, help="only the first IMAGES")
    parser.add_argument("--chips", type=count, default=4)
    parser.add_argument("--reads", type=count, default=4, help="of each chip")
    parser.add_argument("--volts", type=positive, nargs="+", default=[1.2, 0.8, 0.7, 0.66, 0.64, 0.63, 0.62])
    parser.add_argument("--threshold", type=positive, default=0.6, help="threshold voltage of the amplifiers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    network, test = bnnsim.load_network(options.network), bnnsim.load_dataset(options.dataset)[1]
    test = test[:options.images]
    rates, found, even, weak = [], [], [], []
    for volt in options.volts:
        fault, among = SupplySensing(CELL, 1.2, options.threshold, volt), (options.chips, options.reads, options.seed)
        rates.append(fault.error_rates().mean)
        found.append(bnnsim.metrics.hard_images(network, test, fault, *among))
        even.append(bnnsim.metrics.hard_images(network, test, EachRead(BitFlips(rates[-1])), *among))
        pairs = np.sort(np.concatenate([p.ravel() for p in fault.pair_error_rates(network, options.seed).values()]))
        weak.append(float(pairs[-len(pairs) // 20:].sum() / pairs.sum()))       # of the errors, on 5 % of the pairs
    left, right = (figure := Figure(figsize=(12, 4.8), layout="constrained")).subplots(1, 2)
    for i, (name, results) in enumerate({"each memory pair has a margin of its own": found,
                                         "as many errors, spread evenly": even}.items()):
        lost = [100 * (each.failures / each.n_reads).mean(axis=1) for each in results]
        left.errorbar(np.subtract(options.volts, options.threshold), np.mean(lost, axis=1), np.std(lost, axis=1),
                      label=name, **line_style(i))
    left.set(xlabel="supply (V), by its logarithm above the threshold", xscale="log", ylabel="right answers lost (%)",
             title=f"{options.chips} chips, {options.reads} reads each; bars: standard deviation over chips")
    left.set_xticks(np.subtract(options.volts, options.threshold), options.volts)
    left.minorticks_off()
    left.legend()
    drawn = [(f"{volt:g} V, BER {rate:.2g}", each) for volt, rate, each in zip(options.volts, rates, found)]
    bnnsim.plotting.failing_images(dict(drawn[-4:]), ax=right)
    right.set_ylim(top=110)                                     # the legend stands above all lines
    figure.savefig(options.out / "supply.png", dpi=150)
    told = [f"BER {rate:.2g}: {100 * each.share.mean():.1f} % fail (spread evenly {100 * other.share.mean():.1f} %), "
            f"area {each.area:.3f} +- {np.std(each.area_by_chip):.3f}, {100 * part:.0f} % of errors on 5 % of memory "
            "pairs"
            for rate, each, other, part in zip(rates, found, even, weak)]
    row = {"item": "Supply voltage to hard images", "source": "arXiv:2305.12875",
           "literature": "images misclassified under low light are mostly the difficult ones",
           "measured": f"{'; '.join(told)} (of answers right without errors; area: probability that an image that "
                       f"fails had a smaller lead than one that stands; standard deviation over {options.chips} chips, "
                       f"{options.reads} reads each, {len(test):,} images)",
           "command": " ".join(["python examples/low_supply.py", *sys.argv[1:]]), "volts": options.volts, "ber": rates,
           "lost": [float(each.share.mean()) for each in found], "area": [each.area for each in found]}
    (options.out / "supply.json").write_text(json.dumps(row).replace("NaN", "null") + "\n", encoding="utf-8")
    print(*told, f"{options.out}/supply.png and {options.out}/supply.json", sep="\n")


if __name__ == "__main__":
    run(main)
