"""Train the networks that the reproductions share, each with a checkpoint, so that a killed run goes on.

    python examples/reproduce/networks.py                     # quick size: small networks, embedded images
    python examples/reproduce/networks.py --full              # the papers' networks, all images, 3 seeds, 10 epochs
    python examples/reproduce/networks.py --full --part 1/2 & python examples/reproduce/networks.py --full --part 2/2

Each script trains what it needs and does not find; this one trains all of it but CIFAR-10's. NUMBA_NUM_THREADS=1 with a
part for each core takes less time than one process with all of them; the bytes are the same.
"""

import argparse
import json
import logging
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import bnnsim
from bnnsim.checks import FilePath
from bnnsim.training.losses import ModifiedHinge, cross_entropy
from bnnsim.training.regularisers import DirectRegulariser


@dataclass(frozen=True)
class Size:
    """How large a reproduction is."""

    name: str
    dataset: str
    specs: dict[str, str]               # of architectures
    epochs: int
    trials: int                         # chips a bit error rate
    n_seeds: int = 3
    n_train: int | None = None          # so many images only
    n_test: int | None = None
    rates: tuple[float, ...] = (0.0, 1e-4, 1e-3, 1e-2, 0.02, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2)


SMALL_CNN = "C8 MP4 FC64 FC10"
LARGE_CNN = "C128 C128 MP2 C256 C256 MP2 C256 C256 MP2 FC2048 FC2048 FC10"
FULL = Size("full", "fashion", {"FCNN": "FC2048 FC2048 FC10", "CNN": "C64 MP2 C64 MP2 FC2048 FC2048 FC10",
                                "MLP": "FC1024 FC1024 FC10"}, epochs=10, trials=10)
QUICK = Size("quick", "fashion-subset", {"FCNN": "FC128 FC128 FC10", "CNN": SMALL_CNN, "MLP": "FC64 FC64 FC10"},
             epochs=2, trials=2, n_train=2000, n_test=500)
CIFAR = {"full": Size("full", "cifar10", {"CIFAR-10 CNN": LARGE_CNN}, epochs=15, trials=5, n_seeds=1),
         "quick": Size("quick", "cifar10", {"CIFAR-10 CNN": SMALL_CNN}, epochs=2, trials=2, n_seeds=1)}


@dataclass(frozen=True)
class Recipe:
    """How one network is trained, but for its seed."""

    name: str
    architecture: str
    settings: dict[str, Any] = field(default_factory=dict)          # of bnnsim.fit
    margin: float = 0.0             # of the modified hinge loss, as a share of the last fan-in


def _flips(architecture: str, *rates: float, gradient: str = "straight-through") -> list[Recipe]:
    short = {"straight-through": "flips", "native": "native"}[gradient]
    return [Recipe(f"{short} {rate:g}", architecture, {"flip_rate": rate, "gradient": gradient}) for rate in rates]


def _regularised(architecture: str, strength: float, target: float) -> Recipe:
    return Recipe(f"regulariser {strength:g}, {target:g}", architecture,
                  {"regulariser": DirectRegulariser(strength, target)})


RECIPES = {(recipe.architecture, recipe.name): recipe for recipe in [
    Recipe("standard", "FCNN"), *_flips("FCNN", 0.05, 0.1, 0.2), *_flips("FCNN", 0.05, 0.1, 0.2, gradient="native"),
    Recipe("standard", "CNN"), *_flips("CNN", 0.05, 0.1, 0.2),
    Recipe("standard", "MLP"), *_flips("MLP", 0.05),
    *(Recipe(f"MHL {share:g}", "FCNN", margin=share) for share in (0.0625, 0.5, 1.0)),
    _regularised("FCNN", 1, 16), _regularised("FCNN", 0.1, 64), Recipe("MHL 0.0625", "CNN", margin=0.0625),
    Recipe("standard", "CIFAR-10 CNN", {"augment": True}),
    Recipe("flips 0.05", "CIFAR-10 CNN", {"augment": True, "flip_rate": 0.05})]}


def arguments(text: str) -> argparse.ArgumentParser:
    """The options of every reproduction."""
    parser = argparse.ArgumentParser(description=text.split("\n", 1)[0])
    parser.add_argument("--full", action="store_true", help="the papers' networks on all images")
    parser.add_argument("--epochs", type=int, help="instead of the size's own")
    parser.add_argument("--folder", type=Path, default=Path("out/reproduce"), help="of networks and sweeps, which are "
                        "used again (default: %(default)s)")
    return parser


def size_of(options: argparse.Namespace) -> Size:
    """The size that the options ask for."""
    size = FULL if options.full else QUICK
    return size if options.epochs is None else replace(size, epochs=options.epochs)


def load(size: Size, folder: FilePath | None = None) -> list[bnnsim.Split]:
    """The size's (training split, test split)."""
    parts = bnnsim.load_dataset(size.dataset, folder)
    if size.dataset == "fashion" and len(parts[1]) < 10_000:
        raise SystemExit("full size needs the full Fashion-MNIST: python -m bnnsim.download fashion")
    return [part if n is None else part[:n] for part, n in zip(parts, (size.n_train, size.n_test))]


def place(size: Size, folder: Path) -> Path:
    """Where networks, sweeps and records of a size are; the folder is made."""
    path = folder / f"{size.name}-{size.epochs}-epochs"
    path.mkdir(parents=True, exist_ok=True)
    return path


def checkpoint(size: Size, folder: Path, recipe: Recipe, seed: int) -> Path:
    """Where a network is kept."""
    name = f"{recipe.architecture} {recipe.name}".lower().replace(",", "").replace(" ", "-")
    return place(size, folder) / f"{name}-seed-{seed}.h5"


def train(size: Size, folder: Path, recipe: Recipe, seed: int, split: bnnsim.Split) -> bnnsim.Sequential:
    """The model of a recipe: trained, or gone on with, or read from its checkpoint where it was finished.

    Beside the checkpoint a file tells how long it took, and with which commit.
    """
    spec, path, start = size.specs[recipe.architecture], checkpoint(size, folder, recipe, seed), time.perf_counter()
    offset = 128 if split.images.shape[1] == 3 else 0
    model = bnnsim.architectures.build(spec, split.images.shape[1:], offset, not recipe.margin, rng=seed)
    loss = ModifiedHinge(recipe.margin * model.output_fan_in) if recipe.margin else cross_entropy
    logging.getLogger("bnnsim").setLevel(logging.ERROR)              # "no checkpoint yet" is no news here
    bnnsim.fit(model, split, size.epochs, rng=seed, loss=loss, **recipe.settings, progress=False, resume=True,
               checkpoint=path)
    told = path.with_suffix(".json")
    if not told.exists():
        told.write_text(json.dumps({"seconds": round(time.perf_counter() - start), "commit": commit()}),
                        encoding="utf-8")
    return model


def commit() -> str:
    """The commit of this clone, with a + where the library or these scripts differ from it; "" outside of one."""
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""
    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", "../../bnnsim")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except OSError:                                                  # no git
        return ""


def run(main: Callable[[], None]) -> None:
    """Run a script: one clear line instead of a traceback where it cannot go on."""
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("interrupted: the same command goes on from what is in its folder") from None
    except (ValueError, OSError) as error:
        raise SystemExit(f"error: {error}") from None


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--part", default="1/1", help="K/N: every N-th network from the K-th on (default: all)")
    options = parser.parse_args(argv)
    numbers = re.fullmatch(r"(\d+)/(\d+)", options.part)
    part, n_parts = map(int, numbers.groups()) if numbers else (0, 0)
    if not 1 <= part <= n_parts:
        parser.error(f"--part must be K/N with K from 1 to N, such as 1/2, got {options.part}")
    size = size_of(options)
    split, _ = load(size)
    jobs = [(recipe, seed) for recipe in RECIPES.values() if recipe.architecture in size.specs
            for seed in range(size.n_seeds)]
    for recipe, seed in jobs[part - 1::n_parts]:
        model = train(size, options.folder, recipe, seed, split)
        print(f"{recipe.architecture} {recipe.name}, seed {seed}: {bnnsim.pack(model).checksum[:12]}", flush=True)


if __name__ == "__main__":
    run(main)
