"""Critical bits: what every single wrong weight of a layer does to the accuracy, exactly.

N images, U units, F weights of a unit.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

import bnnsim.kernels.analysis.ablation as ablation
import bnnsim.packed.blocks as blocks
from bnnsim.checks import FilePath, check_int
from bnnsim.datasets.split import LabelledImages
from bnnsim.files.brief import Brief
from bnnsim.files.html_text import Tabled
from bnnsim.metrics.neuron_importance import BLOCK, Inversions
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.graph_pass import clean_pass_of
from bnnsim.packed.network import PackedNetwork

if TYPE_CHECKING:
    from bnnsim.figures.style import Drawn, Width


@dataclass(frozen=True, eq=False, repr=False)
class CriticalBits(Tabled, Brief):
    """The effect of each single flip in a layer.

    Attributes
    ----------
    layer : int
    effect : int32 (U, F), or (K, kh, kw, C) of a convolution
        Right answers gained, of ``n_images``, when this weight alone is wrong; negative where they are lost.
    n_right, n_images : int
        Right answers without errors, and images.
    """

    layer: int
    effect: np.ndarray
    n_right: int
    n_images: int

    def worst(self, count: int = 10) -> list[tuple[tuple[int, ...], int]]:
        """The bits that cost most, worst first: list of (index into `effect`, right answers gained); ties by index."""
        order = np.argsort(self.effect, axis=None, kind="stable")[:check_int("count", count, 1)]
        return [(tuple(int(k) for k in np.unravel_index(at, self.effect.shape)), int(self.effect.flat[at]))
                for at in order]

    def table(self, count: int = 10) -> str:
        """Text: how many bits cost, gain or change nothing, then the worst."""
        n, effect = self.effect.size, self.effect
        lines = [f"layer {self.layer}, {n:,} bits, each flipped alone; {self.n_right:,} of {self.n_images:,} images "
                 "are right without errors",
                 f"{100 * np.mean(effect < 0):.2f} % of the bits cost accuracy, {100 * np.mean(effect > 0):.2f} % "
                 f"gain, {100 * np.mean(effect == 0):.2f} % change nothing; mean "
                 f"{100 * effect.mean() / self.n_images:+.5f} points", "", "worst bits        right answers  points"]
        lines += [f"{str(index):<16}  {gained:+13d}  {100 * gained / self.n_images:+6.2f}"
                  for index, gained in self.worst(min(count, n))]
        return "\n".join(lines)

    def plot(self, path: FilePath | None = None, *, ax: "Drawn | None" = None, width: "Width" = None) -> "Drawn":
        """How many bits have which effect: see `bnnsim.figures.metrics.critical_histogram`."""
        import bnnsim.figures.metrics as metrics

        return metrics.critical_histogram(self, path, ax=ax, width=width)


def critical_bits(network: PackedNetwork, split: LabelledImages, layer: int) -> CriticalBits:
    """The exact effect on accuracy of every single flip in a layer.

    Of a dense layer all flips together cost about as much as inverting its neurons: a flip changes an output only of
    images whose pre-activation it brings across the threshold, and then as an inversion does. Of a convolution, and of
    any layer of a graph, each flip is evaluated, from the layer on, and only for images of which an output changes.

    Parameters
    ----------
    network : PackedNetwork
    split : Split
        Images and their labels.
    layer : int
        Which layer; the output layer too.

    Returns
    -------
    CriticalBits

    Raises
    ------
    TypeError, ValueError
        Where the layer is none of the network's, or the split does not fit.

    References
    ----------
    [D]; every flip is evaluated by brute force on small networks in the tests.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC32 FC10", (1, 28, 28), rng=0))
    >>> critical_bits(network, bnnsim.load_embedded()[1][:100], 1).effect.shape
    (32, 64)
    """
    layer = check_int("layer", layer, 0, len(blocks.check_packed(network, graphs=True).layers) - 1)
    labels, images = blocks.check_labelled(network, split).astype(np.int64), split.images
    n_right = int(np.count_nonzero(network.predict(images) == labels))
    one_by_one = network.stages[layer].shares_weights or isinstance(network, PackedGraph)
    effect = _one_by_one(network, images, labels, layer) - np.int32(n_right) if one_by_one else \
        _by_block(network, images, labels, layer)
    return CriticalBits(layer, effect, n_right, len(labels))


def _by_block(network: PackedNetwork, images: np.ndarray, labels: np.ndarray, i: int) -> np.ndarray:
    inversions, stage = Inversions(network), network.stages[i]

    def visit(block: slice, xs: list[np.ndarray]) -> list[list[np.ndarray]]:
        part = np.zeros((stage.layer.units, stage.layer.fan_in), np.int32)
        reads = stage.patches(xs[0])[:, 0].copy() if stage.reads_pixels else xs[i]
        args = (reads, inversions.words[i], stage.sums(xs[i])[:, 0])
        if i == inversions.last and inversions.affine is not None:
            kernel = ablation.weights_of_output_pixels if stage.reads_pixels else ablation.weights_of_output
            kernel(*args, *inversions.affine, labels[block], part, 0, len(part))
        else:
            kernel = ablation.weights_of_pixels if stage.reads_pixels else ablation.weights_of_bits
            kernel(*args, stage.theta, inversions.change(i, xs, labels[block]), part, 0, len(part))
        return [[part]]

    (total,), = blocks.each_block(network, images, visit, BLOCK)
    return total


def _one_by_one(network: PackedNetwork, images: np.ndarray, labels: np.ndarray, i: int) -> np.ndarray:
    """Right answers with every flip of a convolution, or of a graph's layer: a broken copy, on shared activations."""
    layer, clean = network.layers[i], clean_pass_of(network, images)
    n_right = np.empty((*layer.words.shape[:-1], layer.n_in), np.int32)
    words = layer.words.copy()
    for at in np.ndindex(n_right.shape):
        place = (*at[:-1], at[-1] // 64)
        bit = np.uint64(1) << np.uint64(at[-1] % 64)
        words[place] ^= bit
        predicted = clean.predict(network.with_words({i: words.copy()}))
        words[place] ^= bit
        n_right[at] = np.count_nonzero(predicted == labels)
    return n_right
