"""What each neuron is worth: accuracy lost when its output is inverted, and two cheaper scores.

A neuron is a unit of a hidden dense layer, or a channel of a convolution with all its positions. N images, U units.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

import bnnsim.kernels.analysis.ablation as ablation
import bnnsim.packed.blocks as blocks
from bnnsim.checks import FilePath, check_choice
from bnnsim.datasets.split import LabelledImages
from bnnsim.files.brief import Brief
from bnnsim.files.html_text import Tabled
from bnnsim.metrics.split_halves import PARTS, Reliability, means_of, parts_of, reliability_of, sums_by
from bnnsim.packed.layer import PackedLayer
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.stages import Stage
from bnnsim.packed.words import unpack_signs
from bnnsim.training.estimators import pseudo_gradient
from bnnsim.training.layers.batchnorm import BatchNormSign, Norm
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.losses import cross_entropy
from bnnsim.training.model import Sequential
from bnnsim.training.packing import pack
from bnnsim.training.read_errors import ReadErrors

if TYPE_CHECKING:
    from bnnsim.figures.style import Drawn, Width

BLOCK = 250                         # images a thread has in hand
METHODS = ("ablate", "taylor", "readout")


# ---------------------------------------------------------------- inverted outputs, image by image

class Inversions:
    """Exact changes of the classes of a block of images when outputs of a hidden layer are inverted, one at a time."""

    def __init__(self, network: PackedNetwork) -> None:
        self.network, self.stages = network, network.stages
        self.words = [stage.layer.words.copy() for stage in self.stages]
        self.last, output = len(self.stages) - 1, network.layers[-1]
        self.affine = output.output_affine if output.threshold is None else None

    def change(self, i: int, xs: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
        """int8 (N, U): +1 where an image becomes right, -1 where it becomes wrong. labels int64 (N,).

        Of the last layer where it has thresholds, too: its outputs are the scores then.
        """
        out = np.empty((len(labels), self.stages[i].layer.units), np.int8)
        if i < self.last - 2 or self.stages[i].shares_weights or self.affine is None:
            self._whole_tail(i, xs, labels, out)
            return out
        scores = (xs[-1], self.words[-1], self.stages[-1].sums(xs[-1])[:, 0], *self.affine, labels, out, 0, len(out))
        if i == self.last - 1:
            ablation.invert_last(*scores)
        else:
            following = self.stages[i + 1]
            ablation.invert_before(xs[i + 1], self.words[i + 1], following.sums(xs[i + 1])[:, 0], following.theta,
                                   *scores)
        return out

    def _whole_tail(self, i: int, xs: Sequence[np.ndarray], labels: np.ndarray, out: np.ndarray) -> None:
        """By running the layers behind layer i, once for each of its neurons."""
        x = self.stages[i].bits(xs[i])

        def right() -> np.ndarray:
            scores = self.network.run(i + 1, x) if i < self.last else unpack_signs(x, out.shape[1])
            return scores.argmax(axis=1) == labels

        clean = right()
        for u in range(out.shape[1]):
            bit = np.uint64(1) << np.uint64(u % 64)
            x[..., u // 64] ^= bit
            out[:, u] = right().astype(np.int8) - clean
            x[..., u // 64] ^= bit


# ---------------------------------------------------------------- results

@dataclass(frozen=True, eq=False, repr=False)
class LayerImportance(Brief):
    """Importance of the neurons of one hidden layer.

    Attributes
    ----------
    index, kind, units
        Of the layer.
    raw : float64 (U,)
        As the method gives it: a loss of accuracy (share of 1), a loss (nats) or a score.
    share : float64 (U,)
        raw over the sum of its sizes: sums to 1 where no importance is negative; all 0 where raw is.
    parts : float64 (G, U)
        The shares by G = 20 parts of the images, image i in part i % G; of fewer images, each is a part. Over the same
        sum: their mean is share where parts are equal.
    """

    index: int
    kind: str
    units: int
    raw: np.ndarray
    share: np.ndarray
    parts: np.ndarray

    @property
    def variance(self) -> float:
        """Variance of the shares, sampling noise of the images included: compare networks by `reliability` too."""
        return float(self.share.var())

    @property
    def reliability(self) -> Reliability:
        """What halves of the images agree on: how much of the variance is free of noise, how repeatable shares are."""
        return reliability_of(self.parts)


@dataclass(frozen=True, eq=False, repr=False)
class Importance(Tabled, Brief):
    """Importance of neurons: ``layers``, a tuple of LayerImportance, by ``method`` over ``n_images`` images."""

    layers: tuple[LayerImportance, ...]
    method: str
    n_images: int

    @property
    def variance(self) -> float:
        """Variance of all shares, over all layers, sampling noise included: the inter-neuron metric."""
        return float(np.concatenate([layer.share for layer in self.layers]).var())

    @property
    def reliability(self) -> Reliability:
        """The same of all shares: that a wide layer's are smaller than a narrow one's counts as no noise."""
        return reliability_of(np.concatenate([layer.parts for layer in self.layers], axis=1))

    def table(self) -> str:
        """Text: a line a layer, the variance over all, and how much of both is noise."""
        lines = [f"importance by {self.method}, {self.n_images:,} images",
                 "layer    units  mean         largest      below 0 %  variance of shares  noise-free  reliability"]
        lines += [f"{one.index} {one.kind:<5}  {one.units:6,}  {one.raw.mean():<11.4g}  {one.raw.max():<11.4g}  "
                  f"{100 * np.mean(one.raw < 0):9.2f}  {one.variance:18.4g}  "
                  f"{one.reliability.noise_free_variance:10.3g}  {one.reliability}" for one in self.layers]
        over_all = self.reliability
        lines += [f"variance of all shares {self.variance:.4g}, noise-free {over_all.noise_free_variance:.3g}, "
                  f"reliability {over_all}",
                  "noise-free: covariance of halves of the images; reliability: by their correlation (95 % interval)"]
        noisy = [str(one.index) for one in self.layers if one.reliability.is_noise]
        if noisy:
            lines.append(f"layer {', '.join(noisy)}: more sampling noise than differences of neurons; take more images")
        return "\n".join(lines)

    def plot(self, path: FilePath | None = None, *, ax: "Drawn | None" = None, width: "Width" = None) -> "Drawn":
        """Shares from the largest to the smallest: see `bnnsim.figures.metrics.importance_curves`."""
        import bnnsim.figures.metrics as metrics

        return metrics.importance_curves(self, path, ax=ax, width=width)


def _result(stages: Sequence[Stage], sums: Sequence[Sequence[np.ndarray]], method: str, n_images: int) -> Importance:
    """sums: for each stage over all images (U,), and over each of their parts."""
    found = []
    for stage, (total, by_part) in zip(stages, sums):
        raw = total / n_images
        size = np.abs(raw).sum() or 1.0
        found.append(LayerImportance(stage.index, stage.layer.kind, stage.layer.units, raw, raw / size,
                                     means_of(by_part, n_images) / size))
    return Importance(tuple(found), method, n_images)


def importance(network: PackedNetwork | Sequential, split: LabelledImages, method: str = "ablate") -> Importance:
    """Importance of every hidden neuron.

    Parameters
    ----------
    network : PackedNetwork or Sequential
        With a hidden layer; "taylor" needs the trained Sequential, for a packed network keeps no gradients' scales.
    split : Split
        Images and their labels.
    method : {"ablate", "taylor", "readout"}
        "ablate": accuracy lost when the neuron's output is inverted, exactly. "taylor": mean over images of
        ``|sum over positions of a dL/da|``, of the cross entropy, straight through signs. "readout": of the last
        hidden layer, where it is dense: mean of a (w_y - mean over classes of w_c), w with the scale of the output's
        batch norm.

    Returns
    -------
    Importance

    Raises
    ------
    TypeError, ValueError
        Where network and method do not go together, or the split does not fit.

    Notes
    -----
    Importance differs from image to image, that by "ablate" so much that most of what single neurons get from some
    thousand images can be noise. What halves of the images agree on tells how much: ``reliability`` of a layer, and of
    the result, has their covariance, which is the variance of the shares without noise, and their correlation (see
    `Reliability`). Read neurons' ranks only where it is near 1; compare networks by noise-free variances. Alike images
    side by side, as of a film, make it too high.

    References
    ----------
    Buschjaeger et al. 2021, arXiv:2102.01344: the variance of all importances as a metric of bit error tolerance [V];
    its score and normalisation are not recovered, these are [R].

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC32 FC10", (1, 28, 28), rng=0))
    >>> found = importance(network, bnnsim.load_embedded()[1][:100])
    >>> [layer.raw.shape for layer in found.layers]
    [(64,), (32,)]
    """
    check_choice("method", method, METHODS)
    packed = pack(network) if isinstance(network, Sequential) else network
    blocks.hidden_stages(packed)
    if method == "taylor":
        if not isinstance(network, Sequential):
            raise TypeError("network must be a Sequential for method 'taylor': a packed network keeps integer "
                            "thresholds, not the batch norms that gradients need; use 'ablate', or pass the trained "
                            "model")
        labels = blocks.check_labelled(packed, split)
        return _taylor(network, packed, split.images, labels)
    labels, way = blocks.check_labelled(packed, split).astype(np.int64), _ablate if method == "ablate" else _readout
    return way(packed, split.images, labels)


def _ablate(network: PackedNetwork, images: np.ndarray, labels: np.ndarray) -> Importance:
    inversions, hidden = Inversions(network), network.stages[:-1]

    def visit(block: slice, xs: list[np.ndarray]) -> list[list[np.ndarray]]:
        parts = parts_of(block)
        return [[-sums_by(inversions.change(i, xs, labels[block]), parts, PARTS)] for i in range(len(hidden))]

    lost = [by_part for by_part, in blocks.each_block(network, images, visit, BLOCK)]
    return _result(hidden, [(by_part.sum(0), by_part) for by_part in lost], "ablate", len(labels))


def check_readout(network: PackedNetwork, what: str) -> tuple[Stage, PackedLayer]:
    """The last hidden layer and the output layer, of which `what` tells importance."""
    output, stage = blocks.check_scores(network, what).layers[-1], blocks.hidden_stages(network)[-1]
    if stage.shares_weights:
        raise ValueError("method 'readout' needs a last hidden layer that is dense, got a convolution: use 'ablate'")
    return stage, output


def _readout(network: PackedNetwork, images: np.ndarray, labels: np.ndarray) -> Importance:
    stage, output = check_readout(network, "importance by 'readout'")
    weights = output.signs() * output.output_affine[1][:, None]

    def visit(block: slice, xs: list[np.ndarray]) -> list[list[np.ndarray]]:
        keys = parts_of(block) * network.n_classes + labels[block]
        return [[sums_by(unpack_signs(xs[-1], stage.layer.units), keys, PARTS * network.n_classes)]]

    (sums,), = blocks.each_block(network, images, visit, BLOCK)
    by_class, centred = sums.reshape(PARTS, network.n_classes, -1), weights - weights.mean(0)
    total, by_part = (by_class.sum(0) * centred).sum(0), (by_class * centred).sum(1)
    return _result([stage], [(total, by_part)], "readout", len(labels))


# ---------------------------------------------------------------- first-order

def _taylor(model: Sequential, packed: PackedNetwork, images: np.ndarray, labels: np.ndarray) -> Importance:
    hidden = packed.stages[:-1]
    sums = [(np.zeros(stage.layer.units), np.zeros((PARTS, stage.layer.units))) for stage in hidden]
    for start in range(0, len(labels), BLOCK):
        block = slice(start, start + BLOCK)
        for (total, by_part), (outputs, gradient) in zip(sums, output_gradients(model, images[block], labels[block])):
            part = outputs.reshape(len(outputs), -1, len(total)) * gradient.reshape(len(outputs), -1, len(total))
            sizes = np.abs(part.sum(1, dtype=np.float64))
            total += sizes.sum(0)
            by_part += sums_by(sizes, parts_of(slice(start, start + len(sizes))), PARTS)
    return _result(hidden, sums, "taylor", len(labels))


def output_gradients(model: Sequential, images: np.ndarray,
                     labels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each hidden layer its outputs +-1 (N, ..., U) and the gradient of each image's own loss with respect to them.

    Batch norms keep their running statistics; signs are passed straight through where |batch norm output| <= 1.
    """
    x, inputs, caches = images, [], []
    for layer in model.layers:
        inputs.append(x)
        keeps = isinstance(layer, (Weighted, BatchNormSign, ReadErrors)) or layer is model.layers[-1]
        x, cache = (layer.forward(x), None) if keeps else layer.forward_train(x)
        caches.append(cache)
    _, dscores = cross_entropy(x, labels)
    gradient, found = dscores * np.float32(len(labels)), []
    for i in reversed(range(len(model.layers))):
        layer = model.layers[i]
        if isinstance(layer, BatchNormSign):
            bits = layer.forward(inputs[i])
            outputs = unpack_signs(bits.reshape(-1, bits.shape[-1]), layer.units)
            found.append((outputs.reshape(gradient.shape), gradient))
            mean, scale, shift = layer.affine()
            through = pseudo_gradient(layer.ste, (inputs[i] - mean) * scale + shift)
            gradient = (gradient * through * scale).astype(np.float32)
        elif isinstance(layer, Norm):
            gradient = (gradient * layer.affine()[1]).astype(np.float32)
        elif i == 0:
            break                                                # pixels need no gradient; all other layers give arrays
        elif isinstance(layer, Weighted):
            gradient = cast(np.ndarray, layer.input_gradient(gradient, inputs[i], layer.words))
        else:
            gradient = cast(np.ndarray, layer.backward(gradient, caches[i])[0])
    return found[::-1]
