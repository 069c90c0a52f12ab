"""Independent bit flips: every stored bit is wrong with the same probability, the bit error rate (BER)."""

from dataclasses import dataclass, replace
from typing import ClassVar

from bnnsim.checks import check_int
from bnnsim.faults.by_layer import clean_layers, clean_rate, spread_rate
from bnnsim.packed.bit_errors import flip_masks_each
from bnnsim.packed.memory import check_stored
from bnnsim.seeding import root_seed, stream_key

MOST_BYTES = 2**25                  # of masks that are drawn at once


@dataclass(frozen=True)
class BitFlips:
    """Each stored weight bit flips with probability p, independently, exactly Bernoulli: never drawn with replacement.

    Parameters
    ----------
    p : float, or a sequence of one float a layer
        Bit error rate(s).
    layers : sequence of int, optional
        Only these layers have errors; all by default.

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> broken = bnnsim.faults.BitFlips(0.01).apply(network, rng=1)
    >>> int(np.bitwise_count(broken.layers[0].words ^ network.layers[0].words).sum())
    45
    """

    p: float | tuple
    layers: tuple | None = None

    when: ClassVar[str] = "write"

    def __post_init__(self):
        object.__setattr__(self, "layers", clean_layers(self.layers))
        object.__setattr__(self, "p", clean_rate("p", self.p))

    def at(self, rate):
        """The same fault at another bit error rate."""
        return replace(self, p=rate)

    def rates(self, n_layers):
        """One rate a layer."""
        return spread_rate("p", self.p, self.layers, n_layers)

    def apply(self, network, rng=None, trial=0):
        """A network with bit errors; `network` is untouched, and layers without an error are shared.

        Parameters
        ----------
        network : PackedNetwork
        rng : None, int, SeedSequence or Generator
            The root seed. A draw's key is (root seed, "bit flips", trial, layer, array 0) and its counter the bit's
            place in the layer: not the rate, so one trial's flips at a lower rate are a subset of a higher rate's.
        trial : int
            Which chip.

        Returns
        -------
        PackedNetwork
        """
        return next(self.apply_each([self.p], network, rng, trial))

    def apply_each(self, rates, network, rng=None, trial=0):
        """``self.at(rate).apply(network, rng, trial)`` of each rate, one after the other.

        Rates share a pass over the chip's random bits, as many as keep the words of broken layers under 32 MB.
        """
        layers = check_stored(network).layers
        root, trial = root_seed(rng), check_int("trial", trial, 0)
        at_once = max(1, MOST_BYTES // sum(layer.words.nbytes for layer in layers))
        for first in range(0, len(rates), at_once):
            by_layer = zip(*(self.at(rate).rates(len(layers)) for rate in rates[first:first + at_once]))
            broken = [_flipped(layer, p, stream_key(root, "bit flips", trial, i, 0))
                      for i, (layer, p) in enumerate(zip(layers, by_layer))]
            for of_chip in zip(*broken):
                changed = {i: words for i, words in enumerate(of_chip) if words is not None}
                yield network.with_words(changed) if changed else network


def _flipped(layer, rates, key):
    """The layer's words at each rate, None where no bit flips."""
    rows = layer.words.reshape(-1, layer.words.shape[-1])
    masks = flip_masks_each(len(rows), layer.n_in, rates, key)
    return [(rows ^ mask).reshape(layer.words.shape) if mask.any() else None for mask in masks]
