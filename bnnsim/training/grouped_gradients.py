"""Gradients of convolutions in groups: those of plain ones, group after group, or of several together: `packed.groups`.

N images, C input channels, n_in of them a group, K output channels; dH (N, OH, OW, K) float32 or Pooled.
"""

from collections.abc import Callable

import numpy as np

from bnnsim.kernels.forward.geometry import Geometry
from bnnsim.packed.groups import Part, parts_of
from bnnsim.training.gradients import Gradient, conv_dx, scattered


def grouped_dx(dh: Gradient, words: np.ndarray, n_in: int, groups: int, g: Geometry, precision: str) -> np.ndarray:
    """dX (N, H, W, C) float32 by the weights (K, kh, kw, .).

    Groups that run together do so twice, with opposite weights where another group reads: those sums cancel, and half
    of the rest is theirs.
    """
    if n_in % 64 == 0:
        return conv_dx(dh, words, n_in, g, precision, groups)
    dense, found = scattered(dh), []
    for part in parts_of(n_in, groups, len(words)):
        own, wide = _of(part, dense), part.wide_words(words, n_in)
        if part.n_groups == 1:
            found.append(conv_dx(own, wide, part.n_channels, g, precision))
        else:
            found.append(conv_dx(np.concatenate([own, own], axis=3), wide, part.n_channels, g, precision)
                         * np.float32(0.5))
    return np.concatenate(found, axis=3)


def grouped_dweight(dh: Gradient, x: np.ndarray, n_in: int, groups: int, pixels: bool,
                    dweight: Callable[[np.ndarray, np.ndarray, int, np.ndarray], None], out: np.ndarray) -> None:
    """out (K, kh, kw, n_in) float32 = dW, of what `dweight` (dh, x, channels, out) makes of a plain convolution's."""
    dense = scattered(dh)
    for part in parts_of(n_in, groups, len(out)):
        whole = np.empty((part.units, *out.shape[1:3], part.n_channels), np.float32)
        dweight(_of(part, dense), part.read(x, pixels), part.n_channels, whole)
        each = part.units // part.n_groups
        for group in range(part.n_groups):
            units = slice(group * each, (group + 1) * each)
            out[part.first_unit:][units] = whole[units, :, :, group * n_in:(group + 1) * n_in]


def _of(part: Part, dh: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(dh[..., part.first_unit:part.first_unit + part.units])
