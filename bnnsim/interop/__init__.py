"""Other people's networks, read without their frameworks.

    load_network(path, spec)                      a PackedNetwork of whatever file
    read_network(path, spec)                      the same, with a table of what became of what
    binary_images(images, level)                  images for a network that reads +-1
    compare_sums(network, images, sums)           the first layer whose sums differ: why is my accuracy 10 %?

Imports packed, files and the words of specs (training.architectures); only commands import it. Each format has a reader
that executes nothing and allocates nothing before sizes are checked against the file: `arrays_files`, `torch_files`
(with `pickle_data`), `hdf5_classic` and `keras`, `protobuf` and `onnx_chain`, `finn`. They give arrays by name, which
`spec` puts in order, or `steps`; `chain` folds steps into layers.

To add a format: a function of a path that returns arrays by name, or a `steps.Network`, its line in `formats`, and in
tests/interop a writer of its own, a reference, and a row of the mutated files.
"""

from bnnsim.interop.comparison import SumsDiffer, compare_sums
from bnnsim.interop.input_codes import binary_images
from bnnsim.interop.load import Imported, load_network, read_network

__all__ = ["Imported", "SumsDiffer", "binary_images", "compare_sums", "load_network", "read_network"]
