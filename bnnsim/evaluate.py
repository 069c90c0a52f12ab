"""Accuracy of stored networks on all test images of a data set, as a whole and by class.

    python -m bnnsim.evaluate
    python -m bnnsim.evaluate fcnn.h5 cnn.h5 --dataset fashion --format csv
    python -m bnnsim.evaluate fcnn.h5 --out predictions.csv
    python -m bnnsim.evaluate --confusion --plot confusion.png
    python -m bnnsim.evaluate --fault "Compose([BitFlips(0.05), StuckAt(0.01, 0.01)])" --trial 3

The intervals are Wilson's at 95 %, for the choice of the test images. Without a network: the FCNN that comes with the
library, on the embedded 2,000 test images of Fashion-MNIST.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

import bnnsim.commands.command_line as command_line
import bnnsim.commands.options as shared
import bnnsim.commands.rules as rules
import bnnsim.files.atomic as atomic
from bnnsim.commands.options import Option
from bnnsim.commands.printing import as_json, counted, print_plan

if TYPE_CHECKING:
    from bnnsim.faults.protocol import Fault
    from bnnsim.metrics.evaluation import Evaluation
    from bnnsim.packed.network import PackedNetwork

OPTIONS = (
    shared.NETWORKS, shared.DATASET, shared.DATA, shared.SIZE, shared.ORDER, shared.LIMIT,
    replace(shared.FAULT, help=f"of one chip, {shared.FAULT.help}; as ber_sweep has it at that rate, seed and chip"),
    replace(shared.SEED, help="with --fault: root seed of the errors"),
    replace(shared.TRIAL, help="with --fault: which chip"),
    Option("confusion", "in the table or the JSON, what is taken for what: confusion matrix, precision, recall and "
           "F1 of each class, balanced accuracy", rules.switch, False, scope="run"),
    replace(shared.PLOT, help=f"draw the confusion matrix of one network: {shared.FIGURE_HELP}"), shared.WIDTH,
    shared.form("table", "csv", "json"), shared.out("write each image's label and predicted classes", ".csv"),
    shared.DRY_RUN)


def arguments() -> command_line.Parser:
    """The options."""
    return command_line.parser("evaluate", __doc__, OPTIONS)


def hint(evaluation: "Evaluation") -> str | None:
    """What to look at where a network does little better than guessing; None where it does."""
    chance = evaluation.images.max() / len(evaluation.split)
    if evaluation.accuracy > 1.5 * chance or chance == 1:
        return None
    network = evaluation.network
    return (f"note: {evaluation.name} is right for {100 * evaluation.accuracy:.1f} % of the images, guessing for "
            f"{100 * chance:.1f} %. Check that it was trained on this data set; the input offset (here pixel minus "
            f"{network.input_offset}); the flatten order (height, width, channel here; PyTorch's is channel, height, "
            "width: from_arrays with flatten='CHW'); the bit convention (bit 1 is +1, feature f is bit f % 64 of word "
            "f // 64). docs/faq.rst, \"Why is my accuracy 10 %?\", tells more")


def table(evaluations: "Sequence[Evaluation]") -> str:
    """Text: a line a network, then a line a class with a column a network."""
    split, width = evaluations[0].split, max(7, *(len(one.name) for one in evaluations))
    lines = [f"{split.name}, all {counted(len(split), 'image')}", "",
             f"{'network'.ljust(width)}  {'right':>7}  {'accuracy %':>10}  {'95 % interval':>15}"]
    by_class: dict[tuple[str, int], list[str]] = {}
    for one in evaluations:
        whole, *classes = one.rows()
        interval = f"{100 * whole['low']:.2f}..{100 * whole['high']:.2f}"
        lines.append(f"{one.name.ljust(width)}  {whole['right']:>7,}  {100 * whole['accuracy']:10.2f}  {interval:>15}")
        for row in classes:
            by_class.setdefault((row["class"], row["images"]), []).append(f"{100 * row['accuracy']:{width}.2f}")
    lines += ["", f"{'class':<12}  {'images':>7}  " + "  ".join(one.name.rjust(width) for one in evaluations)]
    lines += [f"{name:<12}  {images:>7,}  " + "  ".join(shares) for (name, images), shares in by_class.items()]
    return "\n".join(lines)


def show(evaluations: "Sequence[Evaluation]", options: argparse.Namespace) -> None:
    """Print in the format asked for."""
    rows = [row for one in evaluations for row in one.rows()]
    chip = {"fault": options.fault, "seed": options.seed, "trial": options.trial} if options.fault else {}
    if options.format == "table":
        print(*(f"{name}: {value}" for name, value in chip.items()), table(evaluations), sep="\n")
        for one in evaluations if options.confusion else ():
            print("", one.table(), sep="\n")
    elif options.format == "json":
        print(as_json([{"network": one.name, "checksum": one.network.checksum, "split_sha256": one.split.sha256,
                        **chip, "rows": one.rows(), **(one.scores() if options.confusion else {})}
                       for one in evaluations]))
    else:
        from bnnsim.metrics.evaluation import FIELDS
        writer = csv.DictWriter(sys.stdout, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_predictions(path: str, evaluations: "Sequence[Evaluation]") -> None:
    """A CSV with a line an image: its place in the split, its label, and each network's class."""
    with atomic.replaced(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "label", *(one.name for one in evaluations)])
        columns = [evaluations[0].split.labels, *(one.predicted for one in evaluations)]
        writer.writerows((i, *classes) for i, classes in enumerate(zip(*(column.tolist() for column in columns))))


def answers(network: "PackedNetwork", images: np.ndarray, fault: "Fault | None", seed: int, trial: int) -> np.ndarray:
    """The classes that one chip predicts, uint8 (N,); a fault of each read is drawn anew for every batch of images."""
    from bnnsim.faults.protocol import READ_IMAGES, apply_read, when_drawn

    if fault is None:
        return network.predict(images)
    batch = READ_IMAGES if when_drawn(fault) == "read" else len(images)
    return np.concatenate([apply_read(fault, network, seed, trial, read).predict(images[first:first + batch])
                           for read, first in enumerate(range(0, len(images), batch))])


def work(options: argparse.Namespace) -> None:
    """Load, evaluate, print, write."""
    import bnnsim.commands.inputs as inputs
    from bnnsim.faults.protocol import apply_read
    from bnnsim.metrics.evaluation import Evaluation

    shared.check_read(options, ["seed", "trial"], options.fault, "--fault")
    shared.check_read(options, ["width"], options.plot, "--plot FIGURE")
    if options.confusion and options.format == "csv":
        raise ValueError("--confusion is in the table and the JSON: give --format table or json")
    if options.plot and len(options.networks) > 1:
        raise ValueError(f"--plot draws the confusion matrix of one network: give one, not {len(options.networks)}")
    fault = rules.make_fault(options.fault) if options.fault else None
    networks = inputs.load_networks(options.networks)
    test = inputs.load_test(options, options.networks, networks)
    if options.dry_run:
        if fault is not None:
            for network in networks.values():                    # a layer that one has not is said here
                apply_read(fault, network, options.seed, options.trial, 0)
        print_plan(options, {"networks": list(networks), "split": test.name, "n_images": len(test),
                             "fault": options.fault}, {"plot": options.plot, "out": options.out})
        return
    found = [Evaluation(name, network, test, answers(network, test.images, fault, options.seed, options.trial))
             for name, network in networks.items()]
    if options.out:
        write_predictions(options.out, found)
    if options.plot:
        found[0].plot(options.plot, width=options.width)
    show(found, options)
    for note in filter(None, map(hint, found) if fault is None else ()):
        print(f"python -m bnnsim.evaluate: {note}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
