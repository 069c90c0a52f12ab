"""Layers and their wires, the nodes of a graph, and what they must satisfy for it to be trained, and packed then."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bnnsim.training.layers.batchnorm import BatchNorm, BatchNormSign, Logits
from bnnsim.training.layers.layer import Layer
from bnnsim.training.layers.pool import MaxPool2d, SumPositions
from bnnsim.training.layers.real import RealLayer
from bnnsim.training.layers.weighted import Weighted


IMAGES = -1                     # what stands for the images among the inputs of a layer


class Wired(NamedTuple):
    """A layer, and the numbers of the layers that it reads; -1 is the images."""

    layer: Layer
    inputs: tuple[int, ...]


class Wiring:
    """Nodes of a `Graph`, one after the other.

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> layers, wiring, rng = bnnsim.layers, bnnsim.Wiring(), np.random.default_rng(0)
    >>> stem = wiring.add(layers.InputConv2d(1, 16, offset=0, generator=rng), layers.BatchNormReal(16))
    >>> branch = wiring.add(layers.Sign(16), layers.Conv2d(16, 16, generator=rng), layers.BatchNormReal(16))
    >>> wiring.add(layers.Add(), inputs=(stem, branch))
    5
    >>> wiring.add(layers.GlobalAverage(), layers.RealDense(16, 10, generator=rng))
    7
    >>> bnnsim.Graph(wiring.nodes, (1, 28, 28)).n_classes
    10
    """

    def __init__(self) -> None:
        self.nodes: list[Wired] = []

    def add(self, *layers: Layer, inputs: int | tuple[int, ...] | None = None) -> int:
        """Layers in a row, the first of which reads `inputs`, or what was added last, or the images.

        Returns
        -------
        int
            The number of the last of them: what others take as inputs.
        """
        at = (len(self.nodes) - 1,) if inputs is None else as_inputs(inputs)
        for layer in layers:
            self.nodes.append(Wired(layer, at))
            at = (len(self.nodes) - 1,)
        return at[0]


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
