"""Draw stored results, a stored network or a fault map: nothing is run again.

    python -m bnnsim.plot sweep.h5 --out sweep.png
    python -m bnnsim.plot a.h5 b.h5 --band range --out both.pdf
    python -m bnnsim.plot sweep.h5 --kind classes --network cnn --out classes.svg
    python -m bnnsim.plot sweep.h5 --kind chips --rate 0.1 --out chips.png
    python -m bnnsim.plot fcnn.h5 --kind faults --layer 1 --rate 0.01 --out faults.png
    python -m bnnsim.plot chip.h5 --array 3 --out array.png

Of results: "ber", accuracy over the bit error rate; "classes", the same for each class; "chips", how accuracy spreads
over chips at one rate. Of a network: "weights" of its first layer; "faults", the wrong bits of a layer in one chip. Of
a fault map: "array", the broken cells of one array.
"""

import os
import sys

import bnnsim.commands.command_line as command_line
import bnnsim.commands.stored as stored
from bnnsim.campaign.result import SweepResult
from bnnsim.faults import FaultMap
from bnnsim.packed.network import PackedNetwork

# the options that a kind takes
KINDS = {"ber": ("band",), "classes": ("network",), "chips": ("rate",), "weights": (),
         "faults": ("layer", "rate", "seed", "trial"), "array": ("array",)}
# the kinds of each type of file, the default first
OF = {PackedNetwork: ("weights", "faults"), FaultMap: ("array",), SweepResult: ("ber", "classes", "chips")}
WHAT = {PackedNetwork: "one network file", FaultMap: "one fault map", SweepResult: "results of ber_sweep --out"}
NAMES = {PackedNetwork: "a network", FaultMap: "a fault map", SweepResult: "results of a campaign"}


def arguments():
    """The options."""
    parser = command_line.parser("plot", __doc__)
    parser.add_argument("files", nargs="+", metavar="FILE.h5", help="results of ber_sweep --out, one network, or one "
                        "fault map")
    parser.add_argument("--kind", choices=KINDS, help="(default: ber for results, weights for a network, array "
                        "for a fault map)")
    parser.add_argument("--out", required=True, metavar="FIGURE", help=".png, .svg or .pdf")
    parser.add_argument("--band", choices=("interval", "range"), help="ber: the 95 %% interval of the mean over chips, "
                        "or least to largest chip (default: interval)")
    parser.add_argument("--network", metavar="NAME", help="classes: which series (default: the first)")
    parser.add_argument("--rate", type=float, help="chips, faults: the bit error rate")
    parser.add_argument("--layer", type=int, help="faults: which layer (default: 0)")
    parser.add_argument("--seed", type=int, help="faults: root seed (default: 0)")
    parser.add_argument("--trial", type=int, help="faults: which chip (default: 0)")
    parser.add_argument("--array", type=int, help="array: which one (default: 0)")
    return parser


def draw_results(options, results):
    """A figure of one or several results."""
    import bnnsim.figures.sweeps as sweeps

    shown = results if len(results) > 1 else next(iter(results.values()))
    if options.kind == "ber":
        return sweeps.ber_curve(shown, options.out, options.band or "interval")
    if options.kind == "chips":
        return sweeps.chip_histogram(shown, options.rate, options.out)
    if len(results) > 1:
        raise ValueError(f"--kind classes takes one results file, got {len(results)}")
    return sweeps.class_curves(shown, options.network or 0, options.out)


def draw_network(options, network):
    """A figure of a network."""
    import bnnsim.figures.networks as networks
    from bnnsim.faults import BitFlips

    if options.kind == "weights":
        return networks.first_layer_weights(network, options.out)
    broken = BitFlips(options.rate).apply(network, options.seed or 0, options.trial or 0)
    return networks.fault_map(network, broken, options.layer or 0, options.out)


def draw_array(options, chip):
    """A figure of an array of a fault map."""
    import bnnsim.figures.networks as networks

    return networks.array_map(chip, options.array or 0, options.out)


def load(options):
    """What the files hold, by name: results, one network or one fault map; kind and options are settled and checked."""
    found = {path: stored.load(path) for path in options.files}
    types = {path: type(one) for path, one in found.items()}
    lone = [one for one in types.values() if one is not SweepResult]
    options.kind = options.kind or OF[lone[0] if lone else SweepResult][0]
    wanted = next(one for one, kinds in OF.items() if options.kind in kinds)
    wrong = [path for path, one in types.items() if one is not wanted]
    if wrong or (wanted is not SweepResult and len(found) > 1):
        came = f"{wrong[0]} is {NAMES[types[wrong[0]]]}" if wrong else f"got {', '.join(options.files)}"
        raise ValueError(f"--kind {options.kind} takes {WHAT[wanted]}, but {came}")
    for name in sorted({name for names in KINDS.values() for name in names} - set(KINDS[options.kind])):
        if getattr(options, name) is not None:
            kinds = [kind for kind, names in KINDS.items() if name in names]
            raise ValueError(f"--{name} goes with --kind {' or '.join(kinds)}, not with {options.kind}")
    if "rate" in KINDS[options.kind] and options.rate is None:
        raise ValueError(f"--kind {options.kind} needs --rate, a bit error rate")
    stems = [os.path.splitext(os.path.basename(path))[0] for path in found]
    return {stem if stems.count(stem) == 1 else path: one for stem, (path, one) in zip(stems, found.items())}


def work(options):
    """Load, draw, say what was written."""
    command_line.check_target(options.out, (".png", ".svg", ".pdf"))
    found = load(options)
    first = next(iter(found.values()))
    if isinstance(first, PackedNetwork):
        draw_network(options, first)
    elif isinstance(first, FaultMap):
        draw_array(options, first)
    else:
        draw_results(options, found)
    print(f"{options.out}: {options.kind} of {', '.join(options.files)}")


def main(argv=None):
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
