"""`pack`: a trained model as a packed network that predicts what the model does, on every image."""

from dataclasses import replace

from bnnsim.packed.layer import PackedLayer, largest_preactivation
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.thresholds import fold_thresholds
from bnnsim.training.layers import Conv2d, Dense, Flatten, InputConv2d, InputDense, MaxPool2d
from bnnsim.training.layers.batchnorm import BatchNormSign
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.model import Sequential


def pack(model, metadata=None):
    """The packed network of a trained model: it predicts what the model does, on every image.

    Parameters
    ----------
    model : Sequential
    metadata : dict of str to str, optional
        Stored with the network.

    Returns
    -------
    PackedNetwork
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"model must be a Sequential, as bnnsim.architectures makes them, got {type(model).__name__}")
    packed, layer = [], None
    offset = getattr(model.layers[0], "offset", 0)
    for part in model.layers:
        if isinstance(part, Weighted):
            layer = _packed_weights(part)
        elif isinstance(part, MaxPool2d):
            layer = replace(layer, pool=layer.pool * part.size)     # windows of windows: exact, remainders too
        elif isinstance(part, BatchNormSign):
            bound = largest_preactivation(layer, not packed, offset)
            theta, inverted = fold_thresholds(*part.affine(), bound)
            packed.append(replace(layer, threshold=theta, inverted=inverted))
        elif not isinstance(part, Flatten):
            mean, scale, shift = part.affine()
            packed.append(replace(layer, mean=mean, scale=scale, shift=shift))
    return PackedNetwork(packed, model.input_shape, offset, metadata)


def _packed_weights(part):
    if isinstance(part, (Dense, InputDense)):
        return PackedLayer("dense", part.n_features, part.words.copy())
    if isinstance(part, (Conv2d, InputConv2d)):
        return PackedLayer("conv", part.in_channels, part.words.copy(), part.stride, part.padding, part.pad_value)
    raise TypeError(f"cannot pack a layer of type {type(part).__name__}")
