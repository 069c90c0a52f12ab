"""Independent bit flips: every stored bit is wrong with the same probability, the bit error rate (BER)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bnnsim.faults.axis import BER
from bnnsim.faults.by_layer import LayerFault, Rates, streams
from bnnsim.packed.bit_errors import flip_masks_each
from bnnsim.packed.memory import Stored, StoredLayer
from bnnsim.seeding import RandomSource

MOST_BYTES = 2**25                  # of masks that are drawn at once


@dataclass(frozen=True, repr=False)
class BitFlips(LayerFault):
    """Each stored weight bit flips with probability p, independently, exactly Bernoulli: never drawn with replacement.

    Parameters
    ----------
    p : float, or a sequence of one float a layer
        Bit error rate(s).
    layers : sequence of int, optional
        Only these layers have errors; all by default.
    rate : float, optional
        Where p is one a layer: the largest of them, to which they are scaled, as ``at(rate)`` does.

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> broken = bnnsim.faults.BitFlips(0.01).apply(network, rng=1)
    >>> int(np.bitwise_count(broken.layers[0].words ^ network.layers[0].words).sum())
    45
    """

    p: Rates
    layers: Sequence[int] | None = None

    MOVES: ClassVar[str] = BER
    when: ClassVar[str] = "write"

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0) -> Stored:
        """A memory with bit errors: see `LayerFault.apply`; the stream is "bit flips"."""
        return next(_each([self], memory, rng, trial))

    def apply_each(self, rates: Sequence[float], memory: Stored, rng: RandomSource = None,
                   trial: int = 0) -> Iterator[Stored]:
        """``self.at(rate).apply(memory, rng, trial)`` of each rate, one after the other.

        Rates share a pass over the chip's random bits, as many as keep the words of broken layers under 32 MB.
        """
        return _each([self.at(rate) for rate in rates], memory, rng, trial)


def _each(faults: Sequence[BitFlips], memory: Stored, rng: RandomSource, trial: int) -> Iterator[Stored]:
    key, layers = streams(memory, rng, trial), memory.layers
    at_once = max(1, MOST_BYTES // sum(layer.words.nbytes for layer in layers))
    for first in range(0, len(faults), at_once):
        by_layer = zip(*(fault.rates(len(layers)) for fault in faults[first:first + at_once]))
        broken = [_flipped(layer, [p for p, in of_layer], key("bit flips", i))
                  for i, (layer, of_layer) in enumerate(zip(layers, by_layer))]
        for of_chip in zip(*broken):
            changed = {i: words for i, words in enumerate(of_chip) if words is not None}
            yield memory.with_words(changed) if changed else memory


def _flipped(layer: StoredLayer, rates: Sequence[float], key: np.ndarray) -> list[np.ndarray | None]:
    """The layer's words at each rate, None where no bit flips."""
    rows = layer.words.reshape(-1, layer.words.shape[-1])
    masks = flip_masks_each(len(rows), layer.n_in, rates, key)
    return [(rows ^ mask).reshape(layer.words.shape) if mask.any() else None for mask in masks]
