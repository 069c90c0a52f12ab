"""`pack`: a trained model as a packed network that predicts what the model does, on every image."""

from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.graph_schema import IMAGES, Node
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.operations import LargestPool, Operation
from bnnsim.packed.schema import check_metadata
from bnnsim.training.layers.batchnorm import BatchNorm, BatchNormSign, Logits
from bnnsim.training.layers.batchnorm_real import BatchNormReal
from bnnsim.training.layers.layer import Layer
from bnnsim.training.layers.pool import Flatten, MaxPool2d
from bnnsim.training.layers.real import RealLayer
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.model import Graph, Sequential


def pack(model: Graph, metadata: dict[str, str] | None = None) -> PackedNetwork:
    """The packed network of a trained model: it predicts what the model does, on every image.

    Parameters
    ----------
    model : Sequential or Graph
    metadata : dict of str to str, optional
        Stored with the network, beside what `fit` knows of the training (``model.metadata``: data set, seed, epochs,
        loss ...), and instead of it where both have a word.

    Returns
    -------
    PackedNetwork
        Of a Graph a `PackedGraph`.
    """
    if not isinstance(model, Graph):
        raise TypeError("model must be a Sequential or a Graph, as bnnsim.architectures makes them, got "
                        f"{type(model).__name__}")
    known = model.metadata | check_metadata(metadata or {})
    if not isinstance(model, Sequential):
        return PackedGraph(_Nodes(model).nodes, model.input_shape, model.input_offset, known)
    stored: list[PackedLayer] = []
    for layer in model.layers:
        layer.pack_into(stored, model.input_offset if len(stored) < 2 else None)
    return PackedNetwork(stored, model.input_shape, model.input_offset, known)


class _Nodes:
    """The nodes of a packed graph, made from a model's layers one after the other."""

    def __init__(self, model: Graph) -> None:
        self.model, self.nodes = model, list[Node]()
        self.made = {IMAGES: IMAGES}                             # of a layer: the node that gives what it gives
        for i, layer in enumerate(model.layers):
            if i in self.made:
                continue
            if isinstance(layer, Weighted):
                self._weighted(i, layer)
            elif isinstance(layer, Flatten):
                self.made[i] = self.made[model.inputs[i][0]]    # a dense layer of bits reads a map as it is
            else:
                self._add([i], Node(self._operation(i, layer), tuple(self.made[at] for at in model.inputs[i])))

    def _add(self, of: list[int], node: Node) -> None:
        self.nodes.append(node)
        self.made |= dict.fromkeys(of, len(self.nodes) - 1)

    def _operation(self, i: int, layer: Layer) -> Operation:
        if isinstance(layer, RealLayer | BatchNormReal):
            return layer.operation()
        if isinstance(layer, MaxPool2d):
            w = layer.windows
            return LargestPool(w[:2], w[2:4], w[4:])
        raise TypeError(f"layers[{i}], {type(layer).__name__}, has no packed form behind "
                        f"{', '.join(type(self.model.layers[at]).__name__ for at in self.model.inputs[i])}: it is "
                        "packed together with the layer of binary weights whose sums it alone reads")

    def _weighted(self, i: int, layer: Weighted) -> None:
        """Weights, and what folds into them: a max-pool and a sign, or scores."""
        model, (before,) = self.model, self.model.inputs[i]
        offset = model.input_offset if layer.takes == "pixels" else None
        stored: list[PackedLayer] = []
        layer.pack_into(stored, offset)
        chain, at = [i], i
        while model.n_readers[at] == 1 and at + 1 < len(model.layers):
            at = next(j for j in range(at + 1, len(model.layers)) if at in model.inputs[j])
            after = model.layers[at]
            if isinstance(after, MaxPool2d | BatchNormSign | BatchNorm | Logits):
                chain.append(at)
            if not isinstance(after, MaxPool2d):
                break
        ending = model.layers[chain[-1]]
        if not isinstance(ending, BatchNormSign | BatchNorm | Logits):
            chain = [i]                                          # its sums are read as they are
        for j in chain[1:]:
            model.layers[j].pack_into(stored, offset)
        self._add(chain, Node(stored[0], (self.made[before],)))
