"""`unpack`: a packed network as a model again, to be trained on: fine-tuned, hardened against faults, taught new data.

A packed network holds less than the model that it came from; what it cannot give back is put in its place here, so that
the model computes what the network does.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bnnsim.checks import check_images, check_real, check_split
from bnnsim.kernels import recycling
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.layer import PackedLayer, largest_preactivation
from bnnsim.packed.network import PackedNetwork
from bnnsim.training.estimators import Estimator
from bnnsim.training.layers import (BatchNorm, BatchNormSign, Conv2d, Dense, Flatten, InputConv2d, InputDense, Layer,
                                    Logits, MaxPool2d, SumPositions)
from bnnsim.training.layers.batchnorm import Norm
from bnnsim.training.model import Sequential

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages


def unpack(network: PackedNetwork, split: "LabelledImages", latent: float = 0.1,
           ste: str | Estimator = "clipped") -> Sequential:
    """A model that computes what a packed network does, to be trained on by `fit`.

    Its bits, thresholds and hidden activations are the network's on every image; its scores are up to rounding in
    float64, which can decide between two that were equal. What a packed network has lost is made up: latent weights, of
    which it has the signs alone, are all +-`latent`, so none is nearer to a flip than another; batch norm has gamma +-1
    (hidden layers), with statistics taken from `split` and the beta that puts the threshold in its place; and the
    optimizer begins anew.

    Parameters
    ----------
    network : PackedNetwork
        Its last layer gives scores, not signs.
    split : Split
        Training images, for batch norm's statistics. Training on images that differ moves the thresholds with them.
    latent : float, in (0, 1]
        Size of all latent weights. Adam moves one by about its learning rate a step: at 1e-3 a weight of 0.1 flips
        after some 100 steps that agree.
    ste : "clipped", "identity", "approx", "swish", or an Estimator

    Returns
    -------
    Sequential

    Examples
    --------
    >>> import bnnsim
    >>> train, _ = bnnsim.load_embedded()
    >>> network = bnnsim.load_network("fashion_fcnn")
    >>> model = bnnsim.unpack(network, train[:200])
    >>> model.accuracy(train[:200]) == network.accuracy(train[:200])
    True
    """
    if not isinstance(network, PackedNetwork) or isinstance(network, PackedGraph):
        hint = "; train on the Graph that it was packed from" if isinstance(network, PackedGraph) else ""
        raise TypeError(f"network must be a PackedNetwork of layers in a row, got {type(network).__name__}{hint}")
    if network.layers[-1].threshold is not None:
        raise ValueError("network must give scores: the last layer of this one gives signs, which have no gradient")
    check_images(check_split(split).images, network.input_shape)
    check_real("latent", latent, 0, 1, open_low=True)
    layers: list[Layer] = []
    shape: tuple[int, ...] = network.input_shape
    for i, stored in enumerate(network.layers):
        block = _block(stored, i == 0, network, shape)
        for layer in block:
            shape = layer.output_shape(shape)
        layers += [*block, _norm(stored, ste)]
    model = Sequential(layers, network.input_shape)
    for weighted, stored in zip(model.weighted, network.layers):
        weight = weighted.parameters["weight"]
        weight[...] = np.float32(latent) * stored.signs().reshape(weight.shape)
        weighted.refresh()
    _place_norms(model, network.layers, network.input_offset, split.images)
    model.metadata = {"unpacked_from": network.checksum}
    return model


def _block(stored: PackedLayer, first: bool, network: PackedNetwork, shape: tuple[int, ...]) -> list[Layer]:
    """The layers up to the batch norm, with any weights."""
    any_weights, units = np.random.default_rng(0), stored.units
    if stored.kind == "dense":
        if first:
            return [InputDense(shape, units, network.input_offset, any_weights)]
        return [*([Flatten(shape[2])] if len(shape) == 3 else []), Dense(stored.n_in, units, any_weights)]
    sizes = stored.n_in * stored.groups, units, stored.words.shape[1:3], stored.stride, stored.padding
    conv = InputConv2d(*sizes, dilation=stored.dilation, groups=stored.groups, offset=network.input_offset,
                       generator=any_weights) if first else \
        Conv2d(*sizes, dilation=stored.dilation, groups=stored.groups, generator=any_weights)
    conv.pad_value, conv.replicate = stored.pad_value, stored.replicate
    if stored.threshold is None:
        return [conv, SumPositions()]
    pool = [MaxPool2d(stored.pool, stored.pool_stride or stored.pool, stored.pool_padding)] if stored.pools else []
    return [conv, *pool]


def _norm(stored: PackedLayer, ste: str | Estimator) -> Layer:
    """What makes bits or scores of the sums: at first with the network's thresholds, and with any statistics."""
    if stored.threshold is None:
        mean, scale, shift = stored.output_affine
        plain = not mean.any() and not shift.any() and bool((scale == 1).all())
        return Logits(stored.units) if plain else BatchNorm(stored.units)
    norm, (theta, inverted) = BatchNormSign(stored.units, ste=ste), stored.comparison
    norm.parameters["gamma"][inverted] = -1
    norm.running["mean"] = theta - 0.5
    return norm


def _place_norms(model: Sequential, stored: Sequence[PackedLayer], offset: int, images: np.ndarray) -> None:
    """Statistics of these images for each batch norm, and the gamma and beta with which it does what it did."""
    norms = [layer for layer in model.layers if isinstance(layer, Norm) and layer.parameters]
    sums = {id(norm): np.zeros((2, norm.units), np.int64) for norm in norms}
    n_rows = dict.fromkeys(sums, 0)
    with recycling():
        for start in range(0, len(images), model.evaluation_batch):
            x = images[start:start + model.evaluation_batch]
            for layer in model.layers:
                if isinstance(layer, Norm) and id(layer) in sums:
                    rows = x.reshape(-1, x.shape[-1])
                    sums[id(layer)] += _powers(layer, rows)
                    n_rows[id(layer)] += len(rows)
                if layer is not model.layers[-1]:
                    x = layer.forward(x)
    for i, (norm, packed) in enumerate(zip(norms, stored)):
        mean, square = sums[id(norm)] / n_rows[id(norm)]
        norm.running["variance"] = np.maximum(square - mean * mean, norm.eps)
        deviation = np.sqrt(norm.running["variance"] + norm.eps)
        if packed.threshold is None:
            middle, scale, shift = packed.output_affine
            norm.parameters["gamma"] = gamma = (scale * deviation).astype(np.float32)
            norm.parameters["beta"] = beta = (shift + (mean - middle) * scale).astype(np.float32)
            safe = np.where(scale == 0, 1.0, scale)         # what was rounded to float32 goes into the statistics
            norm.running["mean"] = np.where(scale == 0, mean, middle + (beta - shift) / safe)
            exact = np.maximum(np.square(gamma / safe) - norm.eps, 0.0)
            norm.running["variance"] = np.where(gamma == 0, norm.running["variance"], exact)
        else:
            bound = largest_preactivation(packed, i == 0, offset)
            middle = np.clip(packed.comparison[0].astype(np.int64), -bound, bound + 1) - 0.5
            slope = norm.parameters["gamma"] / deviation
            norm.parameters["beta"] = ((mean - middle) * slope).astype(np.float32)
            norm.running["mean"] = middle + norm.parameters["beta"] / slope     # what beta was rounded by, in float64


def _powers(norm: Norm, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of rows (R, U) int32 and of their squares, exact."""
    about, (sums, squares) = rows[0].astype(np.int64), norm.sums_of(rows)
    return sums + len(rows) * about, squares + about * (2 * sums + len(rows) * about)
