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

RATE = 0.05                         # of bit errors, for a tolerant network; its thresholds are for half of it


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--start", default="cifar10_cnn", help="a packed network: a file, or a shipped one's name")
    parser.add_argument("--network", default="C128 C128 MP2 C256 C256 MP2 C512 C512 MP2 FC512 FC10", help="to train")
    parser.add_argument("--keep", type=count, default=4, help="layers with weights that it begins with, default 4")
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--images", type=count, help="only the first IMAGES of each half")
    parser.add_argument("--epochs", type=count, nargs="+", default=[18], help="of each part; the last one anneals")
    parser.add_argument("--tolerant", type=count, metavar="EPOCHS", help="then train so long with bit errors, too")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--out", type=made_folder, default="out/grown", help="folder for all that is written")
    return parser.parse_args()


def grown(start: bnnsim.Sequential, fresh: bnnsim.Sequential, n_kept: int) -> bnnsim.Sequential:
    """The layers of `start` in front of its weighted layer n_kept + 1, then those of `fresh`."""
    if n_kept >= len(fresh.weighted):
        raise SystemExit(f"grow_network.py: error: --keep must be below {len(fresh.weighted)}, got {n_kept}")
    at = fresh.layers.index(fresh.weighted[n_kept])
    for old, new, was, wanted in zip(start.layers[:at], fresh.layers[:at], start.shapes, fresh.shapes):
        if type(old) is not type(new) or was != wanted:
            names = f"--start has {type(old).__name__} {was} where --network has {type(new).__name__} {wanted}"
            raise SystemExit(f"grow_network.py: error: {names}: give less than --keep {n_kept}")
    return bnnsim.Sequential([*start.layers[:at], *fresh.layers[at:]], fresh.input_shape)


def keep(model: bnnsim.Sequential, test: bnnsim.Split, path: Path, seed: int, before: str) -> None:
    """Store the packed network with its accuracy."""
    accuracy, words = bnnsim.pack(model).accuracy(test), [word for word in sys.argv if word != "--resume"]
    told = {"holdout": "0", "test_accuracy": f"{accuracy:.4f}", "test_images": str(len(test)), "seed": str(seed),
            "trained_before": before, "command": shlex.join(["python", *words])}
    bnnsim.pack(model, told).save(path)
    print(f"{bnnsim.pack(model).summary()}\n{path.name}: {100 * accuracy:.2f} % of all {len(test):,} test images")


def main() -> None:
    options = arguments()
    seed, out = options.seed, options.out
    train, test = (split[:options.images] for split in bnnsim.load_dataset(options.dataset))
    packed = bnnsim.load_network(options.start)
    fresh = bnnsim.architectures.build(options.network, packed.input_shape, packed.input_offset, rng=seed)
    model = grown(bnnsim.unpack(packed, train[:10_000]), fresh, options.keep)
    how = {"batch_size": 128, "augment": True, "resume": options.resume}
    for i, n in enumerate(options.epochs):
        schedule = bnnsim.schedules.Cosine() if i + 1 == len(options.epochs) else bnnsim.schedules.Constant()
        bnnsim.fit(model, train, n, rng=seed + i, schedule=schedule, checkpoint=out / f"part{i}.h5", **how)
    before = "".join(f" and {n} epochs" for n in options.epochs[:-1])
    keep(model, test, out / "network.h5", seed, f"{options.keep} layers of network {packed.checksum[:12]}{before}")
    if options.tolerant:
        how |= {"flip_rate": RATE, "checkpoint": out / "tolerant_checkpoint.h5"}
        bnnsim.fit(model, train, options.tolerant, rng=seed, **how)
        found = bnnsim.rescale_thresholds(model, RATE, RATE / 2)
        keep(found, test, out / "tolerant.h5", seed, f"{sum(options.epochs)} epochs without errors")
    print(f"checkpoints and networks are in {out}/")


if __name__ == "__main__":
    run(main)
