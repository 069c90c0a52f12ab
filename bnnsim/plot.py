"""Draw stored results, a stored network or a fault map: nothing is run again.

    python -m bnnsim.plot sweep.h5 --out sweep.png
    python -m bnnsim.plot a.h5 b.h5 --band range --out both.pdf
    python -m bnnsim.plot sweep.h5 --xscale split --width column --published others.csv --out paper.pdf
    python -m bnnsim.plot sweep.h5 --kind classes --network cnn --out classes.svg
    python -m bnnsim.plot sweep.h5 --kind chips --rate 0.1 --out chips.png
    python -m bnnsim.plot devices.h5 --kind chips --rate 'low power' --out chips.png
    python -m bnnsim.plot fashion_residual --kind graph --out resnet.pdf
    python -m bnnsim.plot fcnn.h5 --kind faults --layer 1 --rate 0.01 --out faults.png
    python -m bnnsim.plot chip.h5 --array 3 --out array.png

Of results: "ber", accuracy over the bit error rate; "classes", the same for each class; "chips", how accuracy spreads
over chips at one rate, or at another place that was run, such as a condition. Of a network: "weights" of its first
layer; "graph", its layers and operations and what reads what; "faults", the wrong bits of a layer in one chip. Of a
fault map: "array", the broken cells of one array.
"""

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import bnnsim.commands.command_line as command_line
import bnnsim.commands.options as shared
import bnnsim.commands.rules as rules
from bnnsim.checks import check_probability, check_real, real_of
from bnnsim.commands.options import Option
from bnnsim.commands.printing import as_json, print_plan

if TYPE_CHECKING:
    from bnnsim.campaign.result import SweepResult
    from bnnsim.commands.stored_files import Stored
    from bnnsim.faults import FaultMap
    from bnnsim.packed.network import PackedNetwork

# each kind of figure: what it is drawn of, and the options that it takes
KINDS = {"ber": ("results", ("band", "xscale", "published")), "classes": ("results", ("network", "xscale")),
         "chips": ("results", ("rate",)), "weights": ("network", ()), "graph": ("network", ()),
         "faults": ("network", ("layer", "rate", "fault", "seed", "trial")), "array": ("fault map", ("array",))}
# what a file may hold: as it is asked for, and as it is found
WANTED = {"results": "results of ber_sweep --out", "network": "one network file", "fault map": "one fault map"}
CAME = {"results": "results of a campaign", "network": "a network", "fault map": "a fault map"}


def check_rate(name: str, value: object) -> float | str:
    """A number on the axis of results, or the name of a condition."""
    try:
        return real_of(value) if isinstance(value, str) else check_real(name, value)
    except ValueError:
        if not isinstance(value, str):
            raise
        return value


OPTIONS = (
    Option("files", "results of ber_sweep --out, one network (a file, or the name of one that comes with the library, "
           "such as fashion_cnn), or one fault map", rules.path, metavar="FILE.h5", flag="", nargs="+", several=True),
    Option("kind", f"{', '.join(KINDS)} (default: ber for results, weights for a network or, if it branches, graph, "
           "array for a fault map)",
           rules.one_of(KINDS)),
    Option("out", f"the figure, which must be given: {shared.FIGURE_HELP}", shared.FIGURE, metavar="FIGURE",
           outputs=shared.itself),
    Option("band", "ber: the interval of the mean over chips at 95 %%, or the range from the least to the largest "
           "chip (default: interval)", rules.one_of(("interval", "range"))),
    shared.WIDTH,
    Option("xscale", "ber, classes: of bit error rates; split narrows the plateau (default: log)",
           rules.one_of(("log", "linear", "split"))),
    replace(shared.PUBLISHED, help="ber: points to draw as well, columns rate, accuracy (a share of 1), citation"),
    Option("network", "classes: which series, by its name or number (default: the first)", rules.text, metavar="NAME",
           parameter="name"),
    Option("rate", "chips, faults: the bit error rate; chips: or another place of the results, as a voltage or the "
           "name of a condition", check_rate),
    Option("layer", "faults: which layer (default: 0)", rules.integer(0), read=int),
    replace(shared.FAULT, help=f"faults: instead of --rate, {shared.FAULT.help}"),
    replace(shared.SEED, default=None, help="faults: root seed (default: 0)"),
    replace(shared.TRIAL, default=None, help="faults: which chip (default: 0)"),
    Option("array", "array: which one (default: 0)", rules.integer(0), read=int),
    shared.form("table", "json"), shared.DRY_RUN)


def arguments() -> command_line.Parser:
    """The options."""
    return command_line.parser("plot", __doc__, OPTIONS)


def draw_results(options: argparse.Namespace, results: "Mapping[str, SweepResult]", out: str | None) -> None:
    """A figure of one or several results; in these functions `out` is None where it is drawn to be checked alone."""
    import bnnsim.figures.sweeps as sweeps

    first = next(iter(results.values()))
    shown = results if len(results) > 1 else first
    if options.kind == "ber":
        sweeps.ber_curve(shown, out, options.band or "interval", width=options.width,
                         xscale=options.xscale or "log", published=options.published)
    elif options.kind == "chips":
        sweeps.chip_histogram(shown, options.rate, out, width=options.width)
    elif len(results) > 1:
        raise ValueError(f"--kind classes takes one results file, got {len(results)}")
    else:
        asked = "0" if options.network is None else options.network
        is_number = asked not in first.names and re.fullmatch("[0-9]{1,9}", asked)
        sweeps.class_curves(first, int(asked) if is_number else asked, out, width=options.width,
                            xscale=options.xscale or "log")


def draw_network(options: argparse.Namespace, network: "PackedNetwork", out: str | None) -> None:
    """A figure of a network."""
    import bnnsim.figures.graphs as graphs
    import bnnsim.figures.networks as networks
    from bnnsim.faults import BitFlips
    from bnnsim.faults.protocol import apply_read

    if options.kind == "graph":
        graphs.network_graph(network, out, width=options.width)
        return
    if options.kind == "weights":
        networks.first_layer_weights(network, out, width=options.width)
        return
    fault = rules.make_fault(options.fault) if options.fault else BitFlips(options.rate)
    broken = apply_read(fault, network, options.seed or 0, options.trial or 0, 0)
    networks.fault_map(network, broken, options.layer or 0, out, width=options.width)


def draw_array(options: argparse.Namespace, chip: "FaultMap", out: str | None) -> None:
    """A figure of an array of a fault map."""
    import bnnsim.figures.networks as networks

    networks.array_map(chip, options.array or 0, out, width=options.width)


def holds(stored: "Stored") -> str:
    """What a file holds, by a name of `WANTED`."""
    from bnnsim.faults import FaultMap
    from bnnsim.packed.network import PackedNetwork

    if isinstance(stored, PackedNetwork):
        return "network"
    return "fault map" if isinstance(stored, FaultMap) else "results"


def load(options: argparse.Namespace) -> "dict[str, Stored]":
    """What the files hold, by path: results, one network or one fault map; --kind is settled, and all fits."""
    import bnnsim.commands.stored_files as stored_files
    from bnnsim.datasets.shipped import network_file
    from bnnsim.packed.graph import PackedGraph

    found = {path: stored_files.load(network_file(path)) for path in dict.fromkeys(options.files)}
    kept = {path: holds(stored) for path, stored in found.items()}
    lone = next((path for path, what in kept.items() if what != "results"), next(iter(kept)))
    if options.kind is None:
        options.kind = "graph" if isinstance(found[lone], PackedGraph) else next(
            kind for kind, (what, _) in KINDS.items() if what == kept[lone])
    wanted = KINDS[options.kind][0]
    wrong = [path for path, what in kept.items() if what != wanted]
    if wrong or (wanted != "results" and len(found) > 1):
        came = f"{wrong[0]} is {CAME[kept[wrong[0]]]}" if wrong else f"got {', '.join(options.files)}"
        raise ValueError(f"--kind {options.kind} takes {WANTED[wanted]}, but {came}")
    check_options(options)
    return found


def check_options(options: argparse.Namespace) -> None:
    """The kind of figure takes the options that are given, and has those that it needs."""
    takes = KINDS[options.kind][1]
    for name in sorted({name for _, names in KINDS.values() for name in names} - set(takes)):
        if getattr(options, name) is not None:
            kinds = [kind for kind, (_, names) in KINDS.items() if name in names]
            raise ValueError(f"--{name} goes with --kind {' or '.join(kinds)}, not with {options.kind}")
    given = [name for name in ("rate", "fault") if name in takes and getattr(options, name) is not None]
    if "rate" in takes and not given:
        raise ValueError(f"--kind {options.kind} needs --rate, a bit error rate"
                         + " or another place of the results" * (options.kind == "chips"))
    if options.kind == "faults" and options.rate is not None:
        check_probability("--rate", options.rate)
    if len(given) > 1:
        raise ValueError("give --rate or --fault, not both: BitFlips(0.01) is a fault")


def work(options: argparse.Namespace) -> None:
    """Load, draw, say what was written."""
    if options.out is None:
        raise ValueError("--out FIGURE must be given: where the figure is written")
    found = load(options)
    draw(found, options, None if options.dry_run else options.out)
    if options.dry_run:
        print_plan(options, {"kind": options.kind, "files": list(found)}, {"out": options.out})
    elif options.format == "json":
        print(as_json({"figure": options.out, "kind": options.kind, "files": list(found)}))
    else:
        print(f"{options.out}: {options.kind} of {', '.join(options.files)}")


def draw(found: "Mapping[str, Stored]", options: argparse.Namespace, out: str | None) -> None:
    """The figure of what the files hold, by path."""
    from bnnsim.faults import FaultMap
    from bnnsim.packed.network import PackedNetwork

    results, stems = {}, [os.path.splitext(os.path.basename(path))[0] for path in found]
    for stem, (path, stored) in zip(stems, found.items()):
        if isinstance(stored, PackedNetwork):
            draw_network(options, stored, out)
        elif isinstance(stored, FaultMap):
            draw_array(options, stored, out)
        else:
            results[stem if stems.count(stem) == 1 else path] = stored
    if results:
        draw_results(options, results, out)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
