"""Train a binarized network, pack it and store it.

    python -m bnnsim.train --network fashion_fcnn --dataset fashion --epochs 20 --out fcnn.h5
    python -m bnnsim.train --network "C64 MP2 C64 MP2 FC512 FC10" --flip-rate 0.1 --out cnn.h5 --checkpoint run.h5
    python -m bnnsim.train --loss mhl --b 128 --ste swish --optimizer bop --regulariser 0.01,16 --out tolerant.h5
    python -m bnnsim.train --flip-rate 0.01 --rescale 0.1 --out for_a_ber_of_0.1.h5
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

import bnnsim.commands.command_line as command_line
import bnnsim.commands.options as shared
import bnnsim.commands.rules as rules
import bnnsim.datasets.find as find
import bnnsim.training.architectures as architectures
import bnnsim.training.estimators as estimators
import bnnsim.training.losses as losses
import bnnsim.training.optimizers as optimizers
import bnnsim.training.regularisers as regularisers
import bnnsim.training.schedules as schedules
from bnnsim.checks import check_probability, check_real, real_of
from bnnsim.commands.number_lists import parse_probabilities
from bnnsim.commands.options import Option
from bnnsim.commands.printing import as_json, print_plan
from bnnsim.datasets.catalogue import CATALOGUE
from bnnsim.datasets.split import Split, hold_out
from bnnsim.training.callbacks import EarlyStopping

if TYPE_CHECKING:
    from bnnsim.faults.protocol import Fault
    from bnnsim.training.model import Graph

SCHEDULES = {"cosine": schedules.Cosine, "step": schedules.Step, "exponential": schedules.Exponential,
             "constant": schedules.Constant}
OPTIMIZERS = {"adam": optimizers.Adam, "sgd": optimizers.Sgd, "bop": optimizers.Bop,
              "metaplastic": optimizers.Metaplastic}
INTEGER_LOSSES = ("mhl", "mcel")    # need logits without batch norm
CHOICES: dict[str, Mapping[str, Any]] = {"loss": losses.LOSSES, "ste": estimators.ESTIMATORS, "optimizer": OPTIMIZERS}
# options that are a setting of what another option chose: (that option, the setting)
SETTINGS = {"b": ("loss", "b"), "margin": ("loss", "margin"), "bound": ("loss", "bound"), "ste_beta": ("ste", "beta"),
            "bop_gamma": ("optimizer", "gamma"), "bop_tau": ("optimizer", "tau"), "meta": ("optimizer", "m")}


def takers(name: str) -> dict[str, Any]:
    """The choices that have the setting which this option is, by name."""
    option, setting = SETTINGS[name]
    return {choice: value for choice, value in CHOICES[option].items() if hasattr(value, setting)}


def _setting(name: str, text: str, metavar: str) -> Option:
    """An option that is a setting of what another one chose."""
    defaults = {choice: f"{getattr(value, SETTINGS[name][1]):g}" for choice, value in takers(name).items()}
    default = ", ".join(f"{value} for {choice}" if len(defaults) > 1 else value for choice, value in defaults.items())
    return Option(name, f"{' or '.join(defaults)}: {text} (default: {default})", check_real, read=float,
                  metavar=metavar, parameter=SETTINGS[name][1])


OPTIONS = (
    Option("network", f"{', '.join(architectures.ARCHITECTURES)}, or a list such as 'C64 MP2 FC512 FC10' (default: the "
           "paper's FCNN, MLP or CNN for the data set)", rules.text),
    Option("input_offset", "subtracted from pixels, so that black enters as -OFFSET (default: 0, or 128 where there "
           "are three channels)", rules.integer(0, 255), None, int, "OFFSET"),
    replace(shared.DATASET, default="fashion", help=shared.OWN_DATA), shared.DATA,
    replace(shared.SIZE, help="of your own pictures: resize them (default: as they are, all of one size)"),
    shared.ORDER, shared.BINS, shared.LIMIT,
    Option("epochs", "times that each image is seen", rules.integer(1), 20, int),
    Option("batch_size", "images a step", rules.integer(1), 256, int),
    Option("optimizer", f"{', '.join(OPTIMIZERS)}; bop flips weights, and has no latent ones; metaplastic keeps more "
           "of what was learnt before",
           rules.one_of(OPTIMIZERS), "adam"),
    Option("learning_rate", "step size (default: 1e-3 for adam and metaplastic, 0.1 for sgd; of bop's batch norm "
           "0.01)", rules.positive(), read=float),
    _setting("bop_gamma", "weight of a new gradient in the average", "GAMMA"),
    _setting("bop_tau", "average at which a weight flips", "TAU"),
    _setting("meta", "how much harder a large latent weight is to bring back to zero", "M"),
    Option("schedule", ", ".join(SCHEDULES), rules.one_of(SCHEDULES), "cosine"),
    Option("flip_rate", "bit error rate in training's forward pass: one, or one a layer as 0.1,0.1,0",
           rules.probabilities_text, "0"),
    Option("asymmetric", "instead of --flip-rate: probabilities that a stored 0 (-1) reads 1, and a stored 1 reads 0",
           rules.probabilities_text, metavar="P01,P10"),
    replace(shared.FAULT, help=f"instead of --flip-rate: {shared.FAULT.help}"),
    Option("precision", "of gradients: 16-bit fixed point with exact sums (fixed16), or float32",
           rules.one_of(("fixed16", "float32")), "fixed16"),
    Option("gradient", "whether the weights' gradient ignores bit errors (straight-through) or sees them (native)",
           rules.one_of(("straight-through", "native")), "straight-through"),
    Option("loss", f"{', '.join(losses.LOSSES)}; mhl: modified hinge; mcel: margin cross entropy; both imply "
           "--no-output-norm", rules.one_of(losses.LOSSES), "cross-entropy"),
    _setting("b", "margin of the integer logits, at most the last layer's fan-in", "B"),
    _setting("margin", "margin of the label's logit", "M"),
    _setting("bound", "bound of the logits", "L"),
    Option("no_output_norm", "integer logits, no batch norm behind them", rules.switch, False),
    Option("regulariser", "direct regulariser: lambda times what hidden neurons lack of a tolerance of TARGET flips, "
           "as 0.01,16", rules.text, metavar="LAMBDA,TARGET"),
    Option("ste", f"straight-through estimator of the signs: {', '.join(estimators.ESTIMATORS)} (default: clipped, or "
           "what the paper of a graph has)", rules.one_of(estimators.ESTIMATORS)),
    _setting("ste_beta", "steepness", "BETA"),
    Option("rescale", "after training: rescale thresholds from the flip rate of training to this bit error rate",
           check_probability, read=float, metavar="BER"),
    Option("reestimate", "after training: take batch-norm statistics anew, on the training images under this bit error "
           "rate", check_probability, read=float, metavar="BER"),
    Option("augment", "random crop and flip (default: for "
           f"{', '.join(name for name, known in CATALOGUE.items() if known.augment)} only)", rules.switch),
    Option("holdout", "keep N training images for validation, and the epoch that is best on them; else the last epoch "
           "is kept", rules.integer(0), 0, int, "N"),
    Option("patience", "with --holdout: stop after N epochs, one after the other, that were not better than the best",
           rules.integer(1), None, int, "N"),
    Option("class_weight", "balanced: images of rare classes weigh more in the loss", rules.one_of(("balanced",))),
    shared.SEED, shared.out("store the packed network", ".h5"),
    Option("history", "write what each epoch gave", rules.writable(".json", ".csv"), metavar="FILE", scope="run",
           outputs=shared.itself),
    replace(shared.PLOT, help=f"draw the training curves: {shared.FIGURE_HELP}"), shared.WIDTH,
    Option("checkpoint", "written every 30 s, at the end and on Ctrl-C", rules.writable(".h5"), metavar="FILE.h5"),
    replace(shared.RESUME, help="go on from the checkpoint"), shared.form("table", "json"), shared.DRY_RUN)


def arguments() -> command_line.Parser:
    """The options."""
    return command_line.parser("train", __doc__, OPTIONS)


def chosen(options: argparse.Namespace, option: str) -> Any:
    """What --loss, --ste or --optimizer chose, with the settings given for it."""
    choice, settings = getattr(options, option), {}
    for name, (of, setting) in SETTINGS.items():
        value = getattr(options, name)
        if of == option and value is not None:
            if choice not in takers(name):
                raise ValueError(f"--{name.replace('_', '-')} goes with --{option} {' or '.join(takers(name))}, got "
                                 f"{f'--{option} {choice}' if choice else f'no --{option}'}")
            settings[setting] = value
    if choice is None:
        return None
    if option == "optimizer":
        rate = {} if options.learning_rate is None else {"learning_rate": options.learning_rate}
        return OPTIMIZERS[choice](**settings, **rate)                      # a new one for each training
    return replace(CHOICES[option][choice], **settings) if settings else CHOICES[option][choice]


def regulariser(text: str | None) -> regularisers.DirectRegulariser | None:
    """What --regulariser says."""
    if text is None:
        return None
    try:
        strength, target = map(real_of, text.split(","))
    except ValueError:
        raise ValueError(f"--regulariser must be two numbers, LAMBDA,TARGET, such as 0.01,16, got {text!r}") from None
    try:
        return regularisers.DirectRegulariser(strength, target)
    except ValueError as error:
        raise ValueError(f"--regulariser LAMBDA,TARGET: {error}") from None


def errors_of(options: argparse.Namespace) -> "tuple[float | list[float], Fault | None]":
    """(flip_rate, faults) as `fit` takes them."""
    flip_rate = parse_probabilities("--flip-rate", options.flip_rate)
    given = [name for name, is_given in (("--flip-rate", np.any(flip_rate)), ("--asymmetric", options.asymmetric),
                                         ("--fault", options.fault)) if is_given]
    if len(given) > 1:
        raise ValueError(f"give {' or '.join(given)}, not both: each says which bit errors training meets")
    if options.rescale is not None and (options.asymmetric or options.fault):
        raise ValueError(f"--rescale is for symmetric errors: with {given[0]} use --reestimate")
    if options.rescale is not None and np.max(flip_rate) >= 0.5:
        raise ValueError(f"--flip-rate must be below 0.5 with --rescale, got {options.flip_rate}: where half of the "
                         "bits are wrong, nothing is left of a weight to rescale")
    if options.fault:
        return 0.0, rules.make_fault(options.fault)
    if options.asymmetric is None:
        return flip_rate, None
    from bnnsim.faults import AsymmetricFlips
    rates = parse_probabilities("--asymmetric", options.asymmetric)
    if isinstance(rates, float) or len(rates) != 2:
        raise ValueError(f"--asymmetric must be two probabilities, P01,P10, got {options.asymmetric!r}")
    p01, p10 = rates
    return 0.0, AsymmetricFlips(p01, p10)


def defaults(options: argparse.Namespace, train: Split) -> tuple[str, bool]:
    """The network, and whether to augment: as typed, else what the catalogue has for the data set."""
    if options.dataset in CATALOGUE:
        known = CATALOGUE[options.dataset]
        return options.network or known.network, known.augment if options.augment is None else options.augment
    if options.network is None:
        raise ValueError(f"--network must be given for data of your own: {train.name} has {train.n_classes} classes, "
                         f"so --network 'FC256 FC{train.n_classes}' is a start")
    return options.network, bool(options.augment)


def adapted(model: "Graph", options: argparse.Namespace, part: Split, flip_rate: float | list[float]) -> "Graph":
    """The model after --rescale or --reestimate."""
    import bnnsim.training.adaptation as adaptation
    from bnnsim.training.model import Sequential

    if options.rescale is not None and isinstance(model, Sequential):
        return adaptation.rescale_thresholds(model, flip_rate, options.rescale)
    if options.reestimate is not None:
        from bnnsim.faults import BitFlips
        return adaptation.reestimate_batch_norm(model, part, BitFlips(options.reestimate), options.seed)
    return model


def check_options(options: argparse.Namespace) -> None:
    """Refuse what does not go together, before the work."""
    if options.out and options.checkpoint and os.path.realpath(options.out) == os.path.realpath(options.checkpoint):
        raise ValueError("--out and --checkpoint must be two files: the network would replace the checkpoint")
    shared.check_read(options, ["width"], options.plot, "--plot FIGURE")
    if options.patience and not options.holdout:
        raise ValueError("--patience needs --holdout N: images on which no epoch was better")
    if options.resume and not options.checkpoint:
        raise ValueError("--resume needs --checkpoint FILE.h5, from which the training goes on")
    if options.checkpoint and os.path.exists(options.checkpoint) and not options.resume:
        raise FileExistsError(f"--checkpoint: {options.checkpoint} exists: --resume goes on from it, or give another "
                              "name")
    if options.rescale is not None and options.reestimate is not None:
        raise ValueError("give --rescale or --reestimate, not both: each sets the thresholds for one bit error rate")
    if options.rescale is not None and not 0 <= options.rescale < 0.5:
        raise ValueError(f"--rescale must be a bit error rate from 0 to below 0.5, got {options.rescale}")


def check_classes(network_name: str, model: "Graph", *splits: Split) -> None:
    """The network has a unit for each class."""
    for split in splits:
        if model.n_classes <= (highest := int(split.labels.max())):
            raise ValueError(f"--network must have one output a class, and {split.name} has labels up to {highest}: "
                             f"its last layer must be FC{highest + 1}, or larger, got {network_name!r}, which has "
                             f"{model.n_classes}")


def check_training(model: "Graph", part: Split, validation: Split | None, options: argparse.Namespace,
                   **chosen: Any) -> None:
    """What `fit` checks before its first step, for a dry run."""
    from bnnsim.training.callbacks import check_callbacks
    from bnnsim.training.losses import check_loss, class_weights
    from bnnsim.training.reading import check_errors
    from bnnsim.training.regularisers import check_regulariser
    from bnnsim.training.run import Run
    from bnnsim.training.settings import Settings

    weights = options.class_weight and class_weights(options.class_weight, part.labels, model.n_classes)
    rates = check_errors(chosen["flip_rate"], chosen["faults"], model)
    check_callbacks(chosen["callbacks"], chosen["keep"], validation is not None, bool(options.checkpoint))
    Run(model, part, validation, options.seed, Settings(
        options.epochs, options.batch_size, chosen["optimizer"], chosen["schedule"],
        check_loss(chosen["loss"], model, weights), check_regulariser(chosen["regulariser"], model), rates,
        chosen["faults"], options.gradient, options.precision, chosen["augment"], chosen["keep"]))


def work(options: argparse.Namespace) -> None:
    """Load, train, print, write."""
    from bnnsim.training import fit, pack

    check_options(options)
    (flip_rate, faults), direct = errors_of(options), regulariser(options.regulariser)
    loss, ste, optimizer = (chosen(options, option) for option in ("loss", "ste", "optimizer"))
    train, test = find.load_dataset(options.dataset, options.data, size=rules.size_of(options.size),
                                    bins=options.bins, order=options.order)
    train, test = shared.limited(train, options), shared.limited(test, options)
    network_name, augment = defaults(options, train)
    model = architectures.make_model(network_name, train,
                                     not (options.no_output_norm or options.loss in INTEGER_LOSSES), options.seed, ste,
                                     options.input_offset)
    check_classes(network_name, model, train, test)
    if options.rescale is not None and network_name in architectures.GRAPHS:
        raise ValueError(f"--rescale is for layers in a row, and {network_name} is a graph: use --reestimate")
    part, validation = hold_out(train, options.holdout, options.seed)
    stopping = [EarlyStopping("validation_accuracy", options.patience)] if options.patience else []
    settings: dict[str, Any] = {
        "keep": "last" if validation is None or stopping else "best", "callbacks": stopping, "optimizer": optimizer,
        "schedule": SCHEDULES[options.schedule](), "loss": loss, "regulariser": direct, "flip_rate": flip_rate,
        "faults": faults, "augment": augment}
    if options.dry_run:
        check_training(model, part, validation, options, **settings)
        print_plan(options, {
            "network": network_name, "binary_weights": pack(model).n_bits, "train": part.name, "n_train": len(part),
            "n_validation": len(validation or ()), "test": test.name, "n_test": len(test), "epochs": options.epochs,
            "batch_size": options.batch_size, "seed": options.seed},
            {name: getattr(options, name) for name in ("out", "history", "plot", "checkpoint")})
        return
    history = fit(
        model, part, options.epochs, validation, options.seed, batch_size=options.batch_size,
        class_weight=options.class_weight, gradient=options.gradient, precision=options.precision,
        checkpoint=options.checkpoint, resume=options.resume,
        progress=not options.quiet and not options.log, **settings)          # with --log its epochs are log lines
    model = adapted(model, options, part, flip_rate)
    network = pack(model)
    accuracy = network.accuracy(test)
    if options.out:
        pack(model, {"holdout": str(options.holdout), "test_accuracy": f"{accuracy:.4f}", "test_images": str(len(test)),
                     "command": options.command}).save(options.out)
    if options.history:
        history.save(options.history)
    if options.plot:
        history.plot(options.plot, width=options.width)
    if options.format == "json":
        epochs = [history.row(epoch) for epoch in range(1, len(history.loss) + 1)]
        print(as_json({"network": network_name, "checksum": network.checksum, "binary_weights": network.n_bits,
                       "train": part.name, "n_train": len(part), "test": test.name, "n_test": len(test),
                       "test_accuracy": accuracy, "kept_epoch": history.kept_epoch, "seed": options.seed,
                       "out": options.out, "epochs": epochs}))
        return
    print(network.summary())                                     # behind what took hours: nobody may read it
    print(f"{test.name}: {100 * accuracy:.2f} % of all {len(test):,} images, epoch {history.kept_epoch} of "
          f"{len(history.loss)}, seed {options.seed}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
