"""After training: the same weights with other thresholds, for the bit error rate at which they will be used.

Flips at a rate q multiply the mean of a pre-activation by 1 - 2q: thresholds that were right at the rate of training
stand too far out at a higher one. Both functions return something new and leave what they are given as it was; what
they return packs to a network that predicts what the model does, on every image.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from bnnsim.checks import check_images, check_int, check_real, check_split
from bnnsim.packed.blocks import check_packed
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.layer import PackedLayer, largest_preactivation
from bnnsim.packed.network import PackedNetwork
from bnnsim.seeding import RandomSource, child_root, generator, root_seed
from bnnsim.training.layers.batchnorm import Norm
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.model import Graph, Sequential
from bnnsim.training.plug_ins import as_text, check_plug_in
from bnnsim.training.reading import reader

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages
    from bnnsim.faults.protocol import Fault

Network = TypeVar("Network", Sequential, PackedNetwork)
Model = TypeVar("Model", bound=Graph)
Rates = float | Sequence[float]


def rescale_thresholds(network: Network, trained_at: Rates, target: Rates) -> Network:
    """Thresholds s * (1 - 2 target) / (1 - 2 trained_at), for use at another BER [D, docs/equations.rst 9.2].

    Parameters
    ----------
    network : Sequential or PackedNetwork
        Of a model, the running mean and beta of every batch norm are scaled, so s is, exactly; those behind the output
        scale scores by the same factor, for all classes alike where the rates of the last layer are one number. A
        packed network has lost the fraction of s: the middle of the unit interval that its integer threshold stands for
        is scaled, and the result may be one off that of the model. Outputs that are constant stay constant.
    trained_at, target : float, or one float a layer with weights
        Symmetric bit error rates, from 0 to below 0.5: where the batch-norm statistics were taken, and of use.

    Returns
    -------
    Sequential or PackedNetwork
        A new one.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.load_network("fashion_fcnn")
    >>> wanted = bnnsim.rescale_thresholds(network, 0.0, 0.1)
    >>> int(network.layers[1].threshold[1]), int(wanted.layers[1].threshold[1])
    (36, 29)
    """
    if isinstance(network, Sequential):
        model = _rescaled_model(network, _factors(trained_at, target, len(network.weighted)))
        model.metadata["rescaled_for"] = _text(target)
        return model
    if isinstance(network, PackedNetwork) and not isinstance(network, PackedGraph):
        check_packed(network)
        factors = _factors(trained_at, target, len(network.layers))
        layers = [_rescaled_layer(layer, factor, i == 0, network.input_offset)
                  for i, (layer, factor) in enumerate(zip(network.layers, factors))]
        return PackedNetwork(layers, network.input_shape, network.input_offset,
                             network.metadata | {"rescaled_for": _text(target)})
    hint = ", a graph, in which sums are read by more than thresholds: reestimate_batch_norm(model, split, faults) " \
        "takes a Graph" if isinstance(network, Graph | PackedGraph) else ""
    raise TypeError(f"network must be a Sequential or a PackedNetwork, got {type(network).__name__}{hint}")


def _factors(trained_at: Rates, target: Rates, n_layers: int) -> np.ndarray:
    """(1 - 2 target) / (1 - 2 trained_at) of each layer."""
    rates = []
    for name, rate in (("trained_at", trained_at), ("target", target)):
        values = np.atleast_1d(rate).tolist() * (n_layers if np.ndim(rate) == 0 else 1)
        if len(values) != n_layers:
            raise ValueError(f"{name} must be one rate or {n_layers}, one for each layer with weights, got "
                             f"{len(values)}")
        for value in values:
            if not 0 <= check_real(name, value) < 0.5:
                raise ValueError(f"{name} must be a bit error rate from 0 to below 0.5, where nothing is left of a "
                                 f"weight, got {value}")
        rates.append(np.array(values, np.float64))
    return (1 - 2 * rates[1]) / (1 - 2 * rates[0])


def _text(rates: Rates) -> str:
    return ",".join(map(str, np.atleast_1d(rates).tolist()))


def _rescaled_model(model: Sequential, factors: np.ndarray) -> Sequential:
    model, index = copy.deepcopy(model), -1
    for layer in model.layers:
        index += isinstance(layer, Weighted)
        if isinstance(layer, Norm):
            layer.running["mean"] *= factors[index]
            layer.parameters["beta"] *= np.float32(factors[index])
    return model


def _rescaled_layer(layer: PackedLayer, factor: float, first: bool, offset: int) -> PackedLayer:
    if layer.threshold is None:
        mean, scale, shift = layer.output_affine
        return replace(layer, mean=mean * factor, scale=scale, shift=shift * factor)
    bound, theta = largest_preactivation(layer, first, offset), layer.threshold.astype(np.int64)
    moved = np.ceil((theta - 0.5) * factor).astype(np.int64)
    moved = np.where((theta <= -bound) | (theta > bound), theta, np.clip(moved, -bound, bound + 1))
    return replace(layer, threshold=moved.astype(np.int32))


def reestimate_batch_norm(model: Model, split: "LabelledImages", faults: "Fault | None" = None,
                          rng: RandomSource = None, batch_size: int = 256) -> Model:
    """Batch-norm statistics taken anew, with the bit errors of use in the forward pass.

    Running mean and variance become the averages over the split's batches of each batch's mean and unbiased variance,
    as training's are moving averages of them; gamma, beta and weights stay. Faults are drawn anew for each batch, as in
    training: the statistics are those of all chips, not of one. Layers read what the layers before them give on batch
    statistics.

    Parameters
    ----------
    model : Sequential or Graph
    split : Split
        Training images, never the test set. They are shuffled; a smaller last batch counts by its images.
    faults : fault, optional
        Such as ``bnnsim.faults.BitFlips(0.1)``; without, the statistics of sound weights.
    rng : None, int, SeedSequence or Generator
    batch_size : int

    Returns
    -------
    Sequential or Graph
        A new one.

    Examples
    --------
    >>> import bnnsim
    >>> train, _ = bnnsim.load_embedded()
    >>> model = bnnsim.architectures.build("FC16 FC10", (1, 28, 28), rng=0)
    >>> adapted = bnnsim.reestimate_batch_norm(model, train[:500], bnnsim.faults.BitFlips(0.1), rng=0)
    """
    if not isinstance(model, Graph):
        raise TypeError("model must be a Sequential or a Graph (a packed network has no batch norm any more: give the "
                        f"model, and pack the result), got {type(model).__name__}")
    check_images(check_split(split).images, model.input_shape)
    if faults is not None:
        check_plug_in("faults", faults, ("apply",), "bnnsim.faults.BitFlips(0.01)")
    batch_size, root, model = check_int("batch_size", batch_size, 2), root_seed(rng), copy.deepcopy(model)
    norms = [layer for layer in model.layers if isinstance(layer, Norm)]
    former = [norm.momentum for norm in norms]
    order, seen = generator(root, "re-estimation order").permutation(len(split.images)), 0
    edges = [*range(0, len(order), batch_size), len(order)]
    if model.needs_batches and edges[-1] - edges[-2] == 1:      # of one image batch norm knows no variance
        check_int("the number of images, for a model with batch norm behind a dense layer,", len(order), 2)
        del edges[-2]
    for batch, (start, stop) in enumerate(zip(edges, edges[1:])):
        chosen = np.sort(order[start:stop])
        seen += len(chosen)
        for norm in norms:
            norm.momentum = len(chosen) / seen                  # the running average is that of all batches so far
        model.forward_train(split.images[chosen], None if faults is None else reader(
            model, faults, child_root(root, "re-estimation faults"), batch))
    for norm, momentum in zip(norms, former):
        norm.momentum = momentum
    model.metadata["reestimated_at"] = "no errors" if faults is None else as_text(faults)
    return model
