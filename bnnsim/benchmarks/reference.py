"""A packed network as plain arrays, and its scores by NumPy sums over +-1 values: what timed inference is held against.

Slow and obviously right; it shares no kernel with packed inference, only which values a position sums up.
`unpacked` is also what a peer is given.
"""

from typing import Any

import numpy as np

import bnnsim.packed.bits as bits
from bnnsim.kernels.forward.geometry import Pool
from bnnsim.packed import PackedNetwork
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.replication import replicated


def unpacked(network: PackedNetwork) -> list[dict[str, Any]]:
    """One dict a layer: kind and settings as `PackedLayer` has them, `weight` (+-1 int8, dense (U, F) in H, W, C order
    or conv (K, kh, kw, C / groups)), and threshold and inverted, or mean, scale and shift for the last."""
    return [unpacked_layer(layer) for layer in network.layers]


def unpacked_layer(layer: PackedLayer) -> dict[str, Any]:
    """One of them."""
    fields = layer.fields()
    fields["weight"] = bits.PackedBits(np.ascontiguousarray(fields.pop("words")), fields.pop("n_in")).unpack()
    return fields


def _pooled(h: np.ndarray, pool: Pool) -> np.ndarray:
    """Largest of each window of h (N, H, W, K), of what lies inside of it."""
    sides = (0, 0), (pool.top, pool.bottom), (pool.left, pool.right), (0, 0)
    h = np.pad(h, sides, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(h, (pool.height, pool.width), axis=(1, 2))
    return windows[:, ::pool.row_stride, ::pool.column_stride].max(axis=(4, 5))


def reference_scores(network: PackedNetwork, images: np.ndarray) -> np.ndarray:
    """Scores (N, n_classes) float64 of images (N, C, H, W) uint8; float32 sums of integers, exact below 2^24."""
    x = images.transpose(0, 2, 3, 1).astype(np.float32) - network.input_offset
    for stage in network.stages:
        layer = stage.layer
        if layer.replicate:
            x = replicated(x, layer.padding, stage.input_shape)
        x = x.reshape(len(x), stage.geometry.height, stage.geometry.width, -1)
        h = (stage.windows(x) @ stage.signs_by_summand.astype(np.float32)).reshape(len(x), *stage.map_shape, -1)
        if layer.threshold is not None:
            theta, inverted = layer.comparison
            x = np.where((_pooled(h, layer.windows) >= theta) ^ inverted, np.float32(1), np.float32(-1))
    if layer.threshold is not None:
        return x.reshape(len(x), -1).astype(np.float64)
    mean, scale, shift = layer.output_affine
    return (h.sum(axis=(1, 2), dtype=np.float64) - mean) * scale + shift


def agree(network: PackedNetwork, predicted: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Whether classes (N,) are those of the network's scores, bool (N,); a tie within rounding is as good.

    A peer that adds its last batch norm up in float32 may see a tie the other way: scores that differ by less than
    1e-4 of the largest are taken for one.
    """
    scores = network.scores(images)
    best, taken = scores.max(axis=1), scores[np.arange(len(scores)), predicted]
    return best - taken <= 1e-4 * np.abs(scores).max()
