"""Names of classes, for tables and legends."""

from bnnsim.datasets.catalogue import CATALOGUE, dataset_of
from bnnsim.datasets.split import LabelledImages


def of_split(name: str, n_classes: int) -> tuple[str, ...]:
    """Names of the classes of a split by its name, such as "fashion-subset-test[:300]"; else "class 0" and so on.

    Examples
    --------
    >>> of_split("cifar10-test", 10)[3], of_split("mnist-test", 10)[3]
    ('cat', 'class 3')
    """
    known = dataset_of(name)
    names = CATALOGUE[known].class_names if known else ()
    return names if len(names) == n_classes else tuple(f"class {c}" for c in range(n_classes))


def of(split: LabelledImages, n_classes: int) -> tuple[str, ...]:
    """Names of the classes of a split: those that data of one's own came with, else as `of_split`."""
    reading = getattr(split, "reading", None)
    own = reading.class_names if reading is not None else ()
    return own if len(own) == n_classes else of_split(split.name, n_classes)
