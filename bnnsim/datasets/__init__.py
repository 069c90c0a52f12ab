"""Images and labels: found on disk or fetched, checked, given as a `Split`.

Knows no network. Anything may import it but kernels, files and statistics.

To add a data set: one entry in `bnnsim.datasets.catalogue.CATALOGUE` (its files, how they are read, its classes, what
`train` builds for it, where it is fetched from); a reader in `readers`, where its format is a new one; small synthetic
files of that format in tests/small_files.py. Every command, and configuration files, know its name then.
"""

from bnnsim.datasets.find import EmbeddedSubsetWarning, load_dataset, load_embedded
from bnnsim.datasets.shipped import data_file
from bnnsim.datasets.split import LabelledImages, Split

__all__ = ["EmbeddedSubsetWarning", "LabelledImages", "Split", "data_file", "load_dataset", "load_embedded"]
