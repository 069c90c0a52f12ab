"""Convolutions in groups: each part of the output channels reads its own part of the input's.

The forward kernel knows groups of whole words. Others run one behind the other through the passes of plain
convolutions; where several groups' channels fit into one word, they run together, twice: weights of other groups'
channels are -1 in the first run and +1 in the second, so that half the sum of both is what the group's own channels
give [D].

N images, C input channels in Cw words, n_in of them a group, K output channels.
"""

from dataclasses import dataclass

import numpy as np

import bnnsim.kernels.forward.grouped as grouped
from bnnsim.kernels import empty, split
from bnnsim.kernels.forward.geometry import Geometry, Pool
from bnnsim.packed.forward import Layout, conv, pixels_conv, window_counts
from bnnsim.packed.words import full_row, n_words


@dataclass(frozen=True)
class Part:
    """Neighbouring groups that run together.

    first, n_channels : of the input that they read
    first_unit, units : of the output
    n_groups : int
    """

    first: int
    n_channels: int
    first_unit: int
    units: int
    n_groups: int

    def read(self, x: np.ndarray, pixels: bool) -> np.ndarray:
        """Their channels of maps (N, H, W, Cw) words, or of images (N, C, H, W)."""
        if pixels:
            return np.ascontiguousarray(x[:, self.first:self.first + self.n_channels])
        if self.first % 64 == 0 and self.n_channels % 64 == 0:
            return np.ascontiguousarray(x[..., self.first // 64:(self.first + self.n_channels) // 64])
        rows = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        out = np.empty((len(rows), n_words(self.n_channels)), np.uint64)
        split(grouped.cut_channels, len(rows), rows, self.first, self.n_channels, out)
        return out.reshape(*x.shape[:-1], -1)

    def wide_words(self, words: np.ndarray, n_in: int) -> np.ndarray:
        """Weights (K, kh, kw, .) of all groups -> those of this part's units (units, kh, kw, .), as a convolution's.

        Of more than one group: twice, with -1 and with +1 where another group reads (2 units, kh, kw, 1).
        """
        own = np.ascontiguousarray(words[self.first_unit:self.first_unit + self.units])
        if self.n_groups == 1:
            return own
        shift = (np.arange(self.units) // (self.units // self.n_groups) * n_in).astype(np.uint64)[:, None, None, None]
        low = own << shift
        others = full_row(self.n_channels) ^ (full_row(n_in)[0] << shift)
        return np.concatenate([low, low | others])


def parts_of(n_in: int, groups: int, units: int) -> list[Part]:
    """Groups of n_in channels each, as many together as a word has room for."""
    together, each = max(1, 64 // n_in), units // groups
    return [Part(first * n_in, n * n_in, first * each, n * each, n)
            for first in range(0, groups, together) for n in [min(together, groups - first)]]


@dataclass(frozen=True, eq=False)
class Grouped:
    """A convolution in groups as `forward.Layout` is one without: to sums, or to bits where it is given thresholds."""

    parts: list[tuple[Part, Layout]]
    pixels: bool
    geometry: Geometry
    theta: np.ndarray | None
    inverted: np.ndarray | None
    pool: Pool
    units: int

    def sums(self, x: np.ndarray) -> np.ndarray:
        """Pre-activations (N, OH, OW, K) int32 of x, in the threads of `split`."""
        g = self.geometry
        out = empty((len(x), g.out_height, g.out_width, self.units), np.int32)
        for part, layout in self.parts:
            h, own = layout.sums(part.read(x, self.pixels)), slice(part.first_unit, part.first_unit + part.units)
            if part.n_groups == 1:
                out[..., own] = h
            else:
                np.add(h[..., :part.units], h[..., part.units:], out=out[..., own])
                out[..., own] >>= 1
        return out

    def bits(self, x: np.ndarray) -> np.ndarray:
        """Output bits (N, ., ., V) of a block x."""
        h = self.sums(x)
        out = np.zeros((len(x), *window_counts(self.geometry[-2:], self.pool), n_words(self.units)), np.uint64)
        split(grouped.compare_sums, len(h), h, self.theta, self.geometry, self.pool, self.inverted, out)
        return out


def grouped_conv(words: np.ndarray, n_in: int, groups: int, g: Geometry, pad_value: int, offset: int | None,
                 theta: np.ndarray | None, inverted: np.ndarray | None, pool: Pool) -> Layout | Grouped:
    """Conv in groups on packed x (N, H, W, Cw), or with an offset on images (N, C, H, W): weights (K, kh, kw, .)."""
    if offset is None and n_in % 64 == 0 and len(words) // groups % 16 == 0:
        return conv(words, n_in, g, pad_value, theta, inverted, pool, groups)
    parts = []
    for part in parts_of(n_in, groups, len(words)):
        own = part.wide_words(words, n_in)
        parts.append((part, conv(own, part.n_channels, g, pad_value) if offset is None else
                      pixels_conv(own, part.n_channels, g, offset, pad_value)))
    return Grouped(parts, offset is not None, g, theta, inverted, pool, len(words))
