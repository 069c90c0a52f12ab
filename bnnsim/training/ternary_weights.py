"""A model of binary weights as one of ternary weights, each held by a pair of devices."""

import copy
from collections.abc import Sequence

from bnnsim.checks import check_int, check_sequence
from bnnsim.training.layers.conv import Conv2d, InputConv2d
from bnnsim.training.layers.dense import Dense, InputDense
from bnnsim.training.layers.layer import Layer
from bnnsim.training.layers.pool import Flatten
from bnnsim.training.layers.ternary import InputTwice, Ternary, Twice
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.model import Graph
from bnnsim.training.wires import IMAGES, Wiring


def with_ternary_weights(model: Graph, dead_zone: float = 0.7, layers: Sequence[int] | None = None) -> Graph:
    """A model with `bnnsim.layers.Ternary` in place of its binary layers, and `Twice` before each.

    Parameters
    ----------
    model : Sequential or Graph
        It stays as it is; latent weights and all else are copied, so both can be trained from the same beginning.
    dead_zone : float >= 0
        In means of the size of a layer's latent weights: see `bnnsim.layers.Ternary`.
    layers : sequence of int, optional
        Which of the layers of bits, as faults number them; default all.

    Returns
    -------
    Graph
        Two bits of the memory a ternary weight: the first is 1 where the first device of the pair is in LRS, the
        second where the second is in HRS.

    Raises
    ------
    TypeError, ValueError
        Where a layer of bits has no ternary form, or what follows it none in a graph.

    Examples
    --------
    >>> import bnnsim
    >>> binary = bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0)
    >>> ternary = with_ternary_weights(binary)
    >>> bnnsim.pack(binary).n_bits, bnnsim.pack(ternary).n_bits
    (4736, 9472)
    """
    if not isinstance(model, Graph):
        raise TypeError(f"model must be a Sequential or a Graph, got {type(model).__name__}")
    weighted = [i for i, layer in enumerate(model.layers) if isinstance(layer, Weighted)]
    if layers is not None:
        weighted = [weighted[check_int("layers", i, 0, len(weighted) - 1)] for i in check_sequence(
            "layers", layers, "numbers of layers of bits, such as [0, 1], or None for all")]
    flattened = {model.inputs[i][0] for i in weighted} & {i for i, layer in enumerate(model.layers)
                                                          if isinstance(layer, Flatten)}
    wiring, made = Wiring(), {IMAGES: IMAGES}
    for i, layer in enumerate(model.layers):
        if i in flattened and all(at in weighted for at, read in enumerate(model.inputs) if i in read):
            continue                                            # done with what reads it
        layer, inputs = copy.deepcopy(layer), model.inputs[i]
        row: list[Layer] = [layer]
        if i in weighted and isinstance(layer, Weighted):
            row = [*_twice(layer, model.layers[inputs[0]] if inputs[0] in flattened else None),
                   Ternary(layer, dead_zone)]
            inputs = model.inputs[inputs[0]] if inputs[0] in flattened else inputs
        made[i] = wiring.add(*row, inputs=tuple(made[at] for at in inputs))
    return Graph(wiring.nodes, model.input_shape)


def _twice(layer: Weighted, flatten: Layer | None) -> list[Layer]:
    """What a ternary layer in this one's place reads: of a map that is flattened, each channel twice, and that flat."""
    if isinstance(flatten, Flatten):
        return [Twice(flatten.n_channels), Flatten(2 * flatten.n_channels)]
    if isinstance(layer, InputDense):
        return [InputTwice(layer.input_shape[0])]
    if isinstance(layer, InputConv2d):
        return [InputTwice(layer.in_channels)]
    if isinstance(layer, Conv2d):
        return [Twice(layer.in_channels)]
    return [Twice(layer.n_features if isinstance(layer, Dense) else layer.n_in)]
