"""Certified accuracy: the share of images that are right and stay so, whichever so many weights of a network flip.

    python -m bnnsim.certify
    python -m bnnsim.certify cnn.h5 --dataset fashion --limit 500 --singles --attack
    python -m bnnsim.certify fcnn.h5 --flips 0,1,10,100 --out certificates.csv --plot certified.png

A column is a layer that all flips are confined to; the last layer's numbers are exact, all others are lower bounds.
Without a network: the FCNN that comes with the library, on the embedded 2,000 test images of Fashion-MNIST.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import bnnsim.commands.command_line as command_line
import bnnsim.commands.options as shared
import bnnsim.commands.rules as rules
import bnnsim.files.atomic as atomic
from bnnsim.commands.options import Option
from bnnsim.commands.printing import as_json, counted, print_plan

if TYPE_CHECKING:
    from bnnsim.datasets.split import Split
    from bnnsim.packed.network import PackedNetwork
    from bnnsim.proofs.certificates import Certificates

OPTIONS = (
    shared.NETWORK, shared.DATASET, shared.DATA, shared.SIZE, shared.ORDER, shared.LIMIT,
    Option("flips", "numbers of flips", rules.integers, "0,1,2,5,10,20,50,100,200,500,1000", metavar="K,K,..."),
    Option("singles", "try every single flip of convolutions: minutes", rules.switch, False),
    Option("attack", "also look for small breaking sets, greedily: minutes", rules.switch, False),
    shared.out("write each image's label, class and certificates", ".csv"), shared.PLOT, shared.WIDTH,
    shared.form("table", "json"), shared.DRY_RUN)


def arguments() -> command_line.Parser:
    """The options."""
    return command_line.parser("certify", __doc__, OPTIONS)


def columns(found: "Certificates", greedy: Sequence[np.ndarray] | None = None) -> list[tuple[str, np.ndarray]]:
    """(name, flips (N,)) of each layer and of the whole network; of the attack too where it ran."""
    n_layers = found.layers.shape[1]
    named = [(f"layer {i}", found.layers[:, i]) for i in range(n_layers)] + [("anywhere", found.whole)]
    return named + [(f"{name}, broken by", sizes) for (name, _), sizes in zip(named, greedy or [])]


def broken_by(network: "PackedNetwork", images: np.ndarray) -> list[np.ndarray]:
    """Sizes of the smallest breaking sets that the attack found, by layer and for the whole network; -1: none."""
    import bnnsim.proofs.attack as attack

    sizes = np.array([[-1 if one is None else len(one) for one in attack.breaking_flips(network, images, i)]
                      for i in range(len(network.layers))], np.int64)
    least = np.where(sizes < 0, np.iinfo(np.int64).max, sizes).min(axis=0)
    return [*sizes, np.where((sizes < 0).all(axis=0), -1, least)]


def ratios(found: "Certificates", greedy: Sequence[np.ndarray]) -> str:
    """How near certificates come to what the attack breaks: quantiles of flips certified / flips that break."""
    lines = ["", "certified / broken by, over images",
             "             found %      5 %     25 %   median     75 %     95 %"]
    for (name, certified), sizes in zip(columns(found), greedy):
        known = sizes > 0
        values = np.quantile(certified[known] / sizes[known], [0.05, 0.25, 0.5, 0.75, 0.95]) if known.any() else []
        lines.append(f"{name:<10}  {100 * known.mean():8.1f}  " + " ".join(f"{value:8.3f}" for value in values))
    return "\n".join(lines)


def write(path: str, labels: np.ndarray, found: "Certificates", greedy: Sequence[np.ndarray] | None) -> None:
    """A CSV with a line an image."""
    named = columns(found, greedy)
    with atomic.replaced(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "label", "class", *(name for name, _ in named)])
        by_column = [labels.tolist(), found.predictions.tolist(), *(values.tolist() for _, values in named)]
        writer.writerows((n, *row) for n, row in enumerate(zip(*by_column)))


def described(name: str, network: "PackedNetwork", test: "Split", found: "Certificates", options: argparse.Namespace,
              greedy: Sequence[np.ndarray] | None) -> dict[str, Any]:
    """What is printed, as plain JSON: rows of a layer (None: anywhere) and flips; shares of 1."""
    layers = [*range(found.layers.shape[1]), None]
    rows = [{"layer": layer, "flips": k, "certified_accuracy": float(share)} for layer in layers
            for k, share in zip(options.flips, found.accuracy(test.labels, options.flips, layer))]
    broken = {} if greedy is None else {"broken_by": [
        {"set": column, "found": float((sizes > 0).mean()),
         "median": float(np.median(sizes[sizes > 0])) if (sizes > 0).any() else None}
        for (column, _), sizes in zip(columns(found), greedy)]}
    return {"network": name, "checksum": network.checksum, "split": test.name, "split_sha256": test.sha256,
            "n_images": len(test), "rows": rows, **broken}


def work(options: argparse.Namespace) -> None:
    """Load, certify, print, write."""
    import bnnsim.commands.inputs as inputs
    import bnnsim.proofs.certificates as certificates
    from bnnsim.packed.blocks import check_scores

    shared.check_read(options, ["width"], options.plot, "--plot FIGURE")
    name, network = inputs.load_network(options.network)
    check_scores(network, "certify")
    test = inputs.load_test(options, [options.network] if options.network else [], {name: network})
    if options.dry_run:
        print_plan(options, {"network": name, "split": test.name, "n_images": len(test), "flips": options.flips},
                   {"plot": options.plot, "out": options.out})
        return
    found = certificates.certified_flips(network, test.images, options.singles)
    greedy = broken_by(network, test.images) if options.attack else None
    if options.out:
        write(options.out, test.labels, found, greedy)
    if options.plot:
        import bnnsim.figures.proofs as proofs            # matplotlib, only where it is needed
        proofs.certified_accuracy(found, test.labels, options.plot, f"{name}, {test.name}",
                                  width=options.width)
    if options.format == "json":
        print(as_json(described(name, network, test, found, options, greedy)))
        return
    print(f"{name}, {test.name}, {counted(len(test), 'image')}\n{found.table(test.labels, options.flips)}")
    if greedy:
        print(ratios(found, greedy))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
