"""Train a binarized network on Fashion-MNIST, pack it, store it, break its bits, and draw what is left.

    python examples/train_fashion.py
    python examples/train_fashion.py --network fashion_cnn --epochs 20 --flip-rate 0.1 --out out/cnn
"""

import argparse

import bnnsim
from bnnsim.commands.scripts import count, fraction, made_folder, run


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--network", default="fashion_fcnn", choices=("fashion_fcnn", "fashion_cnn", "mnist_mlp"))
    parser.add_argument("--epochs", type=count, default=8)
    parser.add_argument("--flip-rate", type=fraction, default=0.0, help="bit error rate during training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", help="folder of the IDX files (default: searched, downloaded or embedded)")
    parser.add_argument("--dataset", default="fashion", choices=("fashion", "fashion-subset"))
    parser.add_argument("--images", type=count, help="train and test on the first IMAGES only, for a quick look")
    parser.add_argument("--trials", type=count, default=5, help="chips per bit error rate")
    parser.add_argument("--out", type=made_folder, default="out", help="folder for network, results and figures")
    return parser.parse_args()


def main() -> None:
    options = arguments()

    train, test = bnnsim.load_dataset(options.dataset, options.data)
    train, test = train[:options.images], test[:options.images]
    print(f"training on {train}\ntesting on {test}")

    model = getattr(bnnsim.architectures, options.network)(rng=options.seed)
    history = bnnsim.fit(model, train, options.epochs, validation=test, rng=options.seed, flip_rate=options.flip_rate)
    bnnsim.plotting.training_curves(history, options.out / "training.png")

    network = bnnsim.pack(model)
    print(network.summary())
    print(f"accuracy on all {len(test):,} test images: {100 * network.accuracy(test):.2f} %")
    network.save(options.out / "network.h5")
    network = bnnsim.PackedNetwork.load(options.out / "network.h5")

    rates = [0, 1e-4, 1e-3, 3e-3, 0.01, 0.02, 0.033, 0.05, 0.1, 0.15, 0.2]
    result = bnnsim.sweep({options.network: network}, test, rates, options.trials, rng=options.seed)
    print(result.table())
    result.save(options.out / "sweep.h5")
    result.plot(options.out / "sweep.png")
    print(f"network, results and figures are in {options.out}/")


if __name__ == "__main__":
    run(main)
