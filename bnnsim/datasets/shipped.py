"""Where the files that are installed with the library stand."""

from pathlib import Path

from bnnsim.datasets.catalogue import CATALOGUE


def data_folder() -> Path:
    """Where data/ is: inside an installed package, beside it in a clone."""
    inside = Path(__file__).resolve().parent.parent / "data"
    subset = CATALOGUE["fashion-subset"].layouts[0]
    return inside if None not in subset.find(inside).values() else inside.parent.parent / "data"


def data_file(name: str) -> Path:
    """Path of a file that comes with the library, such as a trained network; FileNotFoundError if it is missing."""
    path = data_folder() / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing from this installation: install bnnsim again")
    return path
