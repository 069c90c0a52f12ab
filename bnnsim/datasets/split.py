"""Images and labels that belong together: what functions take, and `Split`, which holds them in memory."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

import bnnsim.files.html_text as html_text
import bnnsim.seeding as seeding
from bnnsim.checks import check_choice, check_images, check_int, check_labels, check_real, check_unmasked
from bnnsim.datasets.features import FeatureCode
from bnnsim.datasets.reading import ORDERS, Reading, check_class_names, numbered


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
    reading : Reading, optional
        How data of your own were read; a network that is trained on the split keeps it in its metadata. See
        `from_arrays`, `from_features`, and `load_dataset` of a file.

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
    reading: Reading | None = None

    def __post_init__(self) -> None:
        for field in ("name", "origin"):
            if not isinstance(getattr(self, field), str):
                raise TypeError(f"{field} must be a string, got {type(getattr(self, field)).__name__}")
        if self.reading is not None and not isinstance(self.reading, Reading):
            raise TypeError(f"reading must be a Reading, got {type(self.reading).__name__}; from_arrays makes one")
        images = check_images(self.images)
        _check_order(images.shape)
        n_classes = check_int("n_classes", self.n_classes, 1, 256)
        object.__setattr__(self, "n_classes", n_classes)
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", check_labels(self.labels, len(images), n_classes))

    @classmethod
    def from_arrays(cls, images: np.ndarray, labels: npt.ArrayLike, name: str = "mine", *, order: str | None = None,
                    class_names: Sequence[str] = (), n_classes: int | None = None) -> "Split":
        """A split of arrays of your own.

        Parameters
        ----------
        images : uint8 (N, C, H, W), (N, H, W, C) or (N, H, W)
            Pixels 0..255.
        labels : integers or strings (N,)
            Integers are numbers of classes, from 0 on. Strings, also of dtype object as pandas has them, are names: the
            classes are `class_names`, or those that occur, sorted.
        name : str
        order : "NCHW", "NHWC" or "NHW", optional
            What the axes are. It may be left out for (N, H, W), and for 1 or 3 channels in second place alone.
        class_names : sequence of str, optional
            Of the training half, for the test half to have the same numbers: ``train.reading.class_names``.
        n_classes : int, optional
            Default: as many as there are names, or the highest label and 1.

        Returns
        -------
        split : Split

        Examples
        --------
        >>> split = Split.from_arrays(np.zeros((2, 8, 6, 3), np.uint8), ["dog", "cat"], order="NHWC")
        >>> split, split.labels
        (<Split mine: 2 images of 3 x 8 x 6, 2 classes, from memory>, array([1, 0], dtype=uint8))
        """
        pixels, labels = in_nchw(images, order), _as_labels(labels)
        if labels.dtype.kind == "U":
            labels, class_names = numbered(labels, class_names)
        names = check_class_names(class_names)
        return cls(pixels, labels, name, _count(labels, names, n_classes),
                   reading=Reading(names, order=order) if names or order else None)

    @classmethod
    def from_features(cls, features: npt.ArrayLike, labels: npt.ArrayLike, name: str = "mine", *,
                      bins: int | None = None, code: FeatureCode | None = None, class_names: Sequence[str] = (),
                      n_classes: int | None = None) -> "Split":
        """A split of a table's rows or of signals, whose numbers become pixels by a `FeatureCode`.

        The code is fitted on these features, which must be training data; or it is `code`, that of the training half:
        ``Split.from_features(x, y, code=train.reading.code)``. A network that is trained on the split keeps it.

        Parameters
        ----------
        features : numbers (N, L) or (N, C, L)
            A table, each column with a code of its own; or signals of C channels, each channel with a code of its own.
        labels, name, class_names, n_classes
            As in `from_arrays`.
        bins : int, optional
            Pixels a number of a thermometer code; None: one pixel of 256 levels.
        code : FeatureCode, optional

        Returns
        -------
        split : Split
            Of images (N, C, 1, L), or (N, C bins, 1, L).

        Examples
        --------
        >>> train = Split.from_features([[0.1, 7.0], [0.2, 9.0], [0.4, 8.0]], [0, 1, 1], bins=4)
        >>> Split.from_features([[0.3, 7.5]], [1], "later", code=train.reading.code)
        <Split later: 1 images of 4 x 1 x 2, 2 classes, from memory>
        """
        if bins is not None and code is not None:
            raise ValueError("give bins for training data, or code, that of the training data, for others; not both")
        code = FeatureCode.fit(features, bins) if code is None else code
        if not isinstance(code, FeatureCode):
            raise TypeError(f"code must be a FeatureCode, as train.reading.code, got {type(code).__name__}")
        made = cls.from_arrays(code.encode(features), labels, name, order="NCHW", class_names=class_names,
                               n_classes=n_classes)
        return replace(made, reading=replace(made.reading or Reading(), order=None, code=code))

    def hold_out(self, share: float, rng: seeding.RandomSource = None) -> "tuple[Split, Split]":
        """(the rest, what is held out): a share of each class, drawn without replacement; both in the order of now.

        Parameters
        ----------
        share : float
            In (0, 1). Of each class as many as are nearest to it, but at least one in each part; a class of one image
            stays in the rest.
        rng : None, int, SeedSequence or Generator

        Returns
        -------
        rest, held : Split
        """
        held = held_places(self.labels, share, rng)
        return self.take(np.flatnonzero(~held)), self.take(np.flatnonzero(held))

    def __len__(self) -> int:
        return len(self.labels)

    def _repr_html_(self) -> str:
        import bnnsim.datasets.class_names as class_names           # which imports this file

        names = class_names.of(self, self.n_classes)
        counts = np.bincount(self.labels, minlength=self.n_classes).tolist()
        return html_text.table(repr(self).strip("<>"), zip(names, counts), ("class", "images"))

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.images.shape[1:]))
        return (f"<Split {self.name}: {len(self)} images of {size}, {self.n_classes} classes, from "
                f"{self.origin or 'memory'}>")

    def __getitem__(self, part: slice) -> "Split":
        """A slice of the split, sharing its memory; of all images, the split itself."""
        if not isinstance(part, slice):
            raise TypeError(f"a Split takes a slice, such as split[:1000], got {type(part).__name__}; use "
                            "split.take(indices), split.images and split.labels for the rest")
        if part == slice(None):                                  # all of it is what it was, its name too
            return self
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
                         "images.transpose(0, 3, 1, 2), or use Split.from_arrays(..., order='NHWC'). (Images of "
                         f"{shape[1]} channels and {shape[3]} columns need an object of your own in place of a Split: "
                         "see LabelledImages)")


def held_places(labels: np.ndarray, share: float, rng: seeding.RandomSource = None) -> np.ndarray:
    """Which examples `Split.hold_out` takes out, bool (N,), by their labels."""
    if check_real("share", share, 0, 1, open_low=True) == 1:
        raise ValueError("share must be below 1, got 1: nothing would be left")
    draw, held = seeding.generator(seeding.root_seed(rng), "hold out"), np.zeros(len(labels), bool)
    for label in np.unique(labels):
        places = np.flatnonzero(labels == label)
        held[draw.permutation(places)[:min(max(1, round(share * len(places))), len(places) - 1)]] = True
    if not held.any():
        raise ValueError("there must be a class of 2 examples or more for a part to be held out, got "
                         f"{len(labels)} examples of {len(np.unique(labels))} classes")
    return held


def in_nchw(images: np.ndarray, order: str | None = None) -> np.ndarray:
    """Images whose axes are as `Split.from_arrays` takes them, uint8 (N, C, H, W)."""
    if order is not None:
        check_choice("order", order, ORDERS)
    shape = np.shape(images)
    if len(shape) not in (3, 4) or (order is not None and len(shape) != len(order)):
        raise ValueError(f"images must have axes {order or 'N, H, W or N, C, H, W or N, H, W, C'}, got shape {shape}")
    if len(shape) == 4 and order is None:
        first, last = shape[1] in (1, 3), shape[3] in (1, 3)
        if last and not first:
            raise ValueError(f"images of shape {shape} look like N, H, W, C: if they are, say order='NHWC' (--order "
                             "NHWC), else order='NCHW'")
        if last or not first:
            raise ValueError(f"images of shape {shape} may be N, C, H, W or N, H, W, C: say order='NCHW' or 'NHWC' "
                             "(--order NHWC)")
    if len(shape) == 4:
        return check_images(images.transpose(0, 3, 1, 2) if order == "NHWC" and isinstance(images, np.ndarray)
                            else images)
    return check_images(images[:, None] if isinstance(images, np.ndarray) else images)


def _as_labels(labels: npt.ArrayLike) -> np.ndarray:
    """Labels as an array, of dtype str where all are strings, as columns of pandas are objects."""
    check_unmasked("labels", labels)
    found = np.asarray(labels)
    if found.dtype != object:
        return found
    other = next((i for i, label in enumerate(found.flat) if not isinstance(label, str)), None)
    if other is not None:
        raise TypeError(f"labels must be integers or strings, got {found.flat[other]!r} at {other} of an array of "
                        "dtype object: leave out what has no label, and pass labels.astype(int) or labels.astype(str)")
    return found.astype(str)


def _count(labels: np.ndarray, names: Sequence[str], n_classes: int | None) -> int:
    """How many classes there are."""
    if n_classes is not None or names:
        if names and n_classes not in (None, len(names)):
            raise ValueError(f"n_classes must be {len(names)}, as there are as many names, got {n_classes}")
        return len(names) or check_int("n_classes", n_classes, 1, 256)
    if labels.dtype.kind not in "iu" or labels.size == 0:
        return 1                                        # the split says what is wrong with them
    return max(1, min(256, int(labels.max()) + 1))


def hold_out(train: Split, n_images: int, seed: int) -> tuple[Split, Split | None]:
    """(training part, validation part): `n_images` drawn without replacement, or (train, None) for 0."""
    if check_int("holdout", n_images, 0, len(train) - 1) == 0:
        return train, None
    order = seeding.generator(seed, "holdout").permutation(len(train))
    return train.take(np.sort(order[n_images:])), train.take(np.sort(order[:n_images]))
