"""Certified accuracy: the share of images that are right and stay so, whichever so many weights of a network flip.

    python -m bnnsim.certify
    python -m bnnsim.certify cnn.h5 --dataset fashion --limit 500 --singles --attack
    python -m bnnsim.certify fcnn.h5 --flips 0,1,10,100 --out certificates.csv --plot certified.png

A column is a layer that all flips are confined to; the last layer's numbers are exact, all others are lower bounds.
Without a network: the FCNN that comes with the library, on the embedded 2,000 test images of Fashion-MNIST.
"""

import csv
import sys

import numpy as np

import bnnsim.commands.command_line as command_line
import bnnsim.commands.stored as stored
import bnnsim.datasets.find as find
import bnnsim.files.atomic as atomic
import bnnsim.proofs.attack as attack
import bnnsim.proofs.certificates as certificates
from bnnsim.checks import check_int

FLIPS = "0,1,2,5,10,20,50,100,200,500,1000"


def arguments():
    """The options."""
    parser = command_line.parser("certify", __doc__)
    parser.add_argument("network", nargs="?", metavar="NETWORK.h5", help="a file written by PackedNetwork.save")
    parser.add_argument("--dataset", metavar="NAME", help="fashion, mnist, cifar10 or fashion-subset (default: what "
                        "the network was trained on; fashion-subset for the shipped one)")
    parser.add_argument("--data", metavar="FOLDER", help="where the data set's files are")
    parser.add_argument("--limit", metavar="N", type=int, help="only the first N test images")
    parser.add_argument("--flips", metavar="K,K,...", default=FLIPS, help="numbers of flips (default: %(default)s)")
    parser.add_argument("--singles", action="store_true", help="try every single flip of convolutions: minutes")
    parser.add_argument("--attack", action="store_true", help="also look for small breaking sets, greedily: minutes")
    parser.add_argument("--out", metavar="FILE.csv", help="write each image's label, class and certificates")
    parser.add_argument("--plot", metavar="FILE", help="write a figure: .png, .svg or .pdf")
    return parser


def columns(found, greedy=None):
    """(name, flips (N,)) of each layer and of the whole network; of the attack too where it ran."""
    n_layers = found.layers.shape[1]
    named = [(f"layer {i}", found.layers[:, i]) for i in range(n_layers)] + [("anywhere", found.whole)]
    return named + [(f"{name}, broken by", sizes) for (name, _), sizes in zip(named, greedy or [])]


def broken_by(network, images):
    """Sizes of the smallest breaking sets that the attack found, by layer and for the whole network; -1: none."""
    sizes = [[-1 if one is None else len(one) for one in attack.breaking_flips(network, images, i)]
             for i in range(len(network.layers))]
    sizes = np.array(sizes, np.int64)
    least = np.where(sizes < 0, np.iinfo(np.int64).max, sizes).min(axis=0)
    return [*sizes, np.where((sizes < 0).all(axis=0), -1, least)]


def ratios(found, greedy):
    """How near certificates come to what the attack breaks: quantiles of flips certified / flips that break."""
    lines = ["", "certified / broken by, over images",
             "             found %      5 %     25 %   median     75 %     95 %"]
    for (name, certified), sizes in zip(columns(found), greedy):
        known = sizes > 0
        cells = np.quantile(certified[known] / sizes[known], [0.05, 0.25, 0.5, 0.75, 0.95]) if known.any() else []
        lines.append(f"{name:<10}  {100 * known.mean():8.1f}  " + " ".join(f"{cell:8.3f}" for cell in cells))
    return "\n".join(lines)


def write(path, labels, found, greedy):
    """A CSV with a line an image."""
    named = columns(found, greedy)
    with atomic.replaced(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "label", "class", *(name for name, _ in named)])
        cells = [labels.tolist(), found.predictions.tolist(), *(values.tolist() for _, values in named)]
        writer.writerows((n, *row) for n, row in enumerate(zip(*cells)))


def work(options):
    """Load, certify, print, write."""
    command_line.check_target(options.out, (".csv",))
    command_line.check_target(options.plot, (".png", ".svg", ".pdf"))
    try:
        flips = [check_int("flips", int(text), 0) for text in options.flips.split(",")]
    except ValueError:
        raise ValueError(f"flips must be integers >= 0 such as {FLIPS}, got {options.flips!r}") from None
    (name, network), = stored.load_networks([options.network] if options.network else []).items()
    dataset = options.dataset or (network.metadata.get("dataset", "fashion") if options.network else "fashion-subset")
    test = find.load_dataset(dataset, options.data)[1]
    stored.check_fit(name, network, test)
    n = check_int("limit", options.limit, 1) if options.limit is not None else len(test)
    images, labels = test.images[:n], test.labels[:n]
    found = certificates.certified_flips(network, images, options.singles)
    print(f"{name}, {test.name}, {len(images):,} of {len(test):,} images\n{found.table(labels, flips)}")
    greedy = broken_by(network, images) if options.attack else None
    if greedy:
        print(ratios(found, greedy))
    if options.out:
        write(options.out, labels, found, greedy)
    if options.plot:
        import bnnsim.figures.proofs as proofs            # matplotlib, only where it is needed
        proofs.certified_accuracy(found, labels, options.plot, f"{name}, {test.name}")


def main(argv=None):
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
