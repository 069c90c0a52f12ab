"""Training in the memory itself: how often each stored bit is written, and writing fewer of them.

A chip that is trained in place stores the signs of the latent weights, which stay in a digital memory beside it; a bit
is written where its sign changes. Both classes are optimizers around another one. Counts stand with its moments, so
that a checkpoint has them. Equations: docs/frontier/wear.rst.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

import bnnsim.kernels.words.changed_bits as changed_bits
import bnnsim.kernels.words.packing as packing
from bnnsim.checks import check_int, check_probability
from bnnsim.kernels import split
from bnnsim.packed.bit_errors import flip_masks
from bnnsim.packed.words import n_words
from bnnsim.seeding import stream_key
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.optimizers import Adam, Moments, OnPart, Optimizer
from bnnsim.training.plug_ins import check_plug_in
from bnnsim.training.write_counts import WriteCounts

if TYPE_CHECKING:
    from bnnsim.training.model import Graph

SMALLEST = np.finfo(np.float32).tiny            # a latent weight that is held back on the side of -1; +1 has 0


@dataclass
class _OnChip:
    """What both have: the optimizer inside, its learning rate and state, and the counts in that."""

    optimizer: Optimizer = field(default_factory=Adam)
    state: dict[str, Moments] = field(init=False, repr=False, compare=False)

    NEEDS: ClassVar[tuple[str, ...]] = ("update", "moments_of")
    OWN: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_plug_in("optimizer", self.optimizer, self.NEEDS, "bnnsim.optimizers.Adam()", ("learning_rate", "state"))
        self.state = self.optimizer.state

    @property
    def learning_rate(self) -> float:
        """That of the optimizer inside."""
        return self.optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.optimizer.learning_rate = value

    def moments_of(self, key: str) -> tuple[str, ...]:
        """Names of the moments of the parameter `key`: of binary weights, those of this class, too."""
        return (*self.optimizer.moments_of(key), *(self.OWN if _is_stored(key) else ()))

    def writes(self, model: "Graph") -> WriteCounts:
        """How often each stored bit of a model was written in its training with this optimizer.

        Raises
        ------
        ValueError
            Where nothing was trained with it, or another model.
        """
        keys = [f"{i}.weight" for i, layer in enumerate(model.layers) if isinstance(layer, Weighted)]
        sizes = [self.state.get(key, {}).get("writes", np.empty(0)).size for key in keys]
        if sizes != [layer.n_bits for layer in model.weighted]:
            raise ValueError(f"model must be the one that was trained with this optimizer, whose layers have "
                             f"{[layer.n_bits for layer in model.weighted]} weights, got counts of {sizes}")
        return WriteCounts([self.state[key]["writes"].reshape(layer.parameters["weight"].shape)
                            for key, layer in zip(keys, model.weighted)])

    def _own(self, key: str, name: str, start: np.ndarray) -> np.ndarray:
        return self.state.setdefault(key, {}).setdefault(name, start)


@dataclass
class CountedWrites(_OnChip):
    """An optimizer, and how often each stored bit changes in its training: what a chip trained in place would write.

    It trains what the optimizer alone does, bit for bit. The first programming, before the training, is not counted.

    Parameters
    ----------
    optimizer : an optimizer that has ``on_parts``, too
        Adam by default.

    Examples
    --------
    >>> import numpy as np, bnnsim
    >>> split = bnnsim.Split(np.arange(128, dtype=np.uint8).reshape(8, 1, 4, 4), np.arange(8) % 2, "ramps")
    >>> model = bnnsim.architectures.build("FC8 FC2", (1, 4, 4), rng=0)
    >>> counted = bnnsim.training.on_chip.CountedWrites(bnnsim.optimizers.Adam(0.05))
    >>> history = bnnsim.fit(model, split, epochs=9, rng=0, optimizer=counted, progress=False)
    >>> print(counted.writes(model).total, "writes of", counted.writes(model).n_bits, "bits")
    40 writes of 144 bits
    """

    NEEDS = ("update", "moments_of", "on_parts")
    OWN = ("writes",)

    def on_parts(self, key: str, value: np.ndarray, factor: float, step: int, bound: float) -> OnPart:
        """`update` as a function of (start, gradient of the values from there on), to be called once for each part."""
        on_part: OnPart = getattr(self.optimizer, "on_parts")(key, value, factor, step, bound)
        if not _is_stored(key):
            return on_part
        flat, writes = value.reshape(-1), self._own(key, "writes", np.zeros(value.size, np.float32))

        def counted(start: int, gradient: np.ndarray) -> None:
            part = slice(start, start + gradient.size)
            before = _signs(flat[part])
            on_part(start, gradient)
            changed_bits.count_changes(before, _signs(flat[part]), writes[part], 0, before.shape[1])

        return counted

    def update(self, key: str, value: np.ndarray, gradient: np.ndarray, factor: float, step: int,
               bound: float) -> None:
        """One step (numbered from 1) on one parameter, at learning_rate * factor, clipped to [-bound, bound]."""
        on_part, gradient = self.on_parts(key, value, factor, step, bound), gradient.reshape(-1)
        split(lambda start, stop: on_part(start, gradient[start:stop]), value.size)


@dataclass
class LimitedWrites(_OnChip):
    """An optimizer whose changes of sign reach the chip a few at a time; the others wait, and the chip computes on.

    Latent weights move as the optimizer says. Forward and backward pass see the stored bits, and a bit whose latent
    weight has another sign waits until it may be written, or that sign is gone. With the defaults it is
    `CountedWrites`, bit for bit.

    Parameters
    ----------
    optimizer : Optimizer
        Adam by default.
    every : int
        Nothing is written but at each `every`-th step.
    probability : float in (0, 1]
        With which a waiting bit may be written at such a step, each independently.
    most : float in (0, 1]
        Of those, at most this share of a layer's bits is written at one step, rounded down, but one at least: those
        first whose latent weight is farthest from zero; of equal ones the first.
    seed : int
        Of the draws.
    """

    every: int = 1
    probability: float = 1.0
    most: float = 1.0
    seed: int = 0

    OWN = ("latent", "writes")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("every", self.every, 1)
        check_int("seed", self.seed, 0)
        for name in ("probability", "most"):
            if check_probability(name, getattr(self, name)) == 0:
                raise ValueError(f"{name} must be > 0, got 0: nothing would ever be written")

    def update(self, key: str, value: np.ndarray, gradient: np.ndarray, factor: float, step: int,
               bound: float) -> None:
        """One step (numbered from 1) on one parameter, at learning_rate * factor, clipped to [-bound, bound]."""
        if not _is_stored(key):
            self.optimizer.update(key, value, gradient, factor, step, bound)
            return
        flat = value.reshape(-1)
        latent = self.state[key]["latent"] if key in self.state else flat.copy()
        self.optimizer.update(key, latent.reshape(value.shape), gradient, factor, step, bound)
        self._own(key, "latent", latent)
        writes = self._own(key, "writes", np.zeros(flat.size, np.float32))
        before = _signs(flat)[0]
        waiting = before ^ _signs(latent)[0]
        chosen = waiting & self._allowed(key, step, flat.size)
        least, n_equal = self._last(chosen, latent)
        flat[:] = latent
        changed_bits.write_largest(waiting, chosen, before, least, n_equal, SMALLEST, flat, writes, 0, len(before))

    def go_on(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take the weights of a training that goes on for the latent ones, where they are no longer those left here.

        So it is where the model was left at another epoch than the last: what waited there waits no more.
        """
        for key in filter(_is_stored, self.state):
            latent, value = self.state[key]["latent"], arrays[key].reshape(-1)
            held = value == np.where(latent >= 0, -SMALLEST, np.float32(0))
            if not np.all((value == latent) | held):
                latent[:] = value

    def _allowed(self, key: str, step: int, size: int) -> np.ndarray:
        """Which bits may be written at a step if they wait, as words (W,)."""
        if step % self.every:
            return np.zeros(n_words(size), np.uint64)
        if self.probability == 1:
            return np.full(n_words(size), 2**64 - 1, np.uint64)
        stream = stream_key(self.seed, "limited writes", int(key.split(".")[0]), step)
        return flip_masks(1, size, self.probability, stream)[0]

    def _last(self, chosen: np.ndarray, latent: np.ndarray) -> tuple[np.float32, int]:
        """|latent weight| of the last of the chosen bits that is written, and how many of that very size are."""
        most, n_chosen = max(1, math.floor(self.most * latent.size)), int(np.bitwise_count(chosen).sum(dtype=np.int64))
        if n_chosen <= most:
            return np.float32(0), n_chosen
        sizes = np.empty(n_chosen, np.float32)
        changed_bits.gather_sizes(chosen, latent, sizes, 0, len(chosen))
        least = np.partition(sizes, n_chosen - most)[n_chosen - most]
        return least, most - int(np.count_nonzero(sizes > least))


def _is_stored(key: str) -> bool:
    """Whether a parameter is one of latent weights, whose signs the memory stores: real ones have another name."""
    return key.endswith(".weight")


def _signs(values: np.ndarray) -> np.ndarray:
    """float32 (F,) -> words (1, W), by the calling thread alone."""
    words = np.empty((1, n_words(values.size)), np.uint64)
    packing.pack_latent(values.reshape(1, -1), words, 0, 1)
    return words
