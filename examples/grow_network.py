"""Begin a wider network with the first layers of a packed one, train it on crops and flips, and pack it.

    python examples/grow_network.py                    # hours on a laptop; Ctrl-C is safe, and --resume goes on
    python examples/grow_network.py --dataset fashion --start fashion_cnn --keep 2 --network "C64 MP2 C64 MP2 FC10"

The layers kept have to be the same in both networks; the others begin anew. With --tolerant 4 a sibling is trained on.
"""

import argparse
import shlex
import sys
from pathlib import Path

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run

WIDE = "C128 C128 MP2 C256 C256 MP2 C512 C512 MP2 FC512 FC10"
RATE = 0.05                         # of bit errors, for a tolerant network; its thresholds are for half of it


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--start", default="cifar10_cnn", help="a packed network: a file, or a shipped one's name")
    parser.add_argument("--network", default=WIDE, help="the network to train, default %(default)s")
    parser.add_argument("--keep", type=count, default=4, help="layers with weights that it begins with, default 4")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--images", type=count, help="only the first IMAGES of each half")
    parser.add_argument("--epochs", type=count, nargs="+", default=[18], help="of each part, which anneals anew")
    parser.add_argument("--tolerant", type=count, metavar="EPOCHS", help="then train so long with bit errors, too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--out", type=made_folder, default="out/grown", help="folder for all that is written")
    return parser.parse_args()


def grown(start: bnnsim.Sequential, fresh: bnnsim.Sequential, n_kept: int) -> bnnsim.Sequential:
    """The layers of `start` in front of its weighted layer n_kept + 1, then those of `fresh`."""
    if n_kept >= len(fresh.weighted):
        raise SystemExit(f"--keep must be less than the {len(fresh.weighted)} layers of --network, got {n_kept}")
    at = fresh.layers.index(fresh.weighted[n_kept])
    for old, new, was, wanted in zip(start.layers[:at], fresh.layers[:at], start.shapes, fresh.shapes):
        if type(old) is not type(new) or was != wanted:
            raise SystemExit(f"--start has {type(old).__name__} {was} where --network has {type(new).__name__} {wanted}"
                             f": less than --keep {n_kept}")
    return bnnsim.Sequential([*start.layers[:at], *fresh.layers[at:]], fresh.input_shape)


def keep(model: bnnsim.Sequential, test: bnnsim.Split, path: Path, told: dict[str, str]) -> None:
    """Store the packed network with its accuracy."""
    accuracy = bnnsim.pack(model).accuracy(test)
    told = {"holdout": "0", "test_accuracy": f"{accuracy:.4f}", "test_images": str(len(test)),
            "command": shlex.join(["python", *(word for word in sys.argv if word != "--resume")])} | told
    bnnsim.pack(model, told).save(path)
    print(f"{bnnsim.pack(model).summary()}\n{path.name}: {100 * accuracy:.2f} % of all {len(test):,} test images")


def main() -> None:
    options = arguments()
    train, test = (split[:options.images] for split in bnnsim.load_dataset(options.dataset))
    packed = bnnsim.load_network(options.start)
    fresh = bnnsim.architectures.build(options.network, packed.input_shape, packed.input_offset, rng=options.seed)
    model = grown(bnnsim.unpack(packed, train[:10_000]), fresh, options.keep)
    how = {"batch_size": 128, "augment": True, "resume": options.resume}
    for i, n_epochs in enumerate(options.epochs):
        part = {"rng": options.seed + i, "checkpoint": options.out / f"part{i}.h5"}
        bnnsim.fit(model, train, n_epochs, optimizer=bnnsim.optimizers.Adam(5e-4 if i else 1e-3), **part, **how)
    kept = f"network {packed.checksum[:12]} in its first {options.keep} layers"
    before = " and ".join([kept, *(f"{n_epochs} epochs" for n_epochs in options.epochs[:-1])])
    keep(model, test, options.out / "network.h5", {"seed": str(options.seed), "trained_before": before})
    if options.tolerant:
        path, before = options.out / "tolerant_checkpoint.h5", f"{sum(options.epochs)} epochs without errors"
        bnnsim.fit(model, train, options.tolerant, rng=options.seed, flip_rate=RATE, checkpoint=path, **how)
        keep(bnnsim.rescale_thresholds(model, RATE, RATE / 2), test, options.out / "tolerant.h5", {
            "seed": str(options.seed), "trained_before": before, "rescaled_for": f"{RATE / 2:g}"})
    print(f"checkpoints and networks are in {options.out}/")


if __name__ == "__main__":
    run(main)
