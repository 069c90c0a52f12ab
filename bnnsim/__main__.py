"""The command ``bnnsim``: ``bnnsim NAME ...`` is ``python -m bnnsim.NAME ...``."""

import importlib
import sys
from collections.abc import Sequence

import bnnsim
import bnnsim.commands.pipes as pipes

COMMANDS = {"bench": "how fast this machine trains and breaks networks",
            "ber_sweep": "accuracy of stored networks over bit error rates",
            "certify": "how many flipped weights provably change no class",
            "convert": "somebody else's network, of whatever format, into one of bnnsim's, and back",
            "device_sweep": "accuracy in a memory technology, over its device card's axes",
            "download": "fetch a data set from its official address",
            "evaluate": "accuracy of stored networks, as a whole and by class",
            "explain": "margins, tolerance, importance of neurons, predicted accuracy of a stored network",
            "plot": "figures of stored results and networks",
            "summary": "what stored networks and results hold",
            "train": "train a network, pack it, store it"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the command lines."""
    with pipes.ending_quietly():
        return _main(sys.argv[1:] if argv is None else list(argv))


def _main(argv: list[str]) -> int:
    if argv and argv[0].replace("-", "_") in COMMANDS:
        return importlib.import_module(f"bnnsim.{argv[0].replace('-', '_')}").main(argv[1:])
    if argv == ["--version"]:
        print(f"bnnsim {bnnsim.__version__}")
        return 0
    lines = "\n".join(f"  {name:<12} {text}" for name, text in COMMANDS.items())
    usage = f"usage: bnnsim COMMAND [options]; bnnsim COMMAND --help tells more\n\n{lines}"
    if not argv or argv[0] in ("-h", "--help"):
        print(usage)
        return 0
    print(f"bnnsim: error: no command {argv[0]!r}\n{usage}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
