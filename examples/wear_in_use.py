"""A memory in use: fewer writes in training, cells that training wears out, reads that disturb, and refreshes.

    python examples/wear_in_use.py --seed 0
"""

import argparse
import json
import sys
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run
from bnnsim.devices import RefreshSchedule, Weibull, WornOut, load_card, longest_interval, mean_accuracy
from bnnsim.faults import ReadDisturb
from bnnsim.training.on_chip import LimitedWrites

STRONG, DISTURB, A_DAY = load_card("teaching").under("strong"), ReadDisturb(1e8, 1e9), 1e9     # synthetic; examples
ENDURANCE = Weibull(*(STRONG.value(key, {}) for key in ("weibull_scale_cycles", "weibull_shape", "stuck_share_lrs")))
LIMITS: dict[str, tuple] = {"most": (1, 3e-3, 1e-3, 3e-4, 1e-4), "every": (1, 3, 10, 30, 100),
                            "probability": (1, 0.3, 0.1, 0.03, 0.01)}
WORDS = {"most": "at most this share of a layer's bits a step", "every": "at every n-th step alone",
         "probability": "each bit that waits with this probability", "last": "a dead cell keeps its last value",
         "share": "a dead cell is stuck at either value"}
SHIFTS = {"most": (-14, 6), "every": (5, 3), "probability": (-8, -12)}
CROWDED = 1, 3, 0.3, 0.1                                            # their marks touch: no numbers there
CHIPS, TRAININGS, READS = 3, [0, *np.geomspace(1e5, 1e8, 7)], [0, *np.geomspace(3e4, 3e7, 13)]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=count, help="only the first IMAGES of each half")
    parser.add_argument("--epochs", type=count, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def draw(axes: Axes, x: Sequence[float], y: Sequence[float], label: str, values: Sequence[str] = (),
         shift: tuple[int, int] = (4, 4)) -> None:
    """A line with marks, and a text beside each, shifted by so many points."""
    line, = axes.plot(x, y, "o-", label=label)
    for at, height, value in zip(x, y, values):
        axes.annotate(value, (at, height), shift, textcoords="offset points", fontsize=7, color=line.get_color())


def main() -> None:
    options, trained = arguments(), list()
    train, test = (half[:options.images] for half in bnnsim.load_dataset("fashion-subset"))
    told = ["FC512 FC512 FC10, embedded images, 3 chips; endurance and energies synthetic, disturbance made up"]
    (fewer, worn), (disturbed, cost) = (figure := Figure(figsize=(12, 9), layout="constrained")).subplots(2, 2)
    for name, values in LIMITS.items():
        for value in values:
            model = bnnsim.architectures.build("FC512 FC512 FC10", (1, 28, 28), rng=options.seed)
            optimizer = LimitedWrites(**{name: value})
            bnnsim.fit(model, train, options.epochs, rng=options.seed, optimizer=optimizer, progress=False)
            trained.append((bnnsim.pack(model), optimizer.writes(model)))
        y, x = zip(*((100 * net.accuracy(test), each.total / each.n_bits) for net, each in trained[-len(values):]))
        draw(fewer, x, y, WORDS[name], ["" if value in CROWDED else f"{value:g}" for value in values], SHIFTS[name])
        told.append(f"{WORDS[name]}: " + ", ".join(f"{v:g} {a:.1f} % ({w:.3f} writes a bit)"
                                                   for v, a, w in zip(values, y, x)))
    for (network, writes), stuck in zip([trained[0]] * 2, ("last", "share")):                   # without a limit
        fault = WornOut(writes.layers, weibull=ENDURANCE, devices=2, stuck=stuck)
        y = 100 * bnnsim.sweep(network, test, TRAININGS, CHIPS, options.seed, faults=fault).mean()[0]
        draw(worn, TRAININGS[1:], y[1:], WORDS[stuck], [
            f"{100 * fault.at(n).share_dead():.2g} %" if n > 9e5 else "" for n in TRAININGS[1:] if stuck == "last"])
        told.append(f"{WORDS[stuck]}: " + ", ".join(f"{each:.1f} % after {n:.0e} trainings ("
                    f"{100 * fault.at(n).share_dead():.2g} % dead)" for n, each in zip(TRAININGS[3::2], y[3::2])))
    read = bnnsim.sweep(network, test, READS, CHIPS, options.seed, faults=DISTURB).mean()[0]
    draw(disturbed, READS[1:], 100 * read[1:], f"mean of {CHIPS} chips", [f"{100 * each:.1f}" for each in read[1:]])
    costs = [STRONG.value("energy_set_joule", {}) + STRONG.value("energy_reset_joule", {}),      # of a pair
             STRONG.value("energy_read_joule", {}), STRONG.value("endurance_cycles", {})]
    for rewrites in ("all", "wrong"):
        days = [RefreshSchedule(n, A_DAY, rewrites).cost(network, DISTURB, *costs) for n in READS[1:]]
        draw(cost, READS[1:], [day.write_joule_per_day for day in days], f"writes of {rewrites} bits",
             [f"{day.write_joule_per_day:.1g}" if rewrites == "all" or day is days[-1] else "" for day in days])
    for drop in (0.005, 0.01, 0.02):
        longest, where = longest_interval(READS, read, drop)                # "inside" what was read, or "at least"
        mean, day = mean_accuracy(READS, read, longest), RefreshSchedule(longest, A_DAY).cost(network, DISTURB, *costs)
        told.append(f"{100 * drop:g} points lost ({where}) after {longest:.2g} reads: {100 * mean:.2f} % in the mean, "
                    f"{day.write_joule_per_day:.2g} J a day of writes and {day.read_joule_per_day:.2g} of "
                    f"reads, {day.cycles_per_day:.2g} cycles a day, endurance for {day.lifetime_day:.2g} days")
    cost.axhline(days[-1].read_joule_per_day, color="k", label="reads"), cost.set(yscale="log")
    for ax, label, title in zip(
            figure.axes, ("writes of a bit in a training, mean", "trainings", "reads since the last refresh",
                          "reads from one refresh to the next"),
            ("fewer writes in training (number: the limit)",
             "cells that trainings wore out (number: dead pairs)",
             "reads that disturb (number: accuracy in %)", f"what refreshes cost at {A_DAY:.0e} reads a day")):
        ax.legend(fontsize=8), ax.set(xlabel=label, ylabel="energy (J a day)" if ax is cost else "accuracy (%)",
                                      xscale="linear" if ax is fewer else "log", title=title, xmargin=0.1)
    figure.suptitle(f"Synthetic: endurance and energies are of the card 'teaching', read disturbance is made up\n"
                    f"FC512 FC512 FC10, {len(test):,} images of {test.name}")
    figure.savefig(options.out / "wear.png", dpi=150)
    row = {"item": "Wear in use, reads and refreshes", "source": "doi:10.1109/TCSI.2026.3675336", "literature":
           "reads disturb: up to twice the accuracy where that is countered", "measured": "; ".join(told),
           "command": " ".join(["python examples/wear_in_use.py", *sys.argv[1:]])}
    (options.out / "wear.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print(*told, f"{options.out}/wear.png and {options.out}/wear.json", sep="\n")


if __name__ == "__main__":
    run(main)
