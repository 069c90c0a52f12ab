"""Certificates: how many flipped weights provably cannot change the class of an image, whichever they are.

Flips of the last layer's weights are counted out exactly, with its batch norm. For flips in a hidden layer, or
anywhere, a bound is propagated layer by layer, and is never too large: k flips change at most as many units as have the
smallest tolerances T with sum(T + 1) <= k; each changes the summands it enters by 2; a unit behind them changes only
where more than T of the summands that hold it on its side can change; and what changes in the last hidden layer brings
each rival closer by what its own weights say. Convolutions share a weight between positions: a flip counts for a whole
feature map. A padding that repeats its border shares inputs: one counts as often as a position reads it.

N images, L layers, K numbers of flips.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bnnsim.checks import FilePath, check_bool, check_images, check_int, check_labels, check_sequence
from bnnsim.files.brief import Brief
from bnnsim.packed.blocks import check_scores
from bnnsim.packed.network import PackedNetwork
from bnnsim.proofs.bounds import BLOCK_IMAGES, BlockBounds

if TYPE_CHECKING:
    from bnnsim.figures.style import Drawn, Width

FLIPS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True, eq=False, repr=False)
class Certificates(Brief):
    """Flips that cannot change the class of each image.

    Attributes
    ----------
    layers : int64 (N, L)
        Flips confined to one layer; the last column is exact, the others are lower bounds. A layer's number of weights
        where no flips of it change the class.
    whole : int64 (N,)
        Flips anywhere in the network, a lower bound.
    predictions : int64 (N,)
        Class without flips.
    """

    layers: np.ndarray
    whole: np.ndarray
    predictions: np.ndarray

    def accuracy(self, labels: npt.ArrayLike, flips: Sequence[int], layer: int | None = None) -> np.ndarray:
        """Certified accuracy: the share of images that are right, and stay so under any `flips` flips.

        Parameters
        ----------
        labels : integer (N,)
        flips : sequence of int (K,)
        layer : int, optional
            Flips confined to this layer; anywhere without it.

        Returns
        -------
        float64 (K,)
        """
        known, flips = self.flips(layer), check_sequence("flips", flips, "numbers of flips, such as [0, 1, 10]")
        right = self.predictions == check_labels(labels, len(known), 256)
        return np.array([np.mean(right & (known >= check_int(f"flips[{i}]", k, 0))) for i, k in enumerate(flips)])

    def flips(self, layer: int | None = None) -> np.ndarray:
        """int64 (N,): of a layer, or of the whole network."""
        if layer is None:
            return self.whole
        return self.layers[:, check_int("layer", layer, -self.layers.shape[1], self.layers.shape[1] - 1)]

    def table(self, labels: npt.ArrayLike, flips: Sequence[int] = FLIPS) -> str:
        """Text: certified accuracy in percent, a line for each number of flips, a column for each layer."""
        layers = [*range(self.layers.shape[1]), None]
        names = ["anywhere" if layer is None else f"layer {layer}" for layer in layers]
        shares = [self.accuracy(labels, flips, layer) for layer in layers]
        lines = ["certified accuracy %", "   flips  " + "  ".join(name.rjust(8) for name in names)]
        lines += [f"{k:8,}  " + "  ".join(f"{100 * share[j]:8.2f}" for share in shares) for j, k in enumerate(flips)]
        return "\n".join(lines)

    def plot(self, labels: npt.ArrayLike, path: FilePath | None = None, title: str = "",
             *, ax: "Drawn | None" = None, width: "Width" = None) -> "Drawn":
        """Certified accuracy over flips, a curve a layer: see `bnnsim.figures.proofs.certified_accuracy`."""
        import bnnsim.figures.proofs as proofs

        return proofs.certified_accuracy(self, labels, path, title, ax=ax, width=width)


def certified_flips(network: PackedNetwork, images: np.ndarray, singles: bool = False,
                    shared: bool = False) -> Certificates:
    """How many flipped weights provably leave each image's class alone.

    Parameters
    ----------
    network : PackedNetwork
    images : uint8 (N, C, H, W)
    singles : bool
        Try every single flip in a convolution where the bound gives 0, which it mostly does there: then 0 and 1 are
        told apart exactly. It takes some hundred forward passes an image.
    shared : bool
        Bound what flips of a convolution change by what each does at all positions at once: larger numbers, up to 64,
        where the output layer reads the convolution, or little lies between. It takes some milliseconds an image and
        flip.

    Returns
    -------
    Certificates

    Raises
    ------
    TypeError, ValueError
        Where the network is none or its last layer no dense one with scores, or the images do not fit it; where
        `singles` or `shared` is neither True nor False.

    References
    ----------
    Buschjaeger et al., arXiv:2002.00909, theorem 1 and eq. (2) (T of a unit) [V, the formula R]; last layer:
    docs/equations.rst 6.2, with an output batch norm [D, checked by enumeration]; the propagation between
    layers, the pooled bound, the sum over layers and shared weights (docs/frontier/certificates.rst) are ours [D,
    checked by enumeration].
    """
    images = check_images(images, check_scores(network, "certified_flips").input_shape, network.reads_bits)
    singles, shared = check_bool("singles", singles), check_bool("shared", shared)
    n = len(images)
    found = Certificates(np.zeros((n, len(network.layers)), np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64))
    for first in range(0, n, BLOCK_IMAGES):
        part = slice(first, min(first + BLOCK_IMAGES, n))
        block = BlockBounds(network, images[part])
        found.predictions[part] = block.y
        found.layers[part], found.whole[part] = block.certificates(singles, shared)
    return found
