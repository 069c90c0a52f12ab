"""Images and labels that belong together: what functions take, and `Split`, which holds them in memory."""

import hashlib
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

import bnnsim.seeding as seeding
from bnnsim.checks import check_images, check_int, check_labels, check_unmasked


class LabelledImages(Protocol):
    """What every function that takes a split reads of it: a `Split`, or an object of your own that has these.

    They are read, never written; arrays may be memory maps.
    """

    @property
    def images(self) -> np.ndarray:
        """Pixels 0..255, uint8 (N, C, H, W)."""

    @property
    def labels(self) -> np.ndarray:
        """Classes from 0 on, integers (N,)."""

    @property
    def name(self) -> str:
        """What it is, such as "fashion-test": results are recorded under it, and classes named by it."""

    @property
    def sha256(self) -> str:
        """64 hexadecimal digits that change with the content: a resumed run or campaign must find the same."""

    def __len__(self) -> int:
        """The number of images, N."""


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """Images and their labels: one half, or any part, of a data set.

    Parameters
    ----------
    images : uint8 (N, C, H, W)
        Pixels 0..255; kept, not copied.
    labels : integers (N,)
        In 0..n_classes - 1; kept as uint8.
    name : str
        What it is, such as ``"fashion-test"``.
    n_classes : int
    origin : str
        Where it came from: a folder, or ``"embedded subset"``.

    Raises
    ------
    TypeError, ValueError
        If the arrays do not fit each other or this description.

    Examples
    --------
    >>> import numpy as np
    >>> split = Split(np.zeros((4, 1, 2, 2), np.uint8), [0, 1, 2, 1], "tiny")
    >>> len(split), split[:2].labels, split.take([3]).name
    (4, array([0, 1], dtype=uint8), 'tiny[1 of 4]')
    """

    images: np.ndarray
    labels: np.ndarray
    name: str
    n_classes: int = 10
    origin: str = ""

    def __post_init__(self) -> None:
        for field in ("name", "origin"):
            if not isinstance(getattr(self, field), str):
                raise TypeError(f"{field} must be a string, got {type(getattr(self, field)).__name__}")
        images = check_images(self.images)
        _check_order(images.shape)
        n_classes = check_int("n_classes", self.n_classes, 1, 256)
        object.__setattr__(self, "n_classes", n_classes)
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", check_labels(self.labels, len(images), n_classes))

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.images.shape[1:]))
        return (f"<Split {self.name}: {len(self)} images of {size}, {self.n_classes} classes, from "
                f"{self.origin or 'memory'}>")

    def __getitem__(self, part: slice) -> "Split":
        """A slice of the split, sharing its memory."""
        if not isinstance(part, slice):
            raise TypeError(f"a Split takes a slice, such as split[:1000], got {type(part).__name__}; use "
                            "split.take(indices), split.images and split.labels for the rest")
        start, stop, step = ("" if n is None else n for n in (part.start, part.stop, part.step))
        name = f"{self.name}[{start}:{stop}{':' if step else ''}{step}]"
        return replace(self, images=self.images[part], labels=self.labels[part], name=name)

    def take(self, indices: npt.ArrayLike) -> "Split":
        """The images at these indices, in this order, as a new split.

        Parameters
        ----------
        indices : integers (M,)
            In 0..N - 1; repeats are allowed.

        Returns
        -------
        split : Split
        """
        check_unmasked("indices", indices)
        indices = np.asarray(indices)
        if indices.size == 0:
            indices = indices.astype(np.intp)
        if indices.dtype.kind not in "iu" or indices.ndim != 1:
            raise TypeError(f"indices must be a 1-D array of integers, got {indices.ndim}-D of dtype "
                            f"{indices.dtype}; for a mask pass np.flatnonzero(mask)")
        if indices.size and not 0 <= indices.min() <= indices.max() < len(self):
            raise ValueError(f"indices must be in 0..{len(self) - 1}, got {indices.min()}..{indices.max()}")
        name = f"{self.name}[{len(indices)} of {len(self)}]"
        return replace(self, images=self.images[indices], labels=self.labels[indices], name=name)

    @property
    def sha256(self) -> str:
        """SHA-256 of the images' shape, the images and the labels, computed at each call."""
        digest = hashlib.sha256(np.array(self.images.shape, "<u8").tobytes())
        digest.update(self.images)
        digest.update(self.labels)
        return digest.hexdigest()


def _check_order(shape: tuple[int, ...]) -> None:
    """No N, H, W, C order, as far as a shape shows it: grey or colours in the last axis, none where they should be."""
    if shape[3] in (1, 3) and min(shape[1:3]) > 4:
        raise ValueError(f"images must be in N, C, H, W order, got shape {shape}, which looks like N, H, W, C; pass "
                         f"images.transpose(0, 3, 1, 2). (Images of {shape[1]} channels and {shape[3]} columns "
                         "need an object of your own in place of a Split: see LabelledImages)")


def hold_out(train: Split, n_images: int, seed: int) -> tuple[Split, Split | None]:
    """(training part, validation part): `n_images` drawn without replacement, or (train, None) for 0."""
    if check_int("holdout", n_images, 0, len(train) - 1) == 0:
        return train, None
    order = seeding.generator(seed, "holdout").permutation(len(train))
    return train.take(np.sort(order[n_images:])), train.take(np.sort(order[:n_images]))
