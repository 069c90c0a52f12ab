"""Ternary weights on pairs of devices beside binary ones: of as many devices, and of as many reads of the memory.

A pair holds a ternary weight whose devices are each compared with a reference, or a binary one, sensed by comparing the
two. States are an example, no measurement: give your own.

    python examples/ternary_pairs.py
"""

import argparse
import json
import re
import shlex
import sys
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

import bnnsim
from bnnsim.devices import Cell1T1R, Cell2T2R, LogNormal
from bnnsim.faults import BitFlips, Fault, PairDevices
from bnnsim.files.out_arguments import made_folder
from bnnsim.packed import PackedNetwork
from bnnsim.training import with_ternary_weights

STATES = LogNormal(5e3, 0.3), LogNormal(5e4, 0.6)               # whose spreads are widened
KINDS = {"ternary pairs": "o-", "binary pairs, as many devices": "s--", "binary pairs, as many reads": "^--",
         "binary single devices, as many of both": "v:"}
WRONG = 0.05, 0.1, 0.2                                          # shares of weights


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="fashion-subset")
    parser.add_argument("--network", default="FC256 FC256 FC10", help="the layers that are trained")
    parser.add_argument("--images", type=int, help="only the first IMAGES of each half")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--dead-zone", type=float, default=0.7, help="in means of the size of latent weights")
    parser.add_argument("--spreads", type=float, nargs="+", default=[0.75, 1, 1.5, 2, 3], help="of the states, factors")
    parser.add_argument("--trials", type=int, default=3, help="chips of each")
    parser.add_argument("--trainings", type=int, default=1, help="seeds, from --seed on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def widened(spec: str, shape: tuple[int, int, int]) -> str:
    """The list of layers with hidden ones so much wider that there are twice as many weights, about."""
    def n_bits(spec: str) -> int:
        return bnnsim.pack(bnnsim.architectures.build(spec, shape, rng=0)).n_bits

    wanted, (*hidden, last), low, high = 2 * n_bits(spec), spec.split(), 1.0, 2.0
    for _ in range(12):
        middle = (low + high) / 2
        words = [re.sub(r"^(C|FC)(\d+)", lambda m: f"{m[1]}{round(int(m[2]) * middle)}", word) for word in hidden]
        low, high = (middle, high) if n_bits(wide := " ".join([*words, last])) < wanted else (low, middle)
    return wide


def cells(options: argparse.Namespace) -> tuple[list[Cell1T1R], list[Cell2T2R]]:
    """Of one device, and of two, by spread."""
    states = [[state.scaled(spread) for state in STATES] for spread in options.spreads]
    return [Cell1T1R(low, high) for low, high in states], [Cell2T2R(low, high) for low, high in states]


def measured(options: argparse.Namespace, seed: int) -> tuple[np.ndarray, np.ndarray, list[int], float]:
    """Accuracies (kinds, 1 + spreads, chips), first without errors; (ternary and binary, shares of wrong weights,
    chips); stored bits of each kind; the share of zeros."""
    train, test = (half[:options.images] for half in bnnsim.load_dataset(options.dataset))
    channels, height, width = train.images.shape[1:]
    shape, networks = (channels, height, width), []
    for i, spec in enumerate((options.network, options.network, widened(options.network, shape))):
        binary_model = bnnsim.architectures.build(spec, shape, rng=seed)
        model = binary_model if i else with_ternary_weights(binary_model, options.dead_zone)
        bnnsim.fit(model, train, options.epochs, rng=seed, batch_size=100)
        networks.append(bnnsim.pack(model))
    ternary, binary, wide = networks

    def accuracies(network: PackedNetwork, faults: Sequence[Fault]) -> list[list[float]]:
        return [[fault.apply(network, seed, trial).accuracy(test) for trial in range(options.trials)]
                for fault in faults]

    single, pairs = ([cell.fault() for cell in each] for each in cells(options))
    found = [accuracies(network, [BitFlips(0), *faults]) for network, faults in (
        (ternary, [PairDevices(fault) for fault in single]), (binary, pairs), (wide, pairs), (wide, single))]
    wrong = [accuracies(ternary, [BitFlips(1 - (1 - share) ** 0.5) for share in WRONG]),
             accuracies(binary, list(map(BitFlips, WRONG)))]
    levels = np.concatenate([layer.signs()[:, ::2] + layer.signs()[:, 1::2] for layer in ternary.layers], axis=None)
    return 100 * np.array(found), 100 * np.array(wrong), [net.n_bits for net in networks], float(np.mean(levels == 0))


def drawn(rates: list[float], found: np.ndarray) -> Figure:
    """Accuracy of each kind by the error rate of a device, and of ternary pairs less that of the others."""
    left, right = (figure := Figure(figsize=(12, 5), layout="constrained")).subplots(1, 2)
    for i, (kind, style) in enumerate(KINDS.items()):
        each, gain = found[:, i, 1:], (found[:, 0] - found[:, i]).mean(axis=2)[:, 1:]
        left.errorbar(rates, each.mean(axis=(0, 2)), each.std(axis=(0, 2)), fmt=style, label=kind)
        if i:
            right.errorbar(rates, gain.mean(0), gain.std(0), fmt=style, color=f"C{i}", label=kind)
    left.set(xscale="log", xlabel="error rate of a device by itself", ylabel="accuracy (%)")
    right.set(xscale="log", xlabel="error rate of a device by itself", ylabel="points of ternary pairs above ...")
    right.axhline(0, color="k", linewidth=0.5)
    left.legend(fontsize=8), right.legend(fontsize=8)
    return figure


def main() -> None:
    options = arguments()
    runs = [measured(options, options.seed + i) for i in range(options.trainings)]
    found, wrong = (np.array([run[part] for run in runs]) for part in (0, 1))   # (trainings, kinds, rates, chips)
    rates, paired = ([cell.error_rates().mean for cell in each] for each in cells(options))
    drawn(rates, found).savefig(options.out / "ternary.png", dpi=150)
    heads = ["without errors", *(f"a device at BER {p:.2g}, a pair at {q:.2g}" for p, q in zip(rates, paired))]
    told = [f"{head}: {' / '.join(f'{each:.1f}' for each in found.mean(axis=(0, 3))[:, i])} %"
            for i, head in enumerate(heads)]
    told += [f"{share:.0%} of weights a level off, or binary reversed: {one:.1f} / {other:.1f} %"
             for share, one, other in zip(WRONG, *wrong.mean(axis=(0, 3)))]
    spread = (found[:, :1, 0, 0] - found[:, 1:, 0, 0]).std(axis=0).max()
    zeros, sizes = np.mean([run[3] for run in runs]), runs[0][2]
    row = {"item": "Ternary weights on pairs", "source": "arXiv:2007.14234, arXiv:2505.07490", "literature":
           "ternary weights in 2T2R pairs are better than binary ones on CIFAR-10, and immune to the error type of their "
           "reading; more tolerant, 40 % less efficient", "measured":
           f"{options.dataset}, {options.network}, {zeros:.0%} zeros; {'; '.join([' / '.join(KINDS), *told])} "
           f"({options.trainings} trainings, {options.trials} chips; clean differences vary by {spread:.2f} with the "
           "training)", "accuracy": found.tolist(), "wrong": wrong.tolist(), "device_ber": rates, "pair_ber": paired,
           "n_bits": sizes, "command": shlex.join(["python", "examples/ternary_pairs.py", *sys.argv[1:]])}
    (options.out / "ternary.json").write_text(json.dumps(row) + "\n", encoding="utf-8")
    print(*told, f"{options.out}/ternary.png and {options.out}/ternary.json", sep="\n")


if __name__ == "__main__":
    main()
