"""Faults of single devices, in memories that hold each weight as a pair of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bnnsim.checks import clean_fields
from bnnsim.faults.around import Around
from bnnsim.faults.by_layer import chosen, clean_layers
from bnnsim.faults.protocol import apply_read
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.memory import Memory, Stored, StoredBits, StoredLayer, check_stored
from bnnsim.packed.operations.pairs import Twice
from bnnsim.packed.words import full_row
from bnnsim.seeding import RandomSource, root_seed

SECOND = np.uint64(0xAAAAAAAAAAAAAAAA)      # of each pair of bits


@dataclass(frozen=True)
class PairDevices(Around):
    """A fault that meets the states of devices, of ternary weights that are pairs of them.

    Of a ternary weight's two stored bits the first is 1 where the first device is in LRS, the second where the second
    is in HRS. What errs with the same probability in both states needs nothing more, such as `BitFlips`. Where LRS and
    HRS err otherwise, the fault must be told the states: inside of this one, bit 1 is LRS in all devices. An error of
    one device moves a weight one level.

    Parameters
    ----------
    fault : fault
        Of cells of one device, LRS being 1: ``Cell1T1R(...).fault()``, `AsymmetricFlips` (p10: LRS that read as HRS),
        `StuckAt` (p_one: stuck in LRS) ...
    layers : sequence of int, optional
        Those of ternary weights; all by default. The others meet the fault as they are.

    References
    ----------
    docs/frontier/ternary.rst 3 [D].

    Examples
    --------
    >>> import bnnsim, bnnsim.training
    >>> model = bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0)
    >>> network = bnnsim.pack(bnnsim.training.with_ternary_weights(model))
    >>> lost = bnnsim.faults.AsymmetricFlips(p01=0, p10=1)              # LRS reads as HRS, of which every pair is a 0
    >>> for fault in (lost, PairDevices(lost)):
    ...     rows = fault.apply(network, rng=1).layers[0].signs()
    ...     print(int((rows[:, ::2] != -rows[:, 1::2]).sum()))
    4096
    0
    """

    layers: Sequence[int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        clean_fields(self, clean_layers, "layers")

    def memory(self, network: Stored) -> Memory:
        """What the devices hold: 1 is LRS."""
        if not isinstance(network, Memory) and not (isinstance(network, PackedGraph) and any(
                isinstance(operation, Twice) for operation in network.operations)):
            check_stored(network)
            raise ValueError("network must have ternary weights (bnnsim.training.with_ternary_weights), got one of "
                             "binary weights: give it the fault that is inside of PairDevices")
        layers: list[StoredLayer] = list(check_stored(network).layers)
        for i in chosen(self.layers, len(layers)):
            layers[i] = StoredBits(layers[i].words ^ _seconds(i, layers[i]), layers[i].n_in)
        return Memory(tuple(layers))

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0, read: int = 0) -> Stored:
        """A memory as its devices are read.

        Parameters
        ----------
        memory : PackedNetwork or Memory
        rng, trial
            As of ``fault.apply``.
        read : int
            Number of the inference batch that reads, where the fault is drawn at each read.
        """
        devices = self.memory(memory)
        broken, words = apply_read(self.fault, devices, root_seed(rng), trial, read), {}
        for i, (layer, before, after) in enumerate(zip(memory.layers, devices.layers, broken.layers)):
            if after is not before:
                words[i] = layer.words ^ before.words ^ after.words
        return memory.with_words(words) if words else memory


def _seconds(i: int, layer: StoredLayer) -> np.ndarray:
    """The bits of second devices in a row of a layer."""
    if layer.n_in % 2:
        raise ValueError(f"layers must be those of ternary weights, pairs of bits, but layer {i} has rows of "
                         f"{layer.n_in} bits: give the numbers of those that are")
    return full_row(layer.n_in) & SECOND
