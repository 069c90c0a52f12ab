"""Command line: download a data set from its official address, check its SHA-256, and store it.

    python -m bnnsim.download fashion
    python -m bnnsim.download cifar10 --folder ~/datasets
"""

import sys

import bnnsim.commands.command_line as command_line
import bnnsim.datasets.downloading as downloading


def arguments():
    """The options."""
    parser = command_line.parser("download", __doc__)
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(downloading.downloadable())}")
    parser.add_argument("--folder", help="store in FOLDER/NAME (default: your cache, ~/.cache/bnnsim/NAME)")
    return parser


def work(options):
    """Download, say where the files are."""
    try:
        folder = downloading.download_dataset(options.name, options.folder)
    except downloading.DownloadError as error:
        raise downloading.DownloadError(f"{options.name} could not be downloaded: {error}") from error
    n_files = len(downloading.downloadable()[options.name].sha256)
    print(f"{options.name}: {n_files} files in {folder}, SHA-256 checked")


def main(argv=None):
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
