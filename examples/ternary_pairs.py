"""Ternary weights on pairs of devices beside binary ones: of as many devices, and of as many reads of the memory.

A pair holds a ternary weight, each device compared with a reference, or a binary one. States are an example.
    python examples/ternary_pairs.py
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run
from bnnsim.devices import Cell1T1R, Cell2T2R, LogNormal
from bnnsim.faults import BitFlips, Fault, PairDevices
from bnnsim.training import with_ternary_weights

LRS, HRS, SPREADS, OFF, CHIPS = LogNormal(5e3, 0.3), LogNormal(5e4, 0.6), (0.75, 1, 1.5, 2, 3), (0.05, 0.1, 0.2), 3
KINDS = {"ternary pairs": "o-", "binary, same devices": "s--", "binary, same reads": "^--", "binary, same both": "v:"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="fashion-subset")
    parser.add_argument("--network", default="FC256 FC256 FC10", help="the layers that are trained")
    parser.add_argument("--wide", default="FC437 FC437 FC10", help="layers with twice as many weights")
    parser.add_argument("--images", type=count, help="only the first IMAGES of each half")
    parser.add_argument("--epochs", type=count, default=10)
    parser.add_argument("--seeds", type=count, default=1, help="trainings, from --seed on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def draw(accuracy: np.ndarray, rates: np.ndarray, dataset: str) -> Figure:
    """Accuracy of (trainings, kinds, faults, chips), over error rates of devices and over wrong weights."""
    left, right = (figure := Figure(figsize=(12, 5), layout="constrained")).subplots(1, 2, sharey=True)
    for i, (kind, style) in enumerate(KINDS.items()):
        for axes, x, part in (left, rates[0], accuracy[:, i, 1:6]), (right, OFF, accuracy[:, i, 6:]):
            axes.errorbar(x, part.mean(axis=(0, 2)), part.std(axis=(0, 2)), fmt=style, label=kind)
    left.set(xscale="log", xlabel="error rate of a device by itself", ylabel="accuracy (%)",
             title=f"devices of the same kind: {dataset}")
    right.set(xlabel="share of weights that are a level off, or reversed", title="as many wrong weights")
    right.tick_params(labelleft=True)
    left.legend(fontsize=8), right.legend(fontsize=8)
    return figure


def row_of(accuracy: np.ndarray, rates: np.ndarray, zeros: float, options: argparse.Namespace) -> dict[str, object]:
    """What goes into the table of docs/frontier.rst."""
    heads = ["no errors", *(f"a device at BER {p:.2g}, a pair at {q:.2g}" for p, q in zip(*rates)),
             *(f"{share:.0%} of weights a level off, or reversed" for share in OFF)]
    told = [f"{head}: {' / '.join(f'{each:.1f}' for each in part)} %"
            for head, part in zip(heads, accuracy.mean(axis=(0, 3)).T)]         # of trainings and chips
    measured = [f"{options.dataset}, not the source's CIFAR-10: {options.network}, {zeros:.0%} zeros, "
                f"{len(accuracy)} trainings, {accuracy.shape[3]} chips each", " / ".join(KINDS), *told]
    return {"item": "Ternary weights on pairs", "source": "arXiv:2007.14234, arXiv:2505.07490", "literature":
            "better than binary ones on CIFAR-10, immune to errors of reading; more tolerant, 40 % less efficient "
            "(other networks)",
            "measured": "; ".join(measured), "accuracy": accuracy.tolist()}


def main() -> None:
    options, found = arguments(), []
    train, test = (half[:options.images] for half in bnnsim.load_dataset(options.dataset))
    cells = [[cell(LRS.scaled(spread), HRS.scaled(spread)) for spread in SPREADS] for cell in (Cell1T1R, Cell2T2R)]
    alone, pairs = ([cell.fault() for cell in each] for each in cells)
    off = [[BitFlips(share) for share in shares] for shares in ([1 - (1 - p) ** 0.5 for p in OFF], OFF)]
    faults: list[Sequence[Fault]] = [[BitFlips(0), *map(PairDevices, alone), *off[0]],
                                     *([BitFlips(0), *each, *off[1]] for each in (pairs, pairs, alone))]
    for seed in range(options.seed, options.seed + options.seeds):
        networks = []                                           # ternary, binary, with twice the weights
        for i, spec in enumerate((options.network, options.network, options.wide)):
            binary = bnnsim.architectures.build(spec, train.images.shape[1:], rng=seed)
            model = binary if i else with_ternary_weights(binary)
            bnnsim.fit(model, train, options.epochs, rng=seed, batch_size=100)
            networks.append(bnnsim.pack(model))
        bits = np.concatenate([layer.signs().ravel() for layer in networks[0].layers])
        found.append([[[100 * fault.apply(network, seed, trial).accuracy(test) for trial in range(CHIPS)]
                       for fault in each] for network, each in zip((*networks, networks[2]), faults)])
    accuracy, rates = np.array(found), np.array([[cell.error_rates().mean for cell in each] for each in cells])
    draw(accuracy, rates, f"{len(test):,} images of {test.name}").savefig(options.out / "ternary.png", dpi=150)
    row = row_of(accuracy, rates, float(np.mean(bits[::2] != bits[1::2])), options)
    row["command"] = shlex.join(["python", "examples/ternary_pairs.py", *sys.argv[1:]])
    (options.out / "ternary.json").write_text(json.dumps(row) + "\n", encoding="utf-8")
    print(*str(row["measured"]).split("; "), f"{options.out}/ternary.png and {options.out}/ternary.json", sep="\n")


if __name__ == "__main__":
    run(main)
