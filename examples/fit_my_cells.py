"""From a table of measured resistances to the accuracy of a network: fit, look, make a device card, sweep.

The CSV file needs the columns state (LRS or HRS) and resistance_ohm; condition, cycles, time_second and
temperature_kelvin may be added; other names, units: instrument_csvs.py. The file that comes with bnnsim is synthetic.

    python examples/fit_my_cells.py
    python examples/fit_my_cells.py my_cells.csv --model empirical --network mine.h5 --dataset fashion
"""

import argparse
from pathlib import Path

import bnnsim
from bnnsim.commands.scripts import count, made_folder, run


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("csv", nargs="?", metavar="CSV", help="default: the sample that comes with bnnsim")
    parser.add_argument("--model", default="log-normal", choices=("log-normal", "normal-conductance", "empirical"))
    parser.add_argument("--drop-invalid", action="store_true", help="leave out and count overflow codes, OVLD, 0 ohm")
    parser.add_argument("--network", metavar="FILE", help="default: the flip-trained FCNN that comes with bnnsim")
    parser.add_argument("--dataset", default="fashion-subset")
    parser.add_argument("--images", type=count, help="only the first IMAGES test images")
    parser.add_argument("--trials", type=count, default=5, help="chips a condition")
    parser.add_argument("--out", type=made_folder, default="out", help="folder for card and figures")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    csv = options.csv or bnnsim.datasets.data_file("devices/sample_measurements.csv")
    network = bnnsim.load_network(options.network or "fashion_fcnn_flip")
    test = bnnsim.load_dataset(options.dataset)[1]
    test = test[:options.images]

    fitted = bnnsim.devices.fit(csv, model=options.model, drop_invalid=options.drop_invalid)
    print(fitted.table())                      # a WARNING says what contradicts the model: then use --model empirical
    for i in range(len(fitted.places)):
        bnnsim.plotting.fitted_states(fitted, options.out / f"states-{i}.png", place=i)
    card = fitted.card("my cells", source=f"measured by ..., fitted from {Path(csv).name}",
                       provenance="measured" if options.csv else "synthetic")
    card.save(options.out / "card.json")       # edit it: energies, endurance, drift; --help of device_sweep goes on

    axis = next(name for name in card.axes() if name != "sigma") if len(card.axes()) > 1 else "sigma"
    swept = bnnsim.sweep_card(card, network, test, axis, cells=["1T1R", "2T2R"], trials=options.trials, rng=0)
    print(f"\n{test.name}, {len(test):,} images, {options.trials} chips a place\n\n{swept.table()}\n")
    swept.plot(options.out / "my_cells.png")

    # Every device of one chip, programmed and sensed, with amplifiers that 32 rows share and that have an offset:
    last = fitted.places[-1]
    cell = bnnsim.devices.Cell2T2R(last.lrs.fitted, last.hrs.fitted, offset_sigma=0.1)
    chip = cell.program(network, rng=0, rows_per_amplifier=32)
    print(f"one chip at {last.place}, amplifier offsets included: {100 * chip.accuracy(test):.2f} %")
    print(f"{options.out}/card.json, {options.out}/my_cells.png and {options.out}/states-0.png")
    print("\n".join(f"{options.out}/states-{i}.png" for i in range(1, len(fitted.places))))


if __name__ == "__main__":
    run(main)
