"""Accuracy of stored networks over the bit error rate of the memory that holds their weights.

    python -m bnnsim.ber_sweep
    python -m bnnsim.ber_sweep fcnn.h5 cnn.h5 --dataset fashion --rates 1e-4:0.3:15 --trials 20 --workers 2 --out s.h5
    python -m bnnsim.ber_sweep --config campaign.json --dry-run

Without a network: the FCNN that comes with the library, on the embedded 2,000 test images of Fashion-MNIST.
"""

import json
import logging
import shlex
import sys
import time

import bnnsim.commands.command_line as command_line
import bnnsim.commands.config as config
import bnnsim.commands.executors as executors
import bnnsim.commands.stored as stored
import bnnsim.datasets.find as find

DEFAULTS = {"networks": [], "datasets": None, "data": None, "rates": "1e-4:0.3:13", "layers": ["all"], "trials": 10,
            "seed": 0, "workers": None, "dask": None, "out": None, "plot": None, "resume": False, "predictions": False,
            "quiet": False, "log": False, "format": "table", "ci_width": None, "max_trials": None}


def _layers(text):
    return "all" if text == "all" else config.check_layers("layers", [int(i) for i in text.split(",")])


def arguments():
    """The options; what is not given comes from --config, then from DEFAULTS."""
    parser = command_line.parser("ber_sweep", __doc__)
    add = parser.add_argument
    add("networks", nargs="*", metavar="NETWORK.h5", help="files written by PackedNetwork.save")
    add("--dataset", dest="datasets", action="append", metavar="NAME", help="fashion, mnist, cifar10 or "
        "fashion-subset; may be repeated (default: what the first network was trained on; fashion-subset for the "
        "shipped one)")
    add("--data", metavar="FOLDER", help="where the data set's files are")
    add("--rates", help="bit error rates: 1e-3,0.01,0.1 or start:stop:count in log steps; 0 is always added "
        f"(default: {DEFAULTS['rates']})")
    add("--layers", action="append", type=_layers, help="only these layers have errors, as 0,2; may be repeated, one "
        "curve each (default: all)")
    add("--trials", type=int, help=f"chips a rate (default: {DEFAULTS['trials']})")
    add("--ci-width", type=float, metavar="POINTS", help="add chips until the 95 %% interval of a mean is this wide at "
        "most, in percent points; --trials is the pilot")
    add("--max-trials", type=int, help="the most chips with --ci-width (default: 10 x trials)")
    add("--seed", type=int, help=f"root seed of the bit errors (default: {DEFAULTS['seed']})")
    add("--workers", type=int, metavar="N", help="N worker processes (default: threads of this one)")
    add("--dask", metavar="ADDRESS", help="workers of a running Dask cluster (needs pip install 'bnnsim[dask]')")
    add("--out", metavar="FILE", help="store the results: .h5, resumable, or .csv")
    add("--resume", action="store_true", default=None, help="go on from --out, or add rates and trials to it")
    add("--predictions", action="store_true", default=None, help="store every predicted class too")
    add("--plot", metavar="FILE", help="draw them: .png, .svg or .pdf")
    add("--format", choices=("table", "csv", "json"), help="what is printed (default: table)")
    add("--quiet", action="store_true", default=None, help="no progress")
    add("--log", action="store_true", default=None, help="progress as log lines, for batch jobs")
    add("--config", metavar="FILE.json", help="options from a file; those given here win")
    add("--dry-run", action="store_true", help="print the grid, the number of cells and an estimated time; run nothing")
    add("--print-command", metavar="RESULTS.h5", help="print the command that reproduces a results file; run nothing")
    return parser


def resolve(options):
    """Options given, over those of the configuration file, over the defaults; checked alike, wherever they stand."""
    given = {name: value for name in DEFAULTS if (value := getattr(options, name)) not in (None, [])}
    found = config.load_config(options.config) if options.config else {}
    for name, value in {**DEFAULTS, **found, **given}.items():
        setattr(options, name, value if value is None or value == [] else config.SCHEMA[name](name, value))
    if options.workers and options.dask:
        raise ValueError("--workers starts processes here and --dask uses a cluster: give one of them")
    endings = (".h5",) if options.resume else (".h5", ".csv")
    command_line.check_target(options.out, endings)
    command_line.check_target(options.plot, (".png", ".svg", ".pdf"))


def command_of(options):
    """The command line that gives the same results."""
    words = ["python", "-m", "bnnsim.ber_sweep", *options.networks]
    for name in options.datasets or []:
        words += ["--dataset", name]
    for layers in options.layers:
        words += ["--layers", layers if layers == "all" else ",".join(map(str, layers))]
    words += ["--rates", options.rates, "--trials", str(options.trials), "--seed", str(options.seed)]
    for name in ("data", "ci_width", "max_trials", "out"):
        if getattr(options, name) is not None:
            words += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    return shlex.join(words + ["--predictions"] * options.predictions)


def stored_command(result):
    """The command line that gives a stored result: the last one's, with all rates and chips that are there by now."""
    words = shlex.split(result.provenance.get("command", ""))
    if words[:3] != ["python", "-m", "bnnsim.ber_sweep"]:
        raise ValueError("the file does not know its command: it was written by bnnsim.sweep(), not by ber_sweep")
    options = arguments().parse_args(words[3:])
    for name, value in DEFAULTS.items():
        setattr(options, name, getattr(options, name) or value)
    options.rates = ",".join(repr(rate) for rate in result.rates.tolist())
    if result.settings["stopping"] is None:
        options.trials = result.right.shape[2]
    return command_of(options)


def load_grid(options):
    """(networks, splits, faults) as `campaign.sweep` takes them."""
    from bnnsim.faults import BitFlips

    networks = stored.load_networks(options.networks)
    first = next(iter(networks.values()))
    names = options.datasets or [
        first.metadata.get("dataset", "fashion") if options.networks else "fashion-subset"]
    splits = {name: find.load_dataset(name, options.data)[1] for name in names}
    faults = {"" if layers == "all" else f"layers {','.join(map(str, layers))}":
              BitFlips(0.0, None if layers == "all" else tuple(layers)) for layers in options.layers}
    return networks, splits, faults


def dry_run(options, grid, rates):
    """Print what would be run, and how long it takes on this machine, from one cell of each series."""
    import bnnsim.campaign.sweeps as sweeps
    import bnnsim.campaign.cells as cells
    from bnnsim.kernels import thread_count

    series, entries = sweeps.make_series(*grid)
    context, seconds, n_cells = cells.Context("dry run", series, options.seed, False), 0.0, 0
    per_series = 1 + (len(rates) - 1) * options.trials
    for entry, one in zip(entries, cells.seconds_a_cell(context, rates[-1])):
        seconds, n_cells = seconds + one * per_series, n_cells + per_series
        print(f"{entry['name']}: {entry['split']}, {entry['n_images']:,} images, {len(rates)} rates x {options.trials} "
              f"chips, {one:.3f} s a cell")
    workers = options.workers or thread_count()
    print(f"rates: {', '.join(f'{rate:g}' for rate in rates)}")
    least = "" if options.ci_width is None else "at least "              # what the pilots will ask for is not known
    print(f"{least}{n_cells:,} cells, about {seconds / workers:.0f} s with {workers} workers as fast as this machine's")


def show(options, result):
    """Print the results in the format asked for."""
    if options.format == "csv":
        print(result.csv(), end="")
    elif options.format == "json":
        print(json.dumps({"settings": result.settings, "checksum": result.checksum, "rows": result.rows()}, indent=1))
    else:
        sizes = ", ".join(dict.fromkeys(f"{s['split']}: all {s['n_images']:,} images" for s in
                                        result.settings["series"]))
        chips = f"{options.trials} chips a rate" if options.ci_width is None else \
            f"chips until the interval is {options.ci_width:g} points wide"
        print(f"{sizes}, {chips}, seed {result.seed}")
        print(result.table())


def work(options):
    """Load, sweep, print, write."""
    import bnnsim.campaign.sweeps as sweeps
    import bnnsim.campaign.result as result

    if options.print_command:
        print(stored_command(result.SweepResult.load(options.print_command)))
        return
    resolve(options)
    if options.log:                      # it may be said in --config
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    rates = command_line.parse_rates(options.rates)
    grid = load_grid(options)
    if options.dry_run:
        dry_run(options, grid, rates)
        return
    started = time.monotonic()
    store = options.out if options.out and options.out.lower().endswith(".h5") else None
    with executors.chosen_executor(options.workers, options.dask) as executor:
        result = sweeps.sweep(
            grid[0], grid[1], rates, options.trials, options.seed, faults=grid[2], executor=executor,
            workers=options.workers, out=store, resume=options.resume, predictions=options.predictions,
            ci_width=None if options.ci_width is None else options.ci_width / 100, max_trials=options.max_trials,
            progress="log" if options.log else not options.quiet, provenance={"command": command_of(options)})
    show(options, result)
    if options.out and store is None:
        result.save(options.out)
    if options.plot:
        result.plot(options.plot)
    if options.log:
        command_line.log.info("done in %.0f s", time.monotonic() - started)


def main(argv=None):
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
