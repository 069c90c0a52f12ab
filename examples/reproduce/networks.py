"""Train the networks of the reproductions, and measure of each all that the claims ask: a row.

    python examples/reproduce/networks.py                              # quick size: small networks, embedded images
    python examples/reproduce/networks.py --full --data FOLDER         # hours; goes on where it was
    python examples/reproduce/networks.py --full --stages short,long --status
    NUMBA_NUM_THREADS=1 python examples/reproduce/networks.py --full --part 1/4    # and 2/4 to 4/4 beside it

A killed run loses at most two minutes of training (of a learnt scale, which is no part of a checkpoint, all of it), or
the measurement. A row is NAME.json in the folder, its packed network NAME.h5 beside it; the checkpoint goes once the
row is there, but for that of a standard network from which others go on. Rows that are kept in rows.jsonl of this
folder are not trained again.
"""

import argparse
import json
import logging
import math
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from plan import FULL, QUICK, STAGES, Recipe, Size, jobs

import bnnsim
import bnnsim.commands.scripts as scripts
import bnnsim.metrics as metrics
from bnnsim.campaign.provenance import cpu_name
from bnnsim.faults import BitFlips
from bnnsim.files.atomic import replaced
from bnnsim.training.history import History
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.losses import ModifiedHinge
from bnnsim.training.optimizers import Adam, OnPart
from bnnsim.training.regularisers import DirectRegulariser
from bnnsim.training.schedules import Cosine, Step

HERE = Path(__file__).resolve().parent
KEPT = HERE / "rows.jsonl"
Row = dict[str, Any]


@dataclass
class Unclipped(Adam):
    """Adam whose latent weights are not clipped: in the authors' code the clamp is not in place [C]."""

    def on_parts(self, key: str, value: np.ndarray, factor: float, step: int, bound: float) -> OnPart:
        """Adam's, without a bound."""
        return super().on_parts(key, value, factor, step, math.inf)


class ScaledHinge:
    """MHL of logits times a learnt scale, 0.001 at first, as the authors have it [C]: its own Adam at 1e-3.

    The scale is no part of a checkpoint: such a network is trained in one go.
    """

    def __init__(self, b: float) -> None:
        self.b, self.scale, self.optimizer, self.step = b, np.full(1, 1e-3, np.float32), Adam(), 0

    def __call__(self, scores: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
        scale = float(self.scale[0])
        loss, gradient = ModifiedHinge(self.b)(scale * scores, labels)
        self.step += 1
        of_scale = np.array([(gradient.astype(np.float64) * scores).sum()], np.float32)
        self.optimizer.update("scale", self.scale, of_scale, 1.0, self.step, math.inf)
        return loss, scale * gradient


def build(recipe: Recipe, size: Size, shape: tuple[int, int, int], seed: int) -> bnnsim.Sequential:
    """The untrained network."""
    model = bnnsim.architectures.build(size.specs[recipe.net], shape, recipe.code, "MHL" not in recipe.arm, rng=seed)
    for layer in model.layers:
        if recipe.scale != 1 and isinstance(layer, Weighted):
            layer.parameters["weight"] *= np.float32(recipe.scale)
            layer.refresh()
    return model


def settings(recipe: Recipe, model: bnnsim.Sequential) -> dict[str, Any]:
    """Of `bnnsim.fit`, from the recipe's words."""
    *words, number = recipe.arm.split() if " " in recipe.arm else (recipe.arm, "0")
    how = recipe.schedule.split()
    told: dict[str, Any] = {"schedule": Cosine() if how[0] == "cosine" else Step(int(how[1])),
                            "optimizer": Adam() if recipe.clip else Unclipped(), "augment": recipe.data == "cifar10",
                            "batch_size": 128 if recipe.adapt else 256}
    match words:
        case ["standard"] | ["more"]:
            return told
        case ["flips"]:
            return told | {"flip_rate": float(number)}
        case ["native"]:
            return told | {"flip_rate": float(number), "gradient": "native"}
        case ["MHL"]:
            return told | {"loss": ModifiedHinge(float(number) * model.output_fan_in)}
        case ["scaled", "MHL"]:
            return told | {"loss": ScaledHinge(float(number))}
        case ["regulariser", strength]:
            return told | {"regulariser": DirectRegulariser(float(strength), float(number))}
    raise ValueError(f"no arm is called {recipe.arm}")


@cache
def load(size: Size, data: str, folder: Path | None = None) -> list[bnnsim.Split]:
    """(training split, test split) of a recipe's data."""
    name = size.data[data]
    given = folder / name if folder and (folder / name).is_dir() else None
    parts = bnnsim.load_dataset(name, given)
    if size.name == "full" and len(parts[1]) < 10_000:
        raise SystemExit(f"full size needs all of {name}: python -m bnnsim.download {name}")
    return [part if n is None else part[:n] for part, n in zip(parts, (size.n_train, size.n_test))]


def train(recipe: Recipe, size: Size, seed: int, split: bnnsim.Split,
          path: Path) -> tuple[bnnsim.Sequential, History]:
    """The trained model and its history; goes on from the checkpoint at `path`, which stays."""
    if recipe.adapt and recipe.arm != "standard":                    # goes on from the standard network
        standard, epochs = replace(recipe, arm="standard"), int(recipe.arm.partition("more ")[2] or recipe.adapt)
        model, _ = train(standard, size, seed, split, path.with_name(f"{standard.name}-seed-{seed}.training.h5"))
    else:
        model, epochs = build(recipe, size, split.images.shape[1:], seed), recipe.epochs
    how = settings(recipe, model)
    if not recipe.arm.startswith("scaled"):
        how |= {"checkpoint": path, "resume": True, "checkpoint_seconds": 120}
    return model, bnnsim.fit(model, split, epochs, rng=seed, progress=False, **how)


def trained_at(recipe: Recipe) -> float:
    """The bit error rate of training."""
    return float(recipe.arm.split()[1]) if recipe.arm.startswith(("flips", "native")) else 0.0


def measure(model: bnnsim.Sequential, recipe: Recipe, size: Size, seed: int, splits: Sequence[bnnsim.Split]) -> Row:
    """All that the claims ask of a network: correct images by rate and chip, T, margins, importance.

    The same chips with thresholds rescaled for the rate of use, and with batch-norm statistics taken anew at it.
    """
    (train_split, test), rates = splits, size.rates
    chips, seen = size.chips_of(recipe), train_split[:size.reestimated_on(recipe)]
    network, at = bnnsim.pack(model), trained_at(recipe)

    def correct(what: bnnsim.PackedNetwork, *rates: float) -> list[list[int]]:
        swept = bnnsim.sweep(what, test, sorted(rates), chips, rng=seed, progress=False)
        return np.rint(swept.accuracy[0] * len(test)).astype(int).tolist()

    def adapted(adapt: Callable[[float], bnnsim.Sequential]) -> list[list[int]]:
        return [correct(bnnsim.pack(adapt(rate)), rate)[0] for rate in rates]

    tolerance = metrics.bit_error_tolerance(network, test.images)
    margins = [[layer.relative, float(layer.over_spread.mean())]
               for layer in metrics.margins(network, test.images).layers]
    row: Row = {
        "rates": list(rates), "chips": chips, "images": len(test), "correct": correct(network, *rates),
        "rescaled": adapted(lambda rate: bnnsim.rescale_thresholds(model, at, rate)),
        "reestimated": adapted(lambda rate: bnnsim.reestimate_batch_norm(model, seen, BitFlips(rate), rng=seed)),
        "reestimated_images": len(seen),
        "T": {"paper": tolerance.paper, "exact": tolerance.network,
              "layers": [[float(np.nanmean(layer.paper_by_neuron)), layer.mean] for layer in tolerance.layers]},
        "margins": margins, "importance": {}}
    for method in ("ablate", "readout") if recipe.data != "cifar10" else ("readout",):
        layers = metrics.importance(network, test, method).layers
        row["importance"][method] = [[len(one.share), one.variance, one.reliability.noise_free_variance,
                                      one.reliability.whole] for one in layers]
    return row | {"checksum": network.checksum}


def commit() -> str:
    """The commit of this clone, with a + where the library or these scripts differ from it; "" outside of one."""
    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""
    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", "../../bnnsim")
        return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")
    except OSError:                                                  # no git
        return ""


def row_of(recipe: Recipe, seed: int, size: Size, folder: Path, data: Path | None = None) -> Row:
    """The row of a network: kept, or of the folder, or trained and measured now."""
    path = folder / size.name / f"{recipe.name}-seed-{seed}.json"
    if size.name == "full" and (recipe.name, seed) in kept():
        return kept()[recipe.name, seed]
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint, splits, start = path.with_suffix(".training.h5"), load(size, recipe.data, data), time.perf_counter()
    spent = path.with_suffix(".seconds")                             # of trainings that were interrupted
    before = float(spent.read_text()) if spent.is_file() else 0.0
    try:
        model, history = train(recipe, size, seed, splits[0], checkpoint)
    finally:
        spent.write_text(f"{before + time.perf_counter() - start:.1f}")
    bnnsim.pack(model).save(path.with_suffix(".h5"))
    row = {"name": recipe.name, "seed": seed, **asdict(recipe), "spec": size.specs[recipe.net],
           "data_sha256": splits[0].sha256, "training_seconds": round(float(spent.read_text()), 1),
           "commit": commit(), "cpu": cpu_name(), "date": date.today().isoformat(),
           "training": {"loss": history.loss[-1], "accuracy": history.accuracy[-1]},
           **measure(model, recipe, size, seed, splits)}
    with replaced(path) as temporary:
        Path(temporary).write_text(json.dumps(row, allow_nan=False) + "\n", encoding="utf-8")
    spent.unlink(missing_ok=True)
    if not (recipe.adapt and recipe.arm == "standard"):              # that others start from
        checkpoint.unlink(missing_ok=True)
    return row


@cache
def kept() -> dict[tuple[str, int], Row]:
    """Rows that are kept in this folder, by name and seed."""
    lines = KEPT.read_text(encoding="utf-8").splitlines() if KEPT.is_file() else []
    return {(row["name"], row["seed"]): row for row in map(json.loads, lines)}


def arguments(text: str) -> argparse.ArgumentParser:
    """The options of every reproduction."""
    parser = argparse.ArgumentParser(description=text.split("\n", 1)[0])
    parser.add_argument("--full", action="store_true", help="the papers' networks on all images")
    parser.add_argument("--folder", type=scripts.made_folder, default="out/reproduce",
                        help="of rows and networks (default: %(default)s)")
    return parser


def part(text: str) -> tuple[int, int]:
    """(K, N) of "K/N"."""
    k, _, n = text.partition("/")
    if not (k.isdecimal() and n.isdecimal() and 1 <= int(k) <= int(n)):
        raise argparse.ArgumentTypeError(f"must be K/N with K from 1 to N, such as 2/4, got {text!r}")
    return int(k), int(n)


def run(main: Callable[[], None]) -> None:
    """Run a script as the other examples are run; one that is stopped says that it goes on."""
    logging.getLogger("bnnsim").setLevel(logging.ERROR)              # "no checkpoint yet" is no news here

    def stoppable() -> None:
        try:
            main()
        except KeyboardInterrupt:
            raise KeyboardInterrupt("interrupted: the same command goes on from what is in its folder") from None

    scripts.run(stoppable)


def main(argv: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="with mnist/ and cifar10/, the official files "
                        "(default: where bnnsim looks for them)")
    parser.add_argument("--stages", default="", help="only these: " + ",".join(stage.name for stage in STAGES))
    parser.add_argument("--part", type=part, default=(1, 1), metavar="K/N",
                        help="every N-th network from the K-th on, for N processes beside one another (default: 1/1)")
    parser.add_argument("--status", action="store_true", help="what is trained and what is left; trains nothing")
    parser.add_argument("--keep", action="store_true", help="add the folder's full rows to rows.jsonl; trains nothing")
    options = parser.parse_args(argv)
    stages, size = tuple(filter(None, options.stages.split(","))), FULL if options.full else QUICK
    if unknown := set(stages) - {stage.name for stage in STAGES}:
        parser.error(f"--stages must be of {', '.join(stage.name for stage in STAGES)}, got {', '.join(unknown)}")
    if options.keep:
        return keep(options.folder)
    k, n = options.part
    for recipe, seed in list(dict.fromkeys(jobs(size, stages)))[k - 1::n]:
        path = options.folder / size.name / f"{recipe.name}-seed-{seed}.json"
        there = (recipe.name, seed) in kept() or path.is_file()
        if options.status:
            print(f"{'there' if there else 'left '} {recipe.name}, seed {seed}")
        elif not there or size.name == "quick":
            row = row_of(recipe, seed, size, options.folder, options.data)
            print(f"{recipe.name}, seed {seed}: {100 * row['correct'][0][0] / row['images']:.2f} % without errors, "
                  f"{row['training_seconds']:.0f} s", flush=True)


def keep(folder: Path) -> None:
    """Write the full rows of a folder and those that are kept, sorted, to rows.jsonl."""
    rows = dict(kept())
    for path in (folder / "full").glob("*-seed-*.json"):                # not the records of scripts
        row = json.loads(path.read_text(encoding="utf-8"))
        rows.setdefault((row["name"], row["seed"]), row)
    with replaced(KEPT) as temporary:
        lines = [json.dumps(row, allow_nan=False) + "\n" for _, row in sorted(rows.items())]
        Path(temporary).write_text("".join(lines), encoding="utf-8")
    print(f"{len(rows)} rows, of {len(jobs(FULL))} in the plan")


if __name__ == "__main__":
    run(main)
