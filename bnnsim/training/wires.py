"""What layers and their wires must satisfy for a graph to be trained, and packed then: said before it is trained."""

from collections.abc import Sequence

import numpy as np

from bnnsim.training.layers.batchnorm import BatchNorm, BatchNormSign, Logits
from bnnsim.training.layers.layer import Layer
from bnnsim.training.layers.pool import MaxPool2d, SumPositions
from bnnsim.training.layers.real import RealLayer
from bnnsim.training.layers.weighted import Weighted


def check_nodes(nodes: Sequence[tuple[Layer, tuple[int, ...]]]) -> None:
    """(layer, inputs) each, as many inputs as the layer reads; no layer twice that training changes."""
    if not isinstance(nodes, (list, tuple)):
        raise TypeError(f"nodes must be a list of Wired, as Wiring().nodes is, got {type(nodes).__name__}")
    places: dict[int, int] = {}
    for i, node in enumerate(nodes):
        if not isinstance(node, tuple) or len(node) != 2 or not hasattr(node[0], "takes"):
            raise TypeError(f"nodes[{i}] must be a Wired of a layer and what it reads, got {node!r:.100}")
        layer, inputs = node
        name = f"layers[{i}], {type(layer).__name__},"
        if not isinstance(inputs, (list, tuple)):
            raise TypeError(f"inputs of {name} must be a tuple of layers' numbers, got {inputs!r:.100}")
        if not isinstance(layer, RealLayer) and len(inputs) != 1:
            raise ValueError(f"{name} reads one other layer, or the images, got {len(inputs)} inputs")
        if (layer.parameters or layer.running) and places.setdefault(id(layer), i) != i:
            raise ValueError(f"{name} is layers[{places[id(layer)]}] too: a layer with parameters stands in one place, "
                             "make another")


def check_packable(layers: Sequence[Layer], inputs: Sequence[tuple[int, ...]], n_readers: Sequence[int]) -> None:
    """What folds into a layer of bits in `pack` must be all that reads its sums."""
    for i, layer in enumerate(layers):
        name = f"layers[{i}], {type(layer).__name__},"
        if isinstance(layer, SumPositions):
            raise ValueError(f"{name} has no packed form in a graph: take BatchNormReal and GlobalAverage")
        if not isinstance(layer, BatchNormSign | BatchNorm | Logits):
            continue
        at, = inputs[i]
        while isinstance(layers[at], MaxPool2d) and n_readers[at] == 1:
            at, = inputs[at]
        if not isinstance(layers[at], Weighted) or n_readers[at] != 1:
            instead = "BatchNormReal and Sign" if isinstance(layer, BatchNormSign) else "BatchNormReal"
            raise ValueError(f"{name} folds into binary weights whose sums it alone reads, but layers[{at}], "
                             f"{type(layers[at]).__name__}, is read by {n_readers[at]}: take {instead}")


def as_inputs(inputs: int | Sequence[int]) -> tuple[int, ...]:
    """One number, or several, as a tuple."""
    return (int(inputs),) if isinstance(inputs, int | np.integer) else tuple(inputs)
