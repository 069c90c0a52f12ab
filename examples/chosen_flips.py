"""Flips chosen by an adversary: what is proven of a convolution, what an attack needs, and what random errors need.

On the left certificates of each convolution of a small network, with and without what its shared weights tell, beside a
greedy attack; on the right how many flips, chosen by a progressive search, halve the accuracy of networks.

    python examples/chosen_flips.py
    python examples/chosen_flips.py --epochs 12 --images 200 --flips 4000 --trials 10
"""

import argparse
import json
import sys

import numpy as np
from matplotlib.figure import Figure

import bnnsim
from bnnsim.commands.scripts import made_folder, run
from bnnsim.proofs import breaking_flips, certified_flips, progressive_flips

SMALL, RATES = "C8 MP2 C16 MP2 FC10", [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4]
SHIPPED = {"standard": "fashion_fcnn.h5", "flip-trained": "fashion_fcnn_flip.h5"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--epochs", type=int, default=6, help="of the small network's training")
    parser.add_argument("--images", type=int, default=100, help="that are certified, and that the attacker has")
    parser.add_argument("--flips", type=int, default=2000, help="chosen at most")
    parser.add_argument("--trials", type=int, default=4, help="chips with random errors")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    (train, test), told = bnnsim.load_embedded(), []
    few, unseen = test[:options.images], test[options.images:]
    left, right = (figure := Figure(figsize=(12, 5), layout="constrained")).subplots(1, 2)
    model = bnnsim.architectures.build(SMALL, (1, 28, 28), rng=options.seed)
    bnnsim.fit(model, train, options.epochs, rng=options.seed, batch_size=50, progress=False)
    network = bnnsim.pack(model)
    plain, shared = (certified_flips(network, few.images, singles=True, shared=on).layers for on in (False, True))
    for i, colour in enumerate(("C0", "C1")):
        attack = np.array([np.inf if one is None else len(one) for one in breaking_flips(network, few.images, i)])
        names = "proven, 0 or 1", "proven, shared weights", "attack"
        for name, style, flips in zip(names, (":", "-", "--"), (plain[:, i], shared[:, i], attack - 1)):
            left.plot(np.sort(flips)[::-1], style, color=colour, label=f"convolution {i}: {name}")
        told.append(f"convolution {i}: {100 * (shared[:, i] > 1).mean():.0f} % of images provably stand 2 flips or more"
                    f" (0 without), at most {shared[:, i].max()}; attacks need {np.median(attack):.0f} in the median")
    left.set(xlabel="images", ylabel="flips that leave the class", yscale="symlog", title=f"{SMALL}, Fashion-MNIST")
    left.set_yticks(ticks := [0, 1, 2, 5, 10, 20], list(map(str, ticks)))
    left.legend(fontsize=8)
    found, halves = {}, {}
    for name, file in SHIPPED.items():
        network = bnnsim.PackedNetwork.load(bnnsim.datasets.data_file(file))
        found[name] = progressive_flips(network, few, options.flips, at_once=50)
        clean, last = network.accuracy(unseen), found[name].broken(len(found[name].layers)).accuracy(unseen)
        random = bnnsim.sweep(network, unseen, RATES, options.trials, rng=options.seed, progress=False).mean()[0]
        ber = float(np.interp(-clean / 2, -random, RATES))
        halves[name] = found[name].needed(found[name].accuracy[0] / 2)
        told.append(f"{name} FCNN of {network.n_bits:,} weights: {halves[name]} chosen flips halve the accuracy on "
                    f"attacked images, {ber * network.n_bits:,.0f} random ones (BER {ber:.2f}); on other images "
                    f"{100 * clean:.1f} -> {100 * last:.1f} % after {len(found[name].layers)} chosen")
    bnnsim.plotting.chosen_flips(found, ax=right)
    right.legend(list(found))
    figure.savefig(options.out / "certificates.png", dpi=150)
    row = {"item": "Certificates of convolutions, chosen flips", "source": "arXiv:2103.13813",
           "literature": "CIFAR-10: 125 times more flips; ImageNet: 5,000 flips 60.9 -> 37.1 %, 51.9 -> 4.3 % before",
           "measured": f"{'; '.join(told)} ({len(few)} images)",
           "command": " ".join(["python examples/chosen_flips.py", *sys.argv[1:]]), "halving_flips": halves}
    (options.out / "certificates.json").write_text(json.dumps(row) + "\n", encoding="utf-8")
    print(*told, f"{options.out}/certificates.png and {options.out}/certificates.json", sep="\n")


if __name__ == "__main__":
    run(main)
