"""Draw stored results or a stored network: nothing is run again.

    python -m bnnsim.plot sweep.h5 --out sweep.png
    python -m bnnsim.plot a.h5 b.h5 --band range --out both.pdf
    python -m bnnsim.plot sweep.h5 --kind classes --network cnn --out classes.svg
    python -m bnnsim.plot sweep.h5 --kind chips --rate 0.1 --out chips.png
    python -m bnnsim.plot fcnn.h5 --kind faults --layer 1 --rate 0.01 --out faults.png

Of results: "ber", accuracy over the bit error rate; "classes", the same for each class; "chips", how accuracy spreads
over chips at one rate. Of a network: "weights" of its first layer; "faults", the wrong bits of a layer in one chip.
"""

import os
import sys

import bnnsim.command_line as command_line
import bnnsim.stored as stored
from bnnsim.packed import PackedNetwork

# the options that a kind takes; kinds of networks last
KINDS = {"ber": ("band",), "classes": ("network",), "chips": ("rate",), "weights": (),
         "faults": ("layer", "rate", "seed", "trial")}
OF_NETWORKS = ("weights", "faults")


def arguments():
    """The options."""
    parser = command_line.parser("plot", __doc__)
    parser.add_argument("files", nargs="+", metavar="FILE.h5", help="results of ber_sweep --out, or one network")
    parser.add_argument("--kind", choices=KINDS, help="(default: ber for results, weights for a network)")
    parser.add_argument("--out", required=True, metavar="FIGURE", help=".png, .svg or .pdf")
    parser.add_argument("--band", choices=("interval", "range"), help="ber: the 95 %% interval of the mean over chips, "
                        "or least to largest chip (default: interval)")
    parser.add_argument("--network", metavar="NAME", help="classes: which series (default: the first)")
    parser.add_argument("--rate", type=float, help="chips, faults: the bit error rate")
    parser.add_argument("--layer", type=int, help="faults: which layer (default: 0)")
    parser.add_argument("--seed", type=int, help="faults: root seed (default: 0)")
    parser.add_argument("--trial", type=int, help="faults: which chip (default: 0)")
    return parser


def draw_results(options, results):
    """A figure of one or several results."""
    import bnnsim.plotting as plotting

    shown = results if len(results) > 1 else next(iter(results.values()))
    if options.kind == "ber":
        return plotting.ber_curve(shown, options.out, options.band or "interval")
    if options.kind == "chips":
        return plotting.chip_histogram(shown, options.rate, options.out)
    if len(results) > 1:
        raise ValueError(f"--kind classes takes one results file, got {len(results)}")
    return plotting.class_curves(shown, options.network or 0, options.out)


def draw_network(options, network):
    """A figure of a network."""
    import bnnsim.pictures as pictures
    from bnnsim.faults import BitFlips

    if options.kind == "weights":
        return pictures.first_layer_weights(network, options.out)
    broken = BitFlips(options.rate).apply(network, options.seed or 0, options.trial or 0)
    return pictures.fault_map(network, broken, options.layer or 0, options.out)


def load(options):
    """What the files hold, by name: results, or one network; the kind of figure is settled, and its options checked."""
    found = {path: stored.load(path) for path in options.files}
    networks = [path for path, one in found.items() if isinstance(one, PackedNetwork)]
    options.kind = options.kind or ("weights" if networks else "ber")
    if options.kind in OF_NETWORKS and (len(found), len(networks)) != (1, 1):
        raise ValueError(f"--kind {options.kind} takes one network file, got {', '.join(options.files)}")
    if options.kind not in OF_NETWORKS and networks:
        raise ValueError(f"--kind {options.kind} takes results of ber_sweep --out, but {networks[0]} is a network")
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
    if options.kind in OF_NETWORKS:
        draw_network(options, next(iter(found.values())))
    else:
        draw_results(options, found)
    print(f"{options.out}: {options.kind} of {', '.join(options.files)}")


def main(argv=None):
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
