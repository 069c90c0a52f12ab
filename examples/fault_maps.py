"""Defects at addresses: a chip as a file, put under two networks, compared with another, and drawn.

A fault map says for each cell of each array whether a stored 0 or 1 is read wrong. It is recorded from a fault model
here; a measured map of a real chip goes the same way (`bnnsim.faults.FaultMap`).

    python examples/fault_maps.py
    python examples/fault_maps.py --rows 256 --columns 64 --images 500
"""

import argparse

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run
from bnnsim.faults import ArrayMapping, BitFlips, Clusters, Compose, FaultMap, StuckLine, StuckLines


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=count, default=512, help="cells of an array, down")
    parser.add_argument("--columns", type=count, default=128, help="cells of an array, across: sense amplifiers")
    parser.add_argument("--images", type=count, help="only the first IMAGES of the 2,000 embedded test images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for maps and figures")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    test = bnnsim.load_dataset("fashion-subset")[1]
    test = test[:options.images]
    standard, robust = map(bnnsim.load_network, ("fashion_fcnn", "fashion_fcnn_flip"))
    mapping = ArrayMapping(options.rows, options.columns)
    print(f"{mapping.n_arrays(standard)} arrays, {100 * mapping.utilisation(standard):.1f} % of their cells in use")

    model = Compose([BitFlips(0.01), Clusters(mapping, 2e-4, radius=3), StuckLines(mapping, "column", 0.02, 0.01)])
    chip, other = (FaultMap.record(model, standard, options.seed, trial, mapping) for trial in (0, 1))
    chip.save(options.out / "chip.h5")
    chip = FaultMap.load(options.out / "chip.h5")                 # the same chip, on any machine
    bnnsim.plotting.array_map(chip, 0, options.out / "array.png")

    print(f"{chip!r} and {other!r}:\n  in both {(chip & other).counts().sum():,}, in either "
          f"{(chip | other).counts().sum():,}")
    print(f"errors by layer: {chip.counts().sum(axis=-1).tolist()}")
    for name, network in (("standard", standard), ("flip-trained", robust)):
        broken = chip.apply(network)
        print(f"{name:>12}: {100 * network.accuracy(test):.2f} % clean, {100 * broken.accuracy(test):.2f} % on it")

    column = StuckLine(mapping, "column", array=0, line=5, value=0)
    hit = column.apply(standard)
    changed = [i for i, (a, b) in enumerate(zip(standard.layers, hit.layers)) if (a.words != b.words).any()]
    layer, unit, weight = (int(part) for part in mapping.weight(standard, 0, 0, 5))
    print(f"column 5 of array 0 stuck at 0: only layers {changed} differ; its first cell is layer {layer}, unit "
          f"{unit}, weight {weight}")
    print(f"{options.out}/chip.h5 and {options.out}/array.png")


if __name__ == "__main__":
    run(main)
