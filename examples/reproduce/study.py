"""What all reproductions share: options, networks and their sweeps, checks over seeds, the record that is left.

A claim is split into checks: a quantity, one value a seed, that must lie above or below a number. A check holds where
the 95 % interval of its mean (Student's t over seeds; over chips where there is one seed) lies on the right side whole,
does not where it lies on the wrong side, and is undecided else. A claim holds where all of its checks do, does not hold
where one does not, and is undecided else. One script at a time: two would meet at the files of sweeps.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from networks import CIFAR, RECIPES, Size, arguments, checkpoint, commit, load, place, size_of, train

import bnnsim
from bnnsim.campaign.provenance import cpu_name
from bnnsim.figures.scales import draw_curve, rate_axis
from bnnsim.figures.style import legend_below, line_style, new_axes, save_figure
from bnnsim.files.atomic import replaced
from bnnsim.statistics.intervals import t_quantile

HOLDS, FAILS, OPEN = "holds", "does not hold", "undecided"
Check = dict[str, Any]              # what the record keeps of a quantity


def interval(values: npt.ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """Student's interval of the mean: (mean, low, high); without bounds for one value."""
    values, half = np.asarray(values, np.float64), math.inf
    if len(values) > 1:
        half = t_quantile(level, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def verdict_of(low: float, high: float, wanted: str, than: float) -> str:
    """Of an interval that is to lie above (">") or below ("<") a number."""
    if wanted == "<":
        low, high, than = -high, -low, -than
    return HOLDS if low > than else FAILS if high < than else OPEN


def overall(verdicts: Sequence[str]) -> str:
    """Of several checks."""
    return FAILS if FAILS in verdicts else OPEN if OPEN in verdicts or not verdicts else HOLDS


class Study:
    """One claim's run: `curves` and `model` give what was trained, `check` notes a quantity, `finish` writes it all."""

    def __init__(self, claim: str, text: str | None, source: str, cifar: bool = False) -> None:
        parser = arguments(text or claim)
        if cifar:
            parser.add_argument("--cifar", metavar="FOLDER", help="where CIFAR-10 is: adds its CNN (default: left out)")
            parser.add_argument("--cifar-epochs", type=int, help="(default: the size's own)")
        self.options, self.start, self.commit = parser.parse_args(), time.perf_counter(), commit()
        self.claim, self.text, self.source = claim, (text or claim).split("\n", 1)[0], source
        self.size, self.has_cifar = size_of(self.options), bool(cifar and self.options.cifar)
        _ = self.has_cifar and self.cifar                        # a wrong folder is told now, not after hours
        self.checks: list[Check] = []
        self.notes: list[str] = []
        self.used: dict[tuple[str, str, int], dict[str, Any]] = {}      # networks, and what is told of their training

    @cached_property
    def splits(self) -> list[bnnsim.Split]:
        """(training, test) of Fashion-MNIST."""
        return load(self.size)

    @cached_property
    def cifar(self) -> tuple[Size, list[bnnsim.Split]]:
        """Size and (training, test) of CIFAR-10."""
        size, epochs = CIFAR[self.size.name], self.options.cifar_epochs
        return replace(size, epochs=epochs) if epochs else size, load(size, self.options.cifar)

    @property
    def test(self) -> bnnsim.Split:
        return self.splits[1]

    def setting(self, architecture: str) -> tuple[Size, list[bnnsim.Split]]:
        """(size, (training, test)) of an architecture."""
        return self.cifar if architecture.startswith("CIFAR") else (self.size, self.splits)

    def seeds(self, architecture: str) -> range:
        return range(self.setting(architecture)[0].n_seeds)

    def model(self, architecture: str, name: str, seed: int) -> bnnsim.Sequential:
        """A trained network that still has its batch norm."""
        size, (split, _) = self.setting(architecture)
        recipe = RECIPES[architecture, name]
        model = train(size, self.options.folder, recipe, seed, split)
        told = checkpoint(size, self.options.folder, recipe, seed).with_suffix(".json")
        self.used[architecture, name, seed] = json.loads(told.read_text(encoding="utf-8"))
        return model

    def sweep(self, architecture: str, name: str, seed: int, variant: str = "",
              adapt: Callable[[bnnsim.Sequential], bnnsim.Sequential] | None = None,
              rates: Sequence[float] | None = None) -> np.ndarray:
        """Percent by rate and chip (R, T) of a network, or of what `adapt` makes of its model; kept in a file."""
        size, (_, test) = self.setting(architecture)
        rates = size.rates if rates is None else rates
        path = checkpoint(size, self.options.folder, RECIPES[architecture, name], seed)
        model = self.model(architecture, name, seed)
        network = bnnsim.pack(model if adapt is None else adapt(model))
        swept = bnnsim.sweep(network, test, rates, size.trials, rng=seed, resume=True, progress=False,
                             out=path.with_name(f"{path.stem}{variant}-sweep.h5"))
        rows = [swept.rates.tolist().index(rate) for rate in rates]          # the file may have more of both
        return 100 * swept.accuracy[0][rows, :size.trials]

    def curves(self, architecture: str, name: str) -> np.ndarray:
        """Percent by seed and rate (S, R), means over chips; what they are without errors and at 0.1 is noted."""
        curves = np.array([self.sweep(architecture, name, seed).mean(axis=1) for seed in self.seeds(architecture)])
        clean, broken = curves[:, 0].mean(), curves[:, self.at(0.1)].mean()
        self.notes.append(f"{architecture}, {name}: {clean:.2f} % without errors, {broken:.2f} % at BER 0.1.")
        return curves

    def at(self, rate: float) -> int:
        """Number of a rate of the size."""
        return self.size.rates.index(rate)

    def check(self, about: str, quantity: str, values: Iterable[float], wanted: str, than: float,
              what: str = "seeds") -> None:
        """Note a quantity, one value a seed, whose mean is to be above (">") or below ("<") a number."""
        values = [float(value) for value in values]
        self._add(about, quantity, interval(values), wanted, than, f"{len(values)} {what}", values)

    def check_worst(self, about: str, quantity: str, worst: float, wanted: str, than: float, n: str) -> None:
        """Note a quantity that a theorem bounds: the worst value found, without an interval of chance."""
        self._add(about, quantity, (float(worst),) * 3, wanted, than, n, [])

    def leave_open(self, about: str, quantity: str, why: str) -> None:
        """Note what is claimed and was not measured."""
        self.checks.append({"about": about, "quantity": quantity, "mean": None, "low": None, "high": None,
                            "wanted": None, "than": None, "n": why, "values": [], "verdict": OPEN})

    def _add(self, about: str, quantity: str, measured: tuple[float, float, float], wanted: str, than: float, n: str,
             values: list[float]) -> None:
        mean, low, high = measured
        bounds = {"low": low, "high": high} if math.isfinite(low) else {"low": None, "high": None}
        self.checks.append({"about": about, "quantity": quantity, "mean": mean, **bounds, "wanted": wanted,
                            "than": than, "n": n, "values": values,
                            "verdict": verdict_of(low, high, wanted, than) if math.isfinite(mean) else OPEN})

    def conditions(self) -> list[str]:
        """What was used in place of what the paper used, in words."""
        told, nets = [], {architecture for architecture, _, _ in self.used}
        if nets - {"CIFAR-10 CNN"}:
            told.append(f"{self.size.epochs} epochs, cosine schedule, {self.size.dataset}, {self.size.n_seeds} seeds")
        if "MLP" in nets:
            told.append("Fashion-MNIST for MNIST, and a recalled MLP")
        if "CIFAR-10 CNN" in nets:
            size, (train_split, _) = self.cifar
            told.append(f"CIFAR-10 (training images {train_split.sha256[:12]}), {size.epochs} epochs, one seed")
        return told

    def finish(self, figure: Figure) -> None:
        """Write the record and the figure beside the networks; print the verdicts."""
        folder = place(self.size, self.options.folder)
        record: dict[str, Any] = {
                  "claim": self.claim, "text": self.text, "source": self.source, "size": self.size.name,
                  "epochs": self.size.epochs, "n_seeds": self.size.n_seeds, "chips": self.size.trials,
                  "n_images": len(self.test) if self.used else 0, "conditions": self.conditions(),
                  "checks": self.checks, "notes": list(dict.fromkeys(self.notes)),
                  "verdict": overall([check["verdict"] for check in self.checks]), "date": date.today().isoformat(),
                  "commit": self.commit, "cpu": cpu_name(), "figure": f"{self.claim}.png",
                  "networks": len(self.used),
                  "training_seconds": {" ".join(map(str, name)): told["seconds"] for name, told in self.used.items()},
                  "training_commits": sorted({told["commit"] for told in self.used.values()}),
                  "seconds": round(time.perf_counter() - self.start)}
        save_figure(figure, folder / record["figure"])
        with replaced(folder / f"{self.claim}.json") as temporary:
            Path(temporary).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        for check in self.checks:
            print(f"{check['verdict']:14s} {check['about']}: {check['quantity']} {in_words(check)}")
        for note in record["notes"]:
            print(f"               {note}")
        print(f"({self.claim}) {self.text} {record['verdict'].upper()}, {self.size.name} size, "
              f"{record['seconds']} s: {folder / self.claim}.json and .png")


def in_words(check: Check) -> str:
    """What a check measured, and what is claimed."""
    if check["mean"] is None:
        return f"not measured: {check['n']}"
    bounds = "no interval" if check["low"] is None else f"{check['low']:.3g} to {check['high']:.3g}"
    return f"{check['mean']:.3g} ({bounds}; {check['n']}), claimed {check['wanted']} {check['than']:g}"


def curve_figure(study: Study, curves: Mapping[str, np.ndarray]) -> Figure:
    """Accuracy over BER of {label: (S, R)}: the mean over seeds, and from the least to the largest seed."""
    figure, axes = new_axes()
    rates = np.array(study.size.rates)
    axis_place = rate_axis(axes, rates)
    for i, values in enumerate(curves.values()):
        bounds = np.array([values.min(axis=0), values.max(axis=0)])
        draw_curve(axes, axis_place, rates, values.mean(axis=0), bounds, line_style(i))
    axes.set_ylabel("test accuracy (%)")
    axes.set_title(f"all test images, mean over {study.size.trials} chips; line: mean over seeds, band: from least to "
                   "largest", fontsize=9)
    legend_below(figure, curves)
    return figure
