"""Train the CIFAR-10 CNN with random crops and flips, keeping a checkpoint; then pack it, store it, and break its bits.

    python examples/train_cifar10.py --data cifar-10-batches-bin          # hours on a laptop; Ctrl-C is safe
    python examples/train_cifar10.py --data cifar-10-batches-bin --resume # goes on to the very bytes of an unbroken run
    python examples/train_cifar10.py --images 2000 --epochs 2 --network "C32 MP2 C64 MP2 FC256 FC10"    # a quick look

The last tenth of the training images is held out: the epoch that does best on it is kept, and the test set is looked
at once, at the end. Without --data the files are searched and, if there are none, downloaded.
"""

import argparse

import bnnsim
from bnnsim.commands.scripts import count, fraction, made_folder, run

RATES = [0, 1e-4, 1e-3, 3e-3, 0.01, 0.02, 0.03, 0.05, 0.1]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", help="folder of the CIFAR-10 files, binary or Python version")
    parser.add_argument("--network", help="such as 'C32 MP2 C64 MP2 FC256 FC10' (default: the paper's CNN, 14 Mbit)")
    parser.add_argument("--epochs", type=count, default=50)
    parser.add_argument("--images", type=count, help="train and test on the first IMAGES only")
    parser.add_argument("--flip-rate", type=fraction, default=0.0, help="bit error rate during training")
    parser.add_argument("--trials", type=count, default=5, help="chips a BER")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--out", type=made_folder, default="out/cifar10", help="folder for all that is written")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    train, test = bnnsim.load_dataset("cifar10", options.data)
    train, test = train[:options.images], test[:options.images]
    n_train = len(train) - max(1, len(train) // 10)

    if options.network:                      # pixels enter as u - 128, half a level off the papers' [-1, 1]
        model = bnnsim.architectures.build(options.network, (3, 32, 32), input_offset=128, rng=options.seed)
    else:
        model = bnnsim.architectures.cifar10_cnn(rng=options.seed)
    history = bnnsim.fit(model, train[:n_train], options.epochs, validation=train[n_train:], rng=options.seed,
                         augment=True, flip_rate=options.flip_rate, keep="best",
                         checkpoint=options.out / "checkpoint.h5", resume=options.resume)
    bnnsim.plotting.training_curves(history, options.out / "training.png")

    network = bnnsim.pack(model, {"dataset": "cifar10", "kept_epoch": str(history.kept_epoch)})
    network.save(options.out / "network.h5")
    print(network.summary())
    print(f"kept epoch {history.kept_epoch} of {options.epochs}; {100 * network.accuracy(test):.2f} % of all "
          f"{len(test):,} test images")

    result = bnnsim.sweep({"CIFAR-10 CNN": network}, test, RATES, options.trials, rng=options.seed)
    print(result.table())
    result.save(options.out / "sweep.h5")
    result.plot(options.out / "sweep.png")
    print(f"checkpoint, network, results and figures are in {options.out}/")


if __name__ == "__main__":
    run(main)
