"""Read a chip several times: accuracy, calibration, withheld answers; and images that are presented as random bits.

Temperatures are fitted to images that were set apart: to right reads, and to as many reads of the kind that is used.
    python examples/ensembles.py --dataset fashion --network "FC1024 FC1024 FC10" --epochs 10 --reads 32 --seed 0
"""

import argparse
import json
import shlex
import sys
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run
from bnnsim.faults import BitFlips, EachRead
from bnnsim.metrics import Ensemble, accuracy_over_coverage, ensemble, fit_temperature, stochastic_images

NOISE, COPIES = (0.05, 0.1, 0.15), 3                            # bit error rates of a read; random images of each


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="fashion-subset")
    parser.add_argument("--network", default="C32 MP2 C64 MP2 FC256 FC10", help="the layers that are trained")
    parser.add_argument("--images", type=count, help="only the first IMAGES of each half")
    parser.add_argument("--epochs", type=count, default=4)
    parser.add_argument("--reads", type=count, default=16, help="of a chip, and presentations of an image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def fitted(told: Ensemble, held: Ensemble) -> list[dict[str, Any]]:
    """The measures of each number of reads, and their calibration error at the temperature of so many others."""
    rows = told.rows()
    for row in rows:
        n = row["reads"]
        row["temperature"] = fit_temperature(held.scores[:n], held.labels)
        row["fitted_error"] = replace(told, temperature=row["temperature"]).measures(n)["calibration_error"]
    return rows


def main() -> None:
    options = arguments()
    train, test = (half[:options.images] for half in bnnsim.load_dataset(options.dataset))
    train, held = train[:-len(train) // 6], train[-len(train) // 6:]
    networks, images = [], stochastic_images(np.tile(train.images, (COPIES, 1, 1, 1)), np.random.default_rng(0))
    drawn = bnnsim.Split(images, np.tile(train.labels, COPIES), "random bits")
    for split, epochs in ((train, options.epochs), (drawn, -(-options.epochs // COPIES))):
        model = bnnsim.architectures.build(options.network, train.images.shape[1:], rng=options.seed)
        bnnsim.fit(model, split, epochs, rng=options.seed, batch_size=100)
        networks.append(bnnsim.pack(model))
    pixels = networks[0]
    degrees = [fit_temperature(network.scores(held.images), held.labels) for network in networks]
    clean = Ensemble(pixels.scores(test.images)[None], test.labels, degrees[0])
    kinds: dict[str, tuple] = {f"read at BER {p:g}": (pixels, EachRead(BitFlips(p)), degrees[0]) for p in NOISE}
    for name, network, degree in zip(("random bits", "random bits, trained on such"), networks, degrees):
        kinds[name] = network, None, degree
    several, found = dict[str, Ensemble](), dict[str, list[dict[str, Any]]]()
    figure = Figure(figsize=(15, 5), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for i, (name, (network, fault, degree)) in enumerate(kinds.items()):
        told, other = (ensemble(network, split, fault, options.reads, options.seed, trial=trial, temperature=degree,
                                stochastic=fault is None) for trial, split in enumerate((test, held)))
        several[name], found[name] = told, fitted(told, other)
        print(f"{name}\n{told.table()}")
        print("calibration error % at temperatures of such reads:",
              *(f"{100 * row['fitted_error']:.2f}" for row in found[name]), "\n")
        reads, *lines = zip(*([row["reads"], *(100 * row[key] for key in ("accuracy", "calibration_error",
                                                                          "fitted_error"))] for row in found[name]))
        left.plot(reads, lines[0], "o-", color=f"C{i}", label=name)
        middle.plot(reads, lines[1], "o--", color=f"C{i}", markerfacecolor="w")
        middle.plot(reads, lines[2], "o-", color=f"C{i}")
    clear, sure = clean.measures(), several[f"read at BER {NOISE[-1]:g}"]
    left.axhline(100 * clear["accuracy"], color="k", label="pixels, read right")
    middle.axhline(100 * clear["calibration_error"], color="k", label="pixels, read right")
    middle.plot([], [], "o--", color="gray", markerfacecolor="w", label="by the temperature of right reads")
    middle.plot([], [], "o-", color="gray", label="by that of as many such reads")
    left.set(ylabel="accuracy (%)", title=f"{test.name}, {len(test):,} images")
    middle.set(ylabel="calibration error (%)", ylim=(0, None), title="temperatures from images that were set apart")
    for ax in (left, middle):
        ax.set(xscale="log", xlabel="reads, or presentations of an image")
        ax.set_xticks(reads, list(map(str, reads))), ax.set_xticks([], minor=True)
    for name, each, n in (("read right", clean, 1), ("one read", sure, 1), (f"{options.reads} reads", sure, None)):
        coverage, accuracy = accuracy_over_coverage(each.probabilities(n), test.labels)
        right.plot(100 * coverage, 100 * accuracy, label=name)
    right.set(xlabel="images that are answered (%)", ylabel="accuracy of those (%)", title=f"BER {NOISE[-1]:g} a read")
    left.legend(fontsize=8), middle.legend(fontsize=8), right.legend(fontsize=8)
    figure.savefig(options.out / "ensembles.png", dpi=150)
    first, bits = (getattr(pixels.sizes()[-1], f"{kind}_macs") for kind in ("integer", "binary"))
    points = [f"{each['reads']}: {100 * (each['accuracy'] - clear['accuracy']):+.2f}"
              for each in found["random bits, trained on such"]]
    last = [f"{each['reads']}: {100 * each['calibration_error']:.1f} to {100 * each['fitted_error']:.1f}"
            for each in found[f"read at BER {NOISE[-1]:g}"]]
    one, most = (f"{100 * sure.measures(n)['accuracy']:.2f} %" for n in (1, None))
    row = {"item": "Ensembles and stochastic input", "source": "arXiv:1906.00915, arXiv:2309.07789", "literature":
           "stochastic binary input: 1.4 points lost on Fashion-MNIST for 2.1 times less energy; read and write noise: "
           "over 97 % (MNIST)",
           "measured": f"{test.name}: points by presentations {', '.join(points)}; counted, no energy: products an "
           f"image in the first layer {first:,} of 8 bits, or {first:,} of 1 bit a presentation, in the others "
           f"{bits:,} of 1 bit, each presentation anew; accuracy read right "
           f"{100 * clear['accuracy']:.2f} %, at BER {NOISE[-1]:g} {one}, {options.reads} such reads {most}; "
           f"calibration error in %: read right {100 * clear['calibration_error']:.1f}, at BER {NOISE[-1]:g} by reads, "
           f"from the temperature of right reads to that of as many such reads of other images {', '.join(last)}",
           "rows": found, "command": shlex.join(["python", "examples/ensembles.py", *sys.argv[1:]])}
    (options.out / "ensembles.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out}/ensembles.png and {options.out}/ensembles.json")


if __name__ == "__main__":
    run(main)
