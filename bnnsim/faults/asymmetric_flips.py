"""Independent bit errors that depend on the stored bit: a 0 reads 1 with p01, a 1 reads 0 with p10."""

from dataclasses import dataclass, replace

import bnnsim.products as products
from bnnsim.checks import check_int, check_probability
from bnnsim.seeding import root_seed, stream_key


@dataclass(frozen=True)
class AsymmetricFlips:
    """Each stored 0 reads 1 with probability p01, each stored 1 reads 0 with p10, independently; once a chip.

    With p01 = p10 = p these are the errors of BitFlips(p), bit for bit.
    """

    p01: float
    p10: float
    layers: tuple | None = None
    when = "write"

    def __post_init__(self):
        for name in ("p01", "p10"):
            object.__setattr__(self, name, check_probability(name, getattr(self, name)))
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(check_int("layers", i, 0) for i in self.layers))

    def at(self, factor):
        """Both rates times factor."""
        return replace(self, p01=self.p01 * factor, p10=self.p10 * factor)

    def apply(self, network, rng=None, trial=0):
        """A network with bit errors; `network` is untouched. Keys as of `BitFlips`."""
        if not hasattr(network, "with_words"):
            raise TypeError(f"network must be a PackedNetwork (see bnnsim.pack), got {type(network).__name__}")
        root, trial, broken = root_seed(rng), check_int("trial", trial, 0), {}
        for i, layer in enumerate(network.layers):
            if self.layers is not None and i not in self.layers:
                continue
            n_rows, key = layer.words.size // layer.words.shape[-1], stream_key(root, "bit flips", trial, i, 0)
            to_one, to_zero = (products.flip_masks(n_rows, layer.n_in, p, key).reshape(layer.words.shape)
                               for p in (self.p01, self.p10))
            masks = (to_one & ~layer.words) | (to_zero & layer.words)
            if masks.any():
                broken[i] = layer.words ^ masks
        return network.with_words(broken) if broken else network
