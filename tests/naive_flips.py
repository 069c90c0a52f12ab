"""A packed network under many sets of flipped weights at once, obviously right: certificates by enumeration.

A network is a list of dicts of plain arrays, as `of_packed` reads them off; S sets of flips.
"""

import itertools

import naive
import naive_geometry as geometry
import numpy as np


def of_packed(network):
    """Layers with +-1 weights (U, F) or (K, kh, kw, C)."""
    layers = []
    for layer in network.layers:
        shape = (*layer.words.shape[:-1], layer.n_in)
        weight = naive.unpack(layer.words.reshape(-1, layer.words.shape[-1]), layer.n_in).reshape(shape)
        names = ("stride", "padding", "pad_value", "replicate", "dilation", "groups", "pool", "pool_stride",
                 "pool_padding", "threshold", "inverted", "mean", "scale", "shift")
        layers.append({"weight": weight, **{name: getattr(layer, name) for name in names}})
    return layers


def flipped(weight, sets):
    """Weights (S, *weight.shape) with the numbers in sets[s] negated."""
    out = np.repeat(weight.reshape(1, -1), len(sets), 0)
    for s, numbers in enumerate(sets):
        out[s, list(numbers)] *= -1
    return out.reshape(len(sets), *weight.shape)


def conv(layer, x, weight):
    """Pre-activations of x (1 or S, H, W, C) under weights (1 or S, K, kh, kw, n_in)."""
    wide = geometry.padded(x, layer["padding"], layer["pad_value"], layer["replicate"])
    rows, columns = (geometry.places(x.shape[1 + axis], weight.shape[2 + axis], layer["stride"][axis],
                                     layer["dilation"][axis], layer["padding"][axis], layer["padding"][2 + axis])
                     for axis in (0, 1))
    patches = np.stack([wide[:, row][:, :, column] for row in rows for column in columns], axis=1)
    n_in, found = weight.shape[4], []
    for group, own in enumerate(np.split(weight, layer["groups"], axis=1)):
        part = patches[..., group * n_in:(group + 1) * n_in].reshape(len(x), patches.shape[1], -1)
        found.append(part @ own.reshape(*own.shape[:2], -1).swapaxes(1, 2))
    h = np.concatenate(found, axis=2)
    return h.reshape(len(h), len(rows), len(columns), -1)


def classes(layers, image, offset, weights=None):
    """Classes (S,) of one image (C, H, W); weights: those of each layer, (1 or S, ...), its own where absent."""
    x = naive.pixels(image[None], offset)
    for i, layer in enumerate(layers):
        weight = (weights or {}).get(i, layer["weight"][None])
        if layer["weight"].ndim == 4:
            h = geometry.pool(conv(layer, x, weight), layer["pool"], layer["pool_stride"], layer["pool_padding"])
        else:
            h = (weight @ x.reshape(len(x), -1, 1))[..., 0]
        if layer["threshold"] is not None:
            x = naive.threshold_bits(h, layer["threshold"], layer["inverted"])
    return ((h - layer["mean"]) * layer["scale"] + layer["shift"]).argmax(1)


def smallest_break(layers, image, offset, i, most):
    """Size of the smallest set of flips in layer i that changes the class; most + 1 where none of up to `most` does."""
    clean, n_bits = classes(layers, image, offset)[0], layers[i]["weight"].size
    for size in range(1, min(most, n_bits) + 1):
        sets = list(itertools.combinations(range(n_bits), size))
        if (classes(layers, image, offset, {i: flipped(layers[i]["weight"], sets)}) != clean).any():
            return size
    return most + 1


def of_whole(layers, sets):
    """Weights by layer for sets of numbers that run over all weights of the network."""
    starts = np.cumsum([0, *(layer["weight"].size for layer in layers)])
    return {i: flipped(layer["weight"], [[number - starts[i] for number in one if starts[i] <= number < starts[i + 1]]
                                         for one in sets]) for i, layer in enumerate(layers)}
