"""What a memory stores of a network, integer thresholds, and exact inference on packed bits.

Imports kernels and files; knows neither training nor that memory fails. `network` is the whole, `layer` one layer,
`forward` what the kernels read, `stages` pre-activations, `clean_pass` what many broken copies share, `network_file`
the HDF5 file, `from_arrays` other people's weights.

To add a kind of layer: what it reads, sums up and stores in `layer`, how kernels run it in `forward`, its fields and
limits in `schema`, and a naive loop in tests/naive_network.py to compare with.
"""

from bnnsim.packed.bits import PackedBits
from bnnsim.packed.clean_pass import CleanPass
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.network_file import checksum, load_network, save_network

__all__ = ["CleanPass", "PackedBits", "PackedLayer", "PackedNetwork", "checksum", "load_network", "save_network"]
