"""A script by which bash or zsh completes what is typed behind ``bnnsim``: commands, options, and what these take.

    eval "$(bnnsim completion bash)"                          # this shell; in ~/.bashrc: every one
    bnnsim completion zsh > ~/.zfunc/_bnnsim                  # a folder of zsh's fpath, before compinit

It is made of the commands' own tables of options, and starts no Python when it completes.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

import bnnsim.commands.command_line as command_line
import bnnsim.commands.rules as rules
from bnnsim.commands.completion_scripts import SHELLS, Command
from bnnsim.commands.names import COMMANDS
from bnnsim.commands.options import Option

OPTIONS = (Option("shell", f"which: {', '.join(SHELLS)}", rules.one_of(SHELLS), flag="", metavar="SHELL"),)


def arguments() -> command_line.Parser:
    """The options."""
    return command_line.parser("completion", __doc__, OPTIONS)


def work(options: argparse.Namespace) -> None:
    """Print the script."""
    commands = [Command(name, text, importlib.import_module(f"bnnsim.{name}").arguments().table)
                for name, text in COMMANDS.items()]
    print(SHELLS[options.shell](commands), end="")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
