"""How far pre-activations lie from their thresholds, and how many weight flips each neuron stands: margins and T.

A neuron is a unit of a hidden dense layer, or a channel of a convolution with all its positions. U units, B bins.

A packed network keeps integer thresholds theta, not the real s of its batch norm. Every integer threshold between two
neighbouring values of h makes the same network, so margins are |h - s| with s midway between the two: theta - 1/2
behind pixels, and where all summands are +-1, so that h moves in steps of 2, (least integer >= theta of h's parity)
- 1. With that s, eq. (2) of Buschjaeger et al. 2020, (|h - s| - 1) / 2, is the exact number of flips [D].
"""

import threading
from dataclasses import dataclass

import numpy as np

import bnnsim.layer_pass as layer_pass
import bnnsim.products as products
from bnnsim.checks import check_array, check_finite, check_probability
from bnnsim.kernels import margins as kernels
from bnnsim.layers.batchnorm import BatchNormSign

BINS = 4096


# ---------------------------------------------------------------- what pixel layers read

def pixel_patches(stage, images):
    """What each position of a first layer reads, int16 (N, P, F): pixels minus the offset, H, W, C order."""
    x = images.astype(np.int16).transpose(0, 2, 3, 1) - np.int16(stage.network.input_offset)
    g, layer = stage.geometry, stage.layer
    if g is None:
        return np.ascontiguousarray(x.reshape(len(x), 1, -1))
    edge = (g.padding, g.padding)
    x = np.pad(x, ((0, 0), edge, edge, (0, 0)), constant_values=layer.pad_value)
    windows = np.lib.stride_tricks.sliding_window_view(x, (g.kernel_height, g.kernel_width), (1, 2))
    windows = windows[:, ::g.stride, ::g.stride].transpose(0, 1, 2, 4, 5, 3)
    return np.ascontiguousarray(windows.reshape(len(x), g.out_height * g.out_width, -1))


def squares(stage, x, patches=None):
    """Sum of the squared summands of each position, (N, P) int64; p (1 - p) times 4 of it is h's variance."""
    if not stage.reads_pixels:
        kind, n_summands = stage.border
        return np.broadcast_to(n_summands[kind], (len(x), len(kind)))
    patches = pixel_patches(stage, x) if patches is None else patches
    return np.einsum("npf,npf->np", patches, patches, dtype=np.int64)


def signs(layer):
    """Weights (U, F) int8 of +1 and -1, F in the order of `pixel_patches`."""
    rows = layer.words.reshape(-1, layer.words.shape[-1])
    return products.unpack_signs(rows.copy(), layer.n_in).reshape(layer.units, -1)


# ---------------------------------------------------------------- margins

@dataclass(frozen=True, eq=False)
class LayerMargins:
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
    spread : float64 (U,)
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
    spread: np.ndarray

    @property
    def mean(self):
        """Mean margin."""
        return float(self.by_neuron.mean())

    @property
    def relative(self):
        """Mean margin / (2 fan-in), of a first layer / (2 level fan-in): a share of the range of h [R]."""
        return self.mean / (2 * self.level * self.fan_in)

    def in_spreads(self, p):
        """Mean margin in units of 2 sqrt(n p (1 - p)), the spread of h at bit error rate p [D, EQUATIONS 9.3].

        n is the number of summands, of pixels the sum of their squares.
        """
        p = check_probability("p", p)
        if p in (0, 1):
            raise ValueError(f"p must be above 0 and below 1: without chance h has no spread; got {p}")
        return float(self.spread.mean()) / float(np.sqrt(p * (1 - p)))


@dataclass(frozen=True, eq=False)
class Margins:
    """Margins of all hidden layers: ``layers``, a tuple of LayerMargins, over ``n_images`` images."""

    layers: tuple
    n_images: int

    def table(self):
        """Text: a line a layer."""
        lines = ["layer    units  fan-in  mean |h - s|  /(2 fan-in)  in spreads of h at BER 0.01    0.1"]
        lines += [f"{one.index} {one.kind:<5}  {one.units:6,}  {one.fan_in:6,}  {one.mean:12.2f}  "
                  f"{one.relative:11.4f}  {one.in_spreads(0.01):26.2f}  {one.in_spreads(0.1):5.2f}"
                  for one in self.layers]
        return "\n".join(lines)

    def plot(self, path=None):
        """Histograms, a panel a layer: see `bnnsim.metric_figures.margin_histograms`."""
        import bnnsim.metric_figures as metric_figures

        return metric_figures.margin_histograms(self, path)


class _MarginSums:
    """Integer totals of a hidden layer, which blocks in any order add to."""

    def __init__(self, stage):
        self.stage = stage
        unit, largest = (2, 4 * stage.bound + 4) if stage.reads_pixels else (4, 4 * stage.bound + 8)
        self.width = unit * max(1, -(-largest // (unit * BINS)))
        self.totals = [np.zeros(-(-largest // self.width) + 1, np.int64), np.zeros(stage.layer.units, np.int64),
                       np.zeros(stage.layer.units, np.int64)]
        self.n_entries = self.n_spread = 0

    def parts(self, x):
        """What a block adds."""
        stage, h = self.stage, self.stage.sums(x)
        power = squares(stage, x).astype(np.float64)
        inverse = np.where(power > 0, kernels.FIXED / (4 * np.sqrt(np.maximum(power, 1))), 0.0)
        parts = [np.zeros_like(total) for total in self.totals]
        kernels.add_margins(h, stage.border[0], stage.twice_s, inverse, self.width, *parts, 0, len(h))
        return parts, h.shape[0] * h.shape[1], int(np.count_nonzero(power))

    def add(self, parts, n_entries, n_spread):
        for total, part in zip(self.totals, parts):
            total += part
        self.n_entries += n_entries
        self.n_spread += n_spread

    def result(self):
        counts, sums, spread = self.totals
        filled = np.flatnonzero(counts)[-1] + 1
        layer = self.stage.layer
        return LayerMargins(self.stage.index, layer.kind, layer.units, layer.fan_in,
                            self.stage.bound // layer.fan_in, np.arange(filled + 1) * (self.width / 2),
                            counts[:filled], sums / (2 * self.n_entries),
                            spread / (kernels.FIXED * max(self.n_spread, 1)))


def margins(network, images):
    """Distances of pre-activations from their thresholds, layer by layer, from one pass over the images.

    Parameters
    ----------
    network : PackedNetwork
        With a hidden layer.
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
    images, totals = _start(network, images)
    sums, lock = [_MarginSums(stage) for stage in totals], threading.Lock()

    def visit(block, xs):
        for layer, x in zip(sums, xs):
            parts = layer.parts(x)
            with lock:
                layer.add(*parts)

    layer_pass.each_block(network, images, visit)
    return Margins(tuple(layer.result() for layer in sums), len(images))


def _start(network, images):
    """The checked images and the stages of the hidden layers."""
    layer_pass.check_hidden(network, 0)
    images = layer_pass.check_some_images(network, images)
    return images, layer_pass.stages(network)[:-1]


# ---------------------------------------------------------------- tolerance T

@dataclass(frozen=True, eq=False)
class LayerTolerance:
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
    def mean(self):
        """Mean T over neurons and images, where flips can change the output; NaN where they never can."""
        n = self.counts.sum()
        return float(self.counts @ np.arange(len(self.counts)) / n) if n else float("nan")

    @property
    def least(self):
        """Least T over neurons and images; None where no flips change anything."""
        filled = np.flatnonzero(self.counts)
        return int(filled[0]) if len(filled) else None


@dataclass(frozen=True, eq=False)
class Tolerance:
    """Bit error tolerance: ``layers``, a tuple of LayerTolerance, over ``n_images`` images."""

    layers: tuple
    n_images: int

    @property
    def network(self):
        """T of the network: mean over neurons and images, eq. (4) and (5), where flips can change the output."""
        sums = sum(layer.counts @ np.arange(len(layer.counts)) for layer in self.layers)
        n = sum(layer.counts.sum() for layer in self.layers)
        return float(sums / n) if n else float("nan")

    @property
    def paper(self):
        """T of the network as eq. (2) to (6) have it: mean over all neurons and images."""
        return float(np.concatenate([layer.paper_by_neuron for layer in self.layers]).mean())

    def table(self):
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

    def plot(self, path=None):
        """How T is spread, a curve a layer: see `bnnsim.metric_figures.tolerance_curves`."""
        import bnnsim.metric_figures as metric_figures

        return metric_figures.tolerance_curves(self, path)


def neuron_tolerance(stage, x):
    """Exact tolerance or its bound (N, U) int32 of a block of what a hidden layer reads, NEVER where none is."""
    return _tolerance_of(stage, x, stage.sums(x))


def _tolerance_of(stage, x, h):
    layer, out = stage.layer, np.empty((len(x), stage.layer.units), np.int32)
    theta = stage.theta.astype(np.int32)
    if not stage.reads_pixels:
        kernels.tolerance_bits(h, stage.border[0], theta, stage.twice_s, stage.never, stage.width, layer.pool, out, 0,
                               len(h))
    elif layer.kind == "dense":
        kernels.tolerance_dense_pixels(pixel_patches(stage, x)[:, 0], h, theta, layer.words.copy(), out, 0, len(h))
    else:
        kernels.tolerance_conv_pixels(pixel_patches(stage, x), h, theta, np.ascontiguousarray(signs(layer).T),
                                      stage.width, layer.pool, out, 0, len(h))
    return out


class _ToleranceSums:
    """Integer totals of a hidden layer."""

    def __init__(self, stage, s):
        layer, level = stage.layer, stage.bound // stage.layer.fan_in
        self.stage, self.s = stage, stage.theta - 0.5 if s is None else s
        self.divisor = 2.0 * level
        self.totals = [np.zeros(size, np.int64) for size in (layer.units, layer.units, layer.fan_in + 1, layer.units)]

    def parts(self, x):
        h = self.stage.sums(x)
        paper = np.empty((len(x), self.stage.layer.units))
        kernels.paper_tolerance(h, self.s, self.divisor, self.stage.width, self.stage.layer.pool, paper, 0, len(h))
        parts = [np.zeros_like(total) for total in self.totals]
        kernels.add_tolerances(_tolerance_of(self.stage, x, h), paper, *parts, 0, len(h))
        return parts

    def result(self, n_images):
        sums, never, counts, paper = self.totals
        layer, n = self.stage.layer, n_images - never
        with np.errstate(invalid="ignore"):
            by_neuron = np.where(n > 0, sums / np.maximum(n, 1), np.nan)
        return LayerTolerance(self.stage.index, layer.kind, layer.units, layer.fan_in, layer.pool == 1, by_neuron,
                              counts, int(never.sum()), paper / (kernels.FIXED * n_images))


def bit_error_tolerance(network, images, thresholds=None):
    """Tolerance T: the most flips of a neuron's weights that cannot change its output, whichever they are.

    Of an image, T of a neuron is the least over its positions; of a layer and the network the mean over neurons and
    images. Exact, with pooled comparisons that hold a bound; beside it the paper's form, from |h - s|.

    Parameters
    ----------
    network : PackedNetwork
        With a hidden layer.
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
    images, hidden = _start(network, images)
    s = [None] * len(hidden) if thresholds is None else _checked_thresholds(thresholds, hidden)
    sums, lock = [_ToleranceSums(stage, one) for stage, one in zip(hidden, s)], threading.Lock()

    def visit(block, xs):
        for layer, x in zip(sums, xs):
            parts = layer.parts(x)
            with lock:
                for total, part in zip(layer.totals, parts):
                    total += part

    layer_pass.each_block(network, images, visit)
    return Tolerance(tuple(layer.result(len(images)) for layer in sums), len(images))


def _checked_thresholds(thresholds, hidden):
    if len(thresholds) != len(hidden):
        raise ValueError(f"thresholds must have one array for each of the {len(hidden)} hidden layers, got "
                         f"{len(thresholds)}; bnnsim.metrics.real_thresholds(model) makes them")
    found = [check_finite(f"thresholds[{i}]", check_array(f"thresholds[{i}]", s, np.float64, (stage.layer.units,)))
             for i, (s, stage) in enumerate(zip(thresholds, hidden))]
    return [np.clip(s, -stage.bound - 1.0, stage.bound + 1.0) for s, stage in zip(found, hidden)]


def real_thresholds(model):
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
    for layer in getattr(model, "layers", ()):
        if isinstance(layer, BatchNormSign):
            mean, scale, shift = layer.affine()
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                s = mean - shift / scale
            found.append(np.where(np.isfinite(s), s, np.where(shift >= 0, -1e300, 1e300)))
    if not found:
        raise TypeError(f"model must be a Sequential with hidden batch norms, got {type(model).__name__}")
    return found
