"""How a forward pass of training reads its weights: as the memory gives them.

There is one door, `reader`: a fault is applied to the stored bits, and layers read what it leaves. Flips at a rate,
`fit`'s ``flip_rate``, are a fault too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnnsim.checks import check_array, check_probability
from bnnsim.packed.bit_errors import flip_masks
from bnnsim.packed.memory import Memory, of_model
from bnnsim.seeding import child_root, stream_key
from bnnsim.training.layers.weighted import Weighted
from bnnsim.training.plug_ins import check_plug_in

if TYPE_CHECKING:
    from bnnsim.faults.protocol import Fault
    from bnnsim.training.model import Graph

Read = Callable[[int, Weighted], tuple[np.ndarray, np.ndarray | None]]


@dataclass(frozen=True)
class FlipRates:
    """Each weight bit is read wrong at its layer's rate: the fault that ``fit(flip_rate=)`` stands for.

    `bnnsim.faults.BitFlips`, drawn from a stream of training's own: trained networks hang on it.
    """

    rates: tuple[float, ...]

    def apply(self, memory: Memory, root: int, trial: int) -> Memory:
        """The memory with the errors of one step: drawn by (root, "training flips", trial, layer)."""
        words = {}
        for i, (layer, rate) in enumerate(zip(memory.layers, self.rates)):
            if rate:
                rows = layer.words.reshape(-1, layer.words.shape[-1])
                masks = flip_masks(len(rows), layer.n_in, rate, stream_key(root, "training flips", trial, i))
                words[i] = (rows ^ masks).reshape(layer.words.shape)
        return memory.with_words(words)


def reader(model: "Graph", faults: "Fault | FlipRates", root: int, trial: int, native: bool = False) -> Read:
    """The ``read`` of `Graph.forward_train`: what faults leave of the stored words.

    native : whether the weight gradient sees which bits are wrong
    """
    broken = faults.apply(of_model(model), root, trial)
    if len(getattr(broken, "layers", ())) != len(model.weighted):
        raise TypeError("apply(memory, rng, trial) of faults must give the memory with its errors, as "
                        f"memory.with_words(...) does, got {broken!r:.200}")

    def read(index: int, layer: Weighted) -> tuple[np.ndarray, np.ndarray | None]:
        words = _checked(index, layer, broken.layers[index].words)
        return words, words ^ layer.words if native else None

    return read


def _checked(index: int, layer: Weighted, words: np.ndarray) -> np.ndarray:
    """Words as kernels may read them, which have no check of bounds, and count every bit."""
    name = f"words of layer {index} that the faults gave"
    words = check_array(name, words, np.uint64, layer.words.shape)
    if layer.n_in % 64 and (words[..., -1] >> np.uint64(layer.n_in % 64)).any():
        raise ValueError(f"{name} must have 0 in every padding bit, past feature {layer.n_in - 1}")
    return words


def check_errors(flip_rate: float | Sequence[float], faults: "Fault | None",
                 model: "Graph") -> tuple[float, ...]:
    """One flip rate a layer with weights; and the fault tried on the weights: a bad one fails before the first step."""
    flip_rates = _each_rate(flip_rate, len(model.weighted))
    if faults is not None:
        check_plug_in("faults", faults, ("apply",), "bnnsim.faults.BitFlips(0.01)")
        if any(flip_rates):
            raise ValueError("give flip_rate or faults, not both: BitFlips(flip_rate) is a fault")
        read = reader(model, faults, 0, 0)
        for index, layer in enumerate(model.weighted):
            read(index, layer)
    return flip_rates


def _each_rate(flip_rate: float | Sequence[float], n_layers: int) -> tuple[float, ...]:
    if isinstance(flip_rate, Sequence | np.ndarray) and np.ndim(flip_rate):
        if len(flip_rate) != n_layers:
            raise ValueError(f"flip_rate must be one probability or {n_layers}, one for each layer with weights, got "
                             f"{len(flip_rate)}")
        return tuple(check_probability(f"flip_rate[{i}]", p) for i, p in enumerate(flip_rate))
    return (check_probability("flip_rate", flip_rate),) * n_layers


def root_of(faults: "Fault | FlipRates", root: int) -> int:
    """The root seed of what a training draws: faults that are not training's own have streams of any name."""
    return root if isinstance(faults, FlipRates) else child_root(root, "training faults")
