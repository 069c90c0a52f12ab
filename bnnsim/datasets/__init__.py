"""Images and labels: found on disk or fetched, checked, given as a `Split`.

Knows no network. Anything may import it but kernels, files and statistics.

To add a data set: one entry in `bnnsim.datasets.catalogue.CATALOGUE` (its files, how they are read, its classes, what
`train` builds for it, where it is fetched from); a reader in `readers`, where its format is a new one; small synthetic
files of that format in tests/small_files.py. Every command, and configuration files, know its name then.

Data of your own
----------------
``load_dataset(path)``, and every command with ``--dataset PATH``, takes

* a .npz file: ``images`` and ``labels``, or ``x`` and ``y``; or both halves, ``train_images``, ``train_labels``,
  ``test_images``, ``test_labels`` (or ``x_train`` and so on). ``val`` parts are left out; object arrays are refused.
  Images are uint8; features floats (N, L), or signals (N, C, L) of C channels that are short beside L (4 C <= L).
  ``class_names`` may name integer labels.
* a .csv of features, or a folder of ``train.csv`` and ``test.csv``: UTF-8, commas, decimal points, a header, in which
  one column is called label, class, target or y; the others are finite numbers. A network keeps the names of its
  columns: later tables must have the same, in any order.
* an IDX file of grey images, ``...images-idx3-ubyte`` or ``.gz``, whose labels stand beside it,
  ``...labels-idx1-ubyte``; where its name has ``train-``, those with ``t10k-`` or ``test-`` there are the test half.
* a folder with a folder of pictures a class, or with ``train`` and ``test``, each with a folder a class (``val`` is
  left out): .png and .jpg, 8 bits, all grey or all RGB. They are turned upright as the camera says. Pictures of
  several sizes need ``size=`` (``--size``). Alpha, palettes, 16 bits, animations, links, other files, empty classes and
  pictures of more than 64 million pixels are refused, by name; hidden files are left out.

The rules are the same for all:

* Integer labels are numbers of classes, from 0 on; others are names, and the classes are the sorted names. 256 at most.
  A class that a file names must have examples.
* Data in one part are divided: a fifth of each class, always the same, is the test half.
* Images of 1 or 3 channels are (N, H, W) or (N, C, H, W); others are asked about (``order=``, ``--order``).
* Features become pixels by a `FeatureCode` that is fitted on the training half alone (``bins=``, ``--bins``).
* A network keeps how its data were read (`Reading`, in its metadata): names and numbers of classes, code, order. All
  commands read what they are given in the same way; in Python ``load_dataset(path, like=network.metadata)`` does. It
  keeps the name of its data, too, but no command opens a path that a network's file names: it asks for ``--dataset``.
* 1 GiB at most, checked before anything is read; compressed data at most 32 MiB, or six times the file.
"""

from bnnsim.datasets.features import FeatureCode
from bnnsim.datasets.find import EmbeddedSubsetWarning, load_dataset, load_embedded
from bnnsim.datasets.reading import Reading
from bnnsim.datasets.shipped import data_file
from bnnsim.datasets.split import LabelledImages, Split

__all__ = ["EmbeddedSubsetWarning", "FeatureCode", "LabelledImages", "Reading", "Split", "data_file", "load_dataset",
           "load_embedded"]
