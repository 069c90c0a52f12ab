"""Where the files that are installed with the library stand."""

from pathlib import Path

from bnnsim.datasets.readers import SUBSET


def data_folder():
    """Where data/ is: inside an installed package, beside it in a clone."""
    here = Path(__file__).resolve().parent.parent
    return here / "data" if None not in SUBSET.find(here / "data").values() else here.parent / "data"


def data_file(name):
    """Path of a file that comes with the library, such as a trained network; FileNotFoundError if it is missing."""
    path = data_folder() / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing from this installation: install bnnsim again")
    return path
