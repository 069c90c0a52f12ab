"""How fast this machine trains and breaks binarized networks; results are checked before they are timed.

    python -m bnnsim.bench
    python -m bnnsim.bench --only kernels,inference --networks fcnn,cnn
    python -m bnnsim.bench --full --out bench.json --scaling scaling.png
    python -m bnnsim.bench --compare examples/peers/torch_peer.py --peer-python TORCH/bin/python --out bench.json

Sections: kernels, beside the machine's limit; training, inference and sweep of the papers' three networks; startup and
memory of fresh processes; with --scaling and --compare those too. A line is the median, with quartiles. By default
training is timed for some steps and the CIFAR-10 CNN for a part of its images, and said so; --full times all.
Fashion-MNIST is the full set where it is found, else the embedded subset; CIFAR-10 is random pixels of the right shape.
Run it alone on the machine.
"""

import json
import os
import shlex
import sys

import bnnsim.commands.command_line as command_line
import bnnsim.files.atomic as atomic
from bnnsim.checks import check_choice

SECTIONS = ("kernels", "training", "inference", "sweep", "startup", "memory")
NETWORKS = ("fcnn", "cnn", "cifar")
FORMAT = {"format": "bnnsim benchmark", "format_version": 1}


def arguments():
    """The options."""
    parser = command_line.parser("bench", __doc__)
    add = parser.add_argument
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", dest="size", action="store_const", const="full", help="whole epochs, all images, more "
                      "repetitions: tens of minutes")
    size.add_argument("--tiny", dest="size", action="store_const", const="tiny", help="narrow networks and few images: "
                      "whether everything runs; its times mean nothing")
    add("--only", metavar="SECTIONS", help=f"some of {','.join(SECTIONS)}; scaling or compare alone: 'none' (default: "
        "all)")
    add("--networks", default=",".join(NETWORKS), metavar="NAMES", help="(default: %(default)s)")
    add("--scaling", metavar="FIGURE", help="time over batch, width and wrong bits, as .png, .svg or .pdf")
    add("--compare", metavar="SCRIPT", help="measure a peer in turns with bnnsim: examples/peers/torch_peer.py")
    add("--peer-python", default=sys.executable, metavar="PYTHON", help="the Python that has what the peer needs "
        "(default: this one)")
    add("--out", metavar="FILE.json", help="store everything, every sample too")
    parser.set_defaults(size="quick")
    return parser


def _names(option, text, choices):
    return tuple(check_choice(option, name, choices) for name in dict.fromkeys(text.split(",")))


def resolve(options):
    """Check what can be checked before the work."""
    command_line.check_target(options.out, (".json",))
    command_line.check_target(options.scaling, (".png", ".svg", ".pdf"))
    options.networks = _names("networks", options.networks, NETWORKS)
    options.only = SECTIONS if options.only is None else () if options.only == "none" else \
        _names("only", options.only, SECTIONS)
    if not options.only and not options.scaling and not options.compare:
        raise ValueError("--only none leaves nothing to measure: add --scaling or --compare")


def command_of(options):
    """The command line, for the report; of paths only the last part, as they are nobody else's."""
    words = ["python", "-m", "bnnsim.bench"]
    words += [] if options.size == "quick" else [f"--{options.size}"]
    if options.only != SECTIONS:
        words += ["--only", ",".join(options.only) or "none"]
    if options.networks != NETWORKS:
        words += ["--networks", ",".join(options.networks)]
    for name in ("scaling", "compare", "out"):
        if getattr(options, name):
            words += [f"--{name}", os.path.basename(getattr(options, name))]
    return shlex.join(words)


def sections(options, sizes, images):
    """(section, generator of its measurements), in the order in which they are run."""
    import bnnsim.benchmarks.kernels as kernels
    import bnnsim.benchmarks.networks as networks
    import bnnsim.benchmarks.peer as peer
    import bnnsim.benchmarks.processes as processes
    import bnnsim.benchmarks.scaling as scaling

    for section in options.only:
        if section == "kernels":
            yield section, kernels.measure(sizes)
        elif section == "startup":
            yield section, processes.startup(sizes)
        elif section == "memory":
            yield section, processes.peak_memory(sizes, options.networks)
        else:
            yield section, networks.measure(section, sizes, images, options.networks)
    if options.scaling:
        yield "scaling", scaling.measure(sizes, images)
    if options.compare:
        yield "compare", peer.compare(options.compare, options.peer_python, sizes, images, options.networks)


def measure(options, report):
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
                print(peer.line(one), flush=True)
            else:
                report["measurements"].append(one.as_dict())
                print(one.line(), flush=True)
            report["data"] = images.described()


def store(options, report):
    """Write what there is."""
    if options.out:
        with atomic.replaced(options.out) as temporary, open(temporary, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
            file.write("\n")
    points = [one for one in report["measurements"] if one["section"] == "scaling"]
    if options.scaling and points:
        import bnnsim.figures.benchmarks as benchmarks
        benchmarks.scaling_curves(points, options.scaling)


def work(options):
    """Measure, print, write; Ctrl-C keeps what is done."""
    resolve(options)
    from bnnsim.benchmarks.timing import circumstances
    from bnnsim.kernels import are_compiled

    if not are_compiled():
        raise ValueError("NUMBA_DISABLE_JIT is set, so kernels would be interpreted: unset it to measure them")
    where = circumstances()
    report = {**FORMAT, "size": options.size, "command": command_of(options), "complete": False, "circumstances": where,
              "data": {}, "measurements": [], "comparison": []}
    print(f"bnnsim {where['library']}{' at ' + where['commit'] if where['commit'] else ''}, {where['cpu']}, "
          f"{where['threads']} threads, Python {where['python']}, NumPy {where['numpy']}, Numba {where['numba']}; "
          f"{options.size}: median (quartiles)", flush=True)
    if (where["load_average"] or 0) > 0.5:
        print(f"other work is running (load {where['load_average']}): times will be too long", flush=True)
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


def main(argv=None):
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
