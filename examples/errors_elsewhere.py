"""Errors that are not in the weights: thresholds, the output's numbers, popcounts, activations; in training, too.

A network is trained as it is, and with wrong activations; then each part is broken alone.
    BNNSIM_DATA=FOLDER python examples/errors_elsewhere.py --dataset mnist cifar10 --epochs 8 --trials 20 --seed 0
"""

import argparse
import json
import shlex
import sys

import numpy as np
from matplotlib.figure import Figure

import bnnsim
from bnnsim.commands.scripts import made_folder, run
from bnnsim.faults import ActivationErrors, BitFlips, InOutput, InThresholds, PopcountErrors, PopcountNoise
from bnnsim.faults.protocol import RatedFault
from bnnsim.training.layers import with_bit_noise

RATES, NOISE = [0, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.0312, 0.1], 0.03        # of activations in training
PARTS: dict[str, RatedFault] = {
    "weights": BitFlips(0), "thresholds": InThresholds(BitFlips(0)), "output batch norm": InOutput(BitFlips(0)),
    "activations": ActivationErrors(0), "popcounts off by one": PopcountErrors(0)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", nargs="+", default=["fashion-subset"], help="one panel each")
    parser.add_argument("--network", default="C32 MP2 C64 MP2 FC256 FC10", help="the layers that are trained")
    parser.add_argument("--images", type=int, help="only the first IMAGES of each half")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--trials", type=int, default=5, help="chips a rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def trained(options: argparse.Namespace, train: bnnsim.Split, noise: float) -> bnnsim.PackedNetwork:
    offset = 128 if train.images.shape[1] == 3 else 0
    model = bnnsim.architectures.build(options.network, train.images.shape[1:], offset, rng=options.seed)
    noisy = bnnsim.Sequential(with_bit_noise(model.layers, noise, options.seed), model.input_shape)
    bnnsim.fit(noisy, train, options.epochs, rng=options.seed, batch_size=100)
    return bnnsim.pack(noisy)


def main() -> None:
    options, said, found = arguments(), [], {}
    figure = Figure(figsize=(5.5 * len(options.dataset), 5), layout="constrained")
    for ax, name in zip(np.ravel(figure.subplots(1, len(options.dataset))), options.dataset):
        train, test = (half[:options.images] for half in bnnsim.load_dataset(name))
        plain, noisy = (trained(options, train, noise) for noise in (0.0, NOISE))
        result = bnnsim.sweep(plain, test, RATES, options.trials, options.seed, faults=PARTS, axis="share_of_errors")
        hardened = bnnsim.sweep(noisy, test, RATES, options.trials, options.seed, faults=ActivationErrors(0))
        normal = bnnsim.sweep(plain, test, [0.0312], options.trials, options.seed, faults=PopcountNoise(0))
        result.plot(ax=ax).set_title(f"{name}, {len(test):,} test images: each part broken alone", fontsize=10)
        ax.plot(RATES[1:], 100 * hardened.mean()[0, 1:], "k:", label="network, activations, trained with errors")
        ax.legend(fontsize=7)
        mean, clean, at = 100 * result.mean(), 100 * plain.accuracy(test), RATES.index(0.0312)
        spread = 100 * result.accuracy[:, at].std(axis=1, ddof=1)
        lost = {part: f"{clean - mean[s, at]:.2f} +- {spread[s]:.2f}" for s, part in enumerate(PARTS)}
        stands = [f"{result.tolerated(0.01, f'network, {part}').rate:.2g} ({part})" for part in list(PARTS)[:3]]
        said.append(f"{name} ({clean:.2f} % of {len(test):,} test images): points lost at 3.12 % of "
                    f"{', '.join(map(': '.join, lost.items()))}, by a normal error of popcounts "
                    f"{clean - 100 * normal.mean()[0, 0]:.2f}; one is lost at rates of {', '.join(stands)}; "
                    f"{100 * NOISE:g} % wrong activations in training: {100 * noisy.accuracy(test):.2f} % clean, "
                    f"{100 * hardened.mean()[0, at]:.2f} at 3.12 % wrong, before {mean[3, at]:.2f}")
        found[name] = {"clean": clean, "accuracy": dict(zip(PARTS, mean.tolist())), "lost": lost}
    figure.savefig(options.out / "errors_elsewhere.png", dpi=150)
    row = {"item": "Errors elsewhere", "source": "Ezzadeen et al.; Devnath et al. 2020; arXiv:1905.10927",
           "literature": "3.12 % popcount errors cost 0.07 points (MNIST), 0.35 (CIFAR-10); batch norm is more fragile "
           "than weights; a few percent of wrong activations in training do no harm", "measured": "; ".join(said),
           "command": shlex.join(["python", "examples/errors_elsewhere.py", *sys.argv[1:]]), "networks": found}
    (options.out / "errors_elsewhere.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print("\n".join(said) + f"\n{options.out}/errors_elsewhere.png and {options.out}/errors_elsewhere.json")


if __name__ == "__main__":
    run(main)
