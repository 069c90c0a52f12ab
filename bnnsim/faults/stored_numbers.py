"""Bit errors in the integers and numbers beside the weights: thresholds, and the output's batch norm, as stored words.

Either is laid out as a memory of its own, which any fault may hit: with its own rate, of its own kind of cell, behind
a code of its own. Bits that are wrong there are not among the wrong weight bits that sweeps tell.

U units, b bits a word.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

from bnnsim.checks import check_int, clean_fields
from bnnsim.faults.around import Around
from bnnsim.faults.axis import moves_of
from bnnsim.faults.protocol import apply_read
from bnnsim.packed.memory import Memory, Stored, StoredBits, check_stored
from bnnsim.packed.network import PackedNetwork
from bnnsim.packed.stages import Stage
from bnnsim.packed.words import pack_bits, unpack_bits
from bnnsim.seeding import RandomSource, child_root, root_seed

AFFINE = ("mean", "scale", "shift")
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class _InWords(Around):
    """A fault that hits words beside the weights."""

    WHAT: ClassVar[str]

    @property
    def moves(self) -> str | None:
        """The axis of the fault inside, "of_thresholds" or "of_output_numbers"."""
        inner = moves_of(self.fault)
        return inner and f"{inner}_of_{self.WHAT}"

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0, read: int = 0) -> Stored:
        """A network with other numbers; its weights stay.

        Parameters
        ----------
        memory : PackedNetwork
            It stays as it is.
        rng : None, int, SeedSequence or Generator
            The root seed; that of the fault inside is of (root seed, "thresholds" or "output_numbers").
        trial, read : int
            As of the fault inside.

        Returns
        -------
        PackedNetwork
        """
        network = _network(memory, type(self).__name__)
        stages = self.stages(network)
        cells = Memory(tuple(StoredBits(pack_bits(bits), bits.shape[1]) for bits in map(self.bits, stages)))
        broken = apply_read(self.fault, cells, child_root(root_seed(rng), self.WHAT), trial, read)
        changed = {stage.index: self.numbers(stage, unpack_bits(after.words, after.n_in))
                   for stage, before, after in zip(stages, cells.layers, broken.layers)
                   if not np.array_equal(before.words, after.words)}
        return cast(Stored, network.with_arrays(changed)) if changed else memory

    def n_bits(self, network: PackedNetwork) -> int:
        """Bits of these words, without check bits of a code inside."""
        return sum(self.bits(stage).size for stage in self.stages(_network(network, type(self).__name__)))

    def stages(self, network: PackedNetwork) -> list[Stage]:
        """The layers that have such words."""
        raise NotImplementedError

    def bits(self, stage: Stage) -> np.ndarray:
        """What is stored, uint8 (U, bits a unit)."""
        raise NotImplementedError

    def numbers(self, stage: Stage, bits: np.ndarray) -> Arrays:
        """What is read of such bits: arrays for `PackedNetwork.with_arrays`."""
        raise NotImplementedError


@dataclass(frozen=True)
class InThresholds(_InWords):
    """A fault of the memory that holds the thresholds: b bits of two's complement a unit, and a bit whether it inverts.

    Layers of the fault inside are those that have thresholds, in order: of a chain all but the last. A row of its
    memory is a unit, bit 0 the lowest, the inversion the last.

    Parameters
    ----------
    fault : fault
        Of words instead of weights: ``BitFlips(1e-3)``, or protected ``Protected(BitFlips(1e-3), "secded(8,4)")``.
    width : int, optional
        b, 1 to 32; by default as few as hold every threshold that the layer could have, -bound .. bound + 1.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC32 FC10", (1, 8, 8), rng=0))
    >>> fault = InThresholds(bnnsim.faults.BitFlips(0.01))
    >>> fault.n_bits(network), fault.moves
    (1312, 'bit_error_rate_of_thresholds')
    """

    width: int | None = None
    WHAT: ClassVar[str] = "thresholds"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width is not None:
            clean_fields(self, check_int, "width", low=1, high=32)

    def stages(self, network: PackedNetwork) -> list[Stage]:
        """The layers that have thresholds."""
        found = [stage for stage in network.stages if stage.layer.threshold is not None]
        if not found:
            raise ValueError("network must have a layer with thresholds, got one that has none")
        return found

    def bits(self, stage: Stage) -> np.ndarray:
        """Thresholds and inversions, uint8 (U, b + 1)."""
        theta, width = stage.theta, self._width_of(stage)
        least, most = -(1 << width - 1), (1 << width - 1) - 1
        if theta.min() < least or theta.max() > most:
            needed = max(int(theta.max()), -int(theta.min()) - 1).bit_length() + 1
            raise ValueError(f"width must be at least {needed} to hold those of layer {stage.index}, "
                             f"{theta.min()} to {theta.max()}, got {width}")
        return np.concatenate([_bits_of(theta, width), stage.inverted[:, None].astype(np.uint8)], axis=1)

    def numbers(self, stage: Stage, bits: np.ndarray) -> Arrays:
        """Thresholds and inversions that are read."""
        return {"threshold": _integers_of(bits[:, :-1]).astype(np.int32), "inverted": bits[:, -1].astype(bool)}

    def _width_of(self, stage: Stage) -> int:
        return min((stage.bound + 1).bit_length() + 1, 32) if self.width is None else \
            self.width


@dataclass(frozen=True)
class InOutput(_InWords):
    """A fault of the memory that holds the output's batch norm: mean, scale and shift of a class, b bits each.

    Each of the three is a fixed-point number of b bits in two's complement; its step is the least power of two at which
    all classes' fit, or 2^-(b - 1) where all are 0. What is read is the number as it was plus the steps by which the
    word is wrong: that it was rounded to be stored is left out, so that no error is no change [D]. A row of the memory
    is a class.

    Parameters
    ----------
    fault : fault
        Of words instead of weights.
    width : int
        b, 2 to 32.

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> InOutput(bnnsim.faults.BitFlips(0.01)).n_bits(network)
    480
    """

    width: int = 16
    WHAT: ClassVar[str] = "output_numbers"

    def __post_init__(self) -> None:
        super().__post_init__()
        clean_fields(self, check_int, "width", low=2, high=32)

    def stages(self, network: PackedNetwork) -> list[Stage]:
        """The layer that gives scores."""
        found = [stage for stage in network.stages if stage.layer.mean is not None]
        if not found:
            raise ValueError("network must have a layer of bits that gives scores, got one whose scores are +-1 or "
                             "come of an operation: see RealBits")
        return found

    def bits(self, stage: Stage) -> np.ndarray:
        """Words of mean, scale and shift side by side, uint8 (U, 3 b)."""
        return np.concatenate([_bits_of(np.rint(value / self._step(value)).astype(np.int64), self.width)
                               for value in self._affine(stage)], axis=1)

    def numbers(self, stage: Stage, bits: np.ndarray) -> Arrays:
        """Mean, scale and shift that are read."""
        found = {}
        for name, value, old, new in zip(AFFINE, self._affine(stage), np.split(self.bits(stage), 3, axis=1),
                                         np.split(bits, 3, axis=1)):
            found[name] = value + self._step(value) * (_integers_of(new) - _integers_of(old))
        return found

    def _step(self, value: np.ndarray) -> float:
        most = float(np.abs(value).max())
        return 2.0 ** math.ceil(math.log2(most / ((1 << self.width - 1) - 1))) if most else \
            2.0 ** (1 - self.width)

    @staticmethod
    def _affine(stage: Stage) -> tuple[np.ndarray, ...]:
        return stage.layer.output_affine


def _network(memory: Any, name: str) -> PackedNetwork:
    check_stored(memory)
    if not isinstance(memory, PackedNetwork):
        raise TypeError(f"{name} hits numbers beside the weights, which only a PackedNetwork has, got "
                        f"{type(memory).__name__}: codes and spares go inside of it, not around it; other faults stand "
                        "beside it in a Compose")
    return memory


def _bits_of(integers: np.ndarray, width: int) -> np.ndarray:
    """Two's complement of integers (U,) int64: uint8 (U, width), the lowest first."""
    return (integers[:, None] >> np.arange(width) & 1).astype(np.uint8)


def _integers_of(bits: np.ndarray) -> np.ndarray:
    """`_bits_of` back, int64 (U,)."""
    weights = np.int64(1) << np.arange(bits.shape[1])
    weights[-1] *= -1
    return bits.astype(np.int64) @ weights
