"""How fast this machine trains and breaks binarized networks; results are checked before they are timed.

    python -m bnnsim.bench
    python -m bnnsim.bench --only kernels,inference --networks fcnn,cnn
    python -m bnnsim.bench --full --out bench.json --scaling scaling.png
    python -m bnnsim.bench --compare examples/peers/torch_peer.py --peer-python TORCH/bin/python --out bench.json
    python -m bnnsim.bench --isa avx2 --only none --compare examples/peers/torch_peer.py --peer-python TORCH/bin/python
    python -m bnnsim.bench --isa generic --only inference --compare examples/peers/torch_peer.py --peer-python ...

Sections: kernels, beside the machine's limit; convolutions of every geometry, beside the plain one; training, inference
and sweep of the papers' three networks and a residual one; startup and memory of fresh processes; with --scaling and
--compare those too. A line is the median, with quartiles. By default training is timed for some steps, and with --full
for whole epochs, but of the residual network for 40 steps. All test images are classified; comparisons train for some
steps, and take 1,000 images of the CIFAR-10 CNN and the residual network, with --full 2,000. What is extrapolated says
so.
Fashion-MNIST is the full set where it is found, else the embedded subset; CIFAR-10 is random pixels of the right shape.
Run it alone on the machine.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bnnsim.commands.command_line as command_line
import bnnsim.commands.options as shared
import bnnsim.commands.rules as rules
import bnnsim.files.atomic as atomic
from bnnsim.benchmarks.instruction_sets import ISAS, limit
from bnnsim.commands.options import Option
from bnnsim.commands.printing import as_json, counted, print_plan

if TYPE_CHECKING:
    from bnnsim.benchmarks.sizes import Images, Sizes

SECTIONS = ("kernels", "geometry", "training", "inference", "sweep", "startup", "memory")
NETWORKS = ("fcnn", "cnn", "cifar", "residual")
FORMAT = {"format": "bnnsim benchmark", "format_version": 1}


def check_sections(name: str, value: Any) -> tuple[str, ...]:
    """Some of the sections, or none."""
    return () if value == "none" else rules.some_of(SECTIONS)(name, value)


OPTIONS = (
    Option("full", "whole epochs (of residual 40 steps), more repetitions, more images in comparisons: tens of minutes",
           rules.switch, False),
    Option("tiny", "narrow networks and few images: whether everything runs; its times mean nothing", rules.switch,
           False),
    Option("only", "some of the sections; scaling or compare alone: 'none'", check_sections, ",".join(SECTIONS),
           metavar="SECTIONS"),
    Option("networks", "which of them", rules.some_of(NETWORKS), ",".join(NETWORKS), metavar="NAMES"),
    replace(shared.PLOT, name="scaling",
            help=f"time over threads, batch, width, depth, images, wrong bits and cells: {shared.FIGURE_HELP}"),
    shared.WIDTH,
    Option("compare", "measure a peer in turns with bnnsim, in what --only names of training, inference and sweep (all "
           "three where it names none): examples/peers/torch_peer.py", rules.path,
           metavar="SCRIPT"),
    Option("peer_python", "the Python that has what the peer needs (default: this one)", rules.path,
           metavar="PYTHON"),
    Option("isa", "compute, the peer too, as on a CPU with these instructions at most (default: all that this CPU has)",
           rules.one_of(ISAS)),
    shared.out("store everything, every sample too", ".json"),
    replace(shared.form("table", "json"), help="what is printed: table, lines as soon as they are measured, or json, "
            "what --out stores, at the end"), shared.DRY_RUN)


def arguments() -> command_line.Parser:
    """The options."""
    return command_line.parser("bench", __doc__, OPTIONS)


def resolve(options: argparse.Namespace) -> None:
    """What follows from several options."""
    if options.full and options.tiny:
        raise ValueError("--full is not allowed with --tiny")
    options.size = "full" if options.full else "tiny" if options.tiny else "quick"
    shared.check_read(options, ["width"], options.scaling, "--scaling FIGURE")
    if not options.only and not options.scaling and not options.compare:
        raise ValueError("--only none leaves nothing to measure: add --scaling or --compare")


def command_of(options: argparse.Namespace) -> str:
    """The command line, for the report; of absolute paths the last part, as the folders are nobody else's."""
    words = ["python", "-m", "bnnsim.bench"]
    words += [] if options.size == "quick" else [f"--{options.size}"]
    if options.only != SECTIONS:
        words += ["--only", ",".join(options.only) or "none"]
    if options.networks != NETWORKS:
        words += ["--networks", ",".join(options.networks)]
    words += ["--isa", options.isa] if options.isa else []
    for name in ("scaling", "compare", "out"):
        if path := getattr(options, name):
            words += [f"--{name}", os.path.basename(path) if os.path.isabs(path) else path]
    words += ["--peer-python", "PYTHON"] if options.peer_python else []
    return shlex.join(words)


def sections(options: argparse.Namespace, sizes: "Sizes", images: "Images") -> Iterator[tuple[str, Any]]:
    """(section, generator of its measurements), in the order in which they are run."""
    import bnnsim.benchmarks.geometry as geometry
    import bnnsim.benchmarks.kernels as kernels
    import bnnsim.benchmarks.networks as networks
    import bnnsim.benchmarks.peer as peer
    import bnnsim.benchmarks.processes as processes
    import bnnsim.benchmarks.scaling as scaling

    for section in options.only:
        if section == "kernels":
            yield section, kernels.measure(sizes)
        elif section == "geometry":
            yield section, geometry.measure(sizes)
        elif section == "startup":
            yield section, processes.startup(sizes)
        elif section == "memory":
            yield section, processes.peak_memory(sizes, options.networks)
        else:
            yield section, networks.measure(section, sizes, images, options.networks)
    if options.scaling:
        yield "scaling", scaling.measure(sizes, images)
    if options.compare:
        works = [work for work in peer.KINDS if work in options.only] or peer.KINDS
        yield "compare", peer.compare(options.compare, options.peer_python or sys.executable, sizes, images,
                                      options.networks, works)


def say(options: argparse.Namespace, line: str) -> None:
    """Print a line now, not at the end; of JSON it is no part: there it is progress."""
    if options.format == "table":
        print(line, flush=True)
    elif not options.quiet:
        print(line, file=sys.stderr, flush=True)


def measure(options: argparse.Namespace, report: dict[str, Any]) -> None:
    """Run the sections; every line is printed, and every result added to the report, when it is there."""
    import bnnsim.benchmarks.peer as peer
    from bnnsim.benchmarks.sizes import SIZES
    from bnnsim.benchmarks.sizes import Images

    sizes = SIZES[options.size]
    images = Images(sizes)
    for section, found in sections(options, sizes, images):
        for one in found:
            if section == "compare":
                report["comparison"].append(one)
                say(options, peer.line(one))
            else:
                report["measurements"].append(one.as_dict())
                say(options, one.line())
            report["data"] = images.described()


def store(options: argparse.Namespace, report: dict[str, Any]) -> None:
    """Write what there is."""
    if options.out:
        with atomic.replaced(options.out) as temporary, open(temporary, "w", encoding="utf-8") as file:
            file.write(as_json(report) + "\n")
    points = [one for one in report["measurements"] if one["section"] == "scaling"]
    if options.scaling and points:
        import bnnsim.figures.benchmarks as benchmarks
        benchmarks.scaling_curves(points, options.scaling, width=options.width)


def work(options: argparse.Namespace) -> None:
    """Measure, print, write; Ctrl-C keeps what is done."""
    resolve(options)
    if options.dry_run:
        print_plan(options, {"size": options.size, "sections": options.only, "networks": options.networks,
                             "peer": options.compare, "instructions": options.isa or "all"},
                   {"out": options.out, "scaling": options.scaling})
        return
    if options.isa:
        limit(options.isa)
    from bnnsim.benchmarks.timing import circumstances
    from bnnsim.kernels import are_compiled

    if not are_compiled():
        raise ValueError("NUMBA_DISABLE_JIT is set, so kernels would be interpreted: unset it to measure them")
    where = circumstances()
    report = {**FORMAT, "size": options.size, "command": command_of(options), "complete": False, "circumstances": where,
              "isa": options.isa or "all", "data": {}, "measurements": [], "comparison": []}
    say(options, f"bnnsim {where['library']}{' at ' + where['commit'] if where['commit'] else ''}, {where['cpu']}, "
        f"{counted(where['threads'], 'thread')}, Python {where['python']}, NumPy {where['numpy']}, "
        f"Numba {where['numba']}; {options.size}{f', limited to {options.isa}' if options.isa else ''}: "
        "median (quartiles)")
    if (where["load_average"] or 0) > 0.5:
        say(options, f"other work is running (load {where['load_average']}): times will be too long")
    try:
        measure(options, report)
    except BaseException as stop:
        done = len(report["measurements"]) + len(report["comparison"])
        if done:
            store(options, report)
        if isinstance(stop, KeyboardInterrupt):
            kept = f"they are in {options.out}" if options.out else "nothing was stored, as no --out was given"
            raise KeyboardInterrupt(f"interrupted after {done} results; {kept}") from None
        raise
    report["complete"] = True
    store(options, report)
    if options.format == "json":
        print(as_json(report))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
