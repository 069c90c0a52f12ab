"""How large a graph is, node by node: what the memory stores, and float32 parameters and work outside of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bnnsim.packed.graph_schema import IMAGES, Node, Place
from bnnsim.packed.operations import Operation
from bnnsim.packed.sizes import FLOAT_BYTES, Sizes, cells_of, size_of_layer, text_of, totals

if TYPE_CHECKING:
    from bnnsim.faults.array_mapping import ArrayMapping


@dataclass(frozen=True)
class NodeSizes(Sizes):
    """Of a node of a graph, or of all: `name` is the kind of a layer of bits, or the word of an operation.

    node : int or None
        Its number; None of the total.
    layer : int or None
        Which layer of bits it is, as faults and sweeps number them.
    reads : tuple of int
        The nodes that it reads; -1 the images.
    real : int
        float32 parameters of an operation: no bits of the memory, but counted in `n_bytes`.
    real_macs : int
        float32 multiply-accumulates an image.
    """

    node: int | None = None
    layer: int | None = None
    reads: tuple[int, ...] = ()
    real: int = 0
    real_macs: int = 0

    @property
    def n_parameters(self) -> int:
        """Of all kinds."""
        return super().n_parameters + self.real

    @property
    def macs(self) -> int:
        """Multiply-accumulates an image, of all kinds."""
        return super().macs + self.real_macs

    def fields(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**super().fields(), "reads": list(self.reads)}


def sizes_of_graph(nodes: Sequence[Node], places: Sequence[Place], reads_bits: bool,
                   mapping: "ArrayMapping | None" = None) -> list[NodeSizes]:
    """Of each node, and of all behind them."""
    found = []
    for i, (node, place) in enumerate(zip(nodes, places)):
        if isinstance(node.what, Operation):
            shapes = [places[at].shape for at in node.inputs if at != IMAGES]
            real = node.what.n_parameters
            found.append(NodeSizes(node.what.word, place.shape, 0, 0, FLOAT_BYTES * real, 0, 0, 0, 0, 0, 0, node=i,
                                   reads=node.inputs, real=real, real_macs=node.what.macs(*shapes)))
        elif place.stage is not None:
            size = size_of_layer(place.stage, reads_bits, mapping)
            found.append(NodeSizes(**{**vars(size), "name": node.what.kind, "output": place.shape}, node=i,
                                   layer=place.stage.index, reads=node.inputs))
    return [*found, NodeSizes("total", (), **totals(found, mapping, "real", "real_macs"))]


def graph_table(sizes: Sequence[NodeSizes], mapping: "ArrayMapping | None" = None) -> str:
    """Text, a line each; what a node has none of stays empty."""
    rows = [["node", "layer", "reads", "real", "real MACs"]]
    rows += [[each.name if each.node is None else f"{each.node} {each.name}",
              "" if each.layer is None else f"{each.layer}",
              ", ".join("images" if at == IMAGES else f"{at}" for at in each.reads),
              f"{each.real:,}", f"{each.real_macs:,}"] for each in sizes]
    (_, *columns), *numbers = cells_of(sizes, mapping)
    cells = [[*rows[0][:3], columns[0], *columns[1:3], rows[0][3], *columns[3:], rows[0][4]]]
    for each, (name, layer, reads, real, macs), (_, output, *sized) in zip(sizes, rows[1:], numbers):
        counted = [*sized[:2], real, *(sized[2:] if each.n_bytes else [""] * len(sized[2:])), macs]
        cells.append([name, layer, reads, output, *("" if cell in ("0", "0.0 %") else cell for cell in counted)])
    return text_of(cells, left=4)
