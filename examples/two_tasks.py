"""Two tasks learnt one after the other by one memory: what is left of the first, with metaplastic weights and without.

    python examples/two_tasks.py --data FOLDER --width 2048 --seed 0
"""

import argparse
import json
import sys
from types import SimpleNamespace

import numpy as np
from matplotlib.figure import Figure

import bnnsim
from bnnsim.commands.scripts import count, made_folder, positive, run
from bnnsim.training.on_chip import CountedWrites
from bnnsim.training.optimizers import Metaplastic


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", help="folder of MNIST: it, then Fashion-MNIST; else part of that, then permuted")
    parser.add_argument("--width", type=count, default=256, help="units of each of two hidden layers")
    parser.add_argument("--epochs", type=count, default=5, help="of each task")
    parser.add_argument("--m", type=positive, nargs="+", default=[30.0], help="how metaplastic latent weights are; the "
                        "authors' is 7.5 here")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def learnt(options, tasks, m):
    """Accuracy of the tasks so far, by epoch, each with the batch norm that it was left with; the writes of each."""
    model = bnnsim.architectures.build("FC{0} FC{0} FC10".format(options.width), (1, 28, 28), rng=options.seed)
    optimizers, norms, found = [CountedWrites(Metaplastic(m=m)) for _ in tasks], list[dict](), list[list[float]]()

    def watch(model, row):
        now = {name: value.copy() for name, value in model.arrays().items()}
        found.append([])
        for (_, test), norm in zip(tasks, [*norms, {}]):         # the last one with its batch norm of now
            model.load_arrays(now | norm)
            found[-1].append(100 * model.accuracy(test))

    for i, ((train, _), optimizer) in enumerate(zip(tasks, optimizers)):
        bnnsim.fit(model, train, options.epochs, rng=options.seed + i, batch_size=100, optimizer=optimizer,
                   schedule=bnnsim.schedules.Constant(), callbacks=[SimpleNamespace(on_epoch_end=watch)])
        norms.append({name: value.copy() for name, value in model.arrays().items() if not name.endswith(".weight")})
    return found, [optimizer.writes(model) for optimizer in optimizers]


def main() -> None:
    options = arguments()
    first = bnnsim.load_dataset("mnist", options.data) if options.data else bnnsim.load_dataset("fashion-subset")
    order = np.random.default_rng(options.seed).permutation(28)
    tasks = [first, bnnsim.load_dataset("fashion") if options.data else [
        bnnsim.Split(half.images[:, :, order], half.labels, f"{half.name}, rows permuted") for half in first]]
    left, right = (figure := Figure(figsize=(12, 4.8), layout="constrained")).subplots(1, 2)
    told = [f"twice {options.width} units, {options.epochs} epochs of {tasks[0][0].name}, then of {tasks[1][0].name}"]
    for i, m in enumerate([0, *options.m]):
        name, (found, writes) = f"m = {m:g}" if m else "Adam", learnt(options, tasks, m)
        for task, (each, style) in enumerate(zip(writes, ("-", "--"))):
            x, label = np.arange(task * options.epochs, len(found)), f"{name}: {tasks[task][1].name}"
            left.plot(x + 1, [found[n][task] for n in x], style, color=f"C{i}", label=label)
            bits = 100 * each.histogram() / each.n_bits
            right.plot(np.where(bits > 0, bits, np.nan), f".{style}", color=f"C{i}", markersize=3,
                       label=f"{name}: while {tasks[task][0].name} is learnt")
        often = " and ".join(f"{each.total / each.n_bits:.2f} times (at most {each.largest})" for each in writes)
        told.append(f"{name}: {found[options.epochs - 1][0]:.2f} %, then {found[-1][0]:.2f} and {found[-1][1]:.2f} %; "
                    f"a bit is written {often}")
    left.axvline(options.epochs, color="gray", linestyle=":", label="the task changes behind this epoch")
    left.set(xlabel="epoch", ylabel="accuracy (%)", title="what is left of each task, with its own batch norm")
    right.set(xlabel="writes of a bit in a task", ylabel="bits (%)", yscale="log", title="how often bits are written")
    left.legend(fontsize=8), right.legend(fontsize=8)
    figure.savefig(options.out / "two_tasks.png", dpi=150)
    row = {"item": "Two tasks, metaplastic weights", "source": "arXiv:2003.03533, arXiv:2306.12142",
           "literature": "MNIST, then Fashion-MNIST: 97 and 85 %, another 97 and 86 %; else MNIST falls to about 20 %",
           "measured": "; ".join(told), "command": " ".join(["python examples/two_tasks.py", *(
               "FOLDER" if word == options.data else word for word in sys.argv[1:])])}
    (options.out / "two_tasks.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print(*told, f"{options.out}/two_tasks.png and {options.out}/two_tasks.json", sep="\n")


if __name__ == "__main__":
    run(main)
