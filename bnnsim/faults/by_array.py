"""Error rates that differ from array to array."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np

from bnnsim.checks import check_int, check_probability, check_real, check_sequence, clean_fields
from bnnsim.faults.around import Around
from bnnsim.faults.array_mapping import ArrayMapping, check_mapping
from bnnsim.faults.axis import BER, is_probability, moves_of
from bnnsim.faults.protocol import Fault, apply_read, check_rated, greatest_rate, is_clean_at_zero
from bnnsim.packed.memory import Memory, MemoryLike, Stored, StoredBits, check_stored
from bnnsim.seeding import RandomSource, child_root, generator, root_seed


@dataclass(frozen=True)
class ByArray(Around):
    """A fault at a rate of its own in each array.

    Parameters
    ----------
    fault : fault
        An array is broken as a network of one layer, rows x columns, by ``fault.at(its rate)``.
    mapping : ArrayMapping
    rates : sequence of float
        One an array, as the mapping numbers them.
    rate : float, optional
        What `at` sets: all rates are scaled so that the largest is `rate`.

    Raises
    ------
    ValueError
        Where `fault` cannot have the largest rate.
    """

    mapping: ArrayMapping
    rates: Sequence[float]
    rate: float | None = None

    def __post_init__(self) -> None:
        check_rated("fault", self.fault)
        check_mapping(self.mapping)
        check = check_probability if _moves_probability(self.fault) else partial(check_real, low=0)
        object.__setattr__(self, "rates", tuple(check(f"rates[{i}]", rate) for i, rate in enumerate(
            check_sequence("rates", self.rates, "rates, one an array"))))
        if self.rate is not None:
            clean_fields(self, check, "rate")
        check_rated("fault", self.fault).at(max(self.rates) if self.rate is None else self.rate)

    @property
    def moves(self) -> str | None:
        """The largest of what the fault inside says."""
        inner = moves_of(self.fault)
        return inner and f"largest_{inner}_of_an_array"

    def at(self, rate: float) -> Self:
        """The same with all rates in proportion, the largest at `rate`."""
        return replace(self, rate=rate)

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0, read: int = 0) -> Stored:
        """A memory read from such arrays; an array's root seed is of (root seed, "array", trial, layer, array)."""
        n_arrays = self.mapping.n_arrays(check_stored(memory))
        if len(self.rates) != n_arrays:
            raise ValueError(f"rates must be {n_arrays}, one for each array of {self.mapping.rows} x "
                             f"{self.mapping.columns} cells, got {len(self.rates)}")
        rates, most = np.array(self.rates), max(self.rates)
        if self.rate is not None:
            rates = self.rate * (rates / most) if most else np.full(n_arrays, self.rate)
        return _broken(self, memory, rates, root_seed(rng), trial, read)


@dataclass(frozen=True)
class ArrayVariation(Around):
    """A fault whose rate varies from array to array, log-normally.

    Parameters
    ----------
    fault : fault
        An array is broken as a network of one layer, rows x columns, by ``fault.at(its rate)``.
    mapping : ArrayMapping
    p : float
        The median rate; `at` sets it.
    sigma : float
        Standard deviation of ln(rate) over arrays. A rate above the largest that `fault` can have is cut to that: of
        probabilities to 1, of `AsymmetricFlips` to where p01 or p10 is 1. `rates` tells those that hold.

    Raises
    ------
    ValueError
        Where `fault` cannot have the median rate.
    """

    mapping: ArrayMapping
    p: float
    sigma: float

    def __post_init__(self) -> None:
        check_rated("fault", self.fault)
        check_mapping(self.mapping)
        clean_fields(self, check_probability if _moves_probability(self.fault) else partial(check_real, low=0), "p")
        clean_fields(self, check_real, "sigma", low=0)
        check_rated("fault", self.fault).at(self.p)

    @property
    def moves(self) -> str | None:
        """The median of what the fault inside says."""
        inner = moves_of(self.fault)
        return inner and f"median_{inner}_of_arrays"

    def at(self, rate: float) -> Self:
        """The same at another median rate; each array keeps its factor."""
        return replace(self, p=rate)

    def rates(self, memory: MemoryLike, rng: RandomSource = None, trial: int = 0) -> np.ndarray:
        """The rate of each array of a chip, float64 (A,): p exp(sigma z), z of the stream "array rates", trial; cut."""
        n_arrays = self.mapping.n_arrays(check_stored(memory))
        z = generator(root_seed(rng), "array rates", check_int("trial", trial, 0)).standard_normal(n_arrays)
        if not self.p:
            return np.zeros(n_arrays)
        ln_rates = math.log(self.p) + self.sigma * z
        rates = np.exp(np.minimum(ln_rates, 0.0) if _moves_probability(self.fault) else ln_rates)
        return np.minimum(rates, greatest_rate(self.fault))

    def apply(self, memory: Stored, rng: RandomSource = None, trial: int = 0, read: int = 0) -> Stored:
        """A memory read from such arrays; an array's root seed is of (root seed, "array", trial, layer, array)."""
        root = root_seed(rng)
        return _broken(self, memory, self.rates(memory, root, trial), root, trial, read)


def _moves_probability(fault: Fault) -> bool:
    """Whether a fault is moved along probabilities; one that does not say is taken to be."""
    return is_probability(moves_of(fault) or BER)


def _broken(self: ByArray | ArrayVariation, memory: Stored, rates: np.ndarray, root: int, trial: int,
            read: int) -> Stored:
    """Each array a under ``self.fault.at(rates[a])``."""
    trial, fault, mapping = check_int("trial", trial, 0), check_rated("fault", self.fault), self.mapping
    clean = is_clean_at_zero(fault) and _moves_probability(fault)
    broken: dict[int, np.ndarray] = {}
    first = 0
    for i, layer in enumerate(memory.layers):
        arrays = mapping.arrays(layer)
        changed = False
        for a, (n_rows, n_columns) in enumerate(zip(*mapping.used(layer))):
            rate, n_words = float(rates[first + a]), -(-int(n_columns) // 64)
            if rate == 0 and clean:
                continue
            cells = StoredBits(np.ascontiguousarray(arrays[a, :n_rows, :n_words]), int(n_columns))
            stored = Memory((cells,))
            read_back = apply_read(fault.at(rate), stored, child_root(root, "array", trial, i, a), trial, read)
            if read_back is not stored:
                arrays[a, :n_rows, :n_words] = read_back.layers[0].words
                changed = True
        first += len(arrays)
        if changed:
            broken[i] = mapping.words(layer, arrays)
    return memory.with_words(broken) if broken else memory
