"""A packed network as plain arrays, and its scores by NumPy sums over +-1 values: what timed inference is held against.

Slow and obviously right; it shares no kernel with packed inference, only which values a position sums up.
`unpacked` is also what a peer is given.
"""

from typing import Any

import numpy as np

import bnnsim.packed.bits as bits
from bnnsim.packed import PackedNetwork


def unpacked(network: PackedNetwork) -> list[dict[str, Any]]:
    """One dict a layer: kind, pool, padding, stride, pad_value, `weight` (+-1 int8, dense (U, F) in H, W, C order or
    conv (K, kh, kw, C)), and threshold and inverted, or mean, scale and shift for the last."""
    layers = []
    for layer in network.layers:
        fields = layer.fields()
        fields["weight"] = bits.PackedBits(np.ascontiguousarray(fields.pop("words")), fields.pop("n_in")).unpack()
        layers.append(fields)
    return layers


def _pooled(h, size):
    """Largest of each window of h (N, H, W, K)."""
    n, height, width, channels = h.shape
    h = h[:, :height // size * size, :width // size * size]
    return h.reshape(n, height // size, size, width // size, size, channels).max(axis=(2, 4))


def reference_scores(network: PackedNetwork, images: np.ndarray) -> np.ndarray:
    """Scores (N, n_classes) float64 of images (N, C, H, W) uint8; float32 sums of integers, exact below 2^24."""
    x = images.transpose(0, 2, 3, 1).astype(np.float32) - network.input_offset
    layers = unpacked(network)
    for stage, layer in zip(network.stages, layers):
        weight = layer["weight"].reshape(len(layer["weight"]), -1).astype(np.float32)
        x = x.reshape(len(x), stage.geometry.height, stage.geometry.width, -1)
        h = _pooled((stage.windows(x) @ weight.T).reshape(len(x), *stage.map_shape, -1), layer["pool"])
        if "threshold" in layer:
            x = np.where((h >= layer["threshold"]) ^ layer["inverted"], np.float32(1), np.float32(-1))
    return (h[:, 0, 0].astype(np.float64) - layers[-1]["mean"]) * layers[-1]["scale"] + layers[-1]["shift"]


def agree(network: PackedNetwork, predicted: np.ndarray, images: np.ndarray) -> bool:
    """Whether classes (N,) are those of the network's scores; another class may stand in for a tie within rounding.

    A peer that adds its last batch norm up in float32 may see a tie the other way: scores that differ by less than
    1e-4 of the largest are taken for one.
    """
    scores = network.scores(images)
    best, taken = scores.max(axis=1), scores[np.arange(len(scores)), predicted]
    return bool(np.all(best - taken <= 1e-4 * np.abs(scores).max()))
