"""Labelled images: `load_dataset` finds, reads and checks them.

Folders are searched in this order: the one given (or the environment variable BNNSIM_DATA), which must have the files;
the library's data/; the system's; the user's cache; then the official address is tried. Fashion-MNIST alone has a last
resort, a subset that comes with the library, and whoever gets it is told so.
"""

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

import bnnsim.datasets.shipped as shipped
from bnnsim.checks import FilePath, check_bool
from bnnsim.datasets.catalogue import CATALOGUE, Layout
from bnnsim.datasets.downloading import cache_folder, download_dataset, downloadable
from bnnsim.datasets.own import check_dataset, is_path, load_own
from bnnsim.datasets.readers import idx_sha256
from bnnsim.datasets.reading import Reading
from bnnsim.datasets.split import Split

_SYSTEM_FOLDERS = (Path("/usr/share/datasets"),         # Debian's dataset-fashion-mnist
                   Path("/usr/local/share/datasets"))
_CONNECT_SECONDS = 5.0


class EmbeddedSubsetWarning(UserWarning):
    """The full Fashion-MNIST was asked for, and the embedded subset of it came."""


def load_dataset(name: FilePath, folder: FilePath | None = None, download: bool = True, *,
                 size: tuple[int, int] | None = None, bins: int | None = None, order: str | None = None,
                 like: Mapping[str, str] | None = None) -> tuple[Split, Split]:
    """Find, read and check a data set.

    Parameters
    ----------
    name : {"fashion", "mnist", "cifar10", "fashion-subset"}, or a path
        Fashion-MNIST and MNIST are 1 x 28 x 28, CIFAR-10 is 3 x 32 x 32, ten classes each; "fashion-subset"
        is the part of Fashion-MNIST that comes with the library (see `load_embedded`). A path is data of your own:
        help(bnnsim.datasets) has the rules.
    folder : str or os.PathLike, optional
        Where the official files are, compressed or not: in it, in ``folder/name`` or in a folder with the
        official name. Default: the environment variable BNNSIM_DATA; without it, the library's data/, the
        system's folders (/usr/share/datasets) and the user's cache are searched.
    download : bool
        Download to the user's cache what was found nowhere. BNNSIM_OFFLINE=1 in the environment forbids it.
    size : (H, W), optional
        Of a folder of pictures: what they are resized to.
    bins : int, optional
        Of features: pixels a number, of a thermometer code; None: one pixel of 256 levels. See `FeatureCode`.
    order : "NCHW", "NHWC" or "NHW", optional
        Of image arrays in a file: their axes. See `Split.from_arrays`.
    like : dict, optional
        ``network.metadata`` of a network that was trained on such data, for the same classes, code, size and order.

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
    if is_path(name) and name not in CATALOGUE:
        if folder is not None:
            raise ValueError(f"folder must be left out where the data set is a path, got {name} and {folder}")
        return load_own(name, Reading(size=size, order=order), bins, like)
    name = check_dataset("name", name)
    if (size, bins, order) != (None, None, None):
        raise ValueError(f"size, bins and order are for data of your own, by their path; leave them out for {name!r}")
    check_bool("download", download)
    if CATALOGUE[name].embedded:
        if folder is not None:
            raise ValueError(f"folder must be left out for {name!r}, which comes with the library: name the data set "
                             "that is in it")
        return _embedded(name)
    given = folder if folder is not None else os.environ.get("BNNSIM_DATA") or None
    if given is not None:
        return _load_from(given, name, "folder" if folder is not None else "BNNSIM_DATA")
    for where in (shipped.data_folder(), *_SYSTEM_FOLDERS, cache_folder(name).parent):
        found = _find(where, name)
        if found:
            return _read(name, *found, _download_command(name))
    return _load_from_network(name, download)


def load_embedded() -> tuple[Split, Split]:
    """Load the subset of Fashion-MNIST that comes with the library.

    10,000 training and 2,000 test images, taken from the official halves, as many of each class.

    Returns
    -------
    train, test : Split
    """
    return _embedded("fashion-subset")


def _embedded(name: str) -> tuple[Split, Split]:
    folder = shipped.data_folder()
    layout = CATALOGUE[name].layouts[0]
    files = _whole(layout.find(folder))
    if files is None:
        raise FileNotFoundError(f"the embedded subset is not in {folder}: reinstall bnnsim")
    train, test = _read(name, layout, files, "reinstall bnnsim")
    return replace(train, origin="embedded subset"), replace(test, origin="embedded subset")


def _whole(files: dict[str, Path | None]) -> dict[str, Path] | None:
    """The paths of a copy's files, None where one is absent."""
    found = {name: path for name, path in files.items() if path is not None}
    return found if len(found) == len(files) else None


def _candidates(folder: Path, name: str) -> Iterator[tuple[Layout, Path]]:
    """The folders that one copy may be in, the one named after the data set first."""
    for layout in CATALOGUE[name].layouts:
        for base in (folder / name, folder):
            for where in (base, *(base / sub for sub in layout.folders)):
                yield layout, where


def _find(folder: Path, name: str) -> tuple[Layout, dict[str, Path]] | None:
    """The first complete copy in or under a folder: (layout, paths of its files), or None."""
    for layout, where in _candidates(folder, name):
        files = _whole(layout.find(where))
        if files is not None:
            return layout, files
    return None


def _download_command(name: str, folder: Path | None = None) -> str:
    """What a user can type to get the files; without an official address, what else to do."""
    if name not in downloadable():
        return "put whole files in its place"
    return f"run python -m bnnsim.download {name}" + (f" --folder {folder}" if folder else "")


def _load_from(folder: FilePath, name: str, what: str) -> tuple[Split, Split]:
    """Load from a folder that the user named: a copy that is not there is an error."""
    if not isinstance(folder, (str, os.PathLike)):
        raise TypeError(f"folder must be a path, got {type(folder).__name__}")
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{what} must be a folder that has the files of {name}, got {folder}, which "
                                f"is {'not a folder' if folder.exists() else 'not there'}")
    found = _find(folder, name)
    if not found:
        remedy = f", or {_download_command(name, folder)}" if name in downloadable() else ""
        raise FileNotFoundError(f"{what} {folder} has no complete copy of {name}: {_looked_for(folder, name)}"
                                f". Put the files there{remedy}")
    return _read(name, *found, _download_command(name, folder))


def _looked_for(folder: Path, name: str) -> str:
    """What was looked for, and which files of an incomplete copy are absent."""
    lines = []
    for layout in CATALOGUE[name].layouts:
        folders = [where for other, where in _candidates(folder, name) if other is layout]
        files = ", ".join(layout.train + layout.test)
        lines.append(f"looked for {files} in {', '.join(map(str, folders))}")
        for where in folders:
            absent = [file for file, path in layout.find(where).items() if path is None]
            if len(absent) < len(layout.train + layout.test):
                lines.append(f"{where} lacks {', '.join(absent)}")
    return "; ".join(lines)


def _read(name: str, layout: Layout, files: dict[str, Path], remedy: str) -> tuple[Split, Split]:
    """Both splits of a copy; an error says what to do about it."""
    known, where = CATALOGUE[name], str(next(iter(files.values())).parent)
    try:
        halves = [layout.read([files[file] for file in half], known.image_shape, known.n_classes)
                  for half in (layout.train, layout.test)]
    except ValueError as error:
        raise ValueError(f"{error}; move the file away and {remedy}" if name in downloadable() else
                         f"{error}; {remedy}") from error
    _check_not_another(name, layout, halves[1][1], where)
    train, test = (Split(images, labels, f"{name}-{half}", known.n_classes, where)
                   for (images, labels), half in zip(halves, ("train", "test"), strict=True))
    return train, test


def _check_not_another(name: str, layout: Layout, labels: np.ndarray, where: str) -> None:
    """MNIST's and Fashion-MNIST's files have the same names: tell such sets apart by the test labels."""
    for other, source in downloadable().items():
        official = source.sha256.get(layout.test[-1])
        if other != name and official is not None and idx_sha256(labels) == official:
            raise ValueError(f"{where}: wanted the files of {name}, got those of {other}, which have the "
                             f"same names; move them to a folder named {other}")


def _load_from_network(name: str, download: bool) -> tuple[Split, Split]:
    """Download, or say why not; a data set with a stand-in falls back on it, with a warning."""
    if name not in downloadable():
        reason = "it has no official address"
    elif not download or os.environ.get("BNNSIM_OFFLINE", "0") not in ("", "0"):
        reason = "download=False" if not download else "BNNSIM_OFFLINE is set"
    else:
        try:
            found = _find(download_dataset(name, connect_seconds=_CONNECT_SECONDS).parent, name)
            if found:
                return _read(name, *found, _download_command(name))
            reason = "what was downloaded is gone"
        except OSError as error:
            reason = f"the download failed ({error})"
    folders = ", ".join(map(str, (shipped.data_folder(), *_SYSTEM_FOLDERS, cache_folder(name))))
    story, stand_in = f"no copy of {name} in {folders}, and {reason}", CATALOGUE[name].stand_in
    remedy = "put the official files into a folder and name it by folder= (of a command --data) or BNNSIM_DATA"
    if name in downloadable():
        remedy = f"{_download_command(name)} where there is a network, or {remedy}"
    if not stand_in:
        raise FileNotFoundError(f"{story}; {remedy}")
    warnings.warn(f"{story}: using the embedded subset of 10,000 training and 2,000 test images, whose "
                  f"accuracies are not those of the full set. For the full set {remedy}; "
                  f"load_dataset({stand_in!r}) asks for the subset and does not warn",
                  EmbeddedSubsetWarning, stacklevel=3)
    return _embedded(stand_in)
