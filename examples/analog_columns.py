"""Sum up in analog columns or sense product by product: accuracy over energy and devices, cell spread and wires.

The joules of --joule are made up: of a comparison, of a unit capacitor of an ADC, of a device that is read.
    python examples/analog_columns.py --images 500 --trials 3 --seed 0
"""

import argparse
import json
import sys

import numpy as np
from matplotlib.figure import Figure
from scipy.special import ndtr

import bnnsim
from bnnsim.commands.scripts import count, made_folder, positive, run
from bnnsim.faults import AnalogColumns, BitFlips

ROWS, BITS, OFF, SPREADS, WIRES = (32, 64, 256), (2, 3, 4, 5, 6, 8), 0.1, (0.0, 0.2, 0.4, 0.8), (0.0, 1e-6, 2e-6, 5e-6)
CELLS = {"2T2R": (2, "k*--", np.hypot(1, OFF)), "1T1R": (1, "kP--", 1 + OFF)}   # devices, line, spread of what is read


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="fashion-subset")
    parser.add_argument("--joule", type=positive, nargs=3, default=(10e-15, 0.5e-15, 5e-15), metavar="J")
    for name, default, told in (("--images", 200, "only the first IMAGES are tested"), ("--epochs", 3, "of training"),
                                ("--trials", 1, "chips of each setting"), ("--seed", 0, "of all that is drawn")):
        parser.add_argument(name, type=int if name == "--seed" else count, default=default, help=told)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def main() -> None:
    options, found = arguments(), dict[str, dict[str, list[float]]](energy={}, spread={}, wire={}, joule={})
    train, test = bnnsim.load_dataset(options.dataset)
    model = bnnsim.architectures.build("C32 MP2 C64 MP2 FC256 FC10", test.images.shape[1:], rng=options.seed)
    bnnsim.fit(model, train, options.epochs, rng=options.seed, batch_size=100)
    network, test = bnnsim.pack(model), test[:options.images]
    cost = AnalogColumns().reading(network)

    def accuracies(*faults: AnalogColumns | BitFlips) -> list[float]:
        return [100 * float(np.mean([fault.apply(network, options.seed, chip).accuracy(test)
                                     for chip in range(options.trials)])) for fault in faults]

    for rows in ROWS:
        columns, name = [AnalogColumns(rows, bits, SPREADS[2], off=OFF) for bits in BITS], f"{rows} rows"
        found["joule"][name] = [each.reading(network).joule(*options.joule) for each in columns]
        found["energy"][name] = accuracies(*columns)
        found["spread"][name] = accuracies(*(AnalogColumns(rows, 9, spread, off=OFF) for spread in SPREADS))
        found["wire"][name] = accuracies(*(AnalogColumns(rows, 9, off=OFF, wire=wire) for wire in WIRES))
    for cell, (devices, _, compared) in CELLS.items():
        bers = [float(ndtr((OFF - 1) / (spread * compared))) if spread else 0.0 for spread in SPREADS]
        found["joule"][cell] = [cost.sensing_joule(options.joule[0], options.joule[2], devices)]
        found["spread"][cell] = accuracies(*(BitFlips(ber, layers=(1, 2, 3)) for ber in bers))
        found["energy"][cell] = found["spread"][cell][2:3]
    said = f"{len(test):,} test images, {options.trials} chip{'s' * (options.trials > 1)}"
    panels = (figure := Figure(figsize=(15, 4.5), layout="constrained")).subplots(1, 3, sharey=True)
    for axes, what, label in zip(panels, ("energy", "spread", "wire"), (
            f"reading energy an image (nJ), of made-up joules\nspread {SPREADS[2]}, {BITS} bits",
            "spread of a cell's conductance over its mean\n9 bits",
            "resistance from cell to cell over a cell's\n9 bits")):
        for name, y in found[what].items():
            x = {"energy": np.multiply(found["joule"][name], 1e9), "spread": SPREADS, "wire": WIRES}[what]
            devices, line, _ = CELLS.get(name, (2, "o-", 0))
            axes.plot(x, y, line, label=f"{name}: {devices * cost.cells:,} devices")
        axes.set_xlabel(label)
        axes.legend(fontsize=8)
    panels[0].set_ylabel(f"accuracy (%), {said}")
    figure.savefig(options.out / "analog_columns.png", dpi=150)
    told = {what: ", ".join(f"{name} {y[2]:.2f}" for name, y in found[what].items()) for what in ("spread", "wire")}
    energy = ", ".join(f"{name} {y[-1]:.2f} % for {1e9 * found['joule'][name][-1]:.2g} nJ" for name, y in
                       found["energy"].items())
    row = {"item": "Analog columns", "source": "arXiv:2412.03553", "found": found,
           "literature": "wires: making +1s sparse wins up to 77 points back (other networks)", "measured":
           f"read right {100 * network.accuracy(test):.2f} % ({said}); spread of {SPREADS[2]}, joules made up: columns "
           f"of {BITS[-1]} bits, cells that are sensed, {energy}; columns of 9 bits, {told['spread']}; alike cells, "
           f"wires of {WIRES[2]}: {told['wire']}",
           "command": " ".join(["python examples/analog_columns.py", *sys.argv[1:]])}
    (options.out / "analog_columns.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print(f"{row['measured']}\n{options.out}/analog_columns.png and {options.out}/analog_columns.json")


if __name__ == "__main__":
    run(main)
