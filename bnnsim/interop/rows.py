"""What became of a file's layers: the lines of the table that `read_network` has beside the network."""

from dataclasses import dataclass

import numpy as np

from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.operations import Operation


@dataclass(frozen=True)
class Row:
    """What became of a layer: a line of the table; `turned` are units whose weights have the opposite sign here.

    layer : its number; of a graph its node's
    is_operation : whether it is a graph's, on float32
    """

    layer: int
    kind: str
    shape: tuple[int, ...]
    sources: tuple[str, ...]
    folded: tuple[str, ...]
    turned: tuple[int, ...] = ()
    is_operation: bool = False


def bias_row(index: int, bias: np.ndarray, sources: tuple[str, ...]) -> Row:
    """Of a bias that is stored: a layer of bits by itself."""
    level = abs(int(bias[0]))
    return Row(index, "bias", bias.shape, sources, ("stored" if level == 1 else f"stored, as {level} levels",))


def node_row(index: int, what: PackedLayer | Operation, sources: tuple[str, ...], folded: tuple[str, ...] = (),
             turned: tuple[int, ...] = ()) -> Row:
    """Of a node of a graph."""
    if isinstance(what, Operation):
        shape = next((getattr(what, name).shape for name in what.arrays), ())
        return Row(index, what.word, shape, sources, folded, turned, True)
    return Row(index, f"{what.kind} of bits", _shape(what), sources, folded, turned)


def rows_of(network: PackedNetwork) -> list[Row]:
    """Of a network that bnnsim stored: its layers, or nodes, by the names that they have in its files."""
    if isinstance(network, PackedGraph):
        return [node_row(i, node.what, (f"node{i}",)) for i, node in enumerate(network.nodes)]
    return [Row(i, layer.kind, _shape(layer), (f"layer{i}",), ()) for i, layer in enumerate(network.layers)]


def _shape(layer: PackedLayer) -> tuple[int, ...]:
    return layer.units, *layer.words.shape[1:-1], layer.n_in
