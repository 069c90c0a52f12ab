"""Bit errors in the digital parts of a graph: the float32 numbers of its operations, as stored words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np

from bnnsim.checks import check_choice, check_int, check_probability, clean_fields
from bnnsim.faults.axis import BER
from bnnsim.packed.bit_errors import flip_masks
from bnnsim.packed.graph import PackedGraph
from bnnsim.packed.memory import Stored, check_stored
from bnnsim.packed.operations import OPERATIONS, Operation
from bnnsim.seeding import RandomSource, root_seed, stream_key

ARRAYS = tuple(dict.fromkeys(name for kind in OPERATIONS.values() for name in kind.arrays))


@dataclass(frozen=True)
class RealBits:
    """Each bit of the float32 numbers of a graph's operations flips with probability p, independently.

    No other fault touches these numbers, and this one touches no weight of the memory: what sweeps tell as wrong bits
    is 0 of it alone. A number may become infinite or none at all, and so may scores: such a score counts as the lowest.
    Sweeps tell how many there were of each chip, as does `PackedGraph.n_nonfinite`.

    Parameters
    ----------
    p : float
        Of each bit, sign, exponent and fraction alike.
    operations : sequence of int or str, optional
        Only these: numbers of nodes, and words such as "real-conv" for all of a kind; all by default.
    arrays : sequence of str, optional
        Only these numbers of them, such as "weight", "bias", "scale"; all by default.

    Examples
    --------
    >>> fault = RealBits(1e-5, ("real-conv", 39), ("weight",))
    >>> fault.at(1e-4).p
    0.0001
    """

    p: float
    operations: Sequence[int | str] | None = None
    arrays: Sequence[str] | None = None

    moves: ClassVar[str] = f"{BER}_of_real_numbers"
    when: ClassVar[str] = "write"

    def __post_init__(self) -> None:
        clean_fields(self, check_probability, "p")
        if self.operations is not None:
            object.__setattr__(self, "operations", tuple(
                check_choice(f"operations[{i}]", what, OPERATIONS) if isinstance(what, str) else
                check_int(f"operations[{i}]", what, 0)
                for i, what in enumerate(_listed("operations", self.operations))))
        if self.arrays is not None:
            object.__setattr__(self, "arrays", tuple(
                check_choice(f"arrays[{i}]", name, ARRAYS) for i, name in enumerate(_listed("arrays", self.arrays))))

    def at(self, rate: float) -> "RealBits":
        """The same at another rate."""
        return replace(self, p=rate)

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0) -> Stored:
        """A graph with other numbers in its operations.

        Parameters
        ----------
        memory : PackedGraph
            It stays as it is.
        rng : None, int, SeedSequence or Generator
            The root seed. A draw's key is (root seed, "real bits", trial, node, 0, number of the array), its counter
            the place of the bit: a chip's errors at a lower rate are a subset of a higher's.
        trial : int
            Which chip.

        Returns
        -------
        PackedGraph
        """
        check_stored(memory)
        if not isinstance(memory, PackedGraph):
            raise TypeError("RealBits breaks float32 numbers of operations, which only a PackedGraph has, got "
                            f"{type(memory).__name__}: not a chain, nor what codes, spares, fault maps and training "
                            "break; put it beside other faults in a Compose")
        root, trial = root_seed(rng), check_int("trial", trial, 0)
        changed = {}
        for i, what in self._chosen(memory).items():
            broken: dict[str, np.ndarray] = {}
            for a, name in enumerate(what.arrays):
                if self.arrays is None or name in self.arrays:
                    numbers = getattr(what, name)
                    masks = flip_masks(numbers.size, 32, self.p, stream_key(root, "real bits", trial, i, 0, a))
                    if masks.any():
                        flipped = numbers.view(np.uint32) ^ masks.astype(np.uint32).reshape(numbers.shape)
                        broken[name] = flipped.view(np.float32)
            if broken:
                changed[i] = replace(cast(Any, what), **broken)         # each kind of them is a dataclass
        return cast(Stored, memory.with_operations(changed)) if changed else memory

    def _chosen(self, graph: PackedGraph) -> dict[int, Operation]:
        """The operations that are meant, by the numbers of their nodes."""
        found = {i: node.what for i, node in enumerate(graph.nodes) if isinstance(node.what, Operation)}
        if self.operations is None:
            return found
        words = {what.word for what in found.values()}
        for asked in self.operations:
            if asked not in found and asked not in words:
                raise ValueError(f"operations must name operations of the graph by number or by word, got {asked!r}: "
                                 "summary() of the network lists them")
        return {i: what for i, what in found.items() if i in self.operations or what.word in self.operations}


def _listed(name: str, value: object) -> Sequence[int | str]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name} must be a list or tuple, got {value!r:.100}")
    return value
