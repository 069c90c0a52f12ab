"""Labelled images: `load_dataset` finds, reads and checks them, and `Split` holds one half of a set.

Places are searched in this order: the folder given (or the environment variable BNNSIM_DATA), which must have
the files; the library's data/; the system's folders; the user's cache; the official address. Fashion-MNIST
alone has a last resort, a subset that comes with the library, and whoever gets it is told so.

Sizes: N images, C channels, H rows, W columns.
"""

import os
import warnings
from dataclasses import replace
from pathlib import Path

import bnnsim.datasets.shipped as shipped
from bnnsim.checks import check_choice
from bnnsim.datasets.readers import LAYOUTS, SUBSET, idx_sha256
from bnnsim.datasets.sources import SOURCES, cache_folder, download_dataset
from bnnsim.datasets.split import Split

_SYSTEM_FOLDERS = (Path("/usr/share/datasets"),         # Debian's dataset-fashion-mnist
                   Path("/usr/local/share/datasets"))
_CONNECT_SECONDS = 5.0


class EmbeddedSubsetWarning(UserWarning):
    """The full Fashion-MNIST was asked for, and the embedded subset of it came."""


def load_dataset(name, folder=None, download=True):
    """Find, read and check a data set.

    Parameters
    ----------
    name : {"fashion", "mnist", "cifar10", "fashion-subset"}
        Fashion-MNIST and MNIST are 1 x 28 x 28, CIFAR-10 is 3 x 32 x 32, ten classes each; "fashion-subset"
        is the part of Fashion-MNIST that comes with the library (see `load_embedded`).
    folder : str or os.PathLike, optional
        Where the official files are, compressed or not: in it, in ``folder/name`` or in a folder with the
        official name. Default: the environment variable BNNSIM_DATA; without it, the library's data/, the
        system's folders (/usr/share/datasets) and the user's cache are searched.
    download : bool
        Download to the user's cache what was found nowhere. BNNSIM_OFFLINE=1 in the environment forbids it.

    Returns
    -------
    train, test : Split

    Raises
    ------
    FileNotFoundError
        If there is no copy, and no way to get one. Fashion-MNIST then comes as the embedded subset, with an
        EmbeddedSubsetWarning, unless a folder was given.
    ValueError
        If a file is damaged or is not what its name says.
    """
    check_choice("name", name, (*LAYOUTS, "fashion-subset"))
    if not isinstance(download, bool):
        raise TypeError(f"download must be True or False, got {download!r}")
    if name == "fashion-subset":
        if folder is not None:
            raise ValueError("folder must be left out for 'fashion-subset', which comes with the library")
        return load_embedded()
    given = folder if folder is not None else os.environ.get("BNNSIM_DATA") or None
    if given is not None:
        return _load_from(given, name, "folder" if folder is not None else "BNNSIM_DATA")
    for place in (shipped.data_folder(), *_SYSTEM_FOLDERS, cache_folder(name).parent):
        found = _find(place, name)
        if found:
            return _read(name, *found, f"python -m bnnsim.download {name}")
    return _load_from_network(name, download)


def load_embedded():
    """Load the subset of Fashion-MNIST that comes with the library.

    10,000 training and 2,000 test images, taken from the official halves, as many of each class.

    Returns
    -------
    train, test : Split
    """
    folder = shipped.data_folder()
    files = SUBSET.find(folder)
    if None in files.values():
        raise FileNotFoundError(f"the embedded subset is not in {folder}: reinstall bnnsim")
    train, test = _read("fashion-subset", SUBSET, files, "reinstall bnnsim")
    return replace(train, origin="embedded subset"), replace(test, origin="embedded subset")


def _candidates(folder, name):
    """The folders that one copy may be in, the one named after the data set first."""
    for layout in LAYOUTS[name]:
        for base in (folder / name, folder):
            for place in (base, *(base / sub for sub in layout.folders)):
                yield layout, place


def _find(folder, name):
    """The first complete copy in or under a folder: (layout, paths of its files), or None."""
    for layout, place in _candidates(folder, name):
        files = layout.find(place)
        if None not in files.values():
            return layout, files
    return None


def _load_from(folder, name, what):
    """Load from a folder that the user named: a copy that is not there is an error."""
    if not isinstance(folder, (str, os.PathLike)):
        raise TypeError(f"folder must be a path, got {type(folder).__name__}")
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{what} must be a folder that has the files of {name}, got {folder}, which "
                                f"is {'not a folder' if folder.exists() else 'not there'}")
    remedy = f"python -m bnnsim.download {name} --folder {folder}"
    found = _find(folder, name)
    if not found:
        raise FileNotFoundError(f"{what} {folder} has no complete copy of {name}: {_looked_for(folder, name)}"
                                f". Put the files there, or run {remedy}")
    return _read(name, *found, remedy)


def _looked_for(folder, name):
    """What was looked for, and which files of an incomplete copy are absent."""
    lines = []
    for layout in LAYOUTS[name]:
        places = [place for other, place in _candidates(folder, name) if other is layout]
        files = ", ".join(layout.train + layout.test)
        lines.append(f"looked for {files} in {', '.join(map(str, places))}")
        for place in places:
            absent = [file for file, path in layout.find(place).items() if path is None]
            if len(absent) < len(layout.train + layout.test):
                lines.append(f"{place} lacks {', '.join(absent)}")
    return "; ".join(lines)


def _read(name, layout, files, remedy):
    """Both splits of a copy; an error says what to do about it."""
    where = str(next(iter(files.values())).parent)
    try:
        splits = [layout.read([files[file] for file in names]) for names in (layout.train, layout.test)]
    except ValueError as error:
        raise ValueError(f"{error}; delete the file and run {remedy}" if "download" in remedy else
                         f"{error}; {remedy}") from error
    train, test = (Split(*arrays, f"{name}-{half}", origin=where)
                   for arrays, half in zip(splits, ("train", "test"), strict=True))
    _check_not_another(name, test.labels, where)
    return train, test


def _check_not_another(name, labels, where):
    """MNIST's and Fashion-MNIST's files have the same names: tell them apart by the test labels."""
    for other in ("fashion", "mnist"):
        official = SOURCES[other].sha256["t10k-labels-idx1-ubyte.gz"]
        if other != name and len(labels) == 10_000 and idx_sha256(labels) == official:
            raise ValueError(f"{where}: wanted the files of {name}, got those of {other}, which have the "
                             f"same names; move them to a folder named {other}")


def _load_from_network(name, download):
    """Download, or say why not; Fashion-MNIST falls back on the embedded subset, with a warning."""
    if not download or os.environ.get("BNNSIM_OFFLINE", "0") not in ("", "0"):
        reason = "download=False" if not download else "BNNSIM_OFFLINE is set"
    else:
        try:
            found = _find(download_dataset(name, connect_seconds=_CONNECT_SECONDS).parent, name)
            return _read(name, *found, f"python -m bnnsim.download {name}")
        except OSError as error:
            reason = f"the download failed ({error})"
    places = ", ".join(map(str, (shipped.data_folder(), *_SYSTEM_FOLDERS, cache_folder(name))))
    story = f"no copy of {name} in {places}, and {reason}"
    remedy = (f"run python -m bnnsim.download {name} where there is a network, or put the official files "
              "into a folder and pass folder= or set BNNSIM_DATA")
    if name != "fashion":
        raise FileNotFoundError(f"{story}; {remedy}")
    warnings.warn(f"{story}: using the embedded subset of 10,000 training and 2,000 test images, whose "
                  f"accuracies are not those of the full set. For the full set {remedy}; "
                  "load_dataset('fashion-subset') asks for the subset and does not warn",
                  EmbeddedSubsetWarning, stacklevel=3)
    return load_embedded()
