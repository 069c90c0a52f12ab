"""Train a binarized network, pack it and store it.

    python -m bnnsim.train --network fashion_fcnn --dataset fashion --epochs 20 --out fcnn.h5
    python -m bnnsim.train --network "C64 MP2 C64 MP2 FC512 FC10" --flip-rate 0.1 --out cnn.h5 --checkpoint run.h5
    python -m bnnsim.train --loss mhl --b 128 --ste swish --optimizer bop --regulariser 0.01,16 --out tolerant.h5
    python -m bnnsim.train --flip-rate 0.01 --rescale 0.1 --out for_a_ber_of_0.1.h5
"""

import argparse
import dataclasses
import os
import sys

import numpy as np

import bnnsim.commands.command_line as command_line
import bnnsim.datasets.find as find
import bnnsim.training.architectures as architectures
import bnnsim.training.estimators as estimators
import bnnsim.training.losses as losses
import bnnsim.training.optimizers as optimizers
import bnnsim.training.regularisers as regularisers
import bnnsim.training.schedules as schedules
from bnnsim.checks import check_probability
from bnnsim.datasets.split import hold_out
from bnnsim.training.architectures import make_model

SCHEDULES = {"cosine": schedules.Cosine, "step": schedules.Step, "exponential": schedules.Exponential,
             "constant": schedules.Constant}
OPTIMIZERS = {"adam": optimizers.Adam, "sgd": optimizers.Sgd, "bop": optimizers.Bop}
INTEGER_LOSSES = ("mhl", "mcel")    # need logits without batch norm
# options that belong to one choice of another option: (option, its value, the setting it becomes)
PARTS = {"b": ("loss", ("mhl",), "b"), "margin": ("loss", ("mcel", "squared-hinge"), "margin"),
         "bound": ("loss", ("mcel",), "bound"), "ste_beta": ("ste", ("swish",), "beta"),
         "bop_gamma": ("optimizer", ("bop",), "gamma"), "bop_tau": ("optimizer", ("bop",), "tau")}
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
    parser.add_argument("--optimizer", default="adam", choices=OPTIMIZERS, help="bop flips weights, and has no latent "
                        "ones (default: %(default)s)")
    parser.add_argument("--learning-rate", type=float, help="(default: 1e-3 for adam, 0.1 for sgd; of bop's batch norm "
                        "0.01)")
    parser.add_argument("--bop-gamma", type=float, metavar="GAMMA", help="bop: weight of a new gradient in the average "
                        f"(default: {optimizers.Bop().gamma:g})")
    parser.add_argument("--bop-tau", type=float, metavar="TAU", help="bop: average at which a weight flips (default: "
                        f"{optimizers.Bop().tau:g})")
    parser.add_argument("--schedule", default="cosine", choices=SCHEDULES, help="(default: %(default)s)")
    _tolerance_arguments(parser)
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


def _tolerance_arguments(parser):
    parser.add_argument("--flip-rate", default="0", help="bit error rate in training's forward pass: one, or one a "
                        "layer as 0.1,0.1,0 (default: %(default)s)")
    parser.add_argument("--precision", default="fixed16", choices=("fixed16", "float32"),
                        help="of gradients: 16-bit fixed point with exact sums, or float32 (default: %(default)s)")
    parser.add_argument("--gradient", default="straight-through", choices=("straight-through", "native"),
                        help="whether the weights' gradient ignores bit errors or sees them (default: %(default)s)")
    parser.add_argument("--asymmetric", metavar="P01,P10", help="instead of --flip-rate: probabilities that a stored 0 "
                        "(-1) reads 1, and a stored 1 reads 0")
    parser.add_argument("--loss", default="cross-entropy", choices=losses.LOSSES, help="mhl: modified hinge; mcel: "
                        "margin cross entropy; both imply --no-output-norm (default: %(default)s)")
    parser.add_argument("--b", type=float, help="mhl: margin of the integer logits, at most the last layer's fan-in "
                        f"(default: {losses.ModifiedHinge().b:g})")
    parser.add_argument("--margin", type=float, metavar="M", help="margin of mcel (default: "
                        f"{losses.MarginCrossEntropy().margin:g}) or squared-hinge (default: "
                        f"{losses.SquaredHinge().margin:g})")
    parser.add_argument("--bound", type=float, metavar="L", help="mcel: bound of the logits (default: "
                        f"{losses.MarginCrossEntropy().bound:g})")
    parser.add_argument("--no-output-norm", action="store_true", help="integer logits, no batch norm behind them")
    parser.add_argument("--regulariser", metavar="LAMBDA,TARGET", help="direct regulariser: lambda times what hidden "
                        "neurons lack of a tolerance of TARGET flips, as 0.01,16")
    parser.add_argument("--ste", default="clipped", choices=estimators.ESTIMATORS, help="straight-through estimator of "
                        "the signs (default: %(default)s)")
    parser.add_argument("--ste-beta", type=float, metavar="BETA", help="swish: steepness (default: "
                        f"{estimators.SwishSign().beta:g})")
    parser.add_argument("--rescale", type=float, metavar="BER", help="after training: rescale thresholds from the flip "
                        "rate of training to this bit error rate")
    parser.add_argument("--reestimate", type=float, metavar="BER", help="after training: take batch-norm statistics "
                        "anew, on the training images under this bit error rate")


def _choice(options, kind, choices):
    """What --loss, --ste or --optimizer chose, as a value of `choices`, and the settings given for it."""
    chosen, settings = getattr(options, kind), {}
    for name, (option, values, setting) in PARTS.items():
        value = getattr(options, name)
        if option == kind and value is not None:
            if chosen not in values:
                raise ValueError(f"--{name.replace('_', '-')} goes with --{kind} {' or '.join(values)}, got --{kind} "
                                 f"{chosen}")
            settings[setting] = value
    return choices[chosen], settings


def _with(value, settings):
    return dataclasses.replace(value, **settings) if settings else value


def _optimizer(options):
    kind, settings = _choice(options, "optimizer", OPTIMIZERS)
    if options.learning_rate is not None:
        settings["learning_rate"] = options.learning_rate
    return kind(**settings)


def _regulariser(text):
    if text is None:
        return None
    try:
        strength, target = map(float, text.split(","))
    except ValueError:
        raise ValueError(f"--regulariser must be two numbers, LAMBDA,TARGET, such as 0.01,16, got {text!r}") from None
    return regularisers.DirectRegulariser(strength, target)


def _faults(options):
    """(flip_rate, faults) as `fit` takes them."""
    flip_rate = command_line.parse_probabilities("flip_rate", options.flip_rate)
    if options.asymmetric is None:
        return flip_rate, None
    from bnnsim.faults import AsymmetricFlips
    if np.any(flip_rate):
        raise ValueError("give --flip-rate or --asymmetric, not both")
    if options.rescale is not None:
        raise ValueError("--rescale is for symmetric errors: with --asymmetric use --reestimate")
    rates = command_line.parse_probabilities("--asymmetric", options.asymmetric)
    if np.ndim(rates) == 0 or len(rates) != 2:
        raise ValueError(f"--asymmetric must be two probabilities, P01,P10, got {options.asymmetric!r}")
    return 0.0, AsymmetricFlips(*rates)


def _adapted(model, options, part, flip_rate):
    """The model after --rescale or --reestimate."""
    import bnnsim.training.adaptation as adaptation

    if options.rescale is not None:
        return adaptation.rescale_thresholds(model, flip_rate, options.rescale)
    if options.reestimate is not None:
        from bnnsim.faults import BitFlips
        return adaptation.reestimate_batch_norm(model, part, BitFlips(options.reestimate), options.seed)
    return model


def check_options(options):
    """Refuse what does not go together, before the work."""
    command_line.check_target(options.out, (".h5",))
    command_line.check_target(options.plot, (".png", ".svg", ".pdf"))
    command_line.check_target(options.checkpoint, (".h5",))
    if options.out and options.checkpoint and os.path.realpath(options.out) == os.path.realpath(options.checkpoint):
        raise ValueError("--out and --checkpoint must be two files: the network would replace the checkpoint")
    if options.rescale is not None and options.reestimate is not None:
        raise ValueError("give --rescale or --reestimate, not both: each sets the thresholds for one bit error rate")
    if options.rescale is not None and not 0 <= options.rescale < 0.5:
        raise ValueError(f"--rescale must be a bit error rate from 0 to below 0.5, got {options.rescale}")
    if options.reestimate is not None:
        check_probability("--reestimate", options.reestimate)


def work(options):
    """Load, train, print, write."""
    from bnnsim.packed import PackedNetwork
    from bnnsim.training import fit, pack

    check_options(options)
    (flip_rate, faults), regulariser = _faults(options), _regulariser(options.regulariser)
    loss, ste = (_with(*_choice(options, kind, choices)) for kind, choices in
                 (("loss", losses.LOSSES), ("ste", estimators.ESTIMATORS)))
    optimizer = _optimizer(options)
    train, test = find.load_dataset(options.dataset, options.data)
    model = make_model(options.network or DEFAULT_NETWORK[options.dataset], train,
                       not (options.no_output_norm or options.loss in INTEGER_LOSSES), options.seed, ste)
    part, validation = hold_out(train, options.holdout, options.seed)
    history = fit(
        model, part, options.epochs, validation, options.seed, batch_size=options.batch_size,
        keep="last" if validation is None else "best",
        optimizer=optimizer, schedule=SCHEDULES[options.schedule](), loss=loss, regulariser=regulariser,
        flip_rate=flip_rate, faults=faults, gradient=options.gradient, precision=options.precision,
        checkpoint=options.checkpoint, resume=options.resume,
        augment=options.dataset == "cifar10" if options.augment is None else options.augment,
        progress=not options.quiet)
    model = _adapted(model, options, part, flip_rate)
    network = pack(model)
    accuracy = network.accuracy(test)
    print(network.summary())
    print(f"{test.name}: {100 * accuracy:.2f} % of all {len(test):,} images, epoch {history.kept_epoch} of "
          f"{options.epochs}, seed {options.seed}")
    if options.out:
        PackedNetwork(network.layers, network.input_shape, network.input_offset, {
            "architecture": model.describe(), "dataset": train.name.removesuffix("-train"), "seed": str(options.seed),
            "epochs": str(options.epochs), "kept_epoch": str(history.kept_epoch), "holdout": str(options.holdout),
            "flip_rate": options.flip_rate, "gradient": options.gradient, "optimizer": repr(optimizer),
            "loss": repr(loss) if dataclasses.is_dataclass(loss) else options.loss,
            **{name: str(value) for name, value in (("faults", faults), ("regulariser", regulariser),
                                                    ("rescaled_for", options.rescale),
                                                    ("reestimated_at", options.reestimate)) if value is not None},
            "test_accuracy": f"{accuracy:.4f}", "test_images": str(len(test)),
            "command": options.command}).save(options.out)
    if options.plot:
        import bnnsim.figures.training as training
        training.training_curves(history, options.plot)


def main(argv=None):
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
