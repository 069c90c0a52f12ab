"""Faults that are drawn layer by layer: at rates that may differ from layer to layer, in all layers or in some."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import ClassVar, Protocol, Self

import numpy as np

from bnnsim.checks import check_int, check_probability, check_sequence, clean_fields
from bnnsim.faults.array_mapping import check_mapping
from bnnsim.faults.errors import Masks, with_errors
from bnnsim.packed.memory import MemoryLike, Stored, StoredLayer, check_stored
from bnnsim.seeding import RandomSource, root_seed, stream_key

Rates = float | Sequence[float]             # one for all layers, or one a layer


@dataclass(frozen=True, repr=False)
class LayerFault:
    """A fault that hits the cells of a layer by random draws of its own: one `errors` away from a new one.

    A subclass is a ``dataclass(frozen=True, repr=False)`` of the fields named in `RATES`, each a probability or one a
    layer, and where it has them of ``layers: Sequence[int] | None = None``, those that can have errors, and of
    ``mapping: ArrayMapping``. All three are checked here; its own fields it checks in a ``__post_init__`` that calls
    this one.

    Attributes
    ----------
    rate : float, optional
        Where rates differ from layer to layer: the largest of them, to which they are scaled; `at` sets it, so that
        their proportions are known at 0, too.
    RATES : tuple of str
        Fields that hold rates: a layer at which all are 0 has no errors.
    AXIS : str
        The field that `at` sets.
    MOVES : str, optional
        What that is: the name of an axis, see `bnnsim.faults.axis`.
    """

    RATES: ClassVar[tuple[str, ...]] = ("p",)
    AXIS: ClassVar[str] = "p"
    MOVES: ClassVar[str | None] = None

    rate: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        known = vars(self)
        if "mapping" in known:
            check_mapping(known["mapping"])
        clean_fields(self, clean_rate, *self.RATES)
        if "layers" in known:
            clean_fields(self, clean_layers, "layers")
        if self.rate is not None:
            clean_fields(self, check_probability, "rate")

    def __repr__(self) -> str:
        """As dataclasses have it, with the rate last, or without one that was not set."""
        shown = {own.name: getattr(self, own.name) for own in fields(self)}
        rate = shown.pop("rate")
        if rate is not None or self.AXIS == "rate":
            shown["rate"] = rate
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def layers(self) -> Sequence[int] | None:
        """All layers, where a subclass has no such field."""
        return None

    @property
    def moves(self) -> str | None:
        """The name of what `at` sets: of rates that differ from layer to layer it is the largest."""
        by_layer = any(isinstance(getattr(self, name), Sequence) for name in self.RATES)
        return f"largest_{self.MOVES}_of_a_layer" if by_layer and self.MOVES else self.MOVES

    def at(self, rate: float) -> Self:
        """The same fault, the same draws, at another rate.

        Rates that differ from layer to layer keep their proportions: the largest becomes `rate`.
        """
        moved = "rate" if isinstance(getattr(self, self.AXIS), Sequence) else self.AXIS
        return replace(self, **{moved: rate})

    def scaled(self) -> tuple[Rates, ...]:
        """The rates that hold: those of `RATES`, each one number or one a layer."""
        found: tuple[Rates, ...] = tuple(getattr(self, name) for name in self.RATES)
        if self.rate is None or not isinstance(found[0], Sequence):
            return found
        return (_scaled(found[0], self.rate), *found[1:])

    def rates(self, n_layers: int) -> list[tuple[float, ...]]:
        """The rates that hold in each layer; 0 in those that are not among ``layers``."""
        by_layer = [rate_by_layer(name, rate, self.layers, n_layers) for name, rate in zip(self.RATES, self.scaled())]
        return list(zip(*by_layer))

    def errors(self, layer: StoredLayer, rates: tuple[float, ...], key: Callable[[str], np.ndarray]) -> Masks:
        """What the cells of a layer read: (f01, f10), masks as in `bnnsim.faults.errors`.

        Parameters
        ----------
        layer : StoredLayer
            Its shape counts, not its bits: errors are those of cells.
        rates : tuple of float
            The layer's, in the order of `RATES`.
        key : callable
            Key, uint64 (2,), of a stream of random numbers by its name, for `bnnsim.faults.errors.draw` and the like.
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method errors(layer, rates, key)")

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0) -> Stored:
        """A memory as it is read; it stays as it was, and layers without an error are shared.

        Parameters
        ----------
        memory : PackedNetwork or Memory
        rng : None, int, SeedSequence or Generator
            The root seed. A draw's key is (root seed, stream, trial, layer, array 0), its counter the place of the
            cell, or line, in the layer: not the rate, so a chip's errors at a lower rate are a subset of a higher's.
        trial : int
            Which chip.

        Returns
        -------
        PackedNetwork or Memory
        """
        key = streams(memory, rng, trial)
        return with_errors(memory, {
            i: self.errors(layer, rates, partial(key, layer=i))
            for i, (layer, rates) in enumerate(zip(memory.layers, self.rates(len(memory.layers)))) if any(rates)})


@dataclass(frozen=True, repr=False)
class PairOfRates(LayerFault):
    """A `LayerFault` of two rates, whose proportion `at` keeps: it sets ``rate``."""

    AXIS: ClassVar[str] = "rate"
    SUM: ClassVar[float] = 1.0                  # of both rates, at rate 1

    def scaled(self) -> tuple[Rates, Rates]:
        """Both rates that hold, each one number or one a layer."""
        first, second = (getattr(self, name) for name in self.RATES)
        return (first, second) if self.rate is None else in_proportion(self.SUM * self.rate, first, second)


class StreamKey(Protocol):
    """The keys of a chip's streams of random numbers."""

    def __call__(self, name: str, layer: int, *ids: int) -> np.ndarray:
        """uint64 (2,): of (root seed, name, trial, layer, array 0, ids)."""
        ...


def streams(memory: MemoryLike, rng: RandomSource, trial: int) -> StreamKey:
    """The keys of one chip, once what a fault was given is checked."""
    check_stored(memory)
    root, trial = root_seed(rng), check_int("trial", trial, 0)
    return lambda name, layer, *ids: stream_key(root, name, trial, layer, 0, *ids)


# ---------------------------------------------------------------- rates and layers

def clean_rate(name: str, value: Rates) -> Rates:
    """A probability, or a tuple of one a layer."""
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim):
        return tuple(check_probability(f"{name}[{i}]", p) for i, p in enumerate(value))
    return check_probability(name, value)


def clean_layers(name: str, layers: Sequence[int] | None) -> tuple[int, ...] | None:
    """A tuple of layer numbers, none twice; None is all of them."""
    if layers is None:
        return None
    if isinstance(layers, (list, tuple)) and not layers:        # which is none of them
        return ()
    found = tuple(check_int(name, i, 0) for i in check_sequence(name, layers, "numbers of layers, such as [0] for one"))
    if len(set(found)) < len(found):                            # a code would be made twice, and undone once
        raise ValueError(f"{name} must differ from each other, got {found}")
    return found


def chosen(layers: Sequence[int] | None, n_layers: int) -> Sequence[int]:
    """The numbers of the layers that are meant."""
    if layers is None:
        return range(n_layers)
    if max(layers, default=0) >= n_layers:
        raise ValueError(f"layers must be in 0..{n_layers - 1}, got {layers}")
    return layers


def rate_by_layer(name: str, rate: Rates, layers: Sequence[int] | None, n_layers: int) -> tuple[float, ...]:
    """One rate a layer; 0 where a layer is not among `layers`."""
    rates = tuple(rate) if isinstance(rate, Sequence) else (rate,) * n_layers
    if len(rates) != n_layers:
        raise ValueError(f"{name} must be one probability or {n_layers}, one for each layer, got {len(rates)}")
    meant = chosen(layers, n_layers)
    return tuple(p if i in meant else 0.0 for i, p in enumerate(rates))


def _scaled(profile: Sequence[float], largest: float) -> tuple[float, ...]:
    """Rates of layers in their proportions; all alike where all are 0."""
    most = max(profile, default=0)
    return tuple(largest * (p / most) if most else largest for p in profile)


def in_proportion(total: float, first: Rates, second: Rates) -> tuple[Rates, Rates]:
    """Two rates, or two tuples of rates, scaled so that the largest sum of a pair is `total`."""
    if not isinstance(first, Sequence) and not isinstance(second, Sequence):
        whole = first + second
        return (total * (first / whole), total * (second / whole)) if whole else (total / 2, total / 2)
    pairs = _pairs(first, second)
    whole = max(map(sum, pairs), default=0)
    scaled = [(total * (a / whole), total * (b / whole)) if whole else (total / 2, total / 2) for a, b in pairs]
    return tuple(a for a, _ in scaled), tuple(b for _, b in scaled)


def check_shares(p_zero: Rates, p_one: Rates) -> None:
    """No cell is stuck at both: the shares add up to 1 at most, in each layer."""
    for zero, one in _pairs(p_zero, p_one):
        if zero + one > 1 + 1e-12:                              # 0.7 + 0.3 may be a rounding above
            raise ValueError("p_zero + p_one must be at most 1, as no cell is stuck at both, got "
                             f"{zero:g} + {one:g} = {zero + one:g}")


def _pairs(first: Rates, second: Rates) -> list[tuple[float, float]]:
    n = max(len(p) if isinstance(p, Sequence) else 1 for p in (first, second))
    a, b = (tuple(p) if isinstance(p, Sequence) else (p,) * n for p in (first, second))
    if len(a) != len(b):
        raise ValueError(f"both rates must be for as many layers, got {len(a)} and {len(b)}")
    return list(zip(a, b))
