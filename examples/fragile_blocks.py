"""Which parts of a residual network are fragile: bit errors and stuck cells one block at a time, and what to protect.

A ResNet-20 whose weights are all binary but the last layer's, with a shortcut around each convolution, is trained on
the embedded images. Then its stem, each pair of convolutions, and the two 1 x 1 convolutions of its shortcuts are
broken alone; and all are broken, with and without a code that protects few of them.

    python examples/fragile_blocks.py
    python examples/fragile_blocks.py --network my_resnet20.h5 --dataset fashion --trials 20
"""

import argparse
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run
from bnnsim.faults import BitFlips, Protected, StuckAt

RATES, CODE = [0, 1e-3, 3e-3, 0.01, 0.03, 0.1], "repetition(3)"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--network", help="a bnn_resnet20 that PackedNetwork.save wrote (default: train one)")
    parser.add_argument("--epochs", type=count, default=8, help="of the training")
    parser.add_argument("--dataset", default="fashion-subset")
    parser.add_argument("--images", type=count, help="only the first IMAGES of each half")
    parser.add_argument("--trials", type=count, default=5, help="chips a rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure")
    return parser.parse_args()


def blocks_of(network: bnnsim.PackedNetwork) -> dict[str, list[int]]:
    """The stem, pairs of 3 x 3 convolutions, and the 1 x 1 ones of the shortcuts, as numbers of layers."""
    short = [i for i, layer in enumerate(network.layers) if layer.words.shape[1:3] == (1, 1)]
    stem, *rest = [i for i in range(len(network.layers)) if i not in short]
    return {"stem": [stem]} | {f"block {n // 2 + 1}, {network.layers[rest[n]].units} channels": rest[n:n + 2]
                               for n in range(0, len(rest), 2)} | {"1 x 1 of shortcuts": short}


def main() -> None:
    options = arguments()
    train, test = (split[:options.images] for split in bnnsim.load_dataset(options.dataset))
    if options.network:
        network = bnnsim.PackedNetwork.load(options.network)
    else:
        model = bnnsim.architectures.bnn_resnet20(rng=options.seed)
        bnnsim.fit(model, train, options.epochs, rng=options.seed, batch_size=50)
        network = bnnsim.pack(model)
    blocks, figure = blocks_of(network), Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    kinds: dict[str, tuple[float, BitFlips | StuckAt]] = {
        "BER 0.1": (0.1, BitFlips(0)), "20 % stuck": (0.2, StuckAt(0.5, 0.5))}
    for n, (label, (rate, kind)) in enumerate(kinds.items()):
        result = bnnsim.sweep(network, test, [0, rate], options.trials, rng=options.seed,
                              faults={name: replace(kind, layers=layers) for name, layers in blocks.items()})
        lost, (low, high) = 100 * (result.mean()[:, 0] - result.mean()[:, 1]), 100 * result.interval()[:, 1].T
        left.barh(np.arange(len(blocks)) - 0.2 + 0.4 * n, lost, 0.38, label=label, xerr=(high - low) / 2)
        print("\n".join(f"{name:22}{label}: {points:6.2f} points lost" for name, points in zip(blocks, lost)))
    left.set(yticks=range(len(blocks)), yticklabels=list(blocks), ylim=(len(blocks) - 0.5, -0.5), xlabel="points lost")
    left.legend(title="each broken alone", loc="lower right")
    stem, first, *_, short = blocks.values()
    guards: dict[str, BitFlips | Protected] = {"nothing protected": BitFlips(0)}
    for name, layers in {"1 x 1 of shortcuts": short, "stem, block 1, 1 x 1": stem + first + short}.items():
        fault = Protected(BitFlips(0), CODE, layers)
        guards[f"{name}: {fault.cost(network).cells_per_bit:.2f} cells a bit"] = fault
    result = bnnsim.sweep({"ResNet-20": network}, test, RATES, options.trials, rng=options.seed, faults=guards)
    print(result.table())
    result.plot(ax=right).set_title(f"where protected: {CODE}; {options.trials} chips", fontsize=9)
    figure.savefig(options.out / "fragile.png", dpi=150)
    print(f"the figure is in {options.out}/fragile.png")


if __name__ == "__main__":
    run(main)
