"""Command line: download a data set from its official address, check its SHA-256, and store it.

    python -m bnnsim.download fashion
    python -m bnnsim.download cifar10 --folder ~/datasets
"""

import argparse
import sys

from .dataset_sources import SOURCES, DownloadError, download_dataset


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}\n")


def main(argv=None):
    """Parse, download, say where the files are; exits with 2 for bad input, with 1 if no address helped."""
    parser = _Parser("python -m bnnsim.download", description=__doc__.split("\n", 1)[0],
                     epilog="load_dataset(NAME) finds the files, or load_dataset(NAME, folder=FOLDER).")
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(SOURCES)}")
    parser.add_argument("--folder", help="store in FOLDER/NAME (default: your cache, ~/.cache/bnnsim/NAME)")
    options = parser.parse_args(argv)
    try:
        folder = download_dataset(options.name, options.folder)
    except DownloadError as error:
        parser.exit(1, f"{parser.prog}: error: {options.name} could not be downloaded: {error}\n")
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(f"{options.name}: {len(SOURCES[options.name].sha256)} files in {folder}, SHA-256 checked")
    return 0


if __name__ == "__main__":
    sys.exit(main())
