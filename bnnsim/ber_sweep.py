"""Accuracy of stored networks over the bit error rate of the memory that holds their weights.

    python -m bnnsim.ber_sweep
    python -m bnnsim.ber_sweep fcnn.h5 cnn.h5 --dataset fashion --rates 1e-4:0.3:15 --trials 20 --workers 2 --out s.h5
    python -m bnnsim.ber_sweep --fault "Protected(BitFlips(0), 'secded(72,64)')" --fault "BitFlips(0)" --plot codes.png
    python -m bnnsim.ber_sweep --config campaign.json --dry-run

Without a network: the FCNN that comes with the library, on the embedded 2,000 test images of Fashion-MNIST.
"""

import argparse
import itertools
import logging
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bnnsim.commands.command_line as command_line
import bnnsim.commands.options as shared
import bnnsim.commands.rules as rules
from bnnsim.checks import check_int
from bnnsim.commands.executors import check_one_place, checked_only, chosen_executor
from bnnsim.commands.number_lists import parse_integers, parse_rates
from bnnsim.commands.options import Option
from bnnsim.commands.printing import as_json, counted, print_plan

if TYPE_CHECKING:
    from bnnsim.campaign.result import SweepResult


def check_layers(name: str, value: Any) -> str | list[int]:
    """"all", or a list of layer numbers."""
    if value == "all":
        return "all"
    if not isinstance(value, list) or not value:
        raise TypeError(f"{name} must be \"all\" or a list of layer numbers, got {value!r}")
    return [check_int(name, i, 0) for i in value]


def _stores(path: str) -> bool:
    """Whether this is a results file, which a campaign goes on from or refuses."""
    return path.lower().endswith(".h5")


def _runs(options: argparse.Namespace) -> bool:
    return not options.print_command


def _layers(text: str) -> str | list[int]:
    return "all" if text == "all" else parse_integers("layers", text)


OPTIONS = (
    shared.NETWORKS,
    replace(shared.DATASET, name="datasets", flag="--dataset", several=True,
            help=f"{shared.DATASET.help}; may be repeated"),
    shared.DATA, shared.SIZE, shared.ORDER, shared.LIMIT,
    replace(shared.RATES, default="1e-4:0.3:13"),
    Option("layers", "only these layers have errors, as 0,2; may be repeated, one curve each (default: all)",
           check_layers, ["all"], _layers, several=True),
    replace(shared.FAULT, name="faults", flag="--fault", several=True, help=f"{shared.FAULT.help}; its rate is "
            "what is swept; may be repeated, one curve each (default: BitFlips)"),
    Option("axis", "what the rates of all faults are, where they name several things, such as share_of_cells (default: "
           "as the faults name it)", rules.text, metavar="NAME"),
    shared.TRIALS,
    Option("ci_width", "add chips until the 95 %% interval of a mean is this wide at most, in percent points; --trials "
           "is the pilot", rules.real(1e-4, 100), None, float, "POINTS"),
    Option("max_trials", "the most chips with --ci-width (default: 10 x trials)", rules.integer(1), None, int),
    shared.SEED, shared.WORKERS, shared.DASK,
    replace(shared.out("store the results: .h5, resumable, or .csv", ".h5", ".csv"),
            outputs=lambda value, options: [] if _stores(value) or not _runs(options) else [value]),
    replace(shared.RESUME, help="go on from --out, or add rates and trials to it"),
    Option("predictions", "store every predicted class too", rules.switch, False),
    replace(shared.PLOT, outputs=lambda value, options: [value] if _runs(options) else []),
    shared.WIDTH, shared.form("table", "csv", "json"),
    replace(shared.DRY_RUN, help="print the grid, the number of cells and an estimated time: run and write nothing"),
    Option("print_command", "print the command that reproduces a results file; run nothing", rules.path,
           metavar="RESULTS.h5", scope="once"),
)


def arguments() -> command_line.Parser:
    """The options; what is not given comes from --config, then from their defaults."""
    return command_line.parser("ber_sweep", __doc__, OPTIONS)


def check_options(options: argparse.Namespace) -> None:
    """Refuse what does not go together, before the work."""
    check_one_place(options.workers, options.dask)
    if options.faults and options.layers != ["all"]:
        raise ValueError("give --layers or --fault, not both: a fault has its own layers, as BitFlips(0, layers=[0])")
    shared.check_read(options, ["max_trials"], options.ci_width, "--ci-width")
    shared.check_read(options, ["resume"], options.out, "--out FILE.h5")
    shared.check_read(options, ["width"], options.plot, "--plot FIGURE")
    if options.resume:
        rules.writable(".h5")("out", options.out)


def command_of(options: argparse.Namespace) -> str:
    """The command line that gives the same results."""
    return shlex.join(["python", "-m", "bnnsim.ber_sweep", *shared.words(options, OPTIONS)])


def stored_command(result: "SweepResult") -> str:
    """The command line that gives a stored result: the last one's, with all rates and chips that are there by now."""
    words = shlex.split(result.provenance.get("command", ""))
    if words[:3] != ["python", "-m", "bnnsim.ber_sweep"]:
        raise ValueError("the file does not know its command: it was written by bnnsim.sweep(), not by ber_sweep")
    options = arguments().parse_args(words[3:])
    for option in OPTIONS:                                       # unchecked: files may stand elsewhere by now
        setattr(options, option.name, getattr(options, option.name) or option.default)
    options.rates = ",".join(repr(rate) for rate in result.rates.tolist())
    if result.settings["stopping"] is None:
        options.trials = result.right.shape[2]
    return command_of(options)


def faults_of(options: argparse.Namespace) -> dict[str, Any]:
    """The faults to sweep, by the name that their curves get."""
    from bnnsim.faults import BitFlips

    if options.faults:
        found: dict[str, Any] = {text: rules.make_fault(text) for text in options.faults}
        for text, fault in found.items():
            if not hasattr(fault, "at"):
                raise ValueError(f"{text} has no rate that could be swept: try python -m bnnsim.evaluate --fault")
        return found
    return {"" if layers == "all" else f"layers {','.join(map(str, layers))}":
            BitFlips(0.0, None if layers == "all" else tuple(layers)) for layers in options.layers}


def load_grid(options: argparse.Namespace) -> tuple[dict, dict, dict]:
    """(networks, splits, faults) as `campaign.sweep` takes them."""
    import bnnsim.commands.inputs as inputs
    from bnnsim.faults.by_layer import chosen

    networks = inputs.load_networks(options.networks)
    for network, layers in itertools.product(networks.values(), options.layers):
        chosen(None if layers == "all" else tuple(layers), len(network.layers))          # refused now, not after hours
    names = options.datasets or [inputs.default_dataset(options.networks, networks)]
    splits = {name: inputs.load_halves(name, options, networks)[1] for name in names}
    for split in splits.values():
        for name, network in networks.items():
            inputs.check_fit(name, network, split)
    return networks, splits, faults_of(options)


def settings_of(options: argparse.Namespace, grid: tuple[dict, dict, dict], rates: Sequence[float]) -> dict[str, Any]:
    """What `campaign.sweep` is given, but for where it runs and what it goes on from."""
    return {"networks": grid[0], "split": grid[1], "rates": rates, "trials": options.trials, "rng": options.seed,
            "faults": grid[2], "axis": options.axis, "workers": options.workers, "predictions": options.predictions,
            "ci_width": None if options.ci_width is None else options.ci_width / 100, "max_trials": options.max_trials,
            "progress": shared.progress(options), "provenance": {"command": command_of(options)}}


def dry_run(options: argparse.Namespace, grid: tuple[dict, dict, dict], rates: Sequence[float]) -> None:
    """Print what would be run, and how long it takes on this machine, from one cell of each series."""
    import bnnsim.campaign.cells as cells
    import bnnsim.campaign.sweeps as sweeps
    from bnnsim.kernels import thread_count

    with checked_only() as executor:
        sweeps.sweep(executor=executor, **{**settings_of(options, grid, rates), "workers": 1, "progress": False})
    series, entries = sweeps.make_series(*grid)
    context = cells.Context("dry run", series, options.seed, False)
    a_cell, per_series = list(cells.seconds_a_cell(context, rates[-1])), 1 + (len(rates) - 1) * options.trials
    workers, n_cells = options.workers or thread_count(), per_series * len(series)
    seconds = sum(a_cell) * per_series / workers
    plan = {"rates": rates, "chips_a_rate": options.trials, "n_cells": n_cells, "workers": workers, "seconds": seconds,
            "series": [{"name": entry["name"], "split": entry["split"], "n_images": entry["n_images"],
                        "seconds_a_cell": one} for entry, one in zip(entries, a_cell)]}
    lines = [f"{entry['name']}: {entry['split']}, {counted(entry['n_images'], 'image')}, "
             f"{counted(len(rates), 'rate')} x {counted(options.trials, 'chip')}, {one:.3f} s a cell"
             for entry, one in zip(entries, a_cell)]
    least = "" if options.ci_width is None else "at least "              # what the pilots will ask for is not known
    lines += [f"rates: {', '.join(f'{rate:g}' for rate in rates)}",
              f"{least}{counted(n_cells, 'cell')}, about {seconds:.0f} s with {counted(workers, 'worker')} as fast as "
              "this machine's"]
    print_plan(options, plan, {"plot": options.plot, "out": options.out}, lines)


def show(options: argparse.Namespace, result: "SweepResult") -> None:
    """Print the results in the format asked for."""
    if options.format == "csv":
        print(result.csv(), end="")
    elif options.format == "json":
        print(as_json({"settings": result.settings, "checksum": result.checksum, "rows": result.rows()}))
    else:
        sizes = ", ".join(dict.fromkeys(f"{s['split']}: all {counted(s['n_images'], 'image')}" for s in
                                        result.settings["series"]))
        chips = f"{counted(options.trials, 'chip')} a rate" if options.ci_width is None else \
            f"chips until the interval is {options.ci_width:g} points wide"
        print(f"{sizes}, {chips}, seed {result.seed}")
        print(result.table())


def work(options: argparse.Namespace) -> None:
    """Load, sweep, print, write."""
    import bnnsim.campaign.sweeps as sweeps
    from bnnsim.campaign.result import SweepResult

    if options.print_command:
        command = stored_command(SweepResult.load(options.print_command))
        print(as_json({"command": command}) if options.format == "json" else command)
        return
    check_options(options)
    rates = parse_rates(options.rates, "--rates")
    grid = load_grid(options)
    if options.dry_run:
        dry_run(options, grid, rates)
        return
    started = time.monotonic()
    store = options.out if options.out and _stores(options.out) else None
    with chosen_executor(options.workers, options.dask) as executor:
        result = sweeps.sweep(executor=executor, out=store, resume=options.resume,
                              **settings_of(options, grid, rates))
    if options.out and store is None:
        result.save(options.out)
    if options.plot:
        result.plot(options.plot, width=options.width)
    show(options, result)
    if options.log:
        logging.getLogger("bnnsim").info("done in %.0f s", time.monotonic() - started)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
