"""The command ``bnnsim``: ``bnnsim NAME ...`` is ``python -m bnnsim.NAME ...``."""

import difflib
import importlib
import sys
from collections.abc import Sequence

import bnnsim
import bnnsim.commands.pipes as pipes
from bnnsim.commands.names import COMMANDS


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the command lines."""
    with pipes.ending_quietly():
        return _main(sys.argv[1:] if argv is None else list(argv))


def _main(argv: list[str]) -> int:
    asks, names = argv[:1] in (["help"], ["-h"], ["--help"]), argv[:1]
    if asks:
        names = argv[1:]
        if len(names) > 1:
            return _failed(f"wanted one command to tell about, got {' '.join(names)}")
    if not names:
        print(_usage())
        return 0
    if names == ["--version"] and len(argv) == 1:
        print(f"bnnsim {bnnsim.__version__}")
        return 0
    name = names[0].replace("-", "_")
    if name not in COMMANDS:
        near = [known for known in COMMANDS if name in known.split("_")] or difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        return _failed(f"no command {names[0]!r}{hint}")
    return importlib.import_module(f"bnnsim.{name}").main(["--help"] if asks else argv[1:])


def _usage() -> str:
    lines = "\n".join(f"  {name:<12} {text}" for name, text in COMMANDS.items())
    return f"usage: bnnsim COMMAND [options]; bnnsim help COMMAND tells more\n\n{lines}"


def _failed(message: str) -> int:
    print(f"bnnsim: error: {message}\n{_usage()}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
