"""Command line: download a data set from its official address, check its SHA-256, and store it.

    python -m bnnsim.download fashion
    python -m bnnsim.download cifar10 --folder ~/datasets
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import bnnsim.commands.command_line as command_line
import bnnsim.commands.options as shared
import bnnsim.commands.rules as rules
import bnnsim.datasets.downloading as downloading
from bnnsim.commands.options import Option
from bnnsim.commands.printing import as_json, print_plan
from bnnsim.datasets.catalogue import CATALOGUE

OPTIONS = (
    Option("name", f"one of {', '.join(f'{name} ({CATALOGUE[name].title})' for name in downloading.downloadable())}",
           rules.one_of(downloading.downloadable()), metavar="NAME", flag=""),
    Option("folder", "store in FOLDER/NAME (default: your cache, ~/.cache/bnnsim/NAME)", rules.path, metavar="FOLDER"),
    shared.form("table", "json"), shared.DRY_RUN)


def arguments() -> command_line.Parser:
    """The options."""
    return command_line.parser("download", __doc__, OPTIONS)


def work(options: argparse.Namespace) -> None:
    """Download, say where the files are."""
    source = downloading.downloadable()[options.name]
    if options.dry_run:
        target = Path(options.folder).expanduser() / options.name if options.folder else \
            downloading.cache_folder(options.name)
        print_plan(options, {"name": options.name, "addresses": source.addresses, "folder": str(target),
                             "missing": [file for file in source.sha256 if not (target / file).exists()]}, {})
        return
    try:
        folder = downloading.download_dataset(options.name, options.folder)
    except downloading.DownloadError as error:
        raise downloading.DownloadError(f"{options.name} could not be downloaded: {error}") from error
    if options.format == "json":
        print(as_json({"name": options.name, "folder": str(folder), "sha256": source.sha256}))
    else:
        print(f"{options.name}: {len(source.sha256)} files in {folder}, SHA-256 checked")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
