"""Flips whose rate hangs on the stored bit: p01 of a stored 0, p10 of a stored 1."""

from dataclasses import dataclass, replace
from typing import ClassVar

from bnnsim.checks import check_int, check_probability
from bnnsim.faults.by_layer import clean_layers, clean_rate, in_proportion, spread_rate
from bnnsim.faults.errors import draw, with_errors
from bnnsim.packed.memory import check_stored
from bnnsim.seeding import root_seed, stream_key


@dataclass(frozen=True)
class AsymmetricFlips:
    """A stored 0 reads 1 with probability p01, a stored 1 reads 0 with probability p10, independently.

    Parameters
    ----------
    p01, p10 : float, or a sequence of one float a layer
        Bit 1 is +1. Cells that err under both rates are those that err under the lower one, and more: a cell has one
        draw. With p01 = p10 = p this is ``BitFlips(p)``, bit for bit.
    layers : sequence of int, optional
        Only these layers have errors; all by default.
    rate : float, optional
        What `at` sets: p01 and p10 are scaled so that their mean is `rate`, in the layer where it is largest. The mean
        is the bit error rate of a memory that holds as many zeros as ones.

    Raises
    ------
    ValueError
        Where a rate is no probability, or scaled to `rate` would be none.

    References
    ----------
    p01 and p10 of 1T1R and 2T2R cells: docs/equations.rst 2.2 and 2.3 [D].

    Examples
    --------
    >>> import bnnsim
    >>> network = bnnsim.pack(bnnsim.architectures.build("FC64 FC10", (1, 8, 8), rng=0))
    >>> broken = bnnsim.faults.AsymmetricFlips(0.0, 1.0).apply(network, rng=1)
    >>> int(broken.layers[0].words.max())
    0
    """

    p01: float | tuple
    p10: float | tuple
    layers: tuple | None = None
    rate: float | None = None

    when: ClassVar[str] = "write"

    def __post_init__(self):
        for name in ("p01", "p10"):
            object.__setattr__(self, name, clean_rate(name, getattr(self, name)))
        object.__setattr__(self, "layers", clean_layers(self.layers))
        if self.rate is not None:
            object.__setattr__(self, "rate", check_probability("rate", self.rate))
            for name, value in zip(("p01", "p10"), self.scaled()):
                clean_rate(f"{name} at rate {self.rate}", value)

    def at(self, rate):
        """The same fault at another mean bit error rate, p01 and p10 in proportion."""
        return replace(self, rate=rate)

    def scaled(self):
        """(p01, p10) that hold, one number or one a layer."""
        return (self.p01, self.p10) if self.rate is None else in_proportion(2 * self.rate, self.p01, self.p10)

    def apply(self, network, rng=None, trial=0):
        """A network with bit errors: see `BitFlips.apply`, whose draws these are."""
        layers = check_stored(network).layers
        root, trial = root_seed(rng), check_int("trial", trial, 0)
        rates = [spread_rate(name, p, self.layers, len(layers)) for name, p in zip(("p01", "p10"), self.scaled())]
        errors = {}
        for i, (layer, p01, p10) in enumerate(zip(layers, *rates)):
            if p01 or p10:
                key = stream_key(root, "bit flips", trial, i, 0)
                f01 = draw(layer, p01, key)
                errors[i] = f01, f01 if p01 == p10 else draw(layer, p10, key)
        return with_errors(network, errors)
