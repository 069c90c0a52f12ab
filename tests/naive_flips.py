"""A packed network under many sets of flipped weights at once, obviously right: certificates by enumeration.

A network is a list of dicts of plain arrays, as `of_packed` reads them off; S sets of flips.
"""

import itertools

import naive
import numpy as np


def of_packed(network):
    """Layers with +-1 weights (U, F) or (K, kh, kw, C)."""
    layers = []
    for layer in network.layers:
        shape = (*layer.words.shape[:-1], layer.n_in)
        weight = naive.unpack(layer.words.reshape(-1, layer.words.shape[-1]), layer.n_in).reshape(shape)
        names = ("stride", "padding", "pad_value", "pool", "threshold", "inverted", "mean", "scale", "shift")
        layers.append({"weight": weight, **{name: getattr(layer, name) for name in names}})
    return layers


def flipped(weight, sets):
    """Weights (S, *weight.shape) with the numbers in sets[s] negated."""
    out = np.repeat(weight.reshape(1, -1), len(sets), 0)
    for s, numbers in enumerate(sets):
        out[s, list(numbers)] *= -1
    return out.reshape(len(sets), *weight.shape)


def classes(layers, image, offset, weights=None):
    """Classes (S,) of one image (C, H, W); weights: those of each layer, (1 or S, ...), its own where absent."""
    x = naive.pixels(image[None], offset)
    for i, layer in enumerate(layers):
        weight = (weights or {}).get(i, layer["weight"][None])
        if layer["weight"].ndim == 4:
            patches = naive.patches(x, weight.shape[2:4], layer["stride"], layer["padding"], layer["pad_value"])
            size = patches.shape[1:3]
            h = patches.reshape(len(x), size[0] * size[1], -1) @ weight.reshape(*weight.shape[:2], -1).swapaxes(1, 2)
            h, q = h.reshape(len(h), *size, -1), layer["pool"]
            h = h[:, :size[0] // q * q, :size[1] // q * q]
            h = h.reshape(len(h), size[0] // q, q, size[1] // q, q, -1).max((2, 4))
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
