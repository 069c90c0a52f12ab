"""Weights behind an error-correcting code: encoded, broken with their check bits, decoded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bnnsim.checks import clean_fields
from bnnsim.faults.around import Around
from bnnsim.faults.by_layer import chosen, clean_layers
from bnnsim.faults.cost import Cost
from bnnsim.faults.error_codes import code_named
from bnnsim.faults.protocol import apply_read
from bnnsim.packed.memory import Memory, MemoryLike, Stored, StoredBits, check_stored
from bnnsim.packed.words import joined, parted
from bnnsim.seeding import RandomSource, root_seed


@dataclass(frozen=True)
class Protected(Around):
    """A fault that hits code words, data and check bits alike, of weights that are then decoded.

    Parameters
    ----------
    fault : fault
        Any; what it meets is `memory`.
    code : str
        "secded(8,4)", "secded(39,32)", "secded(72,64)": real extended Hamming codes, which correct one wrong bit of a
        word, leave two, and miscorrect most threes. "repetition(3)", "repetition(5)", "repetition(7)": that many
        copies and a majority. `bnnsim.faults.error_codes` says how words are made.
    layers : sequence of int, optional
        Only these layers are protected; all by default. The others meet the fault bare.

    References
    ----------
    SECDED(8,4) spends two cells a bit, as 2T2R spends two devices: Bocquet et al., IEDM 2018 [V]; residual error rates
    in docs/equations.rst 2.5 [D].

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> from bnnsim.faults import BitFlips, Protected
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> for fault in (BitFlips(0.01), Protected(BitFlips(0.01), "secded(72,64)")):
    ...     print(int(np.bitwise_count(fault.apply(network, 1).layers[0].words ^ network.layers[0].words).sum()))
    45
    14
    >>> Protected(BitFlips(0.01), "secded(72,64)").cost(network).cells_per_bit
    1.125
    """

    code: str = "secded(72,64)"
    layers: Sequence[int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        code_named(self.code)
        clean_fields(self, clean_layers, "layers")

    def memory(self, network: MemoryLike) -> Memory:
        """What the cells hold.

        Parameters
        ----------
        network : PackedNetwork or Memory
            The data.

        Returns
        -------
        Memory
            A protected layer has a row a unit: its code words side by side, each of data bits and then check bits (or,
            of a repetition, the copies of the row). Other layers are as they were.
        """
        code, layers = code_named(self.code), list(check_stored(network).layers)
        for i in chosen(self.layers, len(layers)):
            layer = layers[i]
            layers[i] = StoredBits(code.encode(joined(layer), layer.fan_in), code.stored_bits(layer.fan_in))
        return Memory(tuple(layers))

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0, read: int = 0) -> Stored:
        """A memory as it is decoded from broken cells.

        Parameters
        ----------
        memory : PackedNetwork or Memory
            The data.
        rng, trial
            As of ``fault.apply``, which draws for the cells that `Protected.memory` gives.
        read : int
            Number of the inference batch that reads, where the fault is drawn at each read.

        Returns
        -------
        PackedNetwork or Memory
        """
        code, cells = code_named(self.code), self.memory(memory)
        broken = apply_read(self.fault, cells, root_seed(rng), trial, read)
        protected, words = chosen(self.layers, len(cells.layers)), {}
        for i, (layer, before, after) in enumerate(zip(memory.layers, cells.layers, broken.layers)):
            if after is before:
                continue
            found = after.words
            if i in protected:
                found = parted(layer, code.decode(np.ascontiguousarray(found), layer.fan_in))
            if not np.array_equal(found, layer.words):
                words[i] = found
        return memory.with_words(words) if words else memory

    def cost(self, network: MemoryLike, energy_per_cell_joule: float | None = None) -> Cost:
        """Cells, and energy if that of one cell is given, in joule: `Cost`."""
        code, layers = code_named(self.code), check_stored(network).layers
        protected = chosen(self.layers, len(layers))
        n_cells = sum(layer.units * code.stored_bits(layer.fan_in) if i in protected else layer.n_bits
                      for i, layer in enumerate(layers))
        return Cost.of(sum(layer.n_bits for layer in layers), n_cells, energy_per_cell_joule)
