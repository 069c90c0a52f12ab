"""What a memory stores of a network, integer thresholds, and exact inference on packed bits.

Imports kernels and files; knows neither training nor that memory fails. `network` is the whole, `layer` what is stored
of one layer, `stages` what a layer reads, sums up and gives at its place, `kinds` which kinds there are, `forward` what
kernels read of them, `blocks` images in bounded memory, `clean_pass` what many broken copies share, `memory` what a
fault needs to know, `network_file` the HDF5 file, `from_arrays` other people's weights, `biases` those that are bits.

To add a kind of layer: a class and its row in `kinds`, how it is laid out for its kernel in `forward`, that kernel in
bnnsim/kernels/forward, and a naive loop to compare with in tests/packed. No other file asks for a kind, but for whether
it is a stored bias, which has no weights: a metric asks the `Stage` (does it share weights between positions, which
values does a position sum up).
"""

from bnnsim.packed.bits import PackedBits
from bnnsim.packed.clean_pass import CleanPass
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.graph_schema import Node
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.memory import Memory, MemoryLike, StoredBits, StoredLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.network_file import checksum, load_network, save_network
from bnnsim.packed.stages import Stage

__all__ = ["CleanPass", "Memory", "MemoryLike", "Node", "PackedBits", "PackedGraph", "PackedLayer", "PackedNetwork",
           "Stage", "StoredBits", "StoredLayer", "checksum", "load_network", "save_network"]
