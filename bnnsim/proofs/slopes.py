"""How a score hangs on what lies before it: slopes followed back through the layers of a packed network.

A sign has the slope 1 / (T + 1), T the flips that its unit stands; of a max-pool's window the largest entry has it all.
N images, P positions, Q after pooling, U units.
"""

import numpy as np

from bnnsim.packed.replication import folded
from bnnsim.packed.stages import Stage
from bnnsim.proofs.windows import entries, pooled
from bnnsim.training.gradients import conv_dx, dense_dx
from bnnsim.training.grouped_gradients import grouped_dx


def through_sign(stage: Stage, h: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Slopes by outputs (N, Q, U) -> by pre-activations h (N, P, U), float32."""
    d = h - stage.theta
    steep = np.where(stage.inverted, -1, 1) / (np.where(d >= 0, d >> 1, ~d >> 1) + 1)
    if not stage.layer.pools:
        return (slope * steep).astype(np.float32)
    maps = h.reshape(len(h), *stage.map_shape, -1)
    largest = pooled(stage, maps, np.maximum)
    by_window, steep, out = slope.reshape(largest.shape), steep.reshape(maps.shape), np.zeros(maps.shape)
    for q, p in entries(stage.layer.windows, stage.map_shape):
        out[p] += (maps[p] == largest[q]) * by_window[q] * steep[p]
    return out.reshape(h.shape).astype(np.float32)


def through_weights(stage: Stage, dh: np.ndarray) -> np.ndarray:
    """Slopes by pre-activations (N, P, U) -> by what the layer reads, float32 (N, F) or (N, H, W, C)."""
    layer, words = stage.layer, stage.layer.words.copy()
    if not stage.shares_weights:
        return dense_dx(dh[:, 0], words, layer.n_in)
    dh = dh.reshape(len(dh), *stage.map_shape, -1)
    slope = conv_dx(dh, words, layer.n_in, stage.geometry) if layer.groups == 1 else \
        grouped_dx(dh, words, layer.n_in, layer.groups, stage.geometry, "fixed16")
    return folded(slope, layer.padding) if layer.replicate else slope
