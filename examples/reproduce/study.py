"""What all reproductions share: options, networks and their sweeps, checks over seeds, the record that is left.

A claim is split into checks: a quantity, one value a seed, that must lie above or below a number. A check holds where
the 95 % interval of its mean (Student's t over seeds; over chips where there is one seed) lies on the right side whole,
does not where it lies on the wrong side, and is undecided else. A claim holds where all of its checks do, does not hold
where one does not, and is undecided else.
"""

import json
import logging
import math
import subprocess
import time
from datetime import date
from pathlib import Path

import numpy as np
from networks import CIFAR, RECIPES, Size, arguments, checkpoint, load, size_of, train

import bnnsim
from bnnsim.campaign import cpu_name
from bnnsim.figure_parts import draw_curve, legend_below, line_style, new_axes, rate_axis, save_figure
from bnnsim.files import replaced
from bnnsim.statistics import t_quantile

HOLDS, FAILS, OPEN = "holds", "does not hold", "undecided"
SUBSTITUTES = {"FCNN": "", "CNN": "", "MLP": "Fashion-MNIST for MNIST",
               "CIFAR-10 CNN": "CIFAR-10 from JPEG copies, {epochs} epochs, one seed"}


def interval(values, level=0.95):
    """Student's interval of the mean: (mean, low, high); without bounds for one value."""
    values = np.asarray(values, np.float64)
    half = math.inf
    if len(values) > 1:
        half = t_quantile(level, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def verdict_of(low, high, wanted, than):
    """Of an interval that is to lie above (">") or below ("<") a number."""
    if wanted == "<":
        low, high, than = -high, -low, -than
    return HOLDS if low > than else FAILS if high < than else OPEN


def overall(verdicts):
    """Of several checks."""
    return FAILS if FAILS in verdicts else OPEN if OPEN in verdicts or not verdicts else HOLDS


class Study:
    """One claim's run: `curve` and `model` give what was trained, `check` notes a quantity, `finish` writes it all."""

    def __init__(self, claim, text, source, argv=None):
        parser = arguments(text)
        parser.add_argument("--cifar", metavar="FOLDER", help="where CIFAR-10 is: adds its CNN, where the claim is of "
                            "it too (default: left out)")
        parser.add_argument("--cifar-epochs", type=int, help="(default: the size's own)")
        self.options, self.start = parser.parse_args(argv), time.perf_counter()
        logging.getLogger("bnnsim").setLevel(logging.ERROR)          # "no checkpoint yet" is no news here
        self.claim, self.text, self.source = claim, text.split("\n", 1)[0], source
        self.size, self.checks, self.notes, self.used = size_of(self.options), [], [], set()
        self.train, self.test = load(self.size)
        self.cifar = None
        if self.options.cifar:
            self.cifar = CIFAR[self.size.name]
            if self.options.cifar_epochs:
                self.cifar = Size(**{**vars(self.cifar), "epochs": self.options.cifar_epochs})
            self.cifar_splits = load(self.cifar, self.options.cifar)

    def setting(self, architecture):
        """(size, training split, test split) of an architecture; the note of its substitute is kept."""
        self.used.add(architecture)
        if architecture.startswith("CIFAR"):
            return self.cifar, *self.cifar_splits
        return self.size, self.train, self.test

    def seeds(self, architecture):
        return range(self.setting(architecture)[0].n_seeds)

    def model(self, architecture, name, seed):
        """A trained network that still has its batch norm."""
        size, split, _ = self.setting(architecture)
        return train(size, self.options.folder, RECIPES[architecture, name], seed, split)

    def images(self, architecture):
        """The test images, all of them."""
        return self.setting(architecture)[2]

    def sweep(self, architecture, name, seed, variant="", adapt=None, rates=None):
        """Percent by rate and chip (R, T) of a network, or of what `adapt` makes of its model; kept in a file."""
        size, _, test = self.setting(architecture)
        path = checkpoint(size, self.options.folder, RECIPES[architecture, name], seed)
        path = path.with_name(f"{path.stem}{variant}-sweep.h5")
        model = self.model(architecture, name, seed)
        network = bnnsim.pack(model if adapt is None else adapt(model))
        found = bnnsim.sweep(network, test, size.rates if rates is None else rates, size.trials, rng=seed, out=path,
                             resume=True, progress=False)
        return 100 * found.accuracy[0]

    def curves(self, architecture, name, variant="", adapt=None):
        """Percent by seed and rate (S, R), means over chips."""
        return np.array([self.sweep(architecture, name, seed, variant, adapt).mean(axis=1)
                         for seed in self.seeds(architecture)])

    def at(self, rate):
        """Number of a rate of the size."""
        return self.size.rates.index(rate)

    def check(self, about, quantity, values, wanted, than, what="seeds"):
        """Note a quantity of a network, one value a seed, that is to be above (">") or below ("<") a number."""
        mean, low, high = interval(values)
        self.note_check(about, quantity, mean, low, high, wanted, than, f"{len(values)} {what}",
                        [float(value) for value in values])

    def note_check(self, about, quantity, mean, low, high, wanted, than, n, values=()):
        """Note a quantity whose interval is known."""
        bounds = {"low": low, "high": high} if math.isfinite(low) else {"low": None, "high": None}
        self.checks.append({"about": about, "quantity": quantity, "mean": mean, **bounds, "wanted": wanted,
                            "than": than, "n": n, "values": list(values),
                            "verdict": verdict_of(low, high, wanted, than)})

    def finish(self, figure):
        """Write the record and the figure beside the networks; print the verdicts."""
        folder = checkpoint(self.size, self.options.folder, RECIPES["FCNN", "standard"], 0).parent
        epochs = {"epochs": self.cifar.epochs if self.cifar else 0}
        substitutes = [SUBSTITUTES[name].format(**epochs) for name in SUBSTITUTES if name in self.used]
        record = {"claim": self.claim, "text": self.text, "source": self.source, "size": self.size.name,
                  "epochs": self.size.epochs, "n_seeds": self.size.n_seeds, "chips": self.size.trials,
                  "dataset": self.test.name, "n_images": len(self.test), "substitutes": [s for s in substitutes if s],
                  "checks": self.checks, "notes": self.notes,
                  "verdict": overall([check["verdict"] for check in self.checks]), "date": date.today().isoformat(),
                  "commit": _commit(), "cpu": cpu_name(), "seconds": round(time.perf_counter() - self.start)}
        record["figure"] = f"{self.claim}.png"
        save_figure(figure, folder / record["figure"])
        with replaced(folder / f"{self.claim}.json") as temporary:
            Path(temporary).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        for check in self.checks:
            print(f"{check['verdict']:14s} {in_words(check)}")
        for note in self.notes:
            print(f"               {note}")
        print(f"({self.claim}) {self.text} {record['verdict'].upper()}, {self.size.name} size, "
              f"{record['seconds']} s: {folder / self.claim}.json and .png")


def in_words(check):
    """A check as one line."""
    bounds = "no interval" if check["low"] is None else f"{check['low']:.3g} to {check['high']:.3g}"
    return (f"{check['about']}: {check['quantity']} {check['mean']:.3g} ({bounds}, {check['n']}); claimed "
            f"{check['wanted']} {check['than']:g}")


def curve_figure(study, curves):
    """Accuracy over BER of {label: (S, R)}: the mean over seeds, and from the least to the largest seed."""
    figure, axes = new_axes()
    rates = np.array(study.size.rates)
    place = rate_axis(axes, rates)
    for i, values in enumerate(curves.values()):
        bounds = np.array([values.min(axis=0), values.max(axis=0)])
        draw_curve(axes, place, rates, values.mean(axis=0), bounds, line_style(i))
    axes.set_ylabel("test accuracy (%)")
    axes.set_title(f"{len(study.test):,} test images, {study.size.trials} chips; line: mean over {study.size.n_seeds} "
                   "seeds, band: from least to largest", fontsize=9)
    legend_below(figure, list(curves))
    return figure


def _commit():
    """The commit of this clone, with a + where files differ from it; "" outside of one."""
    def git(*words):
        done = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""
    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
