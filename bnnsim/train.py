"""Train a binarized network, pack it and store it.

    python -m bnnsim.train --network fashion_fcnn --dataset fashion --epochs 20 --out fcnn.h5
    python -m bnnsim.train --network "C64 MP2 C64 MP2 FC512 FC10" --flip-rate 0.1 --out cnn.h5 --checkpoint run.h5
"""

import argparse
import os
import sys

import numpy as np

import bnnsim.architectures as architectures
import bnnsim.command_line as command_line
import bnnsim.datasets as datasets
import bnnsim.optimizers as optimizers
import bnnsim.seeding as seeding
from bnnsim.checks import check_choice, check_int

SCHEDULES = {"cosine": optimizers.Cosine, "step": optimizers.Step, "exponential": optimizers.Exponential,
             "constant": optimizers.Constant}
OPTIMIZERS = {"adam": optimizers.Adam, "sgd": optimizers.Sgd}
DEFAULT_NETWORK = {"fashion": "fashion_fcnn", "fashion-subset": "fashion_fcnn", "mnist": "mnist_mlp",
                   "cifar10": "cifar10_cnn"}


def arguments():
    """The options."""
    parser = command_line.parser("train", __doc__)
    parser.add_argument("--network", help=f"{', '.join(architectures.ARCHITECTURES)}, or a list such as 'C64 MP2 FC512 "
                        "FC10' (default: the paper's FCNN, MLP or CNN for the data set)")
    parser.add_argument("--dataset", default="fashion", help="fashion, mnist, cifar10 or fashion-subset "
                        "(default: %(default)s)")
    parser.add_argument("--data", metavar="FOLDER", help="where the data set's files are")
    parser.add_argument("--epochs", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=256, help="(default: %(default)s)")
    parser.add_argument("--optimizer", default="adam", choices=OPTIMIZERS)
    parser.add_argument("--learning-rate", type=float, help="(default: 1e-3 for adam, 0.1 for sgd)")
    parser.add_argument("--schedule", default="cosine", choices=SCHEDULES, help="(default: %(default)s)")
    parser.add_argument("--flip-rate", default="0", help="bit error rate in training's forward pass: one, or one a "
                        "layer as 0.1,0.1,0 (default: %(default)s)")
    parser.add_argument("--gradient", default="straight-through", choices=("straight-through", "native"))
    parser.add_argument("--no-output-norm", action="store_true", help="integer logits, no batch norm behind them")
    parser.add_argument("--augment", action=argparse.BooleanOptionalAction, default=None,
                        help="random crop and flip (default: for cifar10 only)")
    parser.add_argument("--holdout", type=int, default=0, metavar="N", help="keep N training images for validation, "
                        "and the epoch that is best on them; else the last epoch is kept")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--out", metavar="FILE.h5", help="store the packed network")
    parser.add_argument("--plot", metavar="FILE", help="draw the training curves: .png, .svg or .pdf")
    parser.add_argument("--checkpoint", metavar="FILE.h5", help="written every 30 s, at the end and on Ctrl-C")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def make_model(name, train, output_norm, seed):
    """A paper's network by name, or one built from a list for these images."""
    if name in architectures.ARCHITECTURES:
        return architectures.ARCHITECTURES[name](rng=seed, output_norm=output_norm)
    if " " not in name and not name.startswith(("C", "FC")):
        check_choice("network", name, architectures.ARCHITECTURES)
    offset = 128 if train.images.shape[1] == 3 else 0
    return architectures.build(name, train.images.shape[1:], offset, output_norm, rng=seed)


def hold_out(train, n_images, seed):
    """(training part, validation part): `n_images` drawn without replacement, or (train, None) for 0."""
    if check_int("holdout", n_images, 0, len(train) - 1) == 0:
        return train, None
    order = seeding.generator(seed, "holdout").permutation(len(train))
    return train.take(np.sort(order[n_images:])), train.take(np.sort(order[:n_images]))


def work(options):
    """Load, train, print, write."""
    import bnnsim.packed as packed
    import bnnsim.training as training

    command_line.check_target(options.out, (".h5",))
    command_line.check_target(options.plot, (".png", ".svg", ".pdf"))
    command_line.check_target(options.checkpoint, (".h5",))
    if options.out and options.checkpoint and os.path.realpath(options.out) == os.path.realpath(options.checkpoint):
        raise ValueError("--out and --checkpoint must be two files: the network would replace the checkpoint")
    flip_rate = command_line.parse_probabilities("flip_rate", options.flip_rate)
    train, test = datasets.load_dataset(options.dataset, options.data)
    model = make_model(options.network or DEFAULT_NETWORK[options.dataset], train, not options.no_output_norm,
                       options.seed)
    optimizer = OPTIMIZERS[options.optimizer]
    part, validation = hold_out(train, options.holdout, options.seed)
    history = training.fit(
        model, part, options.epochs, validation, options.seed, batch_size=options.batch_size,
        keep="last" if validation is None else "best",
        optimizer=optimizer(options.learning_rate) if options.learning_rate is not None else optimizer(),
        schedule=SCHEDULES[options.schedule](), flip_rate=flip_rate, gradient=options.gradient,
        checkpoint=options.checkpoint, resume=options.resume,
        augment=options.dataset == "cifar10" if options.augment is None else options.augment,
        progress=not options.quiet)
    network = packed.pack(model)
    accuracy = network.accuracy(test)
    print(network.summary())
    print(f"{test.name}: {100 * accuracy:.2f} % of all {len(test):,} images, epoch {history.kept_epoch} of "
          f"{options.epochs}, seed {options.seed}")
    if options.out:
        packed.PackedNetwork(network.layers, network.input_shape, network.input_offset, {
            "architecture": model.describe(), "dataset": train.name.removesuffix("-train"), "seed": str(options.seed),
            "epochs": str(options.epochs), "kept_epoch": str(history.kept_epoch), "holdout": str(options.holdout),
            "flip_rate": options.flip_rate, "gradient": options.gradient,
            "test_accuracy": f"{accuracy:.4f}", "test_images": str(len(test)),
            "command": options.command}).save(options.out)
    if options.plot:
        import bnnsim.plotting as plotting
        plotting.training_curves(history, options.plot)


def main(argv=None):
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
