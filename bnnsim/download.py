"""Command line: download a data set from its official address, check its SHA-256, and store it.

    python -m bnnsim.download fashion
    python -m bnnsim.download cifar10 --folder ~/datasets
"""

import argparse
import sys
from collections.abc import Sequence

import bnnsim.commands.command_line as command_line
import bnnsim.commands.options as shared
import bnnsim.datasets.downloading as downloading
from bnnsim.commands.options import Option
from bnnsim.datasets.catalogue import CATALOGUE

OPTIONS = (
    Option("name", f"one of {', '.join(f'{name} ({CATALOGUE[name].title})' for name in downloading.downloadable())}",
           shared.text, metavar="NAME", flag=""),
    Option("folder", "store in FOLDER/NAME (default: your cache, ~/.cache/bnnsim/NAME)", shared.path))


def arguments() -> command_line.Parser:
    """The options."""
    return command_line.parser("download", __doc__, OPTIONS)


def work(options: argparse.Namespace) -> None:
    """Download, say where the files are."""
    try:
        folder = downloading.download_dataset(options.name, options.folder)
    except downloading.DownloadError as error:
        raise downloading.DownloadError(f"{options.name} could not be downloaded: {error}") from error
    n_files = len(downloading.downloadable()[options.name].sha256)
    print(f"{options.name}: {n_files} files in {folder}, SHA-256 checked")


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
