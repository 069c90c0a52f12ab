"""Why a stored network stands bit errors, or does not: margins, tolerance, importance of neurons, predicted accuracy.

    python -m bnnsim.explain
    python -m bnnsim.explain fcnn.h5 --dataset fashion --what margins,tolerance
    python -m bnnsim.explain fcnn.h5 --what prediction --rates 0.001:0.2:12 --check 20
    python -m bnnsim.explain fcnn.h5 --what importance,critical --method readout --layer 1 --plot explained.png

"margins": how far pre-activations lie from their thresholds. "tolerance": how many wrong weights each neuron stands,
whichever they are. "importance": what each neuron is worth, and how unevenly. "prediction": accuracy over bit error
rates from statistics of flips; --check compares it with injected errors. "critical": what every single wrong weight
of a layer does. Without a network: the FCNN that comes with the library, on the embedded 2,000 test images of
Fashion-MNIST, everything but "critical".
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bnnsim.commands.command_line as command_line
import bnnsim.commands.options as shared
import bnnsim.commands.rules as rules
import bnnsim.files.atomic as atomic
from bnnsim.checks import check_choice, check_int
from bnnsim.commands.number_lists import parse_rates
from bnnsim.commands.options import Option
from bnnsim.commands.printing import as_json, counted, plain, print_plan

if TYPE_CHECKING:
    from bnnsim.campaign.result import SweepResult
    from bnnsim.datasets.split import Split
    from bnnsim.packed.network import PackedNetwork

# what can be asked for, and how bnnsim.metrics answers; a result has table() and plot(path)
WHAT: dict[str, Callable[[Any, argparse.Namespace, "PackedNetwork", "Split"], Any]] = {
    "margins": lambda metrics, options, network, split: metrics.margins(network, split.images),
    "tolerance": lambda metrics, options, network, split: metrics.bit_error_tolerance(network, split.images),
    "importance": lambda metrics, options, network, split: metrics.importance(network, split, options.method),
    "prediction": lambda metrics, options, network, split: metrics.predicted_accuracy(
        network, split, parse_rates(options.rates, "--rates"), options.draws, options.seed),
    "critical": lambda metrics, options, network, split: metrics.critical_bits(network, split, options.layer),
}
OF_GRAPHS = ("margins", "tolerance", "critical")


def check_method(name: str, value: Any) -> str:
    """How importance is measured: all that a stored network can tell; "taylor" needs the gradients of a model."""
    from bnnsim.metrics.neuron_importance import METHODS

    return check_choice(name, value, [method for method in METHODS if method != "taylor"])


OPTIONS = (
    shared.NETWORK, shared.DATASET, shared.DATA, shared.SIZE, shared.ORDER, shared.LIMIT,
    Option("what", f"of {', '.join(WHAT)}", rules.some_of(WHAT), "margins,tolerance,importance,prediction",
           metavar="LIST"),
    Option("method", "importance: accuracy lost when an output is inverted (ablate), or what the last layer reads out "
           "(readout)", check_method, "ablate"),
    replace(shared.RATES, default="0.001,0.01,0.02,0.04,0.06,0.08,0.1,0.12,0.14,0.16,0.18,0.2",
            help=f"prediction: {shared.RATES.help}"),
    Option("draws", "prediction: draws of the hidden outputs an image (default: 2, with convolutions 8)",
           rules.integer(1), None, int),
    Option("check", "prediction: inject errors too, on so many chips a rate; compare", rules.integer(1), None, int,
           "CHIPS"),
    Option("layer", "critical: which layer", rules.integer(0), 0, int),
    replace(shared.SEED, help="of the prediction's draws and of --check"),
    replace(shared.PLOT, help=f"draw each: FIGURE-margins.png and so on; {shared.FIGURE_HELP}",
            outputs=lambda value, options: figures_of(options)),
    shared.WIDTH, shared.form("table", "json"), shared.out("store what was measured, as JSON", ".json"), shared.DRY_RUN)
# options that one part of --what reads alone
READ_BY = {"method": "importance", "rates": "prediction", "draws": "prediction", "check": "prediction",
           "layer": "critical"}


# what --format json has of each; numbers as tables have them, rates and accuracies as shares of 1
JSON: dict[str, Callable[[Any], dict[str, Any]]] = {
    "margins": lambda found: {"layers": [
        {**_layer(one), "fan_in": one.fan_in, "mean": one.mean, "relative": one.relative,
         "in_spreads": {"0.01": one.in_spreads(0.01), "0.1": one.in_spreads(0.1)}} for one in found.layers]},
    "tolerance": lambda found: {"network": found.network, "paper": found.paper, "layers": [
        {**_layer(one), "exact": one.exact, "mean": one.mean, "least": one.least, "n_never": one.n_never,
         "counts": one.counts, "paper": one.paper_by_neuron.mean()} for one in found.layers]},
    "importance": lambda found: {"method": found.method, "variance": found.variance, "layers": [
        {**_layer(one), "raw": one.raw, "share": one.share, "variance": one.variance,
         "noise_free_variance": one.reliability.noise_free_variance} for one in found.layers]},
    "prediction": lambda found: {"rates": found.rates, "accuracy": found.accuracy,
                                 "standard_error": found.standard_error},
    "critical": lambda found: {"layer": found.layer, "n_right": found.n_right, "bits": found.effect.size,
                               "worst": [{"index": index, "gained": gained} for index, gained in found.worst()]}}


def _layer(one: Any) -> dict[str, Any]:
    return {"layer": one.index, "kind": one.kind, "units": one.units}


def figure_name(path: str, what: str) -> str:
    """Where one of the figures is drawn."""
    stem, ending = os.path.splitext(path)
    return f"{stem}-{what}{ending}"


def figures_of(options: argparse.Namespace) -> list[str]:
    """All that --plot has drawn."""
    return [figure_name(options.plot, what) for what in options.what] if options.plot else []


def arguments() -> command_line.Parser:
    """The options."""
    return command_line.parser("explain", __doc__, OPTIONS)


def injected(options: argparse.Namespace, network: "PackedNetwork", split: "Split") -> "SweepResult":
    """Accuracy under injected errors, to compare the predicted one with."""
    from bnnsim.campaign import sweep

    return sweep(network, split, parse_rates(options.rates, "--rates"), options.check, options.seed, progress=False)


def load(options: argparse.Namespace) -> "tuple[str, PackedNetwork, Split]":
    """The network, by name, and the images, once all that is asked for is known to be defined for it."""
    import bnnsim.commands.inputs as inputs
    from bnnsim.metrics.neuron_importance import check_readout
    from bnnsim.packed.blocks import check_scores, hidden_stages, stages_with_thresholds
    from bnnsim.packed.graph import PackedGraph

    for option, what in READ_BY.items():
        shared.check_read(options, [option], what in options.what, f"--what {what}")
    shared.check_read(options, ["seed"], "prediction" in options.what, "--what prediction")
    shared.check_read(options, ["width"], options.plot, "--plot FIGURE")
    name, network = inputs.load_network(options.network)
    refused = [what for what in options.what if isinstance(network, PackedGraph) and what not in OF_GRAPHS]
    if refused:
        raise ValueError(f"--what {','.join(refused)}: {name} is a graph, and these are defined for layers in a row: "
                         "ask --what critical, or margins,tolerance where sums of bits meet thresholds alone")
    if {"margins", "tolerance"}.intersection(options.what):
        stages_with_thresholds(network)
    elif {"importance", "prediction"}.intersection(options.what):
        hidden_stages(network)
    if "prediction" in options.what:
        check_scores(network, "--what prediction")
    if "importance" in options.what and options.method == "readout":
        check_readout(network, "--method readout")
    if "critical" in options.what:
        check_int("--layer", options.layer, 0, len(network.layers) - 1)
    return name, network, inputs.load_test(options, [options.network] if options.network else [], {name: network})


def work(options: argparse.Namespace) -> None:
    """Load, measure, print, draw."""
    import bnnsim.metrics as metrics

    name, network, split = load(options)
    if options.dry_run:
        print_plan(options, {"network": name, "split": split.name, "n_images": len(split), "what": options.what},
                   {"plot": figures_of(options), "out": options.out})
        return
    told: dict[str, Any] = {"network": name, "checksum": network.checksum, "split": split.name,
                            "split_sha256": split.sha256, "n_images": len(split)}
    as_text = options.format == "table"
    if as_text:
        print(f"{name}, {network.n_bits:,} binary weights; {split.name}, all {counted(len(split), 'image')}")
    for what in options.what:
        found = WHAT[what](metrics, options, network, split)
        beside = {"result": injected(options, network, split)} if what == "prediction" and options.check else {}
        if options.plot:
            found.plot(figure_name(options.plot, what), **beside, width=options.width)
        if as_text:
            print(f"\n{what}\n{found.table(**beside)}")
        told[what] = plain(JSON[what](found))
        if beside:
            told[what]["injected"] = beside["result"].rows()
    if options.out:
        with atomic.replaced(options.out) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(as_json(told) + "\n")
    if not as_text:
        print(as_json(told))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
