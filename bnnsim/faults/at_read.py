"""Errors of the circuits that read a network: drawn anew for each image, in what layers sum up and what they give.

They break no stored bit. A fault of this kind gives a network whose scores have them, of the images of one read in the
order in which they are given; what else is asked of such a network, it does not know. Chains of layers alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

import numpy as np

from bnnsim.checks import check_images, check_int
from bnnsim.faults.by_layer import LayerFault
from bnnsim.kernels import split
from bnnsim.packed.blocks import check_packed
from bnnsim.packed.memory import Stored
from bnnsim.packed.network import BLOCK_IMAGES, PackedNetwork
from bnnsim.packed.stages import Stage
from bnnsim.packed.words import unpack_signs
from bnnsim.seeding import RandomSource, child_root, root_seed, stream_key

BLOCK_BYTES = 2**26                 # of pre-activations that a thread has in hand


@dataclass(frozen=True, repr=False)
class AtRead(LayerFault):
    """A fault of reading: what is drawn once an image, one `of_bits` or `of_sums` away from a new one."""

    STREAM: ClassVar[str]                   # of its random numbers
    OF_SUMS: ClassVar[bool]                 # whether it changes pre-activations, or output bits
    SUMS_UP: ClassVar[bool] = False         # whether it sums up by itself: `of_inputs` in place of `of_sums`
    when: ClassVar[str] = "read"

    def refusal(self, stage: Stage) -> str | None:
        """Why this layer has no such errors; None where it has."""
        if self.OF_SUMS:
            return f"layer {stage.index} reads pixels: its summands have sizes, and it counts none of them" \
                if stage.reads_pixels else None
        return f"layer {stage.index} gives scores, no bits" if stage.layer.threshold is None else None

    def of_sums(self, stage: Stage, rate: float, h: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Pre-activations (N, P, U) int32 with errors; h may be changed in place."""
        raise NotImplementedError(f"{type(self).__name__} has no errors of sums")

    def of_bits(self, stage: Stage, rate: float, words: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Output words (N, ..., V) with errors."""
        raise NotImplementedError(f"{type(self).__name__} has no errors of bits")

    def of_inputs(self, stage: Stage, rate: float, x: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Pre-activations (N, P, U) int32 of what the layer reads, as `Stage.sums`, with errors."""
        raise NotImplementedError(f"{type(self).__name__} sums up nothing")

    def chip(self, root: int, trial: int) -> "AtRead":
        """What stands in the network for it: itself, or itself with what a chip keeps from read to read."""
        return self

    def lay_out(self, stage: Stage, rate: float) -> None:
        """What `of_inputs` needs, before threads ask for it."""

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0, read: int = 0) -> Stored:
        """A network that errs where it is read.

        Parameters
        ----------
        memory : PackedNetwork
            A chain of layers; it stays as it is.
        rng : None, int, SeedSequence or Generator
            The root seed. A draw's key is (root seed, stream, trial, read), layer and block of images, its counter the
            place of what errs, not the rate: one rate's errors meet the draws of another's.
        trial, read : int
            Which chip, and the number of the inference batch.

        Returns
        -------
        PackedNetwork
            With the same bits. Of a read of its own: the same images give the same answers.
        """
        network = cast(Any, memory)
        if not isinstance(memory, PackedNetwork):
            raise TypeError(f"{type(self).__name__} errs where a PackedNetwork is read, got {type(memory).__name__}: "
                            "codes, spares and training read bits alone; other faults stand beside it in a Compose")
        rates = self.rates_when_read(check_packed(network, noisy=True))
        root, trial, read = root_seed(rng), check_int("trial", trial, 0), check_int("read", read, 0)
        noise = self.chip(root, trial), rates, child_root(root, self.STREAM, trial, read)
        return cast(Stored, NoisyNetwork.of(network, noise)) if any(rates) else memory

    def rates_when_read(self, network: PackedNetwork) -> tuple[float, ...]:
        """Of each layer; one rate for all means all that have such errors."""
        found = [rate for rate, *_ in self.rates(len(network.layers))]
        for stage in network.stages:
            why = self.refusal(stage)
            if why and found[stage.index]:
                if self.layers is not None or isinstance(getattr(self, self.AXIS), Sequence):
                    raise ValueError(f"layers must be those that have {self.STREAM}, but {why}")
                found[stage.index] = 0.0
        return tuple(found)


class NoisyNetwork(PackedNetwork):
    """A network as one read finds it: its scores, and what follows from them, have errors of reading."""

    errs_when_read: ClassVar[bool] = True
    noise: tuple[tuple[AtRead, tuple[float, ...], int], ...]

    @classmethod
    def of(cls, network: PackedNetwork, noise: tuple[AtRead, tuple[float, ...], int]) -> "NoisyNetwork":
        """A network with one more kind of errors; it shares all its layers."""
        known: tuple[tuple[AtRead, tuple[float, ...], int], ...] = getattr(network, "noise", ())
        if noise[0].SUMS_UP and any(fault.SUMS_UP for fault, _, _ in known):
            raise ValueError(f"a network is summed up in one way, got two: {known[0][0]!r} and {noise[0]!r}")
        copy = object.__new__(cls)
        copy.__dict__.update(network.with_arrays({}).__dict__)
        copy.noise = (*known, noise)
        return copy

    def __reduce__(self) -> Any:
        return _rebuilt, (PackedNetwork(self.layers, self.input_shape, self.input_offset, self.metadata), self.noise)

    def with_arrays(self, arrays: Mapping[int, Mapping[str, np.ndarray]]) -> Self:
        """A copy whose layers i have other arrays, and the same errors of reading."""
        copy = super().with_arrays(arrays)
        copy.noise = self.noise
        return copy

    def _fields(self) -> dict[str, Any]:
        raise TypeError("errors of reading are no part of a network's file: save the network without them, and the "
                        "fault by its repr")

    def run(self, i: int, x: np.ndarray, stop: int | None = None, out: np.ndarray | None = None) -> np.ndarray:
        """Not defined: errors hang on the place of an image in its read."""
        raise TypeError("a network with errors of reading gives scores of the images of a read, and no more: ask the "
                        "network without them")

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Scores of the images of one read (N, C, H, W) uint8, float64 (N, n_classes); the same in any threads."""
        images = check_images(images, self.input_shape, self.reads_bits)
        for stage in self.stages:
            stage.to_sums if self._has_sums(stage) else stage.lay_out()
            for fault, rate, _ in self._each(stage, 0, True):
                fault.lay_out(stage, rate)
        largest = max(4 * stage.n_positions * stage.output_shape[-1] for stage in self.stages)
        n = max(1, min(BLOCK_IMAGES, BLOCK_BYTES // largest))
        out = np.empty((len(images), self.n_classes))
        split(self._blocks, -(-len(images) // n), n, images, out)
        return out

    def _has_sums(self, stage: Stage) -> bool:
        return any(fault.OF_SUMS and rates[stage.index] for fault, rates, _ in self.noise)

    def _blocks(self, n: int, images: np.ndarray, out: np.ndarray, start: int, stop: int) -> None:
        for b in range(start, stop):
            block = slice(b * n, (b + 1) * n)
            x = images[block]
            for stage in self.stages[:-1]:
                x = self._bits(stage, x, b)
            self._scores(self.stages[-1], x, b, out[block])

    def _bits(self, stage: Stage, x: np.ndarray, b: int) -> np.ndarray:
        words = stage.bits_of_sums(self._sums(stage, x, b)) if self._has_sums(stage) else stage.bits(x)
        for fault, rate, key in self._each(stage, b, False):
            words = fault.of_bits(stage, rate, words, key)
        return words

    def _scores(self, stage: Stage, x: np.ndarray, b: int, out: np.ndarray) -> None:
        if stage.layer.threshold is not None:
            out[:] = unpack_signs(self._bits(stage, x, b).reshape(len(x), -1), out.shape[1])
        elif self._has_sums(stage):
            stage.scores_of_sums(self._sums(stage, x, b), out)
        else:
            stage.scores(x, out)

    def _sums(self, stage: Stage, x: np.ndarray, b: int) -> np.ndarray:
        each = self._each(stage, b, True)
        own = [found for found in each if found[0].SUMS_UP]
        h = own[0][0].of_inputs(stage, own[0][1], x, own[0][2]) if own else stage.sums(x)
        for fault, rate, key in each:
            if not fault.SUMS_UP:
                h = fault.of_sums(stage, rate, h, key)
        return h

    def _each(self, stage: Stage, b: int, of_sums: bool) -> list[tuple[AtRead, float, np.ndarray]]:
        """The errors of a layer and block of images: (fault, rate, key)."""
        return [(fault, rates[stage.index], stream_key(root, fault.STREAM, stage.index, b))
                for fault, rates, root in self.noise if fault.OF_SUMS is of_sums and rates[stage.index]]


def _rebuilt(network: PackedNetwork, noise: tuple[tuple[AtRead, tuple[float, ...], int], ...]) -> NoisyNetwork:
    found = network
    for each in noise:
        found = NoisyNetwork.of(found, each)
    return cast(NoisyNetwork, found)
