"""Sum up in analog columns or sense product by product: accuracy over comparisons, cell spread and wires.

A sense amplifier makes one comparison a product; an ADC of n bits n for all rows at once.
    python examples/analog_columns.py --images 500 --trials 3 --seed 0
"""

import argparse
import json
import shlex
import sys

import numpy as np
from matplotlib.figure import Figure
from scipy.special import ndtr

import bnnsim
from bnnsim.faults import AnalogColumns, BitFlips
from bnnsim.files.out_arguments import made_folder

ROWS, BITS, OFF = (32, 64, 256), (2, 3, 4, 6, 8), 0.1
SPREADS, WIRES = (0.0, 0.2, 0.4, 0.8), (0.0, 1e-6, 5e-6, 3e-5)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="fashion-subset")
    parser.add_argument("--images", type=int, default=200, help="only the first IMAGES are tested")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--trials", type=int, default=1, help="chips of each setting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    train, test = bnnsim.load_dataset(options.dataset)
    model = bnnsim.architectures.build("C32 MP2 C64 MP2 FC256 FC10", test.images.shape[1:], rng=options.seed)
    bnnsim.fit(model, train, options.epochs, rng=options.seed, batch_size=100)
    network, test = bnnsim.pack(model), test[:options.images]

    def accuracy(fault: AnalogColumns | BitFlips) -> float:
        return 100 * float(np.mean([fault.apply(network, options.seed, chip).accuracy(test)
                                    for chip in range(options.trials)]))

    said = f"{len(test):,} test images, mean of {options.trials} chip{'s' * (options.trials > 1)}"
    clean, found = 100 * network.accuracy(test), dict[str, dict](bits={}, spread={}, wire={}, sensed={})
    panels = (figure := Figure(figsize=(15, 4.5), layout="constrained")).subplots(1, 3, sharey=True)
    for rows in ROWS:
        converters = [AnalogColumns(rows, bits, off=OFF) for bits in BITS]
        wires = [wire for wire in WIRES if wire * rows * (rows + 1) <= 0.45]
        settings = {"bits": converters, "spread": [AnalogColumns(rows, 9, s, off=OFF) for s in SPREADS],
                    "wire": [AnalogColumns(rows, 9, off=OFF, wire=wire) for wire in wires]}
        places = [each.reading(network).comparisons for each in converters], SPREADS, wires
        for axes, x, (what, faults) in zip(panels, places, settings.items()):
            found[what][rows] = [accuracy(fault) for fault in faults]
            axes.plot(x, found[what][rows], "o-", label=f"{rows} rows")
    rates = [float(ndtr((OFF - 1) / (s * np.hypot(1, OFF)))) if s else 0.0 for s in SPREADS]
    sensed = found["sensed"][""] = [accuracy(BitFlips(rate)) for rate in rates]
    panels[0].plot(converters[0].reading(network).digital_comparisons, clean, "k*", label="sensed")
    panels[1].plot(SPREADS, sensed, "k*--", label="pairs that are sensed")
    panels[0].set(xscale="log", xlabel="comparisons an image", ylabel=f"accuracy (%), {said}", title="cells all alike")
    panels[1].set(xlabel="spread of a cell's conductance over its mean", title="cells that differ, 9 bits")
    panels[2].set(xlabel="resistance from cell to cell over a cell's", title="wires, 9 bits")
    for axes in panels:
        axes.legend(fontsize=8)
    figure.savefig(options.out / "analog_columns.png", dpi=150)
    bits, spread, wire = ({rows: round(values[2], 2) for rows, values in found[what].items()} for what in settings)
    row = {"item": "Analog columns", "source": "arXiv:2412.03553", "literature":
           "resistance of bit lines: making +1s sparse wins up to 77 points back (other networks)",
           "measured": f"digital {clean:.2f} % ({said}); by rows a column: alike cells, {BITS[2]} bits {bits}; 9 bits, "
           f"spread of {SPREADS[2]:g} {spread}, sensed pairs {sensed[2]:.2f}; 9 bits, wires of {WIRES[2]:g} {wire}",
           "command": shlex.join(["python", "examples/analog_columns.py", *sys.argv[1:]]), "found": found}
    (options.out / "analog_columns.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print(f"{row['measured']}\n{options.out}/analog_columns.png and {options.out}/analog_columns.json")


if __name__ == "__main__":
    main()
