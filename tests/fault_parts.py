"""Networks to break, and ways to look at what is broken."""

import math

import naive_codes
import numpy as np

import bnnsim.training.packing as packing
from bnnsim.training.architectures import build


def network_of(spec="FC100 FC70 FC10", shape=(1, 10, 10), seed=0):
    return packing.pack(build(spec, shape, rng=seed))


def conv_network(seed=0):
    """3 channels, 70 channels, then dense: taps that do not fill words."""
    return network_of("C70 MP2 C9 FC20 FC3", (3, 4, 4), seed)


def constant(network, bit):
    """The network with all weights 0, or all 1."""
    full = [layer.words | ~layer.words for layer in network.layers]
    for layer, words in zip(network.layers, full):
        if layer.n_in % 64:
            words[..., -1] = np.uint64(2 ** (layer.n_in % 64) - 1)
    return network.with_words({i: words if bit else np.zeros_like(words) for i, words in enumerate(full)})


def weights(layer):
    """Bits (units, fan_in) of a layer, taps in height, width, channel order."""
    rows = layer.words.reshape(-1, layer.words.shape[-1])
    return naive_codes.bits_of(rows, layer.n_in).reshape(layer.units, -1)


def words_like(layer, bits):
    """Bits (units, fan_in) as words of a layer."""
    return naive_codes.words_of(np.asarray(bits).reshape(-1, layer.n_in)).reshape(layer.words.shape)


def all_words(network):
    return [layer.words for layer in network.layers]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(all_words(a), all_words(b), strict=True))


def flips(network, broken):
    return [old ^ new for old, new in zip(all_words(network), all_words(broken))]


def count(words):
    return int(np.bitwise_count(words).sum())


def padding_is_clear(network):
    return all(layer.n_in % 64 == 0 or not np.any(layer.words[..., -1] >> np.uint64(layer.n_in % 64))
               for layer in network.layers)


def within_5_sigma(k, n, p):
    return abs(k - n * p) <= 5 * math.sqrt(n * p * (1 - p)) + 1e-9
