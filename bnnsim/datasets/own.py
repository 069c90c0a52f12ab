"""Data sets of one's own, by path: which reader takes it, and how what it gives becomes two splits.

The rules that a user meets stand in `bnnsim.datasets`; to add a format: a reader of a path that gives a `raw.Raw`, and
a line in `_read`.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bnnsim.checks import FilePath, check_choice, check_labels
from bnnsim.datasets.catalogue import CATALOGUE
from bnnsim.datasets.feature_tables import read_tables
from bnnsim.datasets.features import FeatureCode
from bnnsim.datasets.npz_files import read_npz
from bnnsim.datasets.picture_folders import read_pictures
from bnnsim.datasets.raw import Part, Raw, regular_file
from bnnsim.datasets.readers import read_idx
from bnnsim.datasets.reading import Reading, numbered
from bnnsim.datasets.split import Split, held_places, in_nchw

TEST_SHARE = 0.2                            # of data in one part, of each class
LONG = 4                                    # floats (N, C, L) are signals where L is so many times C, else no data
ENDINGS = (".npz", ".csv")
WHAT = ("an .npz file, a .csv of features, an IDX file of images (...images-idx3-ubyte), or a folder: of train.csv and "
        "test.csv, or of a folder of pictures a class")


def is_path(name: object) -> bool:
    """Whether this is the path of data, not the name of a known data set."""
    return isinstance(name, os.PathLike) or isinstance(name, str) and (
        os.sep in name or "/" in name or name.lower().endswith(ENDINGS) or os.path.exists(name))


def check_dataset(name: str, value: object) -> str:
    """The name of a known data set, where a path would have done as well."""
    try:
        return check_choice(name, value, CATALOGUE)
    except ValueError as error:
        raise ValueError(f"{error}; or the path of data of your own, and no file or folder is called that") from None


def load_own(path: FilePath, asked: Reading, bins: int | None = None, like: Mapping[str, str] | None = None,
             ) -> tuple[Split, Split]:
    """Training and test split of data of one's own: see `load_dataset`."""
    where = Path(path).expanduser()
    if not where.exists():
        raise FileNotFoundError(f"the data set must be {WHAT}, got {path}, which is not there")
    before = Reading() if like is None else Reading.of_metadata(like)
    if like is not None and bins is not None:
        raise ValueError("bins must be left out with like: the network has its code from its training")
    raw = _read(where, asked.size, before)
    asked = replace(asked, order=asked.order or before.order, class_names=before.class_names, code=before.code,
                    columns=before.columns)
    name = f"folder {where.resolve().name}" if where.is_dir() else where.name
    try:
        splits = _splits(raw, asked, bins, like is not None)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {error}") from error
    train, test = (replace(split, name=f"{name}-{half}", origin=str(where.parent))
                   for split, half in zip(splits, ("train", "test"), strict=True))
    return train, test


def _read(path: Path, size: tuple[int, int] | None, before: Reading) -> Raw:
    """What the file holds; a size may be asked for, or come from the training of a network, as columns do."""
    tables = [path / "train.csv", path / "test.csv"]
    is_tables = all(table.is_file() for table in tables)
    if path.is_dir() and not is_tables:
        return read_pictures(path, size or before.size)
    if size is not None:
        raise ValueError(f"{path}: size is for folders of pictures, got {size[0]} x {size[1]}: leave it out")
    if "images-idx3-ubyte" in path.name:
        return _read_idx(path)
    if is_tables or path.suffix.lower() == ".csv":
        return read_tables(tables if is_tables else [path], before.columns)
    if path.suffix.lower() == ".npz":
        return read_npz(path)
    raise ValueError(f"{path}: the data set must be {WHAT}, got another file")


def _read_idx(images: Path) -> Raw:
    """IDX files of images and labels, of any number of classes; of both halves, where they stand side by side."""
    train = _idx_part(images)
    if train is None:
        raise FileNotFoundError(f"{images}: wanted its labels beside it, {_labels_of(images).name}, got none")
    names = {images.name.replace("train-", other) for other in ("test-", "t10k-")} - {images.name}
    tests = [part for name in sorted(names) if (part := _idx_part(images.with_name(name))) is not None]
    if len(tests) > 1:
        raise ValueError(f"{images}: wanted one test half beside it, got test- and t10k-: move one away")
    return Raw(train, tests[0] if tests else None, order="NHW")


def _labels_of(images: Path) -> Path:
    return images.with_name(images.name.replace("images-idx3-ubyte", "labels-idx1-ubyte"))


def _idx_part(images: Path) -> Part | None:
    """Images and their labels, each as it is or with .gz, None where one is absent."""
    found = []
    for n_dims, path in ((3, images), (1, _labels_of(images))):
        plain = path.with_name(path.name.removesuffix(".gz"))
        there = next(filter(Path.is_file, (path, plain, plain.with_name(f"{plain.name}.gz"))), None)
        if there is None:
            return None
        regular_file(there)
        found.append(read_idx(there, n_dims))
    return Part(*found)


def _splits(raw: Raw, asked: Reading, bins: int | None, is_like: bool) -> list[Split]:
    """Both halves as splits; the classes and the code are those asked for, else the training half's."""
    labels, names = numbered(raw.train.labels, asked.class_names, raw.class_names)
    if raw.test is None:
        held = held_places(check_labels(labels, len(raw.train.data), len(names)), TEST_SHARE, 0)
        halves = [(raw.train.data[part], labels[part]) for part in (~held, held)]
    else:
        halves = [(raw.train.data, labels),
                  (raw.test.data, numbered(raw.test.labels, names, raw.class_names)[0])]
    if not asked.class_names:
        _check_classes(halves[0][1], raw.class_names)
    code = _code([data for data, _ in halves], asked.code, bins, is_like)
    if halves[0][0].shape[1:] != halves[1][0].shape[1:]:
        raise ValueError(f"both halves must be of one size, got {halves[0][0].shape} to train on and "
                         f"{halves[1][0].shape} to test on")
    kept = Reading(names, raw.size, asked.order, code, raw.columns or asked.columns)
    return [Split(in_nchw(data, raw.order or asked.order) if code is None else code.encode(data), found, "", len(names),
                  reading=kept) for data, found in halves]


def _code(halves: Sequence[np.ndarray], code: FeatureCode | None, bins: int | None, is_like: bool,
          ) -> FeatureCode | None:
    """The code of features, fitted on the training half where there is none yet; None of images."""
    is_table = [_is_table(data) for data in halves]
    if is_table[0] != is_table[1]:
        raise ValueError("both halves must be images, or both features, got one of each")
    if not is_table[0]:
        if bins is not None or code is not None:
            raise ValueError("bins is for features, but these are images: leave it out" if code is None else
                             "the network was trained on features, but these are images: choose another data set")
        return None
    if code is None and is_like:
        raise ValueError("the network tells no code of features, so how it takes these numbers is not known: "
                         "encode them yourself (bnnsim.datasets.FeatureCode) and save the images, or train it on them")
    return FeatureCode.fit(halves[0], bins) if code is None else code


def _check_classes(labels: np.ndarray, class_names: Sequence[str]) -> None:
    """No class that the file names, but has no examples to be learnt from."""
    empty = [name for c, name in enumerate(class_names) if not (labels == c).any()]
    if empty:
        raise ValueError(f"every class must have examples to train on, got none of {', '.join(empty[:5])}: leave such "
                         "classes out")


def _is_table(data: np.ndarray) -> bool:
    """Features (N, L) or signals (N, C, L), told from images by the axes; rows of pixels are asked about."""
    if data.ndim == 2 and data.dtype == np.uint8:
        raise ValueError(f"images must be saved as (N, H, W) or (N, C, H, W), got rows {data.shape} of uint8: reshape "
                         "them; features are saved as floats")
    return data.ndim == 2 or (data.ndim == 3 and data.dtype.kind == "f" and LONG * data.shape[1] <= data.shape[2])
