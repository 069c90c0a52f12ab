"""Images and labels: found on disk or fetched, checked, given as a `Split`.

Knows no network. Anything may import it but kernels, files and statistics.

To add a data set: a `Layout` in `readers.LAYOUTS` (its files, how they are read, its classes), its official addresses
and SHA-256 sums in `sources.SOURCES`, and small synthetic files of its format in the tests. Every command takes it
then by name.
"""

from bnnsim.datasets.find import EmbeddedSubsetWarning, load_dataset, load_embedded
from bnnsim.datasets.shipped import data_file
from bnnsim.datasets.split import Split

__all__ = ["EmbeddedSubsetWarning", "Split", "data_file", "load_dataset", "load_embedded"]
