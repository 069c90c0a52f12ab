"""Accuracy of stored networks in a memory technology: along an axis of its device card, with what it costs.

    python -m bnnsim.device_sweep
    python -m bnnsim.device_sweep teaching --axis cycles --at condition=weak --cell 1T1R,2T2R --ecc none,secded
    python -m bnnsim.device_sweep my_cells.json --axis voltage --networks mine.h5 --dataset fashion --drop 0.5

Without arguments: what the FCNNs that come with the library still get right in the HfO2 2T2R memory of Hirtzlin et al.
2019, at its reference, low and ultra-low power conditions, on the embedded 2,000 test images of Fashion-MNIST.
"""

import json
import os
import sys

import numpy as np

import bnnsim.commands.command_line as command_line
import bnnsim.commands.executors as executors
import bnnsim.commands.stored as stored
import bnnsim.datasets.find as find
import bnnsim.datasets.shipped as shipped
from bnnsim.checks import check_int, check_real

NETWORKS = ("fashion_fcnn", "fashion_fcnn_flip")
AXIS_NAMES = ("condition", "cycles", "time", "temperature", "sigma", "voltage", "timing")
CODES = {"none": "none", "secded": "secded(72,64)"}


def arguments():
    """The options."""
    parser = command_line.parser("device_sweep", __doc__)
    add = parser.add_argument
    add("card", nargs="?", default="hfo2_2t2r", metavar="CARD", help="a device card: a JSON file, or hfo2_2t2r, "
        "teaching, sram_synthetic, dram_synthetic (default: hfo2_2t2r)")
    add("--axis", choices=AXIS_NAMES, help="what changes (default: the first that the card has)")
    add("--values", metavar="LIST", help="places on it: v,v,... or start:stop:count, in log steps where the axis is "
        "logarithmic; of conditions, names (default: all that the card covers)")
    add("--at", action="append", default=[], metavar="AXIS=PLACE", help="where on another axis, such as "
        "condition=weak, cycles=1e4, time=1e7, temperature=358; may be repeated")
    add("--cell", metavar="LIST", help="1T1R, 2T2R or both, separated by a comma (default: the card's own)")
    add("--ecc", default="none", metavar="LIST", help="none, secded (which is secded(72,64)), or codes such as "
        "'secded(8,4)' or 'repetition(3)', separated by semicolons or commas (default: none)")
    add("--networks", nargs="+", default=[], metavar="NETWORK.h5", help="files written by PackedNetwork.save (default: "
        "the shipped FCNN, and the one trained with bit errors)")
    add("--dataset", metavar="NAME", help="fashion, mnist, cifar10 or fashion-subset (default: what the first network "
        "was trained on; fashion-subset for the shipped ones)")
    add("--data", metavar="FOLDER", help="where the data set's files are")
    add("--trials", type=int, default=10, help="chips a place (default: 10)")
    add("--seed", type=int, default=0, help="root seed of the errors (default: 0)")
    add("--drop", type=float, default=1.0, metavar="POINTS", help="report how far the axis can go at this loss of "
        "accuracy, in percent points (default: 1)")
    add("--extrapolate", action="store_true", help="allow places outside the card's data")
    add("--workers", type=int, metavar="N", help="N worker processes (default: threads of this one)")
    add("--dask", metavar="ADDRESS", help="workers of a running Dask cluster")
    add("--out", metavar="FILE.h5", help="store the campaign, resumable")
    add("--resume", action="store_true", help="go on from --out")
    add("--plot", metavar="FILE", help="draw accuracy, error rates and energy along the axis: .png, .svg or .pdf")
    add("--pareto", metavar="FILE", help="draw accuracy over energy and over devices")
    add("--format", choices=("table", "json"), default="table", help="what is printed (default: table)")
    add("--quiet", action="store_true", help="no progress")
    return parser


def _split_codes(text):
    """Codes separated by semicolons, or by commas outside of parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter in ",;" and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [CODES.get(part.strip(), part.strip()) for part in parts]


def parse_places(axis, text, log):
    """Places: names of conditions, numbers separated by commas, or start:stop:count."""
    if axis == "condition":
        return [part.strip() for part in text.split(",")]
    try:
        if ":" not in text:
            return [check_real("values", float(part)) for part in text.split(",")]
        start, stop, count = text.split(":")
        start, stop, count = float(start), float(stop), check_int("count", int(count), 2, 10_000)
    except ValueError as error:
        raise ValueError(f"values must be numbers such as 0.5,0.6 or start:stop:count, got {text!r}") from error
    if not (np.isfinite([start, stop]).all() and start < stop and (start > 0 or not log)):
        raise ValueError(f"values start:stop:count need start < stop{' and start > 0' if log else ''}, got {text!r}")
    return [float(f"{value:.5g}") for value in (np.geomspace if log else np.linspace)(start, stop, count)]


def parse_at(texts):
    """{"condition": "weak", "time_second": 1e7} from AXIS=PLACE."""
    from bnnsim.devices import AXES

    found = {}
    for text in texts:
        name, equals, place = text.partition("=")
        if not equals or name not in AXIS_NAMES:
            raise ValueError(f"--at must be AXIS=PLACE with an axis of {', '.join(AXIS_NAMES)}, got {text!r}")
        found[AXES[name].key] = place if name == "condition" else parse_places(name, place, False)[0]
    return found


def load_networks(options):
    """The networks by name, and the data set's name."""
    if options.networks:
        networks = stored.load_networks(options.networks)
        return networks, options.dataset or next(iter(networks.values())).metadata.get("dataset", "fashion")
    paths = [os.fspath(shipped.data_file(f"{name}.h5")) for name in NETWORKS]
    return stored.load_networks(paths), options.dataset or "fashion-subset"


def show(found, options, split):
    """Print the table, and how far the axis can go."""
    if options.format == "json":
        print(json.dumps({"card": found.card.name, "card_sha256": found.card.checksum, "axis": found.axis,
                          "checksum": found.result.checksum, "rows": found.rows}, indent=1))
        return
    print(f"{found.card!r}")
    print(f"{split.name}: all {len(split):,} images, {options.trials} chips a place, seed {found.result.seed}\n")
    print(found.table())
    if found.axis == "condition":
        conditions = {place: ", ".join(found.card.rate_provenance(place)) for place in found.places}
        print("\nhow the error rates are known: " + "; ".join(f"{name}: {known}" for name, known in conditions.items()))
        return
    print()
    for one in found.tolerated(options.drop / 100):
        print(_tolerated_line(one, found, options.drop))


def _tolerated_line(one, found, drop):
    from bnnsim.campaign.card import UNITS

    unit = UNITS[found.axis]
    name = ", ".join((one["network"], one["cell"], *([] if one["code"] == "none" else [one["code"]])))
    if one["where"] == "below":
        return f"{name}: loses more than {drop:g} points at every place that was run"
    if one["where"] == "at least" or one["place"] is None:
        return f"{name}: loses at most {drop:g} points at every place that was run"
    interval = "" if one["place_low"] is None else \
        f" (95 %: {one['place_low']:.4g}{unit} to {one['place_high']:.4g}{unit})"
    return f"{name}: a loss of {drop:g} points at {found.axis} {one['place']:.4g}{unit}{interval}, BER {one['ber']:.2g}"


def work(options):
    """Load, sweep, print, draw."""
    import bnnsim.devices as devices
    from bnnsim.campaign import sweep_card

    command_line.check_target(options.out, (".h5",))
    for path in (options.plot, options.pareto):
        command_line.check_target(path, (".png", ".svg", ".pdf"))
    check_real("drop", options.drop, 0, 100, open_low=True)
    card = devices.load_card(options.card)
    at = parse_at(options.at)
    axis = options.axis or next(iter(card.axes()))
    places = None if options.values is None else parse_places(axis, options.values, devices.AXES[axis].log)
    networks, dataset = load_networks(options)
    split = find.load_dataset(dataset, options.data)[1]
    with executors.chosen_executor(options.workers, options.dask) as executor:
        found = sweep_card(
            card, networks, split, axis, places, cells=options.cell.split(",") if options.cell else None,
            codes=_split_codes(options.ecc), at=at, trials=options.trials, rng=options.seed,
            extrapolate=options.extrapolate, executor=executor, workers=options.workers, out=options.out,
            resume=options.resume, progress=not options.quiet, provenance={"command": options.command})
    show(found, options, split)
    if options.plot:
        found.plot(options.plot)
    if options.pareto:
        found.plot_pareto(options.pareto)


def main(argv=None):
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
