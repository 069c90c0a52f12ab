"""Command line: download a data set from its official address, check its SHA-256, and store it.

    python -m bnnsim.download fashion
    python -m bnnsim.download cifar10 --folder ~/datasets
"""

import sys

import bnnsim.command_line as command_line
import bnnsim.dataset_sources as dataset_sources


def arguments():
    """The options."""
    parser = command_line.parser("download", __doc__)
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(dataset_sources.SOURCES)}")
    parser.add_argument("--folder", help="store in FOLDER/NAME (default: your cache, ~/.cache/bnnsim/NAME)")
    return parser


def work(options):
    """Download, say where the files are."""
    try:
        folder = dataset_sources.download_dataset(options.name, options.folder)
    except dataset_sources.DownloadError as error:
        raise dataset_sources.DownloadError(f"{options.name} could not be downloaded: {error}") from error
    n_files = len(dataset_sources.SOURCES[options.name].sha256)
    print(f"{options.name}: {n_files} files in {folder}, SHA-256 checked")


def main(argv=None):
    """The command line."""
    return command_line.run(arguments(), work, argv)


if __name__ == "__main__":
    sys.exit(main())
