"""Other people's networks, read and written without their frameworks.

    load_network(path, spec)                      a PackedNetwork of whatever file
    graph_from_arrays(nodes, input_shape)         a PackedGraph of arrays, wired as a list of nodes says
    read_network(path, spec)                      the same, with a table of what became of what
    binary_images(images, level)                  images for a network that reads +-1
    compare_sums(network, images, sums)           the first layer whose sums differ: why is my accuracy 10 %?
    export_network(network, path)                 a file for another program, by its name's ending
    read_cells(path, network)                     a chip tester's table: bits and faults by array, row, column

Imports packed, files, the words of specs (training.architectures), and faults where arrays are; only commands import
it. Each format has a reader that executes nothing and allocates nothing before sizes are checked against the file:
`arrays_files`, `torch_files` (with `pickle_data`), `hdf5_classic` and `keras`, `protobuf` and `onnx_chain`, `finn`.
They give arrays by name, which `spec` or a `layer_list` puts in order, or `steps`; `chain` folds steps into layers.
What has branches or real-valued parts becomes the parts of a `graph_parts.Sketch` (by `onnx_graph`, `keras_graph`,
`graph_arrays`), which `graph_lowering` folds into a `PackedGraph`.

To add a format: a function of a path that returns arrays by name, or a `steps.Network`, its line in `formats`, and in
tests/interop a writer of its own, a reference, and a row of the mutated files. To write one: a function of a network
that gives bytes, its line in `export`, and a test that reads them back.
"""

from bnnsim.interop.cell_tables import Cells, read_cells
from bnnsim.interop.comparison import SumsDiffer, compare_sums
from bnnsim.interop.export import export_network
from bnnsim.interop.graph_arrays import graph_from_arrays
from bnnsim.interop.input_codes import binary_images
from bnnsim.interop.load import Imported, load_network, read_network

__all__ = ["Cells", "Imported", "SumsDiffer", "binary_images", "compare_sums", "export_network", "graph_from_arrays",
           "load_network", "read_cells", "read_network"]
