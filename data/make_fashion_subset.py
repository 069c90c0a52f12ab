"""Make the embedded subset of Fashion-MNIST from the full set.

    python data/make_fashion_subset.py [TARGET_FOLDER]          (4 s; needs the full Fashion-MNIST)

Of each class, the training (test) images chosen are the 1,000 (200) of the official training (test) set with
the smallest SHA-256 of "bnnsim fashion subset 0 <set> <index>": a draw with a fixed seed that does not depend
on any library's generator. They keep their official order. The table printed is the one in README.rst.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

from bnnsim.datasets.catalogue import CATALOGUE
from bnnsim.datasets.downloading import downloadable
from bnnsim.datasets.find import load_dataset
from bnnsim.datasets.readers import idx_sha256, write_idx

SEED = 0
N_PER_CLASS = {"train": 1000, "test": 200}


def choose(labels: np.ndarray, half: str) -> np.ndarray:
    """The indices of the images to keep, ascending: as many of each class."""
    def rank(index: int) -> bytes:
        return hashlib.sha256(f"bnnsim fashion subset {SEED} {half} {index}".encode()).digest()

    members = [np.flatnonzero(labels == label).tolist() for label in range(10)]
    return np.sort(np.concatenate([sorted(indices, key=rank)[:N_PER_CLASS[half]] for indices in members]))


def main(target: Path) -> None:
    """Write the four files and print their sums."""
    official, subset = downloadable()["fashion"].sha256, CATALOGUE["fashion-subset"].layouts[0]
    full = load_dataset("fashion", download=False)
    for split, half, names in zip(full, N_PER_CLASS, (subset.train, subset.test), strict=True):
        for array, name in zip((split.images[:, 0], split.labels), names, strict=True):
            if idx_sha256(array) != official[name.removeprefix("fashion-subset-")]:
                sys.exit(f"{split.origin}: wanted the official Fashion-MNIST, got another source of {name}")
        part = split.take(choose(split.labels, half))
        for array, name in zip((part.images[:, 0], part.labels), names, strict=True):
            write_idx(target / name, array)
            print(f"{name}\n    file    {hashlib.sha256((target / name).read_bytes()).hexdigest()}\n"
                  f"    content {idx_sha256(array)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
