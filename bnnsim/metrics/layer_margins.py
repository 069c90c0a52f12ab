"""How far pre-activations lie from their thresholds. U units, B bins.

A packed network keeps integer thresholds theta, not the real s of its batch norm. Every integer threshold between two
neighbouring values of h makes the same network, so margins are |h - s| with s midway between the two: theta - 1/2
behind pixels, and where all summands are +-1, so that h moves in steps of 2, (least integer >= theta of h's parity)
- 1. With that s, eq. (2) of Buschjaeger et al. 2020, (|h - s| - 1) / 2, is the exact number of flips [D].
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import bnnsim.packed.blocks as blocks
from bnnsim.checks import FilePath, check_probability
from bnnsim.files.brief import Brief
from bnnsim.files.html_text import Tabled
from bnnsim.kernels.analysis.margins import FIXED, add_margins
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.stages import Stage

if TYPE_CHECKING:
    from bnnsim.figures.style import Drawn, Width

BINS = 4096


# ---------------------------------------------------------------- margins

@dataclass(frozen=True, eq=False, repr=False)
class LayerMargins(Brief):
    """Margins |h - s| of one layer, over all images, positions (before pooling) and units.

    Attributes
    ----------
    index, kind, units, fan_in
        Of the layer; kind "dense" or "conv".
    level : int
        Largest size of a summand: 1, of a first layer 255 or what the input offset leaves.
    edges, counts : float64 (B + 1,), int64 (B,)
        Histogram: counts[b] margins lie in [edges[b], edges[b + 1]).
    by_neuron : float64 (U,)
        Mean margin of each unit.
    over_spread : float64 (U,)
        Mean of margin / (2 sqrt(sum of squared summands)) where there are summands, of each unit.
    """

    index: int
    kind: str
    units: int
    fan_in: int
    level: int
    edges: np.ndarray
    counts: np.ndarray
    by_neuron: np.ndarray
    over_spread: np.ndarray

    @property
    def mean(self) -> float:
        """Mean margin."""
        return float(self.by_neuron.mean())

    @property
    def relative(self) -> float:
        """Mean margin / (2 fan-in), of a first layer / (2 level fan-in): a share of the range of h [R]."""
        return self.mean / (2 * self.level * self.fan_in)

    def in_spreads(self, p: float) -> float:
        """Mean margin in units of 2 sqrt(n p (1 - p)), the spread of h at BER p [D, docs/equations.rst 9.3].

        n is the number of summands, of pixels the sum of their squares.
        """
        p = check_probability("p", p)
        if p in (0, 1):
            raise ValueError(f"p must be above 0 and below 1: without chance h has no spread; got {p}")
        return float(self.over_spread.mean()) / float(np.sqrt(p * (1 - p)))


@dataclass(frozen=True, eq=False, repr=False)
class Margins(Tabled, Brief):
    """Margins of all hidden layers: ``layers``, a tuple of LayerMargins, over ``n_images`` images."""

    layers: tuple[LayerMargins, ...]
    n_images: int

    def table(self) -> str:
        """Text: a line a layer."""
        lines = ["layer    units  fan-in  mean |h - s|  /(2 fan-in)  in spreads of h at BER 0.01    0.1"]
        lines += [f"{one.index} {one.kind:<5}  {one.units:6,}  {one.fan_in:6,}  {one.mean:12.2f}  "
                  f"{one.relative:11.4f}  {one.in_spreads(0.01):26.2f}  {one.in_spreads(0.1):5.2f}"
                  for one in self.layers]
        return "\n".join(lines)

    def plot(self, path: FilePath | None = None, *, ax: "Drawn | None" = None, width: "Width" = None) -> "Drawn":
        """Histograms, a panel a layer: see `bnnsim.figures.metrics.margin_histograms`."""
        import bnnsim.figures.metrics as metrics

        return metrics.margin_histograms(self, path, ax=ax, width=width)


class _MarginSums:
    """What is summed up of a hidden layer: `parts` of blocks of images, and the result of their totals."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        unit, largest = (2, 4 * stage.bound + 4) if stage.reads_pixels else (4, 4 * stage.bound + 8)
        self.width = unit * max(1, -(-largest // (unit * BINS)))
        self.n_bins = -(-largest // self.width) + 1

    def parts(self, x: np.ndarray) -> list[np.ndarray]:
        """Of a block: counts by bin, sums and sums of margins in spreads of each unit, entries, those with summands."""
        stage, h, powers = self.stage, self.stage.sums(x), self.powers(x)
        counts, sums, over_spread = (np.zeros(size, np.int64) for size in (self.n_bins, *2 * [stage.layer.units]))
        each = stage.layer.units // len(powers)
        for group, power in enumerate(powers):
            own = slice(group * each, (group + 1) * each)
            inverse = np.where(power > 0, FIXED / (4 * np.sqrt(np.maximum(power, 1))), 0.0)
            add_margins(np.ascontiguousarray(h[..., own]), stage.border[0], np.ascontiguousarray(stage.twice_s[:, own]),
                        inverse, self.width, counts, sums[own], over_spread[own], 0, len(h))
        return [counts, sums, over_spread, np.array([powers[0].size]), np.count_nonzero(powers, axis=(1, 2))]

    def powers(self, x: np.ndarray) -> np.ndarray:
        """Sums of squared summands (G, N, P), of the groups of a layer whose summands differ in size."""
        stage, layer = self.stage, self.stage.layer
        if layer.groups == 1 or not stage.reads_pixels:
            return stage.squares(x)[None].astype(np.float64)
        patches = stage.patches(x).astype(np.float64).reshape(len(x), stage.n_positions, -1, layer.groups, layer.n_in)
        return np.einsum("nptgc,nptgc->gnp", patches, patches)

    def result(self, counts: np.ndarray, sums: np.ndarray, over_spread: np.ndarray, n_entries: np.ndarray,
               n_spread: np.ndarray) -> LayerMargins:
        """Of the totals over all blocks."""
        filled = np.flatnonzero(counts)[-1] + 1
        layer = self.stage.layer
        return LayerMargins(self.stage.index, layer.kind, layer.units, layer.fan_in,
                            self.stage.bound // layer.fan_in, np.arange(filled + 1) * (self.width / 2),
                            counts[:filled], sums / (2 * n_entries),
                            over_spread / (FIXED * np.maximum(n_spread, 1).repeat(layer.units // len(n_spread))))


def margins(network: PackedNetwork, images: np.ndarray) -> Margins:
    """Distances of pre-activations from their thresholds, layer by layer, from one pass over the images.

    Parameters
    ----------
    network : PackedNetwork
        With a hidden layer; of a graph, margins are those of the layers that give bits by themselves, or whose sums an
        affine and a sign alone read, at the threshold which these two make.
    images : uint8 (N, C, H, W)

    Returns
    -------
    Margins

    Raises
    ------
    TypeError, ValueError
        Where the network has no hidden layer, or the images are none that it takes.

    References
    ----------
    Buschjaeger et al. 2021, arXiv:2102.01344, neuron-level metric |h - s| [V]; their normalisation is not recovered,
    margin / (2 fan-in) is [R]. s from the integer threshold: see the module's docstring [D].

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC32 FC10", (1, 28, 28), rng=0))
    >>> found = margins(network, bnnsim.load_embedded()[1].images[:100])
    >>> [int(layer.counts.sum()) for layer in found.layers]
    [6400, 3200]
    """
    layers = [_MarginSums(stage) for stage in blocks.stages_with_thresholds(network)]
    images = blocks.check_some_images(network, images)
    totals = blocks.each_block(network, images, lambda block, xs: [
        layer.parts(xs[layer.stage.index]) for layer in layers])
    return Margins(tuple(layer.result(*total) for layer, total in zip(layers, totals)), len(images))
