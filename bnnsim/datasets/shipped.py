"""Where the files that are installed with the library stand."""

import os
from pathlib import Path

from bnnsim.checks import FilePath, nearest
from bnnsim.datasets.catalogue import CATALOGUE


def data_folder() -> Path:
    """Where data/ is: inside an installed package, beside it in a clone."""
    inside = Path(__file__).resolve().parent.parent / "data"
    subset = CATALOGUE["fashion-subset"].layouts[0]
    return inside if None not in subset.find(inside).values() else inside.parent.parent / "data"


def data_file(name: str) -> Path:
    """Path of a file that comes with the library, such as a trained network; FileNotFoundError if there is none."""
    path = data_folder() / name
    if not path.is_file():
        there = sorted(each.name for each in path.parent.glob(f"*{path.suffix}") if each.is_file())
        raise FileNotFoundError(f"{name}: {_what_comes(path.name, there)}")
    return path


def network_file(name: FilePath) -> FilePath:
    """The path as it is; of the name of a network that comes with the library, such as "fashion_cnn", its file.

    A file of that name comes first; a folder does not, as it is no network. A word without an ending that is neither
    is a FileNotFoundError; so is such a name with .h5 behind it.
    """
    word = os.fspath(name)
    stem, ending = os.path.splitext(word)
    there = sorted(path.stem for path in data_folder().glob("*.h5"))
    if os.path.dirname(word) or not word or ending not in ("", ".h5") or \
            (os.path.exists(word) and not (os.path.isdir(word) and word in there)):
        return name
    if ending:
        if stem not in there:
            return name                                          # whoever reads it tells that there is none
        raise FileNotFoundError(f"{word}: no such file; the network that comes with bnnsim is called {stem}")
    if word not in there:
        raise FileNotFoundError(f"{word}: no such file, and {_what_comes(word, there)}")
    return data_file(f"{word}.h5")


def _what_comes(word: str, there: list[str]) -> str:
    if not there:
        return f"nothing like it is in {data_folder()}, where what comes with bnnsim stands"
    near = nearest(word, there)
    return f"what comes with bnnsim is {', '.join(there)}{f'; did you mean {near!r}?' if near else ''}"
