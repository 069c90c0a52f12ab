"""Train a residual network, Bi-Real ResNet-18 with 32 channels, on Fashion-MNIST, and pack it.

    python examples/train_residual.py                       # hours on a laptop; Ctrl-C is safe
    python examples/train_residual.py --resume              # goes on to the very bytes of an unbroken run
    python examples/train_residual.py --dataset fashion-subset --images 1000 --epochs 2 1 --width 8     # a quick look

It is trained in two parts: first on images that are cropped and flipped at random, then on the images as they are. The
test set is looked at once, at the end. This made data/fashion_residual.h5.
"""

import argparse
import shlex
import sys

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="fashion")
    parser.add_argument("--images", type=count, help="only the first IMAGES of each half")
    parser.add_argument("--width", type=count, default=32, help="channels of the first stage")
    parser.add_argument("--epochs", type=count, nargs=2, default=(14, 8), help="of either part")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoints")
    parser.add_argument("--out", type=made_folder, default="out/residual", help="folder for all that is written")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    train, test = (split[:options.images] for split in bnnsim.load_dataset(options.dataset))
    model = bnnsim.architectures.bireal_resnet18(rng=options.seed, width=options.width)
    first, second = (options.out / f"part{n}.h5" for n in (1, 2))
    bnnsim.fit(model, train, options.epochs[0], rng=options.seed, batch_size=128, augment=True, checkpoint=first,
               resume=options.resume)
    bnnsim.fit(model, train, options.epochs[1], rng=options.seed + 1, batch_size=128,
               optimizer=bnnsim.optimizers.Adam(5e-4), checkpoint=second, resume=options.resume and second.exists())

    accuracy = bnnsim.pack(model).accuracy(test)
    bnnsim.pack(model, {"holdout": "0", "test_accuracy": f"{accuracy:.4f}", "test_images": str(len(test)),
                        "seed": str(options.seed), "trained_before": f"{options.epochs[0]} epochs, cropped and flipped",
                        "command": shlex.join(["python", "examples/train_residual.py", *sys.argv[1:]])}
                ).save(options.out / "network.h5")
    print(f"{100 * accuracy:.2f} % of all {len(test):,} test images; checkpoints and network are in {options.out}/")


if __name__ == "__main__":
    run(main)
