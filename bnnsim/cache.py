"""Where compiled kernels lie and how much they take; with --clear they are removed, and compiled anew when needed.

    python -m bnnsim.cache
    python -m bnnsim.cache --clear

Only files that bnnsim's kernels made are counted and removed, no link is followed, and folders stay. A process that
runs meanwhile keeps what it has loaded, and compiles anew what it finds gone. Data sets that were downloaded are no
part of this.
"""

import argparse
import sys
from collections.abc import Sequence

import bnnsim.commands.command_line as command_line
import bnnsim.commands.options as shared
import bnnsim.commands.rules as rules
from bnnsim.commands.options import Option
from bnnsim.commands.printing import as_json

OPTIONS = (
    Option("clear", "remove them", rules.switch, False, scope="once"), shared.form("table", "json"), shared.DRY_RUN)


def arguments() -> command_line.Parser:
    """The options."""
    return command_line.parser("cache", __doc__, OPTIONS)


def work(options: argparse.Namespace) -> None:
    """Look, remove, say what was found."""
    import bnnsim.commands.kernel_files as kernel_files

    places = kernel_files.places()
    removes = options.clear and not options.dry_run
    if removes:
        kernel_files.clear(places)
    n_files, n_bytes = sum(place.n_files for place in places), sum(place.n_bytes for place in places)
    if options.format == "json":
        print(as_json({"folders": [vars(place) for place in places], "n_files": n_files, "n_bytes": n_bytes,
                       "removed": removes}))
        return
    for place in places:
        print(f"{place.folder}: {place.n_files:,} files, {place.n_bytes / 1e6:,.1f} MB, {place.what}")
    what = "removed" if removes else "would be removed" if options.clear else "in all"
    print(f"{n_files:,} files, {n_bytes / 1e6:,.1f} MB {what}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
