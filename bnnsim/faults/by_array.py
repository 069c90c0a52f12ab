"""Error rates that differ from array to array."""

import math
from dataclasses import dataclass, replace

import numpy as np

from bnnsim.checks import check_int, check_probability, check_real
from bnnsim.faults.array_mapping import ArrayMapping, check_mapping
from bnnsim.faults.protocol import apply_read, check_fault, when_drawn
from bnnsim.packed.memory import Memory, StoredBits, check_stored
from bnnsim.seeding import child_root, generator, root_seed


@dataclass(frozen=True)
class ByArray:
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
    """

    fault: object
    mapping: ArrayMapping
    rates: tuple
    rate: float | None = None

    def __post_init__(self):
        _check(self)
        rates = tuple(check_probability(f"rates[{i}]", p) for i, p in enumerate(self.rates))
        object.__setattr__(self, "rates", rates)
        if self.rate is not None:
            object.__setattr__(self, "rate", check_probability("rate", self.rate))

    @property
    def when(self):
        """When its fault is drawn."""
        return when_drawn(self.fault)

    def at(self, rate):
        """The same with all rates in proportion, the largest at `rate`."""
        return replace(self, rate=rate)

    def apply(self, network, rng=None, trial=0, read=0):
        """A network read from such arrays; an array's root seed is of (root seed, "array", trial, layer, array)."""
        n_arrays = self.mapping.n_arrays(check_stored(network))
        if len(self.rates) != n_arrays:
            raise ValueError(f"rates must be {n_arrays}, one for each array of {self.mapping.rows} x "
                             f"{self.mapping.columns} cells, got {len(self.rates)}")
        rates, most = np.array(self.rates), max(self.rates)
        if self.rate is not None:
            rates = self.rate * (rates / most) if most else np.full(n_arrays, self.rate)
        return break_arrays(self, network, rates, root_seed(rng), trial, read)


@dataclass(frozen=True)
class ArrayVariation:
    """A fault whose rate varies from array to array, log-normally.

    Parameters
    ----------
    fault : fault
        An array is broken as a network of one layer, rows x columns, by ``fault.at(its rate)``.
    mapping : ArrayMapping
    p : float
        The median rate; `at` sets it.
    sigma : float
        Standard deviation of ln(rate) over arrays. A rate above 1 is 1.
    """

    fault: object
    mapping: ArrayMapping
    p: float
    sigma: float

    def __post_init__(self):
        _check(self)
        object.__setattr__(self, "p", check_probability("p", self.p))
        object.__setattr__(self, "sigma", check_real("sigma", self.sigma, 0))

    @property
    def when(self):
        """When its fault is drawn."""
        return when_drawn(self.fault)

    def at(self, rate):
        """The same at another median rate; each array keeps its factor."""
        return replace(self, p=rate)

    def rates(self, network, rng=None, trial=0):
        """The rate of each array of a chip, float64 (A,): p exp(sigma z), z of the stream "array rates", trial."""
        n_arrays = self.mapping.n_arrays(check_stored(network))
        z = generator(root_seed(rng), "array rates", check_int("trial", trial, 0)).standard_normal(n_arrays)
        if not self.p:
            return np.zeros(n_arrays)
        return np.exp(np.minimum(math.log(self.p) + self.sigma * z, 0.0))

    def apply(self, network, rng=None, trial=0, read=0):
        """A network read from such arrays; an array's root seed is of (root seed, "array", trial, layer, array)."""
        root = root_seed(rng)
        return break_arrays(self, network, self.rates(network, root, trial), root, trial, read)


def _check(self):
    check_fault("fault", self.fault)
    if not callable(getattr(self.fault, "at", None)):
        raise TypeError(f"fault must have a method `at` that sets its rate, got {self.fault!r}")
    check_mapping(self.mapping)


def break_arrays(self, network, rates, root, trial, read):
    """Apply ``self.fault.at(rates[a])`` to each array a."""
    trial, mapping, broken, first = check_int("trial", trial, 0), self.mapping, {}, 0
    for i, layer in enumerate(network.layers):
        arrays = mapping.arrays(layer)
        changed = False
        for a, (n_rows, n_columns) in enumerate(zip(*mapping.used(layer))):
            rate, n_words = float(rates[first + a]), -(-int(n_columns) // 64)
            if rate == 0:
                continue
            cells = StoredBits(np.ascontiguousarray(arrays[a, :n_rows, :n_words]), int(n_columns))
            stored = Memory((cells,))
            read_back = apply_read(self.fault.at(rate), stored, child_root(root, "array", trial, i, a), trial, read)
            if read_back is not stored:
                arrays[a, :n_rows, :n_words] = read_back.layers[0].words
                changed = True
        first += len(arrays)
        if changed:
            broken[i] = mapping.words(layer, arrays)
    return network.with_words(broken) if broken else network
