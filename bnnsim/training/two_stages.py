"""Two-stage training: first real weights between binary activations, then binary weights that begin as their signs.

    first = with_real_weights(model)
    fit(first, train, epochs=50, rng=0)
    take_real_weights(model, first)
    fit(model, train, epochs=50, rng=1)

Martinez et al. 2020, Real-to-Binary, arXiv:2003.11535 [M]; Liu et al. 2020, ReActNet, arXiv:2003.03488 [C: the folders
"step1" and "step2" of the authors' code].
"""

import copy

from bnnsim.training.layers.conv import Conv2d
from bnnsim.training.layers.latent_conv import LatentConv2d
from bnnsim.training.model import Graph
from bnnsim.training.wires import Wired


def with_real_weights(model: Graph) -> Graph:
    """The model of the first stage: each `Conv2d` uses its latent weights as they are, activations are bits.

    Parameters
    ----------
    model : Graph
        What reads its convolutions' sums takes reals too: BatchNormReal or AsReals, no BatchNormSign. It stays as it
        is.

    Returns
    -------
    Graph
        A new one; it has no packed form.

    Raises
    ------
    TypeError, ValueError
        Where there is no `Conv2d`, or what follows one takes no reals: the message names the layer.

    Examples
    --------
    >>> import bnnsim
    >>> model = bnnsim.architectures.reactnet_small(rng=0, width=8)
    >>> first = with_real_weights(model)
    >>> len(model.weighted), len(first.weighted)
    (13, 0)
    """
    if not any(isinstance(layer, Conv2d) for layer in _checked(model).layers):
        raise TypeError("model must have a Conv2d, whose weights the first stage uses as they are, and has none")
    layers = [LatentConv2d(layer) if isinstance(layer, Conv2d) else copy.deepcopy(layer) for layer in model.layers]
    return Graph([Wired(layer, inputs) for layer, inputs in zip(layers, model.inputs)], model.input_shape)


def take_real_weights(model: Graph, first: Graph) -> None:
    """Give a model what its first stage has learnt: latent weights, and all else that training changes.

    Parameters
    ----------
    model : Graph
        Of the second stage; changed in place.
    first : Graph
        What `with_real_weights` made of it, trained.
    """
    _checked(model)
    wanted, found = model.arrays(), _checked(first).arrays()
    latent = {f"{i}.kernel": f"{i}.weight" for i, layer in enumerate(first.layers) if isinstance(layer, LatentConv2d)}
    found = {latent.get(name, name): value for name, value in found.items()}
    if {name: value.shape for name, value in found.items()} != {name: value.shape for name, value in wanted.items()}:
        raise ValueError("first must be what with_real_weights(model) gave: its arrays are others than the model's")
    model.load_arrays(found)


def _checked(model: Graph) -> Graph:
    if not isinstance(model, Graph):
        raise TypeError(f"model must be a Graph, got {type(model).__name__}")
    return model
