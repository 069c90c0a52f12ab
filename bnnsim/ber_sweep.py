"""Accuracy of stored networks over the bit error rate of the memory that holds their weights.

    python -m bnnsim.ber_sweep
    python -m bnnsim.ber_sweep fcnn.h5 cnn.h5 --dataset fashion --rates 1e-4:0.3:15 --trials 20 --plot sweep.png

Without a network: the FCNN that comes with the library, on the embedded 2,000 test images of Fashion-MNIST.
"""

import os
import sys

import bnnsim.command_line as command_line
import bnnsim.datasets as datasets
import bnnsim.packed as packed

DEFAULT_RATES = "1e-4:0.3:13"


def arguments():
    """The options."""
    parser = command_line.parser("ber_sweep", __doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK.h5", help="files written by PackedNetwork.save")
    parser.add_argument("--dataset", help="fashion, mnist, cifar10 or fashion-subset (default: what the first network "
                        "was trained on; fashion-subset for the shipped one)")
    parser.add_argument("--data", metavar="FOLDER", help="where the data set's files are")
    parser.add_argument("--rates", default=DEFAULT_RATES, help="bit error rates: 1e-3,0.01,0.1 or start:stop:count in "
                        "log steps; 0 is always added (default: %(default)s)")
    parser.add_argument("--trials", type=int, default=10, help="chips a rate (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="root seed of the bit errors (default: %(default)s)")
    parser.add_argument("--out", metavar="FILE", help="store the results: .h5, or .csv")
    parser.add_argument("--plot", metavar="FILE", help="draw them: .png, .svg or .pdf")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def load_networks(paths):
    """Networks by a short name: the file's, made unique."""
    if not paths:
        return {"fashion_fcnn": packed.PackedNetwork.load(datasets.data_file("fashion_fcnn.h5"))}
    networks = {}
    for path in paths:
        name = os.path.splitext(os.path.basename(path))[0]
        networks[name if name not in networks else path] = packed.PackedNetwork.load(path)
    return networks


def work(options):
    """Load, sweep, print, write."""
    import bnnsim.campaign as campaign

    command_line.check_target(options.out, (".h5", ".csv"))
    command_line.check_target(options.plot, (".png", ".svg", ".pdf"))
    rates = command_line.parse_rates(options.rates)
    networks = load_networks(options.networks)
    first = next(iter(networks.values()))
    name = options.dataset or ("fashion-subset" if not options.networks else first.metadata.get("dataset", "fashion"))
    test = datasets.load_dataset(name, options.data)[1]
    result = campaign.sweep(networks, test, rates, options.trials, options.seed, progress=not options.quiet)
    print(f"{test.name}, all {result.n_images:,} images, {options.trials} trials a rate, seed {result.seed}")
    print(result.table())
    if options.out:
        result.save(options.out)
    if options.plot:
        result.plot(options.plot)


def main(argv=None):
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
