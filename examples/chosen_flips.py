"""Flips chosen by an adversary: what is proven of a convolution, what an attack needs, and what random errors need.

On the left certificates of each convolution of a small network, with and without what its shared weights tell, beside a
greedy attack; on the right what flips chosen by a progressive search cost networks on images that it has not seen, and
what random ones cost on the same images.

    python examples/chosen_flips.py
    python examples/chosen_flips.py --epochs 12 --images 200 --flips 4000 --trials 10
"""

import argparse
import json
import sys
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run
from bnnsim.proofs import breaking_flips, certified_flips, progressive_flips

SMALL, RATES = "C8 MP2 C16 MP2 FC10", [1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4]
SHIPPED = {"standard": "fashion_fcnn", "flip-trained": "fashion_fcnn_flip"}
BELOW = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13), "ncols": 2, "frameon": False, "fontsize": 8}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--epochs", type=count, default=6, help="of the small network's training")
    parser.add_argument("--images", type=count, default=100, help="that are certified, and that the attacker has")
    parser.add_argument("--shipped", type=count, default=20, help="images that are certified of the shipped CNN")
    parser.add_argument("--flips", type=count, default=3000, help="chosen at most")
    parser.add_argument("--trials", type=count, default=4, help="chips with random errors")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def proven(name: str, network: bnnsim.PackedNetwork, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Certificates (N, L) without shared weights and with them, and what is told of each convolution."""
    plain, shared = (certified_flips(network, images, singles=True, shared=on).layers for on in (False, True))
    n_convs = sum(layer.words.ndim == 4 for layer in network.layers)
    more = 100 * (shared > 1).mean(axis=0), 100 * (plain > 1).mean(axis=0)
    return plain, shared, [f"{name}, convolution {i}: {more[0][i]:.0f} % of {len(images)} images provably stand 2 "
                           f"flips or more ({more[1][i]:.0f} without shared weights), at most {shared[:, i].max()} "
                           f"({plain[:, i].max()})" for i in range(n_convs)]


def draw_proven(axes: Axes, network: bnnsim.PackedNetwork, few: bnnsim.Split) -> list[str]:
    """Certificates and attacks of each convolution of the small network."""
    plain, shared, told = proven("small CNN", network, few.images)
    for i, colour in enumerate(("C0", "C1")):
        attack = np.array([np.inf if one is None else len(one) for one in breaking_flips(network, few.images, i)])
        told[i] += f", attacks need {np.median(attack):.0f} in the median"
        bounds = f"proven without (at most {plain[:, i].max()})", "proven by shared weights", "attack"
        styles: tuple[dict[str, Any], ...] = {"linewidth": 7, "alpha": 0.3}, {}, {"linestyle": "--"}
        for name, style, flips in zip(bounds, styles, (plain[:, i], shared[:, i], attack - 1)):
            axes.plot(np.sort(flips)[::-1], **style, color=colour, label=f"layer {i}: {name}")
    axes.set(xlabel="images, sorted for each line", ylabel="flips that leave the class", yscale="symlog")
    axes.set_title(f"{SMALL}, Fashion-MNIST", fontsize=10)
    axes.set_yticks(ticks := [0, 1, 2, 5, 10, 20], list(map(str, ticks)))
    axes.legend(**BELOW)
    return told


def main() -> None:
    options = arguments()
    train, test = bnnsim.load_embedded()
    few, unseen, halves = test[:options.images], test[options.images:], {}
    left, right = (figure := Figure(figsize=(12, 6), layout="constrained")).subplots(1, 2)
    model = bnnsim.architectures.build(SMALL, (1, 28, 28), rng=options.seed)
    bnnsim.fit(model, train, options.epochs, rng=options.seed, batch_size=50, progress=False)
    told = draw_proven(left, bnnsim.pack(model), few)
    cnn = bnnsim.load_network("fashion_cnn")
    told += proven("shipped CNN", cnn, test.images[:options.shipped])[2]
    for (name, file), colour in zip(SHIPPED.items(), ("C0", "C1")):
        network = bnnsim.load_network(file)
        found = progressive_flips(network, few, options.flips, at_once=50)
        chosen = np.array([found.broken(int(n)).accuracy(unseen) for n in found.flips])
        random = bnnsim.sweep(network, unseen, [0, *RATES], options.trials, rng=options.seed, progress=False).mean()[0]
        right.plot(found.flips, 100 * found.accuracy, ":", color=colour, label=f"{name}: chosen, attacked")
        right.plot(found.flips, 100 * chosen, "-", color=colour, label=f"{name}: chosen, unseen")
        right.plot(np.multiply([0, *RATES], network.n_bits), 100 * random, "s--", color=colour, markersize=4,
                   label=f"{name}: random, unseen")
        half, ber = chosen[0] / 2, float(np.interp(-chosen[0] / 2, -random, [0, *RATES]))
        reached = found.flips[chosen <= half]
        halves[name] = {"chosen": int(reached[0]) if len(reached) else None, "random": round(ber * network.n_bits),
                        "chosen, attacked images": found.needed(found.accuracy[0] / 2)}
        by = f"halved by {reached[0]:,}" if len(reached) else f"not halved by {found.flips[-1]:,}"
        told.append(f"{name} FCNN of {network.n_bits:,} weights: {100 * chosen[0]:.1f} % on {len(unseen):,} unseen "
                    f"images, {by} chosen flips, halved by {halves[name]['random']:,} random ones (BER {ber:.2f})")
    right.set_xscale("symlog", linthresh=50)
    right.set_xticks([0, *10**np.arange(2, 7)])
    right.set(xlabel="flipped weights", ylabel="accuracy (%)", xlim=(-8, None), ylim=(0, 100))
    right.set_title(f"{len(few)} images that were attacked, and {len(unseen):,} unseen ones", fontsize=10)
    right.legend(**BELOW)
    figure.savefig(options.out / "certificates.png", dpi=150)
    row = {"item": "Certificates of convolutions, chosen flips", "source": "arXiv:2103.13813",
           "literature": "CIFAR-10: 125 times more flips; ImageNet: 5,000 flips 60.9 -> 37.1 %, 51.9 -> 4.3 % before",
           "measured": f"{'; '.join(told)} (chosen on {len(few)} images, random: mean of {options.trials} chips)",
           "command": " ".join(["python examples/chosen_flips.py", *sys.argv[1:]]), "halving_flips": halves}
    (options.out / "certificates.json").write_text(json.dumps(row) + "\n", encoding="utf-8")
    print(*told, f"{options.out}/certificates.png and {options.out}/certificates.json", sep="\n")


if __name__ == "__main__":
    run(main)
