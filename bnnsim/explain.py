"""Why a stored network stands bit errors, or does not: margins, tolerance, importance of neurons, predicted accuracy.

    python -m bnnsim.explain
    python -m bnnsim.explain fcnn.h5 --dataset fashion --what margins,tolerance
    python -m bnnsim.explain fcnn.h5 --what prediction --rates 0.001:0.2:12 --check 20
    python -m bnnsim.explain fcnn.h5 --what importance,critical --method readout --layer 1 --plot explained.png

"margins": how far pre-activations lie from their thresholds. "tolerance": how many wrong weights each neuron stands,
whichever they are. "importance": what each neuron is worth, and how unevenly. "prediction": accuracy over bit error
rates without injecting an error; --check compares it with injected errors. "critical": what every single wrong weight
of a layer does. Without a network: the FCNN that comes with the library, on the embedded 2,000 test images of
Fashion-MNIST, everything but "critical".
"""

import os
import sys

import bnnsim.commands.command_line as command_line
import bnnsim.commands.stored as stored
import bnnsim.datasets.find as find
import bnnsim.metrics as metrics
from bnnsim.checks import check_choice, check_int

WHAT = ("margins", "tolerance", "importance", "prediction", "critical")
METHODS = ("ablate", "readout")


def arguments():
    """The options."""
    parser = command_line.parser("explain", __doc__)
    add = parser.add_argument
    add("network", nargs="?", metavar="NETWORK.h5", help="a file written by PackedNetwork.save")
    add("--dataset", metavar="NAME", help="fashion, mnist, cifar10 or fashion-subset (default: what the network was "
        "trained on; fashion-subset for the shipped one)")
    add("--data", metavar="FOLDER", help="where the data set's files are")
    add("--what", default="margins,tolerance,importance,prediction", metavar="LIST", help=f"of {', '.join(WHAT)} "
        "(default: all but critical)")
    add("--method", default="ablate", choices=METHODS, help="importance: accuracy lost when an output is inverted, or "
        "what the last layer reads out (default: ablate)")
    add("--rates", default="0.001,0.01,0.02,0.04,0.06,0.08,0.1,0.12,0.14,0.16,0.18,0.2", help="prediction: bit error "
        "rates, v,v,... or start:stop:count in log steps; 0 is added (default: %(default)s)")
    add("--draws", type=int, default=2, help="prediction: draws of the hidden outputs an image (default: 2)")
    add("--check", type=int, metavar="CHIPS", help="prediction: inject errors too, on so many chips a rate; compare")
    add("--layer", type=int, default=0, help="critical: which layer (default: 0)")
    add("--seed", type=int, default=0, help="of the prediction's draws and of --check (default: 0)")
    add("--plot", metavar="FILE", help="draw each: FILE-margins.png and so on; .png, .svg or .pdf")
    return parser


def _campaign(options, network, split):
    import bnnsim.campaign.sweeps as sweeps

    return sweeps.sweep(network, split, command_line.parse_rates(options.rates), options.check, options.seed,
                          progress=False)


def explained(what, options, network, split):
    """(result, text, arguments of its plot)."""
    if what == "margins":
        found = metrics.margins(network, split.images)
    elif what == "tolerance":
        found = metrics.bit_error_tolerance(network, split.images)
    elif what == "importance":
        found = metrics.importance(network, split, options.method)
    elif what == "critical":
        found = metrics.critical_bits(network, split, options.layer)
    else:
        found = metrics.predicted_accuracy(network, split, command_line.parse_rates(options.rates), options.draws,
                                           options.seed)
        result = _campaign(options, network, split) if options.check is not None else None
        return found, found.table(result), {"result": result}
    return found, found.table(), {}


def work(options):
    """Load, measure, print, draw."""
    command_line.check_target(options.plot, (".png", ".svg", ".pdf"))
    wanted = [check_choice("what", what, WHAT) for what in options.what.split(",")]
    if options.check is not None:
        check_int("check", options.check, 1)
    (name, network), = stored.load_networks([options.network] if options.network else []).items()
    default = network.metadata.get("dataset", "fashion") if options.network else "fashion-subset"
    split = find.load_dataset(options.dataset or default, options.data)[1]
    print(f"{name}, {network.n_bits:,} binary weights; {split.name}, all {len(split):,} images")
    for what in wanted:
        found, text, drawn = explained(what, options, network, split)
        print(f"\n{what}\n{text}")
        if options.plot:
            stem, ending = os.path.splitext(options.plot)
            found.plot(f"{stem}-{what}{ending}", **drawn)


def main(argv=None):
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
