"""Train the networks that the reproductions share, each with a checkpoint, so that a killed run goes on.

    python examples/reproduce/networks.py                     # quick size: small networks, the embedded images
    python examples/reproduce/networks.py --full              # the papers' networks, all images, 3 seeds, 10 epochs
    python examples/reproduce/networks.py --full --part 1/2 & python examples/reproduce/networks.py --full --part 2/2

Each script trains what it needs and does not find; this one trains all of it. NUMBA_NUM_THREADS=1 with a part for each
core takes less time than one process with all of them; the bytes are the same.
"""

import argparse
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

import bnnsim
from bnnsim.losses import ModifiedHinge, cross_entropy
from bnnsim.regularisers import DirectRegulariser


@dataclass(frozen=True)
class Size:
    """How large a reproduction is."""

    name: str
    dataset: str
    specs: dict                         # of architectures
    epochs: int
    trials: int                         # chips a bit error rate
    n_seeds: int = 3
    n_train: int | None = None          # so many images only
    n_test: int | None = None
    rates: tuple = (0.0, 1e-4, 1e-3, 1e-2, 0.02, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2)


FULL = Size("full", "fashion", {"FCNN": "FC2048 FC2048 FC10", "CNN": "C64 MP2 C64 MP2 FC2048 FC2048 FC10",
                                "MLP": "FC1024 FC1024 FC10"}, epochs=10, trials=10)
QUICK = Size("quick", "fashion-subset", {"FCNN": "FC128 FC128 FC10", "CNN": "C8 MP4 FC64 FC10",
                                         "MLP": "FC64 FC64 FC10"}, epochs=2, trials=2, n_train=2000, n_test=500)
LARGE_CNN = "C128 C128 MP2 C256 C256 MP2 C256 C256 MP2 FC2048 FC2048 FC10"
CIFAR = {"full": Size("full", "cifar10", {"CIFAR-10 CNN": LARGE_CNN}, epochs=15, trials=5, n_seeds=1),
         "quick": Size("quick", "cifar10", {"CIFAR-10 CNN": "C8 MP4 FC64 FC10"}, epochs=2, trials=2, n_seeds=1)}


@dataclass(frozen=True)
class Recipe:
    """How one network is trained, but for its seed."""

    name: str
    architecture: str
    settings: dict = field(default_factory=dict)      # of bnnsim.fit
    margin: float = 0.0                               # of the modified hinge loss, as a share of the last fan-in


def _flips(architecture, *rates, gradient="straight-through"):
    short = {"straight-through": "flips", "native": "native"}[gradient]
    return [Recipe(f"{short} {rate:g}", architecture, {"flip_rate": rate, "gradient": gradient}) for rate in rates]


def _regularised(architecture, strength, target):
    return Recipe(f"regulariser {strength:g}, {target:g}", architecture,
                  {"regulariser": DirectRegulariser(strength, target)})


RECIPES = {(recipe.architecture, recipe.name): recipe for recipe in [
    Recipe("standard", "FCNN"), *_flips("FCNN", 0.05, 0.1, 0.2),
    *_flips("FCNN", 0.1, 0.2, gradient="native"),
    Recipe("standard", "CNN"), *_flips("CNN", 0.05, 0.1, 0.2),
    Recipe("standard", "MLP"), *_flips("MLP", 0.05),
    *(Recipe(f"MHL {share:g}", "FCNN", margin=share) for share in (0.0625, 0.5, 1.0)),
    Recipe("MHL 0.5", "CNN", margin=0.5),
    Recipe("standard", "CIFAR-10 CNN", {"augment": True}),
    Recipe("flips 0.05", "CIFAR-10 CNN", {"augment": True, "flip_rate": 0.05}),
    _regularised("FCNN", 1, 16), _regularised("FCNN", 0.1, 64)]}


def arguments(text):
    """The options of every reproduction."""
    parser = argparse.ArgumentParser(description=text.split("\n", 1)[0])
    parser.add_argument("--full", action="store_true", help="the papers' networks on all images")
    parser.add_argument("--epochs", type=int, help="instead of the size's own")
    parser.add_argument("--folder", type=Path, default=Path("out/reproduce"), help="of networks and sweeps, which are "
                        "used again (default: %(default)s)")
    return parser


def size_of(options):
    """The size that the options ask for."""
    size = FULL if options.full else QUICK
    return size if options.epochs is None else Size(**{**vars(size), "epochs": options.epochs})


def load(size, folder=None):
    """The size's (training split, test split)."""
    training, test = bnnsim.load_dataset(size.dataset, folder)
    return training[:size.n_train], test[:size.n_test]


def train(size, folder, recipe, seed, split):
    """The model of a recipe: trained, or gone on with, or read from its checkpoint where it was finished."""
    spec = size.specs[recipe.architecture]
    model = bnnsim.architectures.build(spec, split.images.shape[1:], output_norm=not recipe.margin, rng=seed)
    fan_in = model.weighted[-1].parameters["weight"].shape[-1]
    loss = ModifiedHinge(recipe.margin * fan_in) if recipe.margin else cross_entropy
    bnnsim.fit(model, split, size.epochs, rng=seed, loss=loss, **recipe.settings, progress=False, resume=True,
               checkpoint=checkpoint(size, folder, recipe, seed))
    return model


def checkpoint(size, folder, recipe, seed):
    """Where a network is kept; the folder is made."""
    folder = folder / f"{size.name}-{size.epochs}-epochs"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{recipe.architecture} {recipe.name}".lower().replace(",", "").replace(" ", "-")
    return folder / f"{name}-seed-{seed}.h5"


def main():
    parser = arguments(__doc__)
    parser.add_argument("--part", default="1/1", help="K/N: every N-th network from the K-th on (default: all)")
    options = parser.parse_args()
    logging.getLogger("bnnsim").setLevel(logging.ERROR)              # "no checkpoint yet" is no news here
    size, (part, n_parts) = size_of(options), map(int, options.part.split("/"))
    split, _ = load(size)
    jobs = [(recipe, seed) for recipe in RECIPES.values()
            if recipe.architecture in size.specs for seed in range(size.n_seeds)]
    for recipe, seed in jobs[part - 1::n_parts]:
        start = time.perf_counter()
        model = train(size, options.folder, recipe, seed, split)
        print(f"{recipe.architecture} {recipe.name}, seed {seed}: {time.perf_counter() - start:.0f} s, checksum "
              f"{bnnsim.pack(model).checksum[:12]}", flush=True)


if __name__ == "__main__":
    main()
