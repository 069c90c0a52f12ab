"""Read a chip several times: accuracy, calibration, withheld answers; and images that are presented as random bits.
    python examples/ensembles.py --dataset fashion --network "FC1024 FC1024 FC10" --epochs 10 --reads 32 --seed 0
"""

import argparse
import json
import shlex
import sys

import numpy as np
from matplotlib.figure import Figure

import bnnsim
from bnnsim.commands.scripts import made_folder, run
from bnnsim.faults import BitFlips, EachRead
from bnnsim.metrics import Ensemble, accuracy_over_coverage, ensemble, fit_temperature, stochastic_images

NOISE, COPIES = (0.05, 0.1, 0.15), 3                            # bit error rates of a read; random images of each


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="fashion-subset")
    parser.add_argument("--network", default="C32 MP2 C64 MP2 FC256 FC10", help="the layers that are trained")
    parser.add_argument("--images", type=int, help="only the first IMAGES of each half")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--reads", type=int, default=16, help="of a chip, and presentations of an image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    train, test = (half[:options.images] for half in bnnsim.load_dataset(options.dataset))
    train, held_out = train[:-len(train) // 6], train[-len(train) // 6:]
    networks, images = [], stochastic_images(np.tile(train.images, (COPIES, 1, 1, 1)), np.random.default_rng(0))
    drawn = bnnsim.Split(images, np.tile(train.labels, COPIES), "random bits")
    for split, epochs in ((train, options.epochs), (drawn, -(-options.epochs // COPIES))):
        model = bnnsim.architectures.build(options.network, train.images.shape[1:], rng=options.seed)
        bnnsim.fit(model, split, epochs, rng=options.seed, batch_size=100)
        networks.append(bnnsim.pack(model))
    pixels = networks[0]
    degree = fit_temperature(pixels.scores(held_out.images), held_out.labels)
    clean = Ensemble(pixels.scores(test.images)[None], test.labels, degree)
    several = {f"read at BER {p:g}": ensemble(pixels, test, EachRead(BitFlips(p)), options.reads, options.seed,
                                              temperature=degree) for p in NOISE}
    noisy = several[f"read at BER {NOISE[-1]:g}"]
    for name, network in zip(("random bits", "random bits, trained on such"), networks):
        several[name] = ensemble(network, test, None, options.reads, options.seed, stochastic=True)
    left, right = (figure := Figure(figsize=(12, 5), layout="constrained")).subplots(1, 2)
    clear = clean.measures()["accuracy"]
    for name, found in several.items():
        left.plot(*zip(*((row["reads"], 100 * row["accuracy"]) for row in found.rows())), "o-", label=name)
        print(f"{name}\n{found.table()}\n")
    left.axhline(100 * clear, color="k", label="pixels, read right")
    left.set(xscale="log", xlabel="reads, or presentations of an image", ylabel="accuracy (%)",
             title=f"{len(test):,} test images")
    for name, each, n in (("read right", clean, 1), ("one read", noisy, 1), (f"{options.reads} reads", noisy, None)):
        coverage, accuracy = accuracy_over_coverage(each.probabilities(n), test.labels)
        right.plot(100 * coverage, 100 * accuracy, label=name)
    right.set(xlabel="images that are answered (%)", ylabel="accuracy of those (%)", title=f"BER {NOISE[-1]:g} a read")
    left.legend(fontsize=8), right.legend(fontsize=8)
    figure.savefig(options.out / "ensembles.png", dpi=150)
    read, one, all_reads = (f"{100 * each['accuracy']:.2f} % ({100 * each['calibration_error']:.1f})" for each in (
        clean.measures(), noisy.measures(1), noisy.measures()))
    points = [f"{each['reads']}: {100 * (each['accuracy'] - clear):+.2f}" for each in found.rows()]
    row = {"item": "Ensembles and stochastic input", "source": "arXiv:1906.00915, arXiv:2309.07789", "literature":
           "stochastic binary input: 1.4 points lost on Fashion-MNIST; read and write noise: over 97 % (MNIST)",
           "measured": f"{test.name}: points by presentations {', '.join(points)}; accuracy (calibration error): read "
           f"right {read}, at BER {NOISE[-1]:g} {one}, {options.reads} such reads {all_reads}",
           "rows": {name: each.rows() for name, each in several.items()},
           "command": shlex.join(["python", "examples/ensembles.py", *sys.argv[1:]])}
    (options.out / "ensembles.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out}/ensembles.png and {options.out}/ensembles.json")


if __name__ == "__main__":
    run(main)
