"""Digital operations of graphs, by the word that files have for each: float32 work between the layers of bits.

`operation.Operation` says what one is asked. To add one: its class in the file of its kind, and its row here; its
kernel in bnnsim/kernels/real; what trains it in bnnsim/training/layers; a naive loop in tests/naive_graph.py.
"""

from bnnsim.packed.operations.channels import Affine, Clip, Pixels, PReLU, Sign
from bnnsim.packed.operations.joins import Add, Concatenate
from bnnsim.packed.operations.operation import Operation
from bnnsim.packed.operations.pairs import Twice
from bnnsim.packed.operations.pools import AveragePool, GlobalAverage, LargestPool
from bnnsim.packed.operations.weighted import RealConv, RealDense

OPERATIONS: dict[str, type[Operation]] = {kind.word: kind for kind in (
    Pixels, Affine, PReLU, Clip, Sign, Add, Concatenate, AveragePool, GlobalAverage, LargestPool, RealConv, RealDense,
    Twice)}

__all__ = ["Add", "Affine", "AveragePool", "Clip", "Concatenate", "GlobalAverage", "LargestPool", "OPERATIONS",
           "Operation", "PReLU", "Pixels", "RealConv", "RealDense", "Sign", "Twice"]
