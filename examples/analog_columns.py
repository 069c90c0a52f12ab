"""Sum up in analog columns or sense product by product: accuracy over energy and devices, cell spread and wires.

A sense amplifier makes one comparison a product; a successive ADC of n bits n for all rows at once, and charges 2^n
unit capacitors. The energies are made up, and options: a product reads one device of a pair, sensing a pair reads both.
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
from bnnsim.commands.scripts import made_folder, run
from bnnsim.faults import AnalogColumns, BitFlips

ROWS, BITS, OFF = (32, 64, 256), (2, 3, 4, 5, 6, 8), 0.1
SPREADS, WIRES = (0.0, 0.2, 0.4, 0.8), (0.0, 1e-6, 5e-6, 3e-5)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--dataset", default="fashion-subset")
    parser.add_argument("--images", type=int, default=200, help="only the first IMAGES are tested")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--trials", type=int, default=1, help="chips of each setting")
    parser.add_argument("--spread", type=float, default=0.3, help="of cells, in the panel over energy")
    parser.add_argument("--comparison", type=float, default=10e-15, metavar="JOULE", help="of a comparison")
    parser.add_argument("--capacitor", type=float, default=0.5e-15, metavar="JOULE", help="of a unit capacitor")
    parser.add_argument("--device", type=float, default=5e-15, metavar="JOULE", help="of a device that is read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=made_folder, default="out", help="folder for the figure and the row")
    return parser.parse_args()


def _listed(values: dict) -> str:
    return ", ".join(f"{name}: {value}" for name, value in values.items())


def main() -> None:
    options = arguments()
    train, test = bnnsim.load_dataset(options.dataset)
    model = bnnsim.architectures.build("C32 MP2 C64 MP2 FC256 FC10", test.images.shape[1:], rng=options.seed)
    bnnsim.fit(model, train, options.epochs, rng=options.seed, batch_size=100)
    network, test = bnnsim.pack(model), test[:options.images]

    def accuracy(fault: AnalogColumns | BitFlips) -> float:
        return 100 * float(np.mean([fault.apply(network, options.seed, chip).accuracy(test)
                                    for chip in range(options.trials)]))

    def sensed(spread: float, error: float) -> float:
        return accuracy(BitFlips(float(ndtr((OFF - 1) / (spread * error))) if spread else 0.0, layers=read))

    def analog_joule(columns: AnalogColumns) -> float:
        cost = columns.reading(network)
        return (cost.comparisons * options.comparison + cost.conversions * 2**columns.bits * options.capacitor
                + cost.digital_comparisons * options.device)

    said = f"{len(test):,} test images, mean of {options.trials} chip{'s' * (options.trials > 1)}"
    read = tuple(stage.index for stage in network.stages if not stage.reads_pixels)
    cost, clean = AnalogColumns().reading(network), 100 * network.accuracy(test)
    found = dict[str, dict](bits={}, spread={}, wire={}, sensed={}, joule={})
    panels = (figure := Figure(figsize=(15, 4.5), layout="constrained")).subplots(1, 3, sharey=True)
    for rows in ROWS:
        converters = [AnalogColumns(rows, bits, options.spread, off=OFF) for bits in BITS]
        wires = [wire for wire in WIRES if wire * rows * (rows + 1) <= 0.45]
        settings = {"bits": converters, "spread": [AnalogColumns(rows, 9, s, off=OFF) for s in SPREADS],
                    "wire": [AnalogColumns(rows, 9, off=OFF, wire=wire) for wire in wires]}
        found["joule"][rows] = [analog_joule(each) for each in converters]
        for axes, x, (what, faults) in zip(panels, (found["joule"][rows], SPREADS, wires), settings.items()):
            found[what][rows] = [accuracy(fault) for fault in faults]
            axes.plot(np.multiply(x, 1e9 if what == "bits" else 1), found[what][rows], "o-", label=f"{rows} rows")
    for cell, devices, error, mark in (("2T2R", 2, np.hypot(1, OFF), "*"), ("1T1R", 1, 1 + OFF, "P")):
        name = f"{cell}, sensed"
        found["joule"][name] = cost.digital_comparisons * (options.comparison + devices * options.device)
        found["bits"][name] = sensed(options.spread, error)
        found["sensed"][name] = [sensed(spread, error) for spread in SPREADS]
        panels[0].plot(1e9 * found["joule"][name], found["bits"][name], "k" + mark,
                       label=f"{name}: {devices * cost.cells:,} devices")
        panels[1].plot(SPREADS, found["sensed"][name], f"k{mark}--", label=name)
    panels[0].set(xlabel="reading energy an image (nJ), by the options' energies", ylabel=f"accuracy (%), {said}",
                  title=f"{', '.join(map(str, BITS))} bits; spread {options.spread:g}; columns: "
                  f"{2 * cost.cells:,} devices")
    panels[1].set(xlabel="spread of a cell's conductance over its mean", title="cells that differ, 9 bits")
    panels[2].set(xlabel="resistance from cell to cell over a cell's", title="wires, 9 bits")
    for axes in panels:
        axes.axhline(clean, color="0.7", linewidth=1, zorder=0, label="all right")
        axes.legend(fontsize=8)
        axes.title.set_fontsize(10)
    figure.savefig(options.out / "analog_columns.png", dpi=150)
    spread, wire = ({rows: round(found[what][rows][2], 2) for rows in ROWS} for what in ("spread", "wire"))
    bits = {rows: f"{found['bits'][rows][-1]:.2f} % for {1e9 * found['joule'][rows][-1]:.2g} nJ" for rows in ROWS}
    alone = {name: f"{found['bits'][name]:.2f} % for {1e9 * found['joule'][name]:.2g} nJ" for name in found["sensed"]}
    row = {"item": "Analog columns", "source": "arXiv:2412.03553", "literature":
           "resistance of bit lines: making +1s sparse wins up to 77 points back (other networks)", "measured":
           f"all right {clean:.2f} % ({said}); spread of {options.spread:g}, energies made up: rows a column, "
           f"{BITS[-1]} bits {_listed(bits)}; {_listed(alone)}, half the devices; spread of {SPREADS[2]:g}, 9 bits "
           f"{_listed(spread)}, 2T2R, sensed {found['sensed']['2T2R, sensed'][2]:.2f}; "
           f"alike cells, 9 bits, wires of {WIRES[2]:g} {_listed(wire)}",
           "command": shlex.join(["python", "examples/analog_columns.py", *sys.argv[1:]]), "found": found}
    (options.out / "analog_columns.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    print(f"{row['measured']}\n{options.out}/analog_columns.png and {options.out}/analog_columns.json")


if __name__ == "__main__":
    run(main)
