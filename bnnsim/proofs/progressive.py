"""Flips chosen to cost a network its accuracy: a progressive bit search, on many images at once.

At each step the loss is followed back through the layers (`slopes`); in each layer the weights whose flips promise most
are flipped together, the network is evaluated, exactly, and the layer whose flips cost most keeps them. N images, P
positions, F weights of a unit, U units, C classes.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnnsim.checks import FilePath, check_int, check_labels, check_probability, check_split
from bnnsim.files.brief import Brief
from bnnsim.packed.blocks import check_scores, reads
from bnnsim.packed.forward import affine_scores
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.stages import Stage
from bnnsim.proofs.slopes import through_sign, through_weights

if TYPE_CHECKING:
    from bnnsim.datasets.split import LabelledImages
    from bnnsim.figures.style import Drawn, Width

FULL_SCALE = 2**15                  # slopes become integers up to this, whose sums are exact in any order
BLOCK_IMAGES = 16


@dataclass(frozen=True, eq=False, repr=False)
class ProgressiveFlips(Brief):
    """Flips in the order in which they were chosen.

    Attributes
    ----------
    network : PackedNetwork
        Without them.
    layers, weights : int64 (K,)
        Layer of each flip, and number of the weight in the layer's +-1 array (U, F) or (K, kh, kw, C).
    flips : int64 (S + 1,)
        How many there were after each step, 0 first.
    accuracy : float64 (S + 1,)
        Then, on the images that were attacked.
    """

    network: PackedNetwork
    layers: np.ndarray
    weights: np.ndarray
    flips: np.ndarray
    accuracy: np.ndarray

    def broken(self, n_flips: int) -> PackedNetwork:
        """The network with the first flips."""
        n, words = check_int("n_flips", n_flips, 0, len(self.layers)), {}
        for i in np.unique(self.layers[:n]):
            words[int(i)] = _flipped(self.network, int(i), self.weights[:n][self.layers[:n] == i])
        return self.network.with_words(words)

    def needed(self, accuracy: float) -> int | None:
        """The fewest flips after which the attacked images are at most so often right; None where never."""
        steps = np.flatnonzero(self.accuracy <= check_probability("accuracy", accuracy))
        return int(self.flips[steps[0]]) if len(steps) else None

    def table(self) -> str:
        """Text: accuracy after the flips, a line for each of at most twenty steps, and flips by layer at the end."""
        steps = np.unique(np.linspace(0, len(self.flips) - 1, 20).round().astype(int))
        lines = ["   flips  accuracy %"] + [f"{self.flips[s]:8,}  {100 * self.accuracy[s]:10.2f}" for s in steps]
        by_layer = np.bincount(self.layers, minlength=len(self.network.layers))
        return "\n".join([*lines, f"flips by layer: {', '.join(map(str, by_layer))}"])

    def plot(self, path: FilePath | None = None, *, ax: "Drawn | None" = None, width: "Width" = None) -> "Drawn":
        """Accuracy over flips: see `bnnsim.figures.proofs.chosen_flips`."""
        import bnnsim.figures.proofs as proofs

        return proofs.chosen_flips(self, path, ax=ax, width=width)


def progressive_flips(network: PackedNetwork, split: "LabelledImages", most_flips: int = 100, at_once: int = 1,
                      layers: Sequence[int] | None = None) -> ProgressiveFlips:
    """Few flips, whichever weights they take, that cost a network its accuracy on some images, and on others with them.

    Parameters
    ----------
    network : PackedNetwork
    split : Split
        The images that the attacker has, some hundred.
    most_flips : int
        It ends earlier where no layer's flips raise the loss.
    at_once : int
        Flips a step, of one layer.
    layers : sequence of int, optional
        That may be attacked; all by default.

    Returns
    -------
    ProgressiveFlips

    References
    ----------
    The progressive bit search of Rakin et al., ICCV 2019 [M], for binary weights; the slopes are those of
    `breaking_flips`, and the loss is a ramp, docs/frontier/certificates.rst 3 [D]. Its use against binarized networks:
    RA-BNN, arXiv:2103.13813 [V].

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.load_network("fashion_fcnn")
    >>> test = bnnsim.load_embedded()[1]
    >>> found = bnnsim.proofs.progressive_flips(network, test[:100], most_flips=300, at_once=100)
    >>> bool(found.broken(300).accuracy(test) < network.accuracy(test) - 0.1)
    True
    """
    images = check_split(split).images
    labels = check_labels(split.labels, len(images), check_scores(network, "progressive_flips").n_classes)
    most_flips, at_once = check_int("most_flips", most_flips, 1), check_int("at_once", at_once, 1)
    n_layers = len(network.layers)
    if layers is not None and not isinstance(layers, Iterable):
        raise TypeError(f"layers must be a list of numbers of layers, got {layers!r}; for one give [{layers!r}]")
    meant = range(n_layers) if layers is None else [check_int(f"layers[{k}]", i, 0, n_layers - 1)
                                                    for k, i in enumerate(layers)]
    if not len(meant):
        raise ValueError("layers must name at least one layer, got none; leave it out for all")
    search = _Search(network, images, labels.astype(np.int64))
    while len(search.numbers) < most_flips and search.step(meant, min(at_once, most_flips - len(search.numbers))):
        pass
    of_flips = np.array(search.numbers, np.int64).reshape(-1, 2).T
    return ProgressiveFlips(network, of_flips[0], of_flips[1], np.array(search.flips), np.array(search.accuracy))


class _Search:
    """The network under attack, and what was flipped."""

    def __init__(self, network: PackedNetwork, images: np.ndarray, labels: np.ndarray) -> None:
        self.network, self.images, self.labels, self.rows = network, images, labels, np.arange(len(labels))
        lead, _ = self.leads(network.scores(images))
        self.reach = max(float(lead[lead > 0].mean()) if (lead > 0).any() else 0.0, 1e-300)
        self.loss, self.numbers = self.loss_of(lead), list[tuple[int, int]]()
        self.tried: list[set[int]] = [set() for _ in network.layers]
        self.flips, self.accuracy = [0], [float((lead > 0).mean())]

    def leads(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(score of the label less the strongest rival's (N,), below 0 or the least above where equal, rival (N,))."""
        others = scores.copy()
        others[self.rows, self.labels] = -np.inf
        rival = others.argmax(axis=1)
        lead = scores[self.rows, self.labels] - others[self.rows, rival]
        return np.where((lead == 0) & (self.labels < rival), np.finfo(np.float64).tiny, lead), rival

    def loss_of(self, lead: np.ndarray) -> float:
        """Mean of the ramp: 0 of a clear answer, 2 of one that is as clearly wrong."""
        return float(np.clip(1 - lead / self.reach, 0, 2).mean())

    def step(self, meant: Sequence[int], n_flips: int) -> bool:
        """Flip the weights of one layer that cost most; whether any do."""
        best = self.loss, -1, np.zeros(0, np.int64), self.network, np.zeros(0)
        for i, chosen in self.candidates(meant, n_flips):
            broken = self.network.with_words({i: _flipped(self.network, i, chosen)})
            lead, _ = self.leads(broken.scores(self.images))
            loss = self.loss_of(lead)
            if loss > best[0]:
                best = loss, i, chosen, broken, lead
        self.loss, i, chosen, self.network, lead = best
        if i < 0:
            return False
        self.tried[i].update(chosen.tolist())
        self.numbers += [(i, number) for number in chosen.tolist()]
        self.flips.append(len(self.numbers))
        self.accuracy.append(float((lead > 0).mean()))
        return True

    def candidates(self, meant: Sequence[int], n_flips: int) -> list[tuple[int, np.ndarray]]:
        """Of each layer that is meant the weights, by number, whose flips promise most, and anything."""
        stages, xs, found = self.network.stages, reads(self.network, self.images), []
        h = [stage.sums(x) for stage, x in zip(stages, xs)]
        norm = self.network.layers[-1].output_affine
        lead, rival = self.leads(affine_scores(h[-1][:, 0], *norm))
        active = np.where(np.abs(lead) < self.reach, 1.0, 0.0)
        dz = np.zeros((len(lead), self.network.n_classes))
        dz[self.rows, self.labels], dz[self.rows, rival] = -active, active
        dh = (dz * norm[1])[:, None].astype(np.float32)
        for i in reversed(range(len(stages))):
            if i in meant:
                found.append((i, self.most_promising(i, xs[i], dh, n_flips)))
            if i and i > min(meant):
                slope = through_weights(stages[i], dh).reshape(len(lead), -1, stages[i - 1].layer.units)
                dh = through_sign(stages[i - 1], h[i - 1], slope)
        return [(i, chosen) for i, chosen in found if len(chosen)]

    def most_promising(self, i: int, x: np.ndarray, dh: np.ndarray, n_flips: int) -> np.ndarray:
        """Numbers of weights of layer i, by -w dL/dw, the largest first."""
        stage = self.network.stages[i]
        gain = _promise(stage, x, dh)
        already = np.fromiter(self.tried[i], np.int64, len(self.tried[i]))
        gain[already] = 0
        order = np.argpartition(-gain, min(n_flips, len(gain) - 1))[:n_flips]
        least = gain[order].min()                               # equal gains: the lowest numbers
        above, equal = np.flatnonzero(gain > max(least, 0)), np.flatnonzero(gain == least) if least > 0 else order[:0]
        return np.concatenate([above[np.argsort(-gain[above], kind="stable")], equal])[:n_flips]


def _promise(stage: Stage, x: np.ndarray, dh: np.ndarray) -> np.ndarray:
    """-w dL/dw of each weight by its number, in whole units: exact sums, the same on any number of threads."""
    layer, largest = stage.layer, float(np.abs(dh).max(initial=0))
    whole = np.rint(dh.astype(np.float64) * (FULL_SCALE / largest)) if largest else np.zeros(dh.shape)
    total = np.zeros((layer.units, math.prod(stage.patch_shape)))
    for first in range(0, len(x), BLOCK_IMAGES):
        part = slice(first, first + BLOCK_IMAGES)
        patches = stage.patches(x[part]).astype(np.float64)
        total += whole[part].reshape(-1, layer.units).T @ patches.reshape(-1, patches.shape[2])
    gain = -total * stage.signs_by_summand.T
    if layer.groups > 1:                                        # of all channels, those that a unit's group reads
        gain = gain.reshape(layer.units, -1, layer.groups, layer.n_in)
        gain = gain[np.arange(layer.units), :, np.arange(layer.units) // (layer.units // layer.groups)]
    return gain.reshape(-1)


def _flipped(network: PackedNetwork, i: int, numbers: np.ndarray) -> np.ndarray:
    """The words of a layer with the weights of these numbers flipped."""
    layer = network.layers[i]
    words = layer.words.reshape(-1, layer.words.shape[-1]).copy()
    row, f = np.divmod(numbers, layer.n_in)
    np.bitwise_xor.at(words, (row, f >> 6), np.uint64(1) << (f & 63).astype(np.uint64))
    return words.reshape(layer.words.shape)
