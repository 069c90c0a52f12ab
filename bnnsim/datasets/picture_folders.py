"""Reader for folders of pictures: a folder a class, or `train` and `test` with a folder a class each.

Every header is looked at before the first picture is decoded: what is no plain picture is refused by its name, and how
much memory all will take is known. Pillow, which comes with matplotlib, is imported here alone.
"""

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bnnsim.datasets.raw import MAX_BYTES, Part, Raw
from bnnsim.datasets.reading import MAX_CLASSES

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = (".png", ".jpg", ".jpeg")
MAX_PICTURES = 1 << 20
MAX_PIXELS = 1 << 26                    # of one picture, decoded: 64 million
MAX_FILE_BYTES = 1 << 27                # of one picture's file
LEFT_OUT = ("val", "valid", "validation")
ORIENTATION, TURNED = 274, (5, 6, 7, 8)   # EXIF: how the camera was held; the values that swap rows and columns
PLAIN = "wanted a grey or RGB picture of 8 bits, without transparency"


def read_pictures(path: Path, size: tuple[int, int] | None = None) -> Raw:
    """Read a folder of pictures.

    Parameters
    ----------
    path : Path
    size : (H, W), optional
        What they are resized to, by Pillow's bilinear filter (which averages where it shrinks).

    Raises
    ------
    ValueError
        Naming the picture or folder, what was wanted, and what came.
    """
    names = [entry.name for entry in _entries(path)]
    if {"train", "test"} <= set(names) and any(entry.is_dir() for entry in _entries(path / "train")):
        others = [name for name in names if name not in ("train", "test", *LEFT_OUT)]
        if others:
            raise ValueError(f"{path}: wanted train and test alone ({', '.join(LEFT_OUT)} are left out), got "
                             f"{', '.join(others[:5])} too")
        halves = [_classes(path / half) for half in ("train", "test")]
    else:
        halves = [_classes(path)]
    shapes = [_looked_at(picture) for half in halves for picture, _ in half]
    pictures = [picture for half in halves for picture, _ in half]
    shape = _one_shape(pictures, shapes, size)
    n_bytes = len(pictures) * shape[0] * shape[1] * shape[2]
    if n_bytes > MAX_BYTES:
        raise ValueError(f"{path}: wanted at most {MAX_BYTES} bytes of pixels, got {len(pictures)} pictures of "
                         f"{' x '.join(map(str, shape))}, which take {n_bytes}: resize them (size=, --size)")
    parts = [Part(_decoded([picture for picture, _ in half], shape, size), np.array([label for _, label in half]))
             for half in halves]
    return Raw(parts[0], parts[1] if len(parts) == 2 else None, size=size, order="NCHW")


def _entries(folder: Path) -> list[os.DirEntry]:
    """What is in a folder but for hidden files, sorted; links are refused."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise ValueError(f"{entry.path}: wanted pictures and folders, got a link: put what it points to there")
            if not entry.name.startswith("."):
                found.append(entry)
            if len(found) > MAX_PICTURES:
                raise ValueError(f"{folder}: wanted at most {MAX_PICTURES} files, got more")
    return sorted(found, key=lambda entry: entry.name)


def _classes(folder: Path) -> list[tuple[str, str]]:
    """(path, name of the class) of every picture, classes and pictures sorted by name."""
    found, classes = [], _entries(folder)
    if not classes or len(classes) > MAX_CLASSES:
        raise ValueError(f"{folder}: wanted 1 to {MAX_CLASSES} folders, one a class, got {len(classes)}")
    for entry in classes:
        if not entry.is_dir():
            raise ValueError(f"{entry.path}: wanted folders alone, one a class, got a file beside them")
        pictures = _entries(Path(entry.path))
        if not pictures:
            raise ValueError(f"{entry.path}: wanted pictures of the class, got an empty folder: fill or move it")
        for picture in pictures:
            if not stat.S_ISREG(picture.stat().st_mode) or not picture.name.lower().endswith(ENDINGS):
                raise ValueError(f"{picture.path}: wanted pictures, {', '.join(ENDINGS)}, got "
                                 f"{'a folder' if picture.is_dir() else 'another file'}: move it away")
            if not 0 < picture.stat().st_size <= MAX_FILE_BYTES:
                raise ValueError(f"{picture.path}: wanted a picture of 1 to {MAX_FILE_BYTES} bytes, got "
                                 f"{picture.stat().st_size}")
            found.append((picture.path, entry.name))
    return found


@contextmanager
def _opened(path: str) -> "Iterator[Image]":
    """A picture of one of the two formats, whatever its name says; not decoded yet. Pillow's errors are ValueErrors."""
    from PIL import Image

    try:
        with warnings.catch_warnings(), open(path, "rb") as file:
            warnings.simplefilter("ignore")                 # large pictures, odd EXIF: judged here, by rules of our own
            with Image.open(file, formats=("PNG", "JPEG")) as picture:
                yield picture
    except _Refused:
        raise
    except Exception as error:                              # of its readers, whatever they raise on damaged bytes
        raise ValueError(f"{path}: wanted a whole PNG or JPEG picture, got a damaged one, or of another kind "
                         f"({str(error)[:200]})") from error


class _Refused(ValueError):
    """A picture that is whole, but not what is wanted."""


def _looked_at(path: str) -> tuple[int, int, int]:
    """(C, H, W) of a picture, by its header."""
    with _opened(path) as picture:
        came, (columns, rows) = _oddity(path, picture), picture.size
        if came:
            raise _Refused(f"{path}: {PLAIN}, got {came}: convert it")
        if columns * rows > MAX_PIXELS:
            raise _Refused(f"{path}: wanted a picture of at most {MAX_PIXELS} pixels, got {rows} x {columns}")
        if picture.getexif().get(ORIENTATION) in TURNED:
            columns, rows = rows, columns
        return 1 if picture.mode == "L" else 3, rows, columns


def _oddity(path: str, picture: "Image") -> str:
    """What about a picture is not plain, '' if nothing is."""
    if picture.format == "PNG":
        with open(path, "rb") as file:
            depth = file.read(25)[24]                       # in IHDR; Pillow makes 8 bits of 16 without a word
        if depth != 8:
            return f"one of {depth} bit{'s' * (depth > 1)}"
        if getattr(picture, "n_frames", 1) > 1:
            return "an animation"
    if picture.mode == "P":
        return "one with a palette"
    if picture.mode in ("LA", "RGBA", "PA") or "transparency" in picture.info:
        return "one with transparency (alpha)"
    return "" if picture.mode in ("L", "RGB") else f"one of mode {picture.mode}"


def _one_shape(paths: list[str], shapes: list[tuple[int, int, int]], size: tuple[int, int] | None,
               ) -> tuple[int, int, int]:
    """(C, H, W) that all pictures have, or will have."""
    for path, shape in zip(paths, shapes):
        if shape[0] != shapes[0][0]:
            raise ValueError(f"{path}: wanted pictures that are all grey or all in colour, got one with {shape[0]} "
                             f"channel{'s' * (shape[0] > 1)}, where {paths[0]} has {shapes[0][0]}: convert it")
        if size is None and shape != shapes[0]:
            raise ValueError(f"{path}: wanted pictures of one size, got {shape[1]} x {shape[2]}, where {paths[0]} has "
                             f"{shapes[0][1]} x {shapes[0][2]}: say what to resize them to, size=(rows, columns) or "
                             "--size ROWSxCOLUMNS")
    return shapes[0] if size is None else (shapes[0][0], *size)


def _decoded(paths: list[str], shape: tuple[int, int, int], size: tuple[int, int] | None) -> np.ndarray:
    """Pictures that were looked at, uint8 (N, C, H, W)."""
    from PIL import Image, ImageOps

    made = np.empty((len(paths), *shape), np.uint8)
    for i, path in enumerate(paths):
        with _opened(path) as picture:
            upright = ImageOps.exif_transpose(picture)
            if size is not None:
                upright = upright.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            pixels = np.asarray(upright)
            made[i] = pixels.transpose(2, 0, 1) if pixels.ndim == 3 else pixels[None]
    return made
