"""Tolerance T: how many weight flips each neuron stands, whichever they are.

A neuron is a unit of a hidden dense layer, or a channel of a convolution with all its positions. U units. Thresholds
of packed networks: see `bnnsim.metrics.layer_margins`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import bnnsim.kernels.analysis.tolerance as kernels
import bnnsim.packed.blocks as blocks
from bnnsim.checks import FilePath, check_array, check_finite
from bnnsim.files.brief import Brief
from bnnsim.files.html_text import Tabled
from bnnsim.kernels.analysis.margins import FIXED
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.stages import Stage
from bnnsim.packed.tolerance import NEVER, tolerance
from bnnsim.training.layers.batchnorm import BatchNormSign
from bnnsim.training.model import Sequential

if TYPE_CHECKING:
    from bnnsim.figures.style import Drawn, Width


@dataclass(frozen=True, eq=False, repr=False)
class LayerTolerance(Brief):
    """Tolerance T of one hidden layer.

    Attributes
    ----------
    index, kind, units, fan_in
        Of the layer.
    exact : bool
        Whether T + 1 flips that change an output exist. False where positions are pooled: there a pooled comparison
        that holds has a bound, which is sound and may be too low; all others are exact.
    by_neuron : float64 (U,)
        Mean over images of each neuron's T, over those where flips can change it; NaN where there are none.
    counts : int64 (fan_in + 1,)
        How often T is 0, 1, ..., over neurons and images.
    n_never : int
        Neurons and images at which no flips of the neuron's weights change its output.
    paper_by_neuron : float64 (U,)
        Mean over images of eq. (2), or (6) of a first layer, with the least over positions, eq. (3).
    """

    index: int
    kind: str
    units: int
    fan_in: int
    exact: bool
    by_neuron: np.ndarray
    counts: np.ndarray
    n_never: int
    paper_by_neuron: np.ndarray

    @property
    def mean(self) -> float:
        """Mean T over neurons and images, where flips can change the output; NaN where they never can."""
        n = self.counts.sum()
        return float(self.counts @ np.arange(len(self.counts)) / n) if n else float("nan")

    @property
    def least(self) -> int | None:
        """Least T over neurons and images; None where no flips change anything."""
        filled = np.flatnonzero(self.counts)
        return int(filled[0]) if len(filled) else None


@dataclass(frozen=True, eq=False, repr=False)
class Tolerance(Tabled, Brief):
    """Bit error tolerance: ``layers``, a tuple of LayerTolerance, over ``n_images`` images."""

    layers: tuple[LayerTolerance, ...]
    n_images: int

    @property
    def network(self) -> float:
        """T of the network: mean over neurons and images, eq. (4) and (5), where flips can change the output."""
        sums = sum(layer.counts @ np.arange(len(layer.counts)) for layer in self.layers)
        n = sum(layer.counts.sum() for layer in self.layers)
        return float(sums / n) if n else float("nan")

    @property
    def paper(self) -> float:
        """T of the network as eq. (2) to (6) have it: mean over all neurons and images."""
        return float(np.concatenate([layer.paper_by_neuron for layer in self.layers]).mean())

    def table(self) -> str:
        """Text: a line a layer, then the network."""
        lines = ["layer    units  T         mean T  least T  T = 0 %  no flips change it %  mean T, paper's form"]
        for one in self.layers:
            n = self.n_images * one.units
            lines.append(f"{one.index} {one.kind:<5}  {one.units:6,}  {'exact' if one.exact else 'bound':<5}  "
                         f"{one.mean:9.2f}  {'-' if one.least is None else one.least:>7}  "
                         f"{100 * one.counts[0] / n:7.2f}  {100 * one.n_never / n:20.2f}  "
                         f"{one.paper_by_neuron.mean():20.2f}")
        return "\n".join([*lines, f"network T = {self.network:.3f}, in the paper's form {self.paper:.3f}, over "
                          f"{self.n_images:,} images"])

    def plot(self, path: FilePath | None = None, *, ax: "Drawn | None" = None, width: "Width" = None) -> "Drawn":
        """How T is distributed, a curve a layer: see `bnnsim.figures.metrics.tolerance_curves`."""
        import bnnsim.figures.metrics as metrics

        return metrics.tolerance_curves(self, path, ax=ax, width=width)


def neuron_tolerance(stage: Stage, x: np.ndarray, h: np.ndarray | None = None) -> np.ndarray:
    """T of each neuron (N, U) int32 for a block of what a hidden layer reads, its least over positions."""
    return tolerance(stage, x, stage.sums(x) if h is None else h).min(axis=1)


class _ToleranceSums:
    """What is summed up of a hidden layer: `parts` of blocks of images, and the result of their totals."""

    def __init__(self, stage: Stage, s: np.ndarray | None) -> None:
        self.stage, self.s = stage, stage.theta - 0.5 if s is None else s

    def parts(self, x: np.ndarray) -> list[np.ndarray]:
        """Of a block: of each unit T and how often it is NEVER; how often T is 0, 1, ...; the paper's form."""
        stage, layer, h = self.stage, self.stage.layer, self.stage.sums(x)
        paper = np.empty((len(x), layer.units))
        kernels.paper_tolerance(h, self.s, 2.0 * (stage.bound // layer.fan_in), stage.geometry, layer.windows,
                                stage.pooled_shape, paper, 0, len(h))
        found = neuron_tolerance(stage, x, h)
        never = found == NEVER
        return [np.where(never, 0, found).sum(0, dtype=np.int64), never.sum(0),
                np.bincount(found[~never], minlength=layer.fan_in + 1),
                np.floor(paper * FIXED + 0.5).astype(np.int64).sum(0)]

    def result(self, n_images: int, sums: np.ndarray, never: np.ndarray, counts: np.ndarray,
               paper: np.ndarray) -> LayerTolerance:
        layer, n = self.stage.layer, n_images - never
        with np.errstate(invalid="ignore"):
            by_neuron = np.where(n > 0, sums / np.maximum(n, 1), np.nan)
        return LayerTolerance(self.stage.index, layer.kind, layer.units, layer.fan_in, layer.pool == (1, 1),
                              by_neuron, counts, int(never.sum()), paper / (FIXED * n_images))


def bit_error_tolerance(network: PackedNetwork, images: np.ndarray,
                        thresholds: Sequence[np.ndarray] | None = None) -> Tolerance:
    """Tolerance T: the most flips of a neuron's weights that cannot change its output, whichever they are.

    Of an image, T of a neuron is the least over its positions; of a layer and the network the mean over neurons and
    images. Exact, with pooled comparisons that hold a bound; beside it the paper's form, from |h - s|.

    Parameters
    ----------
    network : PackedNetwork
        With a hidden layer; of a graph, T is that of the layers that `margins` has.
    images : uint8 (N, C, H, W)
    thresholds : sequence of float (U,), optional
        For the paper's form: the real s of each hidden layer, as `real_thresholds` takes them from a trained model;
        theta - 1/2 by default [R].

    Returns
    -------
    Tolerance

    Raises
    ------
    TypeError, ValueError
        Where the network has no hidden layer, or images or thresholds do not fit it.

    References
    ----------
    Buschjaeger et al. 2020, arXiv:2002.00909: eq. (2) and (6) [R], (3) to (5) and Theorem 1 [V]. The exact form, for
    any sign of gamma, padding, pixels and pooling [D: every small case enumerated in the tests].

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC32 FC10", (1, 28, 28), rng=0))
    >>> found = bit_error_tolerance(network, bnnsim.load_embedded()[1].images[:100])
    >>> [layer.exact for layer in found.layers]
    [True, True]
    """
    hidden = blocks.stages_with_thresholds(network)
    images = blocks.check_some_images(network, images)
    s = [None] * len(hidden) if thresholds is None else _checked_thresholds(thresholds, hidden)
    layers = [_ToleranceSums(stage, one) for stage, one in zip(hidden, s)]
    totals = blocks.each_block(network, images, lambda block, xs: [
        layer.parts(xs[layer.stage.index]) for layer in layers])
    return Tolerance(tuple(layer.result(len(images), *total) for layer, total in zip(layers, totals)), len(images))


def _checked_thresholds(thresholds: Sequence[np.ndarray], hidden: Sequence[Stage]) -> list[np.ndarray]:
    if len(thresholds) != len(hidden):
        raise ValueError(f"thresholds must have one array for each of the {len(hidden)} hidden layers, got "
                         f"{len(thresholds)}; bnnsim.metrics.real_thresholds(model) makes them")
    found = [check_finite(f"thresholds[{i}]", check_array(f"thresholds[{i}]", s, np.float64, (stage.layer.units,)))
             for i, (s, stage) in enumerate(zip(thresholds, hidden))]
    return [np.clip(s, -stage.bound - 1.0, stage.bound + 1.0) for s, stage in zip(found, hidden)]


def real_thresholds(model: Sequential) -> list[np.ndarray]:
    """The real thresholds s = mean - beta sqrt(var + eps) / gamma of a trained model's hidden layers.

    Where gamma is 0 no h crosses: s is then far below all of them, +-1e300 by the sign that the output has.

    Parameters
    ----------
    model : Sequential

    Returns
    -------
    list of float64 (U,)

    References
    ----------
    Buschjaeger et al. 2020, section IV [R].
    """
    found = []
    for layer in model.layers if isinstance(model, Sequential) else ():
        if isinstance(layer, BatchNormSign):
            mean, scale, shift = layer.affine()
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                s = mean - shift / scale
            found.append(np.where(np.isfinite(s), s, np.where(shift >= 0, -1e300, 1e300)))
    if not found:
        raise TypeError(f"model must be a Sequential with hidden batch norms, got {type(model).__name__}")
    return found
