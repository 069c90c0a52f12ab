"""Ternary networks weight by weight, on integers -1, 0, +1 that read each input once; imports nothing from bnnsim.

A pair's bits are those at 2 f and 2 f + 1 of a row. `evaluate` reads the nodes of a packed graph by their attributes.
"""

import naive
import naive_geometry as geometry
import numpy as np

LEVEL = {(1, 0): 0, (1, 1): 1, (0, 0): -1, (0, 1): 0}           # (first device is in LRS, second is in HRS)
STEPS = 2**24


def quantised(weight, dead_zone):
    """Ternary weights of latent ones, float32."""
    latent = [float(w) for w in weight.reshape(-1)]
    mean = sum(int(abs(w) * STEPS) for w in latent) / STEPS / len(latent)
    half = np.float32(dead_zone * mean)
    return np.array([1 if np.float32(w) >= half else -1 if np.float32(w) < -half else 0 for w in latent],
                    int).reshape(weight.shape)


def levels(words, n_in, level=LEVEL):
    """Weights (rows, n_in / 2) of words (rows, ceil(n_in / 64))."""
    return np.array([[level[naive.bit(words, n, f), naive.bit(words, n, f + 1)] for f in range(0, n_in, 2)]
                     for n in range(len(words))])


def stored(levels):
    """+-1 bits (..., 2 F) of weights (..., F): a pair is (LRS, HRS), (HRS, LRS) or (HRS, HRS)."""
    pairs = {1: (1, 1), -1: (-1, -1), 0: (-1, 1)}
    return np.array([pairs[int(w)] for w in levels.reshape(-1)]).reshape(*levels.shape[:-1], -1)


def run_layer(layer, x, level):
    """Twice the sums of W x, and what the layer makes of them."""
    weight = levels(layer.words.reshape(-1, layer.words.shape[-1]), layer.n_in, level)
    if layer.kind == "dense":
        h = 2 * (x.reshape(len(x), -1) @ weight.T)
    else:
        weight = weight.reshape(*layer.words.shape[:3], -1)
        h = 2 * geometry.conv(x, weight, layer.stride, layer.padding, layer.pad_value, layer.replicate, layer.dilation,
                              layer.groups)
    if layer.threshold is not None:
        if layer.pools:
            h = geometry.pool(h, layer.pool, layer.pool_stride, layer.pool_padding)
        return np.where((h >= layer.threshold) ^ layer.inverted, 1, -1)
    return (h - layer.mean) * layer.scale + layer.shift


def evaluate(nodes, images, offset, level=LEVEL):
    """Scores of a chain in which every layer of bits is ternary; what gives an input twice is left out."""
    x = images.transpose(0, 2, 3, 1).astype(np.int64) - offset
    for node in nodes:
        if getattr(node.what, "word", "") != "twice":
            x = run_layer(node.what, x, level)
    return x
