"""Accuracy of stored networks on all test images of a data set, as a whole and by class.

    python -m bnnsim.evaluate
    python -m bnnsim.evaluate fcnn.h5 cnn.h5 --dataset fashion --format csv
    python -m bnnsim.evaluate fcnn.h5 --out predictions.csv

The intervals are Wilson's at 95 %, for the choice of the test images. Without a network: the FCNN that comes with the
library, on the embedded 2,000 test images of Fashion-MNIST.
"""

import csv
import json
import sys

import bnnsim.commands.command_line as command_line
import bnnsim.commands.stored as stored
import bnnsim.datasets.find as find
import bnnsim.files.atomic as atomic
from bnnsim.metrics.evaluation import FIELDS, Evaluation


def arguments():
    """The options."""
    parser = command_line.parser("evaluate", __doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK.h5", help="files written by PackedNetwork.save")
    parser.add_argument("--dataset", metavar="NAME", help="fashion, mnist, cifar10 or fashion-subset (default: what "
                        "the first network was trained on; fashion-subset for the shipped one)")
    parser.add_argument("--data", metavar="FOLDER", help="where the data set's files are")
    parser.add_argument("--format", default="table", choices=("table", "csv", "json"), help="(default: %(default)s)")
    parser.add_argument("--out", metavar="FILE.csv", help="write each image's label and predicted classes")
    return parser


def hint(evaluation):
    """What to look at where a network does little better than guessing; None where it does."""
    chance = evaluation.images.max() / len(evaluation.split)
    if evaluation.accuracy > 1.5 * chance or chance == 1:
        return None
    network = evaluation.network
    return (f"note: {evaluation.name} is right for {100 * evaluation.accuracy:.1f} % of the images, guessing for "
            f"{100 * chance:.1f} %. Check that it was trained on this data set; the input offset (here pixel minus "
            f"{network.input_offset}); the flatten order (height, width, channel here; PyTorch's is channel, height, "
            "width: from_arrays with flatten='CHW'); the bit convention (bit 1 is +1, feature f is bit f % 64 of word "
            "f // 64). README, \"Why is my accuracy 10 %?\", tells more")


def table(evaluations):
    """Text: a line a network, then a line a class with a column a network."""
    split, width = evaluations[0].split, max(7, *(len(one.name) for one in evaluations))
    lines = [f"{split.name}, all {len(split):,} images", "",
             f"{'network'.ljust(width)}  {'right':>7}  {'accuracy %':>10}  {'95 % interval':>15}"]
    by_class = {}
    for one in evaluations:
        whole, *classes = one.rows()
        interval = f"{100 * whole['low']:.2f}..{100 * whole['high']:.2f}"
        lines.append(f"{one.name.ljust(width)}  {whole['right']:>7,}  {100 * whole['accuracy']:10.2f}  {interval:>15}")
        for row in classes:
            by_class.setdefault((row["class"], row["images"]), []).append(f"{100 * row['accuracy']:{width}.2f}")
    lines += ["", f"{'class':<12}  {'images':>7}  " + "  ".join(one.name.rjust(width) for one in evaluations)]
    lines += [f"{name:<12}  {images:>7,}  " + "  ".join(cells) for (name, images), cells in by_class.items()]
    return "\n".join(lines)


def show(evaluations, form):
    """Print in the format asked for."""
    rows = [row for one in evaluations for row in one.rows()]
    if form == "table":
        print(table(evaluations))
    elif form == "json":
        print(json.dumps([{"network": one.name, "checksum": one.network.checksum, "split_sha256": one.split.sha256,
                           "rows": one.rows()} for one in evaluations], indent=1))
    else:
        writer = csv.DictWriter(sys.stdout, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_predictions(path, evaluations):
    """A CSV with a line an image: its place in the split, its label, and each network's class."""
    with atomic.replaced(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "label", *(one.name for one in evaluations)])
        columns = [evaluations[0].split.labels, *(one.predicted for one in evaluations)]
        writer.writerows((i, *classes) for i, classes in enumerate(zip(*(column.tolist() for column in columns))))


def work(options):
    """Load, evaluate, print, write."""
    command_line.check_target(options.out, (".csv",))
    networks = stored.load_networks(options.networks)
    first = next(iter(networks.values()))
    name = options.dataset or (first.metadata.get("dataset", "fashion") if options.networks else "fashion-subset")
    test = find.load_dataset(name, options.data)[1]
    for name, network in networks.items():
        stored.check_fit(name, network, test)
    found = [Evaluation(name, network, test, network.predict(test.images)) for name, network in networks.items()]
    show(found, options.format)
    if options.out:
        write_predictions(options.out, found)
    for note in filter(None, map(hint, found)):
        print(f"python -m bnnsim.evaluate: {note}", file=sys.stderr)


def main(argv=None):
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
